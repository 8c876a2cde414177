"""A host from its start to its end: what is fired arrives, and the receipt says what did not."""

from __future__ import annotations

import gc
import json
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pluggy
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import hookplugin
import hookspecs
from hookplugin import Alert, Context, Host, PayloadError, UnknownSourceError, hookimpl
from hookplugin.isolation import describe
from hookplugin.sources import SOURCES

Install = Callable[..., None]

HEAD = "from hookplugin import Alert, Context, Delivery, Registry, hookimpl\n"
ALERT = Alert(content="disk full", priority="critical", tags={"env": "prod"})


@pytest.fixture
def receiver(httpserver: HTTPServer) -> dict[str, Any]:
    """Return a configuration with one receiver that hears of everything."""
    httpserver.expect_request("/hook").respond_with_data()
    return config(httpserver.url_for("/hook"))


def config(url: str, **keys: object) -> dict[str, Any]:
    return {
        "receivers": [{"name": "ops", "url": url}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
        **keys,
    }


def heard(server: HTTPServer) -> list[str]:
    """Return the ids of what arrived."""
    return [request.headers["webhook-id"] for request, _ in server.log]


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the URL of a receiver that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_what_is_fired_arrives_under_the_ids_of_the_receipt(httpserver: HTTPServer, receiver: dict[str, Any]) -> None:
    with Host(receiver) as host:
        receipt = host.fire(ALERT)
        (outcome,) = host.wait(receipt).values()
    assert outcome
    assert (outcome.state, outcome.status) == ("delivered", 200)
    assert heard(httpserver) == list(receipt.accepted)
    assert json.loads(httpserver.log[0][0].data)["content"] == "disk full"
    assert (receipt.suppressed, receipt.refused) == ((), ())


def test_several_alerts_share_one_receipt_in_their_order(httpserver: HTTPServer, receiver: dict[str, Any]) -> None:
    receiver["strategies"][0]["priorities"] = ["critical"]
    alerts = [Alert(content=str(number), priority=number % 3) for number in range(6)]
    with Host(receiver) as host:
        receipt = host.fire_all(iter(alerts))
    assert [delivery.alert.content for delivery in receipt.deliveries] == ["1", "4"]
    assert [unsent.alert for unsent in receipt.suppressed] == [alert for alert in alerts if alert.priority != 1]
    assert {unsent.reason for unsent in receipt.suppressed} == {"no strategy matched"}
    assert sorted(heard(httpserver)) == sorted(receipt.accepted)
    with Host(receiver) as host:
        assert host.fire_all([]) == hookplugin.Receipt()


@pytest.mark.parametrize("outbox", ["sqlite:///:memory:", "sqlite:///outbox.db"])
def test_a_receipt_is_durable_where_there_is_a_file(
    outbox: str, receiver: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Host({**receiver, "outbox": outbox}) as host:
        assert host.fire(ALERT).durable == (tmp_path / "outbox.db").exists()


def test_a_storage_that_fails_is_said_and_the_alert_is_delivered_from_memory(
    httpserver: HTTPServer, receiver: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver["strategies"][0]["priorities"] = ["critical"]
    receiver["outbox"] = f"sqlite:///{tmp_path}/outbox.db"
    with closing(Host(receiver)) as host:  # no round runs before
        with closing(sqlite3.connect(tmp_path / "outbox.db")) as other:
            other.execute("drop table outbox")
        assert host.durable
        receipt = host.fire_all([ALERT, Alert(content="nobody is to hear of it")])
        assert not host.durable
        assert [outcome and outcome.state for outcome in host.wait(receipt).values()] == ["delivered"]
        assert host.wait(hookplugin.Receipt(deliveries=(delivery(),)), 0.0) == {}
        again = host.fire(ALERT)
    assert [(len(one.accepted), one.durable, one.refused) for one in (receipt, again)] == [(1, False, ())] * 2
    assert [unsent.alert and unsent.alert.content for unsent in receipt.suppressed] == ["nobody is to hear of it"]
    assert heard(httpserver) == [*receipt.accepted, *again.accepted]
    said = r"outbox\.db failed: no such table: (main\.)?outbox; deliveries are kept in memory until it works"
    assert len(re.findall(said, caplog.text)) == 1  # of the alert's transaction, or of a round's before it


def delivery(name: str = "1") -> hookplugin.Delivery:
    return hookplugin.Delivery(id=name, alert=ALERT, receiver="ops", body="hertzbeat")


def test_a_host_that_is_closed_refuses_what_it_cannot_store(httpserver: HTTPServer, receiver: dict[str, Any]) -> None:
    host = Host(receiver)
    assert host.close() == 0
    receipt = host.fire(ALERT)
    assert receipt.accepted == ()
    assert [unsent.alert for unsent in receipt.refused] == [ALERT]
    assert host.close() == 0
    assert httpserver.log == []


def test_an_outbox_that_cannot_be_opened_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(hookplugin.ConfigError, match="configuration: outbox: cannot open the outbox"):
        Host({"outbox": f"sqlite:///{tmp_path}/none/outbox.db"})
    (tmp_path / "text.db").write_text("this is no database, but quite long enough to be taken for one" * 50)
    with pytest.raises(hookplugin.ConfigError, match="configuration: outbox: "):
        Host({"outbox": f"sqlite:///{tmp_path}/text.db"})


def test_a_file_gives_a_host_with_its_lines(tmp_path: Path, httpserver: HTTPServer, receiver: dict[str, Any]) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(receiver), encoding="utf-8")
    with Host.from_file(path) as host:
        receipt = host.fire(ALERT)
    assert heard(httpserver) == list(receipt.accepted)
    path.write_text("receivers:\n- name: ops\n", encoding="utf-8")
    with pytest.raises(hookplugin.ConfigError, match=r"hookplugin\.yaml:2: receivers\[0\]\.url: is missing"):
        Host.from_file(path)


def test_wait_ends_when_its_time_is_over_and_close_does_not_add_to_it(silent: str) -> None:
    host = Host(config(silent))
    receipt = host.fire_all([ALERT] * 5)
    assert host.wait(receipt, 0.01) == dict.fromkeys(receipt.accepted)
    closing_thread = threading.Thread(target=host.close, args=(0.0,))
    closing_thread.start()
    closing_thread.join(2.5)  # an attempt lasts 5 s, and alert_shutdown of its own would wait for 10 s
    assert not closing_thread.is_alive()


def test_close_says_how_many_deliveries_are_left(silent: str, tmp_path: Path) -> None:
    host = Host(config(silent, outbox=f"sqlite:///{tmp_path}/outbox.db"))
    receipt = host.fire_all([ALERT] * 5)
    assert host.close(0.0) == len(receipt.accepted) == 5


def answering(server: HTTPServer, *statuses: int) -> str:
    """Let a receiver answer with these statuses in turn, then with 200 for ever; return its URL."""
    left = list(statuses)

    def answer(_: Request) -> Response:
        return Response("as it was told", left.pop(0) if left else 200)

    server.expect_request("/in-turn").respond_with_handler(answer)
    return server.url_for("/in-turn")


def eventually(holds: Callable[[], object]) -> None:
    """Wait until this holds."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failed_attempts(outbox: Path) -> int:
    """Count the attempts that failed and are settled."""
    with closing(sqlite3.connect(outbox)) as connection:
        (count,) = connection.execute("select count(*) from attempt").fetchone()
    return int(count)


def test_a_refused_connection_is_tried_again_and_the_alert_arrives_once_the_receiver_is_up(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        host = Host(config(f"http://127.0.0.1:{port}/hook", outbox=f"sqlite:///{tmp_path}/outbox.db"))
        receipt = host.fire(ALERT)
        eventually(lambda: failed_attempts(tmp_path / "outbox.db"))
        assert host.wait(receipt, 0.0) == dict.fromkeys(receipt.accepted)
    with HTTPServer(host="127.0.0.1", port=port) as server, host:
        server.expect_request("/hook").respond_with_data()
        (outcome,) = host.wait(receipt).values()
        assert heard(server) == list(receipt.accepted)
    assert outcome
    assert (outcome.state, outcome.status, outcome.reason) == ("delivered", 200, None)


def test_wait_knows_no_outcome_while_attempts_are_made_again_and_the_last_one_in_the_end(
    httpserver: HTTPServer,
) -> None:
    good, bad = (Alert(content="x", target=target) for target in ("good", "bad"))
    httpserver.expect_request("/good").respond_with_data()
    keys = config(answering(httpserver, 503, 404))
    keys["receivers"].append({"name": "good", "url": httpserver.url_for("/good")})
    keys["strategies"] = [
        {"name": name, "receivers": [receiver], "match": [f'alert.target="{name}"']}
        for name, receiver in (("good", "good"), ("bad", "ops"))
    ]
    with Host(keys) as host:
        receipt = host.fire_all([bad, good])
        retried, delivered = receipt.accepted
        eventually(lambda: len(httpserver.log) == 2)
        early = host.wait(receipt, 0.1)
        assert [outcome and outcome.state for outcome in early.values()] == [None, "delivered"]
        late = host.wait(receipt)
    assert late[delivered] == early[delivered]
    outcome = late[retried]
    assert outcome
    assert (outcome.state, outcome.status, outcome.detail) == ("dead", 404, "as it was told")
    assert sorted(heard(httpserver)) == sorted([retried, retried, delivered])


def test_what_has_to_wait_for_another_attempt_is_left_in_a_file_and_made_after_the_next_start(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    keys = config(answering(httpserver, 503), outbox=f"sqlite:///{tmp_path}/outbox.db")
    host = Host(keys)
    receipt = host.fire(ALERT)
    eventually(lambda: failed_attempts(tmp_path / "outbox.db"))
    assert host.close(30) == 1
    assert len(httpserver.log) == 1
    with Host(keys) as host:
        (outcome,) = host.wait(receipt).values()
    assert outcome
    assert outcome.state == "delivered"
    first, second = [(request.headers["webhook-id"], request.data) for request, _ in httpserver.log]
    assert first == second
    assert [first[0]] == list(receipt.accepted)


def test_memory_is_not_left_while_there_is_time_for_another_attempt(httpserver: HTTPServer) -> None:
    host = Host(config(answering(httpserver, 503, 500)))
    receipt = host.fire(ALERT)
    assert host.close(30) == 0
    assert heard(httpserver) == list(receipt.accepted) * 3


def test_what_became_too_old_while_it_waited_is_dead_and_its_receiver_hears_nothing_of_it(
    httpserver: HTTPServer,
) -> None:
    go = threading.Event()

    def slow(_: Request) -> Response:
        go.wait(10)
        return Response()

    httpserver.expect_request("/hook").respond_with_handler(slow)
    keys = config(httpserver.url_for("/hook"))
    keys["receivers"][0]["retry"] = {"max_age": "1s"}
    with Host(keys) as host:
        first, behind = host.fire_all([ALERT, ALERT]).accepted
        outcomes = host.wait(hookplugin.Receipt(deliveries=(delivery(behind),)))
        go.set()
        outcomes |= host.wait(hookplugin.Receipt(deliveries=(delivery(first),)))
    found = {one: outcome and (outcome.state, outcome.reason, outcome.status) for one, outcome in outcomes.items()}
    assert found == {first: ("delivered", None, 200), behind: ("dead", hookplugin.Reason.expired, None)}
    assert heard(httpserver) == [first]


@pytest.mark.parametrize("outbox", ["sqlite:///:memory:", "sqlite:///outbox.db"])
def test_beyond_max_pending_alerts_are_refused_and_taken_again_once_there_is_room(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outbox: str
) -> None:
    monkeypatch.chdir(tmp_path)
    go = threading.Event()

    def slow(_: Request) -> Response:
        go.wait(10)
        return Response()

    httpserver.expect_request("/hook").respond_with_handler(slow)
    alerts = [Alert(content=str(number)) for number in range(4)]
    with Host(config(httpserver.url_for("/hook"), outbox=outbox, max_pending=2)) as host:
        first = host.fire_all(alerts[:3])
        second = host.fire(alerts[3])
        go.set()
        host.wait(first)
        third = host.fire(alerts[3])
        (outcome,) = host.wait(third).values()
    where = tmp_path / "outbox.db" if outbox.endswith("outbox.db") else "in memory"
    reason = f"the outbox {where} is full: 2 deliveries wait, and max_pending is 2"
    assert [one.alert for one in first.deliveries] == alerts[:2]
    assert [(one.alert, one.receiver, one.reason) for one in first.refused] == [(alerts[2], None, reason)]
    assert [(one.alert, one.receiver, one.reason) for one in second.refused] == [(alerts[3], None, reason)]
    assert (first.suppressed, second.suppressed, second.accepted) == ((), (), ())
    assert (len(third.accepted), third.refused) == (1, ())
    assert outcome
    assert outcome.state == "delivered"
    assert sorted(heard(httpserver)) == sorted(first.accepted + third.accepted)


def test_what_was_accepted_is_durable_though_something_else_was_refused(silent: str, tmp_path: Path) -> None:
    host = Host(config(silent, outbox=f"sqlite:///{tmp_path}/outbox.db", max_pending=1))
    receipt = host.fire_all([ALERT, ALERT])
    host.close(0)
    assert (len(receipt.accepted), len(receipt.refused), receipt.durable) == (1, 1, True)


def commits(outbox: Path) -> int:
    """Count the transactions in SQLite's log: the last frame of each holds the size of the file then (fileformat2)."""
    with closing(sqlite3.connect(outbox)) as connection:
        (page,) = connection.execute("pragma page_size").fetchone()
        log = outbox.with_name(f"{outbox.name}-wal").read_bytes()
    frames = range(32, len(log), 24 + page)
    return sum(log[at + 4 : at + 8] != b"\0\0\0\0" for at in frames if log[at + 8 : at + 16] == log[16:24])


@pytest.mark.parametrize(
    "accept",
    [
        lambda host: host.fire_all([Alert(content=str(number)) for number in range(150)]),
        lambda host: host.receive("json", json.dumps([{"content": str(number)} for number in range(150)])),
    ],
    ids=["fire_all", "receive"],
)
def test_alerts_that_are_fired_together_are_stored_in_one_transaction(
    receiver: dict[str, Any], tmp_path: Path, accept: Callable[[Host], hookplugin.Receipt]
) -> None:
    outbox = tmp_path / "outbox.db"
    with Host({**receiver, "outbox": f"sqlite:///{outbox}"}, dispatch=False) as host:
        before = commits(outbox)
        receipt = accept(host)
        assert commits(outbox) - before == 1
        assert (len(receipt.accepted), receipt.durable) == (150, True)


def test_under_a_pluggy_manager_each_alert_is_stored_when_its_call_returns(
    receiver: dict[str, Any], tmp_path: Path
) -> None:
    outbox = tmp_path / "outbox.db"
    own = manager()
    context = hookplugin.prepare(own, {**receiver, "outbox": f"sqlite:///{outbox}", "dispatch": False})
    counts = [commits(outbox)]
    for _ in range(3):
        own.hook.alert_fired(alert=ALERT, context=context)
        counts.append(commits(outbox))
    own.hook.alert_shutdown(context=context)
    assert [count - counts[0] for count in counts] == [0, 1, 2, 3]


@pytest.mark.parametrize(("configured", "argument"), [(False, None), (True, False)])
def test_a_host_that_does_not_dispatch_leaves_its_deliveries_to_one_that_does(
    httpserver: HTTPServer, receiver: dict[str, Any], tmp_path: Path, *, configured: bool, argument: bool | None
) -> None:
    keys = {**receiver, "outbox": f"sqlite:///{tmp_path}/outbox.db", "dispatch": configured}
    with Host(keys, dispatch=argument) as host:
        receipt = host.fire(ALERT)
        assert (receipt.durable, host.wait(receipt, 0.3)) == (True, dict.fromkeys(receipt.accepted))
        assert httpserver.log == []
        host.reload()  # it stays as it was told
        assert host.wait(receipt, 0.3) == dict.fromkeys(receipt.accepted)
        with Host(keys, dispatch=True) as other:
            (outcome,) = host.wait(receipt).values()
            assert other.wait(receipt) == {receipt.accepted[0]: outcome}
        assert host.close() == 0
    assert outcome
    assert outcome.state == "delivered"
    assert heard(httpserver) == list(receipt.accepted)


def test_a_host_that_is_told_not_to_dispatch_needs_an_outbox_file(tmp_path: Path) -> None:
    message = "dispatch: needs an outbox file: nobody else could deliver what waits in memory"
    file = tmp_path / "hookplugin.yaml"
    file.write_text("timezone: UTC\ndispatch: true\n", encoding="utf-8")
    with pytest.raises(hookplugin.ConfigError, match=f"^{file}:2: {message}$"):
        Host(file, dispatch=False)
    with pytest.raises(hookplugin.ConfigError, match=f"^configuration: {message}$"):
        Host({}, dispatch=False)


def test_a_receiver_that_says_no_is_an_outcome_and_no_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("gone for good", status=404)
    with Host(config(httpserver.url_for("/hook"))) as host:
        (outcome,) = host.wait(host.fire(ALERT)).values()
    assert outcome
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", "client_error", 404)
    assert len(httpserver.log) == 1


@pytest.mark.parametrize("form", [lambda body: body, bytes.decode, json.loads], ids=["bytes", "text", "parsed"])
def test_a_foreign_payload_is_read_in_any_form(
    httpserver: HTTPServer,
    receiver: dict[str, Any],
    payload: Callable[[str], bytes],
    form: Callable[[bytes], object],
) -> None:
    with Host(receiver, strict=True) as host:
        receipt = host.receive("alertmanager", form(payload("alertmanager_v4_firing_and_resolved")))
    assert sorted(heard(httpserver)) == sorted(receipt.accepted)
    assert {json.loads(request.data)["content"] for request, _ in httpserver.log} == {"Disk 95% full", "Disk 96% full"}


def test_a_hostile_time_zone_does_not_stop_the_deliveries_that_follow(receiver: dict[str, Any]) -> None:
    body = {"content": "x", "gmtCreate": "2022-01-01T00:00:00+23:59:59.999"}
    with Host(receiver) as host:
        first = host.receive("hertzbeat", body)
        second = host.fire(ALERT)
        outcomes = {**host.wait(first), **host.wait(second)}
    assert [outcome and outcome.state for outcome in outcomes.values()] == ["delivered"] * 2


@pytest.mark.parametrize(
    ("payload", "mistake"),
    [
        (b"", "the payload is empty"),
        ("  \n", "the payload is empty"),
        (b"{", "the payload is not JSON: line 1, column 2: "),
        ('{\n "a": nope}', "the payload is not JSON: line 2, column 7: "),
        (b"\xff\xfe\xfa", "the payload is not JSON: "),
        ("9" * 5000, "the payload is not JSON: it is not UTF-8, or holds a number without end"),
        ("[" * 100_000, "the payload is nested too deeply"),
        (None, "the source 'json' cannot read the payload: the payload should be an object"),
        (bytearray(b"{}"), "the source 'json' cannot read the payload: content: is missing"),
    ],
)
def test_a_payload_that_cannot_be_read_is_an_error_with_the_reason(payload: object, mistake: str) -> None:
    with Host({}) as host, pytest.raises(PayloadError) as caught:
        host.receive("json", payload)
    assert str(caught.value).startswith(mistake)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("alertmanger", "did you mean 'alertmanager'?"),
        ("xyz", f"there is {', '.join(SOURCES)}"),
        ("", f"there is {', '.join(SOURCES)}"),
    ],
)
def test_an_unknown_source_is_an_error_with_the_nearest_name(source: str, hint: str) -> None:
    with Host({}) as host, pytest.raises(UnknownSourceError) as caught:
        host.receive(source, {})
    assert str(caught.value) == f"unknown source {source!r}; {hint}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("payload['none']", "KeyError: 'none'"),
        ("exit(3)", "SystemExit: 3"),
        ("None", "TypeError: 'NoneType' object is not iterable"),
        ("[{'content': 'x'}]", "TypeError: it returned dict where an Alert should be"),
        ("'junk'", "TypeError: it returned str where an Alert should be"),
        ("(Alert(content=str(1 / n)) for n in (1, 0))", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_source_that_crashes_or_returns_junk_is_refused_and_not_raised(
    install: Install, answer: str, reason: str
) -> None:
    install(
        "mine",
        f"{HEAD}def read(payload, context):\n    return {answer}\n"
        "@hookimpl\ndef alert_register(registry):\n    registry.source('mine', read)\n",
    )
    with Host({}) as host:
        receipt = host.receive("mine", {})
        assert [(unsent.alert, unsent.reason) for unsent in receipt.refused] == [
            (None, f"the source 'mine' failed: {reason}")
        ]
        assert receipt.accepted == ()
    with (
        Host({}, strict=True) as host,
        pytest.raises(BaseExceptionGroup, match="plugins failed in the source") as caught,
    ):
        host.receive("mine", {})
    (error,) = caught.value.exceptions
    assert describe(error) == reason


def test_a_plugins_source_may_refuse_a_payload(install: Install) -> None:
    install(
        "mine",
        f"{HEAD}def read(payload, context):\n    raise ValueError('no such version')\n"
        "@hookimpl\ndef alert_register(registry):\n    registry.source('mine', read)\n",
    )
    with Host({}) as host, pytest.raises(PayloadError, match="the source 'mine' cannot read the payload: no such ver"):
        host.receive("mine", "{}")


def test_of_what_a_plugins_source_reads_a_part_may_be_wrong(
    install: Install, httpserver: HTTPServer, receiver: dict[str, Any]
) -> None:
    install(
        "mine",
        f"{HEAD}def read(payload, context):\n"
        "    for item in payload:\n"
        "        yield Alert(content=item) if isinstance(item, str) else ValueError(f'{item} is no text')\n"
        "@hookimpl\ndef alert_register(registry):\n    registry.source('mine', read)\n",
    )
    with Host(receiver) as host:
        receipt = host.receive("mine", ["one", 2, "three"])
        host.wait(receipt)
    assert [delivery.alert.content for delivery in receipt.deliveries] == ["one", "three"]
    assert [(unsent.alert, unsent.reason) for unsent in receipt.refused] == [
        (None, "the source 'mine' cannot read the payload: 2 is no text")
    ]
    assert sorted(heard(httpserver)) == sorted(receipt.accepted)  # of two alerts, either may be first


@pytest.mark.parametrize(("options", "told"), [("", 2), (", resends=True", 1)])
def test_a_plugins_source_may_say_that_it_sends_again(
    install: Install, httpserver: HTTPServer, receiver: dict[str, Any], options: str, told: int
) -> None:
    install(
        "mine",
        f"{HEAD}def read(payload, context):\n    return [Alert(content=payload)]\n"
        f"@hookimpl\ndef alert_register(registry):\n    registry.source('mine', read{options})\n",
    )
    with Host(receiver) as host:
        for _ in range(2):
            host.wait(host.receive("mine", '"full"'))
        gets = [one.body for one in host.explain(Alert(content="full", source="mine")).receivers]
    assert len(heard(httpserver)) == told
    assert (gets == [None]) == (told == 1)


class Recorder:
    """Keep what a plugin hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    @hookimpl
    def alert_fired(self, alert: Alert) -> None:
        self.heard.append(("fired", alert))

    @hookimpl
    def alert_delivered(self, delivery: hookplugin.Delivery, outcome: hookplugin.Outcome) -> None:
        self.heard.append(("delivered", delivery.id, delivery.attempts, outcome.state))

    @hookimpl
    def alert_shutdown(self) -> None:
        self.heard.append(("shut down",))


def manager(**plugins: object) -> pluggy.PluginManager:
    """Return a host's own manager with the installed plugins, and these."""
    own = pluggy.PluginManager("hookplugin")
    own.add_hookspecs(hookspecs)
    own.load_setuptools_entrypoints("hookplugin")
    for name, plugin in plugins.items():
        own.register(plugin, name=name)
    return own


@pytest.mark.parametrize("from_file", [True, False])
def test_a_host_with_its_own_manager_prepares_its_plugins(
    httpserver: HTTPServer, receiver: dict[str, Any], tmp_path: Path, *, from_file: bool
) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(receiver), encoding="utf-8")
    recorder = Recorder()
    own = manager(recorder=recorder)
    context = hookplugin.prepare(own, str(path) if from_file else receiver)
    assert isinstance(context, Context)
    (deliveries,) = own.hook.alert_fired(alert=ALERT, context=context)
    own.hook.alert_shutdown(context=context)
    ids = [one.id for one in deliveries]
    assert heard(httpserver) == ids
    assert sorted(recorder.heard, key=str) == [("delivered", ids[0], 1, "delivered"), ("fired", ALERT), ("shut down",)]


def test_prepare_takes_off_what_is_disabled_or_fails(
    httpserver: HTTPServer, receiver: dict[str, Any], install: Install
) -> None:
    install("noisy", HEAD + "@hookimpl\ndef alert_fired():\n    1 / 0\n")
    install("half", HEAD + "@hookimpl\ndef alert_configure():\n    1 / 0\n@hookimpl\ndef alert_fired():\n    1 / 0\n")
    own = manager()
    context = hookplugin.prepare(own, {**receiver, "plugins": {"disabled": ["noisy"]}})
    assert {name for name, _ in own.list_name_plugin()} == {"webhook"}
    (deliveries,) = own.hook.alert_fired(alert=ALERT, context=context)
    own.hook.alert_shutdown(context=context)
    assert heard(httpserver) == [one.id for one in deliveries]


class Wrapper:
    """Be what could stop the other plugins."""

    @hookimpl(wrapper=True)
    def alert_fired(self) -> Generator[None, object, object]:
        return (yield)


def test_prepare_takes_off_what_a_host_would_refuse(receiver: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    own = manager(wrapper=Wrapper())
    context = hookplugin.prepare(own, receiver)
    assert not own.has_plugin("wrapper")
    assert "the plugin 'wrapper' is off: alert_fired is a wrapper" in caplog.text
    own.hook.alert_shutdown(context=context)


def test_prepare_checks_the_configuration_and_hands_out_no_secret(receiver: dict[str, Any]) -> None:
    with pytest.raises(hookplugin.ConfigError, match="unknown plugin 'recoder'; did you mean 'recorder'"):
        hookplugin.prepare(manager(recorder=Recorder()), {"plugins": {"disabled": ["recoder"]}})
    own = manager()
    context = hookplugin.prepare(own, receiver)
    assert context.settings == {}
    own.hook.alert_shutdown(context=context)


def test_a_manager_without_the_webhook_can_be_prepared_too() -> None:
    own = pluggy.PluginManager("hookplugin")
    own.add_hookspecs(hookspecs)
    recorder = Recorder()
    own.register(recorder)
    context = hookplugin.prepare(own, {})
    assert own.hook.alert_fired(alert=ALERT, context=context) == []
    own.hook.alert_shutdown(context=context)
    assert recorder.heard == [("fired", ALERT), ("shut down",)]


@pytest.mark.parametrize(("status", "state"), [(204, "delivered"), (404, "dead")])
def test_plugins_hear_of_every_final_outcome_before_they_are_shut_down(
    install: Install, httpserver: HTTPServer, status: int, state: str
) -> None:
    httpserver.expect_request("/hook").respond_with_data(status=status)
    install(
        "listener",
        HEAD
        + """
heard = []
@hookimpl
def alert_delivered(delivery, outcome, context):
    heard.append((delivery.id, outcome.state, outcome.status, context.settings["mine"]))
@hookimpl
def alert_shutdown():
    heard.append("shut down")
""",
    )
    settings = {"settings": {"listener": {"mine": 1}}}
    with Host(config(httpserver.url_for("/hook"), plugins=settings)) as host:
        receipt = host.fire_all([ALERT, ALERT])
    import hookplugin_listener  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    *outcomes, last = hookplugin_listener.heard
    assert sorted(outcomes) == sorted((one, state, status, 1) for one in receipt.accepted)
    assert last == "shut down"


SLOW = (
    HEAD
    + """
import threading
begun, go, heard = threading.Event(), threading.Event(), []
@hookimpl
def alert_delivered(delivery, outcome):
    begun.set()
    go.wait(30)
    heard.append((delivery.id, outcome.state))
"""
)


def test_a_plugin_that_is_slow_to_hear_of_outcomes_misses_none_and_keeps_no_delivery_waiting(
    install: Install, httpserver: HTTPServer
) -> None:
    install("slow", SLOW)
    httpserver.expect_request("/good").respond_with_data()
    httpserver.expect_request("/bad").respond_with_data(status=404)
    keys = config(httpserver.url_for("/good"))
    keys["receivers"].append({"name": "bad", "url": httpserver.url_for("/bad")})
    keys["strategies"][0]["receivers"] = ["ops", "bad"]
    with Host(keys) as host:
        import hookplugin_slow  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

        first = host.fire(ALERT)
        assert hookplugin_slow.begun.wait(10)
        others = host.fire_all(Alert(content=str(number)) for number in range(20))
        outcomes = host.wait(first) | host.wait(others)
        assert hookplugin_slow.heard == []
        hookplugin_slow.go.set()
    states = {one.id: "delivered" if one.receiver == "ops" else "dead" for one in first.deliveries + others.deliveries}
    assert {one: outcome and outcome.state for one, outcome in outcomes.items()} == states
    assert sorted(hookplugin_slow.heard) == sorted(states.items())


def test_a_fallback_hears_of_what_was_given_up_under_another_id_and_plugins_hear_of_both(
    httpserver: HTTPServer,
) -> None:
    class Listener:
        heard: Final[list[hookplugin.Delivery]] = []
        states: Final[list[str]] = []

        @hookimpl
        def alert_delivered(self, delivery: hookplugin.Delivery, outcome: hookplugin.Outcome) -> None:
            self.heard.append(delivery)
            self.states.append(outcome.state)

    httpserver.expect_request("/ops").respond_with_data(status=404)
    httpserver.expect_request("/pager").respond_with_data()
    keys = config(httpserver.url_for("/ops"))
    keys["receivers"][0]["fallback"] = "pager"
    keys["receivers"].append({"name": "pager", "url": httpserver.url_for("/pager")})
    own, listener = manager(listener=Listener()), Listener
    context = hookplugin.prepare(own, keys)
    ((accepted,),) = own.hook.alert_fired(alert=ALERT, context=context)
    own.hook.alert_shutdown(context=context)
    given_up, instead = listener.heard
    assert listener.states == ["dead", "delivered"]
    assert (given_up.id, given_up.receiver, given_up.via) == (accepted.id, "ops", ())
    assert (instead.receiver, instead.via, instead.alert, instead.strategies) == ("pager", ("ops",), ALERT, ("all",))
    assert heard(httpserver) == [given_up.id, instead.id]
    assert given_up.id != instead.id


def test_outcomes_are_announced_only_where_a_plugin_listens(receiver: dict[str, Any], install: Install) -> None:
    with Host(receiver) as host:
        assert host.context.announce is None
    install("listener", HEAD + "@hookimpl\ndef alert_delivered(outcome):\n    pass\n")
    with Host(receiver) as host:
        assert host.context.announce


def test_two_hosts_in_one_process_do_not_mix(httpserver: HTTPServer, install: Install) -> None:
    install("shared", HEAD + "@hookimpl\ndef alert_fired(context):\n    context.state.setdefault('n', []).append(1)\n")
    for path in ("/one", "/two"):
        httpserver.expect_request(path).respond_with_data()
    with Host(config(httpserver.url_for("/one"))) as one, Host(config(httpserver.url_for("/two"))) as two:
        first = one.fire_all([ALERT] * 2)
        second = two.fire_all([ALERT] * 3)
        assert one.wait(second, 0.0) == {}
        two.close()
        third = one.fire(ALERT)
        assert (len(one.context.state["n"]), len(two.context.state["n"])) == (3, 3)
    by_path: dict[str, set[str]] = {"/one": set(), "/two": set()}
    for request, _ in httpserver.log:
        by_path[request.path].add(request.headers["webhook-id"])
    assert by_path == {"/one": {*first.accepted, *third.accepted}, "/two": set(second.accepted)}


@pytest.mark.parametrize("durable", [True, False])
def test_many_threads_may_fire_at_once(
    httpserver: HTTPServer, receiver: dict[str, Any], tmp_path: Path, *, durable: bool
) -> None:
    if durable:
        receiver["outbox"] = f"sqlite:///{tmp_path}/outbox.db"
    with Host(receiver) as host, ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(lambda number: host.fire(Alert(content=str(number))), range(100)))
    accepted = [one for receipt in receipts for one in receipt.accepted]
    assert len(set(accepted)) == 100
    assert sorted(heard(httpserver)) == sorted(accepted)


def test_a_host_that_is_dropped_without_close_still_delivers(
    httpserver: HTTPServer, receiver: dict[str, Any], tmp_path: Path
) -> None:
    host = Host({**receiver, "outbox": f"sqlite:///{tmp_path}/outbox.db"})
    receipt = host.fire_all([ALERT] * 3)
    del host
    gc.collect()
    assert sorted(heard(httpserver)) == sorted(receipt.accepted)


FIRE = """
import json, os, sys
from hookplugin import Alert, Host
host = Host(json.loads(sys.argv[1]))
print(*host.fire_all([Alert(content=str(number)) for number in range(6)]).accepted, flush=True)
{end}
"""


def run(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_process_that_ends_without_close_still_delivers(httpserver: HTTPServer, receiver: dict[str, Any]) -> None:
    accepted = run(FIRE.replace("{end}", ""), json.dumps(receiver))
    assert len(accepted) == 6
    assert sorted(heard(httpserver)) == sorted(accepted)


def test_what_a_process_left_in_a_file_is_sent_after_the_next_start(
    httpserver: HTTPServer, receiver: dict[str, Any], silent: str, tmp_path: Path
) -> None:
    outbox = f"sqlite:///{tmp_path}/outbox.db"
    accepted = run(FIRE.replace("{end}", "os._exit(0)"), json.dumps(config(silent, outbox=outbox)))
    assert len(accepted) == 6
    with Host({**receiver, "outbox": outbox}):
        pass
    assert sorted(heard(httpserver)) == sorted(accepted)


def test_no_thread_starts_before_the_first_alert_even_if_deliveries_wait(
    receiver: dict[str, Any], silent: str, tmp_path: Path
) -> None:
    outbox = f"sqlite:///{tmp_path}/outbox.db"
    run(FIRE.replace("{end}", "os._exit(0)"), json.dumps(config(silent, outbox=outbox)))
    before = set(threading.enumerate())
    host = Host({**receiver, "outbox": outbox})
    assert set(threading.enumerate()) == before
    host.close(0)


def test_wait_does_not_wait_for_deliveries_that_another_plugin_makes_itself(
    install: Install, receiver: dict[str, Any]
) -> None:
    install(
        "own",
        f"{HEAD}@hookimpl\ndef alert_fired(alert):\n"
        "    return [Delivery(id='its own', alert=alert, receiver='r', body='b')]\n",
    )
    with Host(receiver) as host:
        receipt = host.fire(ALERT)
        outcomes = host.wait(receipt, 3600)
    assert set(receipt.accepted) - outcomes.keys() == {"its own"}
    assert [outcome and outcome.state for outcome in outcomes.values()] == ["delivered"]


def test_a_storage_that_fails_costs_only_what_was_to_be_stored(install: Install, receiver: dict[str, Any]) -> None:
    install(
        "own",
        f"{HEAD}@hookimpl\ndef alert_fired(alert):\n"
        "    return [Delivery(id='its own', alert=alert, receiver='r', body='b')]\n",
    )
    host = Host(receiver)
    host.close()
    receipt = host.fire(ALERT)
    assert receipt.accepted == ("its own",)
    assert [unsent.reason for unsent in receipt.refused] == ["the outbox in memory is closed"]


def test_a_delivery_that_is_dead_is_logged_with_its_reason(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    httpserver.expect_request("/hook").respond_with_data("no such hook", 404)
    with Host(config(httpserver.url_for("/hook"))) as host:
        (dead,) = host.fire(ALERT).accepted
    assert f"delivery {dead} to 'ops': dead, client_error, 404: no such hook" in caplog.text


def test_an_interrupt_passes_and_the_host_can_be_closed(
    install: Install, httpserver: HTTPServer, receiver: dict[str, Any]
) -> None:
    install(
        "slow",
        f"{HEAD}@hookimpl\ndef alert_fired(alert):\n    if alert.content == 'slow':\n        raise KeyboardInterrupt\n",
    )
    with Host(receiver) as host:
        with pytest.raises(KeyboardInterrupt):
            host.fire(Alert(content="slow"))
        receipt = host.fire(ALERT)
    assert heard(httpserver) == list(receipt.accepted)


def test_an_error_in_the_hosts_own_alerts_passes_and_nothing_is_stored(
    httpserver: HTTPServer, receiver: dict[str, Any]
) -> None:
    def alerts() -> Iterator[Alert]:
        yield ALERT
        raise LookupError

    with Host(receiver) as host:
        with pytest.raises(LookupError):
            host.fire_all(alerts())
        receipt = host.fire(ALERT)
    assert heard(httpserver) == list(receipt.accepted)


def test_a_configuration_that_is_refused_late_leaves_no_outbox_open(install: Install, tmp_path: Path) -> None:
    install("zzz", HEAD + "@hookimpl\ndef alert_configure(context):\n    assert context.settings, 'no settings'\n")
    refused = {"outbox": f"sqlite:///{tmp_path}/outbox.db", "plugins": {"required": ["zzz"]}}
    with pytest.raises(hookplugin.ConfigError, match="the plugin 'zzz' is off: alert_configure failed") as caught:
        Host(refused)
    assert caught.value.__traceback__  # what it refers to is not collected yet
    assert (tmp_path / "outbox.db").exists()
    assert not (tmp_path / "outbox.db-wal").exists()  # SQLite removes it with the last connection


@pytest.mark.parametrize("thing", ["text", None, {"content": "x"}])
def test_only_alerts_can_be_fired_or_explained(receiver: dict[str, Any], thing: Any) -> None:
    with Host(receiver) as host:
        with pytest.raises(TypeError, match="an Alert is fired, not"):
            host.fire(thing)
        with pytest.raises(TypeError, match="an Alert is fired, not tuple"):
            host.fire_all(ALERT)  # type: ignore[arg-type]  # one alert where a list of them belongs
        with pytest.raises(TypeError, match="an Alert is fired, not"):
            host.explain(thing)


class Starter:
    """Implement a hook that only this host has, beside one of ours."""

    @hookimpl
    def myhost_startup(self) -> str:
        return "started"

    @hookimpl
    def alert_fired(self) -> None:
        """Take no alert."""


class MyHost:
    """Specify the host's own hook."""

    @hookspecs.hookspec
    def myhost_startup(self) -> str:  # type: ignore[empty-body]  # a specification
        """Start."""


def test_prepare_leaves_the_hooks_of_the_host_alone(receiver: dict[str, Any]) -> None:
    own = manager()
    own.add_hookspecs(MyHost)
    own.register(Starter(), name="starter")
    context = hookplugin.prepare(own, receiver)
    assert own.hook.myhost_startup() == ["started"]
    own.hook.alert_shutdown(context=context)

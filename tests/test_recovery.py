"""Recoveries follow their firings, and what is sent again is told once: through real hosts, files and processes."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any, TypeAlias

import pluggy
import pytest
from pytest_httpserver import HTTPServer

import hookplugin
import hookspecs
from hookplugin import Alert, Host, Receipt
from hookplugin.strategy.notify import Notified

Config: TypeAlias = dict[str, Any]

FIRING = Alert(content="disk full", target="disk", priority="critical", tags={"env": "prod"})
RECOVERED = Alert(content="disk full", target="disk", priority="warning", status="recovered", tags={"env": "prod"})
OVER = {"status": "resolved"}
ANEW = {"status": "firing", "startsAt": "2026-01-02T05:00:00Z"}
AGAIN = "it heard of this NOW, and no strategy repeats it"


@pytest.fixture
def config(httpserver: HTTPServer, tmp_path: Path) -> Config:
    """Return a configuration whose only strategy asks for critical alerts of production, with an outbox file."""
    for path in ("/ops", "/pager"):
        httpserver.expect_request(path).respond_with_data()
    return {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": name, "url": httpserver.url_for(f"/{name}")} for name in ("ops", "pager")],
        "strategies": [strategy()],
    }


def strategy(**keys: object) -> Config:
    return {"name": "production", "receivers": ["ops"], "priorities": ["critical"], "tags": {"env": "prod"}, **keys}


def changed(alert: Alert, **fields: object) -> Alert:
    return Alert.model_validate({**alert.given(), **fields})


def closed() -> Config:
    """Return a schedule that is closed for the next hours."""
    hour = (datetime.now(UTC).hour + 6) % 24
    return {"period": f"{hour:02}:00-{hour:02}:30", "timezone": "UTC"}


def heard(server: HTTPServer) -> list[tuple[str, str]]:
    """Return who heard of which status, in order."""
    return [(request.path[1:], hookspecs.Status(json.loads(request.data)["status"]).name) for request, _ in server.log]


def delivered(host: Host, alert: Alert) -> Receipt:
    """Fire an alert and wait until all who are to hear of it have."""
    receipt = host.fire(alert)
    assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())
    return receipt


def held(receipt: Receipt) -> list[tuple[str | None, str]]:
    """Return who does not hear of it and why; a time of the last minute is NOW, another how long ago that was."""
    return [(unsent.receiver, TIME.sub(_ago, unsent.reason)) for unsent in receipt.suppressed]


TIME = re.compile(r"at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


def _ago(found: re.Match[str]) -> str:
    minutes = (datetime.now(UTC) - datetime.fromisoformat(f"{found[1]}Z")).total_seconds() // 60
    return f"{minutes:g} minutes ago" if minutes else "NOW"


RUN = """
import json, os, signal, sys
from hookplugin import Alert, Host
host = Host(json.loads(sys.argv[1]))
alert = sys.argv[2]
receipt = host.receive("alertmanager", alert) if '"alerts"' in alert else host.fire(Alert.model_validate_json(alert))
if sys.argv[3] != "now":
    host.wait(receipt)
print(len(receipt.accepted), *[unsent.reason for unsent in receipt.suppressed], sep="\\n", flush=True)
if sys.argv[3] != "close":
    os.kill(os.getpid(), signal.SIGKILL)
host.close()
"""


def fire_elsewhere(config: Config, alert: Alert | bytes, end: str) -> list[str]:
    """Fire in a process that closes its host, or is killed: when all is delivered, or as soon as it is accepted."""
    text = alert.decode() if isinstance(alert, bytes) else alert.model_dump_json(exclude_unset=True)
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(config), text, end],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if end == "close" else -signal.SIGKILL), done.stderr
    return done.stdout.splitlines()


@contextmanager
def reloaded(config: Config, then: Config) -> Iterator[Host]:
    with Host(config) as host:
        delivered(host, FIRING)
        host.reload(then)
        yield host


@contextmanager
def restarted(config: Config, then: Config) -> Iterator[Host]:
    with Host(config) as host:
        delivered(host, FIRING)
    with Host(then) as host:
        yield host


@contextmanager
def in_a_host_beside(config: Config, then: Config) -> Iterator[Host]:
    with Host(then) as host, Host(config) as other:
        delivered(other, FIRING)
        yield host


@contextmanager
def in_another_process_beside(config: Config, then: Config) -> Iterator[Host]:
    with Host(then) as host:
        assert fire_elsewhere(config, FIRING, "close") == ["1"]
        yield host


@contextmanager
def after_kill(config: Config, then: Config) -> Iterator[Host]:
    assert fire_elsewhere(config, FIRING, "delivered") == ["1"]
    with Host(then) as host:
        yield host


CHANGES: dict[str, Callable[[], Config]] = {
    "another priority": dict,
    "a closed schedule": closed,
    "another name": lambda: {"name": "renamed"},
    "other tags": lambda: {"tags": {"env": "dev"}},
    "all of it": lambda: {"name": "renamed", "receivers": ["pager"], **closed()},
}
changes = pytest.mark.parametrize("change", CHANGES)


@pytest.mark.parametrize("through", [reloaded, restarted, in_a_host_beside])
@changes
def test_a_recovery_follows_its_firing_whatever_has_changed_since(
    httpserver: HTTPServer, config: Config, change: str, through: Callable[[Config, Config], Any]
) -> None:
    then = config | {"strategies": [strategy(**CHANGES[change]())]}
    with through(config, then) as host:
        receipt = delivered(host, RECOVERED)
        again = delivered(host, RECOVERED)
    assert [(one.receiver, one.strategies) for one in receipt.deliveries] == [("ops", ("production",))]
    assert (receipt.suppressed, receipt.refused) == ((), ())
    assert [one.receiver for one in again.deliveries] == ["ops"]  # what a host fires itself is told each time
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered"), ("ops", "recovered")]


@pytest.mark.parametrize("through", [in_another_process_beside, after_kill])
def test_a_recovery_follows_a_firing_of_another_process(
    httpserver: HTTPServer, config: Config, through: Callable[[Config, Config], Any]
) -> None:
    then = config | {"strategies": [strategy(**CHANGES["all of it"]())]}
    with through(config, then) as host:
        receipt = delivered(host, RECOVERED)
    assert [one.receiver for one in receipt.deliveries] == ["ops"]
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered")]


def test_a_process_that_is_killed_as_soon_as_it_has_accepted_loses_neither_the_firing_nor_what_is_known_of_it(
    httpserver: HTTPServer, config: Config
) -> None:
    assert fire_elsewhere(config, FIRING, "now") == ["1"]
    with Host(config) as host:
        assert [one.receiver for one in host.fire(RECOVERED).deliveries] == ["ops"]
    assert set(heard(httpserver)) == {("ops", "firing"), ("ops", "recovered")}


def test_a_recovery_follows_its_firing_though_both_were_copied_from_other_alerts(config: Config) -> None:
    firing, recovered = (alert.model_copy(update={"source": "nagios"}) for alert in (FIRING, RECOVERED))
    fingerprint = firing.fingerprint
    with Host(config) as host:
        assert [one.receiver for one in host.fire(firing).deliveries] == ["ops"]
        assert [one.receiver for one in host.fire(recovered).deliveries] == ["ops"]
    assert firing.fingerprint == fingerprint  # it is frozen


def test_a_recovery_of_hertzbeat_follows_though_it_is_a_warning(httpserver: HTTPServer, config: Config) -> None:
    body = {"content": "down", "target": "available", "tags": {"env": "prod"}, "firstTriggerTime": 1000}
    with Host(config) as host:
        host.wait(host.receive("hertzbeat", {**body, "priority": 1, "status": 0, "id": 1}))
        host.wait(host.receive("hertzbeat", {**body, "priority": 2, "status": 2, "id": 2, "content": "up"}))
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered")]


@pytest.mark.parametrize(
    ("first", "then", "reason"),
    [
        ({"priorities": ["emergency"]}, {"priorities": []}, "its firing was filtered out"),
        ({"tags": {"env": "dev"}}, {"tags": {}, "priorities": []}, "its firing was filtered out"),
        ({"enabled": False}, {"match_all": True, "tags": {}, "priorities": []}, "its firing was filtered out"),
        ({"statuses": ["firing"]}, {}, "the strategies that its firing passed ask for no recoveries"),
    ],
)
def test_a_firing_that_was_filtered_out_filters_its_recovery(
    httpserver: HTTPServer, config: Config, first: Config, then: Config, reason: str
) -> None:
    with Host(config | {"strategies": [strategy(**first)]}) as host:
        delivered(host, FIRING)
        host.reload(config | {"strategies": [strategy(**then)]})
        receipt = host.fire(RECOVERED)
        assert receipt.deliveries == ()
        assert held(receipt) == [(None, reason)]
        delivered(host, FIRING)  # it fires anew, and what was is over
        assert len(delivered(host, RECOVERED).deliveries) == 1
    assert heard(httpserver)[-2:] == [("ops", "firing"), ("ops", "recovered")]


def test_what_was_told_of_an_earlier_firing_does_not_let_the_recovery_of_another_pass(config: Config) -> None:
    filtered_out = changed(FIRING, priority="warning")
    with Host(config) as host:
        receipt = host.fire_all([FIRING, RECOVERED, filtered_out, RECOVERED, FIRING, RECOVERED])
    assert [one.alert.status.name for one in receipt.deliveries] == ["firing", "recovered"] * 2
    assert held(receipt) == [(None, "no strategy matched"), (None, "its firing was filtered out")]


def test_a_recovery_goes_to_those_who_heard_of_the_firing_and_to_nobody_else(
    httpserver: HTTPServer, config: Config
) -> None:
    to_both = strategy(receivers=["pager", "ops"], priorities=[])
    with Host(config) as host:
        delivered(host, FIRING)
        host.reload(config | {"strategies": [to_both]})
        delivered(host, RECOVERED)
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered")]


@pytest.mark.parametrize(("priorities", "expected"), [(["critical"], []), (["warning"], [("ops", "recovered")])])
def test_a_recovery_without_a_known_firing_is_matched_alone(
    httpserver: HTTPServer, config: Config, priorities: list[str], expected: list[tuple[str, str]]
) -> None:
    with Host(config | {"strategies": [strategy(priorities=priorities)]}) as host:
        receipt = delivered(host, RECOVERED)
    assert held(receipt) == ([] if expected else [(None, "no strategy matched")])
    assert heard(httpserver) == expected


def test_who_alone_does_not_hear_of_an_alert_stands_in_the_receipt(config: Config) -> None:
    both = config | {"strategies": [strategy(receivers=["ops", "pager"])]}
    firing = changed(FIRING, source="alertmanager")
    with Host(config) as host:
        delivered(host, firing)
        host.reload(both)
        receipt = host.fire(firing)
        assert [one.receiver for one in receipt.deliveries] == ["pager"]
        assert held(receipt) == [("ops", AGAIN)]
        host.reload(both | {"receivers": config["receivers"][1:], "strategies": [strategy(receivers=["pager"])]})
        receipt = host.fire(changed(RECOVERED, source="alertmanager"))
    assert [one.receiver for one in receipt.deliveries] == ["pager"]
    assert held(receipt) == [("ops", "it heard of the firing, and is configured no more")]


@pytest.fixture
def everything(config: Config) -> Config:
    return config | {"strategies": [{"name": "all", "receivers": ["ops"]}]}


def received(host: Host, payload: object) -> Receipt:
    """Receive what Alertmanager sends, and wait until all who are to hear of it have."""
    receipt = host.receive("alertmanager", payload)
    assert all(host.wait(receipt).values())
    assert receipt.refused == ()
    return receipt


def test_what_alertmanager_sends_again_is_told_once_for_each_status_and_trigger_time(
    httpserver: HTTPServer, everything: Config, payload: Callable[[str], bytes]
) -> None:
    group = json.loads(payload("alertmanager_v4_firing_and_resolved"))
    first, second = group["alerts"]
    told = []
    with Host(everything) as host:
        for change in ({}, {}, OVER, {}, ANEW, {}):
            first |= change
            receipt = received(host, group)
            told.append([one.alert.status.name for one in receipt.deliveries])
            assert len(receipt.deliveries) + len(receipt.suppressed) == 2
            assert set(held(receipt)) <= {("ops", AGAIN)}
        second |= {"startsAt": "2026-01-02T06:00:00Z"}
        told.append([one.alert.status.name for one in received(host, group).deliveries])
    assert told == [["firing", "recovered"], [], ["recovered"], [], ["firing"], [], ["recovered"]]
    assert sorted(heard(httpserver)) == [("ops", "firing")] * 2 + [("ops", "recovered")] * 3


def test_what_is_sent_again_after_a_restart_or_to_another_process_is_not_told_again(
    httpserver: HTTPServer, everything: Config, payload: Callable[[str], bytes]
) -> None:
    single = payload("alertmanager_v4_single")
    with Host(everything) as host:
        assert len(received(host, single).deliveries) == 1
        assert fire_elsewhere(everything, single, "close")[0] == "0"
    with Host(everything) as host:
        receipt = received(host, single)
    assert [receiver for receiver, _ in held(receipt)] == ["ops"]
    assert heard(httpserver) == [("ops", "firing")]


def test_of_hosts_that_are_sent_the_same_at_once_one_tells_it(
    httpserver: HTTPServer, everything: Config, payload: Callable[[str], bytes]
) -> None:
    single = payload("alertmanager_v4_single")
    together = Barrier(6)

    def receive(host: Host) -> int:
        together.wait(10)
        return len(received(host, single).deliveries)

    with ExitStack() as stack, ThreadPoolExecutor(6) as threads:
        hosts = [stack.enter_context(Host(everything)) for _ in range(3)]
        assert sum(threads.map(receive, hosts * 2)) == 1
    assert heard(httpserver) == [("ops", "firing")]


@pytest.mark.parametrize("fingerprint", ["", None])
def test_alerts_of_alertmanager_without_a_fingerprint_are_told_apart(
    httpserver: HTTPServer, everything: Config, fingerprint: str | None
) -> None:
    alerts = [
        {"labels": {"alertname": name}, "startsAt": "2026-01-02T03:04:05Z", "fingerprint": fingerprint}
        for name in ("DiskFull", "LinkDown")
    ]
    with Host(everything) as host:
        receipt = received(host, {"alerts": alerts})
    assert [one.alert.target for one in receipt.deliveries] == ["DiskFull", "LinkDown"]
    assert len(heard(httpserver)) == 2


FIELDS = [field.name for field in fields(Notified)]


def rewrite(config: Config, change: Callable[[Any], Any]) -> None:
    """Change what the outbox knows of who was told what: a list of lists, in the order of `Notified`."""
    with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"), isolation_level=None)) as connection:
        rows = connection.execute("select notified, fingerprint from seen").fetchall()
        changed_rows = [(json.dumps(change(json.loads(text))), fingerprint) for text, fingerprint in rows]
        connection.executemany("update seen set notified = ? where fingerprint = ?", changed_rows)
        assert rows


def put(field: str, value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what replaces a field of everything that was told, by what comes of it."""
    place = FIELDS.index(field)
    return lambda told: [[*one[:place], value(one[place]), *one[place + 1 :]] for one in told]


def later(config: Config, seconds: float) -> None:
    """Move what was told into the past: there a clock that shows a later time finds it."""
    rewrite(config, put("at", lambda at: at - seconds))


@pytest.mark.parametrize("source", ["alertmanager", "nagios"])
def test_with_repeat_what_lasts_is_told_again_after_that_time(
    httpserver: HTTPServer, everything: Config, source: str
) -> None:
    everything["strategies"][0]["repeat"] = "4h"
    firing = changed(FIRING, source=source)
    with Host(everything) as host:
        delivered(host, firing)
        assert held(host.fire(firing)) == [("ops", "it heard of this NOW, and it is repeated after 4h")]
        later(everything, 4 * 3600 - 60)
        assert held(host.fire(firing)) == [("ops", "it heard of this 239 minutes ago, and it is repeated after 4h")]
        later(everything, 60)
        delivered(host, firing)
        assert host.fire(firing).deliveries == ()
    with Host(everything) as host:
        assert host.fire(firing).deliveries == ()
        later(everything, 4 * 3600)
        delivered(host, firing)
    assert heard(httpserver) == [("ops", "firing")] * 3


def test_alerts_of_one_fingerprint_that_are_fired_together_are_decided_in_their_order(config: Config) -> None:
    firing, recovered = (changed(alert, source="alertmanager") for alert in (FIRING, RECOVERED))
    with Host(config) as host:
        receipt = host.fire_all([recovered, firing, firing, recovered, recovered, firing])
        assert [one.alert.status.name for one in receipt.deliveries] == ["firing", "recovered", "firing"]
        assert held(receipt) == [(None, "no strategy matched"), ("ops", AGAIN), ("ops", AGAIN)]


def test_of_alerts_that_are_fired_together_all_or_none_are_known(httpserver: HTTPServer, config: Config) -> None:
    path = config["outbox"].removeprefix("sqlite:///")
    refuse = "create trigger refuse before insert on recent when new.alert like '%the last%' begin select {}; end"
    alerts = [FIRING, RECOVERED, changed(FIRING, content="the last")]
    with Host(config) as host:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(refuse.format("raise(abort, 'no room')"))
        receipt = host.fire_all(alerts)
        assert [(unsent.alert, unsent.reason) for unsent in receipt.refused] == [
            (alert, "the outbox refused it: no room") for alert in alerts
        ]
        assert (receipt.deliveries, receipt.durable) == ((), False)
        assert held(host.fire(RECOVERED)) == [(None, "no strategy matched")]  # it knows of no firing
    assert heard(httpserver) == []


def test_a_payload_that_cannot_be_stored_costs_no_alert_anything_else(
    httpserver: HTTPServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    poison = changed(FIRING, target="poison", raw={"alerts": [10**5000]})
    alerts = [changed(FIRING, raw={"kept": 1}), poison, RECOVERED]
    with Host(config) as host:
        receipt = host.fire_all(alerts)
        assert [one.alert for one in receipt.deliveries] == alerts
        assert (receipt.suppressed, receipt.refused) == ((), ())
        assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())
        again = host.fire(changed(poison, status="recovered"))
        assert [one.receiver for one in again.deliveries] == ["ops"]
    sent = sorted(
        (json.loads(request.data)["target"], status)
        for (request, _), (_, status) in zip(httpserver.log, heard(httpserver), strict=True)
    )
    assert sent == [("disk", "firing"), ("disk", "recovered"), ("poison", "firing"), ("poison", "recovered")]
    with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"))) as connection:
        stored = [json.loads(alert) for (alert,) in connection.execute("select alert from outbox order by rowid")]
    assert [one.get("raw") for one in stored] == [{"kept": 1}, None, None, None]
    assert caplog.text.count("an alert is kept without the payload it came from, which cannot be written") == 2


def test_under_a_pluggy_manager_recoveries_follow_and_what_is_sent_again_is_not_told_again(
    httpserver: HTTPServer, config: Config
) -> None:
    firing = changed(FIRING, source="alertmanager")
    recovered = changed(RECOVERED, source="alertmanager")
    told = []
    for alerts in ([firing, firing], [firing, recovered, recovered]):
        manager = pluggy.PluginManager("hookplugin")
        manager.add_hookspecs(hookspecs)
        manager.load_setuptools_entrypoints("hookplugin")
        context = hookplugin.prepare(manager, config)
        for alert in alerts:
            (deliveries,) = manager.hook.alert_fired(alert=alert, context=context)
            told.append([one.receiver for one in deliveries])
        manager.hook.alert_shutdown(context=context)
        config["strategies"] = [strategy(name="renamed", receivers=["pager"], **closed())]
    assert told == [["ops"], [], [], ["ops"], []]
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered")]


def test_a_host_that_is_closed_refuses_what_somebody_may_have_to_hear_of_and_raises_nothing(
    httpserver: HTTPServer, config: Config
) -> None:
    nobodys = Alert(content="nobody is to hear of it")
    host = Host(config, strict=True)
    host.close()
    receipt = host.fire_all([nobodys, FIRING, RECOVERED])
    assert host.wait(receipt) == {}
    alone = [host.fire(alert) for alert in (nobodys, RECOVERED)]
    assert (receipt.deliveries, receipt.durable) == ((), False)
    assert [unsent.alert for unsent in receipt.refused] == [FIRING, RECOVERED]  # it may follow a firing
    assert {unsent.receiver for unsent in receipt.refused} == {None}
    assert [(unsent.alert, unsent.reason) for unsent in receipt.suppressed] == [(nobodys, "no strategy matched")]
    assert [(len(one.suppressed), len(one.refused)) for one in alone] == [(1, 0), (0, 1)]
    assert httpserver.log == []


@pytest.mark.parametrize("table", ["outbox", "seen", "recent", "tally"])
def test_while_a_storage_fails_recoveries_follow_and_what_is_sent_again_is_not_told_again(
    httpserver: HTTPServer, config: Config, table: str
) -> None:
    nobodys = Alert(content="nobody is to hear of it")
    firing, recovered = (changed(alert, source="alertmanager") for alert in (FIRING, RECOVERED))
    with Host(config, strict=True) as host:
        with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"))) as other:
            other.execute(f"drop table {table}")
        receipt = host.fire_all([nobodys, firing, firing])
        assert all(outcome and outcome.state == "delivered" for outcome in host.wait(receipt).values())
        then = delivered(host, recovered)
        explained = host.explain(recovered)
    assert [one.alert for one in (*receipt.deliveries, *then.deliveries)] == [firing, recovered]
    assert held(receipt) == [(None, "no strategy matched"), ("ops", AGAIN)]
    assert [(one.durable, one.refused) for one in (receipt, then)] == [(False, ())] * 2
    assert explained.receivers[0].body is None  # it has heard of it
    assert heard(httpserver) == [("ops", "firing"), ("ops", "recovered")]


@pytest.mark.parametrize("name", ["before", "zzz"])
def test_a_plugin_that_fires_an_alert_while_it_hears_of_another_loses_neither(
    httpserver: HTTPServer, config: Config, install: Callable[..., None], name: str
) -> None:
    install(
        name,
        """
        from hookplugin import Alert, hookimpl

        host, receipts = None, []

        @hookimpl
        def alert_fired(alert):
            if not alert.content.startswith("about"):
                about = Alert(content=f"about {alert.content}", tags=alert.tags, priority="critical")
                receipts.append(host.fire_all([about, about]))
        """,
    )
    alerts = [Alert(content=str(number), tags={"env": "prod"}, priority="critical") for number in range(3)]
    with Host(config, strict=True) as host:
        plugin = sys.modules[f"hookplugin_{name}"]
        vars(plugin)["host"] = host
        outer = host.fire_all(alerts)
        inner: list[Receipt] = vars(plugin)["receipts"]
        with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"))) as connection:
            stored = connection.execute("select group_concat(id) from outbox group by accepted").fetchall()
    assert sorted(outer.accepted) in [sorted(ids.split(",")) for (ids,) in stored]  # still at once
    assert [one.alert.content for one in outer.deliveries] == ["0", "1", "2"]
    assert [[one.alert.content for one in receipt.deliveries] for receipt in inner] == [
        [f"about {number}"] * 2 for number in range(3)
    ]
    arrived = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert sorted(arrived) == sorted(one for receipt in (outer, *inner) for one in receipt.accepted)


@pytest.mark.parametrize(
    ("column", "junk"),
    [
        ("firing", 7),
        ("firing", "open"),
        ("notified", b"\xff"),
        ("notified", "soon"),
        ("notified", "5"),
        ("notified", "[1]"),
        ("notified", "[[1]]"),
        pytest.param("notified", "[" * 100_000, id="nested too deeply"),
        ("notified", put("copy", lambda _: "ops")),
        ("notified", put("copy", lambda _: [5, None])),
        ("notified", put("status", lambda _: 99)),
        ("notified", put("priority", lambda _: "high")),
        ("notified", put("trigger_times", lambda _: "soon")),
        ("notified", put("trigger_times", lambda _: 5)),
        ("notified", put("recovery", lambda _: 5)),
        ("notified", put("recovery", lambda _: [1])),
        ("notified", put("recovery", lambda _: [[1]])),
        ("notified", put("at", lambda _: "soon")),
        ("notified", put("at", lambda _: 1e300)),
        ("notified", put("pause", lambda _: "soon")),
        ("notified", put("firing", lambda _: "perhaps")),
        ("notified", put("lost", lambda _: 5)),
        ("notified", put("delivery", lambda _: 5)),
        ("notified", lambda told: [one[:-1] for one in told]),
        ("notified", lambda told: [[*one, 1] for one in told]),
    ],
)
def test_what_cannot_be_read_of_what_was_told_costs_one_notification_and_nothing_else(
    httpserver: HTTPServer, everything: Config, column: str, junk: object
) -> None:
    firing, recovered = (changed(alert, source="alertmanager") for alert in (FIRING, RECOVERED))
    path = everything["outbox"].removeprefix("sqlite:///")
    with Host(everything, strict=True) as host:
        delivered(host, firing)
        if callable(junk):
            rewrite(everything, junk)
        else:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute(f"update seen set {column} = ?", (junk,))
        assert [one.receiver for one in host.explain(recovered).receivers] == ["ops", "pager"]
        assert host.explain(firing).receivers[0].body == "hertzbeat"
        delivered(host, firing)
        assert held(host.fire(firing)) == [("ops", AGAIN)]
        delivered(host, recovered)
    assert heard(httpserver) == [("ops", "firing"), ("ops", "firing"), ("ops", "recovered")]


ONE_LINE = """
from hookplugin import Body, hookimpl

@hookimpl
def alert_register(registry):
    registry.renderer("line", lambda deliveries: Body(content=b'{"status": %d}' % deliveries[0].alert.status))
"""


@pytest.mark.parametrize(
    ("statuses", "named_first"), [([], False), ([], True), (["firing"], False), (["firing"], True)]
)
def test_a_body_that_became_the_receivers_own_leaves_one_copy_of_the_recovery(
    httpserver: HTTPServer, config: Config, install: Callable[..., None], statuses: list[str], *, named_first: bool
) -> None:
    install("lines", ONE_LINE)
    strategies = [strategy(name="own"), strategy(name="named", body="line", statuses=statuses)]
    config["strategies"] = strategies[::-1] if named_first else strategies
    with Host(config) as host:
        assert sorted(one.body for one in delivered(host, FIRING).deliveries) == ["hertzbeat", "line"]
        ops, pager = config["receivers"]
        host.reload(config | {"receivers": [{**ops, "body": "line"}, pager]})
        explained = host.explain(RECOVERED)
        receipt = delivered(host, RECOVERED)
    assert [(one.receiver, one.body) for one in receipt.deliveries] == [("ops", "line")]
    assert [(one.receiver, one.body) for one in explained.receivers] == [("ops", "line"), ("pager", None)]
    let_pass = {"own"} if statuses else {"own", "named"}
    assert {one.strategy for one in explained.strategies if one.matched} == let_pass
    assert heard(httpserver) == [("ops", "firing"), ("ops", "firing"), ("ops", "recovered")]


@pytest.mark.parametrize(
    ("change", "reasons", "notes"),
    [
        ({"priorities": []}, ["it let the firing pass, and its recovery follows"], ()),
        ({"enabled": False}, ["it let the firing pass, and its recovery follows, though it is disabled"], ()),
        (
            {"name": "renamed"},
            ["its firing was filtered out"],
            ("'ops' heard of the firing by 'production', configured no more; its recovery follows",),
        ),
    ],
)
def test_it_is_explained_why_a_recovery_follows_after_its_strategy_has_changed(
    config: Config, change: Config, reasons: list[str], notes: tuple[str, ...]
) -> None:
    with Host(config) as host:
        delivered(host, FIRING)
        host.reload(config | {"strategies": [strategy(**change)]})
        found = host.explain(RECOVERED)
        assert host.explain(FIRING).notes == ()
        assert [one.receiver for one in host.fire(RECOVERED).deliveries] == ["ops"]
    assert [one.reason for one in found.strategies] == reasons
    assert [(one.receiver, one.strategies) for one in found.receivers if one.body] == [("ops", ("production",))]
    assert found.notes == notes

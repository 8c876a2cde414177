"""`hookplugin deliveries`: what is in the outbox, and what people do with it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from storing import accept

from hookplugin.outbox import lanes
from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery, Outcome, Reason

Run = Callable[..., subprocess.CompletedProcess[str]]
Give = Callable[..., None]
Configure = Callable[..., None]

DEAD = Outcome(state="dead", reason=Reason.client_error, status=404, milliseconds=1.5, detail="no such hook")


@pytest.fixture
def wide(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands on a terminal that is wide enough for everything."""
    monkeypatch.setenv("COLUMNS", "200")
    return run


@pytest.fixture
def setting(tmp_path: Path, httpserver: HTTPServer) -> Configure:
    """Write a configuration with the receiver `ops`, which answers what is asked for."""

    def write(status: int = 200, receivers: list[dict[str, Any]] | None = None, **settings: Any) -> None:
        httpserver.clear()
        httpserver.expect_request("/").respond_with_data("told", status=status)
        ops = [{"name": "ops", "url": httpserver.url_for("/")}]
        config = {"outbox": "sqlite:///outbox.db", "receivers": ops if receivers is None else receivers, **settings}
        (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")

    write()
    return write


@pytest.fixture
def give(tmp_path: Path) -> Give:
    """Put deliveries into the outbox: as they came in, or with an outcome."""

    def put(*names: str, outcome: Outcome | None = None, receiver: str = "ops") -> None:
        with closing(Store(f"sqlite:///{tmp_path}/outbox.db")) as store:
            given = [
                Delivery(id=name, alert=Alert(content=f"{name} failed"), receiver=receiver, body="hertzbeat")
                for name in names
            ]
            accept(store, *given)
            if outcome:
                (done,) = store.commit([lambda connection: _settle(connection, given, outcome, store.now())])
                assert done.error is None

    return put


def _settle(connection: Any, given: list[Delivery], outcome: Outcome, now: float) -> None:
    rows = {one.id: connection.execute("select seq from outbox where id = ?", (one.id,)).fetchone()[0] for one in given}
    lanes.settle(connection, rows, [(one, outcome) for one in given], now)


def listed(run: Run, *arguments: str) -> dict[str, str]:
    return {one["id"]: one["state"] for one in json.loads(run("deliveries", "list", "--json", *arguments).stdout)}


def words(text: str) -> list[str]:
    return [re.sub(r"(\d\d-\d\d )?\d\d:\d\d:\d\d", "NOW", " ".join(line.split())) for line in text.splitlines()]


def test_deliveries_are_listed_filtered_and_shown(wide: Run, setting: Configure, give: Give) -> None:
    setting()
    give("dead1", outcome=DEAD)
    give("dead2", outcome=DEAD, receiver="gone")
    give("new")
    assert listed(wide) == {"new": "pending", "dead2": "dead", "dead1": "dead"}
    assert listed(wide, "--state", "dead", "--receiver", "ops", "--since", "1h") == {"dead1": "dead"}
    assert listed(wide, "--since", "2100-01-01") == {}
    few = wide("deliveries", "list", "--limit", "2")
    assert words(few.stdout)[1:] == [
        *("NOW ● firing, warning new failed ops pending", "id new"),
        *("NOW ● firing, warning dead2 failed gone dead, client_error, 404: no such hook", "id dead2"),
    ]
    assert few.stderr == "these are the newest 2, and there are more: --limit 4 shows more\n"
    assert wide("deliveries", "list", "--limit", "3").stderr == ""

    shown = json.loads(wide("deliveries", "show", "dead1", "--json").stdout)
    (attempt,) = shown["history"]
    assert attempt | {"at": None} == {
        "at": None,
        "reason": "client_error",
        "status": 404,
        "milliseconds": 1.5,
        "detail": "no such hook",
    }
    assert (shown["alert"]["content"], shown["state"]) == ("dead1 failed", "dead")
    assert not {"raw", "group"} & shown["alert"].keys()
    lines = words(wide("deliveries", "show", "dead1").stdout)
    assert lines[0] == "● firing, warning dead1 failed"
    assert {"id dead1", "receiver ops", "attempts 0", "stands dead, client_error, 404: no such hook"} <= set(lines)
    assert lines[-1] == "NOW 1.5 client_error, 404: no such hook"


def test_a_delivery_says_that_the_fallback_was_sent_and_why_and_which_header_was_left_out(
    wide: Run, setting: Configure, httpserver: HTTPServer
) -> None:
    ops = {"name": "ops", "url": httpserver.url_for("/"), "body": "link", "headers": {"X-Why": "{{ alert.content }}"}}
    setting(
        receivers=[{**ops, "vars": {"key": "S3CR3T"}}],
        strategies=[{"name": "all", "receivers": ["ops"]}],
        bodies=[{"name": "link", "json": "{{ alert.link }}"}],
    )
    (fired,) = json.loads(wide("fire", "--json", stdin='{"content": "größer"}'.encode()).stdout)["deliveries"]
    told = [
        "the fallback was sent, body 'link' failed: there is nothing in it",
        "the header 'X-Why' was left out: its value is not printable ASCII, or is too long",
        "told",
    ]
    (attempt,) = json.loads(wide("deliveries", "show", fired["id"], "--json").stdout)["history"]
    assert (attempt["reason"], attempt["detail"]) == (None, "; ".join(told))
    assert f"delivered, 200: {told[0]}; the header 'X-Why'" in wide("deliveries", "show", fired["id"]).stdout
    ((got, _),) = httpserver.log
    assert got.get_json()["fallback"] == "body 'link' failed: there is nothing in it"


def test_a_delivery_that_is_tried_again_says_when_and_why(wide: Run, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("busy", status=503, headers={"Retry-After": "60"})
    config = {
        "outbox": "sqlite:///outbox.db",
        "receivers": [{"name": "ops", "url": httpserver.url_for("/")}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    fired = wide("fire", "--wait", "500ms", stdin=b'{"content": "a"}')
    assert (fired.returncode, words(fired.stdout)[1:3]) == (
        1,
        [
            "● firing, warning a ops pending, after server_error, 503: busy",
            "ops: failures in a row: 1; it asked for a pause until NOW",
        ],
    )
    (one,) = json.loads(wide("deliveries", "list", "--json").stdout)
    history = json.loads(wide("deliveries", "show", one["id"], "--json").stdout)["history"]
    assert (one["state"], one["reason"], one["status"]) == ("pending", "server_error", 503)
    assert one["due"] > one["accepted"]
    assert [each["status"] for each in history] == [503] * one["attempts"]
    line = words(wide("deliveries", "list").stdout)[1]
    assert line == "NOW ● firing, warning a ops pending, again at NOW, after server_error, 503: busy"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("list --state ded", "unknown state 'ded'; did you mean 'dead'?"),
        ("list --receiver opps", "unknown receiver 'opps'; did you mean 'ops'?"),
        ("replay --reason timout", "unknown reason 'timout'; did you mean 'timeout'?"),
        ("replay", "say which: an ID, or --receiver/--since/--reason/--all"),
        ("forget", "say which: an ID, or --state/--receiver/--since/--all"),
        ("replay a --all", "an ID, filters (--receiver, --since, --reason) and --all exclude each other"),
        ("forget a --state dead", "an ID, filters (--state, --receiver, --since) and --all exclude each other"),
        ("replay --state pending", "only dead letters are replayed by filters; what was delivered is by its ID"),
    ],
)
def test_who_does_not_say_what_is_meant_is_told_how_and_nothing_is_done(
    wide: Run, setting: Configure, tmp_path: Path, arguments: str, error: str
) -> None:
    setting()
    done = wide("deliveries", *arguments.split(), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (2, {"errors": [error]})
    assert [path.name for path in tmp_path.iterdir()] == ["hookplugin.yaml"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("list", (0, "there is no such delivery ({folder}/outbox.db, which does not exist yet)\n")),
        ("list --json", (0, "[]\n")),
        ("stats", (0, "there is no delivery\n")),
        ("show a", (1, "there is no delivery 'a'; `hookplugin deliveries list` shows the newest\n")),
        ("replay a", (1, "there is no delivery 'a'; `hookplugin deliveries list` shows the newest\n")),
        ("replay --all", (0, "there is nothing to replay\n")),
        ("forget --all", (0, "forgotten: 0\n")),
    ],
)
def test_an_outbox_that_is_not_there_is_empty_and_is_not_made(
    wide: Run, setting: Configure, tmp_path: Path, arguments: str, answer: tuple[int, str]
) -> None:
    setting()
    done = wide("deliveries", *arguments.split())
    code, message = answer
    assert (done.returncode, done.stdout + done.stderr) == (code, message.format(folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["hookplugin.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("list", 0), ("stats", 2), ("show a", 2), ("replay --all", 2), ("forget a", 2)],
)
def test_an_outbox_in_memory_is_known_to_its_host_alone(wide: Run, tmp_path: Path, arguments: str, code: int) -> None:
    (tmp_path / "hookplugin.yaml").write_text("receivers: []\n", encoding="utf-8")
    done = wide("deliveries", *arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("the outbox is in memory: ")


def test_deliveries_are_listed_and_forgotten_although_the_configuration_is_wrong_elsewhere(
    wide: Run, give: Give, tmp_path: Path
) -> None:
    (tmp_path / "hookplugin.yaml").write_text("outbox: sqlite:///outbox.db\nreceivers: 5\nx: y\n", encoding="utf-8")
    give("a", outcome=DEAD)
    give("b", "c")
    assert listed(wide, "--receiver", "ops") == {"c": "pending", "b": "pending", "a": "dead"}
    wrong = wide("deliveries", "replay", "--all")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 2)
    assert wide("deliveries", "forget", "b").stdout == "forgotten: 1\n"
    assert listed(wide) == {"c": "pending", "a": "dead"}
    assert json.loads(wide("deliveries", "forget", "--all", "--json").stdout) == {"forgotten": 2, "sending": 0}
    assert json.loads(wide("deliveries", "stats", "--json").stdout) == {"receivers": [], "refused": 0}


def test_what_is_being_sent_is_not_forgotten(wide: Run, setting: Configure, give: Give, tmp_path: Path) -> None:
    setting()
    give("a", "b")
    with closing(Store(f"sqlite:///{tmp_path}/outbox.db")) as store:
        store.commit([lambda connection: connection.execute("update outbox set state = 2 where id = 'a'")])
    done = wide("deliveries", "forget", "--all")
    assert (done.returncode, done.stdout) == (1, "forgotten: 1\nbeing sent, and not forgotten: 1\n")
    assert listed(wide) == {"a": "sending"}


def test_dead_letters_are_delivered_again_under_their_ids(
    wide: Run, setting: Configure, give: Give, httpserver: HTTPServer
) -> None:
    setting(status=404)
    give("a", "b", outcome=DEAD)
    give("other", outcome=DEAD.model_copy(update={"reason": Reason.tls}))
    again = wide("deliveries", "replay", "--reason", "client_error")
    assert (again.returncode, words(again.stdout)[1:]) == (
        1,
        ["a ops dead, client_error, 404: told", "b ops dead, client_error, 404: told"],
    )
    setting(status=200)
    done = wide("deliveries", "replay", "--reason", "client_error", "--since", "1h", "--json")
    assert done.returncode == 0
    results = json.loads(done.stdout)
    assert (results["replayed"], results["notes"]) == (2, [])
    assert [(one["id"], one["receiver"], one["state"], one["status"]) for one in results["deliveries"]] == [
        ("a", "ops", "delivered", 200),
        ("b", "ops", "delivered", 200),
    ]
    assert sorted(request.headers["webhook-id"] for request, _ in httpserver.log) == ["a", "b"]
    assert listed(wide, "--state", "dead") == {"other": "dead"}
    history = json.loads(wide("deliveries", "show", "a", "--json").stdout)["history"]
    assert [one["status"] for one in history] == [404, 404, 200]

    assert wide("deliveries", "replay", "a").returncode == 0  # it was delivered, and is again
    assert [request.headers["webhook-id"] for request, _ in httpserver.log][2:] == ["a"]
    assert words(wide("deliveries", "replay", "--state", "dead").stdout)[1:] == ["other ops delivered, 200: told"]
    assert wide("deliveries", "replay", "--all").stdout == "there is nothing to replay\n"


def test_what_nobody_delivers_here_waits_and_it_is_said_why(wide: Run, setting: Configure, give: Give) -> None:
    setting(dispatch=False)
    give("a", outcome=DEAD)
    give("b", outcome=DEAD, receiver="gone")
    done = wide("deliveries", "replay", "--all")
    assert (done.returncode, words(done.stdout)[1:]) == (
        0,
        [
            *("a ops pending", "b gone pending"),
            "1 to 'ops' wait for `hookplugin worker`",
            "1 to 'gone' wait, but no such receiver is configured: nobody hears, and after 4h they are given up",
        ],
    )
    refused = wide("deliveries", "replay", "a")
    assert (refused.returncode, refused.stderr) == (1, "'a' is pending: only what is dead or delivered is replayed\n")
    setting()
    wide("receiver", "pause", "ops")
    give("c", outcome=DEAD)
    done = wide("deliveries", "replay", "c")
    assert (done.returncode, words(done.stdout)[1:]) == (
        1,
        ["c ops pending", "1 to 'ops' wait until `hookplugin receiver resume ops`"],
    )


def test_a_long_replay_shows_how_far_it_is_on_a_terminal_and_sums_up(
    setting: Configure, give: Give, httpserver: HTTPServer, tmp_path: Path
) -> None:
    setting()
    names = [f"n{number}" for number in range(101)]
    give(*names, outcome=DEAD)
    command = [str(Path(sys.executable).with_name("hookplugin")), "deliveries", "replay", "--all"]
    terminal, its_end = pty.openpty()
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=its_end, text=True) as process:
        os.close(its_end)
        shown = b""
        while part := _read(terminal):
            shown += part
        assert process.stdout
        assert words(process.stdout.read())[1:] == ["101 ops delivered, 200"]
    os.close(terminal)
    assert process.returncode == 0
    assert b"100%" in shown
    assert Counter(request.headers["webhook-id"] for request, _ in httpserver.log) == Counter(names)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_two_who_replay_the_same_at_once_replay_each_delivery_once(
    wide: Run, setting: Configure, give: Give, tmp_path: Path
) -> None:
    setting(dispatch=False)
    names = [f"n{number}" for number in range(1200)]
    give(*names, outcome=DEAD)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: json.loads(wide("deliveries", "replay", "--all", "--json").stdout), range(2)))
    replayed = [one["id"] for each in both for one in each["deliveries"]]
    assert sorted(replayed) == sorted(names)
    with closing(Store(f"sqlite:///{tmp_path}/outbox.db")) as store:
        assert store.read(lambda connection: connection.execute("select pending from tally").fetchone()) == (1200,)


def test_stats_count_what_there_is_and_say_what_is_the_matter(wide: Run, setting: Configure, give: Give) -> None:
    setting()
    give("a", outcome=DEAD)
    give("b", "c")
    give("d", outcome=Outcome(state="delivered", status=200), receiver="dev")
    wide("receiver", "pause", "ops")
    (dev, ops) = json.loads(wide("deliveries", "stats", "--json").stdout)["receivers"]
    assert (dev["receiver"], dev["delivered"], dev["oldest"]) == ("dev", 1, None)
    assert (ops["pending"], ops["sending"], ops["dead"], ops["dead_last_day"]) == (2, 0, 1, 1)
    assert ops["health"]["paused"]
    lines = words(wide("deliveries", "stats").stdout)
    assert lines[0] == "receiver pending sending delivered dead dead in 24h oldest pending"
    assert lines[1] == "dev 0 0 1 0 0"
    assert re.fullmatch(r"ops 2 0 0 1 1 \d+s", lines[2])
    assert lines[3] == "ops: paused until `hookplugin receiver resume ops`"

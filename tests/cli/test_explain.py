"""`hookplugin explain`: who would hear of an alert, who would not, and why."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from storing import accept

from hookplugin.outbox.store import Store
from hookspecs import Alert, Delivery

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., None]

FILTERS = """
from hookplugin import hookimpl

@hookimpl
def alert_register(registry):
    registry.filter("broken", lambda alert: {}["team"])
    registry.filter("nobody", lambda alert: False)
"""

OWN_WORDS = """
from hookplugin import Delivery, hookimpl

@hookimpl
def alert_fired(alert):
    words = alert.model_copy(update={"content": "in other words"})
    return [Delivery(id="mine", alert=words, receiver="mine", body="mine")]
"""

CONFIG = """
timezone: Europe/Berlin
outbox: sqlite:///outbox.db
receivers:
  - {name: ops, url: "http://127.0.0.1:9/"}
  - {name: night, url: "http://127.0.0.1:9/"}
  - {name: idle, url: "http://127.0.0.1:9/"}
strategies:
  - {name: high, receivers: [ops], priorities: [emergency, critical]}
  - {name: office, receivers: [ops], days: [mon, tue, wed, thu, fri], period: "09:00-17:00"}
  - {name: there, receivers: [ops], period: "03:12-03:13", timezone: America/New_York}
  - {name: over, receivers: [ops], statuses: [recovered]}
  - {name: prod, receivers: [ops], tags: {env: prod}}
  - {name: any, receivers: [ops], tags: {env: prod, zone: eu}, tags_mode: any}
  - {name: "off", receivers: [idle], enabled: false}
  - {name: filtered, receivers: [ops], filters: [broken, nobody]}
  - {name: failing, receivers: [night], filters: [broken]}
  - {name: saturdays, receivers: [night, night], days: [sat], period: "22:00-03:30"}
  - {name: severity, receivers: [ops], match: ['severity="critical"']}
  - {name: priority, receivers: [ops], priorities: [warning], match: ['alert.priority="critical"']}
  - {name: tag, receivers: [ops], tags: {env: prod}, match: ['env!="prod"']}
"""

NO_SEVERITY = (
    "severity=\"critical\" can never match: alerts from 'hertzbeat' have no such tag; did you mean alert.priority?"
)
NOT_CRITICAL = 'alert.priority="critical" can never match: priority is one of warning'
NOT_PROD = 'env!="prod" can never match beside the tag env: "prod"'
REASONS = {
    "high": "priority warning is not in [emergency, critical]",
    "office": "Sat 03:12 Europe/Berlin is outside mon–fri 09:00–17:00",
    "there": "Fri 21:12 America/New_York is outside 03:12–03:13",
    "over": "status firing is not in [recovered]",
    "prod": 'tag env is "dev", not "prod"',
    "any": 'tag env is "dev", not "prod"; tag zone is missing, not "eu"',
    "off": "disabled",
    "filtered": "the filter nobody said no",
    "failing": None,
    "saturdays": "Sat 03:12 Europe/Berlin is outside sat 22:00–03:30; it belongs to the night of fri",
    "severity": 'severity="critical" does not match: missing',
    "priority": 'alert.priority="critical" does not match "warning"',
    "tag": 'tag env is "dev", not "prod"',
}
HEARD = r"it heard of this at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, and {}"
RAISED = "the filter broken failed and counts as matched: KeyError: 'team'"


@pytest.fixture
def configured(tmp_path: Path, install: Install) -> None:
    install("often", FILTERS)
    (tmp_path / "hookplugin.yaml").write_text(CONFIG, encoding="utf-8")


@pytest.mark.usefixtures("configured")
def test_every_strategy_tells_the_first_reason_with_what_it_asks_for_and_what_came(run: Run, tmp_path: Path) -> None:
    tagged = {"content": "disk", "source": "hertzbeat", "tags": {"env": "dev"}}
    late = {"content": "late", "priority": "critical", "tags": {"env": "prod", "severity": "critical"}}
    payload = json.dumps([tagged, late]).encode()
    done = run("explain", "--at", "2026-11-28T03:12", "--json", stdin=payload)
    first, second = json.loads(done.stdout)
    assert done.returncode == 0
    assert {one["strategy"]: one["reason"] for one in first["strategies"]} == REASONS
    assert [one["strategy"] for one in first["strategies"] if one["matched"]] == ["failing"]
    assert {one["strategy"]: one["failures"] for one in first["strategies"] if one["failures"]} == {
        "filtered": [RAISED],
        "failing": [RAISED],
    }
    asked = {one["strategy"]: one["impossible"] for one in first["strategies"] if one["impossible"]}
    assert asked == {
        "severity": [NO_SEVERITY],
        "priority": [NOT_CRITICAL],
        "tag": [NOT_PROD],
    }  # no alert was seen yet: who knows what tags there are
    assert first["receivers"] == [
        {"receiver": "ops", "body": None, "strategies": [], "reason": "no strategy that matches names it"},
        {"receiver": "night", "body": "hertzbeat", "strategies": ["failing"], "reason": None},
        {"receiver": "idle", "body": None, "strategies": [], "reason": "no enabled strategy names it"},
    ]
    assert first["unassociated"] == ["idle"]
    assert (first["alert"]["content"], first["at"]) == ("disk", "2026-11-28T02:12:00Z")
    by_receiver = {one["receiver"]: one["strategies"] for one in second["receivers"]}
    assert by_receiver == {"ops": ["high", "prod", "any", "severity"], "night": ["failing"], "idle": []}
    assert not (tmp_path / "outbox.db").exists()


@pytest.mark.usefixtures("configured")
def test_the_table_tells_the_same_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    payload = json.dumps({"content": "[red]disk[/]", "target": "sda", "tags": {"env": "dev"}}).encode()
    done = run("explain", "--at", "2026-11-28T03:12", stdin=payload)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[1:4] == ["● firing, warning [red]disk[/]", "sda env=dev", "at Sat 2026-11-28 03:12 CET"]
    assert [
        f"– {name} {reason}" for name, reason in REASONS.items() if reason and f"– {name} {reason}" not in lines
    ] == []
    assert {"✓ failing matches", RAISED, NOT_CRITICAL, NOT_PROD, "– idle no enabled strategy names it"} <= set(lines)
    assert "✓ night body hertzbeat, by failing" in lines


@pytest.mark.usefixtures("configured")
def test_check_warns_of_what_can_never_match(run: Run) -> None:
    done = json.loads(run("check", "--json").stdout)
    assert (done["ok"], done["errors"]) == (True, [])
    assert done["warnings"] == [
        "hookplugin.yaml:7: receivers[2]: warning: 'idle' hears nothing: no enabled strategy names it",
        f"hookplugin.yaml:20: strategies[11]: warning: {NOT_CRITICAL}",
        f"hookplugin.yaml:21: strategies[12]: warning: {NOT_PROD}",
    ]


def content_of(outbox: Path) -> list[str]:
    with closing(sqlite3.connect(outbox)) as connection:
        return list(connection.iterdump())


def test_what_was_told_before_explains_what_is_told_next_and_nothing_is_stored_or_sent(
    run: Run, httpserver: HTTPServer, payload: Callable[[str], bytes], tmp_path: Path
) -> None:
    httpserver.expect_request("/").respond_with_data()
    config = {
        "outbox": "sqlite:///outbox.db",
        "receivers": [{"name": name, "url": httpserver.url_for("/")} for name in ("ops", "boss")],
        "strategies": [
            {"name": "all", "receivers": ["ops"], "priorities": ["warning"]},
            {"name": "high", "receivers": ["boss"], "priorities": ["emergency"]},
            {"name": "over", "receivers": ["boss"], "statuses": ["recovered"]},
        ],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    firing = payload("alertmanager_v4_single")
    assert run("fire", "--source", "alertmanager", stdin=firing).returncode == 0
    store = Store(f"sqlite:///{tmp_path}/outbox.db")
    accept(store, Delivery(id="left", alert=Alert(content="left behind"), receiver="ops", body="hertzbeat"))
    store.close()
    before = content_of(tmp_path / "outbox.db")

    (again,) = json.loads(run("explain", "--json", "--source", "alertmanager", stdin=firing).stdout)
    assert [one["matched"] for one in again["strategies"]] == [True, False, False]
    assert [one["body"] for one in again["receivers"]] == [None, None]
    assert re.fullmatch(HEARD.format("no strategy repeats it"), again["receivers"][0]["reason"])

    resolved = firing.replace(b'"firing"', b'"resolved"')
    (over,) = json.loads(run("explain", "--json", "--source", "alertmanager", stdin=resolved).stdout)
    assert [(one["strategy"], one["matched"], one["reason"]) for one in over["strategies"]] == [
        ("all", True, "it let the firing pass, and its recovery follows"),
        ("high", False, "its firing was filtered out"),
        ("over", True, None),
    ]
    assert [(one["receiver"], one["body"], one["reason"]) for one in over["receivers"]] == [
        ("ops", "hertzbeat", None),
        ("boss", "hertzbeat", None),
    ]

    assert content_of(tmp_path / "outbox.db") == before
    assert len(httpserver.log) == 1


def test_a_broken_outbox_is_noted_and_left_alone(run: Run, configure: Callable[..., None], tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    (tmp_path / "outbox.db").write_bytes(b"garbage" * 100)
    done = run("explain", "--json", stdin=b'{"content": "x"}')
    (found,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert [one["matched"] for one in found["strategies"]] == [True]
    (note,) = found["notes"]
    advice = "move it away, and a new one is made: what was told before is not known"
    assert note == f"the outbox {tmp_path}/outbox.db failed: file is not a database; {advice}"
    assert (tmp_path / "outbox.db").read_bytes() == b"garbage" * 100


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (("--source", "hertzbet"), b"{}", "unknown source 'hertzbet'; did you mean 'hertzbeat'?\n"),
        ((), b"{", "standard input: the payload is not JSON: line 1, column 2: "),
    ],
)
def test_a_payload_that_cannot_be_read_ends_with_2_and_one_line(
    run: Run, configure: Callable[..., None], arguments: tuple[str, ...], content: bytes, message: str
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    done = run("explain", *arguments, stdin=content)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(message)


@pytest.mark.parametrize("time", ["nonsense", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_that_is_none_ends_with_2(run: Run, time: str) -> None:
    done = run("explain", "--at", time)
    assert done.returncode == 2
    assert "not a time; write one like 2026-11-28T03:12" in done.stderr


def test_fire_says_of_every_strategy_why_nobody_hears(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    strategies: list[dict[str, Any]] = [
        {"name": "off", "receivers": ["ops"], "enabled": False},
        *({"name": f"s{number}", "receivers": ["ops"], "priorities": [0]} for number in range(11)),
    ]
    config = {"receivers": [{"name": "ops", "url": "http://127.0.0.1:9/"}], "strategies": strategies}
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    done = run("fire", stdin=b'{"content": "x"}')
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[-13:] == [
        *("why nobody hears of ● firing, warning x", "strategy", "off disabled"),
        *(f"s{number} priority warning is not in [emergency]" for number in range(9)),
        "and 2 more; hookplugin explain has them all",
    ]


def test_fire_explains_the_first_five_alerts_that_nobody_hears_of_and_lists_all_in_their_order(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    httpserver.expect_request("/").respond_with_data(status=204)
    configure({"ops": httpserver.url_for("/")}, priorities=["critical"])
    alerts = [{"content": f"a{number}", "target": "t", "priority": 1 + number % 2} for number in range(13)]
    done = run("fire", stdin=json.dumps(alerts).encode())
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    table, _, reasons = "\n".join(lines).partition("\n\n")
    assert done.returncode == 0
    outcomes = {"critical": "ops delivered, 204", "warning": "nobody no strategy matched"}
    assert [re.sub(r" [\d.]+$", "", line) for line in table.splitlines()[1:]] == [
        line
        for number, name in enumerate(["critical", "warning"] * 6 + ["critical"])
        for line in (f"● firing, {name} a{number} {outcomes[name]}", "t")
    ]
    assert reasons.split("\n\n") == [
        *(
            f"why nobody hears of ● firing, warning a{number}\nt\nstrategy\nall priority warning is not in [critical]"
            for number in (1, 3, 5, 7, 9)
        ),
        "and 1 more alerts; hookplugin explain says why",
    ]


def test_fire_shows_what_a_plugin_accepts_in_its_own_words(
    run: Run, configure: Callable[..., None], install: Install
) -> None:
    install("often", OWN_WORDS)
    configure({"ops": "http://127.0.0.1:9/"}, enabled=False)
    done = run("fire", stdin=b'{"content": "x"}')
    assert "accepted" in done.stdout
    assert done.returncode == 0


def test_a_recent_alert_is_explained_by_its_id_and_of_firing_and_recovery_the_last_counts(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/").respond_with_data()
    configure({"ops": httpserver.url_for("/")}, match=['zone=~".+"'])
    config = json.loads((tmp_path / "hookplugin.yaml").read_text(encoding="utf-8"))
    config["strategies"].append({"name": "high", "receivers": ["ops"], "priorities": ["critical"]})
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    firing = {"content": "down", "target": "web", "priority": "critical", "firstTriggerTime": 1000, "tags": {"zon": 1}}
    assert run("fire", stdin=json.dumps(firing).encode()).returncode == 0

    def explained() -> Any:
        listed = json.loads(run("alerts", "list", "--json").stdout)
        ids = {one["alert"]["id"] for one in listed if one["alert"]["content"] == "down"}
        done = run("explain", "--json", "--id", *map(str, ids))
        (found,) = json.loads(done.stdout)
        return found

    found = explained()
    assert (found["alert"]["status"], found["alert"]["source"], found["alert"]["tags"]) == (0, "json", {"zon": 1})
    assert [(one["strategy"], one["reason"], one["impossible"]) for one in found["strategies"]] == [
        (
            "all",
            'zone=~".+" does not match: missing',
            ["zone=~\".+\": no alert from 'json' has that tag, of 1 seen; did you mean 'zon'?"],
        ),
        ("high", None, []),
    ]
    recovered = {**firing, "status": "recovered", "priority": "warning"}
    other = {"content": "other"}
    assert run("fire", stdin=json.dumps([recovered, other]).encode()).returncode == 0
    found = explained()
    assert (found["alert"]["status"], found["alert"]["content"]) == (2, "down")
    assert [one["matched"] for one in found["strategies"]] == [False, True]
    assert found["strategies"][1]["reason"] == "it let the firing pass, and its recovery follows"


@pytest.mark.parametrize("outbox", ["sqlite:///outbox.db", "sqlite:///:memory:"])
def test_an_id_that_no_recent_alert_has_ends_with_2(run: Run, tmp_path: Path, outbox: str) -> None:
    (tmp_path / "hookplugin.yaml").write_text(json.dumps({"outbox": outbox}), encoding="utf-8")
    done = run("explain", "--id", "12")
    message = "no recent alert has the id 12; `hookplugin alerts list` shows them\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_the_note_of_a_strategy_that_was_renamed_stands_in_table_and_json(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    httpserver.expect_request("/").respond_with_data()
    configure({"ops": httpserver.url_for("/")}, name="[red]old :fire:")
    assert run("fire", stdin=b'{"content": "x"}').returncode == 0
    configure({"ops": httpserver.url_for("/")}, name="new")
    payload = b'{"content": "x", "status": "recovered"}'
    note = "'ops' heard of the firing by '[red]old :fire:', configured no more; its recovery follows"
    (found,) = json.loads(run("explain", "--json", stdin=payload).stdout)
    assert found["notes"] == [note]
    assert [(one["strategy"], one["matched"]) for one in found["strategies"]] == [("new", False)]
    assert [one["strategies"] for one in found["receivers"]] == [["[red]old :fire:"]]
    assert run("explain", stdin=payload).stdout.splitlines()[-1] == note


def test_where_the_plugin_is_off_there_is_a_note_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text('{"plugins": {"disabled": ["webhook"]}}', encoding="utf-8")
    done = run("explain", "--json", stdin=b'{"content": "x"}')
    (found,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["strategies"], found["receivers"]) == ([], [])
    assert found["notes"] == ["the plugin 'webhook' is off: there are no strategies"]

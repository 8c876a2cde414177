"""`hookplugin alerts list`: what came in, and what became of it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pytest_httpserver import HTTPServer

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def wide(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands on a terminal that is wide enough for everything."""
    monkeypatch.setenv("COLUMNS", "300")
    return run


def test_alerts_are_listed_with_what_became_of_each_and_why_nobody_heard(
    run: Run, httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    httpserver.expect_request("/good").respond_with_data(status=204)
    httpserver.expect_request("/bad").respond_with_data("no such hook", status=404)
    config = {
        "timezone": "Asia/Kathmandu",
        "outbox": "sqlite:///outbox.db",
        "receivers": [{"name": name, "url": httpserver.url_for(f"/{name}")} for name in ("good", "bad")],
        "strategies": [{"name": "all", "receivers": ["good", "bad"], "tags": {"env": "prod"}, "repeat": "4h"}],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    told = {"content": "[red]told[/]", "priority": "critical", "tags": {"env": "prod"}, "firstTriggerTime": 1}
    assert run("fire", stdin=json.dumps([told, told, {"content": "untold"}]).encode()).returncode == 1

    listed = run("alerts", "list", "--since", "1h", "--json")
    first, again, untold = json.loads(listed.stdout)
    assert listed.returncode == 0
    outcomes = {one["receiver"]: (one["state"], one["outcome"]["status"]) for one in first["deliveries"]}
    assert (first["alert"]["content"], first["held"]) == ("[red]told[/]", [])
    assert outcomes == {"good": ("delivered", 204), "bad": ("dead", 404)}
    assert again["deliveries"] == []
    assert [one["receiver"] for one in again["held"]] == ["good", "bad"]
    assert {re.sub(r"20[-: \d]+", "NOW ", one["reason"]) for one in again["held"]} == {
        "it heard of this at NOW UTC, and it is repeated after 4h"
    }
    assert (untold["alert"]["content"], untold["deliveries"]) == ("untold", [])
    assert untold["held"] == [{"receiver": None, "reason": "no strategy matched", "kind": "unmatched"}]

    lines = [" ".join(line.split()) for line in run("alerts", "list").stdout.splitlines()]
    assert (
        re.sub(r"^\d\d-\d\d \d\d:\d\d:\d\d", "NOW", lines[1])
        == "NOW ● firing, critical [red]told[/] good delivered, 204"
    )
    assert lines[2:4] == ["env=prod", f"id {first['alert']['id']}"]
    assert (
        re.sub(r"^\d\d-\d\d \d\d:\d\d:\d\d", "NOW", lines[-2])
        == "NOW ● firing, warning untold nobody no strategy matched"
    )
    assert lines[-1] == f"id {untold['alert']['id']}"

    local = datetime.now(ZoneInfo("Asia/Kathmandu")).replace(tzinfo=None)  # as the configuration says, without a zone
    since = run("alerts", "list", "--json", "--since", f"{local - timedelta(hours=1)}")
    assert json.loads(since.stdout) == json.loads(listed.stdout)


@pytest.mark.parametrize(
    ("outbox", "arguments", "answer"),
    [
        ("sqlite:///new.db", ("--json", "--since", "2026-11-28T03:12+01:00"), (0, "[]\n")),
        ("sqlite:///new.db", ("--since", "2026-11-28"), (0, "{since} ({folder}/new.db, which does not exist yet)\n")),
        ("sqlite:///new.db", ("--since", "yesterday"), (2, "neither a duration like 2h, nor a time like")),
        ("sqlite:///new.db", ("--since", "9999-12-31T23:59:59-12:00"), (2, "neither a duration like 2h, nor a time")),
        ("sqlite:///:memory:", (), (0, "the outbox is in memory: ")),
        ("sqlite:///:memory:", ("--json",), (0, "[]\n")),
        ("sqlite:///hookplugin.yaml", (), (1, "file is not a database; move it away, and a new one is made\n")),
    ],
)
def test_a_list_of_what_is_not_there_creates_nothing(
    wide: Run, tmp_path: Path, outbox: str, arguments: tuple[str, ...], answer: tuple[int, str]
) -> None:
    text = json.dumps({"outbox": outbox, "timezone": "Asia/Tokyo"}) + " " * 1000
    (tmp_path / "hookplugin.yaml").write_text(text, encoding="utf-8")
    done = wide("alerts", "list", *arguments)
    code, message = answer
    assert done.returncode == code
    since = "no alert has come in since 2026-11-28 00:00 JST"
    assert message.format(since=since, folder=tmp_path) in done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["hookplugin.yaml"]
    assert (tmp_path / "hookplugin.yaml").read_text(encoding="utf-8") == text


def test_alerts_are_listed_although_the_configuration_is_wrong_elsewhere(
    wide: Run, configure: Callable[..., None], tmp_path: Path
) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, enabled=False)
    assert wide("fire", stdin=b'{"content": "untold"}').returncode == 0
    wrong = 'timezone: Asia/Tokyo\noutbox: sqlite:///outbox.db\nreceivers: 5\nstrategis: ["x"]\n'
    (tmp_path / "hookplugin.yaml").write_text(wrong, encoding="utf-8")
    listed = wide("alerts", "list", "--json")
    assert (listed.returncode, [one["alert"]["content"] for one in json.loads(listed.stdout)]) == (0, ["untold"])
    none = wide("alerts", "list", "--since", "2100-01-01T00:00Z")
    assert none.stdout == f"no alert has come in since 2100-01-01 09:00 JST ({tmp_path}/outbox.db)\n"
    (tmp_path / "hookplugin.yaml").write_text(wrong.replace("Tokyo", "Tokio"), encoding="utf-8")
    refused = wide("alerts", "list")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith("hookplugin.yaml:1: timezone: unknown time zone 'Asia/Tokio'")

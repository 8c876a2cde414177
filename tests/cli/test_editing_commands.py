"""`hookplugin receiver` and `hookplugin strategy`: what they write, refuse and list."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """\
# ours
receivers:
  - name: ops
    url: http://127.0.0.1:9/ # the pager
strategies:
  - {name: all, receivers: [ops]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_a_receiver_is_added_and_told_to_hear_of_nothing_until_a_strategy_names_it(run: Run, file: Path) -> None:
    done = run("receiver", "add", "chat", "http://127.0.0.1:9/s3cret")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "hookplugin.yaml:5: receivers[1]: 'chat' was added; it hears of nothing until a strategy names it:\n"
        "  hookplugin strategy add NAME --receiver chat\n"
    )
    added = "  - name: chat\n    url: http://127.0.0.1:9/s3cret\n"
    begin, strategies = CONFIG.split("strategies:")
    assert file.read_text(encoding="utf-8") == f"{begin}{added}strategies:{strategies}"


def test_what_to_do_next_can_be_typed_as_it_stands(run: Run, file: Path) -> None:
    added = run("receiver", "add", "it's :fire:", "http://127.0.0.1:9/")
    words = shlex.split(added.stdout.splitlines()[1])
    assert words[:4] == ["hookplugin", "strategy", "add", "NAME"]
    assert run(*words[1:]).returncode == 0
    assert '  - name: NAME\n    receivers: ["it\'s :fire:"]\n' in file.read_text(encoding="utf-8")


def test_of_a_file_that_is_wrong_already_the_lines_are_those_that_people_see(run: Run, file: Path) -> None:
    wrong = CONFIG + "  - {name: lost, receivers: [opps]}\n"
    file.write_text(wrong, encoding="utf-8")
    done = run("receiver", "add", "chat", "ftp://127.0.0.1:9/")
    mistake = "hookplugin.yaml:7: strategies[1].receivers[0]: unknown receiver 'opps'; did you mean 'ops'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", mistake)
    assert file.read_text(encoding="utf-8") == wrong


@pytest.mark.parametrize(
    "receivers", ["&r [*r]", "&r\n  - *r", "&r\n  - [*r]\n  - {name: ops, url: 'http://127.0.0.1:9/'}"]
)
def test_a_list_that_holds_itself_is_refused_and_not_touched(run: Run, file: Path, receivers: str) -> None:
    text = f"receivers: {receivers}\n"
    file.write_text(text, encoding="utf-8")
    done = run("receiver", "add", "chat", "http://127.0.0.1:9/")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hookplugin.yaml")
    assert file.read_text(encoding="utf-8") == text


def test_a_url_is_written_as_a_reference_and_never_as_what_it_stands_for(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_URL", "http://127.0.0.1:9/s3cret")
    done = run("receiver", "add", "chat", "{env: CHAT_URL}", "--json")
    assert json.loads(done.stdout) == {"file": "hookplugin.yaml", "receiver": "chat"}
    assert "  - name: chat\n    url: {env: CHAT_URL}\n" in file.read_text(encoding="utf-8")


def test_receivers_are_listed_without_what_may_be_secret_in_their_urls(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("CHAT_URL", "https://chat.example.com/hooks/s3cret?key=s3cret#s3cret")
    config = {
        "receivers": [
            {"name": "ops", "url": "http://127.0.0.1:9/s3cret"},
            {"name": "chat", "url": {"env": "CHAT_URL"}},
            {"name": "idle", "url": "http://[::1]:9?s3cret"},
        ],
        "strategies": [
            {"name": "all", "receivers": ["ops", "chat", "ops"]},
            {"name": "off", "receivers": ["chat", "idle"], "enabled": False},
        ],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    as_json, table = run("receiver", "list", "--json"), run("receiver", "list")
    assert "s3cret" not in as_json.stdout + table.stdout
    assert json.loads(as_json.stdout) == [
        {"name": name, "address": address, "body": "hertzbeat", "strategies": strategies, "disabled": disabled}
        for name, address, strategies, disabled in (
            ("ops", "http://127.0.0.1:9", ["all"], []),
            ("chat", "https://chat.example.com", ["all"], ["off"]),
            ("idle", "http://[::1]:9", [], ["off"]),
        )
    ]
    assert [" ".join(line.split()) for line in table.stdout.splitlines()[1:]] == [
        "ops http://127.0.0.1:9 hertzbeat all",
        "chat https://chat.example.com hertzbeat all",
        "off (disabled)",
        "idle http://[::1]:9 hertzbeat hears of nothing: no enabled strategy names it",
        "off (disabled)",
    ]


FILTER = (
    "from hookplugin import hookimpl\n@hookimpl\ndef alert_register(registry):\n    registry.filter('noise', bool)\n"
)
OPTIONS = {
    "receiver": ["ops", "chat"],
    "priority": ["critical", "0"],
    "status": ["firing", "resolved"],
    "tag": ["env=prod", "path=a=b: {c}", "none="],
    "match": ['service=~"api-.*"', 'alert.target!="a,b"'],
    "filter": ["noise"],
    "day": ["mon", "sunday"],
    "period": ["22:00-06:00"],
    "timezone": ["Asia/Kathmandu"],
    "repeat": ["1h30m"],
    "body": ["hertzbeat"],
}
ASKED = {
    "name": "night: #1",
    "receivers": ["ops", "chat"],
    "enabled": True,
    "match_all": False,
    "priorities": ["critical", "emergency"],
    "statuses": ["firing", "recovered"],
    "tags": {"env": "prod", "path": "a=b: {c}", "none": ""},
    "tags_mode": "all",
    "match": OPTIONS["match"],
    "filters": ["noise"],
    "days": ["mon", "sun"],
    "period": "22:00-06:00",
    "timezone": "Asia/Kathmandu",
    "repeat": 5400.0,
    "body": "hertzbeat",
}


def test_a_strategy_with_every_option_is_read_as_it_was_asked_for(
    run: Run, file: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    install("quiet", FILTER)
    config = CONFIG.replace("strategies:", "  - {name: chat, url: 'http://127.0.0.1:9/'}\nstrategies:")
    file.write_text(config, encoding="utf-8")
    options = [text for name, given in OPTIONS.items() for one in given for text in (f"--{name}", one)]
    done = run("strategy", "add", "night: #1", *options)
    assert (done.returncode, done.stdout) == (0, "hookplugin.yaml:8: strategies[1]: 'night: #1' was added\n")
    assert file.read_text(encoding="utf-8").startswith(config)
    listed: list[dict[str, Any]] = json.loads(run("strategy", "list", "--json").stdout)
    assert listed[1] == ASKED
    (line,) = (line for line in run("strategy", "list").stdout.splitlines() if line.startswith("night: #1"))
    assert line.split(maxsplit=4)[2:4] == ["ops,", "chat"]
    assert line.rstrip().endswith(
        'critical, emergency; firing, recovered; env is "prod" and path is "a=b: {c}" and none is ""; '
        'service=~"api-.*"; alert.target!="a,b"; filter noise; mon, sun 22:00–06:00 Asia/Kathmandu; again after 1h30m'
    )
    check = json.loads(run("check", "--json").stdout)
    assert (check["ok"], len(check["warnings"])) == (True, 1)  # the outbox is in memory
    alert = {
        "content": "x",
        "priority": 1,
        "target": "t",
        "tags": {"env": "prod", "path": "a=b: {c}", "service": "api-1"},
    }
    told = run("explain", "--json", "--at", "2026-11-29T22:00+05:45", stdin=json.dumps(alert).encode())
    assert [(one["strategy"], one["reason"]) for one in json.loads(told.stdout)[0]["strategies"]] == [
        ("all", None),
        ("night: #1", None),
    ]


def test_a_strategy_for_every_alert_is_the_first_of_a_file_without_any(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("receivers: [{name: ops, url: 'http://127.0.0.1:9/'}]\n", encoding="utf-8")
    done = run("strategy", "add", "yes", "--receiver", "ops", "--match-all", "--json", "--config", str(path))
    assert json.loads(done.stdout) == {"file": str(path), "strategy": "yes"}
    added = "\nstrategies:\n  - name: yes\n    receivers: [ops]\n    match_all: true\n"
    assert path.read_text(encoding="utf-8").endswith(added)


NEW = ("strategy", "add", "new", "--receiver", "ops")


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("receiver", "add", "ops", "ftp://x/s3cret"),
            [
                "5: receivers[1].name: 'ops' is the name of receivers[0] already; choose another",
                "6: receivers[1].url: should be an address that begins with http",
            ],
        ),
        (
            (*NEW, "--receiver", "opps", "--match", "a=~(", "--filter", "a", "--repeat", "soon", "--body", "hertzbaet"),
            [
                "8: strategies[1].receivers[1]: unknown receiver 'opps'; did you mean 'ops'?",
                "9: strategies[1].match[0]: ",
                "10: strategies[1].filters[0]: unknown filter 'a'; there is none",
                "11: strategies[1].repeat: not a duration; write one like ",
                "12: strategies[1].body: unknown body 'hertzbaet'; did you mean 'hertzbeat'?",
            ],
        ),
        ((*NEW, "--period", ""), ["9: strategies[1].period: not a period; "]),  # not: at any time
    ],
)
def test_what_would_be_wrong_is_refused_with_its_lines_and_not_written(
    run: Run, file: Path, arguments: tuple[str, ...], lines: list[str]
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    *told, last = done.stderr.splitlines()
    assert last == "nothing was changed"
    assert [line[: len(start) + 16] for line, start in zip(told, lines, strict=True)] == [
        f"hookplugin.yaml:{start}" for start in lines
    ]
    assert "s3cret" not in done.stderr
    assert file.read_text(encoding="utf-8") == CONFIG
    assert list(file.parent.iterdir()) == [file]


def test_a_tag_needs_a_name_and_a_value(run: Run, file: Path) -> None:
    done = run(*NEW, "--tag", "env=prod", "--tag", "prod", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (2, {"errors": ["--tag prod: write NAME=VALUE"]})
    assert file.read_text(encoding="utf-8") == CONFIG


def test_a_tag_with_two_values_is_refused(run: Run, file: Path) -> None:
    done = run(*NEW, "--tag", "env=prod", "--tag", "env=dev")
    assert (done.returncode, done.stdout) == (2, "")
    assert "env" in done.stderr
    assert file.read_text(encoding="utf-8") == CONFIG

"""`hookplugin render`: what would be sent, without secrets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
FILE = """
receivers:
  - name: chat
    url: https://chat.example.com/hooks/7
    body: lines
    batch: {wait: 1s, max: 10}
  - name: page
    url: https://status.example.com/api
    method: PUT
    body: incident
    auth: {bearer: token-of-the-page}
    headers: {X-Site: "{{ alert.tags.site | default('unknown') }}"}
    vars: {key: the-very-secret}
strategies:
  - {name: all, receivers: [page], match_all: true, body: plain}
bodies:
  - {name: lines, text: "{% for alert in alerts %}{{ alert.content }};{% endfor %}"}
  - {name: plain, json: {what: "{{ alert.content }}", why: "{{ strategy }}"}}
  - {name: incident, json: {key: "{{ vars.key }}", title: "{{ alert.content }}"}}
"""
TWO = json.dumps([{"content": "one", "tags": {"site": "north"}}, {"content": "two"}]).encode()


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hookplugin.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


def requests(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_receiver_is_shown_as_it_would_get_the_alerts(run: Run) -> None:
    chat, *page = requests(run("render", "--json", "-", stdin=TWO))
    assert (chat["receiver"], chat["method"], chat["body"]) == ("chat", "POST", "one;two;")
    assert [json.loads(one["body"])["title"] for one in page] == ["one", "two"]
    assert [one["headers"]["X-Site"] for one in page] == ["north", "unknown"]
    assert {one["method"] for one in page} == {"PUT"}


def test_secrets_are_hidden(run: Run) -> None:
    for done in (run("render", "--json", "-", stdin=TWO), run("render", "-", stdin=TWO)):
        assert done.returncode == 0
        assert "***" in done.stdout
        assert "the-very-secret" not in done.stdout + done.stderr
        assert "token-of-the-page" not in done.stdout + done.stderr


def test_a_strategy_has_a_body_of_its_own(run: Run) -> None:
    (one, _) = requests(run("render", "--strategy", "all", "--json", "-", stdin=TWO))
    assert json.loads(one["body"]) == {"what": "one", "why": "all"}
    assert one["receiver"] == "page"


def test_a_body_is_shown_by_its_name_whatever_is_configured(run: Run) -> None:
    (one,) = requests(run("render", "--body", "slack", "--json", "-", stdin=b'{"content": "disk full"}'))
    assert one["receiver"] is None
    assert "disk full" in one["body"]
    (one, _) = requests(run("render", "--body", "hertzbeat", "--receiver", "page", "--json", "-", stdin=TWO))
    assert json.loads(one["body"])["content"] == "one"


def test_a_payload_is_read_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "alert.json").write_bytes(TWO)
    done = run("render", "--receiver", "chat", "alert.json")
    assert done.returncode == 0
    assert "one;two;" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--body", "slak"], "unknown body 'slak'"),
        (["--receiver", "caht"], "did you mean 'chat'?"),
        (["--strategy", "none"], "unknown strategy 'none'"),
        (["missing.json"], "missing.json"),
    ],
)
def test_what_cannot_be_shown_is_said(run: Run, arguments: list[str], words: str) -> None:
    done = run("render", *arguments, stdin=TWO)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_body_that_fails_is_shown_as_its_fallback_with_exit_2(run: Run, file: Path) -> None:
    file.write_text(FILE.replace('"{{ strategy }}"', '"{{ 1 if alert.tags.n > 5 else 2 }}"'), encoding="utf-8")
    done = run("render", "--body", "plain", "--json", "-", stdin=b'{"content": "x", "tags": {"n": "text"}}')
    assert done.returncode == 2
    (one,) = json.loads(done.stdout)
    assert one["problems"]
    assert "fallback" in json.loads(one["body"])


def test_a_mistake_in_a_body_is_told_with_line_and_column(run: Run, file: Path) -> None:
    file.write_text(FILE.replace("{{ strategy }}", "{{ alert.contnt }}"), encoding="utf-8")
    done = run("check")
    assert done.returncode == 2
    line = 1 + file.read_text(encoding="utf-8").split("\n").index(
        next(one for one in file.read_text(encoding="utf-8").split("\n") if "contnt" in one)
    )
    assert f"hookplugin.yaml:{line}:" in done.stderr + done.stdout
    assert "did you mean 'content'?" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("signing", "header"),
    [
        ("secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'", "webhook-signature"),
        ("secret: a-very-secret-word, signer: github", "X-Hub-Signature-256"),
    ],
)
def test_a_signature_is_shown_as_a_header_that_is_hidden(signing: str, header: str, file: Path, run: Run) -> None:
    file.write_text(f"receivers: [{{name: a, url: 'https://h/', {signing}}}]\n", encoding="utf-8")
    (request,) = requests(run("render", "--json", "--receiver", "a", stdin=b'{"content": "x"}'))
    assert request["headers"][header] == "***"
    assert request["headers"]["webhook-timestamp"].isdecimal()

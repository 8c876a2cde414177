"""What commands print of other people's texts: one line, not endless, and nothing that controls a terminal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from rich.console import Console

from hookplugin.cli.output import alert_text, clean
from hookspecs import Alert

Run = Callable[..., subprocess.CompletedProcess[str]]

TEXTS = st.text(st.sampled_from("ab 0[]/\\:\n\r\t\x1b\x07\x00\x9b\u202e\u2028é😀=") | st.characters(), max_size=200)


LAST = re.compile(r"\\+ ?(?=>\Z)")
"""How many backslashes a text ends with: Rich reads them differently before a tag."""


def printed(markup: str) -> str:
    """Print markup to a terminal that is wide enough, and return what stands there."""
    file = StringIO()
    Console(file=file, width=10_000, highlight=False, emoji=False, legacy_windows=False).print(markup)
    return file.getvalue().removesuffix("\n")


def safe(text: str) -> str:
    """Return a text as it may be shown."""
    line = " ".join(text.split())
    line = line[:160] + "…" if len(line) > 160 else line
    return "".join(one if one.isprintable() else "\ufffd" for one in line)


@given(TEXTS)
@example("[red]fire[/]")
@example("[/]")
@example(":fire:")
@example("\x1b[31m\x1b]0;owned\x07")
@example("a\r\nb\u2028c")
@example("x" * 158 + "[red]x")
@example("C:\\")
@example("C:\\\\")
@example("C:\\\\\\")
def test_any_text_is_shown_as_it_is_on_one_line_without_what_controls(text: str) -> None:
    expected = LAST.sub("\\\\", f"{safe(text)}>")
    for markup in (f"{clean(text)}>", f"[red]{clean(text)}[/]>"):
        assert LAST.sub("\\\\", printed(markup)) == expected


@given(TEXTS, st.none() | TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_an_alert_takes_two_lines_at_most_whatever_it_holds(
    content: str, target: str | None, tags: dict[str, str]
) -> None:
    shown = printed(alert_text(Alert(content=content, target=target, tags=tags)))
    first, *more = shown.split("\n")
    assert first.startswith("● firing, warning  ")
    assert len(more) <= 1
    assert shown.replace("\n", "").isprintable()
    assert all(len(line) <= 19 + 161 for line in (first, *more))


CONTENT = "\x1b[2J[red]fire[/] :fire:\n" + "long " * 100
TAG = "\x1b]0;x\x07"


def test_tables_keep_their_shape_whatever_alerts_and_names_hold(
    run: Run, httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    httpserver.expect_request("/").respond_with_data()
    name = "[red]n :fire: [/]"
    config = {
        "outbox": "sqlite:///outbox.db",
        "receivers": [{"name": name, "url": httpserver.url_for("/")}],
        "strategies": [{"name": name, "receivers": [name], "tags": {"[/]": TAG}}],
    }
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    told, alone = (
        json.dumps({"content": CONTENT, "target": "[bold]t\x07", "tags": tags}).encode() for tags in ({"[/]": TAG}, {})
    )
    content = safe(CONTENT)
    reason = f'tag [/] is missing, not "{safe(TAG)}"'
    marks = "[bold]t\ufffd [/]=\ufffd]0;x\ufffd"

    def lines(*arguments: str, stdin: bytes = b"") -> list[str]:
        done = run(*arguments, stdin=stdin)
        assert done.returncode == 0
        assert done.stdout.replace("\n", "").isprintable()
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    fired = lines("fire", stdin=told)
    assert [fired[1].rpartition(" ")[0], *fired[2:]] == [f"● firing, warning {content} {name} delivered, 200", marks]
    assert lines("fire", stdin=alone)[1:] == [
        f"● firing, warning {content} nobody no strategy matched",
        "[bold]t\ufffd",
        "",
        f"why nobody hears of ● firing, warning {content}",
        "[bold]t\ufffd",
        "strategy",
        f"{name} {reason}",
    ]
    listed = lines("alerts", "list")
    assert [line.split(" ", 2)[-1] for line in (listed[1], listed[4])] == [
        f"● firing, warning {content} {name} delivered, 200",
        f"● firing, warning {content} nobody no strategy matched",
    ]
    assert [listed[2], listed[5]] == [marks, "[bold]t\ufffd"]
    assert len(listed) == 7
    explained = lines("explain", stdin=alone)
    assert explained[1:3] == [f"● firing, warning {content}", "[bold]t\ufffd"]
    assert explained[5:] == [
        "strategy",
        f"– {name} {reason}",
        "",
        "receiver",
        f"– {name} no strategy that matches names it",
    ]
    assert lines("receiver", "list")[1] == f"{name} {httpserver.url_for('/').rstrip('/')} hertzbeat {name}"
    assert lines("strategy", "list")[1].startswith(f"{name} {name} ")

"""How lines of the log are written."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.logs import Json, Logfmt, Plain, set_up

TEXT = st.text(st.characters(exclude_categories=()), max_size=50)


def record(message: str, *arguments: object, **keys: object) -> logging.LogRecord:
    found = logging.LogRecord("hookplugin", logging.WARNING, "x.py", 1, message, arguments, None)
    found.created = datetime(2026, 11, 29, 3, 12, 7, 250_000, UTC).timestamp()
    found.__dict__.update(keys)
    return found


def test_logfmt_has_what_happened_and_what_it_is_about_as_keys() -> None:
    told = record("delivery %s to %r: dead", "0a", "ops", delivery="0a", receiver="the ops", secret="x")
    assert Logfmt().format(told) == (
        "time=2026-11-29T03:12:07.250Z level=warning logger=hookplugin msg=\"delivery 0a to 'ops': dead\" "
        'delivery=0a receiver="the ops"'
    )


def test_json_has_the_same() -> None:
    told = record("delivery %s: dead", "0a", delivery="0a", plugin="often")
    assert json.loads(Json().format(told)) == {
        "time": "2026-11-29T03:12:07.250Z",
        "level": "warning",
        "logger": "hookplugin",
        "msg": "delivery 0a: dead",
        "delivery": "0a",
        "plugin": "often",
    }


def test_people_read_the_message_alone() -> None:
    assert Plain().format(record("it %s", "works", delivery="0a")) == "hookplugin: it works"


def test_a_traceback_is_a_value_of_its_event() -> None:
    told = record("it failed")
    try:
        int("x")
    except ValueError as error:
        told.exc_info = (ValueError, error, error.__traceback__)
    for line in (Logfmt().format(told), Json().format(told)):
        assert len(line.splitlines()) == 1
    assert json.loads(Json().format(told))["error"].splitlines()[-1].startswith("ValueError: ")


def read_logfmt(line: str) -> dict[str, str]:
    found = {}
    for key, quoted, bare in re.findall(r'([a-z]+)=(?:("(?:[^"\\]|\\.)*")|([^ "]*))(?: |$)', line):
        found[key] = json.loads(quoted) if quoted else bare
    return found


@given(message=TEXT, delivery=TEXT)
def test_whatever_is_told_stays_in_one_line_and_in_its_key(message: str, delivery: str) -> None:
    told = record("%s", message, delivery=delivery)
    line = Logfmt().format(told)
    assert line.isascii()
    assert line.isprintable()
    found = read_logfmt(line)
    assert (found["msg"], found["delivery"], len(found)) == (message, delivery, 5)
    written = Json().format(told)
    assert written.isprintable()
    assert json.loads(written)["msg"] == message


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_process_is_quiet_until_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    set_up("logfmt")
    log = logging.getLogger("hookplugin")
    log.info("all is well")
    log.warning("it is %s", "late")
    (line,) = errors.getvalue().splitlines()
    assert shlex.split(line)[1:] == ["level=warning", "logger=hookplugin", "msg=it is late"]

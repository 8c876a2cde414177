"""`fire` reads variables: from the environment, from arguments, from lines or JSON on standard input or in a file."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, LONGEST
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Host
from hookplugin.webhook import webhook_of

Run = Callable[..., subprocess.CompletedProcess[str]]
MACROS = {"NOTIFICATIONTYPE": "PROBLEM", "HOSTNAME": "db1", "HOSTSTATE": "DOWN", "HOSTOUTPUT": 'a "b" & $(x)\n\\n ü;'}
ARGUMENTS = [f"{name}={value}" for name, value in MACROS.items()]
FIRE = ("fire", "--queue", "--source", "nagios")


@pytest.fixture
def stored(tmp_path: Path, configure: Callable[..., None]) -> Callable[[], list[Alert]]:
    """Return the alerts that are in the outbox, the last first."""
    configure({"ops": "http://127.0.0.1:9/"})

    def read() -> list[Alert]:
        with Host(tmp_path / "hookplugin.yaml", dispatch=False) as host:
            webhook = webhook_of(host.context)
            assert webhook
            return [one.alert for one in webhook.store.recent(0)]

    return read


def started(
    folder: Path, arguments: Sequence[str | bytes], stdin: bytes = b"", environment: dict[bytes, bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Start the command as a monitoring system does: bytes as they are, and nothing else in the environment."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment or {},
        input=stdin,
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )


@pytest.mark.parametrize("source", ["nagios", "icinga", "zabbix"])
def test_arguments_are_variables_and_arrive_as_they_are(
    run: Run, stored: Callable[[], list[Alert]], source: str
) -> None:
    names = {
        "nagios": ("HOSTNAME", "HOSTOUTPUT"),
        "icinga": ("HOST_NAME", "HOST_OUTPUT"),
        "zabbix": ("HOST_NAME", "EVENT_NAME"),
    }
    host, output = names[source]
    odd = "a \"b\" & $(touch x) 'c' = -- ü;"
    done = run("fire", "--queue", "--source", source, f"{host}=db1", f"{output}={odd}")
    assert (done.returncode, done.stdout) == (0, "stored: 1 for ops\n")
    (alert,) = stored()
    assert (alert.source, alert.content, alert.tags["host"]) == (source, odd, "db1")


def test_bytes_that_are_no_utf_8_cost_no_alert(stored: Callable[[], list[Alert]], tmp_path: Path) -> None:
    environment = {
        b"NAGIOS_HOSTNAME": b"db1",
        b"NAGIOS_HOSTSTATE": b"DOWN",
        b"NAGIOS_HOSTOUTPUT": b"caf\xe9 \xf0\x9f\x94\xa5\n",
    }
    old = {b"PYTHONUTF8": b"0", b"PYTHONCOERCECLOCALE": b"0", b"LC_ALL": b"C"}  # arguments are ASCII then
    for locale in ({}, old):
        done = started(tmp_path, FIRE, environment=locale | environment)
        assert (done.returncode, done.stderr) == (0, b"")
        arguments = [b"HOSTNAME=db1", b"HOSTSTATE=DOWN", b"HOSTOUTPUT=" + environment[b"NAGIOS_HOSTOUTPUT"]]
        done = started(tmp_path, [*FIRE, *arguments], environment=locale)
        assert (done.returncode, done.stderr) == (0, b"")
    assert len(stored()) == 4
    assert {one.content for one in stored()} == {"caf\ufffd \U0001f525\n"}


def test_without_a_payload_the_environment_is_read_and_what_is_named_counts_before_it(
    run: Run, stored: Callable[[], list[Alert]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in MACROS.items():
        monkeypatch.setenv(f"NAGIOS_{name}", value)
    assert run(*FIRE, stdin=b"not read").returncode == 0
    assert run(*FIRE, "-", stdin=b"HOSTNAME=by lines").returncode == 0
    assert run(*FIRE, "HOSTNAME=by arguments").returncode == 0
    (tmp_path / "payload").write_text('{"HOSTNAME": "by file"}')
    assert run(*FIRE, "payload").returncode == 0
    last = [one.target for one in stored()]
    assert sorted(map(str, last)) == ["by arguments", "by file", "by lines", "db1"]
    assert MACROS["HOSTOUTPUT"] in {one.content for one in stored()}


def test_an_environment_that_is_not_for_the_source_leaves_standard_input(
    run: Run, stored: Callable[[], list[Alert]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAGIOS_HOME", "/usr/lib/nagios4")
    monkeypatch.setenv("NAGIOS_HOSTNAME", "db1")
    assert run("fire", "--queue", "--source", "icinga", stdin=b'{"HOST_NAME": "db2"}').returncode == 0
    monkeypatch.delenv("NAGIOS_HOSTNAME")
    assert run(*FIRE, stdin=b'{"HOSTNAME": "db3"}').returncode == 0
    assert sorted(str(one.target) for one in stored()) == ["db2", "db3"]


def test_lines_give_values_of_several_lines_and_the_first_of_a_name_counts(
    run: Run, stored: Callable[[], list[Alert]]
) -> None:
    lines = (
        b"NAGIOS_HOSTNAME=db1\nHOSTOUTPUT=one\ntwo=2\nNAGIOS_HOSTNAME=evil\n\nfour\xff\nNAGIOS__HOSTPASSWORD=S3CR3T\n"
    )
    assert run(*FIRE, stdin=lines).returncode == 0
    (alert,) = stored()
    assert (alert.target, alert.content) == ("db1", "one\ntwo=2\nNAGIOS_HOSTNAME=evil\n\nfour\ufffd")
    assert "S3CR3T" not in repr(alert)


def test_an_argument_is_never_taken_for_a_file_of_its_name(
    run: Run, stored: Callable[[], list[Alert]], tmp_path: Path
) -> None:
    (tmp_path / "HOSTNAME=db1").write_text('{"HOSTNAME": "of the file"}')
    assert run(*FIRE, "HOSTNAME=db1").returncode == 0
    assert run(*FIRE, "./HOSTNAME=db1").returncode == 0
    assert sorted(str(one.target) for one in stored()) == ["db1", "of the file"]


def test_a_file_of_any_name_is_a_file_for_sources_without_variables(
    run: Run, stored: Callable[[], list[Alert]], tmp_path: Path
) -> None:
    (tmp_path / "content=x").write_text('{"content": "of the file"}')
    assert run("fire", "--queue", "content=x").returncode == 0
    assert [one.content for one in stored()] == ["of the file"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (("nagios", "a.json", "b.json"), b"", 2, "name one FILE, or NAME=VALUE ...; 'b.json' is more than that"),
        (("nagios", "HOSTNAME=a", "b.json"), b"", 2, "name one FILE, or NAME=VALUE ...; 'b.json' is more than that"),
        (("json", "a=1", "b=2"), b"", 2, "name one FILE; 'b=2' is more than that"),
        (("nagos", "HOSTNAME=a", "b"), b"", 2, "unknown source 'nagos'; did you mean 'nagios'?"),
        (("nagios", "HOSTSTATE=UP"), b"", 1, "the arguments: the source 'nagios' cannot read the payload: there is no"),
        (("nagios",), b"what?", 1, "standard input: it is neither a JSON object nor lines NAME=VALUE"),
        (("nagios",), b"", 1, "standard input: the source 'nagios' cannot read the payload: there is no HOSTNAME"),
        (("icinga",), b'{"a": \xff}', 1, "standard input: the payload is not JSON"),
        (("zabbix",), b"[1]", 1, "standard input: the source 'zabbix' cannot read the payload: the payload should be"),
    ],
)
def test_what_cannot_be_read_is_said(  # noqa: PLR0913, PLR0917 - a table
    run: Run, stored: Callable[[], list[Alert]], arguments: tuple[str, ...], stdin: bytes, code: int, message: str
) -> None:
    done = run("fire", "--queue", "--source", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(message)
    assert stored() == []


def test_explain_and_render_read_what_fire_reads(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, tags={"host": "db1"})
    found: Any = json.loads(run("explain", "--json", "--source", "nagios", *ARGUMENTS).stdout)
    assert [one["matched"] for one in found[0]["strategies"]] == [True]
    (request,) = json.loads(run("render", "--json", "--source", "nagios", *ARGUMENTS).stdout)
    assert json.loads(request["body"])["content"] == MACROS["HOSTOUTPUT"]


def test_nobody_hears_of_it_is_said_with_the_reason_and_is_well(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, tags={"host": "db2"})
    done = run(*FIRE, *ARGUMENTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "nobody hears of it: no strategy matched\n"


def failing(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Fire while the file of the outbox cannot grow: the disk is full."""
    limit = (folder / "outbox.db").stat().st_size // 2

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [str(COMMAND), *FIRE, *ARGUMENTS, *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, timeout=LONGEST, check=False, text=True, preexec_fn=fill_the_disk
    )


def test_what_can_neither_be_stored_nor_delivered_ends_with_1_and_a_message(
    stored: Callable[[], list[Alert]], tmp_path: Path
) -> None:
    assert stored() == []  # the file is made
    done = failing(tmp_path, "--wait", "500ms")
    assert done.returncode == 1
    assert f"the outbox {tmp_path}/outbox.db failed" in done.stderr
    end = "it could not be stored; delivered from memory: 0 of 1; the others are lost with this command\n"
    assert done.stderr.endswith(end)


def test_what_cannot_be_stored_is_delivered_all_the_same_and_the_failure_is_said(
    stored: Callable[[], list[Alert]], configure: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    assert stored() == []
    httpserver.expect_request("/ops").respond_with_data()
    configure({"ops": httpserver.url_for("/ops")})
    assert failing(tmp_path).stderr.endswith("\nit could not be stored; delivered from memory: 1 of 1\n")
    done = failing(tmp_path, "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["durable"], [one["state"] for one in answer["deliveries"]]) == (False, ["delivered"])
    assert len(httpserver.log) == 2


def test_what_is_queued_needs_no_module_that_prints_or_sends() -> None:
    unwanted = ("rich", "requests", "urllib3", "hookplugin.cli.showing", "hookplugin.cli.output")
    code = (
        "import sys; from hookplugin.cli import main\n"
        "try: main()\n"
        "finally: print([name for name in sys.modules if name in " + repr(unwanted) + "])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *FIRE, *ARGUMENTS], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "[]"

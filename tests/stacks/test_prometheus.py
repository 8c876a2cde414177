"""Prometheus itself points at `hookplugin serve` instead of an Alertmanager; nothing is lost when that is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from monitored import LONGEST, Arrived, Sensors, address_of, free_port, metric, prometheus, wait_until
from pytest_httpserver import HTTPServer
from serving import serve_process

FIRING, RECOVERED = 0, 2
MANY = 100


@pytest.fixture
def program(foreign: Callable[..., str]) -> str:
    return foreign("prometheus", package="prometheus")


@pytest.fixture
def arrived(httpserver: HTTPServer) -> Arrived:
    """Take what arrives."""
    arrived = Arrived()
    httpserver.expect_request("/ops").respond_with_handler(arrived.answer)
    return arrived


def configure(folder: Path, httpserver: HTTPServer, body: str = "hertzbeat") -> None:
    config = {
        "outbox": "sqlite:///outbox.db",
        "serve": {"bearer": "T0KEN"},
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops"), "body": body}],
        "strategies": [{"name": "critical", "receivers": ["ops"], "priorities": ["critical"]}],
    }
    (folder / "hookplugin.yaml").write_text(json.dumps(config), encoding="utf-8")
    (folder / "hookplugin.yaml").chmod(0o600)


def points_at(port: int) -> dict[str, object]:
    """Return what README shows for `alertmanagers`."""
    example = yaml.safe_load((Path(__file__).parents[1] / "examples/prometheus.yml").read_text(encoding="utf-8"))
    (found,) = example["alerting"]["alertmanagers"]
    assert found["static_configs"] == [{"targets": ["127.0.0.1:4665"]}]
    assert found["authorization"] == {"credentials_file": "hookplugin.token"}
    return {"authorization": {"credentials": "T0KEN"}, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def test_an_alert_of_prometheus_arrives_field_by_field_and_so_does_its_recovery(
    program: str, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver)
    sensors = Sensors({1: 0})
    port = free_port()
    with serve_process(tmp_path, port=port) as server:
        with prometheus(program, tmp_path, httpserver, sensors, points_at(port)):
            before = time.time() * 1000
            sensors.values[1] = 7.5
            wait_until(lambda: arrived.numbers(FIRING), "it never fires")
            sensors.values[1] = 0
            wait_until(lambda: arrived.numbers(RECOVERED), "it never recovers")
        assert server.end()[0] == 0
    firing, recovery = arrived.firing_and_recovery(address_of(httpserver), since=before)
    differ = {"status", "id"} if recovery["id"] != firing["id"] else {"status"}
    assert {name for name in firing if firing[name] != recovery[name]} <= differ
    assert recovery["status"] == RECOVERED
    assert recovery["firstTriggerTime"] == firing["firstTriggerTime"]


def test_what_an_alertmanager_would_send_on_is_sent_on(
    program: str, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver, body="alertmanager")
    port = free_port()
    with (
        serve_process(tmp_path, port=port) as server,
        prometheus(program, tmp_path, httpserver, Sensors({1: 1}), points_at(port)) as url,
    ):
        wait_until(lambda: arrived.bodies, "it never fires")
        assert metric(url, "prometheus_notifications_errors_total") == 0
        assert metric(url, "prometheus_notifications_sent_total") > 0
        assert server.end()[0] == 0
    (alert,) = arrived.bodies[0][1]["alerts"]
    assert alert["status"] == "firing"
    assert alert["annotations"] == {
        "summary": "sensor 1 is at 1",
        "runbook": "https://example.com/<runbook>?a=1&b=2",
    }
    assert alert["labels"]["number"] == "1"
    assert alert["generatorURL"].endswith("/graph?g0.expr=sensor+%3E+0&g0.tab=1")
    assert len(alert["fingerprint"]) == 16
    assert datetime.fromisoformat(alert["startsAt"]).timestamp() == pytest.approx(time.time(), abs=LONGEST)


def test_killed_in_the_middle_and_started_again_every_alert_and_recovery_arrives(
    program: str, arrived: Arrived, httpserver: HTTPServer, tmp_path: Path
) -> None:
    configure(tmp_path, httpserver)
    arrived.pause = 0.02  # so that it is killed while some wait
    sensors = Sensors(dict.fromkeys(range(MANY), 0.0))
    port = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(serve_process(tmp_path, port=port))
        url = stack.enter_context(prometheus(program, tmp_path, httpserver, sensors, points_at(port)))
        sensors.values |= dict.fromkeys(range(MANY // 2), 1.0)
        wait_until(lambda: len(arrived.numbers(FIRING)) > 5, "few fire")
        first.process.kill()
        first.process.wait()
        assert len(arrived.numbers(FIRING)) < MANY // 2
        sensors.values |= dict.fromkeys(range(MANY), 1.0)
        wait_until(lambda: metric(url, "prometheus_notifications_errors_total"), "nobody misses it")
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

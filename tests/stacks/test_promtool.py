"""Metrics and rules as Prometheus' own `promtool` reads them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import yaml
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Host
from hookplugin.server.metrics import exposition

RULES = files("hookplugin.server") / "data" / "alerts.yaml"


@pytest.fixture
def promtool(foreign: Callable[..., str]) -> str:
    return foreign("promtool", package="prometheus")


def test_it_finds_nothing_wrong_with_the_metrics(promtool: str, tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/good").respond_with_data()
    httpserver.expect_request("/bad").respond_with_data(status=404)
    names = ["good", "bad"]
    config = {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "receivers": [{"name": name, "url": httpserver.url_for(f"/{name}")} for name in names],
        "strategies": [{"name": "all", "receivers": names, "priorities": ["critical"]}],
    }
    with closing(Host(config)) as host:
        odd = 'odd "source"\\ \n{}'
        host.wait(host.fire_all([Alert(content="x", priority="critical", source=odd), Alert(content="y")]))
        host.reload()
        text = exposition(host)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert b"hookplugin_attempt_duration_seconds_bucket" in text


def test_it_finds_nothing_wrong_with_the_rules(promtool: str) -> None:
    with as_file(RULES) as path:
        done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert (done.returncode, "SUCCESS: 12 rules found" in done.stdout) == (0, True)


GROWING: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "HookpluginOutboxFull": ("hookplugin_deliveries_refused_total", {}),
    "HookpluginDeadLetters": (
        "hookplugin_deliveries_total", {"receiver": "ops", "outcome": "dead", "reason": "client_error"}
    ),
    "HookpluginRequestsRefused": ("hookplugin_requests_total", {"source": "grafana", "code": "401"}),
    "HookpluginFallbackBodies": ("hookplugin_fallback_bodies_total", {"body": "chat"}),
    "HookpluginPluginFails": ("hookplugin_plugin_failures_total", {"plugin": "odd", "hook": "alert_fired"}),
    "HookpluginReloadFailed": ("hookplugin_reloads_total", {"outcome": "failure"}),
}  # fmt: skip
STANDING: Mapping[str, tuple[str, Mapping[str, str], int]] = {
    "HookpluginDown": ("up", {"job": "hookplugin"}, 0),
    "HookpluginOutboxFails": ("hookplugin_outbox_up", {}, 0),
    "HookpluginReceiverDown": ("hookplugin_receiver_state", {"receiver": "ops", "state": "probed"}, 1),
    "HookpluginReceiverDisabled": ("hookplugin_receiver_state", {"receiver": "ops", "state": "disabled"}, 1),
    "HookpluginPluginOff": ("hookplugin_plugin_up", {"plugin": "odd"}, 0),
    "HookpluginDeliveriesLate": ("hookplugin_oldest_pending_age_seconds", {"receiver": "ops"}, 900),
}


def series(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def test_each_rule_fires_for_what_it_is_about(promtool: str, tmp_path: Path) -> None:
    given = {
        name: (series(metric, labels), "_ _ 1x20" if metric == "hookplugin_requests_total" else "0 0 1x20")
        for name, (metric, labels) in GROWING.items()
    }
    given |= {name: (series(metric, labels), f"{value}x20") for name, (metric, labels, value) in STANDING.items()}
    with as_file(RULES) as path:
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"][0]["rules"]
        assert given.keys() == {rule["alert"] for rule in rules}
        tests = [
            {
                "interval": "1m",
                "input_series": [{"series": text, "values": values}],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
                        "eval_time": "8m",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                ],
            }
            for name, (text, values) in given.items()
        ]
        file = tmp_path / "tests.yaml"
        file.write_text(yaml.safe_dump({"rule_files": [str(path)], "evaluation_interval": "1m", "tests": tests}))
        done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

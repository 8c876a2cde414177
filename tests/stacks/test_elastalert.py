"""ElastAlert's real alerters, run by its own `elastalert-test-rule`, which plays Elasticsearch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from pytest_httpserver import HTTPServer

from hookplugin import Context
from hookplugin.sources.elastalert import parse_elastalert

Run: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

EXAMPLE = Path(__file__).parents[1] / "examples/elastalert.yaml"
MATCHES = [
    {
        "@timestamp": f"2026-01-02T03:04:0{number}Z",
        "_id": f"a{number}",
        "_index": "shop",
        "service": service,
        "at": {"host": host},
    }
    for number, service, host in ((1, "orders", "db1"), (2, "carts", "db2"))
]
CONFIG = {
    "rules_folder": "rules",
    "run_every": {"minutes": 1},
    "buffer_time": {"minutes": 15},
    "alert_time_limit": {"days": 2},
    "es_host": "127.0.0.1",
    "es_port": 9,
    "writeback_index": "elastalert_status",
}
OURS = {"alert": ["hookplugin.hosts.elastalert.HookPluginAlerter"]}
RULE: dict[str, object] = {
    "name": "errors of the shop",
    "type": "any",
    "index": "shop-*",
    "filter": [],
    "priority": 1,
    "query_key": "service",
    "alert_subject": "{0} fails",
    "alert_subject_args": ["service"],
    "alert_text": "see the runbook",
    "alert_text_type": "alert_text_only",
}


@pytest.fixture
def elastalert(foreign_python: Callable[[str], Path], tmp_path: Path) -> Run:
    """Run a rule with these options over the matches."""
    command = foreign_python("elastalert").with_name("elastalert-test-rule")

    def run(rule: dict[str, object] = RULE, /, **options: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "rules").mkdir(exist_ok=True)
        files = {"config.yaml": CONFIG, "data.json": MATCHES, "rules/errors.yaml": rule | options}
        for name, value in files.items():
            (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if name != "HOOKPLUGIN_CONFIG"}
        return subprocess.run(
            [command, "--config", "config.yaml", "--data", "data.json", "--alert", "rules/errors.yaml"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip

    return run


@pytest.fixture
def configured(httpserver: HTTPServer, tmp_path: Path) -> Path:
    """Tell one receiver of everything."""
    httpserver.expect_request("/ops").respond_with_data()
    names = ("target", "content", "source", "tags", "annotations", "first_trigger_time", "event_id", "group")
    body = {name: f"{{{{ alert.{name} }}}}" for name in names}
    config = {
        "severities": {"1": "emergency"},
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops"), "body": "all"}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
        "bodies": [
            {"name": "all", "json": body | {name: f"{{{{ alert.{name}.name }}}}" for name in ("status", "priority")}}
        ],
    }
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def heard(server: HTTPServer) -> list[dict[str, Any]]:
    return [json.loads(request.get_data()) for request, _ in server.log]


ORDERS = {
    "target": "errors of the shop",
    "content": "orders fails",
    "source": "elastalert",
    "status": "firing",
    "priority": "emergency",
    "tags": {"service": "orders", "at.host": "db1"},
    "annotations": {"description": "see the runbook"},
    "first_trigger_time": 1767323041000,
    "event_id": "shop/a1",
}


@pytest.mark.parametrize("options", [{}, {"hookplugin_config": "other.yaml"}], ids=["found", "named by the rule"])
def test_each_match_arrives_field_by_field(
    options: dict[str, str], elastalert: Run, configured: Path, httpserver: HTTPServer
) -> None:
    configured.rename(configured.with_name(options.get("hookplugin_config", configured.name)))
    done = elastalert(**OURS, **options)
    assert done.stdout.count("'alert_sent': True") == 2
    assert "'alert_info': {'type': 'hookplugin', 'config': " in done.stdout
    orders, carts = sorted(heard(httpserver), key=lambda body: str(body["event_id"]))
    rule = orders.pop("group")["rule"]
    told = {name: RULE[name] for name in ("name", "index", "priority", "query_key")}
    assert rule == told | {"timestamp_field": "@timestamp"}
    assert orders == ORDERS
    assert (carts["content"], carts["tags"]) == ("carts fails", {"service": "carts", "at.host": "db2"})


@pytest.mark.usefixtures("configured")
def test_matches_that_come_together_are_alerts_of_their_own(elastalert: Run, httpserver: HTTPServer) -> None:
    elastalert(**OURS, aggregation={"minutes": 0})
    assert sorted(body["content"] for body in heard(httpserver)) == ["carts fails", "orders fails"]


@pytest.mark.usefixtures("configured")
def test_the_example_of_a_rule_fires(elastalert: Run, httpserver: HTTPServer) -> None:
    rule = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    elastalert(rule)
    assert {(body["content"], body["priority"]) for body in heard(httpserver)} == {(rule["name"], "emergency")}


def test_what_could_not_be_stored_is_kept_by_elastalert(elastalert: Run, tmp_path: Path) -> None:
    done = elastalert(**OURS, hookplugin_config=str(tmp_path / "missing.yaml"))
    assert done.stdout.count("'alert_sent': False") == 2
    assert "hookplugin could not store the alert; its log says why" in done.stdout + done.stderr
    assert "missing.yaml" in done.stderr
    assert "disabled" not in done.stdout + done.stderr


@pytest.mark.usefixtures("configured")
def test_its_alerter_command_pipes_matches_into_our_command(elastalert: Run, httpserver: HTTPServer) -> None:
    fire = [str(Path(sys.executable).with_name("hookplugin")), "fire", "--source", "elastalert"]
    elastalert(alert=["command"], command=fire, pipe_match_json=True, fail_on_non_zero_exit=True)
    told = {str(body["event_id"]): body for body in heard(httpserver)}
    assert told["shop/a1"]["tags"] == ORDERS["tags"]
    assert told["shop/a1"]["first_trigger_time"] == ORDERS["first_trigger_time"]
    assert told["shop/a2"]["tags"]["service"] == "carts"


def test_its_alerter_post_sends_what_the_source_reads(elastalert: Run, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ingest").respond_with_data()
    elastalert(alert=["post"], http_post_url=httpserver.url_for("/ingest"))
    first, second = (next(iter(parse_elastalert(body, Context()))) for body in heard(httpserver))
    assert not isinstance(first, ValueError)
    assert (first.tags, first.event_id) == (ORDERS["tags"], "shop/a1")
    assert not isinstance(second, ValueError)
    assert second.event_id == "shop/a2"

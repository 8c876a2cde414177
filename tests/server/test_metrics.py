"""What `/metrics` says, also of what other processes of the same outbox did, and what is made of it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import COMMAND
from prometheus_client.parser import text_string_to_metric_families
from pytest_httpserver import HTTPServer

from hookplugin import Alert, ConfigError, Host
from hookplugin.delivery.health import Health, write_health
from hookplugin.outbox.store import Store
from hookplugin.server.metrics import exposition

DATA = files("hookplugin.server") / "data"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(host: Host) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(host, {("json", "401"): 1}).decode())
        for sample in family.samples
    }


def value(host: Host, name: str, **labels: str) -> float | None:
    return samples(host).get((name, frozenset(labels.items())))


@pytest.fixture
def keys(config: dict[str, Any], httpserver: HTTPServer) -> dict[str, Any]:
    httpserver.expect_request("/gone").respond_with_data(status=404)
    body = {"name": "broken", "json": "{{ alert.tags.nothing }}"}
    others = [{"name": "gone", "url": httpserver.url_for("/gone")}]
    return {**config, "receivers": [*config["receivers"], *others], "bodies": [body]}


@pytest.fixture
def host(keys: dict[str, Any]) -> Iterator[Host]:
    with closing(Host(keys)) as host:
        yield host


def store_of(host: Host) -> Store:
    store: Store = host.context.state["hookplugin.webhook"].store
    return store


def test_alerts_and_what_became_of_them_are_counted(host: Host) -> None:
    receipt = host.fire_all(
        [
            Alert(content="1", source="mine"),
            Alert(content="2", source="mine", tags={"env": "prod"}),
            Alert(content="3", tags={"env": "dev"}),
        ]
    )
    host.wait(receipt)
    assert value(host, "hookplugin_alerts_total", source="mine") == 2
    assert value(host, "hookplugin_alerts_total", source="") == 1
    assert value(host, "hookplugin_suppressed_total", reason="unmatched", receiver="") == 1
    assert value(host, "hookplugin_deliveries_accepted_total", receiver="ops") == 2
    assert value(host, "hookplugin_deliveries_total", receiver="ops", outcome="delivered", reason="") == 2
    assert value(host, "hookplugin_attempts_total", receiver="ops", result="delivered") == 2
    assert value(host, "hookplugin_attempt_duration_seconds_count", receiver="ops") == 2
    assert value(host, "hookplugin_delivery_latency_seconds_count", receiver="ops") == 2
    assert value(host, "hookplugin_delivery_latency_seconds_bucket", receiver="ops", le="+Inf") == 2
    assert value(host, "hookplugin_outbox_up") == 1


def test_buckets_only_grow(host: Host) -> None:
    host.wait(host.fire(Alert(content="1")))
    found = [
        (float(dict(labels)["le"]), count)
        for (name, labels), count in samples(host).items()
        if name == "hookplugin_attempt_duration_seconds_bucket"
    ]
    counts = [count for _, count in sorted(found)]
    assert (counts, counts[-1], len(counts)) == (sorted(counts), 1, 15)


def test_why_a_receiver_does_not_hear_is_a_label_of_its_own(keys: dict[str, Any]) -> None:
    keys["strategies"] = [{"name": "all", "receivers": ["gone"], "match_all": True}]
    with closing(Host(keys)) as host:
        assert value(host, "hookplugin_deliveries_total", receiver="gone", outcome="dead", reason="client_error") == 0
        host.wait(host.fire(Alert(content="x")))
        assert value(host, "hookplugin_deliveries_total", receiver="gone", outcome="dead", reason="client_error") == 1
        assert value(host, "hookplugin_deliveries_total", receiver="gone", outcome="dead", reason="timeout") == 0
        assert value(host, "hookplugin_dead_letters", receiver="gone") == 1


def test_why_a_recovery_is_not_told_is_counted(keys: dict[str, Any]) -> None:
    keys["strategies"] = [{"name": "all", "receivers": ["ops"], "priorities": ["critical"]}]
    with closing(Host(keys)) as host:
        host.fire(Alert(content="x", priority="warning"))
        host.fire(Alert(content="x", priority="critical", status="recovered"))
        assert value(host, "hookplugin_suppressed_total", reason="unmatched", receiver="") == 1
        assert value(host, "hookplugin_suppressed_total", reason="unheard_firing", receiver="") == 1


def test_a_resend_is_suppressed_as_repeated(host: Host) -> None:
    alert = Alert(content="x", source="alertmanager", first_trigger_time=1)
    host.wait(host.fire_all([alert, alert]))
    assert value(host, "hookplugin_suppressed_total", reason="repeated", receiver="ops") == 1


def test_what_waits_and_for_how_long_is_said_for_each_receiver(keys: dict[str, Any]) -> None:
    with closing(Host(keys, dispatch=False)) as host:
        host.fire(Alert(content="1"))
        store_of(host).run(lambda connection: connection.execute("update outbox set accepted = accepted - 100"))
        assert value(host, "hookplugin_pending_deliveries", receiver="ops") == 1
        assert value(host, "hookplugin_pending_deliveries", receiver="gone") == 0
        assert 100 <= (value(host, "hookplugin_oldest_pending_age_seconds", receiver="ops") or 0) < 200
        assert value(host, "hookplugin_oldest_pending_age_seconds", receiver="gone") == 0


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (None, "well"),
        (Health("ops", failures=9), "failing"),
        (Health("ops", failures=10), "probed"),
        (Health("ops", failures=10, paused=True), "paused"),
        (Health("ops", paused=True, gone="its mark"), "disabled"),
        (Health("ops", gone="that of another URL"), "well"),
    ],
)
def test_each_receiver_is_in_one_state(keys: dict[str, Any], health: Health | None, state: str) -> None:
    with closing(Host(keys, dispatch=False)) as host:
        if health:
            mark = host.config.receivers[0].mark
            gone = mark if health.gone == "its mark" else health.gone
            found = Health("ops", health.failures, paused=health.paused, gone=gone)
            store_of(host).run(lambda connection: write_health(connection, [found], 0.0))
        states = ("well", "failing", "probed", "paused", "disabled")
        seen = {one: value(host, "hookplugin_receiver_state", receiver="ops", state=one) for one in states}
        assert seen == {one: float(one == state) for one in states}


def test_fallbacks_failures_of_plugins_and_reloads_are_counted(
    keys: dict[str, Any], tmp_path: Path, install: Callable[..., None]
) -> None:
    code = "@hookimpl\ndef alert_fired(alert):\n    raise ValueError(alert.content)\n"
    install("odd", f"from hookplugin import hookimpl\n\n{code}")
    keys["receivers"][0]["body"] = "broken"
    file = tmp_path / "hookplugin.yaml"
    file.write_text(json.dumps(keys), encoding="utf-8")
    with closing(Host(file)) as host:
        host.wait(host.fire(Alert(content="secret")))
        host.reload()
        file.write_text("nonsense: 1", encoding="utf-8")
        with pytest.raises(ConfigError):
            host.reload()
        assert value(host, "hookplugin_fallback_bodies_total", body="broken") == 1
        assert value(host, "hookplugin_plugin_failures_total", plugin="odd", hook="alert_fired") == 1
        assert value(host, "hookplugin_reloads_total", outcome="success") == 1
        assert value(host, "hookplugin_reloads_total", outcome="failure") == 1
        assert b"secret" not in exposition(host)


def test_a_full_outbox_is_counted(keys: dict[str, Any]) -> None:
    with closing(Host({**keys, "max_pending": 1}, dispatch=False)) as host:
        host.fire_all([Alert(content=str(number)) for number in range(3)])
        assert value(host, "hookplugin_deliveries_refused_total") == 2
        assert value(host, "hookplugin_suppressed_total", reason="refused", receiver="") == 2


def test_what_other_processes_did_is_counted_too(keys: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "hookplugin.yaml").write_text(json.dumps(keys), encoding="utf-8")
    for arguments in (["--queue"], []):
        alert = b'{"content": "x", "source": "other"}'
        subprocess.run([COMMAND, "fire", *arguments, "-"], cwd=tmp_path, input=alert, capture_output=True, check=True)
    with closing(Host(keys)) as host:
        host.wait(host.fire(Alert(content="y")))
        assert value(host, "hookplugin_alerts_total", source="other") == 2
        assert value(host, "hookplugin_deliveries_accepted_total", receiver="ops") == 3
        assert host.close() == 0
    with closing(Host(keys)) as host:
        assert value(host, "hookplugin_deliveries_total", receiver="ops", outcome="delivered", reason="") == 3


def test_metrics_of_an_outbox_that_fails_say_so(keys: dict[str, Any], tmp_path: Path) -> None:
    with closing(Host(keys)) as host:
        store_of(host).stay_durable()
        for file in tmp_path.glob("outbox.db*"):
            file.rename(file.with_name(f"away-{file.name}"))
        store_of(host).count("reloads", "success")
        found = {name: value for (name, _), value in samples(host).items() if name.startswith("hookplugin")}
        assert found == {
            "hookplugin_build_info": 1,
            "hookplugin_requests_total": 1,
            "hookplugin_plugin_up": 1,
            "hookplugin_outbox_up": 0,
        }


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bhookplugin_[a-z_]+", text))


def known_names(host: Host) -> set[str]:
    found = {name for name, _ in samples(host)}
    return found | {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_rules_and_dashboard_speak_of_metrics_that_there_are(file: str, host: Host) -> None:
    host.wait(host.fire_all([Alert(content="x"), Alert(content="y", tags={"env": "dev"})]))
    store = store_of(host)
    for name, *labels in (("fallbacks", "chat"), ("plugin_failures", "odd", "alert_fired"), ("reloads", "failure")):
        store.count(name, *labels)
    named = names_in((DATA / file).read_text(encoding="utf-8"))
    assert named
    assert named - known_names(host) == set()


def test_the_readme_names_every_metric_with_its_labels(host: Host) -> None:
    host.wait(host.fire_all([Alert(content="x"), Alert(content="y", tags={"env": "dev"})]))
    store = store_of(host)
    for name, *labels in (("fallbacks", "chat"), ("plugin_failures", "odd", "alert_fired"), ("reloads", "failure")):
        store.count(name, *labels)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    told = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"`(hookplugin_\w+)(?:\{([\w,]+)\})?`", readme)
    }
    seen: dict[str, set[str]] = {}
    for name, pairs in samples(host):
        if name.startswith("hookplugin_") and name != "hookplugin_build_info":
            seen.setdefault(re.sub(r"_(bucket|count|sum)$", "", name), set()).update(dict(pairs).keys() - {"le"})
    assert told.pop("hookplugin_sending_deliveries") == set()
    seen.pop("hookplugin_sending_deliveries")
    assert told == seen


def test_rules_have_a_severity_and_say_what_to_do() -> None:
    (group,) = yaml.safe_load((DATA / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_the_dashboard_shows_each_panel_in_a_place_of_its_own() -> None:
    dashboard = json.loads((DATA / "dashboard.json").read_text(encoding="utf-8"))
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

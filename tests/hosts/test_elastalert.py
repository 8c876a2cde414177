"""The alerter for ElastAlert, with a stand-in for its base class; tests/stacks has the real one."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from pytest_httpserver import HTTPServer

Make: TypeAlias = Callable[..., Any]

MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)
MATCH: dict[Any, Any] = {"@timestamp": MIDNIGHT, "_id": "1", "_index": "shop", "service": "orders"}


class EAException(Exception):  # noqa: N818 - ElastAlert's name
    """What ElastAlert tries again for."""


class Alerter:
    """Be what we use of ElastAlert's."""

    def __init__(self, rule: dict[str, Any]) -> None:
        self.rule = rule

    def create_title(self, matches: list[dict[str, Any]]) -> str:
        return str(self.rule.get("alert_subject", self.rule["name"])).format(**matches[0])

    def create_alert_body(self, matches: list[dict[str, Any]]) -> str:
        return f"{self.create_title(matches)}\n\n{self.rule.get('alert_text', 'text')}\n\n"


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """Return what makes our alerter for a rule with these options."""
    for name in ("elastalert", "elastalert.alerts", "elastalert.util"):
        module = ModuleType(name)
        module.__dict__.update(Alerter=Alerter, EAException=EAException)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("hookplugin.hosts.elastalert", None)
    loaded = importlib.import_module("hookplugin.hosts.elastalert")
    yield lambda **rule: loaded.HookPluginAlerter({"name": "errors", "query_key": "service", **rule})
    for adapter in loaded.adapters.values():
        adapter.close()
    sys.modules.pop("hookplugin.hosts.elastalert", None)


@pytest.fixture
def heard(httpserver: HTTPServer, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Tell two receivers, in two files; return what tells what they have heard."""
    for name in ("hookplugin", "other"):
        httpserver.expect_request(f"/{name}").respond_with_data()
        config = {
            "receivers": [{"name": "ops", "url": httpserver.url_for(f"/{name}"), "body": "all"}],
            "strategies": [{"name": "all", "receivers": ["ops"]}],
            "bodies": [{"name": "all", "json": {"content": "{{ alert.content }}", "raw": "{{ alert.raw }}"}}],
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(config), encoding="utf-8")

    def close_and_tell() -> list[dict[str, Any]]:
        for adapter in sys.modules["hookplugin.hosts.elastalert"].__dict__["adapters"].values():
            adapter.close()
        return [{"path": request.path, **json.loads(request.get_data())} for request, _ in httpserver.log]

    return close_and_tell


def test_each_match_is_an_alert_with_a_title_of_its_own(make: Make, heard: Callable[[], list[dict[str, Any]]]) -> None:
    make(alert_subject="{service} fails").alert([MATCH, {**MATCH, "service": "carts"}])
    assert sorted(one["content"] for one in heard()) == ["carts fails", "orders fails"]


def test_a_rule_may_name_a_configuration_of_its_own(make: Make, heard: Callable[[], list[dict[str, Any]]]) -> None:
    make(hookplugin_config="other.yaml").alert([MATCH])
    make().alert([MATCH])
    make(hookplugin_config="other.yaml").alert([MATCH])
    assert sorted(one["path"] for one in heard()) == ["/hookplugin", "/other", "/other"]
    assert make(hookplugin_config="other.yaml").get_info() == {"type": "hookplugin", "config": "other.yaml"}
    assert make().get_info() == {"type": "hookplugin", "config": None}


def test_what_json_does_not_know_is_written_as_text(make: Make, heard: Callable[[], list[dict[str, Any]]]) -> None:
    odd: dict[Any, Any] = {("a", "b"): 1, "price": Decimal("1.10"), "seen": MIDNIGHT.date()}
    make().alert([MATCH | odd])
    ((told),) = heard()
    assert told["raw"] == {
        **MATCH,
        "@timestamp": "2026-01-02T00:00:00+00:00",
        "price": "1.10",
        "seen": "2026-01-02",
    }


@pytest.mark.parametrize("option", ["alert_subject", "alert_text"])
def test_a_template_that_fails_costs_the_text_and_not_the_alert(
    option: str, make: Make, heard: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    alerter = make(**{option: "{missing}"})
    if option == "alert_text":
        alerter.create_alert_body = lambda _: 1 / 0
    alerter.alert([MATCH])
    assert [one["content"] for one in heard()] == ["errors"]
    assert "alert_subject or alert_text of the rule 'errors'" in caplog.text


def test_what_could_not_be_stored_is_tried_again(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "hookplugin"), pytest.raises(EAException, match="its log says why"):
        make(hookplugin_config="missing.yaml").alert([MATCH])
    assert "missing.yaml" in caplog.text


def test_what_there_is_no_room_for_is_tried_again(
    make: Make, heard: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "hookplugin.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "max_pending": 1, "dispatch": False, "outbox": "sqlite:///o.db"}))

    def fill() -> None:
        for number in range(300):
            make().alert([{**MATCH, "service": str(number)}])

    with pytest.raises(EAException):
        fill()
    assert heard() == []


def test_what_will_never_be_read_is_given_up(make: Make, heard: Callable[[], list[dict[str, Any]]]) -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"deep": deep}
    endless: dict[str, Any] = {}
    endless["again"] = endless
    make().alert([{**MATCH, "deep": deep}, {**MATCH, "service": "carts"}])
    make().alert([{**MATCH, "endless": endless}])
    assert [one["raw"]["service"] for one in heard()] == ["carts"]


def test_secrets_of_a_rule_go_nowhere(make: Make, heard: Callable[[], list[dict[str, Any]]], tmp_path: Path) -> None:
    text = (tmp_path / "hookplugin.yaml").read_text(encoding="utf-8").replace("alert.raw", "alert.group")
    (tmp_path / "hookplugin.yaml").write_text(text, encoding="utf-8")
    make(es_password="S3CR3T", slack_webhook_url="https://hooks.example.com/S3CR3T", priority=2).alert([MATCH])
    (told,) = heard()
    assert told["raw"] == {"rule": {"name": "errors", "query_key": "service", "priority": 2}}

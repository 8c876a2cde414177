"""Our plugin for Alerta, where there is no Alerta: what it costs, and what it makes of whatever comes.

`tests/stacks/test_alerta.py` has it in a real one.
"""

from __future__ import annotations

import importlib
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MODULE = "hookplugin.hosts.alerta"
CALLS = [
    ("pre_receive", ()),
    ("post_receive", ()),
    ("status_change", ("closed", "text")),
    ("take_action", ("ack", "text")),
    ("post_action", ("ack", "text")),
    ("delete", ()),
]


class PluginBase:
    """Stand in for Alerta's own."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    @staticmethod
    def get_config(key: str, default: object = None, type: object = None, **kwargs: Any) -> object:  # noqa: A002, ARG004 - as Alerta has it
        return kwargs["config"].get(key, default)


class Odd:
    """Fail whatever is asked."""

    def __getattr__(self, name: str) -> object:
        raise TypeError(name)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the plugin, as Alerta makes it."""
    alerta, flask = ModuleType("alerta.plugins"), ModuleType("flask")
    alerta.PluginBase, flask.g = PluginBase, {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "alerta.plugins", alerta)
    monkeypatch.setitem(sys.modules, "flask", flask)
    yield importlib.import_module(MODULE).HookPlugin()
    sys.modules.pop(MODULE)


def test_without_alerta_only_this_module_cannot_be_imported() -> None:
    with pytest.raises(ModuleNotFoundError, match="alerta"):
        importlib.import_module(MODULE)


def test_the_entry_point_names_the_plugin(plugin: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["alerta.plugins"] == {"hookplugin": f"{MODULE}:{type(plugin).__name__}"}


def test_construction_starts_no_thread_and_reads_no_configuration(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOKPLUGIN", "/nowhere/hookplugin.yaml")
    before = threading.active_count()
    type(plugin)()
    assert threading.active_count() == before
    assert caplog.records == []


@pytest.mark.parametrize(("hook", "arguments"), CALLS)
@pytest.mark.parametrize("alert", [Odd(), None, SimpleNamespace(id="a", status="open")], ids=["odd", "none", "bare"])
@pytest.mark.parametrize("config", [{"HOOKPLUGIN": 5}, {"HOOKPLUGIN": Odd()}, {}, None, Odd()], ids=range(5))
def test_no_hook_raises_whatever_comes(
    plugin: Any, hook: str, arguments: tuple[str, ...], alert: object, config: object
) -> None:
    answer = getattr(plugin, hook)(alert, *arguments, config=config)
    assert answer is {"pre_receive": alert, "delete": True}.get(hook)


def test_what_goes_wrong_is_logged(plugin: Any, caplog: pytest.LogCaptureFixture) -> None:
    plugin.post_receive(Odd(), config={})
    (record,) = caplog.records
    assert record.getMessage().startswith("an alert of Alerta was not taken: TypeError")

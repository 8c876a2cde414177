"""The contract as others rely on it: what is public, exact signatures, and plugins that are older or newer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pluggy
import pytest
from pydantic import BaseModel
from pytest_httpserver import HTTPServer

import hookplugin
import hookspecs
from hookplugin import Alert, Body, Context, Delivery, Host, Message, Outcome, Registry, WireRequest, hookimpl
from hookplugin.discovery import HOOKS

HOOK_SIGNATURES: Final = {
    "alert_register": "(registry: Registry) -> None",
    "alert_configure": "(context: Context) -> None",
    "alert_fired": "(alert: Alert, context: Context) -> Iterable[Delivery] | None",
    "alert_delivered": "(delivery: Delivery, outcome: Outcome, context: Context) -> None",
    "alert_shutdown": "(context: Context) -> None",
}
OFFER_SIGNATURES: Final = {
    "source": "(self, name: str, parse: Source, *, resends: bool = False) -> None",
    "filter": "(self, name: str, predicate: Filter) -> None",
    "renderer": "(self, name: str, render: Renderer) -> None",
    "signer": "(self, name: str, sign: Signer) -> None",
    "sender": "(self, name: str, send: Callable[[Message[Any]], None], options: type[BaseModel] | None = None) -> None",
    "settings": "(self, model: type[Model]) -> Model",
}
HOST_SIGNATURES: Final = {
    "fire": "(self, alert: Alert) -> Receipt",
    "fire_all": "(self, alerts: Iterable[Alert]) -> Receipt",
    "receive": "(self, source: str, payload: object) -> Receipt",
    "explain": "(self, alert: Alert, at: datetime | None = None) -> Explanation",
    "reload": "(self, config: ConfigInput | None = None) -> None",
    "resume": "(self) -> None",
    "wait": "(self, receipt: Receipt, seconds: float = 30.0) -> dict[str, Outcome | None]",
    "close": "(self, seconds: float = 10.0) -> int",
}
CONTEXT: Final = ("registry", "settings", "timezone", "severities", "announce", "state", "clock", "priority")
README: Final = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ALERT: Final = Alert(content="disk full", priority="critical")


def signature(function: object) -> str:
    assert callable(function)
    return str(inspect.signature(function)).replace("'", "")


def test_what_hookplugin_exports_is_promised_and_nothing_else() -> None:
    exported = [name for name, value in vars(hookplugin).items() if name[0] != "_" and not inspect.ismodule(value)]
    assert sorted([*exported, "__version__"]) == sorted(hookplugin.__all__)


def test_what_authors_of_plugins_need_comes_from_hookplugin() -> None:
    needed = {"Message", "SendError", "Registry", "Context", "Alert", "Delivery", "Outcome", "Body", "WireRequest"}
    assert needed | {"Secret", "hookimpl", "Priority", "Status", "Reason"} <= {*hookplugin.__all__}
    assert {name for name in needed if getattr(hookplugin, name) is not getattr(hookspecs, name)} == set()


def test_the_signature_of_each_hook_is_this_and_stands_in_the_readme() -> None:
    assert {name: signature(getattr(hookspecs, name)) for name in HOOKS} == HOOK_SIGNATURES
    told = README.replace("\\|", "|")
    assert [name for name, found in HOOK_SIGNATURES.items() if f"`{name}{found}`" not in told] == []


@pytest.mark.parametrize(("owner", "signatures"), [(Registry, OFFER_SIGNATURES), (Host, HOST_SIGNATURES)])
def test_the_signature_of_each_call_is_this(owner: type, signatures: Mapping[str, str]) -> None:
    assert {name: signature(getattr(owner, name)) for name in signatures} == signatures


def test_what_plugins_offer_is_called_like_this() -> None:
    assert hookspecs.Filter == Callable[[Alert], bool]
    assert hookspecs.Renderer == Callable[[Sequence[Delivery]], Body]
    assert hookspecs.Signer == Callable[[WireRequest], WireRequest]
    sender: Any = hookspecs.Sender  # to a type checker, aliases are no values
    source: Any = hookspecs.Source
    assert sender[BaseModel] == Callable[[Message[BaseModel]], None]
    assert source == "Callable[[Any, Context], Iterable[Alert | ValueError]]"


def test_a_plugin_finds_this_in_its_context() -> None:
    assert [name for name in CONTEXT if not hasattr(Context(), name)] == []


class Old:
    """Take fewer arguments than the hooks have."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    @hookimpl
    def alert_register(self) -> None:
        self.heard.append("registered")

    @hookimpl
    def alert_configure(self) -> None:
        self.heard.append("configured")

    @hookimpl
    def alert_fired(self, alert: Alert) -> None:
        self.heard.append(alert)

    @hookimpl
    def alert_delivered(self, outcome: Outcome) -> None:
        self.heard.append(outcome.state)

    @hookimpl
    def alert_shutdown(self) -> None:
        self.heard.append("shut down")


class Newer:
    """Take with a default what only hooks of a later version have, and arguments in another order."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    @hookimpl
    def alert_register(self, registry: Registry, host: str = "any") -> None:
        assert isinstance(registry, Registry)
        self.heard.append(f"registered {host}")

    @hookimpl
    def alert_configure(self, context: Context, again: bool = False) -> None:  # noqa: FBT001, FBT002 - an argument with a default
        assert isinstance(context, Context)
        self.heard.append(f"configured {again}")

    @hookimpl
    def alert_fired(self, context: Context, alert: Alert, urgency: str = "unknown") -> Iterable[Delivery] | None:
        assert isinstance(context, Context)
        self.heard.append((alert, urgency))
        return ()

    @hookimpl
    def alert_delivered(self, context: Context, outcome: Outcome, delivery: Delivery, tries: int = 0) -> None:
        assert isinstance(context, Context)
        self.heard.append((outcome.state, delivery.alert, tries))

    @hookimpl
    def alert_shutdown(self, context: Context, reason: str | None = None) -> None:
        assert isinstance(context, Context)
        self.heard.append(f"shut down {reason}")


@pytest.fixture
def config(httpserver: HTTPServer) -> dict[str, Any]:
    httpserver.expect_request("/ops").respond_with_data()
    return {
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
    }


def live_in_a_host(config: dict[str, Any], plugins: Mapping[str, object]) -> None:
    with Host(config, strict=True, plugins=plugins) as host:
        host.wait(host.fire(ALERT))


def live_in_a_manager(config: dict[str, Any], plugins: Mapping[str, object]) -> None:
    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(hookspecs)
    manager.load_setuptools_entrypoints("hookplugin")
    for name, plugin in plugins.items():
        manager.register(plugin, name=name)
    context = hookplugin.prepare(manager, config)
    manager.check_pending()
    assert len([one for many in manager.hook.alert_fired(alert=ALERT, context=context) for one in many]) == 1
    manager.hook.alert_shutdown(context=context)


@pytest.mark.parametrize("live", [live_in_a_host, live_in_a_manager])
def test_an_old_plugin_and_a_newer_one_run(
    live: Callable[[dict[str, Any], Mapping[str, object]], None], config: dict[str, Any], httpserver: HTTPServer
) -> None:
    old, newer = Old(), Newer()
    live(config, {"old": old, "newer": newer})
    assert len(httpserver.log) == 1
    assert sorted(map(str, old.heard)) == sorted(
        map(str, ["registered", "configured", ALERT, "delivered", "shut down"])
    )
    assert sorted(map(str, newer.heard)) == sorted(
        map(
            str,
            [
                "registered any",
                "configured False",
                (ALERT, "unknown"),
                ("delivered", ALERT, 0),
                "shut down None",
            ],
        )
    )


def test_a_hook_may_get_another_argument_with_a_default() -> None:
    """Rely on it: so the contract grows, and a host that does not know the argument yet need not pass it."""

    class Later:
        @hookspecs.hookspec
        def alert_fired(self, alert: Alert, context: Context, urgency: str = "unknown") -> None: ...

    class Asking:
        @hookimpl
        def alert_fired(self, alert: Alert, urgency: str) -> tuple[Alert, str]:
            return alert, urgency

    class Today:
        @hookimpl
        def alert_fired(self, alert: Alert, context: Context) -> tuple[Alert, Context]:
            return alert, context

    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(Later)
    manager.register(Today())
    manager.register(Asking())
    manager.check_pending()
    context = Context()
    assert manager.hook.alert_fired(alert=ALERT, context=context) == [(ALERT, "unknown"), (ALERT, context)]
    assert manager.hook.alert_fired(alert=ALERT, context=context, urgency="high") == [(ALERT, "high"), (ALERT, context)]

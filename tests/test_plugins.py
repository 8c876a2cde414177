"""Plugins of a host: what each may do, and what a failure costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from hookplugin import Alert, ConfigError, Context, Host, PluginStatus, Registry, hookimpl

Install = Callable[..., None]
Record = dict[str, list[Any]]

HEAD = "from hookplugin import Alert, Body, Context, Delivery, Registry, hookimpl\n"
GOOD = (
    HEAD
    + """
@hookimpl
def alert_configure(context):
    context.state.setdefault("log", []).append("{name} configured")
@hookimpl
def alert_fired(alert, context):
    context.state["log"].append("{name} fired " + alert.content)
    return [Delivery(id="{name}", alert=alert, receiver="r", body="b")]
@hookimpl
def alert_delivered(delivery, outcome, context):
    context.state["log"].append("{name} delivered " + delivery.alert.content)
@hookimpl
def alert_shutdown(context):
    context.state["log"].append("{name} shut down")
"""
)


@pytest.fixture
def two_good(install: Install) -> None:
    for name in ("aaa", "zzz"):
        install(name, GOOD.replace("{name}", name))


def config(server: HTTPServer) -> dict[str, Any]:
    server.expect_request("/hook").respond_with_data()
    return {
        "receivers": [{"name": "ops", "url": server.url_for("/hook")}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }


def status(host: Host, name: str) -> PluginStatus:
    return next(status for status in host.plugins if status.name == name)


HOOKS = {
    "alert_register": "registry",
    "alert_configure": "context",
    "alert_fired": "alert, context",
    "alert_delivered": "delivery, outcome, context",
    "alert_shutdown": "context",
}


@pytest.mark.usefixtures("two_good")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("5", "TypeError: 'int' object is not iterable"),
        ("'text'", "TypeError: it returned str where a Delivery should be"),
        ("[None]", "TypeError: it returned NoneType where a Delivery should be"),
        ("{'id': 1}", "TypeError: it returned str where a Delivery should be"),
        ("[alert]", "TypeError: it returned Alert where a Delivery should be"),
        (
            "Delivery(id='mmm', alert=alert, receiver='r', body='b')",
            "TypeError: it returned tuple where a Delivery should be",
        ),
        ("(1 / number for number in (1, 0))", "ZeroDivisionError: division by zero"),
        (
            "(Delivery(id=1 / n, alert=alert, receiver='r', body='b') for n in [0])",
            "ZeroDivisionError: division by zero",
        ),
        ("(exit() for _ in 'x')", "SystemExit: None"),
    ],
)
def test_junk_from_a_plugin_is_refused_and_what_the_others_accepted_stands(
    install: Install, httpserver: HTTPServer, answer: str, reason: str
) -> None:
    install("mmm", f"{HEAD}@hookimpl\ndef alert_fired(alert):\n    return {answer}\n")
    with Host(config(httpserver)) as host:
        receipt = host.fire(Alert(content="disk full"))
    assert len(receipt.accepted) == 3
    assert [request.headers["webhook-id"] in receipt.accepted for request, _ in httpserver.log] == [True]
    assert [refused.reason for refused in receipt.refused] == [f"the plugin 'mmm' failed: {reason}"]
    assert status(host, "mmm").state == "active"


@pytest.mark.parametrize("answer", ["None", "[]", "()", "iter([])"])
def test_a_plugin_may_accept_nothing(install: Install, answer: str) -> None:
    install("quiet", f"{HEAD}@hookimpl\ndef alert_fired():\n    return {answer}\n")
    with Host({}, strict=True) as host:
        receipt = host.fire(Alert(content="x"))
    assert [unsent.reason for unsent in receipt.suppressed] == ["no strategy matched"]
    assert (receipt.accepted, receipt.refused) == ((), ())


@pytest.mark.usefixtures("two_good")
@pytest.mark.parametrize(
    "change",
    [
        "alert.content = 'mine'",
        "alert.tags['env'] = 'mine'",
        "alert.tags.clear()",
        "alert.annotations.update(a=1)",
        "alert.raw['labels']['env'] = 'mine'",
        "alert.raw['list'].append(1)",
        "del alert.content",
        "alert.extra = 1",
    ],
)
def test_a_plugin_that_tries_to_change_the_alert_gets_an_error(
    install: Install, httpserver: HTTPServer, change: str
) -> None:
    install("mmm", f"{HEAD}@hookimpl\ndef alert_fired(alert):\n    {change}\n")
    fields: dict[str, Any] = {
        "content": "disk full",
        "tags": {"env": "prod"},
        "annotations": {"summary": "x"},
        "raw": {"labels": {"env": "prod"}, "list": [1]},
    }
    alert = Alert(**fields)
    with Host(config(httpserver)) as host:
        receipt = host.fire(alert)
    assert len(receipt.refused) == 1
    assert alert == Alert(**fields)
    ((request, _),) = httpserver.log
    assert (request.json["content"], request.json["tags"]) == ("disk full", {"env": "prod"})


def offering(kind: str, name: str) -> str:
    return f"{HEAD}@hookimpl\ndef alert_register(registry):\n    registry.{kind}('{name}', lambda *_: 1 / 0)\n"


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        ("source", "shared", "aaa"),
        ("filter", "shared", "aaa"),
        ("renderer", "shared", "aaa"),
        ("source", "alertmanager", "hookplugin"),
        ("renderer", "hertzbeat", "hookplugin"),
    ],
)
def test_a_name_that_is_taken_costs_the_second_plugin_and_both_are_named(
    install: Install, kind: str, name: str, owner: str
) -> None:
    install("aaa", offering(kind, "shared"))
    install("bbb", offering(kind, name) + "    registry.filter('more', bool)\n")
    with Host({}) as host:
        assert "more" not in host.context.registry.filters
        assert status(host, "aaa").offers == (f"{kind} shared",)
        second = status(host, "bbb")
    assert (second.state, second.offers) == ("failed", ())
    assert second.reason == (
        f"alert_register failed: ValueError: the {kind} {name!r} is taken by {owner!r}; rename it in 'bbb'"
    )
    with pytest.raises(ExceptionGroup) as caught:
        Host({}, strict=True)
    assert [str(error) for error in caught.value.exceptions] == [
        f"the {kind} {name!r} is taken by {owner!r}; rename it in 'bbb'"
    ]


def test_what_a_plugin_offered_before_it_failed_is_not_there(install: Install) -> None:
    install("half", offering("filter", "early") + "    1 / 0\n")
    with Host({}) as host:
        assert "early" not in host.context.registry.filters
        assert status(host, "half").offers == ()


def test_a_model_of_settings_whose_schema_fails_has_none(install: Install) -> None:
    code = """
        from hookplugin import hookimpl
        from pydantic import BaseModel
        class Settings(BaseModel):
            @classmethod
            def model_json_schema(cls, *_, **__):
                raise SystemExit
        @hookimpl
        def alert_register(registry):
            registry.settings(Settings)
    """
    install("mine", code)
    with Host({}, strict=True) as host:
        assert (status(host, "mine").state, status(host, "mine").settings) == ("active", None)


def test_what_a_plugin_offers_is_used_by_name(install: Install, httpserver: HTTPServer) -> None:
    install(
        "mine",
        HEAD
        + """
@hookimpl
def alert_register(registry):
    registry.filter("loud", lambda alert: alert.content.isupper())
    registry.source("lines", lambda payload, context: [Alert(content=line) for line in payload])
    registry.renderer("plain", lambda deliveries: Body(content=deliveries[0].alert.content.encode()))
""",
    )
    given = config(httpserver)
    given["strategies"][0] |= {"filters": ["loud"], "body": "plain"}
    with Host(given, strict=True) as host:
        assert status(host, "mine").offers == ("filter loud", "renderer plain", "source lines")
        receipt = host.receive("lines", ["quiet", "LOUD"])
    assert [unsent.alert and unsent.alert.source for unsent in receipt.suppressed] == ["lines"]
    assert [request.data for request, _ in httpserver.log] == [b"LOUD"]


def test_each_plugin_sees_its_own_settings_and_nobody_elses(install: Install) -> None:
    for name in ("aaa", "bbb", "ccc"):
        install(
            name, f"{HEAD}@hookimpl\ndef alert_configure(context):\n    context.state['{name}'] = context.settings\n"
        )
    secret = {"token": "S3cret", "deep": {"list": [1]}}
    with Host({"plugins": {"settings": {"aaa": secret, "bbb": {"level": 2}}}}) as host:
        state = host.context.state
        assert state["aaa"] == {"token": "S3cret", "deep": {"list": (1,)}}
        assert state["bbb"] == {"level": 2}
        assert state["ccc"] == {}
        assert host.context.settings == {}
        with pytest.raises(TypeError, match="cannot be changed"):
            state["aaa"]["token"] = "other"


def test_no_other_plugin_is_handed_the_configuration(install: Install) -> None:
    install(
        "webhook2",
        HEAD + "@hookimpl\ndef alert_configure(context):\n    context.state['seen'] = repr(context)\n"
        "    context.state['settings'] = context.settings\n",
    )
    receiver = {"name": "ops", "url": "http://example.com/S3cret", "auth": {"bearer": "S3cret"}}
    with Host({"receivers": [receiver], "plugins": {"settings": {"webhook2": {"mine": 1}}}}) as host:
        assert host.context.state["settings"] == {"mine": 1}
        assert "mine" not in host.context.state["seen"]
        assert "S3cret" not in host.context.state["seen"]
        assert "receivers" not in host.context.state["seen"]


@pytest.mark.usefixtures("two_good")
@pytest.mark.parametrize("hook", ["alert_register", "alert_configure"])
def test_strict_raises_all_failures_after_everybody_was_called(install: Install, hook: str) -> None:
    for name, fault in (("bad", "1 / 0"), ("worse", "raise KeyError('x')")):
        install(name, f"{HEAD}@hookimpl\ndef {hook}():\n    {fault}\n")
    install("zzzz", f"{HEAD}import sys\nlast = []\n@hookimpl\ndef {hook}():\n    last.append('called')\n")
    with pytest.raises(ExceptionGroup, match=f"plugins failed in {hook}") as caught:
        Host({}, strict=True)
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError, KeyError]
    import hookplugin_zzzz  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    assert hookplugin_zzzz.last == ["called"]


@pytest.mark.usefixtures("two_good")
def test_strict_raises_after_the_good_ones_took_the_alert(install: Install, httpserver: HTTPServer) -> None:
    install("bad", HEAD + "@hookimpl\ndef alert_fired():\n    1 / 0\n")
    host = Host(config(httpserver), strict=True)
    with host, pytest.raises(ExceptionGroup, match="plugins failed in alert_fired") as caught:
        host.fire(Alert(content="disk full"))
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
    assert "zzz fired disk full" in host.context.state["log"]
    assert len(httpserver.log) == 1


def test_a_plugin_that_failed_to_configure_hears_of_no_alert(install: Install) -> None:
    install("half", GOOD.replace("{name}", "half") + "@hookimpl\ndef alert_register(registry):\n    1 / 0\n")
    with Host({}) as host:
        assert host.fire(Alert(content="x")).accepted == ()
    assert "log" not in host.context.state


def test_a_host_without_the_webhook_still_asks_the_other_plugins(install: Install) -> None:
    install("aaa", GOOD.replace("{name}", "aaa"))
    with Host({"plugins": {"disabled": ["webhook"]}}) as host:
        receipt = host.fire(Alert(content="x"))
        assert host.wait(receipt, 0.0) == {}
    assert receipt.accepted == ("aaa",)
    assert not receipt.durable
    assert host.context.state["log"][-1] == "aaa shut down"


def test_what_a_plugin_offered_before_it_failed_to_configure_is_not_there(install: Install) -> None:
    install(
        "half",
        HEAD
        + "@hookimpl\ndef alert_register(registry):\n    registry.filter('mine', lambda alert: True)\n"
        + "@hookimpl\ndef alert_configure():\n    1 / 0\n",
    )
    with Host({}) as host:
        assert "mine" not in host.context.registry.filters
    config = {"receivers": [{"name": "a", "url": "http://h/"}]}
    strategy = {"name": "s", "receivers": ["a"], "filters": ["mine"]}
    with pytest.raises(ConfigError, match="unknown filter 'mine'"):
        Host(config | {"strategies": [strategy]})


class Loud:
    """A plugin that a program brings itself."""

    @hookimpl
    def alert_register(self, registry: Registry) -> None:
        registry.filter("loud", lambda alert: alert.content.isupper())

    @hookimpl
    def alert_configure(self, context: Context) -> None:
        context.state["loud"] = context.settings


def test_a_program_brings_plugins_of_its_own_beside_those_that_are_installed(
    install: Install, httpserver: HTTPServer
) -> None:
    install("aaa", GOOD.replace("{name}", "aaa"))
    given = config(httpserver)
    given["strategies"][0]["filters"] = ["loud"]
    with Host(given, strict=True, plugins={"loud": Loud()}) as host:
        receipt = host.fire_all([Alert(content="quiet"), Alert(content="LOUD")])
        assert status(host, "loud") == PluginStatus(
            name="loud", hooks=("alert_register", "alert_configure"), offers=("filter loud",)
        )
        assert status(host, "aaa").state == "active"
    assert [delivery.alert.content for delivery in receipt.deliveries if delivery.id != "aaa"] == ["LOUD"]


def test_what_a_program_brings_displaces_what_is_installed_under_that_name_without_importing_it(
    install: Install,
) -> None:
    install("loud", "1 / 0")
    with Host({}, strict=True, plugins={"loud": Loud()}) as host:
        brought, installed = sorted((one for one in host.plugins if one.name == "loud"), key=lambda one: one.state)
        assert set(host.context.registry.filters) == {"loud"}
    assert "hookplugin_loud" not in sys.modules
    assert (brought.package, brought.state) == (None, "active")
    assert (installed.package, installed.state) == ("hookplugin-loud", "disabled")
    assert installed.reason == "the program brings a plugin of that name itself"


def test_the_configuration_names_what_a_program_brings() -> None:
    plugins = {"required": ["loud"], "settings": {"loud": {"level": 2}}}
    with Host({"plugins": plugins}, plugins={"loud": Loud()}) as host:
        assert host.context.state["loud"] == {"level": 2}
    with Host({"plugins": {"disabled": ["loud"]}}, plugins={"loud": Loud()}) as host:
        assert (status(host, "loud").state, status(host, "loud").reason) == (
            "disabled",
            "disabled by the configuration",
        )
        assert "loud" not in host.context.registry.filters


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (Loud, "it is a class; let the entry point name an instance of Loud, or a module"),
        (None, "it implements no hook; mark functions with @hookplugin.hookimpl"),
        ("loud", "it implements no hook; mark functions with @hookplugin.hookimpl"),
    ],
)
def test_what_a_program_brings_and_is_no_plugin_is_off_with_the_reason(plugin: object, reason: str) -> None:
    with Host({}, plugins={"loud": plugin}) as host:
        assert (status(host, "loud").state, status(host, "loud").reason) == ("failed", reason)


def test_nobody_brings_a_webhook_of_their_own(httpserver: HTTPServer) -> None:
    with Host(config(httpserver), plugins={"webhook": Loud()}) as host:
        ours, other = sorted((one for one in host.plugins if one.name == "webhook"), key=lambda one: one.state)
        receipt = host.fire(Alert(content="disk full"))
    assert (ours.package, ours.state, other.package, other.state) == ("hookplugin", "active", None, "failed")
    assert [request.headers["webhook-id"] for request, _ in httpserver.log] == list(receipt.accepted)

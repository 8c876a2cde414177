"""Plugins that are broken, doubled, disabled or fine: each is told apart, and none stops another."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hookplugin import Alert, ConfigError, Host, PluginStatus, __version__

Install = Callable[..., None]

HEAD = "from hookplugin import Alert, Context, Delivery, Registry, hookimpl\n"
GOOD = HEAD + "@hookimpl\ndef alert_register(registry):\n    registry.filter('good', lambda alert: True)\n"
HOOKS = "alert_configure, alert_delivered, alert_fired, alert_register, alert_shutdown"


def statuses(config: dict[str, object] | None = None) -> dict[str, PluginStatus]:
    with Host(config or {}) as host:
        return {status.name: status for status in host.plugins}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import no_such_module_at_all",
            "it cannot be loaded: ModuleNotFoundError: No module named 'no_such_module_at_all'",
        ),
        ("raise SystemExit(3)", "it cannot be loaded: SystemExit: 3"),
        ("import sys; sys.exit()", "it cannot be loaded: SystemExit"),
        ("1 / 0", "it cannot be loaded: ZeroDivisionError: division by zero"),
        ("this is no python", "it cannot be loaded: SyntaxError: "),
        ("raise ValueError('two\\nlines')", "it cannot be loaded: ValueError: two lines"),
        ("pass", "it implements no hook; mark functions with @hookplugin.hookimpl"),
        ("def alert_fired(alert): ...", "it implements no hook; mark functions with @hookplugin.hookimpl"),
        (HEAD + "@hookimpl\ndef alert_fird(alert): ...", "there is no hook 'alert_fird'; did you mean 'alert_fired'?"),
        (HEAD + "@hookimpl(specname='xyz')\ndef f(): ...", f"there is no hook 'xyz'; there is {HOOKS}"),
        (
            HEAD + "@hookimpl\nasync def alert_fired(alert): ...",
            "alert_fired is async; nobody would await it, write a plain function",
        ),
        (
            HEAD + "@hookimpl\nasync def alert_fired(alert):\n    yield",
            "alert_fired is async; nobody would await it, write a plain function",
        ),
        (
            HEAD + "@hookimpl\ndef alert_fired(alert):\n    yield",
            "alert_fired is a generator; it would run late and outside the call, return a list",
        ),
        (
            HEAD + "@hookimpl(wrapper=True)\ndef alert_fired(alert):\n    return (yield)",
            "alert_fired is a wrapper; wrappers could stop the other plugins, write a plain function",
        ),
        (
            HEAD + "@hookimpl(hookwrapper=True)\ndef alert_fired(alert):\n    yield",
            "alert_fired is a wrapper; wrappers could stop the other plugins, write a plain function",
        ),
        (
            HEAD + "@hookimpl\ndef alert_fired(alert, colour): ...",
            "alert_fired takes 'colour'; there is alert, context",
        ),
        (HEAD + "@hookimpl\ndef alert_register(reg): ...", "alert_register takes 'reg'; there is registry"),
        (
            HEAD + "@hookimpl\ndef alert_fired(alert): ...\ndef alert_shutdown(): ...",
            "alert_shutdown is not marked, and would never be called; write @hookimpl above it",
        ),
        (
            HEAD + "class Mine:\n    @hookimpl\n    def alert_fired(self): ...",
            "it implements no hook; the class Mine does: let the entry point name an instance of it",
        ),
        (
            HEAD + "@hookimpl\ndef alert_fired(alert): ...\n@hookimpl(specname='alert_fired')\ndef again(alert): ...",
            "it implements 'alert_fired' twice; let one function call the other",
        ),
    ],
)
def test_a_broken_plugin_is_off_with_the_reason_and_the_others_run(
    install: Install, caplog: pytest.LogCaptureFixture, code: str, reason: str
) -> None:
    install("aaa", GOOD.replace("good", "first"))
    install("broken", code)
    install("zzz", GOOD.replace("good", "last"))
    with caplog.at_level(logging.WARNING, "hookplugin"):
        found = statuses({"plugins": {"required": ["aaa", "zzz", "webhook"]}})
    broken = found["broken"]
    assert broken.state == "failed"
    assert broken.reason is not None
    assert broken.reason.startswith(reason)
    assert (broken.hooks, broken.offers) == ((), ())
    assert [name for name, status in found.items() if status.state == "active"] == ["aaa", "webhook", "zzz"]
    assert f"the plugin 'broken' is off: {broken.reason}" in caplog.text


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        ("hookplugin_thing:nothing", "x = 1", "it cannot be loaded: AttributeError: "),
        ("hookplugin_other", "x = 1", "it cannot be loaded: ModuleNotFoundError: "),
        ("not a target at all!", "x = 1", "it cannot be loaded: "),
        (
            "hookplugin_thing:Thing",
            HEAD + "class Thing:\n    @hookimpl\n    def alert_fired(self, alert): ...",
            "it is a class; let the entry point name an instance of Thing, or a module",
        ),
    ],
)
def test_an_entry_point_that_names_no_plugin_is_off_with_the_reason(
    install: Install, target: str, code: str, reason: str
) -> None:
    install("thing", code, target=target)
    status = statuses()["thing"]
    assert status.state == "failed"
    assert status.reason is not None
    assert status.reason.startswith(reason)


@pytest.mark.parametrize("header", ["class Thing:", "import dataclasses\n@dataclasses.dataclass\nclass Thing:"])
def test_an_instance_can_be_a_plugin_whatever_it_is_an_instance_of(install: Install, header: str) -> None:
    body = """
    @property
    def unready(self):
        raise RuntimeError("not yet")
    @hookimpl
    def alert_fired(self, alert):
        return [Delivery(id="from-thing", alert=alert, receiver="r", body="b")]
"""
    install("thing", f"{HEAD}{header}\n{body}\nthing = Thing()\n", target="hookplugin_thing:thing")
    install("other", GOOD)
    with Host({}, strict=True) as host:
        assert {status.state for status in host.plugins} == {"active"}
        assert host.fire(Alert(content="x")).accepted == ("from-thing",)


def test_a_status_says_who_and_what_a_plugin_is(install: Install) -> None:
    install("noise", GOOD, package="hookplugin-of-noise")
    found = statuses()
    assert found["noise"] == PluginStatus(
        name="noise",
        package="hookplugin-of-noise",
        version="1.0",
        state="active",
        hooks=("alert_register",),
        offers=("filter good",),
    )
    assert found["webhook"] == PluginStatus(
        name="webhook",
        package="hookplugin",
        version=__version__,
        hooks=("alert_configure", "alert_fired", "alert_shutdown"),
    )


def test_a_broken_plugin_has_a_package_too(install: Install) -> None:
    install("broken", "1 / 0", package="hookplugin-of-sorrow")
    status = statuses()["broken"]
    assert (status.package, status.version) == ("hookplugin-of-sorrow", "1.0")


def test_hooks_of_a_plugin_with_an_unknown_argument_are_never_called(install: Install) -> None:
    install(
        "half",
        HEAD + "@hookimpl\ndef alert_configure(context):\n    context.state['half'] = True\n"
        "@hookimpl\ndef alert_fired(alert, colour): ...\n",
    )
    with Host({}) as host:
        assert "half" not in host.context.state
        assert host.fire(Alert(content="x")).refused == ()


def test_of_two_packages_with_one_name_the_first_by_package_has_it_and_both_are_named(install: Install) -> None:
    install("twin", GOOD.replace("good", "late"), package="hookplugin-zzz")
    install("twin", GOOD.replace("good", "early"), package="hookplugin-aaa")
    with Host({}) as host:
        early, late = [status for status in host.plugins if status.name == "twin"]
        assert set(host.context.registry.filters) == {"early"}
    assert (early.package, early.state) == ("hookplugin-aaa", "active")
    assert (late.package, late.state) == ("hookplugin-zzz", "failed")
    assert late.reason == (
        "hookplugin-aaa 1.0 and hookplugin-zzz 1.0 both offer the name 'twin'; hookplugin-aaa 1.0 has it, remove one"
    )


@pytest.mark.parametrize("target", ["aaa", "hookplugin.webhook"])
@pytest.mark.parametrize("name", ["webhook", "another", "aaa"])
def test_nobody_can_displace_ours(install: Install, name: str, target: str) -> None:
    install(name, GOOD, package="aaa", target=target)
    config = {
        "receivers": [{"name": "ops", "url": "http://127.0.0.1:9/"}],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
        "plugins": {"required": ["webhook"]},
    }
    with Host(config) as host:
        ours, other = sorted(host.plugins, key=lambda status: status.package != "hookplugin")
        assert len(host.fire(Alert(content="x")).accepted) == 1
        host.close(0.0)  # nobody listens
    assert (ours.name, ours.package, ours.state) == ("webhook", "hookplugin", "active")
    assert (other.name, other.package) == (name, "aaa")
    assert (other.state == "failed") == (name == "webhook" or target == "hookplugin.webhook")


def test_packages_without_a_name_do_not_stop_the_others(install: Install, tmp_path: Path) -> None:
    install("twin", GOOD, package="aaa")
    install("twin", GOOD, package="bbb")
    for package in ("aaa", "bbb"):
        (tmp_path / f"site-{package}" / f"{package}-1.0.dist-info" / "METADATA").write_text("", encoding="utf-8")
    with Host({}) as host:
        first, second = [status for status in host.plugins if status.name == "twin"]
    assert (first.package, first.state, second.state) == (None, "active", "failed")
    assert second.reason is not None
    assert "a package without a name" in second.reason


def test_a_disabled_plugin_is_not_even_imported(install: Install) -> None:
    install("disabled", "1 / 0")
    install("other", GOOD)
    found = statuses({"plugins": {"disabled": ["disabled "]}})
    assert "hookplugin_disabled" not in sys.modules
    assert (found["disabled"].state, found["disabled"].reason) == ("disabled", "disabled by the configuration")
    assert found["disabled"].package == "hookplugin-disabled"
    assert found["other"].state == "active"


def test_all_that_is_not_disabled_is_active_also_when_others_are_required(install: Install) -> None:
    install("one", GOOD.replace("good", "one"))
    install("two", GOOD.replace("good", "two"))
    found = statuses({"plugins": {"required": ["one"]}})
    assert {name: status.state for name, status in found.items()} == dict.fromkeys(("webhook", "one", "two"), "active")


@pytest.mark.parametrize(
    ("code", "disabled", "reason"),
    [
        ("1 / 0", [], "it cannot be loaded: ZeroDivisionError: division by zero"),
        (GOOD, ["thing"], "disabled by the configuration"),
        (
            HEAD + "@hookimpl\ndef alert_register():\n    1 / 0",
            [],
            "alert_register failed: ZeroDivisionError: division by zero",
        ),
        (
            HEAD + "@hookimpl\ndef alert_configure():\n    1 / 0",
            [],
            "alert_configure failed: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_required_plugin_that_is_off_refuses_the_configuration(
    install: Install, code: str, disabled: list[str], reason: str
) -> None:
    install("thing", code)
    with pytest.raises(ConfigError) as caught:
        Host({"plugins": {"required": ["thing"], "disabled": disabled}})
    assert caught.value.problems == (f"configuration: plugins.required[0]: the plugin 'thing' is off: {reason}",)


def test_a_required_plugin_that_is_not_installed_refuses_the_configuration() -> None:
    with pytest.raises(ConfigError, match="unknown plugin 'pagerduty'; there is webhook"):
        Host({"plugins": {"required": ["pagerduty"]}})


def test_strict_raises_what_cannot_be_loaded_all_at_once(install: Install) -> None:
    install("one", "1 / 0")
    install("two", "pass")
    with pytest.raises(ExceptionGroup, match="plugins cannot be loaded") as caught:
        Host({}, strict=True)
    assert [str(error).partition(":")[0] for error in caught.value.exceptions] == ["one", "two"]


def test_an_interrupt_at_import_passes(install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Host({})

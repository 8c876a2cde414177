"""A plugin that fails, at each stage and in each way, between two good ones: they and every alert are untouched."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from pytest_httpserver import HTTPServer
from stages import ALERTS, CONTENTS, FALLBACK, STAGES, Stage, World, function, hook, metric, offer, status_of

from hookplugin import Host, PluginStatus

FAULTS: Final = {
    "raises": ("raise LookupError('out of\\n order')", "LookupError: out of order"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "is cancelled": ("raise asyncio.CancelledError", "CancelledError"),
    "ends a generator": ("raise GeneratorExit", "GeneratorExit"),
    "ends an iteration": ("raise StopIteration", "StopIteration"),
    "calls itself": ("fail()", "RecursionError: "),
    "has no memory": ("raise MemoryError", "MemoryError"),
    "raises what cannot be written": ("raise MuteError", "MuteError"),
    "raises what exits when it is written": ("raise ExitingError", "ExitingError"),
    "raises what is no exception": ("raise OwnError('mine')", "OwnError: mine"),
    "raises several": (
        "raise BaseExceptionGroup('all', [SystemExit(1), OwnError('mine')])",
        "BaseExceptionGroup: all (2 sub-exceptions)",
    ),
}
"""What `fail` does, and how that is told."""
ERRORS: Final = """
class MuteError(Exception):
    def __str__(self):
        return 7
class ExitingError(Exception):
    def __str__(self):
        raise SystemExit
class OwnError(BaseException):
    pass
"""
SHARED: Final = "TypeError: this mapping is shared and cannot be changed"
SLOW: Final = "took 2.5 s, while the host waited"
OTHERS: Final = {
    "a hook that there is not": (
        Stage(hook("alert_fird", "alert"), "load", times=1),
        "there is no hook 'alert_fird'; did you mean 'alert_fired'?",
    ),
    "an argument that there is not": (
        Stage(hook("alert_fired", "alert, colour"), "load", times=1),
        "alert_fired takes 'colour'; there is alert, context",
    ),
    "the name of another filter": (
        Stage(
            hook("alert_fired") + hook("alert_register", "registry", "registry.filter('aaa', bool)"),
            "alert_register",
            times=1,
        ),
        "alert_register failed: ValueError: the filter 'aaa' is taken by 'aaa'; rename it in 'mmm'",
    ),
    "settings that there are not": (
        Stage(
            "class Settings(BaseModel):\n    room: int\n"
            + hook("alert_fired")
            + hook("alert_register", "registry", "registry.settings(Settings)"),
            "settings",
            times=1,
        ),
        "its settings are wrong: configuration: plugins.settings.mmm.room: ",
    ),
    "another alert": (
        Stage(hook("alert_fired", "alert", "alert.content = 'mine'"), "alert_fired", refused=3),
        "ValidationError: ",
    ),
    "other tags": (Stage(hook("alert_fired", "alert", "alert.tags['x'] = 'y'"), "alert_fired", refused=3), SHARED),
    "other tags, in a filter": (
        Stage(
            offer("filter", "lambda alert: alert.tags.clear()"),
            "filter mine",
            mine={},
            filters=("mine",),
            heard=CONTENTS,
        ),
        SHARED,
    ),
    "another receiver, in a renderer": (
        Stage(
            offer("renderer", "lambda deliveries: setattr(deliveries[0], 'receiver', 'ops')"),
            "renderer mine",
            mine={"body": "mine"},
            heard=(FALLBACK,) * 3,
        ),
        "ValidationError: ",
    ),
    "time": (Stage(hook("alert_fired", "context", "context.clock.advance(2.5)"), "alert_fired"), SLOW),
    "time, in a filter": (
        Stage(
            function("slow", "alert", "clocks[0].advance(2.5)\n    return True")
            + offer("filter", "slow")
            + "clocks = []\n"
            + hook("alert_configure", "context", "clocks.append(context.clock)"),
            "filter mine",
            mine={},
            filters=("mine",),
            heard=CONTENTS,
        ),
        SLOW,
    ),
    "time, in a source": (
        Stage(
            offer("source", "lambda _, context: context.clock.advance(2.5) or []"),
            "source mine",
            times=1,
        ),
        SLOW,
    ),
}
"""What else a bad plugin wants, and how that is told."""


@pytest.fixture
def world(install: Callable[..., None], httpserver: HTTPServer) -> World:
    return World(install, httpserver)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, stage in STAGES.items() for fault in FAULTS if fault not in stage.other]
)
def test_a_plugin_that_fails_costs_the_good_ones_and_the_alerts_nothing(
    world: World, caplog: pytest.LogCaptureFixture, name: str, fault: str
) -> None:
    stage, (code, told) = STAGES[name], FAULTS[fault]
    bad = _lived(world, caplog, stage, ERRORS + function("fail", "*_", code), told)
    assert (bad.reason or bad.failures[0].last).startswith(stage.reason(told))
    if name == "sender":  # it was called again for each, and with the same id
        ids = sys.modules["hookplugin_mmm"].told
        assert (len(ids), len(set(ids))) == (6, 3)


@pytest.mark.parametrize("name", ["renderer", "signer", "sender", "delivered"])
def test_what_looks_like_an_interrupt_in_a_thread_of_ours_is_only_the_plugins(
    world: World, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    _lived(world, caplog, STAGES[name], function("fail", "*_", "raise KeyboardInterrupt"), "KeyboardInterrupt")


@pytest.mark.parametrize("wish", OTHERS)
def test_a_plugin_that_wants_what_it_cannot_have_costs_them_nothing_either(
    world: World, caplog: pytest.LogCaptureFixture, wish: str
) -> None:
    stage, told = OTHERS[wish]
    bad = _lived(world, caplog, stage, "", told)
    assert (bad.reason or bad.failures[0].last).startswith(told)


def _lived(world: World, caplog: pytest.LogCaptureFixture, stage: Stage, code: str, told: str) -> PluginStatus:
    """Let a host live through all of it, see that only the bad plugin has suffered, and return what became of it."""
    host = world.host(stage, code)
    world.live(host, stage)
    up = metric(host, "hookplugin_plugin_up", plugin="mmm")
    counted = metric(host, "hookplugin_plugin_failures_total", plugin="mmm", hook=stage.where)
    _good_ones_lived(world, host, stage)

    bad = status_of(host)
    assert (bad.state, up) == (("failed", [0]) if stage.is_off else ("active", [1]))
    assert [(failure.where, failure.times) for failure in bad.failures] == (
        [] if stage.is_off else [(stage.where, stage.times)]
    )
    assert counted == ([0] if stage.where == "alert_shutdown" else [stage.times])  # that comes after what was scraped
    (said,) = [record for record in caplog.records if "'mmm'" in record.getMessage()]
    assert (said.levelno, said.exc_info) == (logging.WARNING, None)
    assert told in said.getMessage()
    assert {record.levelno for record in caplog.records} <= {logging.INFO, logging.WARNING}
    refused = [unsent.reason for receipt in world.receipts for unsent in receipt.refused]
    assert len(refused) == stage.refused
    assert all(told in reason for reason in refused)
    return bad


def _good_ones_lived(world: World, host: Host, stage: Stage) -> None:
    """Close the host, and see that both good plugins, and who is told by HTTP, have heard of everything."""
    state = host.context.state
    assert host.close() == 0
    tellings = [("delivered", "ops"), *([(stage.outcome, "mine")] if stage.mine is not None else [])]
    lived = ["configured", *(f"fired {content}" for content in CONTENTS), "shut down"]
    for good in ("aaa", "zzz"):
        assert status_of(host, good).failures == ()
        assert [line for line in state[good] if line in lived] == lived
        assert sorted(line for line in state[good] if line not in lived) == sorted(
            f"{outcome} {receiver} {content}" for outcome, receiver in tellings for content in CONTENTS
        )
    for receipt in world.receipts[: len(ALERTS)]:
        assert [one for one in receipt.accepted if one in {"aaa", "zzz"}] == ["aaa", "zzz"]
    assert sorted(world.heard("/ops")) == sorted(CONTENTS)
    assert sorted(world.heard("/mine")) == sorted(stage.heard)


def test_a_package_that_offers_the_name_of_a_good_plugin_costs_it_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.install("aaa", "1 / 0", package="hookplugin-aaaa")
    host = world.host(Stage(hook("alert_fired"), ""), "")
    world.live(host, Stage("", ""))
    assert metric(host, "hookplugin_plugin_up", plugin="aaa") == [1]
    assert metric(host, "hookplugin_plugin_failures_total", plugin="aaa", hook="load") == [1]
    _good_ones_lived(world, host, Stage("", ""))
    assert [(one.package, one.state) for one in host.plugins if one.name == "aaa"] == [
        ("hookplugin-aaa", "active"),
        ("hookplugin-aaaa", "failed"),
    ]
    (said,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "hookplugin-aaa 1.0 and hookplugin-aaaa 1.0 both offer the name 'aaa'" in said.getMessage()


def test_a_failure_in_the_shutdown_is_counted_for_those_who_come_later(world: World, tmp_path: Path) -> None:
    stage, outbox = STAGES["shutdown"], f"sqlite:///{tmp_path}/outbox.db"
    host = world.host(stage, function("fail", "", "raise SystemExit(3)"), outbox=outbox)
    assert host.close() == 0
    later = Host({"outbox": outbox, "plugins": {"disabled": ["mmm"]}})
    assert metric(later, "hookplugin_plugin_failures_total", plugin="mmm", hook="alert_shutdown") == [1]
    assert metric(later, "hookplugin_plugin_up", plugin="mmm") == []  # nobody expects it to run
    later.close()


def test_the_same_failure_is_said_once_a_minute_with_how_often_it_was_not_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    stage = STAGES["fired"]
    host = world.host(stage, function("fail", "", "raise LookupError('out of order')"))
    for seconds in (0, 10, 49.5, 1, 30, 31):
        world.clock.advance(seconds)
        host.fire(ALERTS[0])
    failed = "the plugin 'mmm' failed in alert_fired: LookupError: out of order (hookplugin_mmm.py:7)"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        failed,
        f"{failed} (and 2 times since it was said)",
        f"{failed} (and 1 times since it was said)",
    ]
    assert host.close() == 0


def test_another_failure_is_said_at_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    code = "faults = [KeyError('a'), ValueError('b'), KeyError('c')]\n"
    host = world.host(STAGES["fired"], code + function("fail", "", "raise faults.pop(0)"))
    for alert in ALERTS:
        host.fire(alert)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [message.rpartition("alert_fired: ")[2] for message in said] == [
        "KeyError: 'a' (hookplugin_mmm.py:8)",
        "ValueError: b (hookplugin_mmm.py:8)",
    ]
    (failure,) = status_of(host).failures
    assert (failure.times, failure.last) == (3, "KeyError: 'c' (hookplugin_mmm.py:8)")
    assert host.close() == 0

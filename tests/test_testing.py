"""The fixtures for authors of plugins, as they use them: in this process, and in projects of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from hookplugin import Alert, Body, Delivery, Host, Outcome, Registry, hookimpl
from hookplugin.testing import Clock, MakeAlert, MakeHost, Receiver

pytest_plugins = ["hookplugin.testing"]

Install = Callable[..., None]

QUIET = "from hookplugin import hookimpl\n@hookimpl\ndef alert_fired():\n    return None\n"


def to(receiver: Receiver, **strategy: Any) -> dict[str, Any]:
    """Return a configuration with one receiver, and one strategy that names it."""
    return {
        "receivers": [{"name": "ops", "url": receiver.url}],
        "strategies": [{"name": "all", "receivers": ["ops"], **strategy}],
    }


def states(host: Host) -> dict[str, str]:
    return {status.name: status.state for status in host.plugins}


# Hosts


def test_of_all_that_is_installed_only_the_named_plugins_are_there(make_host: MakeHost, install: Install) -> None:
    install("aaa", QUIET)
    install("bbb", QUIET)
    install("broken", "raise SystemExit('whoever loads this is gone')")
    assert states(make_host(installed=["aaa"])) == {
        "aaa": "active",
        "bbb": "disabled",
        "broken": "disabled",
        "webhook": "active",
    }
    assert states(make_host())["aaa"] == "disabled"


def test_what_is_handed_over_need_not_be_installed_and_comes_before_what_is(
    make_host: MakeHost, make_alert: MakeAlert, install: Install
) -> None:
    install("mine", "raise SystemExit('the installed one')")
    heard: list[str] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self.name = name

        @hookimpl
        def alert_fired(self) -> None:
            heard.append(self.name)

    make_host(plugins={name: Listener(name) for name in ("mine", "other")}).fire(make_alert())
    assert heard == ["mine", "other"]


def test_what_the_configuration_says_of_plugins_counts(make_host: MakeHost, install: Install) -> None:
    install("aaa", QUIET)
    install("bbb", QUIET)
    chosen = {"plugins": {"disabled": ["aaa"], "settings": {"bbb": {"level": 2}}}}
    host = make_host(chosen, installed=["aaa", "bbb"])
    assert states(host) == {"aaa": "disabled", "bbb": "active", "webhook": "active"}
    assert host.config.plugins.settings == {"bbb": {"level": 2}}
    assert chosen == {"plugins": {"disabled": ["aaa"], "settings": {"bbb": {"level": 2}}}}


def test_a_plugin_that_is_not_installed_is_an_error_that_says_the_nearest(
    make_host: MakeHost, install: Install
) -> None:
    install("often", QUIET)
    with pytest.raises(LookupError, match="no plugin 'oftn' is installed; did you mean 'often'"):
        make_host(installed=["oftn"])


def test_an_alert_has_what_most_tests_need_and_what_it_is_told(make_alert: MakeAlert) -> None:
    assert make_alert() == Alert(content="disk full", priority="critical", tags={"env": "prod"})
    assert make_alert(content="slow", tags={}) == Alert(content="slow", priority="critical")


# The clock


def test_the_time_begins_on_a_monday_at_noon_and_stands_still(clock: Clock) -> None:
    assert datetime.fromtimestamp(clock(), UTC) == datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert datetime.fromtimestamp(clock(), UTC).strftime("%A") == "Monday"
    clock.advance(60)
    assert datetime.fromtimestamp(clock(), UTC) == datetime(2026, 1, 5, 12, 1, tzinfo=UTC)


def test_a_retry_is_made_when_the_time_has_come_and_not_before(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(503, 502, 204)
    host = make_host(to(receiver))
    receipt = host.fire(make_alert())
    clock.advance(0.5)
    assert len(receiver.requests) == 1
    clock.advance(1)
    assert len(receiver.requests) == 2
    assert host.wait(receipt, 0) == {receipt.accepted[0]: None}
    clock.advance(3)
    (outcome,) = host.wait(receipt, 0).values()
    assert outcome
    assert outcome.state == "delivered"
    assert [request.headers["webhook-id"] for request in receiver.requests] == [*receipt.accepted] * 3


def test_what_is_never_answered_well_is_dead_after_its_max_age(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(*[503] * 1000)
    host = make_host(to(receiver))
    receipt = host.fire(make_alert())
    clock.advance(4 * 3600 + 1)
    (outcome,) = host.wait(receipt, 0).values()
    assert outcome
    assert outcome.state == "dead"


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine be in Tokyo."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_schedule_follows_the_clock_in_utc_if_no_zone_is_named(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    host = make_host(to(receiver, days=["tue"], period="08:00-08:29"))
    assert not host.fire(make_alert(content="monday")).accepted
    clock.advance(20 * 3600)
    assert host.fire(make_alert(content="tuesday")).accepted
    clock.advance(30 * 60)
    assert not host.fire(make_alert(content="late")).accepted


def test_repeat_follows_the_clock(make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock) -> None:
    host = make_host(to(receiver, repeat="4h"))
    told = []
    for seconds in (0, 3600, 3 * 3600, 60):
        clock.advance(seconds)
        told.append(len(host.fire(make_alert()).accepted))
    assert told == [1, 0, 1, 0]


def test_a_batch_waits_for_the_clock(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    config = to(receiver)
    config["receivers"][0]["batch"] = {"wait": "60s", "max": 10}
    host = make_host(config)
    host.fire_all([make_alert(content="one"), make_alert(content="two", target="two")])
    clock.advance(59)
    assert receiver.requests == []
    clock.advance(1)
    (request,) = receiver.requests
    assert [alert["content"] for alert in request.json] == ["one", "two"]


def test_all_hosts_of_a_test_follow_one_clock_and_those_that_are_closed_are_left_alone(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer(503, 503)
    hosts = [make_host(to(receiver)) for _ in range(3)]
    for host in hosts[:2]:
        host.fire(make_alert())
    receiver.wait(2)
    hosts[2].close()
    clock.advance(2)
    assert len(receiver.requests) == 4


def test_plugins_have_heard_of_what_the_clock_has_brought(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, clock: Clock
) -> None:
    heard: list[str] = []

    class Listener:
        @hookimpl
        def alert_delivered(self, delivery: Delivery, outcome: Outcome) -> None:
            heard.append(f"{delivery.alert.content}: {outcome.state}")

    receiver.answer(503)
    host = make_host(to(receiver), plugins={"listener": Listener()})
    host.fire(make_alert(content="retried"))
    clock.advance(2)
    host.fire(make_alert(content="at once"))
    clock.advance(0)
    assert heard == ["retried: delivered", "at once: delivered"]


# The receiver


def test_the_receiver_offers_what_came_in(make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver) -> None:
    host = make_host(to(receiver))
    receipt = host.fire(make_alert(content="disk full", target="linux.disk"))
    (request,) = receiver.wait(1)
    assert request.json["target"] == "linux.disk"
    assert b'"linux.disk"' in request.content
    assert request.headers["content-type"] == "application/json"
    assert request.headers["Webhook-Id"] == receipt.accepted[0]
    assert receiver.requests == [request]


def test_what_is_no_json_can_be_read_as_bytes(make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver) -> None:
    class Plain:
        @hookimpl
        def alert_register(self, registry: Registry) -> None:
            registry.renderer("plain", lambda _: Body(content=b"to whom it may concern"))

    make_host(to(receiver, body="plain"), plugins={"plain": Plain()}).fire(make_alert())
    (request,) = receiver.wait(1)
    assert request.content == b"to whom it may concern"
    with pytest.raises(ValueError, match="Expecting value"):
        _ = request.json


def test_the_receiver_answers_what_it_is_told_and_then_204(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver
) -> None:
    receiver.answer(500, 500, 500)
    receiver.answer(400, 202)
    host = make_host(to(receiver))
    statuses = []
    for _ in range(3):
        (outcome,) = host.wait(host.fire(make_alert())).values()
        statuses.append(outcome and outcome.status)
    assert statuses == [400, 202, 204]


def test_a_test_that_waits_for_what_does_not_come_fails_and_says_what_to_do(receiver: Receiver) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"not 1 requests came in, but 0; .* clock\.advance"):
        receiver.wait(1, 0.01)


# Projects of authors

HEAD = """
from types import SimpleNamespace

import pytest
from hookplugin import Body, hookimpl

pytest_plugins = ["hookplugin.testing"]


def to(receiver, **more):
    return {
        "receivers": [{"name": "ops", "url": receiver.url} | more],
        "strategies": [{"name": "all", "receivers": ["ops"]}],
    }


def offering(kind, offer):
    def alert_register(registry):
        getattr(registry, kind)("mine", offer)

    return {"mine": SimpleNamespace(alert_register=hookimpl(alert_register))}

"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run pytest in a project that has one module of tests."""

    def run_project(code: str, head: str = HEAD) -> subprocess.CompletedProcess[str]:
        project = tmp_path / "project"
        project.mkdir()
        (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -p no:cacheprovider -rA\n")
        (project / "test_mine.py").write_text(head + textwrap.dedent(code))
        command = [sys.executable, "-m", "pytest", "test_mine.py"]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=30, check=False)

    return run_project


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_what_a_plugin_fails_at_where_nobody_sees_it_fails_the_test_at_its_end(run: Run) -> None:
    done = run("""
        def test_renderer(make_host, make_alert, receiver):
            def render(deliveries):
                raise ArithmeticError("of the renderer")
            make_host(to(receiver, body="mine"), plugins=offering("renderer", render)).fire(make_alert())


        def test_sender(make_host, make_alert):
            def send(message):
                raise ArithmeticError("of the sender")
            config = {
                "receivers": [{"name": "ops", "type": "mine"}],
                "strategies": [{"name": "all", "receivers": ["ops"]}],
            }
            make_host(config, plugins=offering("sender", send)).fire(make_alert())


        def test_signer(make_host, make_alert, receiver):
            def sign(request):
                raise ArithmeticError("of the signer")
            make_host(to(receiver, signer="mine"), plugins=offering("signer", sign)).fire(make_alert())


        def test_delivered(make_host, make_alert, receiver):
            @hookimpl
            def alert_delivered(delivery):
                raise ArithmeticError("of alert_delivered")
            mine = SimpleNamespace(alert_delivered=alert_delivered)
            make_host(to(receiver), plugins={"mine": mine}).fire(make_alert())


        def test_shutdown(make_host):
            @hookimpl
            def alert_shutdown():
                raise SystemExit("of alert_shutdown")
            make_host(plugins={"mine": SimpleNamespace(alert_shutdown=alert_shutdown)})
    """)
    assert done.stdout.count("| ExceptionGroup: plugins failed (1 sub-exception)") == 4
    assert done.stdout.count("| BaseExceptionGroup: plugins failed (1 sub-exception)") == 1
    for what in ("the renderer", "the sender", "the signer", "alert_delivered"):
        assert f"| ArithmeticError: of {what}\n" in done.stdout
        assert f"the plugin 'mine' failed in {what.removeprefix('the ')}" in done.stdout
    assert "| SystemExit: of alert_shutdown\n" in done.stdout
    assert "5 passed, 5 errors" in done.stdout.splitlines()[-1]


def test_what_a_plugin_fails_at_in_a_call_of_the_test_is_raised_there_and_not_again(run: Run) -> None:
    done = run("""
        def test_filter(make_host, make_alert, receiver):
            config = to(receiver)
            config["strategies"][0]["filters"] = ["mine"]
            host = make_host(config, plugins=offering("filter", lambda alert: 1 / 0))
            with pytest.raises(ExceptionGroup) as caught:
                host.fire(make_alert())
            assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


        def test_fired(make_host, make_alert):
            fired = hookimpl(lambda: 1 / 0, specname="alert_fired")
            make_host(plugins={"mine": SimpleNamespace(fired=fired)}).fire(make_alert())


        def test_register(make_host):
            make_host(plugins=offering("filter", "no function"))
    """)
    assert "PASSED test_mine.py::test_filter\n" in done.stdout
    assert "| ExceptionGroup: plugins failed in alert_fired (1 sub-exception)\n" in done.stdout
    assert "| ExceptionGroup: plugins failed in alert_register (1 sub-exception)\n" in done.stdout
    assert "2 failed, 1 passed in" in done.stdout.splitlines()[-1]


def test_what_fails_in_several_hosts_is_raised_at_once(run: Run) -> None:
    done = run("""
        def failing(error):
            def render(deliveries):
                raise error
            return offering("renderer", render)


        def test_two(make_host, make_alert, receiver):
            for error in (KeyError("first"), IndexError("second")):
                make_host(to(receiver, body="mine"), plugins=failing(error)).fire(make_alert())
    """)
    assert "| ExceptionGroup: plugins failed (2 sub-exceptions)\n" in done.stdout
    assert "KeyError: 'first'" in done.stdout
    assert "IndexError: second" in done.stdout


def test_nothing_of_a_test_is_there_in_the_next_and_nothing_that_waits_holds_it_up(run: Run) -> None:
    """Each of the hosts would be closed for ten seconds, if it waited for a retry while the clock stands still."""
    done = run("""
        @pytest.mark.parametrize("time", range(3))
        def test_again(make_host, make_alert, receiver, clock, time):
            assert clock() == 1767614400
            assert receiver.requests == []
            receiver.answer(204, *[503] * 100)
            hosts = [make_host(to(receiver)) for _ in range(3)]
            assert hosts[0].explain(make_alert()).receivers
            assert not any(host.fire(make_alert()).suppressed for host in hosts)
            clock.advance(2)
    """)
    assert "3 passed" in done.stdout.splitlines()[-1]


def test_a_project_that_does_not_ask_for_the_fixtures_does_not_have_them(run: Run) -> None:
    done = run("def test_mine(make_host):\n    assert make_host\n", head="")
    assert "fixture 'make_host' not found" in done.stdout
    assert not [entry for entry in entry_points(group="pytest11") if entry.value.startswith("hookplugin")]


def test_nothing_else_of_hookplugin_imports_what_only_tests_have() -> None:
    code = """
        import pkgutil, sys
        import hookplugin
        for module in pkgutil.walk_packages(hookplugin.__path__, "hookplugin."):
            if module.name != "hookplugin.testing" and not module.name.startswith("hookplugin.hosts."):
                __import__(module.name)
        print({"pytest", "pytest_httpserver", "hookplugin.testing"} & set(sys.modules))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "set()\n"

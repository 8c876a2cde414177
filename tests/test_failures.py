"""Failures of plugins: counted each time, said now and then, kept for whoever asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offering import registry
from pydantic import BaseModel, SecretStr, field_validator
from storing import Clock

from hookplugin import Alert, Body, Context, Failure, Host, Message, Registry, SendError, hookimpl
from hookplugin.failures import Failures
from hookplugin.isolation import OfferError, describe, hiding
from hookspecs import Delivery, WireRequest

ALERT = Alert(content="disk full")
DELIVERY = Delivery(id="1", alert=ALERT, receiver="ops", body="b")
MESSAGE = Message("1", (DELIVERY,), Body(content=b""), None)


def test_a_failure_is_said_once_a_minute_with_how_often_it_came_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failures = Failures(timer=clock)
    for _ in range(4):
        failures.note("often", "alert_fired", ValueError("a\n b"))
    clock.time += 59
    failures.note("often", "alert_fired", ValueError("c"))
    assert caplog.messages == ["the plugin 'often' failed in alert_fired: ValueError: a b"]
    clock.time += 2
    failures.note("often", "alert_fired", ValueError("d"), "the rest goes on")
    assert caplog.messages[1:] == [
        "the plugin 'often' failed in alert_fired: ValueError: d; the rest goes on (and 4 times since it was said)"
    ]
    assert failures.of("often") == (Failure(where="alert_fired", times=6, last="ValueError: d"),)


def test_another_plugin_place_or_kind_of_error_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(timer=Clock())
    for plugin, where, error in (
        ("a", "x", ValueError()),
        ("b", "x", ValueError()),
        ("a", "y", ValueError()),
        ("a", "x", KeyError()),
    ):
        failures.note(plugin, where, error)
    assert len(caplog.messages) == 4
    assert [(one.where, one.times, one.last) for one in failures.of("a")] == [
        ("x", 2, "KeyError"),
        ("y", 1, "ValueError"),
    ]


def test_failures_before_there_is_anybody_to_count_are_counted_too() -> None:
    counted: list[tuple[str, str]] = []
    failures = Failures()
    failures.note("a", "x", ValueError())
    failures.note_off("b", "load", "it cannot be loaded")
    failures.count_in(lambda plugin, where: counted.append((plugin, where)))
    failures.note("a", "x", ValueError())
    failures.count_in(lambda plugin, where: counted.append((plugin, where)))
    assert counted == [("a", "x"), ("b", "load"), ("a", "x")]


def test_only_a_strict_host_keeps_errors_and_each_is_taken_once() -> None:
    error = ValueError("x")
    lax, strict = Failures(), Failures(strict=True)
    for failures in (lax, strict):
        failures.note("a", "x", error)
    assert (lax.take_errors(), strict.take_errors(), strict.take_errors()) == ([], [error], [])
    assert error.__notes__ == ["raised by the plugin 'a' in x"]


@given(secret=st.text("abcdefghXYZ0123456789+/-_", min_size=8, max_size=40), around=st.text(max_size=20))
def test_what_a_plugin_was_handed_is_never_shown(secret: str, around: str) -> None:
    failures = Failures()
    with hiding(lambda: [secret]):
        text = failures.note("a", "x", ValueError(f"{around}{secret}{around}"))
    assert secret not in text.replace("ValueError: ", "")


OFFERS: dict[str, tuple[Any, tuple[object, ...]]] = {
    "filter": (lambda _: None, (ALERT,)),
    "renderer": (lambda _: b"text", ([DELIVERY],)),
    "signer": (lambda _: None, (WireRequest("1", 1, "POST", "http://h/", {}, b""),)),
    "sender": (lambda _: False, (MESSAGE,)),
    "source": (lambda _payload, _context: [1], ({}, Context())),
}


@pytest.mark.parametrize("kind", OFFERS)
def test_what_is_of_the_wrong_kind_is_a_failure(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    offer, arguments = OFFERS[kind]
    failures = Failures()
    offered = getattr(registry(failures, it=(kind, offer)), f"{kind}s")["it"]
    with pytest.raises(OfferError, match=r"(Type|Answer)Error: it returned "):
        offered(*arguments)
    (failure,) = failures.of("mine")
    assert (failure.where, failure.times) == (f"{kind} it", 1)
    (message,) = caplog.messages
    assert re.fullmatch(rf"the plugin 'mine' failed in {kind} it: (Type|Answer)Error: it returned .*; .+", message)


def test_a_payload_that_cannot_be_read_and_a_receiver_that_is_away_are_no_failures_of_the_plugin() -> None:
    def read(_payload: object, _context: Context) -> list[Alert]:
        message = "no such version"
        raise ValueError(message)

    def send(_: Message[None]) -> None:
        message = "no such box"
        raise SendError(message)

    failures = Failures()
    offered = registry(failures, source=("source", read), sender=("sender", send))
    with pytest.raises(ValueError, match="no such version"):
        offered.sources["source"]({}, Context())
    with pytest.raises(OfferError, match=r"^no such box$"):
        offered.senders["sender"](MESSAGE)
    assert failures.of("mine") == ()


def fire_through(act: Callable[[], object], clock: Clock | None = None, **config: Any) -> Host:
    class Slow:
        @hookimpl
        def alert_fired(self) -> None:
            act()

    host = Host(config, plugins={"slow": Slow()}, clock=clock)
    host.fire(ALERT)
    host.close(0)
    return host


def test_a_plugin_that_lets_the_host_wait_is_named_and_its_answer_counts(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def wait() -> None:
        clock.time += 2.5

    host = fire_through(wait, clock)
    slow = next(status for status in host.plugins if status.name == "slow")
    said = "took 2.5 s, while the host waited"
    assert (slow.state, slow.failures) == ("active", (Failure(where="alert_fired", times=1, last=said),))
    assert caplog.messages == [f"the plugin 'slow' is slow in alert_fired: {said}"]


def test_a_plugin_that_is_fast_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    host = fire_through(lambda: None)
    assert [status.failures for status in host.plugins] == [(), ()]
    assert caplog.messages == []


@pytest.mark.parametrize(("value", "traced"), [("1", True), ("0", False), ("", False), (None, False)])
def test_the_environment_asks_for_a_line_for_each_call(
    value: str | None,
    traced: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if value is None:
        monkeypatch.delenv("HOOKPLUGIN_TRACE", raising=False)
    else:
        monkeypatch.setenv("HOOKPLUGIN_TRACE", value)
    fire_through(lambda: 1 / 0)
    lines = capsys.readouterr().err.splitlines()
    found = [re.sub(r"\d+\.\d\d", "0.00", line) for line in lines]
    assert [line for line in found if line.startswith("trace: ")] == [
        "trace: alert_configure webhook 0.00 ms",
        "trace: alert_fired slow 0.00 ms, failed",
        "trace: alert_fired webhook 0.00 ms",
        "trace: alert_shutdown webhook 0.00 ms",
    ] * traced
    assert ("ZeroDivisionError: division by zero" in found) is traced  # with all that led to it


class Mute(ValueError):  # noqa: N818 - a plugin's
    def __str__(self) -> str:
        raise SystemExit(3)


def nameless() -> Exception:
    """Return an error whose class has no name; pytest's plugins would stumble over it in this module."""

    class Named(type):
        def __getattribute__(cls, name: str) -> Any:
            if name == "__name__":
                raise RuntimeError
            return super().__getattribute__(name)

    class Nameless(Exception, metaclass=Named):  # noqa: N818 - a plugin's
        pass

    return Nameless("x")


@pytest.mark.parametrize("error", [Mute("x"), nameless()], ids=["mute", "nameless"])
@pytest.mark.parametrize("kind", OFFERS)
def test_an_error_that_cannot_be_written_is_contained(kind: str, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    failures = Failures(strict=True)
    offered = getattr(registry(failures, it=(kind, fail)), f"{kind}s")["it"]
    expected = ValueError if kind == "source" and type(error) is Mute else OfferError
    with pytest.raises(expected):
        offered(*OFFERS[kind][1])
    assert describe(error) in {"Mute", "an error"}
    with pytest.raises(SystemExit):
        str(Mute())


@pytest.mark.parametrize("given", ["raised", "in the place of an alert"])
def test_a_source_that_says_odd_things_of_a_payload_says_them_as_text(given: str) -> None:
    class Model(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _is_right(cls, word: str) -> str:
            message = f"{word} is not correct-horse"
            raise ValueError(message)

    def read(_payload: object, _context: Context) -> list[Alert | ValueError]:
        try:
            Model.model_validate({"word": "battery"})
        except ValueError as error:
            if given == "raised":
                raise
            return [error, Mute("x")]
        return []

    failures = Failures()
    failures.hide("mine", SecretStr("correct-horse"))
    offered = registry(failures, it=("source", read)).sources["it"]
    if given == "raised":
        with pytest.raises(ValueError, match=r"^word: battery is not \*\*\*$") as caught:
            offered({}, Context())
        assert type(caught.value) is ValueError
    else:
        assert [(type(one), str(one)) for one in offered({}, Context())] == [
            (ValueError, "word: battery is not ***"),
            (ValueError, ""),
        ]


@pytest.mark.parametrize("kind", ["text/plain\r\nX-Evil: 1", "text/pläin", " text/plain", ""])
def test_a_body_whose_type_is_no_header_is_a_failure_and_not_sent(kind: str) -> None:
    offered = registry(it=("renderer", lambda _: Body(content=b"x", content_type=kind))).renderers["it"]
    with pytest.raises(OfferError, match="ValueError: its content_type is no header"):
        offered([DELIVERY])


def test_a_body_that_was_made_past_its_checks_is_a_failure() -> None:
    offered = registry(it=("renderer", lambda _: Body.model_construct())).renderers["it"]
    with pytest.raises(OfferError, match="AttributeError"):
        offered([DELIVERY])


def test_what_is_offered_too_late_is_refused() -> None:
    class Late:
        registry: Registry

        @hookimpl
        def alert_register(self, registry: Registry) -> None:
            self.registry = registry

        @hookimpl
        def alert_configure(self, context: Context) -> None:
            for one in (self.registry, context.registry):
                with pytest.raises(TypeError, match="the filter 'x' comes too late; offer it in alert_register"):
                    one.filter("x", lambda _: True)

    with Host({}, plugins={"late": Late()}, strict=True) as host:
        assert dict(host.context.registry.filters) == {}

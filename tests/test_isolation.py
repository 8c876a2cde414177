"""One plugin at a time: what one of them does, the others never notice."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pluggy
import pytest

import hookspecs
from hookplugin import Alert, Context, hookimpl
from hookplugin.isolation import Answer, call_each, describe, hidden, hiding

ALERT = Alert(content="disk full", tags={"env": "prod"}, raw={"deep": [1]})


class Plugin:
    """Answer with what a function makes of the alert."""

    def __init__(self, act: Callable[[Alert], Any]) -> None:
        self.act = act

    @hookimpl
    def alert_fired(self, alert: Alert) -> Any:
        return self.act(alert)


def call(**plugins: object) -> list[Answer[list[Any]]]:
    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(hookspecs)
    for name, plugin in plugins.items():
        manager.register(plugin, name=name)
    return call_each(manager, "alert_fired", lambda _: {"alert": ALERT, "context": Context()}, list, timer=lambda: 7.0)


def good(_: Alert) -> list[str]:
    return ["good"]


def fails(_: Alert) -> None:
    message = "out of\n  order"
    raise ValueError(message)


def exits(_: Alert) -> None:
    raise SystemExit(4)


def half_way(_: Alert) -> Iterator[float]:
    return (1 / number for number in (1, 0))


def exits_half_way(_: Alert) -> Iterator[None]:
    return (sys.exit(4) for _ in "x")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (fails, "ValueError: out of order"),
        (exits, "SystemExit: 4"),
        (half_way, "ZeroDivisionError: division by zero"),
        (exits_half_way, "SystemExit: 4"),
        (lambda _: 5, "TypeError: 'int' object is not iterable"),
        (lambda alert: setattr(alert, "content", "mine"), "ValidationError: "),
        (lambda alert: alert.tags.update(env="mine"), "TypeError: this mapping is shared"),
        (lambda alert: alert.raw["deep"].append(2), "AttributeError: "),
    ],
)
def test_a_plugin_that_fails_costs_only_its_own_answer(act: Callable[[Alert], Any], error: str) -> None:
    before, bad, after = call(c=Plugin(good), b=Plugin(act), a=Plugin(good))
    assert (before, after) == (Answer("a", ["good"]), Answer("c", ["good"]))
    assert bad.value is None
    assert bad.error is not None
    assert describe(bad.error).startswith(error)
    assert Alert(content="disk full", tags={"env": "prod"}, raw={"deep": [1]}) == ALERT


def test_each_answer_is_heard_before_the_next_plugin_is_called_with_the_time_it_took() -> None:
    heard: list[Any] = []
    times = iter([10.0, 10.5, 11.0, 14.0])

    def take(alert: Alert) -> list[str]:
        heard.append(alert)
        return ["taken"]

    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(fails), name="a")
    manager.register(Plugin(take), name="b")
    answers = call_each(
        manager, "alert_fired", lambda _: {"alert": ALERT}, list, heard.append, timer=lambda: next(times)
    )
    assert [(answer.plugin, answer.seconds) for answer in answers] == [("a", 0.5), ("b", 3.0)]
    assert heard == [answers[0], ALERT, answers[1]]


def test_plugins_are_called_in_the_order_of_their_names_whatever_they_ask_for() -> None:
    class Eager:
        @hookimpl(tryfirst=True)
        def alert_fired(self) -> list[str]:
            return ["eager"]

    answers = call(c=Eager(), a=Plugin(good), b=Plugin(good))
    assert [answer.plugin for answer in answers] == ["a", "b", "c"]


def test_each_plugin_is_called_once_also_under_another_function_name_and_without_a_hash() -> None:
    calls: list[str] = []

    @dataclasses.dataclass
    class Data:
        name: str

        @hookimpl(specname="alert_fired")
        def take(self) -> None:
            calls.append(self.name)

    assert Data.__hash__ is None
    answers = call(one=Data("one"), two=Data("two"), three=Plugin(lambda _: None))
    assert calls == ["one", "two"]
    assert [answer.plugin for answer in answers if answer.error] == ["one", "three", "two"]  # list(None)


def test_an_old_plugin_may_take_fewer_arguments_and_a_default_stays_its_own() -> None:
    class Old:
        @hookimpl
        def alert_fired(self) -> list[str]:
            return ["nothing"]

    class Newer:
        @hookimpl
        def alert_fired(self, context: Context, alert: Alert) -> list[object]:
            return [type(context), alert]

    assert call(newer=Newer(), old=Old()) == [Answer("newer", [Context, ALERT]), Answer("old", ["nothing"])]


def test_a_plugin_without_an_answer_answers_none() -> None:
    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(lambda _: None), name="quiet")
    (answer,) = call_each(manager, "alert_fired", lambda _: {"alert": ALERT}, lambda value: value is None)
    assert (answer.plugin, answer.value, answer.error) == ("quiet", True, None)
    assert call_each(manager, "alert_shutdown", lambda _: {"context": Context()}, list) == []


def test_an_interrupt_passes() -> None:
    def interrupt(_: Alert) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(a=Plugin(interrupt), b=Plugin(good))


def test_an_interrupt_in_another_thread_is_the_plugins() -> None:
    def interrupt(_: Alert) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        bad, fine = pool.submit(call, a=Plugin(interrupt), b=Plugin(good)).result()
    assert isinstance(bad.error, KeyboardInterrupt)
    assert fine == Answer("b", ["good"])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\n\n  b"), "ValueError: a b"),
        (KeyError(), "KeyError"),
        (SystemExit(2), "SystemExit: 2"),
    ],
)
def test_an_error_is_described_in_one_line(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_an_error_that_cannot_be_written_is_still_only_the_plugins() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute(_: Alert) -> None:
        raise MuteError

    bad, fine = call(bad=Plugin(mute), fine=Plugin(good))
    assert isinstance(bad.error, MuteError)
    assert fine == Answer("fine", ["good"])
    assert describe(bad.error) == "MuteError"


def test_an_error_that_ends_the_process_when_it_is_written_is_still_only_the_plugins() -> None:
    class LoudError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert describe(LoudError()) == "LoudError"


def test_an_interrupt_while_an_error_is_written_passes() -> None:
    class SlowError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe(SlowError())


def test_what_is_hidden_is_hidden_inside_and_asked_for_only_then() -> None:
    asked: list[str] = []
    assert list(hidden()) == []

    def secrets(name: str) -> list[str]:
        asked.append(name)
        return [name]

    with hiding(lambda: secrets("outer")), hiding(lambda: secrets("inner")):
        assert asked == []
        assert list(hidden()) == ["inner"]
    assert list(hidden()) == []
    assert asked == ["inner"]

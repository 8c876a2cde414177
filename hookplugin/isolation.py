"""Isolation: every plugin is called by itself, so that one that fails costs only its own part."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final, Generic, TypeVar

import pluggy

from hookspecs import SendError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """Hold what one plugin made of one call: a value, or an error."""

    plugin: str
    value: Value | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    """How long the plugin took."""


class OfferError(Exception):
    """Say that what a plugin offers has failed; it is noted already, and the message shows none of its secrets."""

    def __init__(self, message: str, cause: BaseException) -> None:
        """Hold the message, and what the plugin raised."""
        super().__init__(message)
        self.cause: Final = cause


class AnswerError(SendError):
    """Say that nobody can know whether a sender has told its receiver: it may have, again and again."""


_OURS: Final = f"{Path(__file__).parent}{os.sep}"
_hidden: ContextVar[Callable[[], Iterable[str]]] = ContextVar("hidden", default=tuple)


@contextmanager
def hiding(secrets: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Let no failure of a plugin that is called inside show these secrets; they are asked for when there is one."""
    token = _hidden.set(secrets)
    try:
        yield
    finally:
        _hidden.reset(token)


def hidden() -> Iterable[str]:
    """Return the secrets that a failure must not show now."""
    return _hidden.get()()


def contain(error: BaseException) -> None:
    """Let everything that a plugin may raise end here, also SystemExit and CancelledError; an interrupt is the user's.

    Raises:
        KeyboardInterrupt: that is what the error is, in the main thread; in others Python raises none by itself.

    """
    if issubclass(type(error), KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def describe(error: BaseException) -> str:
    """Write an error in one line, whatever it is."""
    name = text = ""
    try:
        name = str(type(error).__name__)
        text = " ".join(str(error).split())
    except BaseException as another:  # noqa: BLE001 - the error is a plugin's, and so is what writes it
        contain(another)
    return f"{name or 'an error'}: {text}" if text else name or "an error"


def place_of(error: BaseException) -> str:
    """Return file and line where an error came from: the last one in the plugin's own file; nothing if it has none."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_OURS)
    ]
    lines = [line for name, line in frames if name == frames[0][0]]
    return f"{Path(frames[0][0]).name}:{lines[-1]}" if frames else ""


def call_each(  # noqa: PLR0913, PLR0917 - all of it is needed for one call
    manager: pluggy.PluginManager,
    hook: str,
    arguments: Callable[[str], Mapping[str, Any]],
    read: Callable[[Any], Value],
    seen: Callable[[Answer[Value]], object] = lambda _: None,
    timer: Callable[[], float] = time.perf_counter,
) -> list[Answer[Value]]:
    """Call a hook of one plugin after the other, in the order of their names.

    A failure is answered; it never stops the others.

    Args:
        manager: that the plugins are registered with.
        hook: the name of the hook.
        arguments: makes the arguments for a plugin, by its name.
        read: checks and converts what a plugin returned; an iterator may fail in here, half way through.
        seen: hears of each answer before the next plugin is called.
        timer: seconds, from any moment on.

    """
    implementations = getattr(manager.hook, hook).get_hookimpls()
    answers: list[Answer[Value]] = []
    for implementation in sorted(implementations, key=lambda one: str(one.plugin_name)):
        name = implementation.plugin_name
        began = timer()
        try:
            given = arguments(name)
            # Not through a hook caller of pluggy's: it needs plugins that are hashable. An implementation may take
            # fewer arguments than the hook has, and with a default some that only newer hooks have.
            named = {argument: given[argument] for argument in implementation.kwargnames if argument in given}
            value = implementation.function(*(given[argument] for argument in implementation.argnames), **named)
            answer = Answer(name, read(value), seconds=timer() - began)
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, the others still run
            contain(error)
            answer = Answer(name, error=error, seconds=timer() - began)
        answers.append(answer)
        seen(answer)
    return answers

"""Isolation: every plugin is called by itself, so that one that fails costs only its own part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pluggy

_log = logging.getLogger("hookplugin")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """Hold what one plugin made of one call: a value, or an error."""

    plugin: str
    value: Value | None = None
    error: BaseException | None = None


def contain(error: BaseException) -> None:
    """Let everything that a plugin may raise end here, also SystemExit and CancelledError; an interrupt is the user's.

    Raises:
        KeyboardInterrupt: that is what the error is.

    """
    if isinstance(error, KeyboardInterrupt):
        raise error


def describe(error: BaseException) -> str:
    """Write an error in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the error is a plugin's, and so is what writes it
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def call_each(
    manager: pluggy.PluginManager,
    hook: str,
    arguments: Callable[[str], Mapping[str, Any]],
    read: Callable[[Any], Value],
    *,
    log: bool = True,
) -> list[Answer[Value]]:
    """Call a hook of one plugin after the other, in the order of their names.

    A failure is answered; it never stops the others.

    Args:
        manager: that the plugins are registered with.
        hook: the name of the hook.
        arguments: makes the arguments for a plugin, by its name.
        read: checks and converts what a plugin returned; an iterator may fail in here, half way through.
        log: whether failures are logged, too.

    """
    implementations = getattr(manager.hook, hook).get_hookimpls()
    answers: list[Answer[Value]] = []
    for implementation in sorted(implementations, key=lambda one: str(one.plugin_name)):
        name = implementation.plugin_name
        try:
            given = arguments(name)
            # Not through a hook caller of pluggy's: it needs plugins that are hashable. An implementation may take
            # fewer arguments than the hook has, and with a default some that only newer hooks have.
            named = {argument: given[argument] for argument in implementation.kwargnames if argument in given}
            value = implementation.function(*(given[argument] for argument in implementation.argnames), **named)
            answers.append(Answer(name, read(value)))
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises, the others still run
            contain(error)
            if log:
                _log.warning("the plugin %r failed in %s: %s", name, hook, describe(error), extra={"plugin": name})
            answers.append(Answer(name, error=error))
    return answers


def raise_together(answers: list[Answer[Value]], hook: str) -> None:
    """Raise the errors of all plugins as one.

    Raises:
        BaseExceptionGroup: at least one of them failed.

    """
    errors = [answer.error for answer in answers if answer.error is not None]
    if errors:
        message = f"plugins failed in {hook}"
        raise BaseExceptionGroup(message, errors)

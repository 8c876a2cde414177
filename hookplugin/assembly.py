"""Assembly: plugins and a configuration, made ready for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import pluggy

import hookspecs
from hookplugin.config import Config, disabled_plugins
from hookplugin.discovery import discover
from hookplugin.document import ConfigError, Document
from hookplugin.outbox.opening import MEMORY, OutboxError
from hookplugin.plugins import Plugins
from hookplugin.problems import Problem
from hookplugin.resolution import resolve
from hookplugin.webhook import Webhook, webhook_of
from hookspecs import PROJECT
from hookspecs.frozen import FrozenDict

NONE: Final = FrozenDict[str, object]()


def load_plugins(
    document: Document,
    *,
    strict: bool = False,
    brought: Mapping[str, object] = NONE,
    clock: Callable[[], float] | None = None,
) -> Plugins:
    """Load the plugins and let them register; the configuration need not be right.

    Args:
        document: the configuration.
        strict: failures are raised.
        brought: plugins of the program itself, by name.
        clock: seconds since 1970-01-01 UTC; the machine's if none.

    Raises:
        BaseExceptionGroup: plugins failed, and `strict` is set.

    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    statuses = discover(manager, disabled_plugins(document), brought)
    failed = [RuntimeError(f"{status.name}: {status.reason}") for status in statuses if status.state == "failed"]
    if strict and failed:
        message = "plugins cannot be loaded"
        raise ExceptionGroup(message, failed)
    plugins = Plugins(manager, statuses, strict=strict, clock=clock)
    plugins.register(document)
    return plugins


def assemble(
    document: Document,
    *,
    strict: bool = False,
    brought: Mapping[str, object] = NONE,
    clock: Callable[[], float] | None = None,
) -> tuple[Plugins, Config]:
    """Load the plugins and check the configuration against what they offer; open nothing.

    The arguments are those of `load_plugins`.

    Raises:
        ConfigError: with every mistake at once.
        BaseExceptionGroup: plugins failed, and `strict` is set.

    """
    plugins = load_plugins(document, strict=strict, brought=brought, clock=clock)
    try:
        return plugins, resolve(document, plugins.offered)
    except ConfigError as error:
        raise ConfigError([*document.locate(plugins.mistakes), *error.problems]) from None


@contextmanager
def rehearse(
    document: Document, outbox: Callable[[Config], str] = lambda _: MEMORY
) -> Iterator[tuple[Plugins, Config]]:
    """Make the plugins ready as a host does, and shut them down at the end.

    Args:
        document: the configuration.
        outbox: says which one is opened; one in memory if not given.

    Raises:
        ConfigError: with every mistake at once.

    """
    plugins, config = assemble(document)
    configure(plugins, config.model_copy(update={"outbox": outbox(config)}), document)
    try:
        yield plugins, config
    finally:
        plugins.shutdown()


def configure(plugins: Plugins, config: Config, document: Document) -> None:
    """Hand each plugin its settings, and check the configuration again if that changed what there is.

    Raises:
        ConfigError: with every mistake at once; plugins and outbox are closed.
        BaseExceptionGroup: plugins failed, and the host is strict.

    """
    try:
        before = plugins.offered
        plugins.configure(config)
        if plugins.offered != before:  # what failed only now may be required, or offer what a strategy names
            resolve(document, plugins.offered)
    except BaseException as error:
        with suppress(BaseExceptionGroup):  # of a strict host, which says what was first
            close(plugins, webhook_of(plugins.context), 0)
        if isinstance(error, OutboxError):
            raise ConfigError(document.locate([Problem(("outbox",), str(error))])) from None
        raise


def close(plugins: Plugins, webhook: Webhook | None, seconds: float) -> int:
    """Deliver for at most this time, then shut the plugins down; return how many deliveries are left."""
    left = webhook.stop(seconds) if webhook else 0
    try:
        plugins.shutdown()
    finally:
        if webhook:
            webhook.close()
    return left

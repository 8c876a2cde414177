"""The host: loads plugins, fires alerts, says what became of them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any, Final, Self

import pluggy
from pydantic import ValidationError

import hookspecs
from hookplugin.config import OUR_PLUGIN, Config, ConfigInput, disabled_plugins, open_document, resolve
from hookplugin.discovery import PluginStatus, discover, take_over
from hookplugin.document import ConfigError, Document
from hookplugin.isolation import contain, describe, raise_together
from hookplugin.outbox.store import MEMORY, OutboxError
from hookplugin.plugins import Plugins
from hookplugin.problems import Problem, nearest, problems_of
from hookplugin.receipt import Receipt, Unsent
from hookplugin.sources import PayloadError, UnknownSourceError, parse_json
from hookplugin.webhook import DRAIN, Webhook, webhook_of
from hookspecs import PROJECT, Alert, Context, Outcome, Source


def load_plugins(document: Document, *, strict: bool = False) -> Plugins:
    """Load the plugins and let them register; the configuration need not be right.

    Raises:
        BaseExceptionGroup: plugins failed, and `strict` is set.

    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    statuses = discover(manager, disabled_plugins(document))
    failed = [RuntimeError(f"{status.name}: {status.reason}") for status in statuses if status.state == "failed"]
    if strict and failed:
        message = "plugins cannot be loaded"
        raise ExceptionGroup(message, failed)
    plugins = Plugins(manager, statuses, strict=strict)
    plugins.register()
    return plugins


def assemble(document: Document, *, strict: bool = False) -> tuple[Plugins, Config]:
    """Load the plugins and check the configuration against what they offer; open nothing.

    Raises:
        ConfigError: with every mistake at once.
        BaseExceptionGroup: plugins failed, and `strict` is set.

    """
    plugins = load_plugins(document, strict=strict)
    return plugins, resolve(document, plugins.offered)


@contextmanager
def rehearse(document: Document) -> Iterator[tuple[Plugins, Config]]:
    """Make the plugins ready as a host does, with an outbox in memory, and shut them down at the end.

    Raises:
        ConfigError: with every mistake at once.

    """
    plugins, config = assemble(document)
    _configure(plugins, config.model_copy(update={"outbox": MEMORY}), document)
    try:
        yield plugins, config
    finally:
        plugins.shutdown()


def prepare(manager: pluggy.PluginManager, config: ConfigInput) -> Context:
    """Make the plugins of a host's own pluggy manager ready; return the context that hooks are called with.

    The manager has `hookspecs` added and its plugins registered. Plugins that a `Host` would refuse, that fail here,
    or that the configuration disables, are unregistered. Afterwards the host calls `alert_fired(alert=…, context=…)`,
    and `alert_shutdown(context=…)` at its end.

    Raises:
        ConfigError: with every mistake at once.

    """
    document = open_document(config)
    plugins = Plugins(manager, take_over(manager, disabled_plugins(document)), strict=False)
    plugins.register()
    _configure(plugins, resolve(document, plugins.offered), document)
    return plugins.context


class Host:
    """Load the installed plugins and fire alerts at them.

    Threads may share a host. Close it, or use it as a context manager: closing delivers what is left.
    """

    def __init__(self, config: ConfigInput, *, strict: bool = False) -> None:
        """Load plugins, check the configuration, open the outbox; start no thread.

        Args:
            config: a `Config`, a dict of the same keys, or the path of a YAML file.
            strict: failures of plugins in the host's own calls are raised, after every plugin was called; for tests.

        Raises:
            ConfigError: with every mistake at once.
            BaseExceptionGroup: plugins failed, and `strict` is set.

        """
        document = open_document(config)
        self._strict: Final = strict
        self._plugins, checked = assemble(document, strict=strict)
        _configure(self._plugins, checked, document)
        self._finalizer: Final = weakref.finalize(self, _close, self._plugins, self._webhook, DRAIN)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, strict: bool = False) -> Self:
        """Read a YAML file.

        Raises:
            ConfigError: with every mistake at once, each with file and line.

        """
        return cls(path, strict=strict)

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """Say what became of each plugin."""
        return self._plugins.statuses

    @property
    def context(self) -> Context:
        """Return what hooks are handed, without anybody's settings."""
        return self._plugins.context

    def fire(self, alert: Alert) -> Receipt:
        """Hand an alert to every plugin; when it returns, what was accepted is stored.

        It never raises for a plugin, a receiver or the storage.

        Raises:
            TypeError: it is no `Alert`.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        return self.fire_all([alert])

    def fire_all(self, alerts: Iterable[Alert]) -> Receipt:
        """Fire several alerts, and store what was accepted at once.

        Raises:
            TypeError: one of them is no `Alert`; none is fired.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        alerts = list(alerts)
        for alert in alerts:
            if not isinstance(alert, Alert):
                message = f"an Alert is fired, not {type(alert).__name__}; receive('json', …) reads JSON"
                raise TypeError(message)
        webhook = self._webhook
        fired = []
        storage = None
        try:
            with webhook.together() if webhook else nullcontext():
                fired = [(alert, self._plugins.fired(alert)) for alert in alerts]
        except OutboxError as error:
            storage = str(error)
        accepted, suppressed, refused = [], [], []
        for alert, answers in fired:
            reasons = [f"the plugin {one.plugin!r} failed: {describe(one.error)}" for one in answers if one.error]
            deliveries = [delivery for one in answers for delivery in one.value or ()]
            if storage and any(one.plugin == OUR_PLUGIN and one.value for one in answers):
                reasons.append(storage)
                deliveries = [delivery for one in answers if one.plugin != OUR_PLUGIN for delivery in one.value or ()]
            accepted += deliveries
            refused += [Unsent(alert=alert, reason=reason) for reason in reasons]
            if not deliveries and not reasons:
                reason = "no strategy matched" if webhook else f"the plugin {OUR_PLUGIN!r} is off, and no other took it"
                suppressed.append(Unsent(alert=alert, reason=reason))
        if self._strict:
            raise_together([answer for _, answers in fired for answer in answers], "alert_fired")
        return Receipt(
            deliveries=tuple(accepted),
            durable=webhook is not None and webhook.store.durable and not storage,
            suppressed=tuple(suppressed),
            refused=tuple(refused),
        )

    def receive(self, source: str, payload: object) -> Receipt:
        """Parse a foreign payload, and fire all its alerts.

        Args:
            source: the name of a source: `json`, `hertzbeat`, `alertmanager`, or what plugins offer.
            payload: as it came, bytes or text, or parsed JSON.

        Raises:
            UnknownSourceError: there is no such source.
            PayloadError: the source cannot read the payload.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        sources = self.context.registry.sources
        if source not in sources:
            message = f"unknown source {source!r}{nearest(source, sources)}"
            raise UnknownSourceError(message)
        parsed = parse_json(payload) if isinstance(payload, (bytes, bytearray, str)) else payload
        try:
            alerts = _read(sources[source], parsed, self.context)
        except ValidationError as error:
            problems = [str(problem) for problem in problems_of(error, lambda _: _ALERT_KEYS)]
            found = "; ".join(problems[:_MOST_PROBLEMS])
            if len(problems) > _MOST_PROBLEMS:
                found += f"; and {len(problems) - _MOST_PROBLEMS} more"
            message = f"the source {source!r} cannot read the payload: {found}"
            raise PayloadError(message) from None
        except ValueError as error:
            message = f"the source {source!r} cannot read the payload: {error}"
            raise PayloadError(message) from None
        except RecursionError:
            message = "the payload is nested too deeply"
            raise PayloadError(message) from None
        except BaseException as error:
            contain(error)
            if self._strict:
                raise
            return Receipt(refused=(Unsent(alert=None, reason=f"the source {source!r} failed: {describe(error)}"),))
        return self.fire_all(_with_source(alert, source) for alert in alerts)

    def wait(self, receipt: Receipt, seconds: float = 30.0) -> dict[str, Outcome | None]:
        """Wait until what was accepted is delivered or dead, for at most this time.

        Returns:
            The outcomes by delivery id; none for what has none yet. What other plugins deliver is left out.

        """
        if self._webhook is None:
            return {}
        try:
            return self._webhook.wait(receipt.accepted, seconds)
        except OutboxError:
            return dict.fromkeys(receipt.accepted)

    def close(self, seconds: float = DRAIN) -> int:
        """Deliver for at most this time, then shut the plugins down; return how many deliveries are left.

        What is left in an outbox file is delivered after the next start.
        """
        if self._finalizer.detach() is None:
            return 0
        return _close(self._plugins, self._webhook, seconds)

    def __enter__(self) -> Self:
        """Go on with what an earlier process has left in the outbox, and return the host."""
        if self._webhook:
            self._webhook.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the host."""
        self.close()

    @property
    def _webhook(self) -> Webhook | None:
        return webhook_of(self.context)


_MOST_PROBLEMS: Final = 3  # of a payload that are told; one of the wrong kind has dozens
_ALERT_KEYS: Final = frozenset(str(field.alias) for field in Alert.model_fields.values())


def _configure(plugins: Plugins, config: Config, document: Document) -> None:
    try:
        before = plugins.statuses
        plugins.configure(config)
        if plugins.statuses != before:  # what failed only now may be required, or offer what a strategy names
            resolve(document, plugins.offered)
    except BaseException as error:
        _close(plugins, webhook_of(plugins.context), 0)
        if isinstance(error, OutboxError):
            raise ConfigError(document.locate([Problem(("outbox",), str(error))])) from None
        raise


def _close(plugins: Plugins, webhook: Webhook | None, seconds: float) -> int:
    left = webhook.close(seconds) if webhook else 0
    plugins.shutdown()
    return left


def _read(source: Source, payload: Any, context: Context) -> list[Alert]:  # noqa: ANN401 - JSON has no narrower type
    alerts = list(source(payload, context))
    for alert in alerts:
        if not isinstance(alert, Alert):
            message = f"it returned {type(alert).__name__} where an Alert should be"
            raise TypeError(message)
    return alerts


def _with_source(alert: Alert, source: str) -> Alert:
    """Say where an alert came from, if its source did not."""
    return alert if alert.source else Alert.model_validate({**alert.given(), "source": source})

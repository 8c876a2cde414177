"""The host: loads plugins, fires alerts, says what became of them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import pluggy

from hookplugin.assembly import NONE, assemble, close, configure
from hookplugin.config import OUR_PLUGIN, Config, ConfigInput, disabled_plugins, open_document
from hookplugin.discovery import PluginStatus, take_over
from hookplugin.document import ConfigError, Document
from hookplugin.exposure import log_exposures
from hookplugin.isolation import Answer, OfferError
from hookplugin.outbox.opening import OutboxError
from hookplugin.plugins import Plugins
from hookplugin.problems import Problem
from hookplugin.receipt import Receipt, Unsent
from hookplugin.resolution import resolve, undeliverable
from hookplugin.sources import read_alerts
from hookplugin.strategy.explain import Explanation
from hookplugin.strategy.notify import UNMATCHED, Held
from hookplugin.webhook import DRAIN, Proposal, Webhook, explain_alert, webhook_of
from hookspecs import Alert, Context, Delivery, Outcome


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
    plugins.register(document)
    checked = resolve(document, plugins.offered)
    configure(plugins, checked, document)
    log_exposures(checked, document, plugins.own_settings)
    return plugins.context


class Host:
    """Load the installed plugins and fire alerts at them.

    Threads may share a host. Close it, or use it as a context manager: closing delivers what is left.
    """

    def __init__(
        self,
        config: ConfigInput,
        *,
        strict: bool = False,
        dispatch: bool | None = None,
        plugins: Mapping[str, object] = NONE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Load plugins, check the configuration, open the outbox; start no thread.

        Args:
            config: a `Config`, a dict of the same keys, or the path of a YAML file.
            strict: failures of plugins are raised, by the call that met them once every plugin was called, or by
                `close`; for tests.
            dispatch: whether this process delivers; what the configuration says if None. One that does not needs an
                outbox file.
            plugins: modules or instances that the program brings itself, by name; they run beside those that are
                installed, and in the place of one of the same name.
            clock: seconds since 1970-01-01 UTC, for tests; the machine's if none.

        Raises:
            ConfigError: with every mistake at once.
            BaseExceptionGroup: plugins failed, and `strict` is set.

        """
        self._source: Final = Path(config).absolute() if isinstance(config, (str, os.PathLike)) else config
        self._dispatch: Final = dispatch
        self._reloading: Final = threading.Lock()
        document = open_document(config)
        self._directory: Final = document.directory
        self._plugins, checked = assemble(document, strict=strict, brought=plugins, clock=clock)
        self._config = self._as_told(checked, document)
        configure(self._plugins, self._config, document)
        log_exposures(self._config, document, self._plugins.own_settings)
        self._finalizer: Final = weakref.finalize(self, close, self._plugins, self._webhook, DRAIN)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        strict: bool = False,
        dispatch: bool | None = None,
        plugins: Mapping[str, object] = NONE,
        clock: Callable[[], float] | None = None,
    ) -> Self:
        """Read a YAML file; the arguments are those of the class.

        Raises:
            ConfigError: with every mistake at once, each with file and line.

        """
        return cls(path, strict=strict, dispatch=dispatch, plugins=plugins, clock=clock)

    @property
    def config(self) -> Config:
        """Return the configuration that the host runs with."""
        return self._config

    @property
    def plugins(self) -> tuple[PluginStatus, ...]:
        """Say what became of each plugin."""
        return self._plugins.statuses

    @property
    def context(self) -> Context:
        """Return what hooks are handed, without anybody's settings."""
        return self._plugins.context

    @property
    def durable(self) -> bool:
        """Say whether what is accepted now outlives the process."""
        return self._webhook is not None and self._webhook.store.durable

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
            _require_alert(alert)
        fired: list[_Fired] = []
        storage = None
        none: AbstractContextManager[list[Proposal]] = nullcontext([])
        together = self._webhook.together() if self._webhook else none
        try:
            with together as proposals:
                for alert in alerts:
                    before = len(proposals)
                    answers = self._plugins.fired(alert)
                    fired.append(_Fired(alert, answers, proposals[before:]))
        except OutboxError as error:
            storage = str(error)
        self._plugins.raise_failures("alert_fired")
        return self._receipt(fired, storage)

    def _receipt(self, fired: Iterable[_Fired], storage: str | None) -> Receipt:
        accepted, suppressed, refused, durable = [], [], [], self.durable and not storage
        for alert, answers, proposals in fired:
            deliveries = [delivery for one in answers for delivery in one.value or ()]
            reasons = [
                (f"the plugin {one.plugin!r} failed: {self._plugins.describe(one)}", one.plugin == OUR_PLUGIN)
                for one in answers
                if one.error
            ]
            held = [] if self._webhook else [Held(f"the plugin {OUR_PLUGIN!r} is off, and no other took it")]
            for proposal in proposals:
                if entry := proposal.entry:
                    deliveries += entry.deliveries
                    durable = durable and entry.durable
                    reasons += [(entry.refused, True)] if entry.refused else []
                    held += () if entry.refused else entry.held
                elif storage and proposal.matters:
                    reasons.append((storage, True))
                else:
                    held.append(UNMATCHED)
            accepted += deliveries
            refused += [Unsent(alert=alert, reason=reason, retry=retry) for reason, retry in reasons]
            suppressed += [
                Unsent(alert=alert, reason=one.reason, receiver=one.receiver)
                for one in held
                if one.receiver or not (deliveries or reasons)
            ]
        return Receipt(
            deliveries=tuple(accepted),
            durable=durable,
            suppressed=tuple(suppressed),
            refused=tuple(refused),
        )

    def receive(self, source: str, payload: object) -> Receipt:
        """Parse a foreign payload, and fire all its alerts; what of it cannot be read is refused.

        Args:
            source: the name of a source, ours or a plugin's.
            payload: as it came, bytes or text, or parsed JSON.

        Raises:
            UnknownSourceError: there is no such source.
            PayloadError: the source cannot read the payload.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        try:
            reading = read_alerts(source, payload, self.context)
        except OfferError as error:
            self._plugins.raise_failures(f"the source {source!r}")
            return Receipt(refused=(Unsent(alert=None, reason=str(error)),))
        return self.fire_all(reading.alerts).refusing(reading.problems)

    def explain(self, alert: Alert, at: datetime | None = None) -> Explanation:
        """Say who would hear of an alert, who would not, and why; nothing is stored or sent.

        Args:
            alert: what fired or recovered, or would.
            at: when; now if none, in the configuration's zone if it names none.

        Raises:
            TypeError: it is no `Alert`.
            BaseExceptionGroup: filters failed, and the host is strict.

        """
        _require_alert(alert)
        explanation = explain_alert(self.context, alert, at)
        self._plugins.raise_failures("filters")
        return explanation

    def reload(self, config: ConfigInput | None = None) -> None:
        """Take the configuration as it is now; what is under way goes on as it was begun. This starts threads.

        Args:
            config: another one; what the host was made from, read again, if none.

        Raises:
            ConfigError: with every mistake at once; the host goes on with the configuration that it has. The outbox,
                its durability and limit, and the plugins cannot change.

        """
        with self._reloading:
            try:
                self._take(config)
            except ConfigError:
                self._count_reload("failure")
                raise
            self._count_reload("success")

    def _take(self, config: ConfigInput | None) -> None:
        given = self._source if config is None else config
        document = open_document(given)
        if not isinstance(given, (str, os.PathLike)):  # the process may have gone elsewhere
            document = replace(document, directory=self._directory)
        checked = self._as_told(resolve(document, self._plugins.offered), document)
        fixed = [key for key in _FIXED if getattr(checked, key) != getattr(self._config, key)]
        if fixed:
            message = "cannot change while the host runs; start it anew"
            raise ConfigError(document.locate(Problem((key,), message) for key in fixed))
        context = self._plugins.context_of(checked)
        if self._webhook:
            self._webhook.reload(checked, context)
        self._plugins.reconfigure(context, checked)
        self._config = checked
        log_exposures(checked, document, self._plugins.own_settings)

    def _count_reload(self, outcome: str) -> None:
        if self._webhook:
            self._webhook.store.count("reloads", outcome)

    def resume(self) -> None:
        """Deliver what other processes have left in the outbox; this starts threads."""
        if self._webhook:
            self._webhook.resume()

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
        return close(self._plugins, self._webhook, seconds)

    def __enter__(self) -> Self:
        """Go on with what an earlier process has left in the outbox, and return the host."""
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the host."""
        self.close()

    def _as_told(self, config: Config, document: Document) -> Config:
        if self._dispatch is None:
            return config
        told = config.model_copy(update={"dispatch": self._dispatch})
        if problems := list(undeliverable(told)):
            raise ConfigError(document.locate(problems))
        return told

    @property
    def _webhook(self) -> Webhook | None:
        return webhook_of(self.context)


_FIXED: Final = ("outbox", "durability", "max_pending", "plugins")


class _Fired(NamedTuple):
    """Hold what plugins made of an alert, and what our own left to be decided."""

    alert: Alert
    answers: list[Answer[tuple[Delivery, ...]]]
    proposals: list[Proposal]


def _require_alert(alert: object) -> None:
    if not isinstance(alert, Alert):
        message = f"an Alert is fired, not {type(alert).__name__}; receive('json', …) reads JSON"
        raise TypeError(message)

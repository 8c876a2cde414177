"""The plugins of one host: one typed method for each hook."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import pluggy
from pydantic import BaseModel

from hookplugin import webhook
from hookplugin.bodies.preset import PRESETS
from hookplugin.bodies.rendering import Bodies
from hookplugin.config import OUR_PLUGIN, Config, settings_of
from hookplugin.delivery.receiver import WEBHOOK
from hookplugin.delivery.signing import SIGNERS
from hookplugin.discovery import PluginStatus
from hookplugin.document import Document
from hookplugin.failures import SLOW, Failures
from hookplugin.isolation import Answer, call_each, contain
from hookplugin.models import mistakes
from hookplugin.offers import guard
from hookplugin.problems import Problem
from hookplugin.resolution import Offered
from hookplugin.sources import RESENDING, SOURCES
from hookspecs import Alert, Context, Delivery, Outcome, Registry, SettingsError
from hookspecs.frozen import FrozenDict

Value = TypeVar("Value")

Arguments: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Makes the arguments of a call for a plugin, by its name."""


class Plugins:
    """Call plugins one by one, and know what became of each.

    The calls come in the order of a host's life: `register`, `configure`, then `fired` and `delivered`, `shutdown`.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        statuses: Iterable[PluginStatus],
        *,
        strict: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Take over plugins that are registered already.

        Args:
            manager: that they are registered with.
            statuses: of these, and of those that could not be registered.
            strict: failures are raised, once everybody was called.
            clock: seconds since 1970-01-01 UTC; the machine's if none.

        """
        self._manager: Final = manager
        self._strict: Final = strict
        self._statuses = list(statuses)
        self._contexts: dict[str, Context] = {}
        self._offered: dict[str, Registry] = {}
        self._schemas: dict[str, Mapping[str, Any] | None] = {}
        # What an injected clock is moved on counts as time that passes, beside the time that does.
        timer = (lambda: time.perf_counter() + clock()) if clock else time.perf_counter
        self._failures: Final = Failures(strict=strict, timer=timer)
        self.mistakes: Final[list[Problem]] = []
        """In the settings of plugins."""
        self.registry: Final = Registry()
        self.context = Context(clock=clock or time.time)
        for name, parse in SOURCES.items():
            self.registry.source(name, parse, resends=name in RESENDING)
        guard(OUR_PLUGIN, self.registry, self._failures)
        for status in self._statuses:
            if status.state == "failed":
                self._failures.note_off(status.name, "load", status.reason or "")

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """Say what became of each plugin."""
        return tuple(map(self._as_of_now, self._statuses))

    @property
    def offered(self) -> Offered:
        """Return what a configuration may refer to."""
        troubles = {status.name: status.reason for status in reversed(self._statuses)}
        bodies = Bodies(renderers=self.registry.renderers).names
        return Offered(
            bodies=bodies,
            filters=frozenset(self.registry.filters),
            signers=SIGNERS | self.registry.signers.keys(),
            senders=dict(self.registry.options),
            plugins=FrozenDict(troubles),
        )

    @property
    def own_settings(self) -> Mapping[str, BaseModel]:
        """Return what plugins have read of their settings, by name."""
        return {name: offers.own_settings for name, offers in self._offered.items() if offers.own_settings is not None}

    def register(self, document: Document) -> None:
        """Let each plugin offer what it has, into a registry of its own that is merged if that works.

        Args:
            document: with the settings of plugins; it need not be right.

        Raises:
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        given = settings_of(document)

        def arguments(plugin: str) -> Mapping[str, Any]:
            settings = given.get(plugin, FrozenDict())
            registry = self._offered[plugin] = Registry(settings, document.directory)
            return {"registry": registry}

        errors = []
        for answer in self._call("alert_register", arguments):
            registry = self._offered[answer.plugin]
            self._failures.hide(answer.plugin, registry.own_settings, registry.secrets)
            error = answer.error or self._merge(answer.plugin, registry)
            if error is None:
                offers = tuple(f"{kind} {name}" for kind, name in registry.offers)
                self._update(answer.plugin, offers=offers)
            elif isinstance(error, SettingsError):
                found = list(mistakes(error, registry.model, ("plugins", "settings", answer.plugin)))
                self.mistakes.extend(found)
                lines = "; ".join(document.locate(found))
                self._fail(answer.plugin, "settings", f"its settings are wrong: {lines}")
            else:
                self._fail(answer.plugin, "alert_register", self._described("alert_register", answer.plugin, error))
            registry.seal()
            errors += [error] if error else []
        self.registry.seal()
        self._raise(errors, "alert_register")

    def configure(self, config: Config) -> None:
        """Hand each plugin its own settings.

        Raises:
            OutboxError: the outbox cannot be opened.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        self.context = replace(
            self.context,
            registry=self.registry,
            timezone=config.timezone,
            severities=config.severities,
            announce=self.delivered if self._manager.hook.alert_delivered.get_hookimpls() else None,
        )
        for name, plugin in self._manager.list_name_plugin():
            written = config.plugins.settings.get(name, FrozenDict())
            own = self._offered[name].own_settings if name in self._offered else None
            self._contexts[name] = self.context.with_settings(
                config if plugin is webhook else written if own is None else own
            )
        errors = []
        for answer in self._call("alert_configure", lambda name: {"context": self._contexts[name]}):
            if answer.error is not None:
                if self._manager.get_plugin(answer.plugin) is webhook:
                    raise answer.error  # without it nobody would hear of anything
                self.registry.withdraw(self._offered.get(answer.plugin, Registry()))
                reason = self._described("alert_configure", answer.plugin, answer.error)
                self._fail(answer.plugin, "alert_configure", reason)
                errors.append(answer.error)
        if ours := webhook.webhook_of(self.context):
            self._failures.count_in(lambda plugin, where: ours.store.count("plugin_failures", plugin, where))
        self._raise(errors, "alert_configure")

    def context_of(self, config: Config) -> Context:
        """Return the context as it is under another configuration."""
        return replace(self.context, timezone=config.timezone, severities=config.severities)

    def reconfigure(self, context: Context, config: Config) -> None:
        """Hand out another context; plugins keep the settings that they have, but for ours."""
        self.context = context
        self._contexts = {
            name: context.with_settings(config if isinstance(before.settings, Config) else before.settings)
            for name, before in self._contexts.items()
        }

    def fired(self, alert: Alert) -> list[Answer[tuple[Delivery, ...]]]:
        """Let each plugin take an alert; return what each accepted."""
        return call_each(
            self._manager,
            "alert_fired",
            lambda name: {"alert": alert, "context": self._contexts[name]},
            _deliveries,
            partial(self._seen, "alert_fired"),
            self._failures.timer,
        )

    def delivered(self, delivery: Delivery, outcome: Outcome) -> None:
        """Tell each plugin of a final outcome; nobody is there to catch a failure."""
        self._call(
            "alert_delivered",
            lambda name: {"delivery": delivery, "outcome": outcome, "context": self._contexts[name]},
        )

    def shutdown(self) -> None:
        """Let each plugin finish.

        Raises:
            BaseExceptionGroup: plugins failed, now or before without anybody to tell, and the host is strict.

        """
        self._call("alert_shutdown", lambda name: {"context": self._contexts[name]})
        self.raise_failures()

    def raise_failures(self, hook: str = "") -> None:
        """Raise what plugins failed at, and nobody has raised, if the host is strict.

        Args:
            hook: where most of it will have happened.

        Raises:
            BaseExceptionGroup: there is something.

        """
        self._raise(self._failures.take_errors(), hook)

    def describe(self, answer: Answer[Any]) -> str | None:
        """Say why a plugin failed, without its secrets; none if it did not."""
        return self._failures.describe(answer.plugin, answer.error) if answer.error is not None else None

    def _as_of_now(self, status: PluginStatus) -> PluginStatus:
        """Add what only few ask for: a schema takes a millisecond, which no start should wait for."""
        if not status.hooks:  # it never ran; another plugin of its name may
            return status
        offers = self._offered.get(status.name)
        if status.name not in self._schemas and offers:
            self._schemas[status.name] = _schema(offers.model)
        failures = self._failures.of(status.name) if status.state == "active" else ()
        return status.model_copy(update={"settings": self._schemas.get(status.name), "failures": failures})

    def _call(self, hook: str, arguments: Arguments) -> list[Answer[None]]:
        timer = self._failures.timer
        return call_each(self._manager, hook, arguments, lambda _: None, partial(self._seen, hook), timer)

    def _seen(self, hook: str, answer: Answer[Any]) -> None:
        """Note how a call went; at the start, whoever has called does."""
        failed = answer.error is not None
        self._failures.trace(answer.plugin, hook, answer.seconds, failed=failed)
        if hook in _AT_THE_START:
            return
        if answer.error is not None:
            self._failures.note(answer.plugin, hook, answer.error)
        elif answer.seconds > SLOW and hook == "alert_fired" and self._manager.get_plugin(answer.plugin) is not webhook:
            self._failures.note_slow(answer.plugin, hook, answer.seconds, "while the host waited")

    def _described(self, hook: str, plugin: str, error: BaseException) -> str:
        return f"{hook} failed: {self._failures.describe(plugin, error)}"

    def _merge(self, plugin: str, offers: Registry) -> Exception | None:
        ours = {*(("renderer", name) for name in PRESETS), *(("signer", name) for name in SIGNERS), ("sender", WEBHOOK)}
        taken = {*self.registry.offers, *ours}
        for kind, name in offers.offers:
            if (kind, name) in taken:
                others = (status.name for status in self._statuses if f"{kind} {name}" in status.offers)
                other = next(others, "hookplugin")
                return ValueError(f"the {kind} {name!r} is taken by {other!r}; rename it in {plugin!r}")
        guard(plugin, offers, self._failures)
        self.registry.merge(offers)
        return None

    def _fail(self, plugin: str, where: str, reason: str) -> None:
        """Take a plugin off: one that is half ready would fail at each alert."""
        self._update(plugin, state="failed", reason=reason, offers=())
        self._manager.unregister(name=plugin)
        self._failures.note_off(plugin, where, reason)

    def _update(self, plugin: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of PluginStatus
        for index, status in enumerate(self._statuses):
            if status.name == plugin and status.state == "active":
                self._statuses[index] = status.model_copy(update=changes)

    def _raise(self, errors: Sequence[BaseException], hook: str) -> None:
        if self._strict and errors:
            message = f"plugins failed in {hook}" if hook else "plugins failed"
            raise BaseExceptionGroup(message, errors)


_AT_THE_START: Final = frozenset({"alert_register", "alert_configure"})


def _schema(model: type[BaseModel] | None) -> Mapping[str, Any] | None:
    """Return the JSON schema of settings; none if JSON cannot say it."""
    try:
        schema = json.loads(json.dumps(model.model_json_schema())) if model else None
        return schema if isinstance(schema, dict) else None
    except BaseException as error:  # noqa: BLE001 - the model is a plugin's
        contain(error)
        return None


def _deliveries(value: Iterable[Delivery] | None) -> tuple[Delivery, ...]:
    deliveries = tuple(value or ())
    for delivery in deliveries:
        if not isinstance(delivery, Delivery):
            message = f"it returned {type(delivery).__name__} where a Delivery should be"
            raise TypeError(message)
    return deliveries

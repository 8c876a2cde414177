"""The plugins of one host: one typed method for each hook."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import pluggy

from hookplugin import webhook
from hookplugin.bodies.preset import PRESETS
from hookplugin.bodies.rendering import Bodies
from hookplugin.config import Config
from hookplugin.delivery.signing import SIGNERS
from hookplugin.discovery import PluginStatus
from hookplugin.isolation import Answer, call_each, describe, raise_together
from hookplugin.resolution import Offered
from hookplugin.sources import RESENDING, SOURCES
from hookspecs import Alert, Context, Delivery, Outcome, Registry
from hookspecs.frozen import FrozenDict

Value = TypeVar("Value")

_log = logging.getLogger("hookplugin")


class Plugins:
    """Call plugins one by one, and know what became of each.

    The calls come in the order of a host's life: `register`, `configure`, then `fired` and `delivered`, `shutdown`.
    """

    def __init__(self, manager: pluggy.PluginManager, statuses: Iterable[PluginStatus], *, strict: bool) -> None:
        """Take over plugins that are registered already.

        Args:
            manager: that they are registered with.
            statuses: of these, and of those that could not be registered.
            strict: failures are raised, once everybody was called.

        """
        self._manager: Final = manager
        self._strict: Final = strict
        self._statuses = list(statuses)
        self._contexts: dict[str, Context] = {}
        self._offered: dict[str, Registry] = {}
        self.registry: Final = Registry()
        self.context = Context()
        for name, parse in SOURCES.items():
            self.registry.source(name, parse, resends=name in RESENDING)

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """Say what became of each plugin."""
        return tuple(self._statuses)

    @property
    def offered(self) -> Offered:
        """Return what a configuration may refer to."""
        troubles = {status.name: status.reason for status in reversed(self._statuses)}
        bodies = Bodies(renderers=self.registry.renderers).names
        return Offered(
            bodies=bodies,
            filters=frozenset(self.registry.filters),
            signers=SIGNERS | self.registry.signers.keys(),
            plugins=FrozenDict(troubles),
        )

    def register(self) -> None:
        """Let each plugin offer what it has, into a registry of its own that is merged if that works.

        Raises:
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        scratch = self._offered
        answers = self._call(
            "alert_register", lambda name: {"registry": scratch.setdefault(name, Registry())}, log=False
        )
        for index, answer in enumerate(answers):
            error = answer.error or self._merge(answer.plugin, scratch[answer.plugin])
            if error is None:
                offers = scratch[answer.plugin].offers
                self._update(answer.plugin, offers=tuple(f"{kind} {name}" for kind, name in offers))
            else:
                answers[index] = replace(answer, error=error)
                self._fail(answer.plugin, f"alert_register failed: {describe(error)}")
        self._check(answers, "alert_register")

    def configure(self, config: Config) -> None:
        """Hand each plugin its own settings.

        Raises:
            OutboxError: the outbox cannot be opened.
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        self.context = Context(
            registry=self.registry,
            timezone=config.timezone,
            severities=config.severities,
            announce=self.delivered if self._manager.hook.alert_delivered.get_hookimpls() else None,
        )
        for name, plugin in self._manager.list_name_plugin():
            settings = config if plugin is webhook else config.plugins.settings.get(name, FrozenDict())
            self._contexts[name] = self.context.with_settings(settings)
        answers = self._call("alert_configure", lambda name: {"context": self._contexts[name]}, log=False)
        for answer in answers:
            if answer.error is not None:
                if self._manager.get_plugin(answer.plugin) is webhook:
                    raise answer.error  # without it nobody would hear of anything
                self.registry.withdraw(self._offered.get(answer.plugin, Registry()))
                self._fail(answer.plugin, f"alert_configure failed: {describe(answer.error)}")
        self._check(answers, "alert_configure")

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
        answers = call_each(
            self._manager,
            "alert_fired",
            lambda name: {"alert": alert, "context": self._contexts[name]},
            _deliveries,
        )
        return self._count(answers, "alert_fired")

    def delivered(self, delivery: Delivery, outcome: Outcome) -> None:
        """Tell each plugin of a final outcome; a failure is only logged, nobody is there to catch it."""
        self._call(
            "alert_delivered",
            lambda name: {"delivery": delivery, "outcome": outcome, "context": self._contexts[name]},
        )

    def shutdown(self) -> None:
        """Let each plugin finish.

        Raises:
            BaseExceptionGroup: plugins failed, and the host is strict.

        """
        self._check(self._call("alert_shutdown", lambda name: {"context": self._contexts[name]}), "alert_shutdown")

    def _call(
        self, hook: str, arguments: Callable[[str], Mapping[str, Any]], *, log: bool = True
    ) -> list[Answer[None]]:
        return self._count(call_each(self._manager, hook, arguments, lambda _: None, log=log), hook)

    def _count(self, answers: list[Answer[Value]], hook: str) -> list[Answer[Value]]:
        """Count failures, where there is an outbox to count them in."""
        ours = webhook.webhook_of(self.context)
        for answer in answers:
            if answer.error is not None and ours:
                ours.store.count("plugin_failures", answer.plugin, hook)
        return answers

    def _merge(self, plugin: str, offers: Registry) -> Exception | None:
        ours = {*(("renderer", name) for name in PRESETS), *(("signer", name) for name in SIGNERS)}
        taken = {*self.registry.offers, *ours}
        for kind, name in offers.offers:
            if (kind, name) in taken:
                others = (status.name for status in self._statuses if f"{kind} {name}" in status.offers)
                other = next(others, "hookplugin")
                return ValueError(f"the {kind} {name!r} is taken by {other!r}; rename it in {plugin!r}")
        self.registry.merge(offers)
        return None

    def _fail(self, plugin: str, reason: str) -> None:
        """Take a plugin off: one that is half ready would fail at each alert."""
        self._update(plugin, state="failed", reason=reason, offers=())
        self._manager.unregister(name=plugin)
        _log.warning("the plugin %r is off: %s", plugin, reason, extra={"plugin": plugin})

    def _update(self, plugin: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of PluginStatus
        for index, status in enumerate(self._statuses):
            if status.name == plugin and status.state == "active":
                self._statuses[index] = status.model_copy(update=changes)

    def _check(self, answers: list[Answer[None]], hook: str) -> None:
        if self._strict:
            raise_together(answers, hook)


def _deliveries(value: Iterable[Delivery] | None) -> tuple[Delivery, ...]:
    deliveries = tuple(value or ())
    for delivery in deliveries:
        if not isinstance(delivery, Delivery):
            message = f"it returned {type(delivery).__name__} where a Delivery should be"
            raise TypeError(message)
    return deliveries

"""The context: what a plugin gets to know of its host."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, Final, Self

from hookspecs.alert import Priority
from hookspecs.delivery import Delivery, Outcome
from hookspecs.frozen import FrozenDict
from hookspecs.registry import Registry

_log = logging.getLogger("hookplugin")
_MOST_UNKNOWN: Final = 100  # foreign payloads must not fill memory and log


@dataclass(frozen=True, eq=False, slots=True)
class Context:
    """Hold what every hook is handed: the registry, and the plugin's own settings.

    There is one for each host and, in the calls that a `Host` makes, a view of it for each plugin.
    """

    registry: Registry = field(default_factory=Registry)
    """What all plugins offer; complete from `alert_configure` on."""
    settings: Any = field(default_factory=FrozenDict[str, Any], repr=False)
    """The plugin's own part of the configuration, `plugins.settings.NAME`; never anybody else's.

    What `registry.settings` has returned, or, of a plugin that asked for no model, as it is written.
    """
    timezone: tzinfo | None = None
    """Of schedules, and of foreign times that name none; None is the machine's, as for `datetime.astimezone`."""
    severities: Mapping[str, Priority] = field(default_factory=FrozenDict[str, Priority])
    """The operator's reading of foreign severities."""
    clock: Callable[[], float] = field(default=time.time, repr=False)
    """Tell the time, in seconds since 1970-01-01 UTC; tests inject one that they move."""
    announce: Callable[[Delivery, Outcome], None] | None = field(default=None, repr=False)
    """Tell every plugin of a final outcome, through `alert_delivered`; None if nobody listens."""
    state: dict[str, Any] = field(default_factory=dict, repr=False)
    """What plugins keep for the life of this host, under their own names."""
    _unknown: set[str] = field(default_factory=set, repr=False)

    def priority(self, severity: object) -> Priority:
        """Return the priority of a foreign severity: the operator's, or of that name; unknown or none is a warning.

        An unknown severity is logged, once.
        """
        name = severity.strip().lower() if isinstance(severity, str) else ""
        if name in self.severities:
            return self.severities[name]
        if name in Priority.__members__:
            return Priority[name]
        if name not in self._unknown and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.add(name)
            _log.warning(
                "%s is read as warning; the configuration can say otherwise: severities: {%s: critical}",
                f"the severity {name!r}" if name else "an alert without a severity",
                name if name.isidentifier() else json.dumps(name),
            )
        return Priority.warning

    def with_settings(self, settings: object) -> Self:
        """Return the same context as seen by a plugin with these settings."""
        return replace(self, settings=settings)

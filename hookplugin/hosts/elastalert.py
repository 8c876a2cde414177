"""ElastAlert 2: an alerter, which rules name as `hookplugin.hosts.elastalert.HookPluginAlerter`.

Source: `elastalert/alerts.py` and `elastalert/elastalert.py` of versions 2.19 and 2.31.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from elastalert.alerts import Alerter  # type: ignore[import-not-found] # ElastAlert brings it, where this is loaded
from elastalert.util import EAException  # type: ignore[import-not-found] # as above

from hookplugin.hosts.adapter import Adapter
from hookplugin.isolation import describe

LONGEST_TEXT: Final = 10_000
"""Characters of a match's text."""

_log = logging.getLogger("hookplugin")
adapters: Final[dict[str | None, Adapter]] = {}
"""By the path of the configuration; rules may name different ones."""
_TOLD: Final = ("name", "description", "owner", "index", "priority", "severity", "query_key", "timestamp_field")
"""What is told of a rule; others of its options are secrets."""


class HookPluginAlerter(Alerter):  # type: ignore[misc] # what it brings has no types
    """Fire one alert for each match.

    The option `hookplugin_config` of a rule is the path of the configuration; without it, it is that of
    HOOKPLUGIN_CONFIG, or hookplugin.yaml in the working directory.
    """

    def alert(self, matches: Sequence[Mapping[str, Any]]) -> None:
        """Fire matches; ElastAlert switches a rule off for any other exception, and forgets the match.

        Raises:
            EAException: they could not be stored; ElastAlert tries again.

        """
        config = self.rule.get("hookplugin_config")
        if not (config is None or isinstance(config, str)):
            message = "hookplugin_config of a rule should be the path of a configuration"
            raise EAException(message)
        adapter = adapters.setdefault(config, Adapter("ElastAlert"))
        try:
            payload = json.dumps(
                {
                    "rule": {name: self.rule[name] for name in _TOLD if self.rule.get(name)},
                    "alerts": list(self._alerts(matches)),
                },
                default=_text,
                skipkeys=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever a document may hold
            _log.error("matches of the rule %r cannot be written: %s", self.rule.get("name"), describe(error))
            return
        receipt = adapter.receive(config, "elastalert", payload)
        if receipt is None or any(one.retry for one in receipt.refused):
            message = "hookplugin could not store the alert; its log says why"
            raise EAException(message)

    def get_info(self) -> dict[str, Any]:
        """Return what ElastAlert notes of an alert."""
        return {"type": "hookplugin", "config": self.rule.get("hookplugin_config")}

    def _alerts(self, matches: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for match in matches:
            title = self._written(self.create_title, match)
            text = self._written(self.create_alert_body, match)
            yield {"title": title or self.rule["name"], "text": text[:LONGEST_TEXT], "match": match}

    def _written(self, write: Callable[[list[Mapping[str, Any]]], object], match: Mapping[str, Any]) -> str:
        """Return what a rule makes of a match; nothing if its template fails: the match counts all the same."""
        try:
            return str(write([match])).strip()
        except Exception as error:  # noqa: BLE001 - whatever a template may raise
            _log.warning("alert_subject or alert_text of the rule %r: %s", self.rule.get("name"), describe(error))
            return ""


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)

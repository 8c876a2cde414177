"""Alerta: the plugin that our entry point in its group `alerta.plugins` names; `PLUGINS` switches it on.

Source: Alerta 9.1.0, `alerta/plugins/__init__.py` and what calls it, `alerta/utils/api.py`. Only this module needs it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from alerta.plugins import PluginBase  # type: ignore[import-not-found]  # Alerta brings it, where this is loaded
from flask import g

import hookplugin.delivery.sender  # noqa: F401 - now: within the first alert, its sender would wait for the import
from hookplugin.config import find_file
from hookplugin.document import ConfigError
from hookplugin.hosts.adapter import Adapter
from hookplugin.isolation import describe
from hookplugin.sources.alerta import SUPPRESSED

_log = logging.getLogger("hookplugin")

_MISSING: Final = (
    "nobody hears of alerts: set HOOKPLUGIN in alertad.conf, or in the environment, to the path of a configuration of "
    "hookplugin; `hookplugin init` writes one"
)


class _Change(Protocol):
    """Be what we need of an entry of Alerta's history."""

    @property
    def serialize(self) -> Mapping[str, Any]: ...


class _Alert(Protocol):
    """Be what we need of Alerta's alert."""

    id: str
    status: str
    repeat: bool
    create_time: datetime
    """Of the event that brought it to its severity, as its sender says."""
    update_time: datetime | None
    """When its status changed."""
    last_receive_time: datetime
    history: Sequence[_Change]
    """The newest first; of a hundred at most, and of none in bulk requests."""

    @property
    def is_suppressed(self) -> bool: ...

    def get_body(self, *, history: bool) -> dict[str, Any]: ...


class HookPlugin(PluginBase):  # type: ignore[misc]  # has no types where Alerta is not installed
    """Hand alerts to hookplugin, and what becomes of them."""

    def __init__(self, name: str | None = None) -> None:
        """Start nothing: every command of Alerta builds its plugins, and servers fork afterwards."""
        super().__init__(name)
        self._adapter: Final = Adapter("Alerta")
        self._missing = False
        _log.disabled = False  # Alerta sets logging up for each of its apps, and silences the loggers that it finds

    def pre_receive(self, alert: _Alert, **_: object) -> _Alert:
        """Remember that an event comes in: `post_receive` will know what it changed."""
        with _contained():
            g.hookplugin = alert
        return alert

    def post_receive(self, alert: _Alert, **kwargs: object) -> None:
        """Tell what came in, unless Alerta knew all of it."""
        with _contained():
            changed = alert.update_time == alert.last_receive_time  # its status, by this event
            if changed or not alert.repeat or self._asks("HOOKPLUGIN_REPEATS", kwargs):
                self._tell(alert, kwargs)

    def status_change(self, alert: _Alert, status: str, text: str, **kwargs: object) -> None:
        """Tell of a status that will be stored, unless `post_receive` or `post_action` follows.

        Neither does for PUT /status, for bulk requests, and for what comes in while there is a blackout.
        """
        with _contained():
            cause: _Alert | None = g.get("hookplugin")
            if cause is None or cause.is_suppressed or alert.status == status:
                self._tell(alert, kwargs, {"status": status, "text": text, "updateTime": datetime.now(UTC)})
            else:
                g.hookplugin = alert

    def take_action(self, alert: _Alert, action: str, text: str, **_: object) -> None:  # noqa: ARG002 - Alerta's names
        """Remember the alert as it was."""
        with _contained():
            g.hookplugin = alert

    def post_action(self, alert: _Alert, action: str, text: str, **kwargs: object) -> None:  # noqa: ARG002 - as Alerta calls it
        """Tell what became of an alert by an action, or when its time was over."""
        with _contained():
            if _before(alert) is alert or _before(alert).status != alert.status:
                self._tell(alert, kwargs)

    def delete(self, alert: _Alert, **kwargs: object) -> bool:
        """Tell that an alert is over when somebody deletes it, and let it happen."""
        with _contained():
            self._tell(alert, kwargs, {"status": "closed", "text": "deleted", "updateTime": datetime.now(UTC)})
        return True

    def _tell(self, alert: _Alert, kwargs: Mapping[str, Any], coming: Mapping[str, Any] | None = None) -> None:
        """Hand an alert over.

        Args:
            alert: Alerta's.
            kwargs: what Alerta passes to plugins; its configuration is among that.
            coming: the change of status that is not stored yet.

        """
        config = self.get_config("HOOKPLUGIN", **kwargs)
        if config == "":
            config = None
        if config is None and not self._finds_file():
            return
        body = alert.get_body(history=False) | {"history": _history(alert)}
        if coming:
            body |= {"status": coming["status"], "history": [*body["history"], coming]}
        if self._asks("HOOKPLUGIN_SUPPRESSED", kwargs):
            body |= _open(body) | {"history": [{**change, **_open(change)} for change in body["history"]]}
        self._adapter.receive(config, "alerta", json.dumps(body, default=_text))

    def _asks(self, option: str, kwargs: Mapping[str, Any]) -> bool:
        return bool(self.get_config(option, default=False, type=bool, **kwargs))

    def _finds_file(self) -> bool:
        try:
            find_file()
        except ConfigError:
            if not self._missing:
                self._missing = True
                _log.error(_MISSING)
            return False
        return True


@contextmanager
def _contained() -> Iterator[None]:
    """Log what goes wrong: whatever Alerta hears of, its sender does, and a TypeError makes it call us twice."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - of Alerta's, of what other plugins made of an alert, or ours
        _log.error("an alert of Alerta was not taken: %s", describe(error))


def _before(alert: _Alert) -> _Alert:
    """Return the alert as it was when the request began; the same if nothing happened to it since."""
    before: _Alert | None = g.get("hookplugin")
    return before if before and before.id == alert.id else alert


def _history(alert: _Alert) -> list[Mapping[str, Any]]:
    """Return the changes of an alert, the oldest first; where the first is not known, the best guess stands for it."""
    changes = [change.serialize for change in reversed(alert.history)]
    if any(change["type"] == "new" for change in changes):
        return changes
    before = _before(alert)
    began = min(time for time in (before.create_time, before.update_time) if time)
    return [{"status": before.status, "type": "new", "updateTime": began}, *changes]


def _open(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what to say in place of a status that suppresses an alert."""
    return {"status": "open"} if str(said["status"]).lower() in SUPPRESSED else {}


def _text(value: object) -> str:
    """Write what JSON does not know; Alerta's times are in UTC, and do not say so."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return str(value)

"""A Python program's own logging: a handler that fires alerts from records."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from traceback import format_exception
from typing import Any, Final

from hookplugin.config import ConfigInput
from hookplugin.hosts.adapter import Adapter
from hookplugin.isolation import describe
from hookspecs import Alert, Priority
from hookspecs.alert import INT64_MAX, INT64_MIN, Scalar

LONGEST_LINE: Final = 1_000
"""Characters of a message's first line."""
LONGEST_TEXT: Final = 10_000
"""Characters of a whole message, and of the end of a traceback."""

_OURS: Final = frozenset({"hookplugin", "requests", "urllib3"})
_log = logging.getLogger("hookplugin")


class AlertHandler(logging.Handler):
    """Fire an alert for each record of a level; when `emit` returns, it is stored.

    Records of hookplugin, requests and urllib3, of our threads, and those that are emitted while one is fired, are left
    out: an alert that fails must not fire another one. A failure is logged, never raised.

    A record's `tags`, from `extra={"tags": {…}}` or a `logging.Filter`, become tags of the alert. It is the same alert
    if logger, message before its arguments are put in, kind of exception and these tags are the same.
    """

    def __init__(self, config: ConfigInput | None = None, level: int | str = logging.ERROR) -> None:
        """Load nothing yet; the first record does.

        Args:
            config: what `Host` takes; HOOKPLUGIN_CONFIG or hookplugin.yaml if none.
            level: the lowest level of records that fire.

        """
        super().__init__(level)
        self._config: Final = config
        self._adapter: Final = Adapter("logging")
        self._firing: Final = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        """Fire an alert unless a filter rejects the record; return whether none does.

        Without the lock of other handlers: the thread that stores what this one has fired may log something itself.
        """
        kept: Any = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Fire an alert."""
        if getattr(self._firing, "now", False):
            return
        self._firing.now = True
        try:
            if _is_ours(record):
                return
            self._adapter.fire(self._config, [alert_of(record)])
        except Exception as error:  # noqa: BLE001 - whatever arguments and tags may do when they are written
            _log.error("a record of the logger %r fired no alert: %s", record.name, describe(error))
        finally:
            self._firing.now = False

    def close(self) -> None:
        """Deliver what is left, for a while; `logging.shutdown` calls it when the program ends."""
        self._adapter.close()
        super().close()


def alert_of(record: logging.LogRecord) -> Alert:
    """Return the alert of a record: its message, and where it comes from."""
    message = _message(record)
    error = record.exc_info[1] if record.exc_info else None
    tags = _tags(record)
    annotations = {
        "message": message[:LONGEST_TEXT] if "\n" in message.strip() else None,
        "exception": describe(error)[:LONGEST_LINE] if error else None,
        "traceback": "".join(format_exception(error))[-LONGEST_TEXT:] if error else record.exc_text,
        "place": f"{record.pathname}:{record.lineno} in {record.funcName}",
    }
    return Alert(
        source="logging",
        target=record.name,
        content=_line(message) or annotations["exception"] or record.levelname,
        priority=Priority.critical if record.levelno >= logging.ERROR else Priority.warning,
        tags={"logger": record.name, "level": record.levelname, **tags},
        annotations={name: text for name, text in annotations.items() if text},
        last_trigger_time=int(record.created * 1000),
        # No first_trigger_time: each record is another time, and what is told at another time is told again.
        fingerprint=_identity(record.name, _line(str(record.msg)), type(error).__name__, tags),
    )


def _is_ours(record: logging.LogRecord) -> bool:
    return str(record.name).split(".")[0] in _OURS or str(record.threadName).startswith("hookplugin-")


def _message(record: logging.LogRecord) -> str:
    """Return the message; as it stands if its arguments do not fit."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whatever arguments do when they are written
        return str(record.msg)


def _line(text: str) -> str:
    """Return the first line that says something."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _tags(record: logging.LogRecord) -> dict[str, Scalar]:
    given = getattr(record, "tags", None)
    if not isinstance(given, Mapping):
        return {}
    return {str(name): value if _is_scalar(value) else str(value) for name, value in given.items()}


def _is_scalar(value: object) -> bool:
    if isinstance(value, int):
        return INT64_MIN <= value <= INT64_MAX
    return value is None or isinstance(value, (str, float))


def _identity(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]

"""Sources: parsers of foreign payloads, one file for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from hookplugin.isolation import contain, describe
from hookplugin.problems import nearest, problems_of
from hookplugin.sources.alertmanager import parse_alertmanager
from hookplugin.sources.hertzbeat import parse_hertzbeat
from hookplugin.sources.own import parse_own
from hookspecs import Alert, Context, Source

SOURCES: Final[Mapping[str, Source]] = {
    "alertmanager": parse_alertmanager,
    "hertzbeat": parse_hertzbeat,
    "json": parse_own,
}
"""The sources that we bring."""


class PayloadError(ValueError):
    """Say what is wrong with a payload."""


class UnknownSourceError(LookupError):
    """Say that there is no source of that name, and which there are."""


class SourceError(Exception):
    """Say that a source failed by an error of its own."""

    def __init__(self, message: str, cause: BaseException) -> None:
        """Hold the message, and what the source raised."""
        super().__init__(message)
        self.cause: Final = cause


def read_alerts(source: str, payload: object, context: Context) -> list[Alert]:
    """Read a foreign payload.

    Args:
        source: the name of a source.
        payload: as it came, bytes or text, or parsed JSON.
        context: with the sources in its registry.

    Raises:
        UnknownSourceError: there is no such source.
        PayloadError: the source cannot read the payload.
        SourceError: the source failed.

    """
    sources = context.registry.sources
    if source not in sources:
        message = f"unknown source {source!r}{nearest(source, sources)}"
        raise UnknownSourceError(message)
    parsed = parse_json(payload) if isinstance(payload, (bytes, bytearray, str)) else payload
    try:
        return [_checked(alert, source) for alert in sources[source](parsed, context)]
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
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
        contain(error)
        message = f"the source {source!r} failed: {describe(error)}"
        raise SourceError(message, error) from None


_MOST_PROBLEMS: Final = 3  # of a payload that are told; one of the wrong kind has dozens
_ALERT_KEYS: Final = frozenset(str(field.alias) for field in Alert.model_fields.values())


def _checked(alert: object, source: str) -> Alert:
    """Return an alert that says where it came from, if its source did not."""
    if not isinstance(alert, Alert):
        message = f"it returned {type(alert).__name__} where an Alert should be"
        raise TypeError(message)
    return alert if alert.source else Alert.model_validate({**alert.given(), "source": source})


def parse_json(payload: bytes | bytearray | str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Parse JSON.

    Raises:
        PayloadError: with line and column.

    """
    if not payload.strip():
        message = "the payload is empty"
        raise PayloadError(message)
    try:
        return json.loads(payload)
    except json.JSONDecodeError as error:
        message = f"the payload is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        message = "the payload is nested too deeply"
    except ValueError:  # not UTF-8, or a number of more than 4,300 digits
        message = "the payload is not JSON: it is not UTF-8, or holds a number without end"
    raise PayloadError(message)

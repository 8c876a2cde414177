"""Sources: parsers of foreign payloads, one file for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from hookplugin.isolation import OfferError
from hookplugin.problems import nearest
from hookplugin.sources.reading import said
from hookspecs import Alert, Context, Source

if TYPE_CHECKING:
    from hookplugin.sources.variables import Variables

_WITH_VARIABLES: Final = frozenset({"icinga", "nagios", "zabbix"})
_MODULES: Final[Mapping[str, str]] = {"json": "own", "uptime-kuma": "uptime_kuma"}
"""Where a source is that does not have the name of its module."""


def _source(name: str) -> Source:
    """Return a source whose module is imported for the first payload: most processes read one source, or none."""
    module = _MODULES.get(name, name)

    def parse(payload: Any, context: Context) -> Iterable[Alert | ValueError]:  # noqa: ANN401 - JSON has no narrower type
        found: Source = getattr(import_module(f"hookplugin.sources.{module}"), f"parse_{module}")
        return found(payload, context)

    return parse


SOURCES: Final[Mapping[str, Source]] = {
    name: _source(name)
    for name in (
        "alerta",
        "alertmanager",
        "cloudevents",
        "elastalert",
        "grafana",
        "hertzbeat",
        "icinga",
        "json",
        "nagios",
        "prometheus",
        "uptime-kuma",
        "zabbix",
    )
}
"""The sources that we bring."""

RESENDING: Final = frozenset({"alerta", "alertmanager", "grafana", "prometheus"})
"""Those of systems that send an alert again and again while it lasts; what others send twice happened twice."""


def variables_of(source: str) -> Variables | None:
    """Return how a source of ours reads variables, of the environment, of arguments or lines; none if it does not."""
    if source not in _WITH_VARIABLES:
        return None
    found: Variables = import_module(f"hookplugin.sources.{source}").VARIABLES
    return found


class PayloadError(ValueError):
    """Say what is wrong with a payload."""


class UnknownSourceError(LookupError):
    """Say that there is no source of that name, and which there are."""


class Reading(NamedTuple):
    """Hold what a source made of a payload."""

    alerts: list[Alert]
    problems: list[str]
    """What it could not read; the rest counts."""


def read_alerts(source: str, payload: object, context: Context) -> Reading:
    """Read a foreign payload.

    Args:
        source: the name of a source.
        payload: as it came, bytes or text, or parsed JSON.
        context: with the sources in its registry.

    Raises:
        UnknownSourceError: there is no such source.
        PayloadError: the source cannot read the payload.
        OfferError: the source failed by an error of its own.

    """
    sources = context.registry.sources
    if source not in sources:
        message = f"unknown source {source!r}{nearest(source, sources)}"
        raise UnknownSourceError(message)
    parsed = parse_json(payload) if isinstance(payload, (bytes, bytearray, str)) else payload
    try:
        return _read(source, sources[source](parsed, context))
    except ValueError as error:
        raise PayloadError(_unreadable(source, error)) from None
    except RecursionError:
        message = "the payload is nested too deeply"
        raise PayloadError(message) from None
    except OfferError as error:
        message = f"the source {source!r} failed: {error}"
        raise OfferError(message, error.cause) from None


def _read(source: str, found: Iterable[Alert | ValueError]) -> Reading:
    reading = Reading([], [])
    for one in found:
        if isinstance(one, ValueError):
            reading.problems.append(_unreadable(source, one))
        else:
            reading.alerts.append(_named(one, source))
    return reading


def _unreadable(source: str, error: ValueError) -> str:
    """Say what a source cannot read, in one line."""
    found = said(error) if isinstance(error, ValidationError) else error
    return f"the source {source!r} cannot read the payload: {found}"


def _named(alert: Alert, source: str) -> Alert:
    """Return an alert that says where it came from, if its source did not."""
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

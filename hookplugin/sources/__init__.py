"""Sources: parsers of foreign payloads, one file for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hookplugin.sources.alertmanager import parse_alertmanager
from hookplugin.sources.hertzbeat import parse_hertzbeat
from hookplugin.sources.own import parse_own
from hookspecs import Source

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

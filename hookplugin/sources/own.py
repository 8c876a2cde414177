"""Source `json`: our own alert, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from hookplugin.sources.reading import as_object
from hookspecs import Alert, Context

_LIST: Final = TypeAdapter(list[Alert])


def parse_own(payload: Any, _context: Context) -> list[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one alert, or a list of them.

    Raises:
        ValueError: it is none.

    """
    if isinstance(payload, Mapping) and "alerts" in payload:
        message = "it is a group of another system's alerts; name its source, like alertmanager or hertzbeat"
        raise ValueError(message)
    if isinstance(payload, list):
        return _LIST.validate_python(payload)
    return [Alert.model_validate(as_object(payload, "the payload"))]

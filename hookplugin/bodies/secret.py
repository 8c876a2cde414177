"""Secrets in bodies: a placeholder where each stands, and the real ones only in the request that is sent.

A placeholder begins and ends with the byte 0xFF, which UTF-8 never has: no text of an alert can be one. In a `str` it
is U+DCFF, as Python's `surrogateescape` has it (PEP 383); texts of alerts hold no surrogates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from html import escape as html_escape
from typing import Final
from urllib.parse import quote_plus

from pydantic import SecretStr

from hookspecs import Body

FORM: Final = "application/x-www-form-urlencoded"

_EDGE: Final = "\udcff"
_PLACE: Final = re.compile(rb"\xff([^\xff]+)\xff")
_PLACE_IN_FORM: Final = re.compile(rb"%FF([^%]+)%FF")


def placeholder(name: str) -> str:
    """Return what stands for a secret until the request is sent."""
    return f"{_EDGE}{name}{_EDGE}"


def escape_for(content_type: str) -> Callable[[str], str] | None:
    """Return how text is escaped in a format; none where it is written as it is."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return quote_plus
    if kind.endswith("json"):
        return _in_json
    if kind.endswith(("/xml", "+xml", "/html")):
        return _in_markup
    return None


def fill(body: Body, secrets: Mapping[str, SecretStr]) -> Body:
    """Return a body with the secrets in it, escaped for its format.

    Args:
        body: with placeholders.
        secrets: by name.

    Raises:
        KeyError: one of them is not there.

    """
    escape = escape_for(body.content_type) or str
    content = _place(body).sub(lambda found: escape(_reveal(secrets, found[1])).encode(), body.content)
    return body if content == body.content else body.model_copy(update={"content": content})


def fill_text(text: str, secrets: Mapping[str, SecretStr]) -> str:
    """Return a text with the secrets in it, as they are.

    Raises:
        KeyError: one of them is not there.

    """
    content = text.encode(errors="surrogateescape")
    return _PLACE.sub(lambda found: _reveal(secrets, found[1]).encode(), content).decode()


def _place(body: Body) -> re.Pattern[bytes]:
    return _PLACE_IN_FORM if body.content_type == FORM else _PLACE


def _reveal(secrets: Mapping[str, SecretStr], name: bytes) -> str:
    return secrets[name.decode()].get_secret_value()


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


_NOT_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _in_markup(text: str) -> str:
    """Escape for HTML and XML, which has no control characters at all (XML 1.0, 2.2)."""
    return html_escape(_NOT_XML.sub("\ufffd", text))


ESCAPES: Final = (_in_json, _in_markup, quote_plus)
"""How a secret may be written in a body."""

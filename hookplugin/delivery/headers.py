"""Headers: which a request may carry, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretStr, ValidationInfo

from hookplugin.bodies.compiled import Template, is_template
from hookplugin.problems import Problem, ProblemsError, shown
from hookplugin.references import must_pass, read_reference
from hookspecs.frozen import FrozenDict

LONGEST: Final = 4096
"""Characters of a name, and of a value."""

FRAMING: Final = frozenset({
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that HTTP itself needs to carry a request (RFC 9110, RFC 9112)."""

_OURS: Final = "every request carries it (Standard Webhooks 1.0)"
RESERVED: Final[Mapping[str, str]] = {
    **dict.fromkeys(FRAMING, "HTTP itself needs it to carry the request"),
    **dict.fromkeys(("webhook-id", "webhook-timestamp"), _OURS),
    "webhook-signature": "a secret makes it; write secret: …",
    "proxy-authorization": "the proxy's URL makes it; write proxy: http://user:password@…",
    "accept-encoding": "an answer is never decompressed",
    "content-encoding": "a body is sent as it is",
    "content-type": "the body says it; write content_type: … there",
    "user-agent": "it says who we are",
}
"""Why nobody else may set these headers."""

_RULE: Final = f"should be printable ASCII without space around it, at most {LONGEST} characters"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110, 5.6.2)
_VALUE: Final = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")


def is_header(value: str) -> bool:
    """Say whether a text may be the value of a header."""
    return len(value) <= LONGEST and is_printable(value)


def is_printable(value: str) -> bool:
    """Say whether a text can be sent as the value of a header, however long it is."""
    return _VALUE.fullmatch(value) is not None


def trouble_with_name(name: str) -> str | None:
    """Say why a header cannot have this name; none if it can."""
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        return f"{shown(name)!r} cannot be the name of a header"
    if reason := RESERVED.get(name.lower()):
        return f"the header {name!r} is reserved: {reason}"
    return None


def check_value(value: str) -> None:
    """See that a text may be the value of a header.

    Raises:
        ValueError: it may not.

    """
    if not is_header(value):
        raise ValueError(_RULE)


def _read(value: object, info: ValidationInfo) -> SecretStr | Template:
    if isinstance(value, (SecretStr, Template)):
        return value
    if isinstance(value, str) and is_template(value):
        from hookplugin.bodies.tree import compile_text  # noqa: PLC0415 - it needs Jinja2

        return compile_text(value)
    found = read_reference(value, info)
    if isinstance(found, SecretStr):
        return found
    if not isinstance(found, str):
        message = "should be text"
        raise ValueError(message)
    return SecretStr(found)


def _check(headers: Mapping[str, SecretStr | Template]) -> FrozenDict[str, SecretStr | Template]:
    if problems := list(_problems(headers)):
        raise ProblemsError(problems)
    for value in headers.values():
        if isinstance(value, SecretStr):
            must_pass(value, check_value)
    return FrozenDict(headers)


def _problems(headers: Mapping[str, SecretStr | Template]) -> Iterator[Problem]:
    met: set[str] = set()
    for name, value in headers.items():
        if trouble := trouble_with_name(name):
            yield Problem((name,), trouble)
        elif isinstance(value, SecretStr) and not is_header(value.get_secret_value()):
            yield Problem((name,), f"the value of {name!r} {_RULE}")
        if name.lower() in met:
            yield Problem((name,), "a header stands here twice; upper and lower case are the same")
        met.add(name.lower())


Header: TypeAlias = Annotated[
    SecretStr | Template,
    PlainValidator(_read),
    PlainSerializer(lambda value: value.source if isinstance(value, Template) else value),
]
"""The value of a header: a secret, or a template that is rendered for each request."""
Headers: TypeAlias = Annotated[Mapping[str, Header], AfterValidator(_check)]


def has_authorization(headers: Mapping[str, object]) -> bool:
    """Say whether the headers say who we are."""
    return any(name.lower() == "authorization" for name in headers)

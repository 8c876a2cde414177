"""Redaction: what a receiver answers may repeat our secrets, and is kept for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_plus

from pydantic import SecretStr

from hookplugin.bodies.secret import ESCAPES
from hookplugin.delivery.receiver import Receiver

_LONGEST: Final = 200  # characters that are kept
_WORD: Final = 5  # letters from which on a part of a URL or a header may be a secret, and is no mere word


def secrets_of(receiver: Receiver, target: str, authorization: Mapping[str, str]) -> tuple[str, ...]:
    """Return everything of a request that must not be repeated into our files, the longest first.

    Args:
        receiver: whose headers and credentials these are.
        target: path and query of its URL.
        authorization: the header that its credentials make.

    """
    headers = [value.get_secret_value() for value in receiver.headers.values() if isinstance(value, SecretStr)]
    path, _, query = target.partition("?")
    found = {target, path, query, *headers, *(value.partition(" ")[2] for value in authorization.values())}
    found |= {value.get_secret_value() for value in receiver.vars.values()}
    if receiver.auth and receiver.auth.basic:
        basic = receiver.auth.basic
        found |= {basic.username.get_secret_value(), basic.password.get_secret_value()}
    parts = [*re.split(r"[/?&=]", target), *(word for value in headers for word in value.split())]
    found |= {part for part in parts if len(part) >= _WORD}
    found |= {unquote_plus(secret) for secret in found}
    found |= {escape(secret) for secret in found for escape in ESCAPES}
    return tuple(sorted((secret for secret in found if len(secret) > 1), key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text in one short line, with stars for secrets and no control characters."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = " ".join(text.split())[:_LONGEST]
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

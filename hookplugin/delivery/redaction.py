"""Redaction: what others say may repeat our secrets, and is kept for people."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

from pydantic import SecretStr

from hookplugin.bodies.secret import ESCAPES
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.signing import standard_key
from hookplugin.delivery.url import split_target

_LONGEST: Final = 200  # characters that are kept
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")  # of a secret, which only base64 writes in another way
_WORD: Final = 5  # letters from which on a part of a URL or a header may be a secret, and is no mere word


def secrets_of(receiver: Receiver) -> Iterator[str]:
    """Yield everything of a receiver that must not be repeated into our files."""
    yield from (secret.get_secret_value() for secret in receiver.secrets)
    for secret in receiver.secret:
        text = secret.get_secret_value()
        yield text.removeprefix("whsec_")
        with suppress(ValueError):
            yield repr(standard_key(text))[2:-1]  # as an error of a signer may quote it
    yield from _of_url(receiver.address.get_secret_value())
    for value in receiver.headers.values():
        if isinstance(value, SecretStr):
            yield from _parts(value.get_secret_value().split())
    if receiver.auth and receiver.auth.header:
        yield receiver.auth.header.partition(" ")[2]
    if receiver.auth and receiver.auth.oauth2:
        yield receiver.auth.oauth2.header.partition(" ")[2]
        yield from _of_url(receiver.auth.oauth2.token_url.get_secret_value())
    if receiver.proxy:
        user, _, password = urlsplit(receiver.proxy.get_secret_value()).netloc.rpartition("@")[0].partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode("latin-1")  # as `requests` writes it
        yield from (user, password, base64.b64encode(pair).decode())


def _of_url(url: str) -> Iterator[str]:
    _, target = split_target(url)
    path, _, query = target.partition("?")
    yield from (target, path, query)
    yield from _parts(re.split(r"[/?&=]", target))


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return secrets in every form in which somebody may repeat them, the longest first."""
    found = set(secrets)
    found |= {unquote_plus(secret) for secret in found}
    runs = {run for secret in found for run in _RUN.findall(secret)}
    found |= {escape(secret) for secret in found for escape in ESCAPES}
    found |= runs | {part for run in runs for part in _in_base64(run)}
    return tuple(sorted((secret for secret in found if len(secret) > 1), key=len, reverse=True))


def _in_base64(run: str) -> Iterator[str]:
    """Yield a run as it stands within the base64 of something longer: what comes before it decides how."""
    for before in range(3):
        encoded = base64.b64encode(b" " * before + run.encode()).decode()
        yield encoded[(before * 8 + 5) // 6 : (before + len(run)) * 8 // 6]


def starred(text: str, secrets: Iterable[str]) -> str:
    """Return a text with stars for secrets, the longest first."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text in one short line, with stars for secrets and no control characters.

    Args:
        text: as it came.
        secrets: the longest first.

    """
    text = " ".join(starred(text, secrets).split())[:_LONGEST]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _parts(words: Iterable[str]) -> Iterator[str]:
    return (word for word in words if len(word) >= _WORD)

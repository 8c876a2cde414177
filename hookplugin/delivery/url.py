"""URLs of receivers and proxies; their path, query and password may be secrets, so that nothing here quotes them."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from hookplugin.references import Secret, checked
from hookplugin.values import VISIBLE

_AUTHORITY: Final = re.compile(r"(.*@)?([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")  # urllib3 would decode %
_PARTS: Final = re.compile(r"([^:]+://[^/?#]*)([^#]*)")  # origin and target; a fragment is never sent


def split_target(url: str) -> tuple[str, str]:
    """Return the origin of a URL, and the target as it was written (RFC 9112, 3.2): path and query."""
    found = _PARTS.match(url)
    origin, target = found.groups() if found else ("", "")
    return origin, target if target.startswith("/") else f"/{target}"


def shown_url(url: str) -> str:
    """Return as much of a URL as may be shown: its scheme, host and port."""
    scheme, _, authority = split_target(url)[0].partition("://")
    return f"{scheme}://{authority.rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    if not VISIBLE.fullmatch(url) or "\\" in url:
        message = "should be printable ASCII without spaces or backslashes; percent-encode the rest"
        raise ValueError(message)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or not _AUTHORITY.fullmatch(parts.netloc):
        message = "should be an address that begins with http:// or https://, a host and perhaps a port"
        raise ValueError(message)
    return parts


def _check_url(url: str) -> None:
    if "@" in _split(url).netloc:
        message = "should not hold a user or a password; write them under auth: {basic: {username: …, password: …}}"
        raise ValueError(message)


def _check_proxy(url: str) -> None:
    parts = _split(url)
    if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment:
        message = "should be http://HOST:PORT, perhaps with user:password@ before the host"
        raise ValueError(message)
    if "@" in parts.netloc and not (parts.username and parts.password is not None and _is_latin(parts.netloc)):
        message = "should have a user and a password before the host, both in Latin-1, or neither"
        raise ValueError(message)


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in unquote(text))


Url: TypeAlias = Annotated[Secret, checked(_check_url)]
ProxyUrl: TypeAlias = Annotated[Secret, checked(_check_proxy)]
"""A forward proxy that takes plain HTTP and CONNECT (RFC 9110, 9.3.6)."""

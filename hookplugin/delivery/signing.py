"""Signatures: how a receiver knows that a request is ours, and whole; each attempt is signed anew."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, BeforeValidator, model_validator

from hookplugin.delivery.headers import FRAMING, trouble_with_name
from hookplugin.delivery.url import split_target
from hookplugin.values import Name
from hookspecs import Signer, WireRequest
from hookspecs.frozen import Frozen

SHORTEST_KEY: Final = 24
"""Bytes (Standard Webhooks 1.0)."""
MOST_SECRETS: Final = 10

_STANDARD_HEADER: Final = "webhook-signature"
_GRAFANA_HEADER: Final = "X-Grafana-Alerting-Signature"
_GITHUB_HEADER: Final = "X-Hub-Signature-256"
_WHSEC: Final = "whsec_"
_STANDARD_HINT: Final = "write whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes them"


def _header_name(name: str) -> str:
    if trouble := trouble_with_name(name):
        raise ValueError(trouble)
    return name


HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]


class SignerChoice(Frozen):
    """Name who signs the requests to a receiver; Grafana's may be told which headers it uses."""

    name: Name = "standard"
    header: HeaderName | None = None
    """Of the signature."""
    timestamp_header: HeaderName | None = None
    """Of the time, which is signed then, too."""

    @model_validator(mode="after")
    def _suits(self) -> SignerChoice:
        if self.name != "grafana" and (self.header or self.timestamp_header):
            message = "header and timestamp_header are grafana's; remove them"
            raise ValueError(message)
        if (self.header or _GRAFANA_HEADER).lower() == (self.timestamp_header or "").lower():
            message = "header and timestamp_header should differ"
            raise ValueError(message)
        return self


def _read_choice(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Choice: TypeAlias = Annotated[SignerChoice, BeforeValidator(_read_choice)]
STANDARD: Final = SignerChoice()


def check_filled(secret: str) -> None:
    """See that a secret is not empty: everybody can sign with nothing.

    Raises:
        ValueError: it is.

    """
    if not secret:
        message = "is empty"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Scheme:
    """Hold one way to sign."""

    compute: Callable[[WireRequest, str], str]
    """Makes the signature of a request with one secret."""
    put: Callable[[WireRequest, str], WireRequest]
    """Puts the signature where it belongs."""
    read: Callable[[WireRequest], Collection[str]]
    """Finds the signatures of a request that was received."""
    check: Callable[[str], object] = check_filled
    """Raises ValueError for a secret that cannot be used."""
    headers: tuple[str, ...] = ()
    """What it sets."""
    rotates: bool = False
    """Whether a request can carry several signatures."""

    def sign(self, request: WireRequest) -> WireRequest:
        """Return the request with its signatures."""
        return self.put(request, " ".join(self.compute(request, secret) for secret in request.secrets))


def standard_key(secret: str) -> bytes:
    """Return the key that a secret stands for (Standard Webhooks 1.0): base64, with or without `whsec_` before it.

    Raises:
        ValueError: it is no base64, or too short.

    """
    try:
        key = base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
    except (binascii.Error, ValueError):
        message = f"is not base64; {_STANDARD_HINT}"
        raise ValueError(message) from None
    if len(key) < SHORTEST_KEY:
        message = f"is a key of {len(key)} bytes, too short to be safe; {_STANDARD_HINT}"
        raise ValueError(message)
    return key


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, sha256)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _standard(request: WireRequest, secret: str) -> str:
    message = f"{request.id}.{request.timestamp}.".encode() + request.content
    return f"v1,{_base64(_mac(standard_key(secret), message))}"


def _github(request: WireRequest, secret: str) -> str:
    return f"sha256={_mac(secret.encode(), request.content).hex()}"


def _grafana(request: WireRequest, secret: str, *, timed: bool) -> str:
    before = f"{request.timestamp}:".encode() if timed else b""
    return _mac(secret.encode(), before + request.content).hex()


def _put_grafana(request: WireRequest, signature: str, *, header: str, timestamp_header: str | None) -> WireRequest:
    time = {timestamp_header: str(request.timestamp)} if timestamp_header else {}
    return request.with_headers({header: signature, **time})


def _dingtalk(request: WireRequest, secret: str) -> str:
    return _base64(_mac(secret.encode(), f"{request.timestamp * 1000}\n{secret}".encode()))


def _put_dingtalk(request: WireRequest, signature: str) -> WireRequest:
    url, _, fragment = request.url.partition("#")
    more = urlencode({"timestamp": request.timestamp * 1000, "sign": signature})
    url = f"{url}{'&' if '?' in url else '?'}{more}"
    return replace(request, url=f"{url}#{fragment}" if fragment else url)


def _read_dingtalk(request: WireRequest) -> Collection[str]:
    return [value for name, value in parse_qsl(urlsplit(request.url).query) if name == "sign"]


def _feishu(request: WireRequest, secret: str) -> str:
    return _base64(_mac(f"{request.timestamp}\n{secret}".encode(), b""))


def _put_feishu(request: WireRequest, signature: str) -> WireRequest:
    """Put the signature into the body, and leave the rest of it as it is."""
    body = _object(request.content)
    if body is None or body.keys() & {"timestamp", "sign"}:
        message = "the body should be a JSON object without timestamp and sign"
        raise ValueError(message)
    mark = json.dumps({"timestamp": str(request.timestamp), "sign": signature}).encode().removesuffix(b"}")
    rest = request.content.lstrip().removeprefix(b"{")
    return replace(request, content=mark + (b", " if body else b"") + rest)


def _read_feishu(request: WireRequest) -> Collection[str]:
    body = _object(request.content) or {}
    return [str(body["sign"])] if "sign" in body else []


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _in_header(name: str, compute: Callable[[WireRequest, str], str]) -> Scheme:
    return Scheme(compute, partial(_put_header, name), partial(_read_header, name), headers=(name,))


def _put_header(name: str, request: WireRequest, signature: str) -> WireRequest:
    return request.with_headers({name: signature})


def _read_header(name: str, request: WireRequest) -> Collection[str]:
    return next((value for key, value in request.headers.items() if key.lower() == name.lower()), "").split()


def _grafana_scheme(choice: SignerChoice) -> Scheme:
    header, timed = choice.header or _GRAFANA_HEADER, choice.timestamp_header
    return Scheme(
        partial(_grafana, timed=timed is not None),
        partial(_put_grafana, header=header, timestamp_header=timed),
        partial(_read_header, header),
        headers=(header, timed) if timed else (header,),
    )


_SCHEMES: Final[Mapping[str, Scheme]] = {
    "standard": replace(_in_header(_STANDARD_HEADER, _standard), check=standard_key, rotates=True),
    "github": _in_header(_GITHUB_HEADER, _github),
    "dingtalk": Scheme(_dingtalk, _put_dingtalk, _read_dingtalk),
    "feishu": Scheme(_feishu, _put_feishu, _read_feishu),
}
SIGNERS: Final = frozenset({*_SCHEMES, "grafana"})
"""The names of ours."""


def scheme_of(choice: SignerChoice) -> Scheme | None:
    """Return the scheme that a receiver has chosen; none if a plugin signs."""
    return _grafana_scheme(choice) if choice.name == "grafana" else _SCHEMES.get(choice.name)


def signer_of(choice: SignerChoice, offered: Mapping[str, Signer]) -> Signer:
    """Return who signs; KeyError if there is nobody of that name."""
    scheme = scheme_of(choice)
    return scheme.sign if scheme else offered[choice.name]


def check_signed(request: WireRequest, signed: object) -> WireRequest:
    """Return what a signer has made, if it is a request that can be sent, to where the receiver is.

    Raises:
        TypeError: it has made something else.
        ValueError: it cannot be sent.

    """
    if not isinstance(signed, WireRequest):
        message = f"it returned {type(signed).__name__}, not WireRequest"
        raise TypeError(message)
    content: object = signed.content
    if not isinstance(content, bytes) or not all(isinstance(one, str) for one in signed.headers.values()):
        message = "its content should be bytes, and its headers text"
        raise TypeError(message)
    if split_target(signed.url)[0] != split_target(request.url)[0]:
        message = "it changed more of the URL than path and query"
        raise ValueError(message)
    for name in signed.headers.keys() - request.headers.keys():
        if name.lower() in FRAMING or (name.lower() != "webhook-signature" and trouble_with_name(name)):
            message = f"it may not set the header {name!r}"
            raise ValueError(message)
    return signed

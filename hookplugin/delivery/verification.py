"""Verification: whether a request that was received is signed as it should be, for people who write receivers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hookplugin.delivery.signing import SignerChoice, scheme_of
from hookspecs import Signer, WireRequest

_LINE_END: Final = "it is of the body without the line end behind it, which a program has added that saved the request"
_LINE_ENDS: Final = "it is of the body with other line ends, which a program has changed that saved the request"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what a signature is worth."""

    secret: int | None
    """Which of the secrets has signed, from 0; none if the signature is not right."""
    reason: str = ""
    """Why it is not."""


def verify(request: WireRequest, choice: SignerChoice, offered: Mapping[str, Signer]) -> Verdict:
    """Check a request that was received, with each of its secrets.

    Args:
        request: with the time and the id that its headers say.
        choice: who is said to have signed it.
        offered: the signers of plugins.

    """
    scheme = scheme_of(choice)
    if scheme and not scheme.read(request):
        return Verdict(None, "there is none")
    for content, reason in _variants(request.content):
        for index, secret in enumerate(request.secrets):
            one = replace(request, content=content, secrets=(secret,))
            signed = (
                scheme.compute(one, secret) in scheme.read(request) if scheme else _is_same(one, offered[choice.name])
            )
            if signed:
                return Verdict(None, reason) if reason else Verdict(index)
    return Verdict(None, "it is of another body, id, time or secret")


def _is_same(request: WireRequest, sign: Signer) -> bool:
    """Say whether a plugin's signer would change nothing."""
    signed = sign(request)
    return (signed.url, signed.content, _lower(signed)) == (request.url, request.content, _lower(request))


def _lower(request: WireRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _variants(content: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield a body as it is, and as it was before it was saved by a program that changes line ends."""
    yield content, ""
    yield content.rstrip(b"\r\n"), _LINE_END
    yield content.replace(b"\r\n", b"\n"), _LINE_ENDS

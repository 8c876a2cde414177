"""Access: who may send alerts, and read metrics."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from hookplugin.config import Serve

_SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
}
_CHALLENGES: Final = {"bearer": 'Bearer realm="hookplugin"', "basic": 'Basic realm="hookplugin", charset="UTF-8"'}


def require_access(request: Request, access: Serve, *, anonymous: bool) -> None:
    """Let a request pass that shows what the configuration names, or any if that names nothing.

    Args:
        request: that came in.
        access: what the configuration names.
        anonymous: whether it may name nothing; if not, nothing passes then.

    Raises:
        HTTPException: 401, or 403 for what a browser sends: any web page can make it do so.

    """
    if _is_open(access) and anonymous:
        if "origin" in request.headers:
            raise HTTPException(403, "browsers may send nothing here, unless `serve:` names credentials")
    elif not _is_known(access, request.headers.get("authorization", "").encode("latin-1")):
        challenge = ", ".join(_CHALLENGES[kind] for kind in _kinds(access)) or _CHALLENGES["bearer"]
        raise HTTPException(401, "valid credentials are needed", {"WWW-Authenticate": challenge})


def security(access: Serve) -> dict[str, Any]:
    """Return the security schemes of OpenAPI that the configuration makes, by name; any of them is enough."""
    return {kind: dict(_SCHEMES[kind]) for kind in _kinds(access)}


def _is_open(access: Serve) -> bool:
    return not (access.bearer or access.basic)


def _kinds(access: Serve) -> list[str]:
    return [kind for kind in _SCHEMES if getattr(access, kind)]


def _is_known(access: Serve, authorization: bytes) -> bool:
    """Compare with all that is known, in a time that does not tell how much of it was right."""
    scheme, _, shown = authorization.partition(b" ")
    known: list[str] = []
    if scheme.lower() == b"bearer":
        shown = shown.strip()
        known = [token.get_secret_value() for token in access.bearer]
    elif scheme.lower() == b"basic":
        known = [f"{user.username.get_secret_value()}:{user.password.get_secret_value()}" for user in access.basic]
        shown = _decoded(shown)
    digest = sha256(shown).digest()
    return any([hmac.compare_digest(digest, sha256(one.encode()).digest()) for one in known])  # noqa: C419 - all of them


def _decoded(shown: bytes) -> bytes:
    try:
        return base64.b64decode(shown.strip(), validate=True)
    except ValueError:
        return b""

"""Authentication: how receivers know who we are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Final, Self
from urllib.parse import quote_plus

from pydantic import AfterValidator, SecretStr, model_validator

from hookplugin.delivery.url import Url
from hookplugin.references import Secret, checked
from hookplugin.values import VISIBLE
from hookspecs.frozen import Frozen, FrozenDict

_GRANT: Final = frozenset({"grant_type", "scope", "client_id", "client_secret"})


def check_token(token: str) -> None:
    """See that a bearer token can be sent.

    Raises:
        ValueError: it cannot.

    """
    if not VISIBLE.fullmatch(token):
        message = "should be printable ASCII without spaces"
        raise ValueError(message)


def _check_username(username: str) -> None:
    if ":" in username:
        message = "should hold no colon"
        raise ValueError(message)


def _check_params(params: Mapping[str, str]) -> FrozenDict[str, str]:
    for name in params:
        if name in _GRANT:
            message = f"{name!r} is said by the other keys; remove it here"
            raise ValueError(message)
    return FrozenDict(params)


class Basic(Frozen):
    """Hold a user and a password for HTTP Basic authentication (RFC 7617)."""

    username: Annotated[Secret, checked(_check_username)]
    password: Secret

    @property
    def header(self) -> str:
        """Return the value of `Authorization`."""
        return basic(self.username.get_secret_value(), self.password.get_secret_value())


class OAuth2(Frozen):
    """Hold what gets us a token: the client credentials grant (RFC 6749, 4.4)."""

    token_url: Url
    client_id: Secret
    client_secret: Secret
    scopes: tuple[str, ...] = ()
    params: Annotated[Mapping[str, str], AfterValidator(_check_params)] = FrozenDict()
    """What else the token's endpoint wants to know, such as `audience`."""

    @property
    def header(self) -> str:
        """Return the value of `Authorization` for the token's endpoint (RFC 6749, 2.3.1)."""
        return basic(*(quote_plus(one.get_secret_value()) for one in (self.client_id, self.client_secret)))

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if find_spec("oauthlib") is None:
            message = "needs a package that is not installed: pip install 'hookplugin[oauth2]'"
            raise ValueError(message)
        return self


class Auth(Frozen):
    """Say how we prove who we are: one of these."""

    basic: Basic | None = None
    bearer: Annotated[Secret, checked(check_token)] | None = None
    oauth2: OAuth2 | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.basic, self.bearer, self.oauth2)) != 1:
            message = "should hold either basic, bearer or oauth2"
            raise ValueError(message)
        return self

    @property
    def header(self) -> str | None:
        """Return the value of `Authorization`, where it needs no token first."""
        if self.bearer is not None:
            return f"Bearer {self.bearer.get_secret_value()}"
        return self.basic.header if self.basic else None

    @property
    def passwords(self) -> tuple[SecretStr, ...]:
        """Return what proves who we are."""
        found = (self.bearer, self.basic and self.basic.password, self.oauth2 and self.oauth2.client_secret)
        return tuple(secret for secret in found if secret)

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Return everything here that nobody is to read, names of users, too."""
        named = (self.basic.username,) if self.basic else ()
        told = (self.oauth2.token_url, self.oauth2.client_id) if self.oauth2 else ()
        return (*self.passwords, *named, *told)


def basic(username: str, password: str) -> str:
    """Return the value of `Authorization` for a user and a password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

"""A receiver as it is configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, SecretStr, ValidationInfo, model_validator

from hookplugin.bodies.tree import Template, compile_text, is_template
from hookplugin.outbox.rows import Waiting
from hookplugin.problems import shown
from hookplugin.values import Duration, Name, Rate, Secret, read_reference
from hookspecs import Delivery
from hookspecs.frozen import Frozen, FrozenDict

RESERVED_HEADERS: Final = frozenset({
    "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp",
})  # fmt: skip
"""Headers that every request carries or HTTP itself needs; nobody else may set them."""

LONGEST_HEADER: Final = 4096
"""Characters of the value of a header that is rendered."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VAR_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_PRINTABLE_WITH_SPACES: Final = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")


def _url(url: SecretStr) -> SecretStr:
    """Check a URL without ever quoting it: its path or query may be the secret."""
    text = url.get_secret_value()
    if not _PRINTABLE.fullmatch(text) or "\\" in text:
        message = "should be printable ASCII without spaces or backslashes; percent-encode the rest"
        raise ValueError(message)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        message = "should be an address that begins with http:// or https://, a host and perhaps a port"
        raise ValueError(message)
    if "@" in parts.netloc:
        message = "should not hold a user or a password; write them under auth: {basic: {username: …, password: …}}"
        raise ValueError(message)
    return url


def _header(value: object, info: ValidationInfo) -> SecretStr | Template:
    if isinstance(value, (SecretStr, Template)):
        return value
    if isinstance(value, str) and is_template(value):
        return compile_text(value)
    found = read_reference(value, info)
    if not isinstance(found, str):
        message = "should be text"
        raise ValueError(message)
    return SecretStr(found)


def is_header(value: str) -> bool:
    """Say whether a text may be the value of a header."""
    return len(value) <= LONGEST_HEADER and _PRINTABLE_WITH_SPACES.fullmatch(value) is not None


def _headers(headers: Mapping[str, SecretStr | Template]) -> FrozenDict[str, SecretStr | Template]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            message = f"{shown(name)!r} cannot be the name of a header"
            raise ValueError(message)
        if name.lower() in RESERVED_HEADERS:
            message = f"the header {name!r} is set by hookplugin or by HTTP itself; remove it"
            raise ValueError(message)
        if isinstance(value, SecretStr) and not _PRINTABLE_WITH_SPACES.fullmatch(value.get_secret_value()):
            message = f"the value of {name!r} should be printable ASCII"
            raise ValueError(message)
    if len({name.lower() for name in headers}) < len(headers):
        message = "a header stands here twice; upper and lower case are the same"
        raise ValueError(message)
    return FrozenDict(headers)


def _token(token: SecretStr) -> SecretStr:
    if not _PRINTABLE.fullmatch(token.get_secret_value()):
        message = "should be printable ASCII without spaces"
        raise ValueError(message)
    return token


def _vars(values: Mapping[str, SecretStr]) -> FrozenDict[str, SecretStr]:
    for name in values:
        if not _VAR_NAME.fullmatch(name):
            message = f"{shown(name)!r} cannot be the name of a var; write one like routing_key"
            raise ValueError(message)
    return FrozenDict(values)


Url: TypeAlias = Annotated[Secret, AfterValidator(_url)]
Header: TypeAlias = Annotated[
    SecretStr | Template,
    PlainValidator(_header),
    PlainSerializer(lambda value: value.source if isinstance(value, Template) else value),
]
"""The value of a header: a secret, or a template that is rendered for each request."""
Method: TypeAlias = Literal["POST", "PUT", "PATCH"]


class Basic(Frozen):
    """Hold a user and a password for HTTP Basic authentication (RFC 7617)."""

    username: Secret
    password: Secret

    @model_validator(mode="after")
    def _no_colon(self) -> Self:
        if ":" in self.username.get_secret_value():
            message = "username should hold no colon"
            raise ValueError(message)
        return self


class Auth(Frozen):
    """Say how we prove who we are: one of these."""

    basic: Basic | None = None
    bearer: Annotated[Secret, AfterValidator(_token)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.basic is None) == (self.bearer is None):
            message = "should hold either basic or bearer"
            raise ValueError(message)
        return self


class Timeout(Frozen):
    """Bound a request, in seconds."""

    connect: Duration = 3.0
    read: Duration = 5.0
    total: Duration = 10.0


class Retry(Frozen):
    """Say for how long attempts are made."""

    max_age: Duration = 4 * 3600.0
    """Seconds from when the delivery was accepted, until it is dead."""


def _at_most_5m(seconds: float) -> float:
    if seconds > 300:
        message = "should be at most 5m"
        raise ValueError(message)
    return seconds


class Batch(Frozen):
    """Say how deliveries are sent together."""

    wait: Annotated[Duration, AfterValidator(_at_most_5m)] = 5.0
    """Seconds that the first one waits for others."""
    max: Annotated[int, Field(ge=1, le=500)] = 100
    """Deliveries in one request."""


class Defaults(Frozen):
    """Hold what a receiver may say beside its name and URL; also what all of them share."""

    body: Name = "hertzbeat"
    method: Method = "POST"
    headers: Annotated[Mapping[str, Header], AfterValidator(_headers)] = FrozenDict()
    vars: Annotated[Mapping[str, Secret], AfterValidator(_vars)] = FrozenDict()
    """Secrets that a body needs: `{{ vars.NAME }}`."""
    auth: Auth | None = None
    timeout: Timeout = Timeout()
    retry: Retry = Retry()
    batch: Batch | None = None
    rate: Rate | None = None
    """Seconds between two requests, at least; written as `1/s`."""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    """Requests on the wire at once."""
    fallback: Name | None = None
    """The receiver that hears of what became a dead letter here."""

    @model_validator(mode="after")
    def _one_authorization(self) -> Self:
        if self.auth and has_authorization(self.headers):
            message = "auth and an Authorization header exclude each other; remove one"
            raise ValueError(message)
        return self


class Receiver(Defaults):
    """Hold a webhook endpoint: where, with which credentials and body, within which limits."""

    name: Name
    url: Url

    @property
    def is_https(self) -> bool:
        """Say whether requests go through TLS."""
        return self.url.get_secret_value().lower().startswith("https:")

    @property
    def mark(self) -> str:
        """Return what tells this URL from another one, and not what it is."""
        text = f"{self.name} {self.url.get_secret_value()}"
        return sha256(text.encode()).hexdigest()[:8]

    def waiting(self, delivery: Delivery) -> Waiting:
        """Return a delivery to this receiver, and for how long it may wait."""
        return Waiting(delivery, self.retry.max_age)

    def over(self, defaults: Defaults) -> Self:
        """Return the receiver with the defaults for what it does not say itself."""
        said = self.model_fields_set
        update: dict[str, Any] = {name: getattr(defaults, name) for name in defaults.model_fields_set - said}
        if update.get("fallback") == self.name:  # the default is meant for the others
            del update["fallback"]
        if "timeout" in said:
            timeout = {**_said(defaults.timeout), **_said(self.timeout)}
            update["timeout"] = Timeout.model_validate(timeout)
        if self.batch and defaults.batch:
            update["batch"] = Batch.model_validate({**_said(defaults.batch), **_said(self.batch)})
        if "vars" in said:
            update["vars"] = FrozenDict({**defaults.vars, **self.vars})
        if "headers" in said:
            own = {name.lower() for name in self.headers}
            inherited = {name: value for name, value in defaults.headers.items() if name.lower() not in own}
            update["headers"] = FrozenDict({**inherited, **self.headers})
        if has_authorization(self.headers):
            update.pop("auth", None)
        elif self.auth and has_authorization(defaults.headers):
            headers = update.get("headers", self.headers)
            update["headers"] = FrozenDict({k: v for k, v in headers.items() if k.lower() != "authorization"})
        return self.model_copy(update=update)


def has_authorization(headers: Mapping[str, SecretStr | Template]) -> bool:
    """Say whether the headers say who we are."""
    return any(name.lower() == "authorization" for name in headers)


def _said(model: Frozen) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}

"""A receiver as it is configured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hookplugin.delivery.auth import Auth
from hookplugin.delivery.headers import Headers, has_authorization
from hookplugin.delivery.signing import MOST_SECRETS, STANDARD, Choice
from hookplugin.delivery.tls import MACHINES, Tls
from hookplugin.delivery.url import ProxyUrl, Url
from hookplugin.outbox.rows import Waiting
from hookplugin.problems import Problem, ProblemsError, shown
from hookplugin.references import FileSecret, Secret, secrets_within
from hookplugin.values import Duration, Name, Rate, one_or_more
from hookspecs import Delivery
from hookspecs.frozen import Frozen, FrozenDict

WEBHOOK: Final = "webhook"
"""The type of a receiver that is told by HTTP; all others are senders of plugins."""
_WEBHOOKS_OWN: Final = frozenset({"url", "method", "headers", "auth", "secret", "signer", "tls", "proxy"})
_NOWHERE: Final = SecretStr("")
_VAR_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _vars(values: Mapping[str, SecretStr]) -> FrozenDict[str, SecretStr]:
    for name in values:
        if not _VAR_NAME.fullmatch(name):
            message = f"{shown(name)!r} cannot be the name of a var; write one like routing_key"
            raise ValueError(message)
    return FrozenDict(values)


Method: TypeAlias = Literal["POST", "PUT", "PATCH"]


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
    headers: Headers = FrozenDict()
    vars: Annotated[Mapping[str, Secret], AfterValidator(_vars)] = FrozenDict()
    """Secrets that a body needs: `{{ vars.NAME }}`."""
    auth: Auth | None = None
    secret: Annotated[
        tuple[Secret, ...], BeforeValidator(one_or_more), Field(min_length=1, max_length=MOST_SECRETS)
    ] = ()
    """Signs each request; several while it is rotated, the newest first."""
    signer: Choice = STANDARD
    tls: Tls = MACHINES
    proxy: ProxyUrl | None = None
    """Through which requests go; which addresses they reach is then its concern."""
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


def _options(value: object) -> object:
    if not isinstance(value, (Mapping, BaseModel)):
        message = "should be a map of keys and values"
        raise ValueError(message)
    return value


class Receiver(Defaults):
    """Hold a webhook endpoint, or what a plugin's sender tells: where, with which body, within which limits."""

    name: Name
    type: Name = WEBHOOK
    """How it is told: by a webhook, or by the plugin's sender of that name."""
    url: Annotated[Url | None, Field(validate_default=True)] = None
    options: Annotated[Any, BeforeValidator(_options), Field(repr=False, exclude=True)] = FrozenDict()
    """Of a plugin's sender, as they are written; what its model makes of them, once the configuration is resolved."""

    _read: tuple[SecretStr, ...] = ()
    """The secrets that were read for the options, whatever became of them there."""

    @field_validator("url")
    @classmethod
    def _webhooks_have_one(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is None and info.data.get("type") == WEBHOOK:
            kind: Final = "missing"
            raise PydanticCustomError(kind, "is missing")
        return url

    @model_validator(mode="after")
    def _suits_its_type(self) -> Self:
        if not self.is_webhook:
            message = f"is for webhooks, and not for type {self.type!r}; see its options"
            problems = [Problem((key,), message) for key in sorted(_WEBHOOKS_OWN & self.model_fields_set)]
        else:
            message = "are for a type that a plugin offers"
            problems = [Problem(("options",), message)] if "options" in self.model_fields_set else []
        if problems:
            raise ProblemsError(problems)
        return self

    @property
    def is_webhook(self) -> bool:
        """Say whether it is told by HTTP."""
        return self.type == WEBHOOK

    @property
    def address(self) -> SecretStr:
        """Return where requests go; nothing if it is no webhook."""
        return self.url or _NOWHERE

    @property
    def may_need_tls(self) -> bool:
        """Say whether requests go through TLS, now or once what stands in files has changed."""
        token = self.auth.oauth2.token_url if self.auth and self.auth.oauth2 else self.address
        return any(
            isinstance(url, FileSecret) or url.get_secret_value().lower().startswith("https:")
            for url in (self.address, token)
        )

    @property
    def is_signed(self) -> bool:
        """Say whether requests are signed; a plugin's signer may need no secret of the receiver's."""
        return bool(self.secret) or self.signer != STANDARD

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Return everything of it that nobody is to read, but for its URL."""
        headers = (value for value in self.headers.values() if isinstance(value, SecretStr))
        auth = self.auth.secrets if self.auth else ()
        proxy = (self.proxy,) if self.proxy else ()
        options = (*self._read, *secrets_within(self.options))
        return (*headers, *auth, *self.vars.values(), *self.secret, *proxy, *options)

    @property
    def mark(self) -> str:
        """Return what tells this URL from another one, and not what it is."""
        text = f"{self.name} {self.address.get_secret_value()}"
        return sha256(text.encode()).hexdigest()[:8]

    def with_options(self, options: object, secrets: Iterable[str]) -> Self:
        """Return the receiver with what a model has made of its options, and the secrets that were read for it."""
        changed = self.model_copy(update={"options": options})
        changed._read = tuple(map(SecretStr, secrets))  # noqa: SLF001 - it is one of these
        return changed

    def waiting(self, delivery: Delivery) -> Waiting:
        """Return a delivery to this receiver, and for how long it may wait."""
        return Waiting(delivery, self.retry.max_age)

    def over(self, defaults: Defaults) -> Self:
        """Return the receiver with the defaults for what it does not say itself."""
        said = self.model_fields_set
        others = defaults.model_fields_set - said - (frozenset() if self.is_webhook else _WEBHOOKS_OWN)
        update: dict[str, Any] = {name: getattr(defaults, name) for name in others}
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


def _said(model: Frozen) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}

"""The registry: what plugins offer, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from pydantic import BaseModel, ValidationError

from hookspecs.alert import Alert
from hookspecs.delivery import Body, Delivery, Message, WireRequest
from hookspecs.frozen import FrozenDict

if TYPE_CHECKING:
    from hookspecs.context import Context

Source: TypeAlias = "Callable[[Any, Context], Iterable[Alert | ValueError]]"
"""Reads a foreign payload, as parsed JSON, into alerts.

It raises ValueError for a payload that it cannot read, and gives one in the place of an alert for a part of it.
"""

Filter: TypeAlias = Callable[[Alert], bool]
"""Says whether a strategy that names it applies to the alert."""

Renderer: TypeAlias = Callable[[Sequence[Delivery]], Body]
"""Makes the body of one request from one delivery, or from several of one receiver and body."""

Signer: TypeAlias = Callable[[WireRequest], WireRequest]
"""Signs one attempt at a request, for a receiver that names it; if it raises, nothing is sent."""

Model = TypeVar("Model", bound=BaseModel)
OptionsModel = TypeVar("OptionsModel", bound=BaseModel)

Sender: TypeAlias = Callable[[Message[OptionsModel]], None]
"""Tells a receiver something over a channel that is no webhook; it returns once that is done, and raises if it is not.

`SendError` says whether to try again; what else it raises is tried again until the receiver's `max_age`.
"""


class SettingsError(ValueError):
    """Say that a plugin's settings, `plugins.settings.NAME`, are not what its model asks for."""

    def __init__(self, error: ValidationError, secrets: Sequence[str] = ()) -> None:
        """Hold what pydantic found; the message shows none of the secrets that were read."""
        found = error.errors(include_url=False, include_input=False, include_context=False)
        self.error: Final = error
        self.secrets: Final = tuple(sorted(filter(None, secrets), key=len, reverse=True))
        message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
        for secret in self.secrets:
            message = message.replace(secret, "***")
        super().__init__(message)


class Registry:
    """Collect the sources, filters, renderers, signers and senders that plugins offer.

    A plugin only offers; the configuration picks by name, so that installing a package never changes what is sent.
    """

    def __init__(self, settings: Mapping[str, Any] = FrozenDict(), directory: Path | None = None) -> None:
        """Start with nothing on offer.

        Args:
            settings: of the plugin, as they are written.
            directory: where relative paths in them begin; the working directory if none.

        """
        self._given: Final = settings
        self._directory: Final = directory or Path()
        self._offers: dict[tuple[str, str], Callable[..., Any]] = {}
        self._resending: set[str] = set()
        self._options: dict[str, type[BaseModel] | None] = {}
        self._settings: BaseModel | None = None
        self._secrets: list[str] = []
        self._sealed = False
        self._model: type[BaseModel] | None = None

    def settings(self, model: type[Model]) -> Model:
        """Return the plugin's own settings, `plugins.settings.NAME`, as a model; later hooks find them in the context.

        A key that the model does not know is a mistake, unless the model itself says what becomes of it. A secret is a
        `hookplugin.Secret`: it may be written as `{env: NAME}` or `{file: PATH}`, and is never shown.

        Args:
            model: with a default for each setting that may be left out.

        Raises:
            SettingsError: the settings are not what it asks for; let it pass, and the operator is told file and line.
            TypeError: it is no pydantic model, or there is one already.

        """
        _require_model("settings", model)
        if self._model is not None:
            message = "the settings have a model already; put both into one"
            raise TypeError(message)
        self._model = model
        self._settings = found = read_model(model, self._given, self._directory, self._secrets)
        return found

    def source(self, name: str, parse: Source, *, resends: bool = False) -> None:
        """Offer a parser of a foreign payload, for `host.receive(name, payload)`.

        Args:
            name: to be called by.
            parse: reads the payload.
            resends: whether that system sends an alert again while it lasts; receivers then hear of it once for each
                status and trigger time, and again after `repeat`.

        Raises:
            ValueError: this registry has a source of that name already.
            TypeError: `parse` cannot be called, or is async.

        """
        self._offer("source", name, parse)
        if resends:
            self._resending.add(name)

    def filter(self, name: str, predicate: Filter) -> None:
        """Offer a predicate, for `filters: [name]` of a strategy.

        Raises:
            ValueError: this registry has a filter of that name already.
            TypeError: `predicate` cannot be called, or is async.

        """
        self._offer("filter", name, predicate)

    def renderer(self, name: str, render: Renderer) -> None:
        """Offer a maker of bodies, for `body: name` of a receiver or a strategy.

        Raises:
            ValueError: this registry has a renderer of that name already.
            TypeError: `render` cannot be called, or is async.

        """
        self._offer("renderer", name, render)

    def signer(self, name: str, sign: Signer) -> None:
        """Offer a maker of signatures, for `signer: name` of a receiver.

        Raises:
            ValueError: this registry has a signer of that name already.
            TypeError: `sign` cannot be called, or is async.

        """
        self._offer("signer", name, sign)

    @overload
    def sender(self, name: str, send: Callable[[Message[None]], None]) -> None: ...

    @overload
    def sender(self, name: str, send: Callable[[Message[OptionsModel]], None], options: type[OptionsModel]) -> None: ...

    def sender(self, name: str, send: Callable[[Message[Any]], None], options: type[BaseModel] | None = None) -> None:
        """Offer a channel that is no webhook, for `type: name` of a receiver.

        It gets what webhooks have: the outbox, retries, order, batches, dead letters and replays. It is called in a
        thread of the dispatcher, for several receivers at once, and up to `max_in_flight` times for one.

        Args:
            name: to be called by.
            send: tells a receiver, and returns nothing; raises if it could not.
            options: the model of a receiver's `options`, as for `settings`; without it, there are none.

        Raises:
            ValueError: this registry has a sender of that name already.
            TypeError: `send` cannot be called, or is async; `options` is no pydantic model.

        """
        if options is not None:
            _require_model("options", options)
        self._offer("sender", name, send)
        self._options[name] = options

    @property
    def sources(self) -> Mapping[str, Source]:
        """Return the sources by name."""
        return self._of("source")

    @property
    def resending(self) -> frozenset[str]:
        """Return the names of the sources that send an alert again while it lasts."""
        return frozenset(self._resending)

    @property
    def filters(self) -> Mapping[str, Filter]:
        """Return the filters by name."""
        return self._of("filter")

    @property
    def renderers(self) -> Mapping[str, Renderer]:
        """Return the renderers by name."""
        return self._of("renderer")

    @property
    def signers(self) -> Mapping[str, Signer]:
        """Return the signers by name."""
        return self._of("signer")

    @property
    def senders(self) -> Mapping[str, Sender[Any]]:
        """Return the senders by name."""
        return self._of("sender")

    @property
    def options(self) -> Mapping[str, type[BaseModel] | None]:
        """Return the models of receivers' options, by the name of the sender; none for one that takes none."""
        return MappingProxyType(self._options)

    @property
    def model(self) -> type[BaseModel] | None:
        """Return the model of the plugin's settings; none if it asked for none."""
        return self._model

    @property
    def own_settings(self) -> BaseModel | None:
        """Return the settings as the plugin has read them; none if it has not."""
        return self._settings

    @property
    def secrets(self) -> Sequence[str]:
        """Return the secrets that were read for the settings, also if that failed."""
        return tuple(self._secrets)

    @property
    def offers(self) -> tuple[tuple[str, str], ...]:
        """Return (kind, name) of everything on offer, sorted."""
        return tuple(sorted(self._offers))

    def wrap(self, wrapper: Callable[[str, str, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace everything on offer by what `wrapper` makes of its kind, its name and itself."""
        self._offers = {(kind, name): wrapper(kind, name, offer) for (kind, name), offer in self._offers.items()}

    def merge(self, other: Registry) -> None:
        """Take over everything of another registry, or nothing.

        Raises:
            ValueError: both have something of the same kind and name.

        """
        for kind, name in other.offers:
            if (kind, name) in self._offers:
                message = f"the {kind} {name!r} is taken"
                raise ValueError(message)
        self._offers.update(other._offers)
        self._resending |= other._resending
        self._options.update(other._options)

    def seal(self) -> None:
        """Take no more offers: they are checked against the configuration once."""
        self._sealed = True

    def withdraw(self, other: Registry) -> None:
        """Give up everything that another registry holds."""
        for offer in other.offers:
            self._offers.pop(offer, None)
        self._resending -= other._resending
        for name in other._options:
            self._options.pop(name, None)

    def _of(self, wanted: str) -> Mapping[str, Callable[..., Any]]:
        return MappingProxyType({name: offer for (kind, name), offer in self._offers.items() if kind == wanted})

    def _offer(self, kind: str, name: object, offer: object) -> None:
        if self._sealed:
            message = f"the {kind} {name!r} comes too late; offer it in alert_register"
            raise TypeError(message)
        if not isinstance(name, str) or not name or name != name.strip():
            message = f"a {kind} needs a name, without spaces around it"
            raise ValueError(message)
        if not callable(offer):
            message = f"the {kind} {name!r} should be a function, not {type(offer).__name__}"
            raise TypeError(message)
        if _is_async(offer) or _is_async(type(offer).__call__):
            message = f"the {kind} {name!r} is async; nobody would await it, offer a plain function"
            raise TypeError(message)
        if (kind, name) in self._offers:
            message = f"the {kind} {name!r} is offered twice"
            raise ValueError(message)
        self._offers[kind, name] = offer


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def read_model(model: type[Model], given: object, directory: Path, secrets: list[str]) -> Model:
    """Read what an operator has written for a plugin; unknown keys are mistakes, unless the model has its own opinion.

    Args:
        model: reads it.
        given: what was written.
        directory: where relative paths begin.
        secrets: gets the secrets that are read, also if that fails: no error may show them.

    Raises:
        SettingsError: it is not what the model asks for.

    """
    context = {"directory": directory, "secrets": secrets}
    try:
        if "extra" in model.model_config:
            return model.model_validate(given, context=context)
        return model.model_validate(given, extra="forbid", context=context)
    except ValidationError as error:
        raise SettingsError(error, secrets) from None


def _require_model(what: str, model: object) -> None:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        message = f"{what} are read by a pydantic model, a class; not by {model!r}"
        raise TypeError(message)

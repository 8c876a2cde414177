"""Offers: what plugins offer, guarded; what it gives is of the right kind, or an `OfferError` says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from hookplugin.delivery.headers import is_header
from hookplugin.delivery.signing import check_signed
from hookplugin.failures import SLOW, Failures
from hookplugin.isolation import AnswerError, OfferError, contain, describe
from hookplugin.sources.reading import said
from hookspecs import Alert, Body, Message, Registry, SendError


def guard(plugin: str, offers: Registry, failures: Failures) -> None:
    """Replace what a plugin offers by what never raises anything but `OfferError`; a source may raise ValueError, too.

    Args:
        plugin: its name.
        offers: are changed.
        failures: where they are noted.

    """
    offers.wrap(lambda kind, name, offer: _guarded(plugin, kind, f"{kind} {name}", offer, failures))


def _guarded(plugin: str, kind: str, where: str, offer: Callable[..., Any], failures: Failures) -> Callable[..., Any]:
    read, consequence, waits = _READ[kind], _CONSEQUENCES[kind], kind in _IN_THE_HOSTS_THREAD
    timer = failures.timer

    def call(first: Any, *rest: Any) -> Any:  # noqa: ANN401 - each kind has a type of its own
        began = timer()
        try:
            given = read(first, offer(first, *rest))
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
            contain(error)
            failures.trace(plugin, where, timer() - began, failed=True)
            if kind == "source" and issubclass(type(error), (ValueError, RecursionError)):  # the payload is to blame
                raise _without_secrets(plugin, error, failures) from None
            if kind == "sender" and issubclass(type(error), (SendError, OSError)) and type(error) is not AnswerError:
                raise OfferError(failures.redacted(plugin, _words(error)), error) from None  # and here its receiver
            outcome = "nobody knows whether it was told" if type(error) is AnswerError else consequence
            raise OfferError(failures.note(plugin, where, error, outcome), error) from None
        seconds = timer() - began
        failures.trace(plugin, where, seconds)
        if waits and seconds > SLOW:
            failures.note_slow(plugin, where, seconds, "while the host waited")
        if kind == "sender" and seconds > first.timeout:
            failures.note_slow(plugin, where, seconds, f"where its receiver gives it {first.timeout:g} s")
        if kind == "source":
            return [_without_secrets(plugin, one, failures) if isinstance(one, ValueError) else one for one in given]
        return given

    return call


def _without_secrets(plugin: str, error: BaseException, failures: Failures) -> BaseException:
    """Return what a source says of a payload; whoever has sent that may read it."""
    written = said(error) if isinstance(error, ValidationError) else describe(error).partition(": ")[2]
    text = failures.redacted(plugin, written)
    plain = type(error) is ValueError and text == written
    return error if plain or isinstance(error, RecursionError) else ValueError(text)


_IN_THE_HOSTS_THREAD: Final = frozenset({"filter", "source"})
_CONSEQUENCES: Final[Mapping[str, str]] = {
    "filter": "it counts as matched",
    "renderer": "the fallback body is sent",
    "sender": "it is tried again",
    "signer": "nothing is sent",
    "source": "the payload is refused",
}


def _truth(_: object, answer: object) -> bool:
    if answer is None:  # somebody forgot to return
        message = "it returned nothing, neither true nor false"
        raise TypeError(message)
    return bool(answer)


def _body(_: object, body: object) -> Body:
    if not isinstance(body, Body):
        message = f"it returned {type(body).__name__}, not Body"
        raise TypeError(message)
    if not body.content_type or not is_header(body.content_type):
        message = "its content_type is no header: printable ASCII without space around it"
        raise ValueError(message)
    return Body(content=body.content, content_type=body.content_type)


def _alerts(_: object, found: Iterable[object]) -> list[Alert | ValueError]:
    """Take all of it here: a generator may fail half way."""
    alerts: list[Alert | ValueError] = []
    for one in found:
        if not isinstance(one, (Alert, ValueError)):
            message = f"it returned {type(one).__name__} where an Alert should be"
            raise TypeError(message)
        alerts.append(one)
    return alerts


def _nothing(_: Message[Any], answer: object) -> None:
    if answer is not None:  # false, perhaps: then nobody was told
        message = f"it returned {type(answer).__name__}; a sender returns nothing, and raises if it could not send"
        raise AnswerError(message, retry=False)


_READ: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "filter": _truth,
    "renderer": _body,
    "sender": _nothing,
    "signer": check_signed,
    "source": _alerts,
}


def _words(error: BaseException) -> str:
    return describe(error).removeprefix(f"{SendError.__name__}: ")

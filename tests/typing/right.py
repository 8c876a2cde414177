"""A plugin whose offers are right in every shape that a callable has: mypy and pyright find nothing, and it runs."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, assert_type

from pydantic import BaseModel

from hookplugin import (
    Alert,
    Body,
    Context,
    Delivery,
    Message,
    Outcome,
    Registry,
    Secret,
    SendError,
    WireRequest,
    hookimpl,
)

log = logging.getLogger("right")


class Settings(BaseModel):
    """What an operator may set."""

    times: int = 3
    key: Secret | None = None


class Room(BaseModel):
    """What a receiver of type `chat` says."""

    room: str
    key: Secret | None = None


def often(alert: Alert) -> bool:
    return alert.times >= 3


def at_least(times: int, alert: Alert) -> bool:
    return alert.times >= times


def anything(_: object) -> bool:
    return True


def one_line(deliveries: Sequence[Delivery]) -> Body:
    return Body(content=deliveries[0].alert.content.encode())


def how_many(deliveries: Iterable[object]) -> Body:
    return Body(content=str(len(list(deliveries))).encode())


def keyed(request: WireRequest) -> WireRequest:
    return request.with_headers({"X-Key": request.secrets[0]})


def lines(payload: Any, context: Context) -> Iterator[Alert | ValueError]:
    for line in payload:
        yield Alert(content=line, priority=context.priority(None)) if line else ValueError("an empty line")


def mapping(payload: Mapping[str, str], _: Context) -> list[Alert]:
    return [Alert(content=text, target=target) for target, text in payload.items()]


def say(message: Message[Room]) -> None:
    assert_type(message.options, Room)
    assert_type(message.deliveries, tuple[Delivery, ...])
    if not message.options.room:
        raise SendError(message.receiver, retry=False)


def whisper(message: Message[None]) -> None:
    assert_type(message.options, None)
    if not message.body.content:
        raise SendError(message.id, after=60)


class Often:
    """Offer itself, and methods."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, alert: Alert) -> bool:
        return alert.times >= self.settings.times

    def render(self, deliveries: Sequence[Delivery]) -> Body:
        return Body(content=b"\n".join(one.alert.content.encode() for one in deliveries))

    def sign(self, request: WireRequest) -> WireRequest:
        key = self.settings.key
        return request.with_headers({"X-Key": key.get_secret_value()}) if key else request

    def parse(self, payload: str, _: Context) -> Iterable[Alert]:
        return (Alert(content=line) for line in payload.splitlines())

    def send(self, message: Message[Room]) -> None:
        say(message)

    @staticmethod
    def whisper(message: Message[None]) -> None:
        whisper(message)


class Shout:
    """Be called."""

    def __call__(self, message: Message[Room]) -> None:
        say(message)


@hookimpl
def alert_register(registry: Registry) -> None:
    settings = registry.settings(Settings)
    assert_type(settings, Settings)
    mine = Often(settings)

    registry.filter("function", often)
    registry.filter("wider", anything)
    registry.filter("method", mine.__call__)
    registry.filter("instance", mine)
    registry.filter("partial", partial(at_least, settings.times))
    registry.filter("lambda", lambda alert: "disk" in alert.content)

    registry.renderer("function", one_line)
    registry.renderer("wider", how_many)
    registry.renderer("method", mine.render)
    registry.renderer("lambda", lambda deliveries: Body(content=deliveries[0].id.encode()))

    registry.signer("function", keyed)
    registry.signer("method", mine.sign)
    registry.signer("lambda", lambda request: request.with_headers({"X-Id": request.id}))

    registry.source("function", lines)
    registry.source("narrower", mapping, resends=True)
    registry.source("method", mine.parse)
    registry.source("lambda", lambda payload, context: [Alert(content=str(payload), priority=context.priority(None))])

    registry.sender("function", say, Room)
    registry.sender("method", mine.send, Room)
    registry.sender("instance", Shout(), Room)
    registry.sender("lambda", lambda message: log.info(message.options.room), Room)
    registry.sender("by-name", options=Room, send=say)
    registry.sender("without-options", whisper)
    registry.sender("static", mine.whisper)
    registry.sender("lambda-without", lambda message: log.info(message.receiver))

    assert_type(registry.filters, Mapping[str, Callable[[Alert], bool]])
    assert_type(registry.options, Mapping[str, type[BaseModel] | None])


@hookimpl
def alert_configure(context: Context) -> None:
    assert isinstance(context.settings, Settings)
    context.state["right"] = context.settings


@hookimpl
def alert_fired(alert: Alert, context: Context) -> Iterable[Delivery] | None:
    return [] if alert.content and context.state else None


@hookimpl(tryfirst=True)
def alert_delivered(delivery: Delivery, outcome: Outcome) -> None:
    assert_type(outcome.reason.value if outcome.reason else delivery.id, str)


@hookimpl(specname="alert_shutdown")
def end() -> None:
    pass


def keep_their_types() -> tuple[object, ...]:
    """Be all what they were before they were marked."""
    register: Callable[[Registry], None] = alert_register
    fired: Callable[[Alert, Context], Iterable[Delivery] | None] = alert_fired
    delivered: Callable[[Delivery, Outcome], None] = alert_delivered
    shutdown: Callable[[], None] = end
    return register, fired, delivered, shutdown

"""Offers that are wrong, one in each line that is marked: mypy and pyright each find an error there, and no other.

A mark where one of them finds nothing is an error itself. Nobody runs this.
"""

# pyright: basic, reportUnnecessaryTypeIgnoreComment=true
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hookplugin import Alert, Body, Context, Delivery, Message, Registry, WireRequest, hookimpl


class Room(BaseModel):
    """What a receiver says."""

    room: str


class Phone(BaseModel):
    """What another one says."""

    number: str


@dataclass
class Place:
    """No model, so nothing would be checked."""

    room: str


class Uncalled:
    """Cannot be called."""


class Counted:
    """Can be called, but answers with a number."""

    def __call__(self, alert: Alert) -> int:
        return alert.times


class Waiting:
    """Can be called, but nobody would await it."""

    async def __call__(self, alert: Alert) -> bool:
        return bool(alert.times)

    async def send(self, message: Message[Room]) -> None: ...


def asks_for_a_delivery(delivery: Delivery) -> bool: ...
def asks_for_nothing() -> bool: ...
def asks_for_more(alert: Alert, context: Context) -> bool: ...
def says_nothing(alert: Alert) -> None: ...
def says_text(alert: Alert) -> str: ...
async def waits(alert: Alert) -> bool: ...


def filters(registry: Registry) -> None:
    registry.filter("mine", asks_for_a_delivery)  # type: ignore[arg-type]
    registry.filter("mine", asks_for_nothing)  # type: ignore[arg-type]
    registry.filter("mine", asks_for_more)  # type: ignore[arg-type]
    registry.filter("mine", says_nothing)  # type: ignore[arg-type]
    registry.filter("mine", says_text)  # type: ignore[arg-type]
    registry.filter("mine", waits)  # type: ignore[arg-type]
    registry.filter("mine", Waiting())  # type: ignore[arg-type]
    registry.filter("mine", Counted())  # type: ignore[arg-type]
    registry.filter("mine", Counted)  # type: ignore[arg-type]
    registry.filter("mine", Uncalled())  # type: ignore[arg-type]
    registry.filter("mine", "says_text")  # type: ignore[arg-type]
    registry.filter("mine", lambda alert: alert.contents == "disk full")  # type: ignore[attr-defined]
    registry.filter("mine", lambda alert: alert.content)  # type: ignore[arg-type, return-value]
    registry.filter("mine")  # type: ignore[call-arg]
    registry.filter(7, lambda _: True)  # type: ignore[arg-type]


def asks_for_one(delivery: Delivery) -> Body: ...
def asks_for_a_list(deliveries: list[Delivery]) -> Body: ...
def asks_for_alerts(alerts: Sequence[Alert]) -> Body: ...
def makes_bytes(deliveries: Sequence[Delivery]) -> bytes: ...
def makes_perhaps(deliveries: Sequence[Delivery]) -> Body | None: ...
def makes_several(deliveries: Sequence[Delivery]) -> Iterator[Body]: ...
async def makes_later(deliveries: Sequence[Delivery]) -> Body: ...


def renderers(registry: Registry) -> None:
    registry.renderer("mine", asks_for_one)  # type: ignore[arg-type]
    registry.renderer("mine", asks_for_a_list)  # type: ignore[arg-type]
    registry.renderer("mine", asks_for_alerts)  # type: ignore[arg-type]
    registry.renderer("mine", makes_bytes)  # type: ignore[arg-type]
    registry.renderer("mine", makes_perhaps)  # type: ignore[arg-type]
    registry.renderer("mine", makes_several)  # type: ignore[arg-type]
    registry.renderer("mine", makes_later)  # type: ignore[arg-type]
    registry.renderer("mine", lambda deliveries: deliveries[0].alert.content)  # type: ignore[arg-type, return-value]


def asks_for_bytes(content: bytes) -> WireRequest: ...
def asks_for_a_secret(request: WireRequest, secret: str) -> WireRequest: ...
def signs_nothing(request: WireRequest) -> None: ...
def makes_headers(request: WireRequest) -> dict[str, str]: ...
async def signs_later(request: WireRequest) -> WireRequest: ...


def signers(registry: Registry) -> None:
    registry.signer("mine", asks_for_bytes)  # type: ignore[arg-type]
    registry.signer("mine", asks_for_a_secret)  # type: ignore[arg-type]
    registry.signer("mine", signs_nothing)  # type: ignore[arg-type]
    registry.signer("mine", makes_headers)  # type: ignore[arg-type]
    registry.signer("mine", signs_later)  # type: ignore[arg-type]
    registry.signer("mine", lambda request: request.headers)  # type: ignore[arg-type, return-value]


def asks_for_no_context(payload: Any) -> list[Alert]: ...
def asks_in_another_order(context: Context, payload: str) -> list[Alert]: ...
def reads_one(payload: Any, context: Context) -> Alert: ...
def reads_dicts(payload: Any, context: Context) -> list[dict[str, str]]: ...
def reads_texts(payload: Any, context: Context) -> list[Alert | str]: ...
async def reads_later(payload: Any, context: Context) -> list[Alert]: ...


async def reads_bit_by_bit(payload: Any, context: Context) -> AsyncIterator[Alert]:
    yield Alert(content=str(payload), priority=context.priority(None))


def sources(registry: Registry) -> None:
    registry.source("mine", asks_for_no_context)  # type: ignore[arg-type]
    registry.source("mine", asks_in_another_order)  # type: ignore[arg-type]
    registry.source("mine", reads_one)  # type: ignore[arg-type]
    registry.source("mine", reads_dicts)  # type: ignore[arg-type]
    registry.source("mine", reads_texts)  # type: ignore[arg-type]
    registry.source("mine", reads_later)  # type: ignore[arg-type]
    registry.source("mine", reads_bit_by_bit)  # type: ignore[arg-type]
    registry.source("mine", lambda payload: [])  # type: ignore[arg-type, misc]  # noqa: ARG005
    registry.source("mine", lambda payload, _: payload, resends="yes")  # type: ignore[arg-type]


def asks_for_a_room(message: Message[Room]) -> None: ...
def asks_for_a_place(message: Message[Place]) -> None: ...
def asks_for_no_options(message: Message[None]) -> None: ...
def asks_for_a_body(body: Body) -> None: ...
def asks_for_both(message: Message[Room], options: Room) -> None: ...
def says_whether(message: Message[Room]) -> bool: ...
def says_bit_by_bit(message: Message[Room]) -> Iterator[None]: ...
async def says_later(message: Message[Room]) -> None: ...
async def says_later_without(message: Message[None]) -> None: ...


def senders(registry: Registry) -> None:
    registry.sender("mine", asks_for_a_room)  # type: ignore[arg-type]
    registry.sender("mine", asks_for_a_room, Phone)  # type: ignore[arg-type]
    registry.sender("mine", asks_for_no_options, Room)  # type: ignore[arg-type]
    registry.sender("mine", asks_for_a_place, Place)  # type: ignore[type-var]
    registry.sender("mine", asks_for_a_room, Room(room="ops"))  # type: ignore[call-overload]
    registry.sender("mine", asks_for_a_body, Room)  # type: ignore[arg-type]
    registry.sender("mine", asks_for_a_body)  # type: ignore[arg-type]
    registry.sender("mine", asks_for_both, Room)  # type: ignore[arg-type]
    registry.sender("mine", says_whether, Room)  # type: ignore[arg-type]
    registry.sender("mine", says_bit_by_bit, Room)  # type: ignore[arg-type]
    registry.sender("mine", says_later, Room)  # type: ignore[arg-type]
    registry.sender("mine", says_later_without)  # type: ignore[arg-type]
    registry.sender("mine", Waiting().send, Room)  # type: ignore[arg-type]
    registry.sender("mine", Uncalled(), Room)  # type: ignore[call-overload]
    registry.sender("mine", lambda message: message.options.number, Room)  # type: ignore[attr-defined]
    registry.sender("mine", lambda message: message.options.room, Room)  # type: ignore[arg-type]
    registry.sender("mine", lambda message: message.options.room)  # type: ignore[attr-defined]


def settings(registry: Registry) -> None:
    registry.settings(dict)  # type: ignore[type-var]
    registry.settings(Place)  # type: ignore[type-var]
    registry.settings(Room(room="ops"))  # type: ignore[arg-type]
    registry.settings()  # type: ignore[call-arg]
    registry.settings(Room).number  # type: ignore[attr-defined]  # noqa: B018
    phone: Phone = registry.settings(Room)  # type: ignore[assignment]
    phone.number.upper()


@hookimpl(wraper=True)  # type: ignore[call-overload, untyped-decorator]
def alert_register(registry: Registry) -> None: ...


@hookimpl
def alert_fired(alert: Alert) -> None: ...


alert_fired("disk full")  # type: ignore[arg-type]

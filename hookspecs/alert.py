"""The alert: one thing that fired or recovered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_camel

from hookspecs.frozen import Frozen, FrozenDict, freeze, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Scalar: TypeAlias = str | int | float | bool | None
"""What the value of a tag may be: JSON without objects and arrays."""

Moment: TypeAlias = "datetime | str | int | float | Sequence[int]"
"""A time as hosts write it: a datetime, ISO 8601, epoch milliseconds, or HertzBeat's [y, M, d, H, m, s, nanos]."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
INT32_MAX: Final = 2**31 - 1

_NO_ID: Final = -1
_ID_BITS: Final = 53  # the integers that JavaScript holds exactly
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Priority(IntEnum):
    """Say how urgent an alert is; the numbers are HertzBeat's."""

    emergency = 0
    critical = 1
    warning = 2


class Status(IntEnum):
    """Say what became of an alert; the numbers are HertzBeat's."""

    firing = 0
    pending = 1
    recovered = 2
    processed = 3


def tag_text(value: Scalar) -> str:
    """Return a tag's value as the text that strategies compare: JSON's spelling, none is empty."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def moment(value: object) -> datetime:
    """Read a time in any form of `Moment`; without a zone it stays without one.

    Raises:
        ValueError: it is none of them, or no calendar has it.

    """
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str):
            return datetime.fromisoformat(value.strip())
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _EPOCH + timedelta(milliseconds=value)
        if isinstance(value, (list, tuple)) and 3 <= len(value) <= 7:
            *clock, nanoseconds = [*value, 0, 0, 0, 0][:7]
            return datetime(*clock, microsecond=nanoseconds // 1000)  # type: ignore[misc]  # noqa: DTZ001 - no zone came in, so none goes out
    except (ValueError, TypeError, OverflowError):
        pass
    message = "not a time; write ISO 8601, epoch milliseconds, or [year, month, day, hour, minute, second, nanosecond]"
    raise ValueError(message)


def milliseconds(value: object) -> int:
    """Read a time as epoch milliseconds; one without a zone is the machine's local time.

    Raises:
        ValueError: it is not a time.

    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return (moment(value).astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError:
        message = "not a time: outside the years 1 to 9999"
        raise ValueError(message) from None


Name = TypeVar("Name", bound=IntEnum)


def _by_name(kind: type[Name], synonyms: Mapping[str, str]) -> Callable[[object], Name]:
    values = {member.value: member for member in kind}

    def read(value: object) -> Name:
        if isinstance(value, str):
            name = value.strip().lower()
            name = synonyms.get(name, name)
            if name in kind.__members__:
                return kind[name]
            value = int(name) if name.isdecimal() and len(name) == 1 else None
        if isinstance(value, int) and not isinstance(value, bool) and value in values:
            return values[value]
        allowed = ", ".join(f"{member.name} ({member.value})" for member in kind)
        message = f"not a {kind.__name__.lower()}; write one of {allowed}"
        raise ValueError(message)

    return read


def _scalars(value: object) -> FrozenDict[str, Scalar]:
    if not isinstance(value, Mapping):
        message = "should be an object of names and values"
        raise ValueError(message)
    for key, item in value.items():
        if item is not None and not isinstance(item, (str, int, float)):
            message = f"the value of {str(key)!r} should be text, a number or true/false"
            raise ValueError(message)
        if isinstance(item, int) and not INT64_MIN <= item <= INT64_MAX:
            message = f"the value of {str(key)!r} does not fit into 64 bits; send it as text"
            raise ValueError(message)
    frozen: FrozenDict[str, Scalar] = freeze(value)
    return frozen


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        message = "should be a whole number, not true or false"
        raise ValueError(message)
    return value


def _clean(value: object) -> object:
    return text(value) if isinstance(value, str) else value


Text: TypeAlias = Annotated[str, BeforeValidator(_clean)]
Int64: TypeAlias = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX), BeforeValidator(_not_bool)]
Int32: TypeAlias = Annotated[int, Field(ge=0, le=INT32_MAX), BeforeValidator(_not_bool)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX), BeforeValidator(milliseconds)]
DateTime: TypeAlias = Annotated[datetime, BeforeValidator(moment)]
Scalars: TypeAlias = Annotated[Mapping[str, Scalar], PlainValidator(_scalars)]
PriorityField: TypeAlias = Annotated[Priority, BeforeValidator(_by_name(Priority, {}))]
StatusField: TypeAlias = Annotated[Status, BeforeValidator(_by_name(Status, {"resolved": "recovered"}))]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Alert(Frozen):
    """Hold one thing that fired or recovered; nobody can change it, in any depth.

    Fields, wire names and types follow HertzBeat's documented webhook body. Input is liberal: snake_case
    or the wire's camelCase; `tags`, `tag` or `labels`; priority and status as name or number; times as
    `Moment`; none is the same as not given. What came in goes out: a time without a zone keeps none, a
    numeric tag stays a number.

    Raises:
        pydantic.ValidationError: a field is unknown, of a wrong type, or over 64 bits.

    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    content: Text
    """What happened, in words."""
    target: Text | None = None
    """What was monitored: `available`, or `app.metrics.field`."""
    priority: PriorityField = Priority.warning
    status: StatusField = Status.firing
    tags: Scalars = FrozenDict()
    annotations: Scalars = FrozenDict()
    """What people should read and no strategy needs: summary, description, runbook."""
    times: Int32 = 1
    """How often the threshold was triggered."""
    first_trigger_time: Milliseconds | None = None
    """Milliseconds since 1970-01-01 UTC."""
    last_trigger_time: Milliseconds | None = None
    """Milliseconds since 1970-01-01 UTC."""
    next_eval_interval: Int64 | None = None
    """Milliseconds."""
    alert_define_id: Int64 | None = None
    gmt_create: DateTime | None = None
    gmt_update: DateTime | None = None
    source: Text | None = None
    """The source that read it from a foreign payload."""
    link: Text | None = None
    """Where people can look at it."""
    group_key: Text | None = None
    """The foreign system's name for the group it came in."""
    event_id: Text | None = None
    """The foreign system's id of this very event, where it has one."""
    raw: Annotated[Any, BeforeValidator(freeze)] = None
    """The part of the foreign payload that it came from."""
    group: Annotated[Any, BeforeValidator(freeze)] = None
    """What the foreign payload says of all the alerts that came in it, without these."""
    fingerprint: Text = ""
    """Identity over time, equal for a firing and its recovery; made from source, target and tags if empty."""
    id: Int64 = _NO_ID
    """Made from fingerprint and first_trigger_time, in 53 bits, if not given."""

    if TYPE_CHECKING:  # what a call may pass is wider than what a field holds

        def __init__(  # noqa: D107, PLR0913 - one for each field
            self,
            *,
            content: str,
            target: str | None = None,
            priority: Priority | str | int = Priority.warning,
            status: Status | str | int = Status.firing,
            tags: Mapping[str, Scalar] = ...,
            annotations: Mapping[str, Scalar] = ...,
            times: int = 1,
            first_trigger_time: Moment | None = None,
            last_trigger_time: Moment | None = None,
            next_eval_interval: int | None = None,
            alert_define_id: int | None = None,
            gmt_create: Moment | None = None,
            gmt_update: Moment | None = None,
            source: str | None = None,
            link: str | None = None,
            group_key: str | None = None,
            event_id: str | None = None,
            raw: object = None,
            group: object = None,
            fingerprint: str = ...,
            id: int = ...,  # noqa: A002 - the documented name
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _read_liberally(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        fields = {name: value for name, value in data.items() if value is not None}
        given = [fields.pop(name) for name in ("labels", "tag", "tags") if name in fields]
        if given:
            wrong = [tags for tags in given if not isinstance(tags, Mapping)]
            fields["tags"] = wrong[0] if wrong else {name: value for tags in given for name, value in tags.items()}
        return fields

    @model_validator(mode="after")
    def _identify(self) -> Self:
        # Not through the model's own __setattr__: it is frozen, and what is made here must not count as given. Only if
        # there is none yet: pydantic runs this again for a copy, when it is put into another model.
        if not self.fingerprint:
            tags = sorted((name, tag_text(value)) for name, value in self.tags.items())
            content = None if self.target or self.tags else self.content
            object.__setattr__(self, "fingerprint", _digest(self.source, self.target, tags, content)[:32])
        if self.id == _NO_ID and "id" not in self.model_fields_set:
            digest = _digest(self.fingerprint, self.first_trigger_time)
            object.__setattr__(self, "id", int(digest, 16) & (2**_ID_BITS - 1))
        return self

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, under their Python names; what was made from others is left out."""
        return {name: getattr(self, name) for name in self.model_fields_set}

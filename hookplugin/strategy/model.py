"""A strategy as it is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from hookplugin.problems import nearest
from hookplugin.strategy.matchers import Matcher, parse_matchers
from hookplugin.strategy.schedule import DAY_NAMES, DAYS, Period, parse_period
from hookplugin.values import Duration, Name, Zone
from hookspecs import Status
from hookspecs.alert import PriorityField, StatusField, tag_text
from hookspecs.frozen import Frozen, FrozenDict

_FILTERS: Final = ("priorities", "statuses", "tags", "match", "filters", "days", "period")


def _tags(value: object) -> FrozenDict[str, str]:
    if not isinstance(value, Mapping):
        message = "should be a map of tags and values"
        raise ValueError(message)
    for name, item in value.items():
        if isinstance(item, float) or not isinstance(item, (str, int)):
            # 1.10 has become 1.1 before we see it, and would never match
            message = f"the value of {name!r} should be text; write it in quotes"
            raise ValueError(message)
    return FrozenDict({str(name): tag_text(item) for name, item in value.items()})


def _matcher(value: object) -> tuple[Matcher, ...]:
    if isinstance(value, tuple) and all(isinstance(item, Matcher) for item in value):
        return value
    if not isinstance(value, str):
        message = 'should be text like severity="critical"'
        raise ValueError(message)
    return parse_matchers(value)


def _day(value: object) -> object:
    day = value.strip().lower() if isinstance(value, str) else value
    if day not in DAYS and day not in DAY_NAMES:
        message = f"not a day{nearest(day, (*DAYS, *DAY_NAMES), 'write ' + ', '.join(DAYS))}"
        raise ValueError(message)
    return str(day)[:3]


def _period(value: object) -> Period:
    if isinstance(value, Period):
        return value
    if not isinstance(value, str):
        message = 'not a period; write "HH:MM-HH:MM" in quotes'
        raise ValueError(message)
    return parse_period(value)


Matchers: TypeAlias = Annotated[tuple[Matcher, ...], PlainValidator(_matcher)]


class Strategy(Frozen):
    """Say which alerts go to which receivers; a filter that is left out restricts nothing."""

    name: Name
    receivers: Annotated[tuple[Name, ...], Field(min_length=1)]
    enabled: bool = True
    match_all: bool = False
    """Every alert, of every status; a filter beside it is a mistake."""
    priorities: tuple[PriorityField, ...] = ()
    statuses: tuple[StatusField, ...] = (Status.firing, Status.recovered)
    tags: Annotated[Mapping[str, str], PlainValidator(_tags)] = FrozenDict()
    tags_mode: Literal["all", "any"] = "all"
    match: tuple[Matchers, ...] = ()
    filters: tuple[Name, ...] = ()
    days: tuple[Annotated[str, BeforeValidator(_day)], ...] = ()
    period: Annotated[Period, PlainValidator(_period)] | None = None
    timezone: Zone | None = None
    """Of days and period; the configuration's if none."""
    repeat: Duration | None = None
    """Seconds until the same status is notified again."""
    body: Name | None = None
    """The receiver's if none."""

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """Return all matchers, those that were written together, too."""
        return tuple(matcher for together in self.match for matcher in together)

    def asks_for(self, status: Status) -> bool:
        """Say whether alerts of this status pass, if they have all else."""
        return self.match_all or not self.statuses or status in self.statuses

    @model_validator(mode="after")
    def _nothing_beside_match_all(self) -> Self:
        message = beside_match_all({name: getattr(self, name) for name in self.model_fields_set})
        if message:
            raise ValueError(message)
        return self


def beside_match_all(strategy: Mapping[str, object]) -> str | None:
    """Return what is wrong with a strategy that lets every alert pass and has filters, too; none if nothing is."""
    beside = [name for name in _FILTERS if strategy.get(name)]
    if strategy.get("match_all") is not True or not beside:
        return None
    return f"match_all lets every alert pass; remove it, or remove {', '.join(beside)}"

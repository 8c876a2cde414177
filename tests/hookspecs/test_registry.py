"""The registry: what plugins offer, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, cast

import pytest

from hookspecs import Alert, Registry

KINDS = ("source", "filter", "renderer")

Offer = Callable[[str, Any], None]


def method(registry: Registry, kind: str) -> Offer:
    return cast("Offer", getattr(registry, kind))


def plain(*_: object) -> Any:
    return None


def produces(*_: object) -> Iterable[Alert]:
    yield Alert(content="a")


async def waits(*_: object) -> bool:
    return True


async def produces_later(*_: object) -> AsyncIterator[Alert]:
    yield Alert(content="a")


class Waiting:
    async def __call__(self, *_: object) -> bool:
        return True


class Ready:
    def __call__(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offer", [plain, produces, Ready(), partial(plain, 1), bool])
def test_what_is_offered_is_found_under_its_name(kind: str, offer: Callable[..., Any]) -> None:
    registry = Registry()
    method(registry, kind)("mine", offer)
    found = {name: dict(getattr(registry, f"{name}s")) for name in KINDS}
    assert found == {name: {"mine": offer} if name == kind else {} for name in KINDS}
    assert registry.offers == ((kind, "mine"),)


def test_a_name_may_stand_for_one_of_each_kind() -> None:
    registry = Registry()
    for kind in KINDS:
        method(registry, kind)("chat", plain)
    assert registry.offers == (("filter", "chat"), ("renderer", "chat"), ("source", "chat"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_offered_twice_is_refused_and_the_first_stays(kind: str) -> None:
    registry = Registry()
    method(registry, kind)("mine", plain)
    with pytest.raises(ValueError, match=f"the {kind} 'mine' is offered twice"):
        method(registry, kind)("mine", produces)
    assert getattr(registry, f"{kind}s")["mine"] is plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_an_offer_needs_a_name(kind: str, name: Any) -> None:
    with pytest.raises(ValueError, match=f"a {kind} needs a name"):
        method(Registry(), kind)(name, plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offer", ["plain", None, waits, produces_later, Waiting(), partial(waits, 1)])
def test_what_cannot_be_called_or_is_async_is_refused(kind: str, offer: Any) -> None:
    registry = Registry()
    with pytest.raises(TypeError, match=f"the {kind} 'mine' (should be a function|is async)"):
        method(registry, kind)("mine", offer)
    assert registry.offers == ()


def test_what_is_on_offer_can_only_be_read() -> None:
    registry = Registry()
    registry.filter("mine", plain)
    with pytest.raises(TypeError):
        cast("dict[str, Any]", registry.filters)["mine"] = produces
    assert registry.filters["mine"] is plain


def test_merging_takes_over_everything() -> None:
    host, plugin = Registry(), Registry()
    host.source("own", plain)
    plugin.source("zabbix", produces)
    plugin.filter("own", plain)
    host.merge(plugin)
    assert host.offers == (("filter", "own"), ("source", "own"), ("source", "zabbix"))
    assert plugin.offers == (("filter", "own"), ("source", "zabbix"))


def test_merging_takes_over_nothing_if_one_name_is_taken() -> None:
    host, plugin = Registry(), Registry()
    host.source("own", plain)
    plugin.filter("a-new-one", plain)
    plugin.source("own", produces)
    with pytest.raises(ValueError, match="the source 'own' is taken"):
        host.merge(plugin)
    assert host.offers == (("source", "own"),)
    assert host.sources["own"] is plain


def test_what_sends_again_is_merged_and_withdrawn_with_its_source() -> None:
    host, plugin = Registry(), Registry()
    host.source("alertmanager", plain, resends=True)
    plugin.source("pager", plain, resends=True)
    plugin.source("mail", plain)
    host.merge(plugin)
    assert host.resending == {"alertmanager", "pager"}
    host.withdraw(plugin)
    assert host.resending == {"alertmanager"}

"""The registry: what plugins offer, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from storing import TREES

from hookplugin import Secret
from hookspecs import Alert, Registry, SettingsError

KINDS = ("source", "filter", "renderer", "signer", "sender")

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
    assert registry.offers == tuple((kind, "chat") for kind in sorted(KINDS))


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


class Room(BaseModel):
    name: str
    level: Literal["low", "high"] = "low"


class Settings(BaseModel):
    times: int = 3
    key: Secret | None = None
    rooms: list[Room] = []


class Lenient(BaseModel):
    model_config = ConfigDict(extra="allow")

    times: int = 3


def test_settings_are_read_as_the_model_that_a_plugin_asks_for() -> None:
    registry = Registry({"times": "5", "rooms": [{"name": "ops"}]})
    assert (registry.model, registry.own_settings) == (None, None)
    settings = registry.settings(Settings)
    assert settings == Settings(times=5, rooms=[Room(name="ops")])
    assert registry.model is Settings
    assert registry.own_settings is settings


def test_settings_that_nobody_wrote_are_the_defaults() -> None:
    assert Registry().settings(Settings) == Settings()


def test_secrets_are_read_from_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret\n", encoding="utf-8")
    monkeypatch.setenv("MINE_KEY", "t0ken")
    written: list[Mapping[str, Any]] = [{"file": "key"}, {"env": "MINE_KEY"}]
    found = [Registry({"key": one}, tmp_path).settings(Settings) for one in written]
    assert [one.key and one.key.get_secret_value() for one in found] == ["s3cret", "t0ken"]
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"tims": 5}, "tims: Extra inputs are not permitted"),
        ({"rooms": [{"name": "ops", "lvl": 1}]}, "rooms.0.lvl: Extra inputs are not permitted"),
        ({"rooms": [{}]}, "rooms.0.name: Field required"),
        ({"times": "S3CRET"}, "times: Input should be a valid integer, unable to parse string as an integer"),
        ({"key": {"env": "NOT_SET"}}, "key: Value error, the environment variable 'NOT_SET' is not set"),
        ({"key": 7, "x": 1}, "key: Input should be a valid string; x: Extra inputs are not permitted"),
    ],
)
def test_settings_that_are_wrong_are_refused_with_their_places(written: dict[str, Any], message: str) -> None:
    registry = Registry(written)
    with pytest.raises(SettingsError) as caught:
        registry.settings(Settings)
    assert str(caught.value) == message
    assert len(caught.value.error.errors()) == message.count(";") + 1
    assert (registry.model, registry.own_settings) == (Settings, None)


class Wishes(BaseModel):
    count: int = 0
    kinds: list[Literal["a", "b"]] = []
    room: Room | None = None
    share: float = 0.0
    key: Secret | None = None
    ready: bool = False


@given(st.sampled_from([*Wishes.model_fields]), TREES, st.text("qwxz", min_size=8))
def test_what_settings_were_refused_for_is_said_without_the_value(name: str, tree: Any, marked: str) -> None:
    """Take for granted that nothing else says these letters; a value, that is: whoever wrote a key may read it."""
    for value in (marked, [marked], {"name": [marked]}, {"name": "x", "level": marked}, tree):
        said = refusal({name: value})
        assert marked not in said
        assert said.startswith(name if said else "")


def refusal(written: Mapping[str, Any]) -> str:
    """Return what is said of settings that are wrong; nothing if they are right."""
    try:
        Registry(written).settings(Wishes)
    except SettingsError as error:
        return str(error)
    return ""


def test_a_model_may_take_keys_that_it_does_not_know() -> None:
    settings = Registry({"times": 2, "colour": "red"}).settings(Lenient)
    assert settings.model_dump() == {"times": 2, "colour": "red"}


def test_settings_have_one_model() -> None:
    registry = Registry()
    registry.settings(Settings)
    with pytest.raises(TypeError, match="the settings have a model already"):
        registry.settings(Lenient)
    assert registry.model is Settings


@pytest.mark.parametrize("model", [None, dict, Settings(), "Settings", int])
def test_settings_and_options_need_a_pydantic_model(model: Any) -> None:
    registry = Registry()
    with pytest.raises(TypeError, match="settings are read by a pydantic model, a class; not by "):
        registry.settings(model)
    if model is not None:
        with pytest.raises(TypeError, match="options are read by a pydantic model, a class; not by "):
            registry.sender("mine", plain, model)
    assert (registry.model, registry.offers) == (None, ())


def test_a_sender_has_a_model_of_its_options_or_none() -> None:
    registry = Registry()
    registry.sender("chat", plain, Room)
    registry.sender("bell", plain)
    assert registry.options == {"chat": Room, "bell": None}
    with pytest.raises(TypeError):
        cast("dict[str, Any]", registry.options)["bell"] = Room


def test_the_options_of_a_sender_that_is_refused_are_not_there() -> None:
    registry = Registry()
    registry.sender("chat", plain, Room)
    with pytest.raises(ValueError, match="the sender 'chat' is offered twice"):
        registry.sender("chat", plain, Settings)
    with pytest.raises(TypeError, match="the sender 'bell' is async"):
        registry.sender("bell", cast("Any", waits), Settings)
    assert registry.options == {"chat": Room}


def test_options_are_merged_and_withdrawn_with_their_sender() -> None:
    host, plugin = Registry(), Registry()
    host.sender("bell", plain)
    plugin.sender("chat", plain, Room)
    host.merge(plugin)
    assert host.options == {"bell": None, "chat": Room}
    assert set(host.senders) == {"bell", "chat"}
    host.withdraw(plugin)
    assert host.options == {"bell": None}
    assert set(host.senders) == {"bell"}


def test_merging_takes_over_no_options_if_one_name_is_taken() -> None:
    host, plugin = Registry(), Registry()
    host.sender("chat", plain)
    plugin.sender("bell", plain, Room)
    plugin.sender("chat", plain, Room)
    with pytest.raises(ValueError, match="the sender 'chat' is taken"):
        host.merge(plugin)
    assert host.options == {"chat": None}


def test_merging_leaves_the_settings_with_their_plugin() -> None:
    host, plugin = Registry(), Registry({"times": 7})
    plugin.settings(Settings)
    host.merge(plugin)
    assert (host.model, host.own_settings) == (None, None)


def test_what_is_on_offer_can_be_wrapped() -> None:
    registry = Registry()
    registry.filter("mine", plain)
    registry.sender("mine", plain, Room)
    registry.wrap(lambda kind, name, offer: partial(offer, kind, name))
    assert registry.filters["mine"](Alert(content="a")) is None
    found = cast("partial[object]", registry.senders["mine"])
    assert (found.func, found.args) == (plain, ("sender", "mine"))
    assert registry.options == {"mine": Room}

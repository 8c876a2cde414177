"""The configuration: frozen models, and everything that is wrong with one, at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from hookplugin.delivery.receiver import Auth, Basic, Batch, Defaults, Receiver, Retry, Timeout
from hookplugin.document import ConfigError, Document, read_document
from hookplugin.outbox.opening import MEMORY, Durability
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import Problem, nearest, path_text, problems_of
from hookplugin.strategy.model import Strategy, beside_match_all
from hookplugin.values import Duration, Name, Zone, base_directory
from hookspecs import Priority
from hookspecs.alert import PriorityField
from hookspecs.frozen import Frozen, FrozenDict, freeze

DEFAULT_FILE: Final = "hookplugin.yaml"
ENVIRONMENT: Final = "HOOKPLUGIN_CONFIG"
OUR_PLUGIN: Final = "webhook"
"""The plugin that our entry point names; its settings are the whole configuration."""


def _outbox(url: str, info: ValidationInfo) -> str:
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        message = 'should be sqlite:///FILE, or "sqlite:///:memory:" in quotes'
        raise ValueError(message)
    return url if url == MEMORY else f"sqlite:///{(base_directory(info) / path).absolute()}"


def _lower(severities: Mapping[str, Priority]) -> FrozenDict[str, Priority]:
    return FrozenDict({name.strip().lower(): priority for name, priority in severities.items()})


class PluginChoice(Frozen):
    """Say which plugins must and must not run, and what each is told."""

    required: tuple[Name, ...] = ()
    disabled: tuple[Name, ...] = ()
    settings: Annotated[Mapping[Name, Mapping[str, Any]], AfterValidator(freeze), Field(repr=False)] = FrozenDict()


class Keep(Frozen):
    """Say for how many seconds settled deliveries are remembered."""

    delivered: Duration = 86400.0
    dead: Duration = 14 * 86400.0


class Config(Frozen):
    """Hold a whole configuration; `Host` takes one, a dict of the same keys, or a YAML file."""

    timezone: Zone | None = None
    """Of schedules, and of foreign times that name none; the machine's if none."""
    outbox: Annotated[str, AfterValidator(_outbox)] = MEMORY
    durability: Durability = "full"
    """Full syncs each commit; normal survives a kill, and may lose the last moment in a power cut."""
    dispatch: bool = True
    """Whether this process delivers; if not, `hookplugin worker` does."""
    keep: Keep = Keep()
    max_pending: Annotated[int, Field(ge=1)] = 1_000_000
    """How many deliveries may wait before alerts are refused."""
    severities: Annotated[Mapping[str, PriorityField], AfterValidator(_lower)] = FrozenDict()
    defaults: Defaults = Defaults()
    receivers: tuple[Receiver, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    plugins: PluginChoice = PluginChoice()

    @model_validator(mode="after")
    def _fill_in_defaults(self) -> Self:
        object.__setattr__(self, "receivers", tuple(receiver.over(self.defaults) for receiver in self.receivers))
        return self


_MODELS: Final[Mapping[str, type[Frozen]]] = {
    "auth": Auth,
    "basic": Basic,
    "batch": Batch,
    "defaults": Defaults,
    "keep": Keep,
    "plugins": PluginChoice,
    "receivers": Receiver,
    "retry": Retry,
    "strategies": Strategy,
    "timeout": Timeout,
}

ConfigInput: TypeAlias = "Config | Mapping[str, Any] | str | os.PathLike[str]"
"""What a host may hand over: a model, a dict, or the path of a YAML file."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Name what a configuration may refer to."""

    bodies: frozenset[str]
    filters: frozenset[str]
    plugins: Mapping[str, str | None]
    """By name: why it is not active, or none if it is."""


def find_file(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the configuration file: the given one, that of HOOKPLUGIN_CONFIG, or hookplugin.yaml.

    Raises:
        ConfigError: there is none.

    """
    named = given or os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    if not Path(DEFAULT_FILE).exists():
        raise ConfigError([f"{DEFAULT_FILE}: not found here; `hookplugin init` writes one, --config names another"])
    return Path(DEFAULT_FILE)


def open_document(config: ConfigInput) -> Document:
    """Return the raw configuration.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
        TypeError: it is none of these.

    """
    if isinstance(config, (Config, Mapping)):
        return Document(config)
    if isinstance(config, (str, os.PathLike)):
        return read_document(Path(config))
    message = f"a configuration is a Config, a dict or the path of a file, not {type(config).__name__}"
    raise TypeError(message)


def resolve(document: Document, offered: Offered) -> Config:
    """Check everything and return the configuration.

    Raises:
        ConfigError: with every mistake at once.

    """
    data = document.data
    problems: list[Problem] = []
    config: Config | None = None
    if isinstance(data, Config):
        config = data
        names = {
            "receivers": {"__all__": {"name", "body", "fallback"}},
            "strategies": {"__all__": {"name", "receivers", "filters", "body"}},
        }
        data = config.model_dump(include={**names, "plugins": {"required", "disabled", "settings"}})
    else:
        try:
            config = Config.model_validate(data, context={"directory": document.directory})
        except ValidationError as error:
            problems += problems_of(error, _keys_at)
    problems += _name_problems(data, offered)
    if config:
        problems += _contradictions(config)
    if problems or config is None:
        raise ConfigError(document.locate(dict.fromkeys(problems)))
    return config


def undeliverable(config: Config) -> Iterator[Problem]:
    """Find that nobody could deliver what is accepted."""
    if not config.dispatch and config.outbox == MEMORY:
        yield Problem(("dispatch",), "needs an outbox file: nobody else could deliver what waits in memory")


def zone_and_outbox(document: Document) -> tuple[ZoneInfo | None, str]:
    """Return zone and outbox of a configuration that need not be right otherwise.

    Raises:
        ConfigError: these are wrong.

    """
    if isinstance(document.data, Config):
        return document.data.timezone, document.data.outbox
    keys: object = document.data
    if isinstance(keys, Mapping):
        keys = {key: keys[key] for key in ("timezone", "outbox") if key in keys}
    try:
        config = Config.model_validate(keys, context={"directory": document.directory})
    except ValidationError as error:
        raise ConfigError(document.locate(problems_of(error, _keys_at))) from None
    return config.timezone, config.outbox


def disabled_plugins(document: Document) -> frozenset[str]:
    """Return the plugins that are not to be loaded; the configuration need not be right otherwise."""
    if isinstance(document.data, Config):
        return frozenset(document.data.plugins.disabled)
    return frozenset(name for _, name in _texts(_get(document.data, "plugins"), "disabled"))


def _keys_at(path: KeyPath) -> Iterable[str]:
    keys = [key for key in path if isinstance(key, str)]
    model = _MODELS.get(keys[-1]) if keys else Config
    return model.model_fields if model else ()


def _name_problems(data: object, offered: Offered) -> Iterator[Problem]:
    """Find names that stand for nothing or for two things; `data` need not be right otherwise."""
    receivers, strategies = _items(data, "receivers"), _items(data, "strategies")
    names = {receiver["name"].strip() for receiver in receivers.values() if isinstance(receiver.get("name"), str)}
    yield from _twice("receivers", receivers)
    yield from _twice("strategies", strategies)
    yield from _fallback_problems(data, names)
    for section, items in (("receivers", receivers), ("strategies", strategies)):
        for index, item in items.items():
            yield from _unknown((section, index), "body", [((), item.get("body"))], offered.bodies)
    yield from _unknown(("defaults",), "body", [((), _get(_get(data, "defaults"), "body"))], offered.bodies)
    for index, strategy in strategies.items():
        here: KeyPath = ("strategies", index)
        contradiction = beside_match_all(strategy)  # here too: the model looks only once all else is right
        if contradiction:
            yield Problem(here, contradiction)
        yield from _unknown(here, "receivers", _texts(strategy, "receivers"), names)
        yield from _unknown(here, "filters", _texts(strategy, "filters"), offered.filters)
    plugins = _get(data, "plugins")
    for key in ("required", "disabled"):
        yield from _unknown(("plugins",), key, _texts(plugins, key), offered.plugins)
    for where, name in _texts(plugins, "required"):
        if offered.plugins.get(name):
            yield Problem(("plugins", "required", *where), f"the plugin {name!r} is off: {offered.plugins[name]}")
    settings = _get(plugins, "settings")
    if isinstance(settings, Mapping):
        yield from _unknown(("plugins",), "settings", [((name,), name) for name in settings], offered.plugins)
        if OUR_PLUGIN in settings:
            message = "has no settings here: all of this file is its own; remove it"
            yield Problem(("plugins", "settings", OUR_PLUGIN), message)


def _fallback_problems(data: object, names: Iterable[str]) -> Iterator[Problem]:
    yield from _unknown(("defaults",), "fallback", [((), _get(_get(data, "defaults"), "fallback"))], names)
    for index, receiver in _items(data, "receivers").items():
        yield from _unknown(("receivers", index), "fallback", [((), receiver.get("fallback"))], names)


def _contradictions(config: Config) -> Iterator[Problem]:
    """Find what is right by itself, and wrong together."""
    yield from undeliverable(config)
    fallbacks = {receiver.name: receiver.fallback for receiver in config.receivers}
    for index, receiver in enumerate(config.receivers):
        met, name = [receiver.name], receiver.fallback
        while name and name not in met:
            met.append(name)
            name = fallbacks.get(name)
        if name == receiver.name:
            circle = " → ".join(map(repr, [*met, name]))
            yield Problem(("receivers", index, "fallback"), f"goes in a circle, {circle}: nobody would hear at its end")


def _unknown(
    here: KeyPath, key: str, given: Iterable[tuple[KeyPath, object]], known: Iterable[str]
) -> Iterator[Problem]:
    kind = {
        "body": "body",
        "fallback": "receiver",
        "settings": "plugin",
        "required": "plugin",
        "disabled": "plugin",
    }.get(key, key[:-1])
    for where, name in given:
        if isinstance(name, str) and name.strip() not in known:
            yield Problem((*here, key, *where), f"unknown {kind} {name!r}{nearest(name, known)}")


def _twice(section: str, items: Mapping[int, Mapping[str, Any]]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, item in items.items():
        name = item.get("name")
        if not isinstance(name, str):
            continue
        name = name.strip()
        if first.setdefault(name, index) != index:
            where = path_text((section, first[name]))
            yield Problem((section, index, "name"), f"{name!r} is the name of {where} already; choose another")


def _get(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, Mapping) else None


def _items(data: object, key: str) -> dict[int, Mapping[str, Any]]:
    found = _get(data, key)
    items = found if isinstance(found, (list, tuple)) else ()
    return {index: item for index, item in enumerate(items) if isinstance(item, Mapping)}


def _texts(data: object, key: str) -> list[tuple[KeyPath, str]]:
    found = _get(data, key)
    items = found if isinstance(found, (list, tuple)) else ()
    return [((index,), item.strip()) for index, item in enumerate(items) if isinstance(item, str)]

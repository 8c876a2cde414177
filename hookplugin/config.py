"""The configuration: frozen models, and where it is found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, model_validator

from hookplugin.bodies.model import BodyTemplate
from hookplugin.delivery.auth import Auth, Basic, OAuth2, check_token
from hookplugin.delivery.guard import ANYWHERE, Network
from hookplugin.delivery.receiver import Batch, Defaults, Receiver, Retry, Timeout
from hookplugin.delivery.signing import SignerChoice, check_filled
from hookplugin.delivery.tls import Tls
from hookplugin.document import ConfigError, Document, read_document
from hookplugin.outbox.opening import MEMORY, Durability
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import problems_of
from hookplugin.references import Secret, checked
from hookplugin.strategy.model import Strategy
from hookplugin.values import Duration, Name, Zone, base_directory, one_or_more
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
    settings: Annotated[Mapping[Name, Mapping[str, Any]], AfterValidator(freeze), Field(repr=False, exclude=True)] = (
        FrozenDict()
    )


class Keep(Frozen):
    """Say for how many seconds settled deliveries are remembered."""

    delivered: Duration = 86400.0
    dead: Duration = 14 * 86400.0


class User(Basic):
    """Hold a user who may send alerts, and the password that shows it."""

    password: Annotated[Secret, checked(check_filled)]


class Serve(Frozen):
    """Say who may send alerts to `hookplugin serve`, and read its metrics: whoever shows one of these."""

    bearer: Annotated[
        tuple[Annotated[Secret, checked(check_token)], ...], BeforeValidator(one_or_more), Field(min_length=1)
    ] = ()
    """Tokens; several while one is rotated."""
    basic: Annotated[tuple[User, ...], BeforeValidator(one_or_more), Field(min_length=1)] = ()

    @property
    def passwords(self) -> tuple[SecretStr, ...]:
        """Return what proves who somebody is."""
        return (*self.bearer, *(user.password for user in self.basic))


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
    bodies: tuple[BodyTemplate, ...] = ()
    plugins: PluginChoice = PluginChoice()
    network: Network = ANYWHERE
    """Which addresses receivers may have."""
    serve: Serve = Serve()

    @model_validator(mode="after")
    def _fill_in_defaults(self) -> Self:
        object.__setattr__(self, "receivers", tuple(receiver.over(self.defaults) for receiver in self.receivers))
        return self


_MODELS: Final[Mapping[str, type[Frozen]]] = {
    "auth": Auth,
    "basic": Basic,
    "batch": Batch,
    "bodies": BodyTemplate,
    "defaults": Defaults,
    "keep": Keep,
    "network": Network,
    "oauth2": OAuth2,
    "plugins": PluginChoice,
    "receivers": Receiver,
    "retry": Retry,
    "serve": Serve,
    "signer": SignerChoice,
    "strategies": Strategy,
    "timeout": Timeout,
    "tls": Tls,
}

ConfigInput: TypeAlias = "Config | Mapping[str, Any] | str | os.PathLike[str]"
"""What a host may hand over: a model, a dict, or the path of a YAML file."""


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
        raise ConfigError(document.locate(problems_of(error, keys_at))) from None
    return config.timezone, config.outbox


def disabled_plugins(document: Document) -> frozenset[str]:
    """Return the plugins that are not to be loaded; the configuration need not be right otherwise."""
    if isinstance(document.data, Config):
        return frozenset(document.data.plugins.disabled)
    return frozenset(name for _, name in texts_of(value_of(document.data, "plugins"), "disabled"))


def settings_of(document: Document) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of plugins, as they are written; the configuration need not be right."""
    if isinstance(document.data, Config):
        return document.data.plugins.settings
    settings = value_of(value_of(document.data, "plugins"), "settings")
    found = settings.items() if isinstance(settings, Mapping) else ()
    return {name.strip(): value for name, value in found if isinstance(name, str) and isinstance(value, Mapping)}


def keys_at(path: KeyPath) -> Iterable[str]:
    """Return the keys that are allowed where a path leads."""
    keys = [key for key in path if isinstance(key, str)]
    model = _MODELS.get(keys[-1]) if keys else Config
    return [field.alias or name for name, field in model.model_fields.items()] if model else ()


def value_of(data: object, key: str) -> object:
    """Return a value of a map; the configuration need not be right."""
    return data.get(key) if isinstance(data, Mapping) else None


def texts_of(data: object, key: str) -> list[tuple[KeyPath, str]]:
    """Return the texts in a list of a map, with their places; the configuration need not be right."""
    found = value_of(data, key)
    items = found if isinstance(found, (list, tuple)) else ()
    return [((index,), item.strip()) for index, item in enumerate(items) if isinstance(item, str)]

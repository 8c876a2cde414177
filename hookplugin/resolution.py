"""Resolution: a configuration, checked against what there is; everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hookplugin.bodies.compiled import Template
from hookplugin.bodies.rendering import Bodies
from hookplugin.config import OUR_PLUGIN, Config, keys_at, texts_of, value_of
from hookplugin.delivery.headers import is_header
from hookplugin.delivery.receiver import WEBHOOK, Receiver
from hookplugin.delivery.redaction import redact, spellings
from hookplugin.delivery.signing import scheme_of
from hookplugin.document import ConfigError, Document
from hookplugin.isolation import contain, describe
from hookplugin.models import mistakes
from hookplugin.outbox.opening import MEMORY
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import Problem, nearest, path_text, problems_of, shown
from hookplugin.strategy.model import beside_match_all
from hookspecs import SettingsError
from hookspecs.frozen import FrozenDict
from hookspecs.registry import read_model


@dataclass(frozen=True, slots=True)
class Offered:
    """Name what a configuration may refer to."""

    bodies: frozenset[str]
    filters: frozenset[str]
    signers: frozenset[str]
    plugins: Mapping[str, str | None]
    """By name: why it is not active, or none if it is."""
    senders: Mapping[str, type[BaseModel] | None] = FrozenDict()
    """By name: the model of its options."""


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
            "receivers": {"__all__": {"name", "type", "body", "fallback", "signer"}},
            "strategies": {"__all__": {"name", "receivers", "filters", "body"}},
            "bodies": {"__all__": {"name"}},
        }
        data = config.model_dump(include={**names, "plugins": {"required", "disabled"}})
        data["plugins"]["settings"] = config.plugins.settings
    else:
        try:
            config = Config.model_validate(data, context={"directory": document.directory})
        except ValidationError as error:
            problems += problems_of(error, keys_at)
    problems += _name_problems(data, offered)
    if config:
        problems += _contradictions(config)
        receivers, mistaken = _with_options(config, offered, document.directory)
        problems += mistaken
        if any(new is not old for new, old in zip(receivers, config.receivers, strict=True)):
            config = config.model_copy(update={"receivers": receivers})
    if problems or config is None:
        raise ConfigError(document.locate(dict.fromkeys(problems)))
    return config


def undeliverable(config: Config) -> Iterator[Problem]:
    """Find that nobody could deliver what is accepted."""
    if not config.dispatch and config.outbox == MEMORY:
        yield Problem(("dispatch",), "needs an outbox file: nobody else could deliver what waits in memory")


def _name_problems(data: object, offered: Offered) -> Iterator[Problem]:
    """Find names that stand for nothing or for two things; `data` need not be right otherwise."""
    receivers, strategies = _items(data, "receivers"), _items(data, "strategies")
    names = _names(receivers)
    yield from _twice("receivers", receivers)
    yield from _twice("strategies", strategies)
    off = _off(offered)
    yield from _body_problems(data, offered.bodies, off)
    yield from _fallback_problems(data, names)
    yield from _signer_problems(data, offered.signers, off)
    for index, receiver in receivers.items():
        yield from _unknown(
            ("receivers", index), "type", [((), receiver.get("type"))], {WEBHOOK, *offered.senders}, off
        )
    for index, strategy in strategies.items():
        here: KeyPath = ("strategies", index)
        contradiction = beside_match_all(strategy)  # here too: the model looks only once all else is right
        if contradiction:
            yield Problem(here, contradiction)
        yield from _unknown(here, "receivers", texts_of(strategy, "receivers"), names)
        yield from _unknown(here, "filters", texts_of(strategy, "filters"), offered.filters, off)
    plugins = value_of(data, "plugins")
    for key in ("required", "disabled"):
        yield from _unknown(("plugins",), key, texts_of(plugins, key), offered.plugins)
    for where, name in texts_of(plugins, "required"):
        if offered.plugins.get(name):
            yield Problem(("plugins", "required", *where), f"the plugin {name!r} is off: {offered.plugins[name]}")
    settings = value_of(plugins, "settings")
    if isinstance(settings, Mapping):
        yield from _unknown(("plugins",), "settings", [((name,), name) for name in settings], offered.plugins)
        if OUR_PLUGIN in settings:
            message = "has no settings here: all of this file is its own; remove it"
            yield Problem(("plugins", "settings", OUR_PLUGIN), message)


def _off(offered: Offered) -> str:
    """Return the end of a message about a name that nobody knows: perhaps a plugin that is off offers it."""
    names = ", ".join(repr(name) for name, reason in sorted(offered.plugins.items()) if reason)
    return f"; perhaps a plugin that is off offers it: {names}" if names else ""


def _names(items: Mapping[int, Mapping[str, Any]]) -> set[str]:
    return {item["name"].strip() for item in items.values() if isinstance(item.get("name"), str)}


def _body_problems(data: object, offered: frozenset[str], off: str) -> Iterator[Problem]:
    bodies = _items(data, "bodies")
    yield from _twice("bodies", bodies)
    for index, body in bodies.items():
        name = body.get("name")
        if isinstance(name, str) and name.strip() in offered:
            message = f"{name.strip()!r} is a body of hookplugin's, or of a plugin's; choose another name"
            yield Problem(("bodies", index, "name"), message)
    known = offered | _names(bodies)
    yield from _unknown(("defaults",), "body", [((), value_of(value_of(data, "defaults"), "body"))], known, off)
    for section in ("receivers", "strategies"):
        for index, item in _items(data, section).items():
            yield from _unknown((section, index), "body", [((), item.get("body"))], known, off)


def _fallback_problems(data: object, names: Iterable[str]) -> Iterator[Problem]:
    yield from _unknown(("defaults",), "fallback", [((), value_of(value_of(data, "defaults"), "fallback"))], names)
    for index, receiver in _items(data, "receivers").items():
        yield from _unknown(("receivers", index), "fallback", [((), receiver.get("fallback"))], names)


def _signer_problems(data: object, offered: frozenset[str], off: str) -> Iterator[Problem]:
    defaults = value_of(data, "defaults")
    places: list[tuple[KeyPath, object]] = [(("defaults",), defaults)]
    places += [(("receivers", index), receiver) for index, receiver in _items(data, "receivers").items()]
    for path, item in places:
        found = value_of(item, "signer")
        where, name = (("name",), value_of(found, "name")) if isinstance(found, Mapping) else ((), found)
        yield from _unknown(path, "signer", [(where, name)], offered, off)


def _with_options(config: Config, offered: Offered, directory: Path) -> tuple[tuple[Receiver, ...], list[Problem]]:
    """Return the receivers with what the models of senders make of their options, and what is wrong with these."""
    receivers: list[Receiver] = []
    problems: list[Problem] = []
    for index, receiver in enumerate(config.receivers):
        model, options = offered.senders.get(receiver.type), receiver.options
        here: KeyPath = ("receivers", index, "options")
        secrets: list[str] = []
        if model and not isinstance(options, model):
            try:
                options = read_model(model, options, directory, secrets)
            except SettingsError as error:
                problems += mistakes(error, model, here)
            except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
                contain(error)
                text = redact(describe(error), spellings(secrets))
                problems.append(Problem(here, f"cannot be read by the plugin: {text}"))
        elif receiver.type in offered.senders and model is None:
            if options:
                problems.append(
                    Problem(here, f"are not for type {receiver.type!r}, whose sender has no model of them; remove them")
                )
            options = None
        receivers.append(receiver if options is receiver.options else receiver.with_options(options, secrets))
    return tuple(receivers), problems


def _contradictions(config: Config) -> Iterator[Problem]:
    """Find what is right by itself, and wrong together."""
    yield from undeliverable(config)
    yield from _unsuited(config)
    yield from _unsigned(config)
    fallbacks = {receiver.name: receiver.fallback for receiver in config.receivers}
    for index, receiver in enumerate(config.receivers):
        met, name = [receiver.name], receiver.fallback
        while name and name not in met:
            met.append(name)
            name = fallbacks.get(name)
        if name == receiver.name:
            circle = " → ".join(map(repr, [*met, name]))
            yield Problem(("receivers", index, "fallback"), f"goes in a circle, {circle}: nobody would hear at its end")


def _unsuited(config: Config) -> Iterator[Problem]:
    """Find bodies that need more than their receiver has, or would not tell it all of a batch."""
    bodies = Bodies(config.bodies)
    for path, receiver, name in _used_bodies(config):
        template = bodies.template(name) if receiver.batch or bodies.may_need_vars(name) else None
        if template is None:
            continue
        yield from _missing_vars(path, f"the body {name!r}", template.vars, receiver)
        if receiver.batch and template.speaks_of_one:
            message = f"the body {name!r} tells only the first alert of a batch; let it speak of `alerts`, or remove"
            yield Problem(path, f"{message} batch from {receiver.name!r}")
    for index, receiver in enumerate(config.receivers):
        for name, value in receiver.headers.items():
            if isinstance(value, Template):
                yield from _missing_vars(("receivers", index, "headers", name), "it", value.vars, receiver)
                for var in sorted(value.vars & receiver.vars.keys()):
                    if not is_header(receiver.vars[var].get_secret_value()):
                        message = "is put into a header, and is not printable ASCII without space around it"
                        yield Problem(("receivers", index, "vars", var), message)


def _unsigned(config: Config) -> Iterator[Problem]:
    """Find receivers whose requests could not be signed as they are to be."""
    for index, receiver in enumerate(config.receivers):
        scheme, name = scheme_of(receiver.signer), receiver.signer.name
        if scheme is None or not receiver.is_signed:
            continue
        here: KeyPath = ("receivers", index)
        if not receiver.secret:
            yield Problem((*here, "signer"), f"{name!r} signs with a secret; write secret: {{file: PATH}}")
        elif len(receiver.secret) > 1 and not scheme.rotates:
            yield Problem((*here, "secret"), f"{name!r} has room for one signature; name one secret")
        for number, secret in enumerate(receiver.secret):
            try:
                scheme.check(secret.get_secret_value())
            except ValueError as error:
                which = (number,) if len(receiver.secret) > 1 else ()
                yield Problem((*here, "secret", *which), str(error))
        for header in receiver.headers:
            if header.lower() in map(str.lower, scheme.headers):
                yield Problem((*here, "headers", header), f"is what {name!r} sets; remove it")


def _used_bodies(config: Config) -> Iterator[tuple[KeyPath, Receiver, str]]:
    """Find which receiver may be sent which body, once each, and where that is said."""
    receivers = {receiver.name: receiver for receiver in config.receivers}
    used: dict[tuple[str, str], KeyPath] = {
        (receiver.name, receiver.body): ("receivers", index) for index, receiver in enumerate(config.receivers)
    }
    for index, strategy in enumerate(config.strategies):
        for name in strategy.receivers if strategy.body else ():
            used.setdefault((name, strategy.body or ""), ("strategies", index, "body"))
    for (name, body), path in used.items():
        if name in receivers:
            yield path, receivers[name], body


def _missing_vars(path: KeyPath, who: str, needed: Iterable[str], receiver: Receiver) -> Iterator[Problem]:
    for name in sorted(set(needed) - receiver.vars.keys()):
        message = f"{who} needs vars.{name}, which the receiver {receiver.name!r} has not; write vars: {{{name}: …}}"
        yield Problem(path, message)


def _unknown(
    here: KeyPath, key: str, given: Iterable[tuple[KeyPath, object]], known: Iterable[str], hint: str = ""
) -> Iterator[Problem]:
    kind = {
        "body": "body",
        "fallback": "receiver",
        "signer": "signer",
        "type": "type",
        "settings": "plugin",
        "required": "plugin",
        "disabled": "plugin",
    }.get(key, key[:-1])
    for where, name in given:
        if isinstance(name, str) and name.strip() not in known:
            said = shown(name) if key == "signer" else name  # some write the secret there
            near = nearest(name, known)
            yield Problem((*here, key, *where), f"unknown {kind} {said!r}{near}{hint * (not near.endswith('?'))}")


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


def _items(data: object, key: str) -> dict[int, Mapping[str, Any]]:
    found = value_of(data, key)
    items = found if isinstance(found, (list, tuple)) else ()
    return {index: item for index, item in enumerate(items) if isinstance(item, Mapping)}

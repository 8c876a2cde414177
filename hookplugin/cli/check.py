"""`hookplugin check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import typer

from hookplugin.assembly import load_plugins, rehearse
from hookplugin.bodies.rendering import Request
from hookplugin.bodies.sample import SAMPLES
from hookplugin.bodies.scope import RenderError
from hookplugin.cli.options import ConfigOption, JsonOption
from hookplugin.cli.output import print_json
from hookplugin.config import Config, find_file, open_document
from hookplugin.delivery.guard import BLOCKED, is_blocked
from hookplugin.document import ConfigError, Document
from hookplugin.exposure import exposures
from hookplugin.isolation import OfferError
from hookplugin.logs import silence
from hookplugin.outbox.opening import MEMORY, OutboxError, file_of
from hookplugin.outbox.store import Store
from hookplugin.plugins import Plugins
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import Problem
from hookplugin.strategy.explain import contradictions, named_receivers
from hookplugin.webhook import bodies_of
from hookspecs import Delivery


def check(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Say everything that is wrong with the configuration, at once; render every body."""
    errors: list[str] = []
    warnings: list[str] = []
    name = str(config or "")
    document: Document | None = None
    try:
        path = find_file(config)
        name = str(path)
        document = open_document(path)
        with silence(), rehearse(document) as (plugins, checked):
            errors += document.locate([*plugins.mistakes, *_outbox(checked), *_bodies(plugins, checked)])
            found = [*_warnings(plugins, checked), *exposures(checked, document, plugins.own_settings)]
            warnings += _as_warnings(document, found)
    except ConfigError as error:
        errors += error.problems
        warnings += _off(document) if document else []
    if as_json:
        print_json({"file": name, "ok": not errors, "errors": errors, "warnings": warnings})
    else:
        for line in (*errors, *warnings):
            sys.stdout.write(f"{line}\n")
        if not errors:
            sys.stdout.write(f"{name}: fine{', with warnings' if warnings else ''}\n")
    if errors:
        raise typer.Exit(2)


def _off(document: Document) -> list[str]:
    """Say which plugins are off under a configuration that is wrong: it may name what they offer."""
    with silence():
        plugins = load_plugins(document)
    return _as_warnings(document, _plugins(plugins))


def _as_warnings(document: Document, problems: Iterable[Problem]) -> list[str]:
    return document.locate(replace(one, message=f"warning: {one.message}") for one in problems)


def _outbox(config: Config) -> Iterator[Problem]:
    """Open the outbox if it is there; else see whether it could be made."""
    path = file_of(config.outbox)
    if path is None:
        return
    try:
        if path.exists():
            Store(config.outbox, memory_meanwhile=False).close()
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            yield Problem(("outbox",), f"cannot be made: {str(path.parent)!r} is no folder that can be written")
    except OutboxError as error:
        yield Problem(("outbox",), str(error))


def _bodies(plugins: Plugins, config: Config) -> Iterator[Problem]:
    """Render every body with every sample."""
    bodies = bodies_of(config, plugins.context)
    for name in sorted(bodies.names):
        template = bodies.template(name)
        alone = template is None or template.speaks_of_one
        for words, alerts in SAMPLES.items():
            deliveries = [Delivery(id="check", alert=alert, receiver="check", body=name) for alert in alerts]
            if alone and len(deliveries) > 1:
                continue
            try:
                bodies.render(Request("check", deliveries, datetime.now(UTC), many=len(deliveries) > 1))
            except (RenderError, OfferError) as error:
                yield Problem(_place(name, config), f"the body {name!r} fails for {words}: {error}")
                break


def _place(body: str, config: Config) -> KeyPath:
    """Return where a body stands, or where it is named first, if a plugin makes it."""
    places: list[tuple[KeyPath, str | None]] = [
        *((("bodies", index), one.name) for index, one in enumerate(config.bodies)),
        *((("receivers", index, "body"), one.body) for index, one in enumerate(config.receivers)),
        *((("strategies", index, "body"), one.body) for index, one in enumerate(config.strategies)),
    ]
    return next((place for place, name in places if name == body), ())


def _warnings(plugins: Plugins, config: Config) -> Iterator[Problem]:
    if config.outbox == MEMORY:
        message = "deliveries wait in memory and are lost when the process ends; name a file to keep them"
        yield Problem(("outbox",), message)
    if not config.receivers:
        yield Problem(("receivers",), "there is none, nobody will hear of anything")
    named = named_receivers(config.strategies) | {receiver.fallback for receiver in config.receivers}
    for index, receiver in enumerate(config.receivers):
        if receiver.name not in named:
            message = f"{receiver.name!r} hears nothing: no enabled strategy names it"
            yield Problem(("receivers", index), message)
        host = urlsplit(receiver.address.get_secret_value()).hostname or ""
        if receiver.is_webhook and not receiver.proxy and is_blocked(host, config.network):
            yield Problem(("receivers", index, "url"), f"{BLOCKED}; see network")
    for index, strategy in enumerate(config.strategies):
        for contradiction in contradictions(strategy):
            yield Problem(("strategies", index), contradiction)
    yield from _plugins(plugins)


def _plugins(plugins: Plugins) -> Iterator[Problem]:
    """Say which plugins are off, but for those whose settings are said to be wrong."""
    mistaken = {one.path[2] for one in plugins.mistakes}
    for status in plugins.statuses:
        if status.state == "failed" and status.name not in mistaken:
            yield Problem((), f"the plugin {status.name!r} is off: {status.reason}")

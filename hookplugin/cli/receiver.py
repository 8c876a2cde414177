"""`hookplugin receiver`."""

from __future__ import annotations

import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer
import yaml

from hookplugin.assembly import assemble
from hookplugin.cli.adding import add_to_config
from hookplugin.cli.options import CommandError, ConfigOption, JsonOption
from hookplugin.cli.output import clean, console, plain_table, print_json
from hookplugin.config import Config, find_file, open_document, zone_and_outbox
from hookplugin.delivery.health import Health, read_health, write_health
from hookplugin.delivery.url import shown_url
from hookplugin.document import Document, load
from hookplugin.outbox import listing
from hookplugin.outbox.opening import OutboxError, file_of
from hookplugin.outbox.store import Store
from hookplugin.problems import nearest

app = typer.Typer(help="The receivers of the configuration.", no_args_is_help=True)

Value = TypeVar("Value")
ReceiverArgument: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Of the receiver.")]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    url: Annotated[str, typer.Argument(help="Where to POST; or '{env: NAME}', '{file: PATH}' to keep it elsewhere.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Add a receiver to the configuration; a strategy has to name it before it hears of anything."""
    next_step = f"  hookplugin strategy add NAME --receiver {shlex.quote(name)}"
    message = f"{name!r} was added; it hears of nothing until a strategy names it:\n{next_step}"
    add_to_config(config, "receiver", {"name": name, "url": _reference(url)}, message, as_json=as_json)


@app.command("list")
def list_receivers(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the receivers, the strategies that name each, and what is the matter with it."""
    _, checked = assemble(open_document(find_file(config)))
    healths, now = _healths(checked), time.time()
    rows: list[dict[str, Any]] = []
    found: list[Health] = []
    table = plain_table("receiver", "address", "body", "strategies")
    for receiver in checked.receivers:
        address = shown_url(receiver.address.get_secret_value()) if receiver.is_webhook else receiver.type
        naming = [one for one in checked.strategies if receiver.name in one.receivers]
        enabled, disabled = ([one.name for one in naming if one.enabled is wanted] for wanted in (True, False))
        row = {"name": receiver.name, "address": address, "body": receiver.body}
        rows.append({**row, "strategies": enabled, "disabled": disabled})
        names = "\n".join([*map(clean, enabled), *(f"{clean(name)} (disabled)" for name in disabled)])
        if not enabled:
            names = f"[yellow]hears of nothing: no enabled strategy names it[/]\n{names}".rstrip()
        if healths is not None:
            health = healths.get(receiver.name) or Health(receiver.name)
            if health.gone != receiver.mark:  # another URL answered 410
                health = replace(health, gone=None)
            found.append(health)
            rows[-1]["health"] = health_json(health, now)
        table.add_row(*map(clean, row.values()), names)
    if as_json:
        print_json(rows)
        return
    console().print(table if rows else "there is no receiver: hookplugin receiver add NAME URL")
    show_health(found, now, checked.timezone)


@app.command("pause")
def pause(
    name: ReceiverArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Let deliveries to a receiver wait, in every process, until it is resumed; they still expire."""
    health, zone = _change(name, config, lambda health: replace(health, paused=True))
    _tell(health, zone, f"deliveries to {name!r} wait until {receiver_command('resume', name)}", as_json=as_json)


@app.command("resume")
def resume(
    name: ReceiverArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Let deliveries to a receiver that was paused go on."""
    health, zone = _change(name, config, lambda health: replace(health, paused=False))
    _tell(health, zone, f"deliveries to {name!r} go on", as_json=as_json)


@app.command("enable")
def enable(
    name: ReceiverArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Send to a receiver again that answered 410, or failed so often that it is only probed."""
    health, zone = _change(
        name, config, lambda health: replace(health, gone=None, failures=0, pause=0.0, until=0.0, asked=0.0)
    )
    replaying = f"`hookplugin deliveries replay --receiver {shlex.quote(name)} --reason gone`"
    _tell(health, zone, f"{name!r} is enabled; {replaying} sends what it has missed", as_json=as_json)


def health_json(health: Health, now: float) -> dict[str, Any]:
    """Return what is the matter with a receiver, for JSON."""
    until = health.opens_at(now)
    return {
        "paused": health.paused,
        "gone": health.gone is not None,
        "failures": health.failures,
        "until": datetime.fromtimestamp(until, UTC).isoformat() if until > now else None,
    }


def show_health(healths: Iterable[Health], now: float, zone: tzinfo | None) -> None:
    """Print what is the matter with receivers, on a line for each; nothing if they are well."""
    for health in healths:
        if texts := _health_texts(health, now, zone):
            console().print(f"[yellow]{clean(health.name)}: {clean('; '.join(texts), sys.maxsize)}[/]", soft_wrap=True)


def _health_texts(health: Health, now: float, zone: tzinfo | None) -> list[str]:
    until = health.opens_at(now)
    at = f"{datetime.fromtimestamp(until, UTC).astimezone(zone):%H:%M:%S}" if until > now else "once"
    texts = []
    if health.paused:
        texts.append(f"paused until {receiver_command('resume', health.name)}")
    if health.gone is not None:
        texts.append(f"disabled, it answered 410, until {receiver_command('enable', health.name)}")
    if health.failures:
        probed = f", probed again at {at}" if health.is_probed else ""
        texts.append(f"failures in a row: {health.failures}{probed}")
    if until > now and not health.is_probed:
        texts.append(f"it asked for a pause until {at}")
    return texts


def _healths(config: Config) -> Mapping[str, Health] | None:
    """Return what is the matter with receivers; none if there is no outbox file that knows."""
    path = file_of(config.outbox)
    if path is None or not path.exists():
        return None
    with opened(config.outbox) as store:
        return store.read(read_health)


def _change(name: str, config: Path | None, change: Callable[[Health], Health]) -> tuple[Health, tzinfo | None]:
    """Store what is the matter with a receiver from now on; every process that delivers sees it."""
    document = open_document(find_file(config))
    zone, outbox = zone_and_outbox(document)
    if file_of(outbox) is None:
        message = "the outbox is in memory: only the process that holds it could be told"
        raise CommandError(message)
    require_receiver(name, document, outbox)

    def work(connection: sqlite3.Connection) -> Health:
        health = change(read_health(connection).get(name) or Health(name))
        write_health(connection, [health], time.time())
        return health

    with opened(outbox) as store:
        return committed(store, work), zone


def _tell(health: Health, zone: tzinfo | None, effect: str, *, as_json: bool) -> None:
    now = time.time()
    if as_json:
        print_json({"receiver": health.name, **health_json(health, now)})
        return
    others = "" if health.paused else "; ".join(_health_texts(health, now, zone))
    console().print(clean(f"{effect}; {others}" if others else effect, sys.maxsize), soft_wrap=True)


def receiver_command(name: str, receiver: str) -> str:
    """Write a command about a receiver."""
    return f"`hookplugin receiver {name} {shlex.quote(receiver)}`"


@contextmanager
def opened(outbox: str) -> Iterator[Store]:
    """Open an outbox, and close it.

    Raises:
        CommandError: the storage fails.

    """
    try:
        with closing(Store(outbox, memory_meanwhile=False)) as store:
            yield store
    except OutboxError as error:
        raise CommandError(str(error), 1) from None


def committed(store: Store, work: Callable[[sqlite3.Connection], Value]) -> Value:
    """Run work in a transaction of its own, and return what it does.

    Raises:
        OutboxError: the storage fails.

    """
    (done,) = store.commit([work])
    if done.error:
        raise done.error
    value: Value = done.value
    return value


def require_receiver(name: str, document: Document, outbox: str) -> None:
    """See that a receiver is known to the configuration, which need not be right otherwise, or to the outbox.

    Raises:
        CommandError: it is not.

    """
    keys = document.data if isinstance(document.data, Mapping) else {}
    items = keys.get("receivers")
    names = [item.get("name") for item in (items if isinstance(items, list) else ()) if isinstance(item, Mapping)]
    configured = {given.strip() for given in names if isinstance(given, str)}
    path = file_of(outbox)
    if name in configured:
        return
    if path and path.exists():
        with opened(outbox) as store:
            if store.read(lambda connection: listing.knows(connection, name)):
                return
    message = f"unknown receiver {name!r}{nearest(name, configured)}"
    raise CommandError(message)


def _reference(url: str) -> object:
    """Read `{env: NAME}` as the configuration would; leave anything else as it is."""
    if not url.startswith("{"):
        return url
    try:
        return load(url)
    except yaml.YAMLError:
        return url

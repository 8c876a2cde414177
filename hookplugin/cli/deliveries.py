"""`hookplugin deliveries`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

import typer

from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, WaitOption, read_since
from hookplugin.cli.output import alert_text, attempt_text, clean, console, plain_table, print_json
from hookplugin.cli.receiver import committed, health_json, opened, require_receiver, show_health
from hookplugin.cli.replaying import Replayed, make_again, show_replayed
from hookplugin.config import find_file, open_document, zone_and_outbox
from hookplugin.delivery.health import Health, read_health
from hookplugin.document import Document
from hookplugin.outbox import listing
from hookplugin.outbox.listing import Attempt, Selection, State, StoredDelivery
from hookplugin.outbox.opening import MEMORY, file_of
from hookplugin.outbox.store import Store
from hookplugin.problems import nearest
from hookplugin.values import duration_text
from hookspecs import Reason

app = typer.Typer(help="The deliveries in the outbox.", no_args_is_help=True)

_IN_MEMORY: Final = "the outbox is in memory: what is in it is known to the host alone; name a file to see it here"
_COLORS: Final[Mapping[State, str]] = {"pending": "yellow", "sending": "cyan", "delivered": "green", "dead": "red"}


IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="Of the delivery.")]
OptionalIdArgument: TypeAlias = Annotated[str | None, typer.Argument(metavar="[ID]", help="Of one delivery.")]
StateOption: TypeAlias = Annotated[
    str | None, typer.Option("--state", help="pending, sending, delivered or dead.", metavar="STATE")
]
ReceiverOption: TypeAlias = Annotated[str | None, typer.Option("--receiver", help="To whom.", metavar="NAME")]
SinceOption: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        help="Settled since then, or accepted if not settled: a duration back from now, or a time.",
        parser=read_since,
        metavar="SINCE",
    ),
]
AllOption: TypeAlias = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_deliveries(  # noqa: PLR0913, PLR0917 - options of the command line
    state: StateOption = None,
    receiver: ReceiverOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(help="How many, at most.", min=1, max=1_000_000)] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List deliveries, newest first: by when they were settled, or else accepted."""
    document = open_document(find_file(config))
    zone, outbox = zone_and_outbox(document)
    path = file_of(outbox)
    selection = _selection(document, state, receiver, since)
    with opened(_existing(outbox)) as store:
        found = store.read(lambda connection: listing.newest(connection, selection, limit + 1))
        healths = store.read(read_health)
    shown = found[:limit]
    if as_json:
        print_json([_as_json(one) for one in shown])
    elif shown:
        _show_list(shown, healths, zone)
    elif path:
        there = "" if path.exists() else ", which does not exist yet"
        console().print(f"there is no such delivery ({clean(str(path))}{there})", soft_wrap=True)
    if path is None:
        sys.stderr.write(f"{_IN_MEMORY}\n")
    if len(found) > limit:
        sys.stderr.write(f"these are the newest {limit}, and there are more: --limit {2 * limit} shows more\n")


@app.command("show")
def show(
    delivery_id: IdArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Show a delivery with its alert and every attempt."""
    zone, outbox = zone_and_outbox(open_document(find_file(config)))
    with opened(_file(outbox)) as store:
        seq = _find(store, delivery_id)
        delivery, history = store.read(lambda connection: listing.show(connection, seq))
        healths = store.read(read_health)
    if as_json:
        attempts = [one.model_dump(mode="json") for one in history]
        print_json(delivery.model_dump(mode="json", exclude={"alert": {"raw", "group"}}) | {"history": attempts})
    else:
        _show(delivery, history, healths, zone)


@app.command("replay")
def replay(  # noqa: PLR0913, PLR0917 - options of the command line
    delivery_id: OptionalIdArgument = None,
    state: Annotated[str | None, typer.Option(help="dead, which is what is replayed.", metavar="STATE")] = None,
    receiver: ReceiverOption = None,
    since: SinceOption = None,
    reason: Annotated[str | None, typer.Option(help="Why it is dead.", metavar="REASON")] = None,
    everything: AllOption = False,  # noqa: FBT002 - an option of the command line
    wait: WaitOption = 30.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Deliver dead letters again, under their ids; by its ID also what was delivered."""
    file = find_file(config)
    document = open_document(file)
    _, outbox = zone_and_outbox(document)
    selection = _selection(document, state or "dead", receiver, since, reason)
    if selection.states != ["dead"]:
        message = "only dead letters are replayed by filters; what was delivered is by its ID"
        raise CommandError(message)
    _require_choice(
        delivery_id, (state, receiver, since, reason), "--receiver, --since, --reason", everything=everything
    )
    with opened(_file(outbox)) as store:
        seqs = _settled(store, delivery_id) if delivery_id else _select(store, selection)
        done = make_again(store, file, seqs, wait, delivered=delivery_id is not None) if seqs else Replayed()
    if as_json:
        print_json({"replayed": len(done.results), "deliveries": done.results, "notes": done.notes})
    else:
        show_replayed(done)
    if done.dispatched and any(one["state"] != "delivered" for one in done.results):
        raise typer.Exit(1)


@app.command("forget")
def forget(  # noqa: PLR0913, PLR0917 - options of the command line
    delivery_id: OptionalIdArgument = None,
    state: StateOption = None,
    receiver: ReceiverOption = None,
    since: SinceOption = None,
    everything: AllOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Forget deliveries for ever, also those that wait; what is being sent stays."""
    document = open_document(find_file(config))
    _, outbox = zone_and_outbox(document)
    selection = _selection(document, state, receiver, since)
    _require_choice(delivery_id, (state, receiver, since), "--state, --receiver, --since", everything=everything)
    forgotten = stayed = 0
    with opened(_file(outbox)) as store:
        seqs = [_find(store, delivery_id)] if delivery_id else _select(store, selection)
        for start in range(0, len(seqs), listing.STEP):
            step = seqs[start : start + listing.STEP]
            gone, sending = committed(store, partial(listing.forget, seqs=step))
            forgotten, stayed = forgotten + gone, stayed + sending
    if as_json:
        print_json({"forgotten": forgotten, "sending": stayed})
    else:
        console().print(f"forgotten: {forgotten}")
        if stayed:
            console().print(f"[yellow]being sent, and not forgotten: {stayed}[/]")
    if stayed:
        raise typer.Exit(1)


@app.command("stats")
def stats(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Count deliveries by receiver and state, and say what is the matter with each receiver."""
    zone, outbox = zone_and_outbox(open_document(find_file(config)))
    now = time.time()
    with opened(_file(outbox)) as store:
        found, refused = store.read(lambda connection: listing.count(connection, now))
        healths = store.read(read_health)
    counts = {one.receiver: one for one in found}
    rows = [
        (counts.get(name) or listing.ReceiverCount(receiver=name), healths.get(name) or Health(name))
        for name in sorted(counts.keys() | healths.keys())
    ]
    if as_json:
        told = [one.model_dump(mode="json") | {"health": health_json(health, now)} for one, health in rows]
        print_json({"receivers": told, "refused": refused})
        return
    columns = ("pending", "sending", "delivered", "dead", "dead in 24h", "oldest pending")
    table = plain_table("receiver", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for one, _ in rows:
        numbers = map(str, (one.pending, one.sending, one.delivered, one.dead, one.dead_last_day))
        age = duration_text(max(now - one.oldest.timestamp(), 0.0)) if one.oldest else ""
        table.add_row(clean(one.receiver), *numbers, age)
    console().print(table if rows else "there is no delivery")
    show_health([health for _, health in rows], now, zone)
    if refused:
        console().print(f"[red]deliveries that were refused, because max_pending waited already: {refused}[/]")


# What is meant


def _selection(
    document: Document, state: str | None, receiver: str | None, since: datetime | None, reason: str | None = None
) -> Selection:
    """Return what the filters say.

    Raises:
        CommandError: there is no such state, receiver or reason.

    """
    zone, outbox = zone_and_outbox(document)
    for kind, given, names in (("state", state, listing.STATES), ("reason", reason, [one.value for one in Reason])):
        if given is not None and given not in names:
            message = f"unknown {kind} {given!r}{nearest(given, names)}"
            raise CommandError(message)
    if receiver is not None:
        require_receiver(receiver, document, outbox)
    start = since if since is None or since.tzinfo else since.replace(tzinfo=zone)
    states: list[State] = [one for one in listing.STATES if state in {one, None}]
    return Selection(states, receiver, start.timestamp() if start else None, reason)


def _require_choice(delivery_id: str | None, filters: Iterable[object], options: str, *, everything: bool) -> None:
    """See that it is said which deliveries are meant, and only in one way."""
    filtered = any(one is not None for one in filters)
    if not (delivery_id or filtered or everything):
        message = f"say which: an ID, or {options.replace(', ', '/')}/--all"
        raise CommandError(message)
    if (delivery_id is not None) + filtered + everything > 1:
        message = f"an ID, filters ({options}) and --all exclude each other"
        raise CommandError(message)


def _existing(outbox: str) -> str:
    """Return an outbox whose file is there, or else an empty one in memory: looking makes no file."""
    path = file_of(outbox)
    return outbox if path and path.exists() else MEMORY


def _file(outbox: str) -> str:
    """Return the same, where only a file has an answer.

    Raises:
        CommandError: it is in memory.

    """
    if outbox == MEMORY:
        raise CommandError(_IN_MEMORY)
    return _existing(outbox)


def _unknown(delivery_id: str) -> CommandError:
    return CommandError(f"there is no delivery {delivery_id!r}; `hookplugin deliveries list` shows the newest", 1)


def _find(store: Store, delivery_id: str) -> int:
    seq = store.read(lambda connection: listing.find(connection, delivery_id))
    if seq is None:
        raise _unknown(delivery_id)
    return seq


def _select(store: Store, selection: Selection) -> list[int]:
    return store.read(lambda connection: listing.select(connection, selection))


def _settled(store: Store, delivery_id: str) -> list[int]:
    """Return the row of a delivery that is settled.

    Raises:
        CommandError: it is not, or there is none.

    """
    seq = _find(store, delivery_id)
    delivery, _ = store.read(lambda connection: listing.show(connection, seq))
    if delivery.settled is None:
        message = f"{delivery_id!r} is {delivery.state}: only what is dead or delivered is replayed"
        raise CommandError(message, 1)
    return [seq]


# Showing


def _as_json(delivery: StoredDelivery) -> dict[str, Any]:
    """Return a delivery with what tells its alert from others."""
    alert = delivery.alert
    brief = alert.model_dump(mode="json", include={"id", "content", "target", "status", "priority"}) if alert else None
    return delivery.model_dump(mode="json", exclude={"alert"}) | {"alert": brief}


def _show_list(deliveries: Iterable[StoredDelivery], healths: Mapping[str, Health], zone: tzinfo | None) -> None:
    table = plain_table("when", "alert", "receiver", "how it stands")
    table.columns[1].min_width = len("id ") + 32
    for one in deliveries:
        alert = alert_text(one.alert) if one.alert else "[red]it cannot be read any more[/]"
        when = _time_text(one.settled or one.accepted, zone)
        table.add_row(
            when, f"{alert}\n[dim]id {clean(one.id)}[/]", clean(one.receiver), _state_text(one, healths, zone)
        )
    console().print(table)


def _state_text(one: StoredDelivery, healths: Mapping[str, Health], zone: tzinfo | None) -> str:
    last = attempt_text(one.reason, one.status, one.detail)
    text = ", ".join(part for part in (one.state, last) if part)
    if one.due and last:
        now, health = time.time(), healths.get(one.receiver, Health(one.receiver))
        at = max(one.due.timestamp(), health.opens_at(now))
        again = "due" if at <= now else f"again at {_time_text(datetime.fromtimestamp(at, UTC), zone)}"
        text = f"{one.state}, {'held back' if health.paused or health.gone else again}, after {last}"
    return f"[{_COLORS[one.state]}]{clean(text)}[/]"


def _time_text(time: datetime | None, zone: tzinfo | None) -> str:
    return f"{time.astimezone(zone):%m-%d %H:%M:%S}" if time else ""


def _show(
    delivery: StoredDelivery, history: Iterable[Attempt], healths: Mapping[str, Health], zone: tzinfo | None
) -> None:
    console().print(alert_text(delivery.alert) if delivery.alert else "[red]the alert cannot be read any more[/]")
    table = plain_table("", "")
    table.show_header = False
    facts = {
        "id": clean(delivery.id),
        "receiver": clean(delivery.receiver),
        "instead of": clean(", ".join(delivery.via)),
        "strategies": clean(", ".join(delivery.strategies)),
        "body": clean(delivery.body),
        "batch": clean(delivery.batch or ""),
        "accepted": _time_text(delivery.accepted, zone),
        "settled": _time_text(delivery.settled, zone),
        "attempts": str(delivery.attempts),
        "stands": _state_text(delivery, healths, zone),
    }
    for name, value in facts.items():
        if value:
            table.add_row(f"[dim]{name}[/]", value)
    console().print(table)
    table = plain_table("at", "ms", "what came of it")
    table.columns[1].justify = "right"
    for one in history:
        milliseconds = f"{one.milliseconds:g}" if one.milliseconds else ""
        text = attempt_text(one.reason or "delivered", one.status, one.detail)
        table.add_row(_time_text(one.at, zone), milliseconds, f"[{'red' if one.reason else 'green'}]{clean(text)}[/]")
    console().print(table if table.row_count else "[dim]no attempt has ended yet[/]")

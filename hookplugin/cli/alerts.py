"""`hookplugin alerts`."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime, tzinfo
from typing import Annotated, Final

import typer

from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, read_since
from hookplugin.cli.output import alert_text, clean, console, plain_table, print_json, state_text
from hookplugin.config import find_file, open_document, zone_and_outbox
from hookplugin.outbox.journal import RecentAlert
from hookplugin.outbox.opening import OutboxError, file_of
from hookplugin.outbox.store import Store

app = typer.Typer(help="The alerts that came in.", no_args_is_help=True)

_IN_MEMORY: Final = "the outbox is in memory: what came in is known to the host alone; name a file to see it here"


@app.command("list")
def list_alerts(
    since: Annotated[
        datetime, typer.Option(help="A duration back from now, or a time.", parser=read_since, metavar="SINCE")
    ] = "1d",  # type: ignore[assignment]  # the parser reads it
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List recent alerts with what became of each, also those that nobody was to hear of."""
    zone, outbox = zone_and_outbox(open_document(find_file(config)))
    path = file_of(outbox)
    if path is None:
        sys.stderr.write(f"{_IN_MEMORY}\n")
    start = since if since.tzinfo else since.replace(tzinfo=zone)
    found: list[RecentAlert] = []
    if path and path.exists():
        try:
            with closing(Store(outbox, memory_meanwhile=False)) as store:
                found = store.recent(start.timestamp())
        except OutboxError as error:
            raise CommandError(str(error), 1) from None
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    else:
        _show(found, zone)
        if path and not found:
            there = f"no alert has come in since {start.astimezone(zone):%Y-%m-%d %H:%M %Z}"
            console().print(
                f"{there} ({clean(str(path))}{'' if path.exists() else ', which does not exist yet'})", soft_wrap=True
            )


def _show(found: list[RecentAlert], zone: tzinfo | None) -> None:
    table = plain_table("received", "alert", "receiver", "what became of it")
    for one in found:
        rows = [(each.receiver, state_text(each.state, each.outcome)) for each in one.deliveries]
        rows += [(each.receiver or "nobody", f"[dim]{clean(each.reason)}[/]") for each in one.held]
        received = f"{one.received.astimezone(zone):%m-%d %H:%M:%S}"
        head = (received, f"{alert_text(one.alert)}\n[dim]id {one.alert.id}[/]")
        for receiver, became in rows:
            table.add_row(*head, clean(receiver), became)
            head = ("", "")
    if found:
        console().print(table)

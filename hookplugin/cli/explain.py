"""`hookplugin explain`."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer

from hookplugin.assembly import rehearse
from hookplugin.cli.options import (
    CommandError,
    ConfigOption,
    JsonOption,
    PayloadArgument,
    SourceOption,
    read_payload_alerts,
    read_time,
)
from hookplugin.cli.output import alert_text, clean, console, plain_table, print_json
from hookplugin.config import Config, find_file, open_document
from hookplugin.outbox.opening import MEMORY, OutboxError, file_of
from hookplugin.outbox.store import Store
from hookplugin.strategy.explain import Explanation
from hookplugin.strategy.schedule import DAYS
from hookplugin.webhook import Webhook, explain_alert, webhook_of
from hookspecs import Alert


def _time(text: str) -> datetime:
    return read_time(text, "not a time; write one like 2026-11-28T03:12, or with its zone: 2026-11-28T03:12+01:00")


def explain(  # noqa: PLR0913, PLR0917 - options of the command line
    payload: PayloadArgument = None,
    source: SourceOption = "json",
    alert_id: Annotated[
        int | None,
        typer.Option("--id", help="A recent alert, by the id that `alerts list` shows."),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            help="When; ISO 8601, in the configuration's zone. Now if left out.", parser=_time, metavar="TIME"
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Say which strategies let an alert pass, why the others do not, and what each receiver would get."""
    notes: list[str] = []
    document = open_document(find_file(config))
    with rehearse(document, lambda checked: _readable(checked, notes)) as (plugins, checked):
        webhook = webhook_of(plugins.context)
        if webhook and alert_id is not None:
            alerts = [_recent(webhook, alert_id)]
        else:
            alerts, problems = read_payload_alerts(payload, source, plugins.context, code=2)
            notes += problems
        found = [explain_alert(plugins.context, alert, at) for alert in alerts]
    if as_json:
        print_json([_as_json(one, notes) for one in found])
        return
    for one in found:
        _show(one, checked.timezone)
    for note in notes:
        console().print(f"[yellow]{clean(note)}[/]", soft_wrap=True)
    if not found:
        console().print("the payload holds no alert")


def _readable(config: Config, notes: list[str]) -> str:
    """Return the outbox if it can be read: it knows what was told before; never make one."""
    path = file_of(config.outbox)
    if path is None or not path.exists():
        return MEMORY
    try:
        Store(config.outbox, memory_meanwhile=False).close()
    except OutboxError as error:
        notes.append(f"{error}: what was told before is not known")
        return MEMORY
    return config.outbox


def _recent(webhook: Webhook, alert_id: int) -> Alert:
    """Return the last alert of that id: the firing and its recovery share one."""
    for one in reversed(webhook.store.recent(0)):
        if one.alert.id == alert_id:
            return one.alert
    message = f"no recent alert has the id {alert_id}; `hookplugin alerts list` shows them"
    raise CommandError(message)


def _as_json(found: Explanation, notes: list[str]) -> dict[str, Any]:
    alert = found.alert.model_dump(mode="json", exclude_none=True, exclude={"raw"})
    return found.model_dump(mode="json", exclude={"alert"}) | {"alert": alert, "notes": [*notes, *found.notes]}


def _show(found: Explanation, zone: tzinfo | None) -> None:
    at = found.at.astimezone(zone)
    console().print(f"\n{alert_text(found.alert)}")
    console().print(f"[dim]at {DAYS[at.weekday()].capitalize()} {at:%Y-%m-%d %H:%M %Z}[/]\n")
    table = plain_table("", "strategy", "")
    for one in found.strategies:
        mark = "[green]✓[/]" if one.matched else "[dim]–[/]"
        told = [f"[dim]{clean(one.reason)}[/]"] if one.reason else ["[green]matches[/]"]
        told += [f"[yellow]{clean(line)}[/]" for line in (*one.failures, *one.impossible)]
        table.add_row(mark, clean(one.strategy), "\n".join(told))
    console().print(table if found.strategies else "[yellow]there is no strategy: nobody hears of anything[/]")
    console().print()
    table = plain_table("", "receiver", "")
    for each in found.receivers:
        if each.body:
            gets = f"[green]body {clean(each.body)}[/], by {clean(', '.join(each.strategies))}"
            table.add_row("[green]✓[/]", clean(each.receiver), gets)
        else:
            color = "yellow" if each.receiver in found.unassociated else "dim"
            table.add_row("[dim]–[/]", clean(each.receiver), f"[{color}]{clean(each.reason or '')}[/]")
    console().print(table if found.receivers else "[yellow]there is no receiver[/]")
    for note in found.notes:
        console().print(f"[yellow]{clean(note)}[/]", soft_wrap=True)

"""`hookplugin fire`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape

from hookplugin.cli.options import CommandError, ConfigOption, JsonOption, PayloadArgument, SourceOption, read_payload
from hookplugin.cli.output import console, plain_table, print_json
from hookplugin.config import find_file
from hookplugin.delivery.deliverer import outcome_text
from hookplugin.host import Host
from hookplugin.receipt import Receipt
from hookplugin.sources import PayloadError, UnknownSourceError
from hookplugin.values import parse_duration
from hookspecs import Alert, Delivery, Outcome


def _seconds(text: str) -> float:
    try:
        return 0.0 if text in {"0", "0s"} else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def fire(
    payload: PayloadArgument = "-",
    source: SourceOption = "json",
    wait: Annotated[
        float,
        typer.Option(help="How long to wait for outcomes.", parser=_seconds, metavar="DURATION", show_default="30s"),
    ] = 30.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Fire the alerts of a payload, and wait until they are delivered or dead."""
    file = find_file(config)
    content = read_payload(payload)
    with Host.from_file(file) as host:  # leaving it ends the attempts that are under way
        try:
            receipt = host.receive(source, content)
        except UnknownSourceError as error:
            raise CommandError(str(error)) from None
        except PayloadError as error:
            message = f"{'standard input' if payload == '-' else payload}: {error}"
            raise CommandError(message, 1) from None
        outcomes = host.wait(receipt, wait)
        if as_json:
            print_json(_as_json(receipt, outcomes))
        else:
            _show(receipt, outcomes)
    delivered = all(outcome and outcome.state == "delivered" for outcome in outcomes.values())
    if receipt.refused or not delivered:
        raise typer.Exit(1)


def _as_json(receipt: Receipt, outcomes: Mapping[str, Outcome | None]) -> dict[str, object]:
    deliveries = []
    for delivery in receipt.deliveries:
        outcome = outcomes.get(delivery.id)
        found = outcome.model_dump(mode="json") if outcome else {"state": _unsettled(delivery, outcomes)}
        known = delivery.model_dump(mode="json", include={"id", "receiver", "body", "strategies"})
        deliveries.append(known | _alert_json(delivery.alert) | found)
    return {
        "deliveries": deliveries,
        "durable": receipt.durable,
        "suppressed": [_alert_json(one.alert) | {"reason": one.reason} for one in receipt.suppressed],
        "refused": [_alert_json(one.alert) | {"reason": one.reason} for one in receipt.refused],
    }


def _unsettled(delivery: Delivery, outcomes: Mapping[str, Outcome | None]) -> str:
    """Say what became of a delivery without an outcome: it waits, or the plugin that took it makes it by itself."""
    return "pending" if delivery.id in outcomes else "accepted"


def _alert_json(alert: Alert | None) -> dict[str, object]:
    return {"alert": alert.id, "content": alert.content} if alert else {"alert": None, "content": None}


def _show(receipt: Receipt, outcomes: Mapping[str, Outcome | None]) -> None:
    table = plain_table("alert", "receiver", "outcome", "ms")
    table.columns[-1].justify = "right"
    for delivery in receipt.deliveries:
        outcome = outcomes.get(delivery.id)
        state = outcome.state if outcome else _unsettled(delivery, outcomes)
        result = escape(outcome_text(outcome)) if outcome else state
        took = f"{outcome.milliseconds:g}" if outcome else ""
        color = {"dead": "red", "pending": "yellow"}.get(state, "green")
        table.add_row(escape(delivery.alert.content), escape(delivery.receiver), f"[{color}]{result}[/]", took)
    for unsent, color in ((receipt.suppressed, "dim"), (receipt.refused, "red")):
        for one in unsent:
            content = one.alert.content if one.alert else "the payload"
            table.add_row(escape(content), "nobody", f"[{color}]{escape(one.reason)}[/]", "")
    if table.row_count:
        console().print(table)
    else:
        console().print("the payload holds no alert")

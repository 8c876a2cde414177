"""`hookplugin fire`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from hookplugin.cli.common import (
    ConfigOption,
    JsonOption,
    PayloadArgument,
    SourceOption,
    console,
    plain_table,
    print_json,
    read_payload,
    usage_error,
)
from hookplugin.config import find_file
from hookplugin.delivery.deliverer import outcome_text
from hookplugin.host import Host
from hookplugin.receipt import Receipt
from hookplugin.sources import PayloadError, UnknownSourceError
from hookplugin.values import parse_duration
from hookspecs import Outcome


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
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
    host = Host.from_file(file)
    try:
        receipt = host.receive(source, content)
        outcomes = host.wait(receipt, wait)
    except UnknownSourceError as error:
        usage_error(str(error))
    except PayloadError as error:
        sys.stderr.write(f"{payload}: {error}\n")
        raise typer.Exit(1) from None
    finally:
        host.close(0)
    if as_json:
        print_json(_as_json(receipt, outcomes))
    else:
        _show(receipt, outcomes)
    delivered = all(outcome and outcome.state == "delivered" for outcome in outcomes.values())
    if receipt.refused or not delivered:
        raise typer.Exit(1)


def _as_json(receipt: Receipt, outcomes: dict[str, Outcome | None]) -> dict[str, object]:
    deliveries = []
    for delivery in receipt.deliveries:
        outcome = outcomes.get(delivery.id)
        found = outcome.model_dump(mode="json") if outcome else {"state": "pending"}
        deliveries.append({**delivery.model_dump(mode="json", exclude={"alert"}), "alert": delivery.alert.id, **found})
    return {
        "deliveries": deliveries,
        "durable": receipt.durable,
        **{
            name: [{"alert": one.alert.id if one.alert else None, "reason": one.reason} for one in unsent]
            for name, unsent in (("suppressed", receipt.suppressed), ("refused", receipt.refused))
        },
    }


def _show(receipt: Receipt, outcomes: dict[str, Outcome | None]) -> None:
    table = plain_table("alert", "receiver", "outcome", "ms")
    for delivery in receipt.deliveries:
        outcome = outcomes.get(delivery.id)
        if outcome is None:
            result, took = "[yellow]pending[/]", ""
        else:
            color = "green" if outcome.state == "delivered" else "red"
            result, took = f"[{color}]{outcome.state}[/], {escape(outcome_text(outcome))}", f"{outcome.milliseconds:g}"
        table.add_row(escape(delivery.alert.content), escape(delivery.receiver), result, took)
    for unsent, color in ((receipt.suppressed, "dim"), (receipt.refused, "red")):
        for one in unsent:
            content = one.alert.content if one.alert else ""
            table.add_row(escape(content), "nobody", f"[{color}]{escape(one.reason)}[/]", "")
    console().print(table)
    if not receipt.deliveries and not receipt.suppressed and not receipt.refused:
        console().print("the payload holds no alert")

"""`hookplugin test`."""

from __future__ import annotations

import secrets
from math import inf
from typing import Annotated, Final

import typer
from rich.markup import escape

from hookplugin.assembly import rehearse
from hookplugin.cli.options import ConfigOption, JsonOption, receiver_named
from hookplugin.cli.output import console, print_json
from hookplugin.config import find_file, open_document
from hookplugin.delivery.deliverer import outcome_text
from hookplugin.outbox.rows import Claimed
from hookplugin.webhook import deliverer_of
from hookspecs import Alert, Delivery

ALERT: Final = Alert(
    content="This is a test of hookplugin; nothing is wrong.", target="hookplugin.test", tags={"test": "true"}
)


def send_test(
    receiver: Annotated[str, typer.Argument(help="The name of the receiver.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Send one marked alert to a receiver, once, past strategies and outbox."""
    with rehearse(open_document(find_file(config))) as (plugins, checked):
        found = receiver_named(checked, receiver)
        delivery = Delivery(id=f"test{secrets.token_hex(12)}", alert=ALERT, receiver=receiver, body=found.body)
        claimed = Claimed(delivery.id, (delivery,), expires=inf)
        outcome = deliverer_of(checked, plugins.context).deliver(claimed).outcome
    if as_json:
        print_json({"id": delivery.id, "receiver": receiver, **outcome.model_dump(mode="json")})
    else:
        mark = "[green]✓[/]" if outcome.state == "delivered" else "[red]✗[/]"
        text = escape(outcome_text(outcome))
        console().print(f"{mark} {escape(receiver)}: {text}, {outcome.milliseconds:g} ms", soft_wrap=True)
    if outcome.state != "delivered":
        raise typer.Exit(1)

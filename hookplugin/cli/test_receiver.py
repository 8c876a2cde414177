"""`hookplugin test`."""

from __future__ import annotations

import secrets
from math import inf
from typing import Annotated, Final

import typer
from rich.markup import escape

from hookplugin.assembly import rehearse
from hookplugin.cli.options import CommandError, ConfigOption, JsonOption
from hookplugin.cli.output import console, print_json
from hookplugin.config import find_file, open_document
from hookplugin.delivery.deliverer import outcome_text
from hookplugin.outbox.rows import Claimed
from hookplugin.problems import nearest
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
        found = next((one for one in checked.receivers if one.name == receiver), None)
        if found is None:
            names = [one.name for one in checked.receivers]
            message = f"unknown receiver {receiver!r}{nearest(receiver, names)}"
            raise CommandError(message)
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

"""`hookplugin fire`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hookplugin.cli.options import (
    CommandError,
    ConfigOption,
    JsonOption,
    PayloadArgument,
    SourceOption,
    WaitOption,
    read_payload_alerts,
)
from hookplugin.config import find_file, open_document, zone_and_outbox
from hookplugin.document import ConfigError
from hookplugin.host import Host
from hookplugin.outbox.opening import MEMORY

if TYPE_CHECKING:
    from hookplugin.receipt import Receipt

_MEANWHILE: Final = 5.0  # seconds for delivering what cannot be stored: who starts us may wait for 30 only


def fire(  # noqa: PLR0913, PLR0917 - options of the command line
    payload: PayloadArgument = None,
    source: SourceOption = "json",
    wait: WaitOption = 30.0,
    queue: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--queue", help="Return as soon as it is stored; `hookplugin worker` delivers.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Fire the alerts of a payload, and wait until they are delivered or dead."""
    file = find_file(config)
    try:
        host = Host.from_file(file, dispatch=False if queue else None)
    except ConfigError:
        if queue and zone_and_outbox(open_document(file))[1] == MEMORY:
            message = "--queue needs an outbox file: what waits in memory ends with this command"
            raise CommandError(message) from None
        raise
    try:
        alerts, problems = read_payload_alerts(payload, source, host.context, code=1)
        receipt = host.fire_all(alerts).refusing(problems)
        stored = queue and receipt.durable
        patience = min(wait, _MEANWHILE) if queue else wait
        outcomes = dict.fromkeys(receipt.accepted) if stored else host.wait(receipt, patience)
        if stored and not receipt.refused and not as_json:
            _say_stored(receipt)
        else:
            from hookplugin.cli.showing import show  # noqa: PLC0415 - Nagios waits for us, and nobody looks

            show(host, alerts, receipt, outcomes, as_json=as_json)
    finally:
        left = host.close(0) if queue else host.close()  # ends the attempts that are under way
    delivered = [one for one in outcomes.values() if one and one.state == "delivered"]
    if not as_json and not stored and queue:
        message = f"it could not be stored; delivered from memory: {len(delivered)} of {len(outcomes)}"
        message += "" if len(delivered) == len(outcomes) else "; the others are lost with this command"
        raise CommandError(message, 1)
    if left and not as_json and not stored:
        from hookplugin.cli.showing import show_left  # noqa: PLC0415 - as above

        show_left(left, durable=receipt.durable)
    if receipt.refused or not (stored if queue else len(delivered) == len(outcomes)):
        raise typer.Exit(1)


def _say_stored(receipt: Receipt) -> None:
    """Say for whom something is stored, or why for nobody, in a line of plain text: nothing else is imported for it."""
    counts = Counter(delivery.receiver for delivery in receipt.deliveries)
    told = ", ".join(f"{count} for {receiver}" for receiver, count in counts.items())
    reasons = ", ".join(dict.fromkeys(one.reason for one in receipt.suppressed))
    line = f"stored: {told}" if told else f"nobody hears of it: {reasons or 'the payload holds no alert'}"
    sys.stdout.write("".join(one if one.isprintable() else "\ufffd" for one in line) + "\n")

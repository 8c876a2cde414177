"""What `hookplugin fire` shows of what became of alerts; it is imported only where something is shown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from hookplugin.cli.output import alert_text, attempt_text, clean, console, plain_table, print_json, state_text
from hookplugin.cli.receiver import show_health
from hookplugin.delivery.health import read_health
from hookplugin.host import Host
from hookplugin.outbox import listing
from hookplugin.outbox.listing import StoredDelivery
from hookplugin.outbox.opening import OutboxError
from hookplugin.receipt import Receipt
from hookplugin.webhook import webhook_of
from hookspecs import Alert, Delivery, Outcome

_MOST_ALERTS: Final = 5  # of which `fire` says why nobody hears of them
_MOST_REASONS: Final = 10  # strategies of which it says so


def show(
    host: Host, alerts: Sequence[Alert], receipt: Receipt, outcomes: Mapping[str, Outcome | None], *, as_json: bool
) -> None:
    """Show what became of alerts, and why nobody hears of those that nobody hears of."""
    failures = _last_failures(host, outcomes)
    if as_json:
        print_json(_as_json(receipt, outcomes, failures))
    else:
        _show_table(alerts, receipt, outcomes, failures)
        _show_health(host, receipt, outcomes)
        _show_reasons(host, receipt)


def show_left(left: int, *, durable: bool) -> None:
    """Say what became of deliveries that the command has left."""
    if durable:
        console().print(f"[yellow]waiting in the outbox: {left}[/]; `hookplugin worker` goes on with them")
    else:
        console().print(f"[red]lost with this command: {left}[/]; they were kept in memory only")


def _last_failures(host: Host, outcomes: Mapping[str, Outcome | None]) -> dict[str, StoredDelivery]:
    """Return what failed, and waits for another attempt, by id."""
    waiting = [one for one, outcome in outcomes.items() if outcome is None]
    webhook = webhook_of(host.context)
    if not (waiting and webhook):
        return {}
    with suppress(OutboxError):
        found = webhook.store.read(lambda connection: [listing.find(connection, one) for one in waiting])
        rows = [seq for seq in found if seq is not None]
        stored = webhook.store.read(lambda connection: [listing.show(connection, seq)[0] for seq in rows])
        return {one.id: one for one in stored if one.reason}
    return {}


def _show_health(host: Host, receipt: Receipt, outcomes: Mapping[str, Outcome | None]) -> None:
    """Say what is the matter with receivers that have not heard."""
    names = {one.receiver for one in receipt.deliveries if one.id in outcomes and outcomes[one.id] is None}
    webhook = webhook_of(host.context)
    if names and webhook:
        with suppress(OutboxError):
            healths = webhook.store.read(read_health)
            show_health([healths[one] for one in sorted(names & healths.keys())], time.time(), host.context.timezone)


def _as_json(
    receipt: Receipt, outcomes: Mapping[str, Outcome | None], failures: Mapping[str, StoredDelivery]
) -> dict[str, object]:
    deliveries = []
    for delivery in receipt.deliveries:
        outcome = outcomes.get(delivery.id)
        found = outcome.model_dump(mode="json") if outcome else {"state": _unsettled(delivery, outcomes)}
        if delivery.id in failures:
            found |= failures[delivery.id].model_dump(mode="json", include={"reason", "status", "detail", "attempts"})
        known = delivery.model_dump(mode="json", include={"id", "receiver", "body", "strategies"})
        deliveries.append(known | _alert_json(delivery.alert) | found)
    return {
        "deliveries": deliveries,
        "durable": receipt.durable,
        "suppressed": [
            _alert_json(one.alert) | {"receiver": one.receiver, "reason": one.reason} for one in receipt.suppressed
        ],
        "refused": [_alert_json(one.alert) | {"reason": one.reason} for one in receipt.refused],
    }


def _unsettled(delivery: Delivery, outcomes: Mapping[str, Outcome | None]) -> str:
    """Say what became of a delivery without an outcome: it waits, or the plugin that took it makes it by itself."""
    return "pending" if delivery.id in outcomes else "accepted"


def _alert_json(alert: Alert | None) -> dict[str, object]:
    return {"alert": alert.id, "content": alert.content} if alert else {"alert": None, "content": None}


def _show_table(
    alerts: Sequence[Alert],
    receipt: Receipt,
    outcomes: Mapping[str, Outcome | None],
    failures: Mapping[str, StoredDelivery],
) -> None:
    table = plain_table("alert", "receiver", "outcome", "ms")
    table.columns[-1].justify = "right"
    told = [delivery.alert for delivery in receipt.deliveries]  # by a plugin perhaps, of a copy
    for alert in {id(alert): alert for alert in (*alerts, *told)}.values():
        head = alert_text(alert)
        for delivery in receipt.deliveries:
            if delivery.alert is alert:
                table.add_row(head, clean(delivery.receiver), *_outcome(delivery, outcomes, failures))
                head = ""
        for unsent, color in ((receipt.suppressed, "dim"), (receipt.refused, "red")):
            for one in unsent:
                if one.alert is alert:
                    table.add_row(head, clean(one.receiver or "nobody"), f"[{color}]{clean(one.reason)}[/]", "")
                    head = ""
    for one in receipt.refused:
        if one.alert is None:
            table.add_row("[dim]not read[/]", "nobody", f"[red]{clean(one.reason)}[/]", "")
    console().print(table if table.row_count else "the payload holds no alert")


def _outcome(
    delivery: Delivery, outcomes: Mapping[str, Outcome | None], failures: Mapping[str, StoredDelivery]
) -> tuple[str, str]:
    outcome, last = outcomes.get(delivery.id), failures.get(delivery.id)
    state = outcome.state if outcome else _unsettled(delivery, outcomes)
    after = f", after {clean(attempt_text(last.reason, last.status, last.detail))}" if last else ""
    return state_text(state, outcome) + after, f"{outcome.milliseconds:g}" if outcome else ""


def _show_reasons(host: Host, receipt: Receipt) -> None:
    """Say why nobody hears of the first few alerts that nobody hears of."""
    unheard = [one.alert for one in receipt.suppressed if one.alert and one.receiver is None]
    for alert in unheard[:_MOST_ALERTS]:
        strategies = host.explain(alert).strategies
        if not strategies:
            continue
        console().print(f"\nwhy nobody hears of {alert_text(alert)}")
        table = plain_table("strategy", "")
        for one in strategies[:_MOST_REASONS]:
            table.add_row(clean(one.strategy), f"[dim]{clean(one.reason or '')}[/]")
        console().print(table)
        if len(strategies) > _MOST_REASONS:
            console().print(f"[dim]and {len(strategies) - _MOST_REASONS} more; hookplugin explain has them all[/]")
    if len(unheard) > _MOST_ALERTS:
        console().print(f"\nand {len(unheard) - _MOST_ALERTS} more alerts; hookplugin explain says why")

"""How `hookplugin deliveries replay` delivers again what was settled, and waits for it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from hookplugin.cli.output import clean, console, plain_table, state_text
from hookplugin.cli.receiver import committed, receiver_command
from hookplugin.delivery.health import read_health
from hookplugin.delivery.receiver import Retry
from hookplugin.host import Host
from hookplugin.outbox import listing
from hookplugin.outbox.store import Store
from hookplugin.values import duration_text
from hookplugin.webhook import Webhook, webhook_of
from hookspecs import Outcome

_FEW: Final = 20  # deliveries that are shown one by one
_MANY: Final = 100  # above which a bar shows how far it is
_LOOK: Final = 0.5  # seconds until it is seen again how far it is
_MAX_AGE: Final = Retry().max_age  # where no receiver says one


@dataclass(frozen=True, slots=True)
class Replayed:
    """Hold what became of what was replayed."""

    results: list[dict[str, Any]] = field(default_factory=list)
    """The id, the receiver, and the outcome of each."""
    notes: list[str] = field(default_factory=list)
    """Why some of them wait."""
    dispatched: bool = False
    """Whether this process delivered."""


def make_again(store: Store, file: Path, seqs: Sequence[int], seconds: float, *, delivered: bool) -> Replayed:
    """Replay rows of an outbox, and wait for their outcomes for at most this time.

    Args:
        store: the outbox of that configuration.
        file: the configuration.
        seqs: the rows.
        seconds: how long to wait.
        delivered: whether what is delivered is replayed, too.

    Raises:
        ConfigError: the configuration is wrong; nothing is replayed.
        OutboxError: the storage fails.

    """
    host = Host.from_file(file)  # starts no thread yet
    try:
        webhook = webhook_of(host.context) if host.config.dispatch else None
        ages = {one.name: one.retry.max_age for one in host.config.receivers}
        replayed = _replay(store, seqs, lambda receiver: ages.get(receiver, _MAX_AGE), delivered=delivered)
        paused = {name for name, health in store.read(read_health).items() if health.paused}
        if webhook and replayed:
            host.resume()
            _wait(webhook, [one for one, receiver in replayed if receiver in ages and receiver not in paused], seconds)
    finally:
        host.close()
    outcomes = store.outcomes(one for one, _ in replayed)
    results = [_result(one, receiver, outcomes) for one, receiver in replayed]
    notes = []
    for receiver, count in Counter(one["receiver"] for one in results if one["state"] == "pending").items():
        if receiver not in ages:
            end = f"nobody hears, and after {duration_text(_MAX_AGE)} they are given up"
            notes.append(f"{count} to {receiver!r} wait, but no such receiver is configured: {end}")
        elif receiver in paused:
            notes.append(f"{count} to {receiver!r} wait until {receiver_command('resume', receiver)}")
        elif webhook:
            notes.append(f"{count} to {receiver!r} wait for another attempt; `hookplugin worker` goes on with them")
        else:
            notes.append(f"{count} to {receiver!r} wait for `hookplugin worker`")
    return Replayed(results, notes, webhook is not None)


def _replay(
    store: Store, seqs: Sequence[int], max_age: Callable[[str], float], *, delivered: bool
) -> list[tuple[str, str]]:
    replayed = []
    for step in store.read(lambda connection: listing.steps(connection, seqs)):
        again = partial(listing.replay, seqs=step, max_age=max_age, now=store.now(), delivered=delivered)
        replayed += committed(store, again)
    return replayed


def _wait(webhook: Webhook, ids: Sequence[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    left = list(ids)
    with _progress(len(ids)) as show_settled:
        while left and (remaining := deadline - time.monotonic()) > 0:
            webhook.wait(left[: listing.STEP], min(remaining, _LOOK))
            parts = (left[start : start + listing.STEP] for start in range(0, len(left), listing.STEP))
            left = [one for part in parts for one, outcome in webhook.wait(part, 0.0).items() if outcome is None]
            show_settled(len(ids) - len(left))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far it is, if it may take a while."""
    if total <= _MANY or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress  # noqa: PLC0415 - only a long replay needs it

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("settled", total=total)
        yield lambda settled: bar.update(task, completed=settled)


def _result(delivery_id: str, receiver: str, outcomes: Mapping[str, Outcome | None]) -> dict[str, Any]:
    outcome = outcomes.get(delivery_id)
    state = "pending" if delivery_id in outcomes else "forgotten"
    return {"id": delivery_id, "receiver": receiver} | (
        outcome.model_dump(mode="json") if outcome else {"state": state}
    )


def show_replayed(replayed: Replayed) -> None:
    """Print what became of each, or how many became what if they are many."""
    few = len(replayed.results) <= _FEW
    texts = [(clean(one["receiver"]), _text(one, few=few)) for one in replayed.results]
    table = plain_table("id" if few else "deliveries", "receiver", "outcome")
    if few:
        for one, text in zip(replayed.results, texts, strict=True):
            table.add_row(clean(one["id"]), *text)
    else:
        for text, count in Counter(texts).most_common():
            table.add_row(str(count), *text)
    console().print(table if texts else "there is nothing to replay")
    for note in replayed.notes:
        console().print(f"[yellow]{clean(note)}[/]", soft_wrap=True)


def _text(result: Mapping[str, Any], *, few: bool) -> str:
    said = {name: value for name, value in result.items() if name in Outcome.model_fields}
    if said["state"] not in {"delivered", "dead"}:
        return state_text(said["state"], None)
    return state_text(said["state"], Outcome.model_validate(said if few else said | {"detail": ""}))

"""Readiness: whether alerts can be stored and delivered now, in words that tell nobody more than that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import anyio

from hookplugin.host import Host
from hookplugin.outbox.opening import OutboxError
from hookplugin.webhook import Webhook, webhook_of

_FRESH: Final = 1.0  # seconds: anybody may ask, and each look is a write
_PATIENCE: Final = 3.0  # seconds


class Readiness:
    """Look now and then whether a host is ready."""

    def __init__(self, host: Host, has_refused: Callable[[], bool]) -> None:
        """Look at nothing yet.

        Args:
            host: that takes alerts.
            has_refused: says whether some could not be stored a moment ago.

        """
        self._host: Final = host
        self._has_refused: Final = has_refused
        self._looking: Final = asyncio.Lock()
        self._looked_at = float("-inf")
        self._reasons: list[str] = []

    async def reasons(self) -> list[str]:
        """Return why it is not ready; nothing if it is."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= _FRESH:
                self._reasons = ["the storage does not answer"]
                with anyio.move_on_after(_PATIENCE):
                    self._reasons = await anyio.to_thread.run_sync(_look, self._host, abandon_on_cancel=True)
                self._looked_at = time.monotonic()
        return [*self._reasons, *(["alerts could not be stored a moment ago"] if self._has_refused() else [])]


def _look(host: Host) -> list[str]:
    webhook = webhook_of(host.context)
    found = list(_troubles(webhook)) if webhook else ["the plugin that delivers is off"]
    required = set(host.config.plugins.required)
    if any(status.name in required and status.state != "active" for status in host.plugins):
        found.append("a required plugin is off")
    return found


def _troubles(webhook: Webhook) -> Iterator[str]:
    if not webhook.is_at_work:
        yield "the dispatcher does not run"
    written = False
    with suppress(OutboxError):
        webhook.store.try_to_write()
        written = webhook.store.durable
    if not written:
        yield "the storage cannot be written"

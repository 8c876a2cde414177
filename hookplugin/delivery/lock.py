"""A lock for each process: one that another thread held when this was forked would stay locked for ever."""

from __future__ import annotations

import os
import threading
from typing import Final


class ProcessLock:
    """Hold a lock for each process that shares this by being forked."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._locks: Final[dict[int, threading.Lock]] = {}

    @property
    def here(self) -> threading.Lock:
        """Return that of this process."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

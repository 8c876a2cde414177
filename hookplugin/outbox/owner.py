"""Owners: which process holds a claim, and whether it lives."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

_LONGEST = 10  # digits of a process
_ENDED = frozenset("ZX")  # states of a process that will do nothing any more


def owner_name() -> str:
    """Return a name for what this process claims: the boot, the PID namespace, the process, its start, and a token."""
    pid = os.getpid()
    return f"{_place()}/{pid}/{_start(pid) or ''}/{secrets.token_hex(4)}"


def has_ended(owner: str) -> bool:
    """Say whether the process of an owner has certainly ended; of another machine or container that is not known."""
    place, _, rest = owner.rpartition("/")[0].partition("/")
    number, _, start = rest.partition("/")
    if place != _place() or not number.isdecimal() or len(number) > _LONGEST:
        return False
    if _start(os.getpid()) is not None:  # there is a /proc
        return _start(int(number)) != start
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _place() -> str:
    """Name what gives processes their numbers: a boot of a machine, and the namespace in it."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{boot},{namespace}"


def _start(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; none if it has ended, or nothing is known of it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # behind the name, which may hold anything
    return None if fields[0] in _ENDED else fields[19]

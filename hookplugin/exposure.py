"""Exposure: what a configuration leaves open to others, told at each start and by `hookplugin check`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from hookplugin.config import Config
from hookplugin.delivery.receiver import Receiver
from hookplugin.document import Document
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import Problem
from hookplugin.references import FileSecret, secrets_within

_log = logging.getLogger("hookplugin")
_OTHERS_READ: Final = 0o004
_SECRET_HEADER: Final = re.compile(r"auth|token|key|secret|password|cookie", re.IGNORECASE)


def exposures(config: Config, document: Document, settings: Mapping[str, object]) -> Iterator[Problem]:
    """Find receivers that need not prove who they are, and secrets that everybody on the machine can read.

    Args:
        config: with the receivers.
        document: where it stands.
        settings: of plugins, by name, as these have read them.

    """
    for index, receiver in enumerate(config.receivers):
        if not receiver.tls.verify:
            message = f"{receiver.name!r} need not prove who it is: anyone on the way can read and answer; name its ca"
            yield Problem(("receivers", index, "tls", "verify"), message)
    if document.text is not None and (mode := _open_mode(Path(document.name))):
        names = [receiver.name for receiver in config.receivers if _is_plain(receiver)]
        names += ["serve"] if any(map(_stands_here, config.serve.passwords)) else []
        names += [name for name, own in settings.items() if any(map(_stands_here, secrets_within(own)))]
        if holders := ", ".join(map(repr, names)):
            yield Problem((), f"everybody on this machine can read this file (mode {mode}), and secrets of {holders}")
    told: set[Path] = set()
    places: list[tuple[KeyPath, Iterable[Path]]] = [
        *((("receivers", index), _files(receiver)) for index, receiver in enumerate(config.receivers)),
        (("serve",), _files_of(config.serve.passwords)),
        *((("plugins", "settings", name), _files_of(secrets_within(own))) for name, own in settings.items()),
    ]
    for where, paths in places:
        for path in paths:
            if path not in told and (mode := _open_mode(path)):
                told.add(path)
                message = f"everybody on this machine can read the secret in {str(path)!r} (mode {mode}); chmod o-r"
                yield Problem(where, message)


def log_exposures(config: Config, document: Document, settings: Mapping[str, object]) -> None:
    """Log what is left open; the arguments are those of `exposures`."""
    for line in document.locate(exposures(config, document, settings)):
        _log.warning("%s", line)


def _open_mode(path: Path) -> str | None:
    """Return the mode of a file that others can read; none if they cannot, or it is not there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return f"{mode & 0o7777:04o}" if mode & _OTHERS_READ else None


def _is_plain(receiver: Receiver) -> bool:
    """Say whether a secret of a receiver stands in the configuration itself."""
    proxy = receiver.proxy
    secrets = (
        *(value for name, value in receiver.headers.items() if _SECRET_HEADER.search(name)),
        *(receiver.auth.passwords if receiver.auth else ()),
        *receiver.secret,
        *receiver.vars.values(),
        *secrets_within(receiver.options),
        proxy if proxy and "@" in proxy.get_secret_value() else None,
    )
    return any(map(_stands_here, secrets))


def _stands_here(secret: object) -> bool:
    """Say whether a secret stands in the configuration itself."""
    return type(secret) is SecretStr


def _files(receiver: Receiver) -> Iterable[Path]:
    keys = (receiver.tls.key or receiver.tls.certificate,) if receiver.tls.certificate else ()
    return (*_files_of((receiver.address, *receiver.secrets)), *filter(None, keys))


def _files_of(secrets: Iterable[SecretStr]) -> list[Path]:
    return [secret.path for secret in secrets if isinstance(secret, FileSecret)]

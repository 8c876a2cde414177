"""References: a secret stands in the configuration itself, in the environment, or in a file that is read again."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, SecretStr, ValidationInfo

from hookplugin.problems import shown_path
from hookplugin.values import base_directory
from hookspecs.frozen import text

_log = logging.getLogger("hookplugin")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_SHELL_VARIABLE: Final = re.compile(r"\$\{?([A-Z_][A-Z0-9_]*)\}?")
_UNSETTLED: Final = 2.0  # seconds after a change, within which another one might leave no other mark

Check: TypeAlias = Callable[[str], object]
"""Raises ValueError for a secret that cannot be used, in words that do not quote it."""
Stamp: TypeAlias = tuple[int, int, int] | None
"""What tells one version of a file from another; none if it is not there."""


class EnvSecret(SecretStr):
    """Hold a secret that stands in the environment."""


class FileSecret(SecretStr):
    """Hold a secret that stands in a file; when the file changes, so does the secret.

    What cannot be used, or read, changes nothing, and is logged once: the file may be about to be replaced.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ValueError: it cannot be read.

        """
        self.path: Final = path.absolute()
        self._checks: tuple[Check, ...] = ()
        self._stamp = stamp_of(path)
        super().__init__(_read_file(path))

    def get_secret_value(self) -> str:
        """Return the secret as it is now."""
        stamp = stamp_of(self.path)
        if stamp != self._stamp:
            self._read_again(stamp)
        return self._secret_value

    def must_pass(self, check: Check) -> None:
        """Let only what passes this check, too, replace the present secret."""
        self._checks = (*self._checks, check)

    def _read_again(self, stamp: Stamp) -> None:
        self._stamp = stamp if _is_settled(stamp) else None
        try:
            found = _read_file(self.path)
            for check in (_not_empty, *self._checks):
                check(found)
        except ValueError as error:
            self._stamp = stamp
            _log.warning("the secret in %r has changed, and the former one is kept: %s", str(self.path), error)
        else:
            self._secret_value = found


def stamp_of(path: Path) -> Stamp:
    """Return what tells this version of a file from another."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _is_settled(stamp: Stamp) -> bool:
    """Say whether another change of the file would leave another stamp: clocks of file systems are coarse."""
    return stamp is None or abs(time.time() - stamp[0] / 1e9) > _UNSETTLED


def read_reference(value: object, info: ValidationInfo) -> object:
    """Replace `{env: NAME}` or `{file: PATH}` by the secret there; a file's last line end is cut.

    Raises:
        ValueError: it cannot be read, or is empty.

    """
    if isinstance(value, str) and (variable := _SHELL_VARIABLE.fullmatch(value)):
        message = f"would be sent as it stands; write {{env: {variable[1]}}}"
        raise ValueError(message)
    if not isinstance(value, Mapping):
        if isinstance(value, str):
            _note(value, info)
        return value
    if len(value) != 1 or (kind := next(iter(value))) not in {"env", "file"} or not isinstance(value[kind], str):
        message = "should be text, {env: NAME} or {file: PATH}"
        raise ValueError(message)
    found = _read_env(value[kind]) if kind == "env" else FileSecret(base_directory(info) / value[kind])
    if not found.get_secret_value():
        message = f"{kind} {value[kind]!r} is empty"
        raise ValueError(message)
    _note(found.get_secret_value(), info)
    return found


def _note(secret: str, info: ValidationInfo) -> None:
    """Let whoever reads this model know a secret, so that no error shows it."""
    noted = (info.context or {}).get("secrets")
    if isinstance(noted, list):
        noted.append(secret)


def checked(check: Check) -> AfterValidator:
    """Return what checks a secret now, and whenever its file changes."""

    def validate(secret: SecretStr) -> SecretStr:
        check(secret.get_secret_value())
        must_pass(secret, check)
        return secret

    return AfterValidator(validate)


def must_pass(secret: SecretStr, check: Check) -> None:
    """Let a secret change only to what passes a check, where it can change at all."""
    if isinstance(secret, FileSecret):
        secret.must_pass(check)


def secrets_within(value: object) -> Iterator[SecretStr]:
    """Yield the secrets in a model, a map or a list, at any depth."""
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, BaseModel):
        yield from secrets_within({**value.__dict__, **(value.__pydantic_extra__ or {})})
    elif is_dataclass(value) and not isinstance(value, type):
        yield from secrets_within([getattr(value, one.name, None) for one in fields(value)])
    elif isinstance(value, Mapping):
        yield from secrets_within(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from secrets_within(one)


def _read_env(name: str) -> EnvSecret:
    if name not in os.environ:
        # only what looks like the name of a variable is shown: a secret may stand here by mistake
        shown = repr(name) if _VARIABLE.fullmatch(name) else "named here"
        message = f"the environment variable {shown} is not set"
        raise ValueError(message)
    value = os.environ[name]
    if value != text(value):
        message = f"the environment variable {name!r} is not UTF-8 text"
        raise ValueError(message)
    return EnvSecret(value)


def _not_empty(found: str) -> None:
    if not found:
        message = "it is empty"
        raise ValueError(message)


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n")  # "\r\n" is read as "\n"
    except OSError as error:
        message = f"cannot read {shown_path(path)}: {error.strerror}"
    except UnicodeDecodeError:
        message = f"cannot read {shown_path(path)}: not UTF-8 text"
    except ValueError as error:  # a character that no path has
        message = f"cannot read {shown_path(path)}: {error}"
    raise ValueError(message)


Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(read_reference)]

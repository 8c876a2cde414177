"""The bodies that we bring, as data files in the words of the configuration."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from hookplugin.bodies.model import BodyTemplate
from hookplugin.document import load

_FOLDER: Final = files("hookplugin.bodies").joinpath("presets")

PRESETS: Final = frozenset(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))
"""The names of the bodies that we bring."""


def speaks_of_vars(name: str) -> bool:
    """Say whether one of our bodies may need secrets."""
    return "{{ vars." in _read(name)


@cache
def load_preset(name: str) -> BodyTemplate:
    """Return one of our bodies."""
    found = load(_read(name))
    assert isinstance(found, dict)  # noqa: S101 - the file is ours
    return BodyTemplate.model_validate({"name": name, **found})


def _read(name: str) -> str:
    return _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")

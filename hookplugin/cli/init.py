"""`hookplugin init`."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from hookplugin.cli.options import ConfigOption, JsonOption, writing
from hookplugin.cli.output import print_json
from hookplugin.config import DEFAULT_FILE


def template() -> str:
    """Return the configuration to start from."""
    return files("hookplugin.cli").joinpath("data/hookplugin.yaml").read_text(encoding="utf-8")


def init(
    file: Annotated[Path | None, typer.Argument(help="Where to write it.", show_default=DEFAULT_FILE)] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Write a commented configuration to start from."""
    path = file or config or Path(DEFAULT_FILE)
    with writing(path), path.open("x", encoding="utf-8") as opened:
        opened.write(template())
    if as_json:
        print_json({"written": str(path)})
        return
    suffix = "" if str(path) == DEFAULT_FILE else f" --config {path}"
    sys.stdout.write(f"{path}: written. Set the URL of your receiver in it, then:\n")
    sys.stdout.write(f"  hookplugin check{suffix}\n  hookplugin test ops{suffix}\n")

"""What the commands that add to the configuration have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hookplugin.assembly import assemble
from hookplugin.cli.output import print_json
from hookplugin.config import find_file
from hookplugin.document import ConfigError
from hookplugin.editing import add_item
from hookplugin.problems import Problem


def add_to_config(
    config: Path | None, kind: Literal["receiver", "strategy"], item: Mapping[str, Any], message: str, *, as_json: bool
) -> None:
    """Add a receiver or a strategy to the configuration, and say where it stands.

    Args:
        config: the file, if one is named.
        kind: of the item.
        item: its keys and values.
        message: what to say of it.
        as_json: whether that is written as JSON.

    Raises:
        ConfigError: it cannot be added; nothing is changed.

    """
    path = find_file(config)
    section = {"receiver": "receivers", "strategy": "strategies"}[kind]
    try:
        document = add_item(path, section, item, assemble)
    except ConfigError as error:  # its advice is what was to be added
        url = item.get("url")
        raise ConfigError(one.replace(url, "URL") if isinstance(url, str) else one for one in error.problems) from None
    if as_json:
        print_json({"file": str(path), kind: item["name"]})
        return
    whole: Any = document.data
    (line,) = document.locate([Problem((section, len(whole[section]) - 1), message)])
    sys.stdout.write(f"{line}\n")

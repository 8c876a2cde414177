"""`hookplugin plugins`."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from hookplugin.cli.common import ConfigOption, JsonOption, console, plain_table, print_json
from hookplugin.config import DEFAULT_FILE, Config, find_file, open_document
from hookplugin.discovery import PluginStatus
from hookplugin.document import ConfigError, Document
from hookplugin.host import rehearse


def document_or_none(config: Path | None) -> Document:
    """Return the configuration; an empty one where none is named and none is here.

    Raises:
        ConfigError: the one that is named cannot be read.

    """
    try:
        path = find_file(config)
    except ConfigError:
        return Document(Config(), DEFAULT_FILE)
    return open_document(path)


def plugins(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the installed plugins: state and why, hooks, what each offers."""
    with rehearse(document_or_none(config)) as (loaded, _):
        statuses = loaded.statuses
    if as_json:
        print_json([status.model_dump(mode="json") for status in statuses])
        return
    table = plain_table("plugin", "package", "state", "hooks", "offers")
    for status in statuses:
        hooks = ", ".join(hook.removeprefix("alert_") for hook in status.hooks)
        table.add_row(status.name, _package(status), _state(status), hooks, ", ".join(status.offers))
    console().print(table)


def _package(status: PluginStatus) -> str:
    return " ".join(part for part in (status.package, status.version) if part)


def _state(status: PluginStatus) -> str:
    color = {"active": "green", "disabled": "yellow", "failed": "red"}[status.state]
    reason = f": {escape(status.reason)}" if status.reason else ""
    return f"[{color}]{status.state}[/]{reason}"

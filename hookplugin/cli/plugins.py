"""`hookplugin plugins`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rich.markup import escape

from hookplugin.assembly import load_plugins, rehearse
from hookplugin.cli.options import ConfigOption, JsonOption
from hookplugin.cli.output import console, plain_table, print_json
from hookplugin.config import DEFAULT_FILE, ENVIRONMENT, Config, find_file, open_document
from hookplugin.discovery import PluginStatus
from hookplugin.document import ConfigError, Document


def plugins(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the installed plugins: state and why, hooks, what each offers."""
    logging.getLogger("hookplugin").setLevel(logging.ERROR)  # the table says it
    statuses, mistakes = _statuses(config)
    if as_json:
        print_json([status.model_dump(mode="json") for status in statuses])
    else:
        _show(statuses)
    if mistakes:
        raise mistakes


def _statuses(config: Path | None) -> tuple[tuple[PluginStatus, ...], ConfigError | None]:
    """Return the plugins under a configuration, or as far as they come under one that is wrong."""
    document = Document(Config())
    try:
        if config or ENVIRONMENT in os.environ or Path(DEFAULT_FILE).exists():
            document = open_document(find_file(config))
        with rehearse(document) as (loaded, _):
            return loaded.statuses, None
    except ConfigError as error:
        return load_plugins(document).statuses, error


def _show(statuses: tuple[PluginStatus, ...]) -> None:
    table = plain_table("plugin", "package", "state", "hooks", "offers")
    for status in statuses:
        package = " ".join(part for part in (status.package, status.version) if part)
        color = {"active": "green", "disabled": "yellow", "failed": "red"}[status.state]
        hooks = ", ".join(hook.removeprefix("alert_") for hook in status.hooks)
        offers = ", ".join(status.offers)
        table.add_row(escape(status.name), escape(package), f"[{color}]{status.state}[/]", hooks, escape(offers))
    console().print(table)
    for status in statuses:
        if status.state == "failed":
            console().print(f"[red]{escape(status.name)}[/]: {escape(status.reason or '')}", soft_wrap=True)

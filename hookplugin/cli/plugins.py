"""`hookplugin plugins`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

import typer

from hookplugin.assembly import load_plugins, rehearse
from hookplugin.cli.new_plugin import new
from hookplugin.cli.options import ConfigOption, JsonOption
from hookplugin.cli.output import clean, console, plain_table, print_json
from hookplugin.cli.settings import settings_of
from hookplugin.config import DEFAULT_FILE, ENVIRONMENT, Config, find_file, open_document, zone_and_outbox
from hookplugin.discovery import PluginStatus
from hookplugin.document import ConfigError, Document
from hookplugin.logs import silence
from hookplugin.outbox import counters
from hookplugin.outbox.opening import OutboxError, file_of
from hookplugin.outbox.store import Store

_LONGEST: Final = 2000  # characters of a reason, which may hold several lines of the configuration

app = typer.Typer(invoke_without_command=True)
app.command("new")(new)

_Counted: TypeAlias = Mapping[tuple[str, ...], float]
"""How often a plugin failed, and where: a hook, or what it offers."""


@app.callback()
def list_plugins(
    called: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the installed plugins: state and why, hooks, offers, settings, failures; `new` writes one."""
    if called.invoked_subcommand:
        return
    with silence():
        statuses, counted, mistakes = _look(config)
    if as_json:
        print_json([_as_json(status, counted) for status in statuses])
    else:
        _show(statuses)
        _show_settings(statuses)
        _show_failures(statuses, counted)
    if mistakes:
        raise mistakes


def _look(config: Path | None) -> tuple[tuple[PluginStatus, ...], _Counted, ConfigError | None]:
    """Return the plugins under a configuration, or as far as they come under one that is wrong, and what failed."""
    document = Document(Config())
    counted: _Counted = {}
    try:
        if config or ENVIRONMENT in os.environ or Path(DEFAULT_FILE).exists():
            document = open_document(find_file(config))
            counted = _counted(document)
        with rehearse(document) as (loaded, _):
            return loaded.statuses, counted, None
    except ConfigError as error:
        return load_plugins(document).statuses, counted, error


def _counted(document: Document) -> _Counted:
    """Return what all processes of the outbox counted; nothing if it is in memory, or not there yet."""
    _, outbox = zone_and_outbox(document)
    path = file_of(outbox)
    try:
        if path and path.exists():
            with closing(Store(outbox, memory_meanwhile=False)) as store:
                return store.read(counters.read).get("plugin_failures", {})
    except OutboxError as error:
        sys.stderr.write(f"what plugins failed at is not known: {error}\n")
    return {}


def _as_json(status: PluginStatus, counted: _Counted) -> dict[str, object]:
    total = {where: int(times) for (plugin, where), times in counted.items() if plugin == status.name}
    return {**status.model_dump(mode="json"), "failures_total": total}


def _show(statuses: Iterable[PluginStatus]) -> None:
    table = plain_table("plugin", "package", "state", "hooks", "offers")
    for status in statuses:
        package = " ".join(part for part in (status.package, status.version) if part)
        color = {"active": "green", "disabled": "yellow", "failed": "red"}[status.state]
        hooks = ", ".join(hook.removeprefix("alert_") for hook in status.hooks)
        offers = "\n".join(map(clean, status.offers))
        table.add_row(clean(status.name), clean(package), f"[{color}]{status.state}[/]", hooks, offers)
    console().print(table)


def _show_settings(statuses: Iterable[PluginStatus]) -> None:
    for status in statuses:
        if status.settings is None:
            continue
        console().print(f"\n[bold]plugins.settings.{clean(status.name)}[/]")
        table = plain_table("setting", "type", "default", "what it is")
        for setting in settings_of(status.settings):
            table.add_row(*map(clean, setting))
        console().print(table if table.row_count else "[dim]none[/]")


def _show_failures(statuses: Iterable[PluginStatus], counted: _Counted) -> None:
    """Show what was counted, and at the end what keeps plugins off."""
    table = plain_table("failed", "in", "times")
    for (plugin, where), times in sorted(counted.items()):
        table.add_row(clean(plugin), clean(where), f"{times:.0f}")
    if table.row_count:
        console().print("", table)
    for status in statuses:
        if status.state == "failed":
            reason = clean(status.reason or "", _LONGEST)
            console().print(f"[red]{clean(status.name)}[/]: {reason}", soft_wrap=True)

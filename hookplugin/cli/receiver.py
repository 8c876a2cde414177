"""`hookplugin receiver`."""

from __future__ import annotations

import shlex
from typing import Annotated
from urllib.parse import urlsplit

import typer
import yaml

from hookplugin.assembly import assemble
from hookplugin.cli.adding import add_to_config
from hookplugin.cli.options import ConfigOption, JsonOption
from hookplugin.cli.output import clean, console, plain_table, print_json
from hookplugin.config import find_file, open_document
from hookplugin.document import load

app = typer.Typer(help="The receivers of the configuration.", no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    url: Annotated[str, typer.Argument(help="Where to POST; or '{env: NAME}', '{file: PATH}' to keep it elsewhere.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Add a receiver to the configuration; a strategy has to name it before it hears of anything."""
    next_step = f"  hookplugin strategy add NAME --receiver {shlex.quote(name)}"
    message = f"{name!r} was added; it hears of nothing until a strategy names it:\n{next_step}"
    add_to_config(config, "receiver", {"name": name, "url": _reference(url)}, message, as_json=as_json)


@app.command("list")
def list_receivers(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the receivers, and the strategies that name each."""
    _, checked = assemble(open_document(find_file(config)))
    rows = []
    for receiver in checked.receivers:
        parts = urlsplit(receiver.url.get_secret_value())
        naming = [one for one in checked.strategies if receiver.name in one.receivers]
        rows.append(
            {
                "name": receiver.name,
                "address": f"{parts.scheme}://{parts.netloc}",  # the rest of it may be a secret
                "body": receiver.body,
                "strategies": [one.name for one in naming if one.enabled],
                "disabled": [one.name for one in naming if not one.enabled],
            }
        )
    if as_json:
        print_json(rows)
        return
    table = plain_table("receiver", "address", "body", "strategies")
    for row in rows:
        names = "\n".join([*map(clean, row["strategies"]), *(f"{clean(name)} (disabled)" for name in row["disabled"])])
        if not row["strategies"]:
            names = f"[yellow]hears of nothing: no enabled strategy names it[/]\n{names}".rstrip()
        table.add_row(clean(str(row["name"])), clean(str(row["address"])), clean(str(row["body"])), names)
    console().print(table if rows else "there is no receiver: hookplugin receiver add NAME URL")


def _reference(url: str) -> object:
    """Read `{env: NAME}` as the configuration would; leave anything else as it is."""
    if not url.startswith("{"):
        return url
    try:
        return load(url)
    except yaml.YAMLError:
        return url

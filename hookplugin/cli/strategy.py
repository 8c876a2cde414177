"""`hookplugin strategy`."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final, TypeAlias

import typer

from hookplugin.assembly import assemble
from hookplugin.cli.adding import add_to_config
from hookplugin.cli.options import CommandError, ConfigOption, JsonOption
from hookplugin.cli.output import clean, console, plain_table, print_json
from hookplugin.config import find_file, open_document
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.schedule import schedule_text
from hookplugin.values import duration_text

app = typer.Typer(help="The strategies of the configuration.", no_args_is_help=True)

_NONE: Final = "there is no strategy: hookplugin strategy add NAME --receiver RECEIVER"

Texts: TypeAlias = list[str] | None


def _tags(texts: Texts) -> dict[str, str]:
    tags: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            message = f"--tag {text}: write NAME=VALUE"
            raise CommandError(message)
        if tags.setdefault(name, value) != value:
            message = f"--tag {text}: a tag has one value; --match '{name}=~\"{tags[name]}|{value}\"' asks for several"
            raise CommandError(message)
    return tags


@app.command("add")
def add(  # noqa: PLR0913, PLR0917 - one option for each key
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    receiver: Annotated[list[str], typer.Option(help="Who is to hear of it; may be repeated, as those below.")],
    priority: Annotated[Texts, typer.Option(help="emergency, critical, warning; all if left out.")] = None,
    status: Annotated[Texts, typer.Option(help="firing, recovered (both if left out), pending, processed.")] = None,
    tag: Annotated[Texts, typer.Option(help="A tag and its value.", metavar="NAME=VALUE")] = None,
    match: Annotated[Texts, typer.Option(help="""A matcher like 'service=~"api-.*"'.""")] = None,
    filter: Annotated[Texts, typer.Option(help="A filter that a plugin offers.")] = None,  # noqa: A002 - its name
    day: Annotated[Texts, typer.Option(help="mon, tue, wed, thu, fri, sat, sun.")] = None,
    period: Annotated[str | None, typer.Option(help="From minute to minute: 22:00-06:00.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of days and period.")] = None,
    repeat: Annotated[str | None, typer.Option(help="Tell the same again after this time, like 4h.")] = None,
    body: Annotated[str | None, typer.Option(help="Instead of the receiver's.")] = None,
    match_all: Annotated[bool, typer.Option("--match-all", help="Every alert, of every status.")] = False,  # noqa: FBT002 - an option
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Add a strategy to the configuration: which alerts go to which receivers."""
    item: dict[str, Any] = {
        "name": name,
        "receivers": receiver,
        "match_all": match_all,
        "priorities": priority,
        "statuses": status,
        "tags": _tags(tag),
        "match": match,
        "filters": filter,
        "days": day,
        "period": period,
        "timezone": timezone,
        "repeat": repeat,
        "body": body,
    }
    given = {key: value for key, value in item.items() if value not in (None, False, [], {})}
    add_to_config(config, "strategy", given, f"{name!r} was added", as_json=as_json)


@app.command("list")
def list_strategies(
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the strategies: what each asks for, and who hears of it."""
    _, checked = assemble(open_document(find_file(config)))
    if as_json:
        print_json([_as_json(strategy) for strategy in checked.strategies])
        return
    table = plain_table("strategy", "receivers", "asks for")
    for strategy in checked.strategies:
        mark = "" if strategy.enabled else " [yellow](disabled)[/]"
        receivers = ", ".join(dict.fromkeys(strategy.receivers))
        table.add_row(clean(strategy.name) + mark, clean(receivers), clean(_asks_for(strategy), sys.maxsize))
    console().print(table if checked.strategies else _NONE)


def _as_json(strategy: Strategy) -> dict[str, Any]:
    written = strategy.model_dump(mode="json", exclude={"priorities", "statuses", "match", "period", "timezone"})
    return written | {
        "priorities": [priority.name for priority in strategy.priorities],
        "statuses": [status.name for status in strategy.statuses],
        "match": [str(matcher) for matcher in strategy.matchers],
        "period": str(strategy.period).replace("\u2013", "-") if strategy.period else None,
        "timezone": str(strategy.timezone) if strategy.timezone else None,
    }


def _asks_for(strategy: Strategy) -> str:
    if strategy.match_all:
        return "every alert"
    joined = " and " if strategy.tags_mode == "all" else " or "
    schedule = schedule_text(strategy.days, strategy.period)
    zone = f" {strategy.timezone}" if schedule and strategy.timezone else ""
    parts = [
        ", ".join(priority.name for priority in strategy.priorities),
        ", ".join(status.name for status in strategy.statuses),
        joined.join(f'{name} is "{value}"' for name, value in strategy.tags.items()),
        *map(str, strategy.matchers),
        *(f"filter {name}" for name in strategy.filters),
        schedule + zone,
        f"again after {duration_text(strategy.repeat)}" if strategy.repeat else "",
    ]
    return "; ".join(part for part in parts if part)

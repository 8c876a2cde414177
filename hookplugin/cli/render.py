"""`hookplugin render`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic import SecretStr

from hookplugin.assembly import rehearse
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.sample import FIRING
from hookplugin.bodies.scope import TooLargeError
from hookplugin.bodies.secret import fill
from hookplugin.cli.options import (
    CommandError,
    ConfigOption,
    JsonOption,
    PayloadArgument,
    SourceOption,
    read_payload_alerts,
)
from hookplugin.cli.output import clean, console, print_json
from hookplugin.config import Config, find_file, open_document
from hookplugin.delivery.deliverer import render as render_or_fall_back
from hookplugin.delivery.deliverer import render_headers
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import own_headers
from hookplugin.delivery.signing import scheme_of
from hookplugin.problems import nearest
from hookplugin.sources import Reading
from hookplugin.strategy.model import Strategy
from hookplugin.webhook import bodies_of
from hookspecs import Alert, Body, Delivery

_log = logging.getLogger("hookplugin")
_HIDDEN: Final = SecretStr("***")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Say to whom a body goes; to nobody in particular, if no receiver is meant."""

    body: str
    receiver: Receiver | None = None
    strategies: tuple[str, ...] = ()


def render(  # noqa: PLR0913, PLR0917 - options of the command line
    payload: PayloadArgument = None,
    body: Annotated[str | None, typer.Option("--body", help="Of this name, whatever is configured.")] = None,
    receiver: Annotated[str | None, typer.Option("--receiver", help="As this receiver would get it.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="As the receivers of this strategy would.")] = None,
    source: SourceOption = "json",
    config: ConfigOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Show what would be sent: method, headers and body, with secrets hidden; nothing is stored or sent."""
    with rehearse(open_document(find_file(config))) as (plugins, checked):
        bodies = bodies_of(checked, plugins.context)
        plans = _plans(checked, bodies, body, receiver, strategy)
        named = payload or not sys.stdin or not sys.stdin.isatty()
        none = Reading([FIRING], [])
        reading = read_payload_alerts(payload, source, plugins.context, code=2) if named else none
        alerts = reading.alerts
        requests = [one for plan in plans for one in _requests(plan, bodies, alerts)]
    if as_json:
        print_json(requests)
    else:
        for request in requests:
            _show(request)
        if not alerts:
            console().print("the payload holds no alert")
    for problem in reading.problems:
        _log.warning("%s", problem)
    if any(one["problems"] for one in requests) or reading.problems:
        raise typer.Exit(2)


def _plans(config: Config, bodies: Bodies, body: str | None, receiver: str | None, strategy: str | None) -> list[_Plan]:
    """Return what is meant: the receivers of a strategy, one receiver, a body alone, or else every receiver.

    Raises:
        CommandError: there is none of that name.

    """
    receivers = {one.name: one for one in config.receivers}
    strategies = {one.name: one for one in config.strategies}
    for kind, name, known in (
        ("body", body, bodies.names), ("receiver", receiver, receivers), ("strategy", strategy, strategies),
    ):  # fmt: skip
        if name is not None and name not in known:
            message = f"unknown {kind} {name!r}{nearest(name, known)}"
            raise CommandError(message)
    chosen = strategies[strategy] if strategy else None
    if body and not receiver and not chosen:
        return [_Plan(body)]
    names = [receiver] if receiver else list(dict.fromkeys(chosen.receivers)) if chosen else list(receivers)
    return [_plan(receivers[name], chosen, body) for name in names]


def _plan(receiver: Receiver, strategy: Strategy | None, body: str | None) -> _Plan:
    own = strategy.body if strategy else None
    return _Plan(body or own or receiver.body, receiver, (strategy.name,) if strategy else ())


def _requests(plan: _Plan, bodies: Bodies, alerts: Sequence[Alert]) -> Iterator[dict[str, Any]]:
    """Render one request for all, if they would come in one, else one for each alert."""
    template = bodies.template(plan.body)
    together = plan.receiver.batch is not None if plan.receiver else not (template and template.speaks_of_one)
    receiver = plan.receiver.name if plan.receiver else "none"
    deliveries = [
        Delivery(id=f"sample{number}", alert=alert, receiver=receiver, body=plan.body, strategies=plan.strategies)
        for number, alert in enumerate(alerts, 1)
    ]
    groups = [deliveries] if together and deliveries else [[one] for one in deliveries]
    while groups:
        group = groups.pop(0)
        many = plan.receiver.batch is not None if plan.receiver else len(group) > 1
        request = Request(group[0].id, group, datetime.now(UTC), many)
        try:
            rendered, problems = render_or_fall_back(bodies, request)
        except TooLargeError:  # then halves are sent
            half = len(group) // 2
            groups[:0] = [group[:half], group[half:]]
            continue
        shown = fill(rendered, dict.fromkeys(template.vars, _HIDDEN)) if template else rendered
        yield _request(plan, request, shown, problems)


def _request(plan: _Plan, request: Request, body: Body, problems: list[str]) -> dict[str, Any]:
    headers = own_headers(request.id, int(request.now.timestamp()), body)
    method: str = plan.receiver.method if plan.receiver else "POST"
    if plan.receiver and not plan.receiver.is_webhook:  # what else is sent, its plugin knows
        method, headers = plan.receiver.type, {"Content-Type": body.content_type}
    elif plan.receiver:
        hidden = plan.receiver.model_copy(update={"vars": dict.fromkeys(plan.receiver.vars, _HIDDEN)})
        rendered, dropped = render_headers(hidden, request)
        problems = [*problems, *dropped]
        secret = [name for name, value in plan.receiver.headers.items() if isinstance(value, SecretStr)]
        secret += ["Authorization"] if plan.receiver.auth else []
        scheme = scheme_of(plan.receiver.signer) if plan.receiver.is_signed else None
        secret += scheme.headers if scheme else ()
        headers = dict.fromkeys(secret, _HIDDEN.get_secret_value()) | rendered | headers
    return {
        "receiver": plan.receiver.name if plan.receiver else None,
        "method": method,
        "headers": headers,
        "body": body.content.decode(errors="replace"),
        "problems": problems,
    }


def _show(request: dict[str, Any]) -> None:
    console().print(f"[bold]{request['method']}[/] {clean(request['receiver'] or '')}".rstrip())
    for name, value in request["headers"].items():
        console().print(f"[dim]{clean(name)}: {clean(value, len(value))}[/]", soft_wrap=True)
    body = request["body"]
    if "json" in request["headers"]["Content-Type"]:
        body = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    visible = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in body)
    sys.stdout.write(f"\n{visible}\n\n")
    for problem in request["problems"]:
        console().print(f"[red]{clean(problem, len(problem))}[/]", soft_wrap=True)

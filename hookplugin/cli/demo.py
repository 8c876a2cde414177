"""`hookplugin demo`: the whole path on one machine, with nothing to set up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

from rich.box import ROUNDED
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from hookplugin.cli.options import ConfigOption, JsonOption
from hookplugin.cli.output import console, print_json, status_text
from hookplugin.config import OUR_PLUGIN
from hookplugin.delivery.deliverer import outcome_text
from hookplugin.discovery import PluginStatus
from hookplugin.host import Host
from hookplugin.receipt import Receipt
from hookspecs import PROJECT, Delivery, Outcome, Priority, Status

PAYLOADS: Final = (("hertzbeat", "demo_hertzbeat.json"), ("alertmanager", "demo_alertmanager.json"))
"""Sources, and what real systems sent."""

NEXT: Final = (
    ("hookplugin init", "write a commented hookplugin.yaml to start from"),
    ("hookplugin check", "see everything that is wrong with it, at once"),
    ("hookplugin test ops", "send one marked alert to your receiver"),
)

Row = dict[str, Any]


class _Receiver(BaseHTTPRequestHandler):
    """Take every POST, and keep what came."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies[self.headers["webhook-id"]] = body  # type: ignore[attr-defined]  # ours has it
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - ignored
        """Be quiet: the table says it."""


@contextmanager
def _receiver() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Run a receiver on this machine; yield its address, and the bodies it gets by `webhook-id`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    bodies: dict[str, bytes] = {}
    server.bodies = bodies  # type: ignore[attr-defined]  # handlers reach it through their server
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _config(address: str) -> dict[str, Any]:
    others = {entry.name for entry in entry_points(group=PROJECT)} - {OUR_PLUGIN}
    return {
        "plugins": {"disabled": sorted(others)},  # they might call somebody out of bed
        "receivers": [{"name": name, "url": f"{address}/{name}"} for name in ("ops", "pager", "chat")],
        "strategies": [
            {"name": "urgent", "receivers": ["pager", "ops"], "priorities": ["emergency", "critical"]},
            {"name": "disks of team sre", "receivers": ["ops"], "match": ['{alertname=~"Disk.*", team="sre"}']},
            {"name": "by day", "receivers": ["chat"], "period": "07:00-18:59"},
            {"name": "by night", "receivers": ["chat"], "period": "19:00-06:59"},
            {"name": "nothing passes", "receivers": ["pager"], "tags": {"env": "nowhere"}},
        ],
    }


def demo(
    config: ConfigOption = None,  # noqa: ARG001 - every command takes it; this one needs none
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Fire real alerts through entry point, strategies, outbox and HTTP, to a receiver on this machine."""
    rows: list[Row] = []
    first: tuple[Delivery, Outcome] | None = None
    with _receiver() as (address, bodies), Host(_config(address)) as host:
        for source, file in PAYLOADS:
            receipt = host.receive(source, files("hookplugin.cli").joinpath("data", file).read_bytes())
            outcomes = host.wait(receipt, 4.0)
            rows += _rows(host, receipt, outcomes)
            for delivery in receipt.deliveries:
                outcome = outcomes[delivery.id]
                if first is None and outcome:
                    first = delivery, outcome
        plugins = host.plugins
    if as_json:
        print_json(rows)
        return
    _show(rows, plugins)
    if first:
        _show_body(first[0], first[1], bodies.get(first[0].id, b""))
    console().print("\nTry next:")
    for command, purpose in NEXT:
        console().print(f"  [bold cyan]{command:<20}[/] {purpose}")


def _rows(host: Host, receipt: Receipt, outcomes: Mapping[str, Outcome | None]) -> Iterator[Row]:
    """Yield alert by strategy by receiver, with what became of each."""
    alerts = [delivery.alert for delivery in receipt.deliveries]
    alerts += [unsent.alert for unsent in receipt.suppressed if unsent.alert]
    for alert in {id(alert): alert for alert in alerts}.values():
        told: set[str] = set()
        for verdict in host.explain(alert).strategies:
            row = {
                "alert": alert.content,
                "source": alert.source,
                "priority": alert.priority.name,
                "status": alert.status.name,
                "strategy": verdict.strategy,
            }
            if not verdict.matched:
                yield row | {"receiver": None, "reason": verdict.reason}
            for delivery in receipt.deliveries:
                if delivery.alert is alert and verdict.strategy in delivery.strategies:
                    outcome = outcomes[delivery.id]
                    found = outcome.model_dump(mode="json") if outcome else {"state": "pending"}
                    copy = delivery.id in told
                    yield row | {"receiver": delivery.receiver, "id": delivery.id, "copy": copy, "outcome": found}
                    told.add(delivery.id)


def _show(rows: list[Row], plugins: tuple[PluginStatus, ...]) -> None:
    found = ", ".join(f"{one.name} ({one.package} {one.version})" for one in plugins if one.state == "active")
    console().print(f"\n[bold]hookplugin[/] found through entry points: {escape(found)}\n")
    widths = [max(len(str(row[key] or "")) for row in rows) for key in ("strategy", "receiver")]
    for _, of_alert in groupby(rows, lambda row: (row["alert"], row["source"], row["status"])):
        same = list(of_alert)
        table = Table(title=_title(same[0]), title_justify="left", title_style="", box=ROUNDED, header_style="dim")
        table.add_column("strategy", min_width=widths[0])
        table.add_column("receiver", min_width=widths[1])
        table.add_column("what became of it", min_width=43, overflow="fold")
        for row in same:
            table.add_row(escape(row["strategy"]), row["receiver"] or "–", _result(row))
        console().print(table)


def _title(row: Row) -> str:
    status = status_text(Status[row["status"]], Priority[row["priority"]])
    return f"{status}  [bold]{escape(row['alert'])}[/]  [dim]from {escape(row['source'])}[/]"


def _result(row: Row) -> str:
    if row["receiver"] is None:
        return f"[dim]{escape(row['reason'])}[/]"
    if row["copy"]:
        return "[dim]once is enough: see above[/]"
    outcome = row["outcome"]
    if outcome["state"] == "pending":
        return "[yellow]pending[/]"
    color = "green" if outcome["state"] == "delivered" else "red"
    return f"[{color}]{outcome['state']}[/], {outcome['status']} in {outcome['milliseconds']:g} ms"


def _show_body(delivery: Delivery, outcome: Outcome, body: bytes) -> None:
    head = f"POST /{delivery.receiver}\nContent-Type: application/json\nwebhook-id: {delivery.id}"
    pretty = json.dumps(json.loads(body), ensure_ascii=False, indent=2) if body else ""
    answer = f"[green]{escape(outcome_text(outcome))}[/]"
    content = Group(
        f"[dim]{head}[/]\n", Syntax(pretty, "json", background_color="default", word_wrap=True), f"\n{answer}"
    )
    console().print(Panel(content, title="the first body, in full", title_align="left", expand=False))

"""Source `grafana`: the webhook of Grafana Alerting, version 1.

Source: "Webhook notifier" in Grafana's documentation of Alerting, and test notifications of Grafana 10 to 13.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hookplugin.sources.reading import (
    as_link,
    as_list,
    as_milliseconds,
    as_object,
    as_texts,
    from_labels,
    group_of,
    key_of,
    read_each,
)
from hookspecs import Alert, Context

_log = logging.getLogger("hookplugin")


def parse_grafana(payload: Any, context: Context) -> Iterator[Alert | ValueError]:  # noqa: ANN401 - JSON has no narrower type
    """Read the alerts of a group, those about missing data and errors, too; one that is wrong costs only itself.

    Raises:
        ValueError: it is no such payload.

    """
    group = as_object(payload, "the payload")
    if group.keys() & {"evalMatches", "ruleName"}:
        message = "it comes from Grafana's legacy alerting, which Grafana 11 no longer has; use Grafana Alerting"
        raise ValueError(message)
    version = str(group.get("version", "1"))
    if version != "1":
        other = "; that is Alertmanager's webhook: name the source alertmanager" if version == "4" else ""
        message = f"version should be 1{other}"
        raise ValueError(message)
    alerts = as_list(group.get("alerts"), "alerts")
    cut = group.get("truncatedAlerts")
    if isinstance(cut, int) and cut > 0:
        _log.warning("Grafana left out %d alerts of a group; raise `Max Alerts` of its contact point", cut)
    shared = group_of(group, len(alerts))
    return read_each(
        alerts,
        "alerts",
        lambda item, where: _alert(item, where, group, context).model_copy(update={"group": shared}),
    )


def _alert(item: Mapping[str, Any], where: str, group: Mapping[str, Any], context: Context) -> Alert:
    told = {
        "labels": _public(item.get("labels"), f"{where}.labels"),
        "annotations": _public(item.get("annotations") or {}, f"{where}.annotations"),
    }
    urls = (item.get(name) for name in ("panelURL", "dashboardURL", "generatorURL"))
    return Alert.model_validate(
        from_labels(told, where, context)
        | {
            "source": "grafana",
            "status": item.get("status") or group.get("status"),
            "first_trigger_time": as_milliseconds(item.get("startsAt"), f"{where}.startsAt", context.timezone),
            # A test notification may bring only the end of one: `?orgId=1`.
            "link": as_link(*urls),
            "fingerprint": item.get("fingerprint"),
            "group_key": key_of(group, len(group["alerts"])),
            "raw": item,
        }
    )


def _public(values: object, where: str) -> dict[str, str]:
    """Return labels or annotations without those that Grafana keeps for itself; some versions send them."""
    return {
        name: value
        for name, value in as_texts(values, where).items()
        if not (name.startswith("__") and name.endswith("__"))
    }

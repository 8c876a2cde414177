"""Source `alertmanager`: the webhook of Prometheus Alertmanager, version 4.

Source: Prometheus' documentation of Alertmanager's `webhook_config`, and bodies captured from Alertmanager 0.25.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hookplugin.sources.reading import as_list, as_object, as_time, from_labels, group_of, key_of
from hookspecs import Alert, Context

_log = logging.getLogger("hookplugin")


def parse_alertmanager(payload: Any, context: Context) -> Iterator[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read the alerts of a group; of later versions, too: they only added keys.

    Raises:
        ValueError: it is no such payload.

    """
    group = as_object(payload, "the payload")
    if str(group.get("version", "4")) != "4":
        message = "version should be 4; Grafana's webhook has version 1: name the source grafana for it"
        raise ValueError(message)
    alerts = as_list(group.get("alerts"), "alerts")
    cut = group.get("truncatedAlerts")
    if isinstance(cut, int) and cut:
        _log.warning("Alertmanager left out %d alerts of a group; raise max_alerts of its webhook_config", cut)
    shared = group_of(group, len(alerts))
    for index, item in enumerate(alerts):
        where = f"alerts[{index}]"
        yield _alert(as_object(item, where), where, group, context).model_copy(update={"group": shared})


def _alert(item: Mapping[str, Any], where: str, group: Mapping[str, Any], context: Context) -> Alert:
    return Alert.model_validate(
        from_labels(item, where, context)
        | {
            "source": "alertmanager",
            "status": item.get("status") or group.get("status"),
            "first_trigger_time": as_time(item.get("startsAt"), f"{where}.startsAt", context.timezone),
            "link": item.get("generatorURL") or None,
            "fingerprint": item.get("fingerprint"),
            "group_key": key_of(group, len(group["alerts"])),
            "raw": item,
        }
    )

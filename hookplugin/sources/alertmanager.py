"""Source `alertmanager`: the webhook of Prometheus Alertmanager, version 4.

Source: Prometheus' documentation of Alertmanager's `webhook_config`, and bodies captured from Alertmanager 0.25.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hookplugin.sources.reading import as_list, as_object, as_time
from hookspecs import Alert, Context

_log = logging.getLogger("hookplugin")


def parse_alertmanager(payload: Any, context: Context) -> Iterator[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read the alerts of a group; keys that later versions added are kept in `raw` and otherwise ignored.

    Raises:
        ValueError: it is no such payload.

    """
    group = as_object(payload, "the payload")
    if str(group.get("version", "4")) != "4":
        message = "version should be 4; Grafana's webhook, for one, has version 1 and is another format"
        raise ValueError(message)
    alerts = as_list(group.get("alerts"), "alerts")
    cut = group.get("truncatedAlerts")
    if cut:
        _log.warning("Alertmanager left out %s alerts of a group; raise max_alerts of its webhook_config", cut)
    for index, item in enumerate(alerts):
        yield _alert(as_object(item, f"alerts[{index}]"), group, index, context)


def _alert(item: Mapping[str, Any], group: Mapping[str, Any], index: int, context: Context) -> Alert:
    labels = as_object(item.get("labels"), f"alerts[{index}].labels")
    annotations = as_object(item.get("annotations") or {}, f"alerts[{index}].annotations")
    name = labels.get("alertname")
    fields = {
        "source": "alertmanager",
        "target": name,
        "content": annotations.get("summary") or annotations.get("description") or name or "",
        "status": item.get("status") or group.get("status"),
        "priority": context.priority(labels.get("severity")),
        "tags": labels,
        "annotations": annotations,
        "first_trigger_time": as_time(item.get("startsAt"), context.timezone),
        "link": item.get("generatorURL") or None,
        "fingerprint": item.get("fingerprint"),
        "group_key": group.get("groupKey"),
        "raw": item,
    }
    return Alert.model_validate(fields)

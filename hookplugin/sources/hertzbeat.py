"""Source `hertzbeat`: Apache HertzBeat's webhook, in every form it has had.

The documented body; the entity of 1.0 to 1.4; the templates of 1.4.2 to 1.6; the groups of 1.7 and later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hookplugin.sources.reading import as_list, as_object, as_time, from_labels, group_of, key_of
from hookspecs import Alert, Context

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "alarmId"),
    "target": ("target",),
    "alert_define_id": ("alertDefineId", "thresholdId"),
    "priority": ("priority",),
    "status": ("status",),
    "times": ("times", "triggerTimes"),
    "next_eval_interval": ("nextEvalInterval",),
    "gmt_create": ("gmtCreate",),
    "gmt_update": ("gmtUpdate",),
}
"""Our field, and its names from the oldest version to the newest."""

_TIMES: Final[Mapping[str, tuple[str, ...]]] = {
    "first_trigger_time": ("firstTriggerTime", "firstAlarmTime", "triggerTime"),
    "last_trigger_time": ("lastTriggerTime", "lastAlarmTime", "restoreTime"),
}
"""The same, for times that may come without a zone."""


def parse_hertzbeat(payload: Any, context: Context) -> Iterator[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one alert, or those of a group.

    Raises:
        ValueError: it is no such payload.

    """
    body = as_object(payload, "the payload")
    if body.keys() >= {"receiver", "version", "groupKey"}:
        message = "the payload is a group of Alertmanager or Grafana; name that source instead"
        raise ValueError(message)
    if "alerts" not in body:
        if not body.keys() & {"content", "target"}:
            message = "the payload has neither content nor target: it is no HertzBeat alert"
            raise ValueError(message)
        yield _single(body, context)
        return
    alerts = as_list(body["alerts"], "alerts")
    shared = group_of(body, len(alerts))
    for index, item in enumerate(alerts):
        where = f"alerts[{index}]"
        yield _of_group(as_object(item, where), where, body, context).model_copy(update={"group": shared})


def _single(body: Mapping[str, Any], context: Context) -> Alert:
    fields: dict[str, Any] = {field: _first(body, names) for field, names in _NAMES.items()}
    fields |= {field: as_time(_first(body, names), names[0], context.timezone) for field, names in _TIMES.items()}
    tags = {**as_object(body.get("tag") or {}, "tag"), **as_object(body.get("tags") or {}, "tags")}
    if "monitorId" in body:  # 1.0-beta.4 had no tags
        tags = {"monitorId": body["monitorId"], "monitorName": body.get("monitorName"), **tags}
    content = body.get("content")
    return Alert.model_validate(
        {**fields, "source": "hertzbeat", "content": "" if content is None else content, "tags": tags, "raw": body}
    )


def _of_group(item: Mapping[str, Any], where: str, group: Mapping[str, Any], context: Context) -> Alert:
    fields = from_labels(item, where, context)
    return Alert.model_validate(
        fields
        | {
            "source": "hertzbeat",
            "id": item.get("id"),
            "content": item.get("content") or fields["content"],
            # An alert has a status only in the full group. `endAt` does not tell: firing alerts may carry one.
            "status": item.get("status") or group.get("status"),
            "times": item.get("triggerTimes"),
            "first_trigger_time": as_time(item.get("startAt"), f"{where}.startAt", context.timezone),
            "last_trigger_time": as_time(item.get("activeAt"), f"{where}.activeAt", context.timezone),
            "gmt_create": item.get("gmtCreate"),
            "gmt_update": item.get("gmtUpdate"),
            "fingerprint": item.get("fingerprint"),
            "group_key": key_of(group, len(group["alerts"])),
            "raw": item,
        }
    )


def _first(body: Mapping[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON has no narrower type
    return next((body[name] for name in names if body.get(name) is not None), None)

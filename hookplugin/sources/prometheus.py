"""Source `prometheus`: what Prometheus posts to an Alertmanager, so that it can be pointed at us instead of one.

Source: the OpenAPI document of Alertmanager's API v2, `POST /api/v2/alerts`, and what Alertmanager 0.25 made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hookplugin.sources.reading import as_list, as_milliseconds, as_texts, from_labels, read_each
from hookspecs import Alert, Context, Status
from hookspecs.alert import milliseconds

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_64_BITS: Final = 2**64 - 1


def parse_prometheus(
    payload: Any,  # noqa: ANN401 - JSON has no narrower type
    context: Context,
    *,
    now: datetime | None = None,
) -> Iterator[Alert | ValueError]:
    """Read an array of alerts; one that is wrong costs only itself, as in Alertmanager.

    An alert whose `endsAt` is over has recovered. Prometheus sets it some minutes ahead and moves it on while the alert
    lasts: an Alertmanager takes an alert for recovered if nobody has moved it on. Here nothing does: after a
    Prometheus that died, an alert fires until its recovery comes in.

    Args:
        payload: the array.
        context: with the severities.
        now: when it came in; the present if not given.

    Raises:
        ValueError: it is no such array.

    """
    if isinstance(payload, Mapping) and "alerts" in payload:
        message = (
            "it is a group, not an array of alerts; name the source that sends it: alertmanager, grafana, hertzbeat"
        )
        raise ValueError(message)
    arrived = milliseconds(now or datetime.now(UTC))
    alerts = as_list(payload, "the payload")
    return read_each(alerts, "", lambda item, where: _alert(item, where, arrived, context))


def _alert(item: Mapping[str, Any], where: str, arrived: int, context: Context) -> Alert:
    labels = {name: value for name, value in as_texts(item.get("labels"), f"{where}.labels").items() if value}
    if not labels:
        message = f"{where}.labels should hold at least one that is not empty"
        raise ValueError(message)
    starts = as_milliseconds(item.get("startsAt"), f"{where}.startsAt", context.timezone)
    ends = as_milliseconds(item.get("endsAt"), f"{where}.endsAt", context.timezone)
    if starts is None:
        starts = arrived if ends is None else min(ends, arrived)
    elif ends is not None and ends < starts:
        message = f"{where}.endsAt should not be before startsAt"
        raise ValueError(message)
    given = item.get("annotations")
    annotations = as_texts({} if given is None else given, f"{where}.annotations")
    return Alert.model_validate(
        from_labels({"labels": labels, "annotations": annotations}, where, context)
        | {
            "source": "prometheus",
            "status": Status.firing if ends is None or ends > arrived else Status.recovered,
            "first_trigger_time": starts,
            "link": None if item.get("generatorURL") == "" else item.get("generatorURL"),
            "fingerprint": fingerprint_of(labels),
            "raw": item,
        }
    )


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of labels: the alert is the same whether it comes through one or not.

    FNV-1a in 64 bits over each name and value, by name, each followed by a byte that UTF-8 does not have.
    """
    hashed = _FNV_OFFSET
    for byte in b"".join(b"%b\xff%b\xff" % (name.encode(), labels[name].encode()) for name in sorted(labels)):
        hashed = (hashed ^ byte) * _FNV_PRIME & _64_BITS
    return f"{hashed:016x}"

"""Source `elastalert`: what ElastAlert 2 found; it says nothing when that is over.

Reads what `hookplugin.hosts.elastalert` writes; the matches that its alerter `command` pipes with `pipe_match_json`;
and the match that its alerter `post` sends. Source: its code, `elastalert/alerters/`, version 2.19.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeGuard

from hookplugin.sources.reading import as_link, as_list, as_milliseconds, as_object, group_of, read_each
from hookspecs import Alert, Context
from hookspecs.alert import INT64_MAX, INT64_MIN, Scalar

MOST_TAGS: Final = 100
LONGEST_TAG: Final = 256
"""Characters: longer values are text to read, and stand in `raw`."""

LONGEST_RULE: Final = 1_000
"""Characters of a text of a rule: the outbox writes its name again with each alert."""

_UNTAGGED: Final = frozenset({"_id", "_index", "_type", "num_hits", "num_matches"})
_LINKS: Final = ("kibana_discover_url", "opensearch_discover_url", "kibana_link")


def parse_elastalert(payload: Any, context: Context) -> Iterator[Alert | ValueError]:  # noqa: ANN401 - JSON has no narrower type
    """Read one alert for each match; one that is wrong costs only itself.

    Raises:
        ValueError: there are no matches in it.

    """
    if isinstance(payload, list):
        return read_each(payload, "matches", lambda match, _: _alert(match, {}, {}, context))
    body = as_object(payload, "the payload")
    if not body:
        message = "the payload is an object that holds nothing"
        raise ValueError(message)
    if "alerts" not in body:
        return iter([_alert(body, {}, {}, context)])
    if "rule" not in body:
        message = "it holds alerts of no rule: another system has sent it; name its source instead"
        raise ValueError(message)
    rule = as_object(body["rule"], "rule")
    if any(len(str(rule.get(name) or "")) > LONGEST_RULE for name in ("name", "query_key", "timestamp_field")):
        message = f"rule should hold no name of more than {LONGEST_RULE} characters"
        raise ValueError(message)
    alerts = as_list(body["alerts"], "alerts")
    shared = group_of(body, len(alerts))

    def read(item: Mapping[str, Any], where: str) -> Alert:
        alert = _alert(as_object(item.get("match"), f"{where}.match"), rule, item, context)
        return alert.model_copy(update={"group": shared})

    return read_each(alerts, "alerts", read)


def _alert(match: Mapping[str, Any], rule: Mapping[str, Any], said: Mapping[str, Any], context: Context) -> Alert:
    """Read a match.

    Args:
        match: the document that was found, or what a rule made of several.
        rule: whose it is; nothing if that is not known.
        said: its title and text, as the rule wants them.
        context: knows what severities mean.

    """
    name, timestamp = str(rule.get("name") or ""), str(rule.get("timestamp_field") or "@timestamp")
    texts = (said.get("title"), match.get("message"), name)
    severity = _find(match, "severity") or rule.get("severity") or rule.get("priority")
    fields = {
        "source": "elastalert",
        "target": name or None,
        "content": next((text for text in texts if isinstance(text, str) and text), "ElastAlert found a match"),
        "priority": context.priority(str(severity) if isinstance(severity, int) else severity),
        "tags": dict(islice(_tags(match, timestamp), MOST_TAGS)),
        "annotations": {"description": said["text"]} if said.get("text") else {},
        "first_trigger_time": _time(_find(match, timestamp), context),
        "link": as_link(*map(match.get, _LINKS)),
        "event_id": f"{match['_index']}/{match['_id']}" if {"_index", "_id"} <= match.keys() else None,
        "raw": match,
    }
    if name:
        fields["fingerprint"] = _identity(name, match, str(rule.get("query_key") or ""))
    return Alert.model_validate(fields)


def _identity(rule: str, match: Mapping[str, Any], query_key: str) -> str:
    """Return what stays the same as often as a rule finds the same: its name, and the value of its query key."""
    value = _find(match, query_key) if query_key else None
    if value is None:
        value = match.get("key")  # as rules about missing events call it
    return Alert(content="", source="elastalert", target=rule, tags={"key": str(value)}).fingerprint


def _tags(match: Mapping[str, Any], timestamp: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the short values of a match; of nested ones the names are joined by dots, and come last."""
    waiting = deque([("", match)])
    while waiting:
        prefix, values = waiting.popleft()
        for name, value in values.items():
            path = f"{prefix}{name}"
            if path in _UNTAGGED or path in _LINKS or path == timestamp or len(path) > LONGEST_TAG:
                continue
            if isinstance(value, Mapping) and not path.startswith("top_events_"):
                waiting.append((f"{path}.", value))
            elif _is_tag(value):
                yield path, value


def _is_tag(value: object) -> TypeGuard[str | int | float]:
    if isinstance(value, str):
        return len(value) <= LONGEST_TAG
    return isinstance(value, float) or (isinstance(value, int) and INT64_MIN <= value <= INT64_MAX)


def _find(match: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return a value by its name, or by the path to it, with dots; none if it is not there."""
    if name in match:
        return match[name]
    if len(name) > LONGEST_TAG:
        return None
    value: Any = match
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _time(value: object, context: Context) -> int | None:
    """Return a time; none if it is in a format of the rule's own, which is no reason to lose the alert."""
    with suppress(ValueError):
        return as_milliseconds(value, "", context.timezone)
    return None

"""Source `cloudevents`: CloudEvents 1.0 in JSON, one (structured mode) or several (batched mode).

Source: the specification, its JSON format and its severity extension, https://github.com/cloudevents/spec.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from hookplugin.sources.reading import as_list, as_milliseconds, as_object, placed, read_each
from hookspecs import Alert, Context, Priority, Status

_OURS: Final = "hookplugin.alert."  # how the types of our own body `cloudevents` begin
_WORDS: Final = ("summary", "message", "description", "title", "text", "content")  # what data may call its text
_STATUSES: Final[Mapping[str, Status]] = {**Status.__members__, "resolved": Status.recovered}
_ALERT_KEYS: Final = frozenset(
    {"labels", "tag", *Alert.model_fields, *(str(field.alias) for field in Alert.model_fields.values())}
)
_NO_TAGS: Final = frozenset({"data", "data_base64", "datacontenttype", "dataschema", "id", "specversion", "time"})


def parse_cloudevents(payload: Any, context: Context) -> Iterator[Alert | ValueError]:  # noqa: ANN401 - JSON has no narrower type
    """Read events; one of a batch that is wrong costs only itself.

    If the data is one of our alerts, or our body `cloudevents`, that is what comes in. Of any other event, `subject`,
    else `source`, is the target; the data, or what it calls summary or message, the content; the extension `severity`,
    or those of the severity extension, the priority; the end of `type` the status, if it says one, like `….resolved`.
    Attributes are tags, and `raw` is all of it. `source`, `type` without a status and `subject` identify it.

    Raises:
        ValueError: it is no event, nor a list.

    """
    if not isinstance(payload, list):
        yield from _event(as_object(payload, "the payload"), "", context)
        return
    for index, item in enumerate(payload):
        try:
            yield from _event(as_object(item, f"[{index}]"), f"[{index}].", context)
        except ValueError as error:
            yield placed(error, f"[{index}]")


def _event(event: Mapping[str, Any], where: str, context: Context) -> Iterable[Alert | ValueError]:
    if "specversion" not in event:
        message = f"{where}specversion is missing: it is no CloudEvent with all its attributes in the body"
        raise ValueError(message)
    if event["specversion"] != "1.0":
        message = f"{where}specversion should be 1.0"
        raise ValueError(message)
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name]:
            message = f"{where}{name} should be text, and not empty"
            raise ValueError(message)
    data = _data(event, where)
    if isinstance(data, Mapping):
        if event["type"].startswith(_OURS) and "alerts" in data:
            alerts = as_list(data["alerts"], f"{where}data.alerts")
            return read_each(alerts, f"{where}data.alerts", lambda item, _: Alert.model_validate(item))
        if "content" in data and data.keys() <= _ALERT_KEYS:
            try:
                return [Alert.model_validate(data)]
            except ValidationError:  # it only looks like one of ours
                pass
    return [_foreign(event, data, where, context)]


def _foreign(event: Mapping[str, Any], data: object, where: str, context: Context) -> Alert:
    source, kind, subject = event["source"], event["type"], event.get("subject") or None
    about, _, word = kind.rpartition(".")
    status = _STATUSES.get(word.lower())
    time = as_milliseconds(event.get("time"), f"{where}time", context.timezone)
    identity = json.dumps([source, kind if status is None else about, subject])
    return Alert.model_validate(
        {
            "source": "cloudevents",
            "target": subject or source,
            "content": _text(data) or f"{kind}: {subject or source}",
            "priority": _priority(event, data, context),
            "status": status,
            "tags": {
                name: value
                for name, value in event.items()
                if name not in _NO_TAGS and isinstance(value, (str, int, float))
            },
            "last_trigger_time" if status is Status.recovered else "first_trigger_time": time,
            "event_id": event["id"],
            "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:32],
            "raw": event,
        }
    )


def _data(event: Mapping[str, Any], where: str) -> object:
    """Return the data; binary data only if it is said to be JSON or text."""
    if "data_base64" not in event:
        return event.get("data")
    media = str(event.get("datacontenttype") or "application/json").partition(";")[0].strip().lower()
    is_json = media.endswith(("/json", "+json"))
    if not is_json and not media.startswith("text/"):
        return None
    try:
        content = base64.b64decode(event["data_base64"], validate=True).decode()
        return json.loads(content) if is_json else content
    except (ValueError, TypeError, RecursionError):
        message = f"{where}data_base64 should be {media} in base64"
        raise ValueError(message) from None


def _text(data: object) -> str:
    if isinstance(data, Mapping):
        data = next((data[word] for word in _WORDS if isinstance(data.get(word), str) and data[word].strip()), "")
    return data.strip() if isinstance(data, str) else ""


def _priority(event: Mapping[str, Any], data: object, context: Context) -> Priority:
    """Return the priority; a number of the severity extension counts if the operator does not know its word."""
    inside = data.get("severity") if isinstance(data, Mapping) else None
    words = (event.get("severity"), event.get("severitytext"), inside)
    word = next((word for word in words if isinstance(word, str) and word), None)
    number = event.get("severitynumber")
    if isinstance(number, int) and str(word).strip().lower() not in context.severities:
        word = "emergency" if number >= 21 else "critical" if number >= 17 else "warning"  # FATAL, ERROR
    return context.priority(word)

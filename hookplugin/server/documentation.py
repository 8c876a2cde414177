"""What the OpenAPI document says beside what the code shows: bodies, and every status that may be answered."""

from __future__ import annotations

from typing import Any, Final

from hookplugin.server.answers import Trouble

Documented = dict[int | str, dict[str, Any]]


def _troubles(statuses: dict[int, str]) -> Documented:
    return {status: {"model": Trouble, "description": description} for status, description in statuses.items()}


GUARDED: Final = _troubles(
    {
        401: "Valid credentials are needed",
        403: "A browser sent it, and no credentials are configured",
    }
)
POSTED: Final = GUARDED | _troubles(
    {
        400: "It cannot be read: nothing is stored, or all but what the error names; sent again it is the same",
        404: "There is no such source",
        408: "The body took too long",
        413: "The body is too large, or holds too many alerts",
        415: "The body is no JSON by its headers, or it is compressed",
        500: "An error of ours; perhaps not all of it is stored",
        503: "Not all of it is stored; send it again",
    }
)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ANY_JSON: Final = _body({"description": "What the source reads"})
SOURCE: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "source",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "description": "Who sends it: the name of a source, such as alertmanager, grafana, hertzbeat or json",
        }
    ]
}

_TEXTS: Final = {"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": {"type": "string"}}
_TIME: Final = {"description": "RFC 3339, as Prometheus writes it; or any other form of a time that our own alert has"}
ALERTS_OF_PROMETHEUS: Final = _body(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["labels"],
            "properties": {
                "labels": _TEXTS | {"minProperties": 1},
                "annotations": _TEXTS | {"type": ["object", "null"]},
                "startsAt": _TIME,
                "endsAt": _TIME,
                "generatorURL": {"type": ["string", "null"]},
            },
        },
    }
)

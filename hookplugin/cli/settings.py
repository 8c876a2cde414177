"""What plugins can be told: the JSON schema of their settings, in one line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

_Schema: TypeAlias = Mapping[str, Any]

_DEEPEST: Final = 3  # levels of lists and maps that are named

_WORDS: Final = {
    "array": "list",
    "boolean": "true/false",
    "integer": "whole number",
    "number": "number",
    "object": "map",
    "string": "text",
}


class Setting(NamedTuple):
    """Hold one setting, as people read it."""

    name: str
    """With the names of the maps that it is in: `smtp.port`; these may be left out, even if it is required in them."""
    kind: str
    default: str
    """Or `required`; empty if it is made by the plugin."""
    description: str


def settings_of(schema: _Schema) -> Iterator[Setting]:
    """Yield the settings in the order of the model; behind a map come those that its own model has."""
    definitions = schema.get("$defs", {})
    for model in _choices(schema, definitions):  # one, which may be a reference
        yield from _settings(model, definitions, "", (model,))
        if others := model.get("additionalProperties"):
            kind = _kinds(others, definitions) if isinstance(others, Mapping) else "anything"
            yield Setting("any other key", kind, "", "")


def _settings(schema: _Schema, definitions: _Schema, prefix: str, outer: tuple[_Schema, ...]) -> Iterator[Setting]:
    for name, written in schema.get("properties", {}).items():
        found = written if isinstance(written, Mapping) else {}
        choices = _choices(found, definitions)
        only = choices[0] if len(choices) == 1 else {}
        required = name in schema.get("required", ())
        default = "required" if required else _text(found["default"]) if "default" in found else ""
        description = found.get("description") or only.get("description") or ""
        yield Setting(f"{prefix}{name}", _kinds(found, definitions), default, " ".join(description.split()))
        if only not in outer:
            yield from _settings(only, definitions, f"{prefix}{name}.", (*outer, only))


def _choices(schema: _Schema, definitions: _Schema, depth: int = _DEEPEST) -> list[_Schema]:
    """Return what a value may be, without references, and without none: to leave a setting out says the same."""
    if depth == 0:  # it is defined by itself
        return [{}]
    if reference := schema.get("$ref"):
        return _choices(definitions.get(reference.rpartition("/")[2], {}), definitions, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return [one for choice in schema[key] for one in _choices(choice, definitions, depth - 1)]
    return [] if schema.get("type") == "null" else [schema]


def _kinds(schema: _Schema, definitions: _Schema, depth: int = _DEEPEST) -> str:
    kinds = (_kind(one, definitions, depth) for one in _choices(schema, definitions))
    return " or ".join(dict.fromkeys(kinds)) or "anything"


def _kind(schema: _Schema, definitions: _Schema, depth: int) -> str:
    if "const" in schema or "enum" in schema:
        return " or ".join(map(_text, schema.get("enum", [schema.get("const")])))
    if schema.get("writeOnly"):
        return "secret"
    kind = _WORDS.get(schema.get("type", ""), "anything")
    inner = schema.get("items") if kind == "list" else schema.get("additionalProperties") if kind == "map" else None
    if not isinstance(inner, Mapping) or not inner or depth == 0:
        return kind
    return f"{kind} of {_kinds(inner, definitions, depth - 1)}"


def _text(value: object) -> str:
    """Write a value as YAML has it, more or less."""
    if isinstance(value, str) and value:
        return value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)

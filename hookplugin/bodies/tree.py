"""Bodies as JSON trees: the structure is fixed, the leaves are constants or paths, nothing rendered is parsed again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

Names: TypeAlias = Mapping[str, object]
"""What the paths of a tree may begin with."""

Tree: TypeAlias = Callable[[Names], Any]
"""A compiled tree; returns what `json` can write, or none."""

_PATH: Final = re.compile(r"\{\{\s*([a-z][a-z0-9_]*(?:\.[A-Za-z0-9][A-Za-z0-9_-]*)*)\s*\}\}")


def compile_tree(template: object) -> Tree:
    """Compile a template: a string that is exactly one `{{ path }}` becomes the value with its type.

    A key whose value is none is left out, and so is an item of a list.

    Raises:
        ValueError: a string holds `{{` and is more than one path.

    """
    if isinstance(template, Mapping):
        return _compile_object({str(key): compile_tree(value) for key, value in template.items()})
    if isinstance(template, (list, tuple)):
        return _compile_list([compile_tree(value) for value in template])
    if isinstance(template, str) and "{{" in template:
        found = _PATH.fullmatch(template)
        if not found:
            message = f"{template!r} should be exactly one path, like {{{{ alert.content }}}}"
            raise ValueError(message)
        return _compile_path(found[1].split("."))
    return lambda _: template


def _compile_object(members: Mapping[str, Tree]) -> Tree:
    def render(names: Names) -> dict[str, Any]:
        rendered = ((key, member(names)) for key, member in members.items())
        return {key: value for key, value in rendered if value is not None}

    return render


def _compile_list(items: Sequence[Tree]) -> Tree:
    def render(names: Names) -> list[Any]:
        return [value for value in (item(names) for item in items) if value is not None]

    return render


def _compile_path(path: Sequence[str]) -> Tree:
    def render(names: Names) -> object:
        value: object = names
        for step in path:
            value = _step(value, step)
        return plain(value)

    return render


def _step(value: object, name: str) -> object:
    """Follow one step of a path: an item of a map, else a field of a model; none where there is neither."""
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, BaseModel) and name in type(value).model_fields:
        return getattr(value, name)
    return value.name if isinstance(value, Enum) and name == "name" else None


def plain(value: object) -> object:
    """Return a value as JSON has it: no enums, no NaN, times as ISO 8601."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        written = value.isoformat()
        return f"{written.removesuffix('+00:00')}Z" if written.endswith("+00:00") else written
    return value


def encode(value: object) -> bytes:
    """Write JSON as compact UTF-8 (RFC 8259)."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

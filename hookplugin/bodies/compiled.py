"""Compiled templates, apart from what compiles them: that needs Jinja2, and many configurations have no template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hookplugin.bodies.scope import Scope

Node: TypeAlias = Callable[[Scope], Any]
"""A compiled part of a tree; returns what `json` can write, or none."""


@dataclass(frozen=True, slots=True)
class Template:
    """Hold a compiled template, and what it speaks of."""

    source: object
    """What was compiled."""
    render: Node = field(repr=False, compare=False)
    used: frozenset[str] = frozenset()
    """The names that it speaks of."""
    vars: frozenset[str] = frozenset()
    """The secrets that it needs."""


def is_template(value: object) -> bool:
    """Say whether a text holds an expression or a statement."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)

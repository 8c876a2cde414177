"""Refusals: what no template may hold, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jinja2 import nodes

from hookplugin.bodies.filters import FILTER_NAMES
from hookplugin.bodies.parsing import TemplateError

_ASSIGNED: Final = "nothing can be assigned; write the expression where it is needed"
_MACRO: Final = "there are no macros; write the text where it is needed"
_ELSEWHERE: Final = "nothing comes from elsewhere; write the text here"
_STATEMENTS: Final[Mapping[type[nodes.Node], tuple[str, str]]] = {
    nodes.Assign: ("set", _ASSIGNED),
    nodes.AssignBlock: ("set", _ASSIGNED),
    nodes.With: ("with", _ASSIGNED),
    nodes.Macro: ("macro", _MACRO),
    nodes.CallBlock: ("call", _MACRO),
    nodes.Include: ("include", _ELSEWHERE),
    nodes.Import: ("import", _ELSEWHERE),
    nodes.FromImport: ("from", _ELSEWHERE),
    nodes.Extends: ("extends", _ELSEWHERE),
    nodes.Block: ("block", "there is nothing to replace it; write the text alone"),
    nodes.FilterBlock: ("filter", "write the filter behind the expression: {{ alert.content | upper }}"),
    nodes.ScopedEvalContextModifier: ("autoescape", "what is inserted is escaped for the body's format; remove it"),
}

_JOIN: Final = "write the parts beside each other: {{ a }}{{ b }}"
_SHOWS: Final = "a body only shows what there is"
_OPERATORS: Final[Mapping[type[nodes.Node], tuple[str, str]]] = {
    nodes.Concat: ("~", _JOIN),
    nodes.Add: ("+", f"{_SHOWS}; to join texts, {_JOIN}"),
    nodes.Mod: ("%", f"{_SHOWS}; instead of formatting, {_JOIN}"),
    nodes.Sub: ("-", f"{_SHOWS}; between two times there is {{{{ alert.first_trigger_time | duration(now) }}}}"),
    nodes.Mul: ("*", _SHOWS),
    nodes.Div: ("/", _SHOWS),
    nodes.FloorDiv: ("//", _SHOWS),
    nodes.Pow: ("**", _SHOWS),
    nodes.Neg: ("-", _SHOWS),
    nodes.Pos: ("+", _SHOWS),
}

_ESCAPED: Final = "is not needed: what is inserted is escaped for the body's format"
_LOOPS_IF: Final = (
    "does not exist; `firing` and `recovered` are lists, and loops take an if: {% for a in alerts if … %}"
)
_LOCAL: Final = 'does not exist; write local("Europe/Berlin", "%H:%M")'
REFUSED_IN_TREES: Final[Mapping[str, str]] = {
    "tojson": "is not needed: a value that stands alone keeps its type, and text is written as JSON has it",
}
REFUSED_IN_MARKUP: Final[Mapping[str, str]] = {"escape": _ESCAPED, "e": _ESCAPED}
FILTERS_REFUSED: Final[Mapping[str, str]] = {
    "sort": "does not exist; `ranked` are the alerts, those that fire and are most urgent first",
    "groupby": "does not exist; every request tells of its alerts one by one",
    "dictsort": "does not exist; `items` gives the pairs of a map, in their order",
    "safe": "does not exist: what is inserted is always escaped",
    "attr": "does not exist; write alert.content, or alert.tags[name]",
    "format": f"does not exist; {_JOIN}",
    "selectattr": _LOOPS_IF,
    "rejectattr": _LOOPS_IF,
    "select": _LOOPS_IF,
    "reject": _LOOPS_IF,
    "strftime": _LOCAL,
    "datetimeformat": _LOCAL,
}
"""Filters that people know from elsewhere."""

_METHODS: Final = {"strip": "trim", "get": "default", "keys": "items", "values": "items", "strftime": "local"}


def refusal(node: nodes.Node) -> TemplateError:
    """Return why a node is not allowed."""
    if isinstance(node, nodes.Call):
        return TemplateError(f"nothing can be called{_instead_of(node.node)}", node)
    if type(node) in _STATEMENTS:
        tag, why = _STATEMENTS[type(node)]
        return TemplateError(f"{{% {tag} %}} is refused: {why}", node)
    if type(node) in _OPERATORS:
        sign, why = _OPERATORS[type(node)]
        return TemplateError(f"`{sign}` is refused: {why}", node)
    return TemplateError(f"{type(node).__name__.lower()} is not allowed in a template", node)


def _instead_of(called: nodes.Node) -> str:
    if isinstance(called, nodes.Getattr):
        name = _METHODS.get(called.attr, called.attr)
        if name in FILTER_NAMES:
            return f"; write the filter: {_written(called.node)} | {name}"
    if isinstance(called, nodes.Name) and called.name in {"now", "utcnow"}:
        return '; write {{ now | iso }}, or {{ now | local("Europe/Berlin") }}'
    return "; there are filters, written value | name"


def _written(node: nodes.Node) -> str:
    """Write an expression again, where it is short."""
    if isinstance(node, nodes.Name):
        return node.name
    return f"{_written(node.node)}.{node.attr}" if isinstance(node, nodes.Getattr) else "…"

"""Expressions of templates, walked once against what is allowed, and made into functions.

Jinja2 only parses. What is compiled here is all that can run: nothing is called, no attribute of Python is reached,
and nothing grows beyond its bounds. Source: Jinja2's "Template Designer Documentation".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from inspect import signature
from typing import Any, Final

from jinja2 import nodes

from hookplugin.bodies.comparison import comparison
from hookplugin.bodies.filters import AT_ONCE, FILTER_NAMES, FILTERS, TESTS, Apply, duration, lasting
from hookplugin.bodies.operand import (
    NO_SCOPE,
    Compiled,
    Operands,
    bounded,
    constant,
    refuse_underscore,
    refuse_unknown_name,
    shape_inside,
)
from hookplugin.bodies.parsing import TemplateError
from hookplugin.bodies.refusal import FILTERS_REFUSED, REFUSED_IN_TREES
from hookplugin.bodies.scope import PER_PART, Scope
from hookplugin.bodies.shape import ANY, FILTERED, LIST, MAP, NUMBER, TEXT, TEXTS, UNKNOWN, Shape
from hookplugin.problems import nearest


class Expressions(Operands):
    """Compile the expressions of one body: choices, comparisons, and filters of operands."""

    def __init__(self, refused: Mapping[str, str] | None = None) -> None:
        """Begin with the names that every template sees.

        Args:
            refused: filters that are not allowed, and why; those of trees if none.

        """
        super().__init__()
        self._refused: Final = refused or {**FILTERS_REFUSED, **REFUSED_IN_TREES}

    # Choices

    def visit_CondExpr(self, node: nodes.CondExpr) -> Compiled:
        test, then = self.compile(node.test).run, self.compile(node.expr1)
        otherwise = self.compile(node.expr2) if node.expr2 else Compiled(lambda _: None, then.shape)
        one, other = then.run, otherwise.run
        return Compiled(lambda scope: one(scope) if test(scope) else other(scope), _either(then, otherwise))

    def visit_And(self, node: nodes.And) -> Compiled:
        left, right = self.compile(node.left), self.compile(node.right)
        one, other = left.run, right.run
        return Compiled(lambda scope: one(scope) and other(scope), _either(left, right))

    def visit_Or(self, node: nodes.Or) -> Compiled:
        left, right = self.compile(node.left), self.compile(node.right)
        one, other = left.run, right.run
        return Compiled(lambda scope: one(scope) or other(scope), _either(left, right))

    def visit_Not(self, node: nodes.Not) -> Compiled:
        inner = self.compile(node.node).run
        return Compiled(lambda scope: not inner(scope), NUMBER)

    def visit_Compare(self, node: nodes.Compare) -> Compiled:
        first = self.compile(node.expr)
        others = []
        for one in node.ops:
            other = self._compared(one.expr, first.shape)
            exact = other.literal and (other.shape is LIST or not one.op.endswith("in"))
            exact = exact and (first.shape in TEXTS or first.shape.level is not None)
            others.append((comparison(one.op, exact=exact), other))
        left_run = self._compared(node.expr, others[0][1].shape).run if first.literal else first.run
        if len(others) == 1 and others[0][1].literal:
            ((compares, second),) = others
            right_run = second.run
            return Compiled(lambda scope: compares(left_run(scope), right_run(scope)), NUMBER)

        def run(scope: Scope) -> bool:
            left = left_run(scope)
            for compares, other in others:
                right = other.run(scope)
                scope.handle(right)
                if not compares(left, right):
                    return False
                left = right
            return True

        return Compiled(run, NUMBER)

    def _compared(self, node: nodes.Node, other: Shape) -> Compiled:
        """Compile what is compared with something else; names of a priority or a status become what they name.

        Raises:
            TemplateError: there is no priority, or status, of that name.

        """
        found = self.compile(node)
        if not found.literal or (other.level is None and other.named is None):
            return found
        value = found.run(NO_SCOPE)
        if other.level is None:
            for name in value if isinstance(value, list) else [value]:
                refuse_unknown_name(other.named, name, node)
            return found
        if isinstance(value, list):
            return constant([_named(other.level, item, node) for item in value], found.shape)
        return constant(_named(other.level, value, node), found.shape)

    def visit_Test(self, node: nodes.Test) -> Compiled:
        if node.name not in TESTS:
            message = f"unknown test {node.name!r}{nearest(node.name, TESTS)}"
            raise TemplateError(message, node)
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            message = f"the test {node.name!r} takes nothing in brackets"
            raise TemplateError(message, node)
        test, inner = TESTS[node.name], self.compile(node.node).run
        return Compiled(lambda scope: test(inner(scope)), NUMBER)

    # Filters

    def visit_Filter(self, node: nodes.Filter) -> Compiled:
        if node.node is None or node.dyn_args or node.dyn_kwargs:
            message = "a filter is written behind a value: {{ alert.content | upper }}"
            raise TemplateError(message, node)
        if node.name in self._refused:
            message = f"the filter {node.name!r} {self._refused[node.name]}"
            raise TemplateError(message, node)
        of_expressions = {
            "combine": self._combine,
            "d": self._default,
            "default": self._default,
            "duration": self._duration,
        }
        inner = self.compile(node.node)
        if node.name in of_expressions:
            return of_expressions[node.name](node, inner)
        if node.name not in FILTERS:
            message = f"unknown filter {node.name!r}{nearest(node.name, FILTER_NAMES)}"
            raise TemplateError(message, node)
        return self._of_literals(node, inner)

    def _of_literals(self, node: nodes.Filter, inner: Compiled) -> Compiled:
        """Compile a filter whose arguments are literals."""
        apply, base, at_once = self._apply(node, inner.shape), inner.run, node.name in AT_ONCE

        def run(scope: Scope) -> Any:  # noqa: ANN401 - any JSON
            value = base(scope)
            if not at_once and (type(value) is not str or len(value) > PER_PART):
                scope.handle(value)
            found = apply(value, scope.longest)
            if type(found) is str and len(found) <= PER_PART:
                return found
            if found is not value:
                scope.handle(found)
            return bounded(found, scope)

        if node.name in {"first", "last"}:
            return Compiled(run, inner.shape.item or ANY)
        if node.name == "string":  # of a map, a map
            return Compiled(run, TEXT if inner.shape in {*TEXTS, NUMBER} else MAP if inner.shape is MAP else ANY)
        return Compiled(run, FILTERED.get(node.name, TEXT))

    def _apply(self, node: nodes.Filter, shape: Shape) -> Apply:
        """Make a filter of its literal arguments."""
        values = [self.literal(argument) for argument in node.args]
        named = {str(keyword.key): self.literal(keyword.value) for keyword in node.kwargs}
        try:
            given = signature(FILTERS[node.name]).bind(*values, **named)
            found = FILTERS[node.name](*given.args, **given.kwargs)
        except TypeError:
            raise _wrong_arguments(node) from None
        except ValueError as error:
            message = f"the filter {node.name!r}: {error}"
            raise TemplateError(message, node) from None
        attribute = given.arguments.get("attribute")
        if attribute is not None:
            inside = shape.item or ANY
            for step in str(attribute).split("."):
                refuse_underscore(step, node)
                inside = shape_inside(inside, step, node)
        elif shape.item and not shape.item.whole and node.name in {"join", "string"}:
            message = f'{shape.words} cannot be written whole; write map(attribute="content") before'
            raise TemplateError(message, node)
        return found

    def _default(self, node: nodes.Filter, inner: Compiled) -> Compiled:
        """Compile `default(other)`, and `default(other, true)`, which also replaces what is empty."""
        if len(node.args) not in {1, 2} or node.kwargs:
            raise _wrong_arguments(node)
        other = self.compile(node.args[0])
        base, otherwise, shape = inner.run, other.run, _either(inner, other)
        if len(node.args) == 2 and self.literal(node.args[1]):
            return Compiled(lambda scope: base(scope) or otherwise(scope), shape)

        def run(scope: Scope) -> Any:  # noqa: ANN401 - any JSON
            value = base(scope)
            return otherwise(scope) if value is None else value

        return Compiled(run, shape)

    def _combine(self, node: nodes.Filter, inner: Compiled) -> Compiled:
        """Compile `combine(other)`: both maps in one, without what is none; where both have a value, the other's."""
        if len(node.args) != 1 or node.kwargs:
            raise _wrong_arguments(node)
        base, more = inner.run, self.written(node.args[0]).run

        def run(scope: Scope) -> dict[str, Any]:
            maps = [value for value in (base(scope), more(scope)) if isinstance(value, dict)]
            for value in maps:
                scope.handle(value)
            return {name: item for value in maps for name, item in value.items() if item is not None}

        return Compiled(run, MAP)

    def _duration(self, node: nodes.Filter, inner: Compiled) -> Compiled:
        """Compile `duration` of milliseconds, and `duration(until)` of a time."""
        if len(node.args) > 1 or node.kwargs:
            raise _wrong_arguments(node)
        base = inner.run
        if not node.args and inner.path[-1:] and inner.path[-1].endswith("_trigger_time"):
            message = f"that is a time; write {'.'.join(inner.path)} | duration(now)"
            raise TemplateError(message, node)
        if not node.args:
            return Compiled(lambda scope: duration(base(scope)), TEXT)
        until = self.compile(node.args[0]).run
        return Compiled(lambda scope: lasting(base(scope), until(scope)), TEXT)


def _named(level: type[Enum], value: object, node: nodes.Node) -> object:
    """Return the priority or the status of a name; any other value as it is."""
    if not isinstance(value, str):
        return value
    name = {"resolved": "recovered"}.get(value, value)
    refuse_unknown_name(level, name, node)
    return level[name]


def _either(one: Compiled, other: Compiled) -> Shape:
    """Return what is known of a value that is one or the other."""
    if one.shape is other.shape:
        return one.shape
    return ANY if one.shape.whole and other.shape.whole else UNKNOWN


def _wrong_arguments(node: nodes.Filter) -> TemplateError:
    return TemplateError(f"the filter {node.name!r} takes other arguments", node)

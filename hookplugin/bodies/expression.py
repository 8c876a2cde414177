"""Expressions of templates, walked once against what is allowed, and made into functions.

Jinja2 only parses. What is compiled here is all that can run: nothing is called, no attribute of Python is reached,
and nothing grows beyond its bounds. Source: Jinja2's "Template Designer Documentation".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from inspect import signature
from typing import Any, Final, TypeAlias

from jinja2 import nodes
from jinja2.visitor import NodeVisitor

from hookplugin.bodies.access import member
from hookplugin.bodies.comparison import comparison
from hookplugin.bodies.filters import AT_ONCE, FILTER_NAMES, FILTERS, TESTS, Apply, duration, lasting
from hookplugin.bodies.parsing import TemplateError
from hookplugin.bodies.plain import cut
from hookplugin.bodies.refusal import FILTERS_REFUSED, REFUSED_IN_TREES, refusal
from hookplugin.bodies.scope import PER_PART, Scope
from hookplugin.bodies.secret import placeholder
from hookplugin.bodies.shape import (
    ALERT,
    ANY,
    ELSEWHERE,
    FILTERED,
    LIST,
    MAP,
    NAMES,
    NUMBER,
    PRIORITY,
    STATUS,
    TEXT,
    TEXTS,
    UNKNOWN,
    Shape,
)
from hookplugin.problems import nearest
from hookspecs.alert import INT64_MAX
from hookspecs.frozen import text

Run: TypeAlias = Callable[[Scope], Any]
"""A compiled expression."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Hold an expression that can run, and what is known of its value."""

    run: Run
    shape: Shape = ANY
    literal: bool = False
    """Whether it is the same in every scope."""
    path: tuple[str, ...] = ()
    """A name, and fields that are always there, if it is nothing but that."""


class Expressions(NodeVisitor):
    """Compile the expressions of one body, and remember what they speak of.

    There is a method for each node that is allowed; all others are refused.
    """

    def __init__(self, refused: Mapping[str, str] | None = None) -> None:
        """Begin with the names that every template sees.

        Args:
            refused: filters that are not allowed, and why; those of trees if none.

        """
        self._refused: Final = refused or {**FILTERS_REFUSED, **REFUSED_IN_TREES}
        self.used: Final[set[str]] = set()
        """The names that they speak of."""
        self.vars: Final[set[str]] = set()
        """The secrets that they need."""
        self.names: dict[str, Shape] = dict(NAMES)
        self.bound: frozenset[str] = frozenset()
        """The names that a loop has given."""
        self.numbered = False
        """Whether the innermost loop is asked for its numbers."""

    def compile(self, node: nodes.Node) -> Compiled:
        """Compile an expression.

        Raises:
            TemplateError: it is not allowed.

        """
        if self.secret(node):
            message = "a secret can only be written as it is: {{ vars.NAME }}"
            raise TemplateError(message, node)
        found: Compiled = self.visit(node)
        return found

    def written(self, node: nodes.Node) -> Compiled:
        """Compile an expression whose value is to be written.

        Raises:
            TemplateError: it is not allowed, or no value.

        """
        found = self.compile(node)
        if not found.shape.whole:
            message = f"{found.shape.words} cannot be written whole; write {found.shape.example}"
            raise TemplateError(message, node)
        return found

    def secret(self, node: nodes.Node) -> str:
        """Return the placeholder of `vars.NAME`; empty for any other expression.

        Raises:
            TemplateError: the name is not written out.

        """
        if not isinstance(node, (nodes.Getattr, nodes.Getitem)) or not _is_name(node.node, "vars"):
            return ""
        name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if not isinstance(name, str):
            message = "the name of a secret is written out: {{ vars.NAME }}"
            raise TemplateError(message, node)
        refuse_underscore(name, node)
        self.vars.add(name)
        return placeholder(name)

    def generic_visit(self, node: nodes.Node, *_: object, **__: object) -> Any:  # noqa: ANN401 - as in Jinja2
        """Refuse what has no method of its own."""
        raise refusal(node)

    # Names, and what is in them

    def visit_Name(self, node: nodes.Name) -> Compiled:
        refuse_underscore(node.name, node)
        if node.name == "vars":
            message = "a secret is written by its name: {{ vars.NAME }}"
            raise TemplateError(message, node)
        if node.name == "loop" and node.name not in self.names:
            message = "`loop` is known only within a loop, behind its head"
            raise TemplateError(message, node)
        if node.name not in self.names:
            field = ELSEWHERE.get(node.name, node.name)
            known = field.partition(".")[0] in (ALERT.fields or ())
            hint = f"; write alert.{field}" if known else nearest(node.name, [*self.names, "vars"])
            message = f"unknown name {node.name!r}{hint}"
            raise TemplateError(message, node)
        if node.name == "loop":
            self.numbered = True
        elif node.name not in self.bound:
            self.used.add(node.name)
        return Compiled(operator.itemgetter(node.name), self.names[node.name], path=(node.name,))

    def visit_Getattr(self, node: nodes.Getattr) -> Compiled:
        return self._step(node, node.attr)

    def visit_Getitem(self, node: nodes.Getitem) -> Compiled:
        if isinstance(node.arg, nodes.Slice):
            return self._slice(node, node.arg)
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return self._step(node, node.arg.value)
        inner, found = self.compile(node.node), self.compile(node.arg)
        base, key = inner.run, found.run
        if inner.literal and inner.shape is MAP and found.shape in TEXTS:
            get = base(_NO_SCOPE).get
            for name in base(_NO_SCOPE) if found.shape.named else ():
                _known_name(found.shape.named, name, node)
            return Compiled(lambda scope: get(key(scope)))
        return Compiled(lambda scope: _bounded(member(base(scope), key(scope)), scope), inner.shape.item or ANY)

    def _step(self, node: nodes.Getattr | nodes.Getitem, name: str) -> Compiled:
        refuse_underscore(name, node)
        inner = self.compile(node.node)
        shape, base = _inside(inner.shape, name, node), inner.run
        if inner.path and inner.shape in {ALERT, PRIORITY, STATUS}:  # the most common steps, and always there
            path = (*inner.path, name if inner.shape is ALERT else "_name_")  # as `name` of an enum, which is slow
            run = _walk(path)
            if shape not in TEXTS or inner.shape is not ALERT:
                return Compiled(run, shape, path=path)
            return Compiled(lambda scope: _bounded(run(scope), scope), shape)
        return Compiled(lambda scope: _bounded(member(base(scope), name), scope), shape)

    def _slice(self, node: nodes.Getitem, arg: nodes.Slice) -> Compiled:
        bounds = [None if bound is None else self._literal(bound) for bound in (arg.start, arg.stop, arg.step)]
        if bounds[2] == 0 or any(not (bound is None or type(bound) is int) for bound in bounds):
            message = "a slice is made of whole numbers: alert.content[:100]"
            raise TemplateError(message, node)
        piece = slice(*bounds)
        inner = self.compile(node.node)
        base = inner.run

        def run(scope: Scope) -> Any:  # noqa: ANN401 - any JSON
            value = base(scope)
            if not isinstance(value, (str, list, tuple)):
                return None
            found = value[piece]
            scope.handle(found)
            return found

        return Compiled(run, inner.shape)

    # Literals

    def visit_Const(self, node: nodes.Const) -> Compiled:
        value = self._literal(node)
        return _constant(value, TEXT if isinstance(value, str) else ANY if value is None else NUMBER)

    def visit_Neg(self, node: nodes.Neg) -> Compiled:
        return _constant(self._literal(node), NUMBER)

    def visit_List(self, node: nodes.List | nodes.Tuple) -> Compiled:
        found = [self.written(item) for item in node.items]
        items = [item.run for item in found]
        if all(item.literal for item in found):
            return _constant([item(_NO_SCOPE) for item in items], LIST)
        return Compiled(lambda scope: [item(scope) for item in items], LIST)

    visit_Tuple = visit_List  # noqa: N815 - as above

    def visit_Dict(self, node: nodes.Dict) -> Compiled:
        found = [(self._literal(pair.key), self.written(pair.value)) for pair in node.items]
        pairs = [(key, value.run) for key, value in found]
        if all(value.literal for _, value in found):
            return _constant({key: value(_NO_SCOPE) for key, value in pairs}, MAP)
        return Compiled(lambda scope: {key: value(scope) for key, value in pairs}, MAP)

    def _literal(self, node: nodes.Node) -> Any:  # noqa: ANN401 - any JSON
        sign, inner = (-1, node.node) if isinstance(node, nodes.Neg) else (1, node)
        if not isinstance(inner, nodes.Const) or (sign < 0 and type(inner.value) not in {int, float}):
            if sign < 0:
                raise refusal(node)
            message = 'this should be a literal, like 100 or "text"'
            raise TemplateError(message, node)
        value = inner.value
        if isinstance(value, int) and value > INT64_MAX:
            message = "the number does not fit into 64 bits"
            raise TemplateError(message, node)
        if isinstance(value, str):
            return text(value)
        return -value if sign < 0 else value

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
        value = found.run(_NO_SCOPE)
        if other.level is None:
            for name in value if isinstance(value, list) else [value]:
                _known_name(other.named, name, node)
            return found
        if isinstance(value, list):
            return _constant([_named(other.level, item, node) for item in value], found.shape)
        return _constant(_named(other.level, value, node), found.shape)

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
            return _bounded(found, scope)

        if node.name in {"first", "last"}:
            return Compiled(run, inner.shape.item or ANY)
        if node.name == "string":  # of a map, a map
            return Compiled(run, TEXT if inner.shape in {*TEXTS, NUMBER} else MAP if inner.shape is MAP else ANY)
        return Compiled(run, FILTERED.get(node.name, TEXT))

    def _apply(self, node: nodes.Filter, shape: Shape) -> Apply:
        """Make a filter of its literal arguments."""
        values = [self._literal(argument) for argument in node.args]
        named = {str(keyword.key): self._literal(keyword.value) for keyword in node.kwargs}
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
                inside = _inside(inside, step, node)
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
        if len(node.args) == 2 and self._literal(node.args[1]):
            return Compiled(lambda scope: base(scope) or otherwise(scope), shape)

        def run(scope: Scope) -> Any:  # noqa: ANN401 - any JSON
            value = base(scope)
            return otherwise(scope) if value is None else value

        return Compiled(run, shape)

    def _combine(self, node: nodes.Filter, inner: Compiled) -> Compiled:
        """Compile `combine(other)`: both maps in one, the other's values first, and those that are none left out."""
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


_NO_SCOPE: Final[Any] = None  # literals need none


def _walk(path: tuple[str, ...]) -> Run:
    root, get = path[0], operator.attrgetter(".".join(path[1:]))
    return lambda scope: get(scope[root])


def _named(level: type[Enum], value: object, node: nodes.Node) -> object:
    """Return the priority or the status of a name; any other value as it is."""
    if not isinstance(value, str):
        return value
    name = {"resolved": "recovered"}.get(value, value)
    _known_name(level, name, node)
    return level[name]


def _known_name(level: type[Enum] | None, name: object, node: nodes.Node) -> None:
    """Refuse a name that no priority, or status, has."""
    if level and isinstance(name, str) and name not in level.__members__:
        other = {"resolved": "recovered", "high": "emergency", "medium": "critical", "low": "warning"}.get(name)
        hint = f"; write {other!r}" if other in level.__members__ else nearest(name, level.__members__)
        message = f"there is no {level.__name__.lower()} {name!r}{hint}"
        raise TemplateError(message, node)


def _constant(value: object, shape: Shape) -> Compiled:
    return Compiled(lambda _: value, shape, literal=True)


def refuse_underscore(name: object, node: nodes.Node) -> None:
    """Refuse a name that begins with an underscore.

    Raises:
        TemplateError: it does.

    """
    if isinstance(name, str) and name.startswith("_"):
        message = f"{name!r} begins with an underscore, which is refused"
        raise TemplateError(message, node)


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _either(one: Compiled, other: Compiled) -> Shape:
    """Return what is known of a value that is one or the other."""
    if one.shape is other.shape:
        return one.shape
    return ANY if one.shape.whole and other.shape.whole else UNKNOWN


def _inside(shape: Shape, name: str, node: nodes.Node) -> Shape:
    """Return the shape of what is in another.

    Raises:
        TemplateError: nothing of that name can be there.

    """
    if shape.fields is None:
        return ANY
    if name in shape.fields:
        return shape.fields[name]
    snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in name)
    if shape.item is ALERT:
        hint = f"; write alert.{name}, or go through them: for alert in alerts"
    elif not shape.fields:
        hint = f"; write | {name}" if name in FILTERS else ""
    elif shape is ALERT and (name in ELSEWHERE or snake in shape.fields):
        hint = f"; write {ELSEWHERE.get(name, snake)}"
    else:
        hint = nearest(name, shape.fields)
    message = f"{shape.words} has no {name!r}{hint}"
    raise TemplateError(message, node)


def _wrong_arguments(node: nodes.Filter) -> TemplateError:
    return TemplateError(f"the filter {node.name!r} takes other arguments", node)


def _bounded(value: Any, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
    """Return a value, cut if it is a text that is too long to go on with."""
    return cut(value, scope.longest) if type(value) is str and len(value) > scope.longest else value

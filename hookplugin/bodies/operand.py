"""What expressions of templates are about: names, what is in them, and literals."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from jinja2 import nodes
from jinja2.visitor import NodeVisitor

from hookplugin.bodies.access import member
from hookplugin.bodies.filters import FILTERS
from hookplugin.bodies.parsing import TemplateError
from hookplugin.bodies.plain import cut
from hookplugin.bodies.refusal import refusal
from hookplugin.bodies.scope import Scope
from hookplugin.bodies.secret import placeholder
from hookplugin.bodies.shape import (
    ALERT,
    ANY,
    ELSEWHERE,
    LIST,
    MAP,
    NAMES,
    NUMBER,
    PRIORITY,
    STATUS,
    TEXT,
    TEXTS,
    Shape,
)
from hookplugin.problems import nearest
from hookspecs.alert import INT64_MAX
from hookspecs.frozen import text

Run: TypeAlias = Callable[[Scope], Any]
"""A compiled expression."""

NO_SCOPE: Final[Any] = None
"""What literals run with."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Hold an expression that can run, and what is known of its value."""

    run: Run
    shape: Shape = ANY
    literal: bool = False
    """Whether it is the same in every scope."""
    path: tuple[str, ...] = ()
    """A name, and fields that are always there, if it is nothing but that."""


class Operands(NodeVisitor):
    """Compile what the expressions of one body are about, and remember what they speak of.

    There is a method for each node that is allowed; all others are refused.
    """

    def __init__(self) -> None:
        """Begin with the names that every template sees."""
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
            get = base(NO_SCOPE).get
            for name in base(NO_SCOPE) if found.shape.named else ():
                refuse_unknown_name(found.shape.named, name, node)
            return Compiled(lambda scope: get(key(scope)))
        return Compiled(lambda scope: bounded(member(base(scope), key(scope)), scope), inner.shape.item or ANY)

    def _step(self, node: nodes.Getattr | nodes.Getitem, name: str) -> Compiled:
        refuse_underscore(name, node)
        inner = self.compile(node.node)
        shape, base = shape_inside(inner.shape, name, node), inner.run
        if inner.path and inner.shape in {ALERT, PRIORITY, STATUS}:  # the most common steps, and always there
            path = (*inner.path, name if inner.shape is ALERT else "_name_")  # as `name` of an enum, which is slow
            run = _walk(path)
            if shape not in TEXTS or inner.shape is not ALERT:
                return Compiled(run, shape, path=path)
            return Compiled(lambda scope: bounded(run(scope), scope), shape)
        return Compiled(lambda scope: bounded(member(base(scope), name), scope), shape)

    def _slice(self, node: nodes.Getitem, arg: nodes.Slice) -> Compiled:
        bounds = [None if bound is None else self.literal(bound) for bound in (arg.start, arg.stop, arg.step)]
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
        value = self.literal(node)
        return constant(value, TEXT if isinstance(value, str) else ANY if value is None else NUMBER)

    def visit_Neg(self, node: nodes.Neg) -> Compiled:
        return constant(self.literal(node), NUMBER)

    def visit_List(self, node: nodes.List | nodes.Tuple) -> Compiled:
        found = [self.written(item) for item in node.items]
        items = [item.run for item in found]
        if all(item.literal for item in found):
            return constant([item(NO_SCOPE) for item in items], LIST)
        return Compiled(lambda scope: [item(scope) for item in items], LIST)

    visit_Tuple = visit_List  # noqa: N815 - as above

    def visit_Dict(self, node: nodes.Dict) -> Compiled:
        found = [(self.literal(pair.key), self.written(pair.value)) for pair in node.items]
        pairs = [(key, value.run) for key, value in found]
        if all(value.literal for _, value in found):
            return constant({key: value(NO_SCOPE) for key, value in pairs}, MAP)
        return Compiled(lambda scope: {key: value(scope) for key, value in pairs}, MAP)

    def literal(self, node: nodes.Node) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of a literal.

        Raises:
            TemplateError: it is none.

        """
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


def _walk(path: tuple[str, ...]) -> Run:
    root, get = path[0], operator.attrgetter(".".join(path[1:]))
    return lambda scope: get(scope[root])


def refuse_unknown_name(level: type[Enum] | None, name: object, node: nodes.Node) -> None:
    """Refuse a name that no priority, or status, has.

    Raises:
        TemplateError: there is none of that name.

    """
    if level and isinstance(name, str) and name not in level.__members__:
        other = {"resolved": "recovered", "high": "emergency", "medium": "critical", "low": "warning"}.get(name)
        hint = f"; write {other!r}" if other in level.__members__ else nearest(name, level.__members__)
        message = f"there is no {level.__name__.lower()} {name!r}{hint}"
        raise TemplateError(message, node)


def constant(value: object, shape: Shape) -> Compiled:
    """Return an expression that always has this value."""
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


def shape_inside(shape: Shape, name: str, node: nodes.Node) -> Shape:
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


def bounded(value: Any, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
    """Return a value, cut if it is a text that is too long to go on with."""
    return cut(value, scope.longest) if type(value) is str and len(value) > scope.longest else value

"""Templates: text with expressions, choices and loops in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from jinja2 import nodes

from hookplugin.bodies.expression import Expressions
from hookplugin.bodies.loop import Loop
from hookplugin.bodies.operand import Compiled, refuse_underscore
from hookplugin.bodies.parsing import TemplateError
from hookplugin.bodies.plain import as_text
from hookplugin.bodies.refusal import FILTERS_REFUSED, REFUSED_IN_MARKUP, refusal
from hookplugin.bodies.scope import Scope, TooLargeError
from hookplugin.bodies.shape import ANY, LOOP, MAP, TEXT, Shape

Write: TypeAlias = Callable[[Scope], str]
"""A compiled piece of text."""

_DEEPEST: Final = 2  # loops within each other


class Compiler(Expressions):
    """Compile the templates of one body."""

    def __init__(self, escape: Callable[[str], str] | None = None, *, text: bool = False) -> None:
        """Begin with the names that every template sees.

        Args:
            escape: what is done to each text that is inserted into text.
            text: whether the body is text, and no tree.

        """
        super().__init__({**FILTERS_REFUSED, **(REFUSED_IN_MARKUP if escape else {})} if text else None)
        self._escape: Final = escape
        self.loops = 0
        """How many are around what is compiled."""

    def text(self, template: nodes.Template) -> Write:
        """Compile a template to text.

        Raises:
            TemplateError: it is not allowed.

        """
        return self._block(template.body)

    def only_expression(self, template: nodes.Template) -> Compiled | None:
        """Compile the expression that is all of a template; none if there is more, or less.

        Raises:
            TemplateError: it is not allowed.

        """
        output = template.body[0] if len(template.body) == 1 else None
        if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
            return None
        (only,) = output.nodes
        if isinstance(only, nodes.TemplateData):
            return None
        secret = self.secret(only)
        return Compiled(lambda _: secret, TEXT) if secret else self.written(only)

    @contextmanager
    def loop(self, node: nodes.For, parts: int) -> Iterator[Loop]:
        """Compile the head of a loop; inside, its names are known.

        Args:
            node: the loop.
            parts: of the template, that each turn renders.

        Raises:
            TemplateError: it is not allowed.

        """
        if node.recursive:
            message = "a loop cannot call itself; remove `recursive`"
            raise TemplateError(message, node)
        if node.else_:
            message = "a loop has no else; write {% if alerts %} … {% else %} … {% endif %} around it"
            raise TemplateError(message, node)
        if self.loops == _DEEPEST:
            message = f"more than {_DEEPEST} loops within each other"
            raise TemplateError(message, node)
        values, targets = self.compile(node.iter), _targets(node.target)
        names, bound, numbered = self.names, self.bound, self.numbered
        shapes = _shapes(values.shape, targets, node.iter)
        self.names = {**names, **shapes}
        self.names.pop("loop", None)  # how many turns there are is known behind the condition
        self.bound = bound | shapes.keys()
        self.numbered = False
        self.loops += 1
        try:
            loop = Loop(values.run, self.compile(node.test).run if node.test else None, targets, parts)
            self.names["loop"] = LOOP
            yield loop
            loop.numbered = self.numbered
            given = (*targets, "loop") if loop.numbered else targets
            loop.shadowed = tuple(name for name in given if name in names)
        finally:
            self.names, self.bound, self.numbered = names, bound, numbered
            self.loops -= 1

    def _block(self, body: Iterable[nodes.Node]) -> Write:
        parts: list[Write] = []
        for node in body:
            if isinstance(node, nodes.Output):
                parts += (self._piece(child) for child in node.nodes)
            elif isinstance(node, nodes.If):
                parts.append(self._if(node))
            elif isinstance(node, nodes.For):
                parts.append(self._for(node))
            else:
                raise refusal(node)
        if len(parts) == 1:
            return parts[0]
        return lambda scope: "".join([part(scope) for part in parts])

    def _piece(self, node: nodes.Expr) -> Write:
        constant = node.data if isinstance(node, nodes.TemplateData) else self.secret(node)
        if constant:
            return lambda _: constant
        run, escape = self.written(node).run, self._escape
        if escape:
            return lambda scope: escape(as_text(run(scope), scope.longest))

        def write(scope: Scope) -> str:
            value = run(scope)
            return value if type(value) is str and len(value) <= scope.longest else as_text(value, scope.longest)

        return write

    def _if(self, node: nodes.If) -> Write:
        branches = [(self.compile(one.test).run, self._block(one.body)) for one in (node, *node.elif_)]
        otherwise = self._block(node.else_)

        def write(scope: Scope) -> str:
            for test, then in branches:
                if test(scope):
                    return then(scope)
            return otherwise(scope)

        return write

    def _for(self, node: nodes.For) -> Write:
        with self.loop(node, sum(1 for _ in node.find_all(nodes.Node))) as loop:
            inside = self._block(node.body)

        def write(scope: Scope) -> str:
            parts: list[str] = []
            left = scope.room
            for _ in loop.turns(scope):
                parts.append(inside(scope))
                left -= len(parts[-1])
                if left < 0:
                    raise TooLargeError
            return "".join(parts)

        return write


def _targets(node: nodes.Node) -> tuple[str, ...]:
    """Return the names that a loop gives."""
    names = []
    for target in node.items if isinstance(node, nodes.Tuple) else [node]:
        if not isinstance(target, nodes.Name):
            message = "the names of a loop are written like: for alert in alerts"
            raise TemplateError(message, node)
        refuse_underscore(target.name, target)
        if target.name in {"loop", "vars"}:
            message = f"{target.name!r} has a meaning already; choose another name"
            raise TemplateError(message, target)
        names.append(target.name)
    return tuple(names)


def _shapes(values: Shape, targets: tuple[str, ...], node: nodes.Node) -> dict[str, Shape]:
    """Return what is known of the names that a loop gives."""
    if values.item is None and values.fields is not None:
        message = f"{values.words} is no list, and nothing goes through it"
        raise TemplateError(message, node)
    if values is MAP and len(targets) > 1:
        message = "the pairs of a map come from its `items`: for name, value in alert.tags | items"
        raise TemplateError(message, node)
    return {targets[0]: values.item or ANY} if len(targets) == 1 else dict.fromkeys(targets, ANY)

"""Bodies as JSON trees: structure and keys are fixed, text leaves are templates, nothing rendered is parsed again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes

from hookplugin.bodies.compiled import Node, Template, is_template
from hookplugin.bodies.operand import Compiled
from hookplugin.bodies.parsing import TemplateError, parse
from hookplugin.bodies.plain import encode, plain
from hookplugin.bodies.scope import RenderError, Scope
from hookplugin.bodies.shape import TEXTS
from hookplugin.bodies.template import Compiler, Write
from hookplugin.problems import Path, Problem, ProblemsError
from hookspecs.alert import INT64_MAX, INT64_MIN
from hookspecs.frozen import text

_LOOP: Final = re.compile(r"\s*for(each)?\s")
_CHOICE: Final = re.compile(r"\s*(el)?if\s")
_DEEPEST: Final = 32  # levels of a template


def compile_tree(tree: object) -> Template:
    """Compile a JSON tree.

    A text that is exactly one expression becomes the value with its type; if that is none, its key is left out, and so
    is an item of a list. Any other text stays text. An item of a list that is a map with the one key
    `for NAME in EXPRESSION` becomes one item for each turn.

    Raises:
        ProblemsError: all that is wrong with it.

    """
    compiler, problems = Compiler(), list[Problem]()
    render = _Trees(compiler, problems).node(tree, ())
    if problems:
        raise ProblemsError(problems)
    return Template(tree, render, frozenset(compiler.used), frozenset(compiler.vars))


def compile_text(source: str, escape: Callable[[str], str] | None = None) -> Template:
    """Compile a template whose result is text.

    Args:
        source: the template.
        escape: what is done to each text that is inserted.

    Raises:
        ProblemsError: what is wrong with it.

    """
    compiler = Compiler(escape, text=True)
    try:
        write: Write = compiler.text(parse(source))
    except TemplateError as error:
        raise ProblemsError([Problem((), str(error), error.offset)]) from None
    return Template(source, write, frozenset(compiler.used), frozenset(compiler.vars))


@dataclass(frozen=True, slots=True)
class _Trees:
    """Compile the parts of one tree, and collect what is wrong with them."""

    compiler: Compiler
    problems: list[Problem]

    def node(self, template: object, path: Path) -> Node:
        if len(path) > _DEEPEST:
            return self._refuse(path, f"is nested more than {_DEEPEST} levels deep")
        if isinstance(template, Mapping):
            return self._map(template, path)
        if isinstance(template, (list, tuple)):
            return self._list(template, path)
        if isinstance(template, str):
            return self._text(template, path)
        if isinstance(template, float) and not math.isfinite(template):
            return self._refuse(path, "is no number that JSON knows; write it in quotes if it is text")
        if isinstance(template, int) and not INT64_MIN <= template <= INT64_MAX:
            return self._refuse(path, "does not fit into 64 bits; write it in quotes")
        if template is not None and not isinstance(template, (bool, int, float)):
            return self._refuse(
                path, f"should be text, a number, true, false, null, a list or a map, not {type(template).__name__}"
            )
        return _Constant(template)

    def _refuse(self, path: Path, message: str, offset: int | None = None, *, in_key: bool = False) -> Node:
        self.problems.append(Problem(path, message, offset, in_key))
        return _Constant(None)

    def _text(self, source: str, path: Path) -> Node:
        if not is_template(source):
            return _Constant(text(source))
        try:
            parsed = parse(source)
            only = self.compiler.only_expression(parsed)
            write = self.compiler.text(parsed) if only is None else None
        except TemplateError as error:
            return self._refuse(path, str(error), error.offset)
        leaf = write or _plain(only)
        return _counted(leaf) if self.compiler.loops else leaf

    def _map(self, template: Mapping[Any, object], path: Path) -> Node:
        fixed: dict[str, Any] = {}  # in the order of the template, with the places of what is rendered
        rendered: list[tuple[str, Node]] = []
        for key, value in template.items():
            here = (*path, str(key))
            problem = _wrong_key(key)
            if problem:
                self._refuse(here, problem, 0, in_key=True)
            name, member = text(str(key)), self.node(value, here)
            fixed[name] = member.value if isinstance(member, _Constant) else None
            if not isinstance(member, _Constant):
                rendered.append((name, member))

        if not rendered:
            return _Constant(fixed)

        def render(scope: Scope) -> dict[str, Any]:
            found = fixed.copy()
            name = ""
            try:
                for name, member in rendered:
                    value = member(scope)
                    if value is None:
                        found.pop(name, None)
                    else:
                        found[name] = value
            except RenderError as error:
                error.path = (name, *error.path)
                raise
            return found

        return render

    def _list(self, template: Sequence[object], path: Path) -> Node:
        items = [(self._item(value, (*path, index)), value is None) for index, value in enumerate(template)]

        fixed = [item.value for item, _ in items if isinstance(item, _Constant)]
        if len(fixed) == len(items):
            return _Constant(fixed)

        def render(scope: Scope) -> list[Any]:
            found: list[Any] = []
            index = 0
            try:
                for index, (item, null) in enumerate(items):  # noqa: B007 - it is told if one fails
                    value = item(scope)
                    if isinstance(value, _Several):
                        found += value
                    elif value is not None or null:
                        found.append(value)
            except RenderError as error:
                error.path = (index, *error.path)
                raise
            return found

        return render

    def _item(self, template: object, path: Path) -> Node:
        if isinstance(template, Mapping) and len(template) == 1:
            ((key, value),) = template.items()
            if isinstance(key, str) and _LOOP.match(key):
                return self._loop(key, value, (*path, key))
        return self.node(template, path)

    def _loop(self, head: str, template: object, path: Path) -> Node:
        try:
            with self.compiler.loop(_parse_head(head), _count(template)) as loop:
                inside = self.node(template, path)
        except TemplateError as error:
            return self._refuse(path, str(error), max(error.offset - len("{% "), 0), in_key=True)
        null = template is None

        def render(scope: Scope) -> _Several:
            values = (inside(scope) for _ in loop.turns(scope))
            return _Several(value for value in values if value is not None or null)

        return render


@dataclass(frozen=True, slots=True)
class _Constant:
    """Hold a part without templates."""

    value: object

    def __call__(self, _: Scope) -> Any:  # noqa: ANN401 - JSON has no narrower type
        return self.value


class _Several(list[Any]):
    """Hold the items that a loop gave for one."""


def _plain(only: Compiled | None) -> Node:
    """Return the value of an expression as JSON has it; a text is that already."""
    assert only  # noqa: S101 - a template is either text, or one expression
    run = only.run
    return run if only.shape in TEXTS else lambda scope: plain(run(scope), scope.longest)


def _wrong_key(key: object) -> str:
    if not isinstance(key, str):
        return "the key should be text; write it in quotes"
    if is_template(key):
        return "keys are fixed; what differs belongs into a value"
    if _LOOP.match(key):
        return "a loop is an item of a list, with nothing beside it: - for alert in alerts:"
    if _CHOICE.match(key):
        return "choices are made in values, and of items: - for link in [alert.link] if link:"
    return ""


def _counted(leaf: Node) -> Node:
    """Return a leaf of a loop that gives up when there is more than fits into the body."""

    def render(scope: Scope) -> Any:  # noqa: ANN401 - any JSON
        value = leaf(scope)
        if type(value) is str:
            scope.take(len(value))
        elif isinstance(value, (dict, list)):
            scope.take(len(encode(value)))
        return value

    return render


def _parse_head(head: str) -> nodes.For:
    if head.lstrip().startswith("foreach"):
        message = "is no loop; write: for alert in alerts"
        raise TemplateError(message)
    found = parse(f"{{% {head} %}}{{% endfor %}}").body
    if len(found) != 1 or not isinstance(found[0], nodes.For) or found[0].body:
        message = "is no loop; write: for alert in alerts"
        raise TemplateError(message)
    return found[0]


def _count(template: object) -> int:
    if isinstance(template, Mapping):
        return 1 + sum(map(_count, template.values()))
    return 1 + (sum(map(_count, template)) if isinstance(template, (list, tuple)) else 0)

"""YAML files that know the line of everything in them.

Scalars are read by YAML 1.2's core schema: `no`, `on` and `12:30` are text, not false, true and 750.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from hookplugin.problems import Problem, shown
from hookspecs.frozen import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


_QUOTED: Final = re.compile(r"\b(tag|alias|anchor|handle) ['\"].*", re.DOTALL)
"""Where PyYAML's messages quote the text: a password may begin with `!`, `*` or `&`."""

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1, as libyaml counts lines

_HINTS: Final = {
    "cannot start any token": "; indent with spaces, not with tabs",
    "mapping values are not allowed": "; a value with a colon in it is written in quotes",
}

# libyaml is ten times as fast, where PyYAML was built with it
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the base is chosen at run time
    """Read YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's way to say it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def descend_resolver(self, *_: object) -> None:
        """Count the levels: libyaml's composer would run out of stack, and end the process."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RecursionError

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    text: str = node.value.lower()
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    return int(text, base)


_NUMBER: Final = list("-+0123456789.")
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _NUMBER),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _NUMBER),
    ("merge", r"<<", ["<"]),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class ConfigError(Exception):
    """Say everything that is wrong with a configuration, a line each: `file:line: path: what; what is allowed`."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Hold the lines."""
        self.problems: Final = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """Hold what a configuration says, and where it stands."""

    data: object = field(repr=False)
    name: str = "configuration"
    directory: Path = field(default_factory=Path.cwd)
    text: str | None = field(default=None, repr=False)

    def locate(self, problems: Iterable[Problem]) -> list[str]:
        """Write problems with file and line, in the order of their lines."""
        problems = list(problems)
        root = compose(self.text) if self.text and problems else None
        if root is None:
            return [f"{self.name}: {problem}{_character(problem)}" for problem in problems]
        source = _BREAK.split(self.text or "")
        places = sorted(((_place(root, problem, source), problem) for problem in problems), key=itemgetter(0))
        return [f"{self.name}:{':'.join(map(str, place))}: {problem}" for place, problem in places]


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says a key twice.

    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except ValueError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    return parse_document(path, text)


def compose(text: str) -> yaml.Node | None:
    """Return what a YAML text is made of, each part with its place; none if there is nothing.

    Raises:
        yaml.YAMLError: it is no YAML.

    """
    found: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return found


def load(text: str) -> object:
    """Return what a YAML text says.

    Raises:
        yaml.YAMLError: it is no YAML.

    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe loader


def parse_document(path: Path, text: str) -> Document:
    """Parse what a YAML file holds, or is to hold.

    Raises:
        ConfigError: it is no YAML, or says a key twice.

    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        twice = list(_twice(root))  # before `<<` is resolved: it may bring what stands beside it
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        # never str(error): it quotes the text, and a secret may stand there
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        if "nesting depth" in (error.problem or ""):
            raise ConfigError([f"{path}: is nested more than {MAX_DEPTH} levels deep"]) from None
        what = _QUOTED.sub(r"\1", ", ".join(part for part in (error.context, error.problem) if part))
        begun = f"; begun in line {error.context_mark.line + 1}" if error.context_mark else ""
        hint = next((hint for words, hint in _HINTS.items() if words in what), "")
        lines = text.splitlines()
        marked = [
            lines[mark.line] for mark in (error.context_mark, error.problem_mark) if mark and mark.line < len(lines)
        ]
        if any("{{" in line or "{%" in line for line in marked):
            hint = "; a template is written in quotes, or below a `|`; within double quotes write alert.tags['a']"
        raise ConfigError([f"{where}: is not YAML: {what}{begun}{hint}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested more than {MAX_DEPTH} levels deep"]) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError):  # what PyYAML raises for a wrong `!!bool x`
        raise ConfigError([f"{path}: is not YAML: it holds a character or a value that YAML forbids"]) from None
    if twice:
        raise ConfigError(f"{path}:{line}: the key {shown(key)!r} stands twice; remove one" for line, key in twice)
    if data is None:
        raise ConfigError([f"{path}: is empty; `hookplugin init FILE` writes one to start from"])
    return Document(data, str(path), path.absolute().parent, text)


def _twice(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Find the keys that stand twice in one map, with their lines."""
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:  # an alias
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    yield key.start_mark.line + 1, key.value
                seen.add(str(key.value))


def _character(problem: Problem) -> str:
    return f" (character {problem.offset + 1})" if problem.offset else ""


def _place(root: yaml.Node, problem: Problem, source: Sequence[str]) -> tuple[int, ...]:
    """Return the line of a problem, or of as much of its path as there is; and the column, if it is in a text."""
    at = node = root
    for key in problem.path:
        found = _child(node, key)
        if found is None:
            return (at.start_mark.line + 1,)
        at, node = found
    text = at if problem.in_key else node
    if problem.offset is None or not isinstance(text, yaml.ScalarNode):
        return (at.start_mark.line + 1,)
    return _position(text, problem.offset, source)


def _child(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return where a key stands, and its value."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name, value
    return None


def _position(text: yaml.ScalarNode, offset: int, source: Sequence[str]) -> tuple[int, int]:
    """Return line and column of a character of a text; where escapes or folding hide it, those of its begin."""
    line: int = text.start_mark.line
    column: int = text.start_mark.column
    before: str = text.value[:offset]
    if text.style == "|":
        row, rest = before.count("\n"), before.rpartition("\n")[2]
        written = source[line + 1 + row] if line + 1 + row < len(source) else ""
        found = written.find(text.value.split("\n")[row])
        return (line + 2 + row, found + len(rest) + 1) if found >= 0 else (line + 1, column + 1)
    quote = 1 if text.style in {"'", '"'} else 0
    plain = source[line][column + quote :].startswith(text.value)
    return (line + 1, column + quote + offset + 1) if plain else (line + 1, column + 1)

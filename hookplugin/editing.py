"""Edits of a YAML file that leave every line as it was.

A round trip through a YAML library would indent anew, and put what is added behind the comment of the next section.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import yaml

from hookplugin.document import ConfigError, Document, compose, load, parse_document, read_document

_STEP: Final = 2  # spaces of indentation, where the file does not say
_DASH: Final = re.compile(r"^ *-(?=\s)", re.MULTILINE)
_PLAIN: Final = re.compile(r"[A-Za-z/][\w ./:@%+=~-]*", re.ASCII)


def add_item(path: Path, section: str, item: Mapping[str, Any], check: Callable[[Document], object]) -> Document:
    """Add an item to a list of a YAML file, at its end; the file is replaced at once, or not touched.

    Args:
        path: of the file.
        section: the key of the list; it is made if it is missing.
        item: its keys and values: text, numbers, lists, maps.
        check: raises ConfigError if the file would be wrong then.

    Raises:
        ConfigError: it cannot be read, written or edited, or would be wrong.

    """
    real = path.resolve()  # a link stays a link
    with _locked(real.parent):
        before = read_document(path)
        after = _edited(path, before, section, item)
        if after is None:
            check(before)  # what is wrong already is more to the point
            lines = "\n".join([f"{section}:", *_block(item, _STEP)])
            raise ConfigError([f"{path}: is written in a way that cannot be edited here; add this yourself:\n{lines}"])
        _check(check, before, after)
        try:
            _replace(real, after.text or "")
        except OSError as error:
            raise ConfigError([f"{path}: cannot be written: {error.strerror}"]) from None
    return after


def _edited(path: Path, before: Document, section: str, item: Mapping[str, Any]) -> Document | None:
    """Return what the file is to hold; none if it would say something else than before, and the item."""
    try:
        after = parse_document(path, _insert(before.text or "", section, item))
        same = after.data == _expected(before.data, section, item)
    except (ConfigError, RecursionError):  # of a list that holds itself
        return None
    return after if same else None


def _check(check: Callable[[Document], object], before: Document, after: Document) -> None:
    try:
        check(after)
    except ConfigError as error:
        check(before)  # with the lines that people see
        raise ConfigError([*error.problems, "nothing was changed"]) from None


def _expected(data: object, section: str, item: Mapping[str, Any]) -> object:
    whole: dict[str, Any] = data if isinstance(data, dict) else {}
    items = whole.get(section)
    return {**whole, section: [*(items if isinstance(items, list) else ()), dict(item)]}


def _insert(text: str, section: str, item: Mapping[str, Any]) -> str:
    root = compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    key, found = next(((key, value) for key, value in pairs if key.value == section), (None, None))
    if isinstance(found, yaml.SequenceNode) and found.value and not found.flow_style:
        indent = _indent(text, found)
        return _with_lines(text, _end(text, found, indent), _block(item, indent))
    words = _quoted(item) if isinstance(root, yaml.CollectionNode) and root.flow_style else _flow(item)
    if isinstance(found, yaml.SequenceNode):
        return _with_words(text, found, words)
    if key is not None:
        return _with_lines(text, _end(text, key, 0), _block(item, _STEP))
    if isinstance(root, yaml.CollectionNode) and root.flow_style:
        return _with_words(text, root, f"{json.dumps(section)}: [{words}]")
    apart = [""] if text.strip() else []
    return _with_lines(text, len(text), [*apart, f"{section}:", *_block(item, _STEP)])


def _indent(text: str, found: yaml.Node) -> int:
    """Return the column of the dashes of a list; an anchor or a tag may come before the first."""
    start = found.start_mark.index
    dash = _DASH.search(text, start)
    return found.start_mark.column if text[start] == "-" or dash is None else dash.end() - dash.start() - 1


def _with_lines(text: str, position: int, lines: list[str]) -> str:
    line_end = "\r\n" if "\r\n" in text else "\n"
    before = line_end if position and text[position - 1] != "\n" else ""
    return text[:position] + before + "".join(f"{line}{line_end}" for line in lines) + text[position:]


def _with_words(text: str, node: yaml.Node, words: str) -> str:
    """Put words before the closing bracket of a flow collection."""
    position = node.end_mark.index - 1
    return f"{text[:position]}{', ' if node.value else ''}{words}{text[position:]}"


def _end(text: str, node: yaml.Node, indent: int) -> int:
    """Return where the line behind a node begins, and behind the comments that belong to its last item."""
    position = max(mark.index for mark in _end_marks(node))
    if text[position - 1] != "\n":
        position = _next_line(text, position)
    end = position
    for line in text[position:].splitlines(keepends=True):
        words = line.lstrip(" ")
        if words.strip() and not (words.startswith("#") and len(line) - len(words) > indent):
            break
        position += len(line)
        end = position if words.strip() else end
    return end


def _next_line(text: str, position: int) -> int:
    return text.find("\n", position) + 1 or len(text)


def _end_marks(node: yaml.Node) -> Iterator[yaml.Mark]:
    """Yield where scalars and flow collections end: a block collection ends only where the next thing begins."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        yield node.end_mark
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for child in pair:
                yield from _end_marks(child)
    else:
        for child in node.value:
            yield from _end_marks(child)


def _block(item: Mapping[str, Any], indent: int) -> list[str]:
    marks = chain(["- "], repeat("  "))
    return [f"{' ' * indent}{next(marks)}{name}: {_flow(value)}" for name, value in item.items()]


def _flow(value: object) -> str:
    """Write a value on one line: lists and maps as YAML's flow style, text in quotes where it needs them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(str(name))}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _is_plain(value):
        return value
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return _quoted(value)


def _quoted(value: object) -> str:
    """Write a value as JSON, which is YAML, too; but YAML reads no pairs of surrogates."""
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def _is_plain(value: str) -> bool:
    """Say whether a text means itself without quotes, also between brackets."""
    try:
        return bool(_PLAIN.fullmatch(value)) and load(f"[{value}]") == [value]
    except yaml.YAMLError:
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let only one process edit files of a folder at a time, where the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigError([f"{folder}: cannot be read: {error.strerror}"]) from None
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Replace a file at once, by one with the same mode and, where that may be, the same owner."""
    status = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            with suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise

"""Parsing: Jinja2's syntax, with the place of everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from hookspecs.frozen import text

_LONGEST: Final = 4096  # characters of a template
_MOST_NODES: Final = 500
_OPENING: Final = frozenset({"comment_begin", "raw_begin"})


class TemplateError(ValueError):
    """Say what is wrong with a template, and where."""

    def __init__(self, message: str, at: nodes.Node | int = 0) -> None:
        """Hold the message, and the node or the character at which it is wrong."""
        super().__init__(message)
        self.offset: Final = at if isinstance(at, int) else max((at.lineno or 1) - 1, 0)  # some nodes have no place


class _Offsets(Extension):
    """Give tokens their offset where Jinja2 gives their line: nodes and errors then know where they stand."""

    def filter_stream(self, stream: TokenStream) -> TokenStream:
        source = stream.name or ""  # `parse` hands it over as the name
        return TokenStream(self.environment.lexer.wrap(self._located(source)), source, None)

    def _located(self, source: str) -> Iterator[tuple[int, str, str]]:
        offset = 0
        for _, kind, value in self.environment.lex(source):
            offset = source.find(value, offset)  # Jinja2 drops the white space beside {%- and -%}
            yield offset + 1, kind, value
            offset += len(value)


_JINJA: Final = Environment(extensions=[_Offsets], keep_trailing_newline=True)  # noqa: S701 - it never renders


def parse(source: str) -> nodes.Template:
    """Parse a template; each node's `lineno` is the offset of its first character, and one more.

    Raises:
        TemplateError: it is none, or too long.

    """
    if len(source) > _LONGEST:
        message = f"is longer than {_LONGEST} characters; divide it"
        raise TemplateError(message)
    source = text(source).replace("\r\n", "\n").replace("\r", "\n")  # as Jinja2 does, which would move the offsets
    try:
        tokens = list(_JINJA.lex(source))
    except TemplateSyntaxError as error:  # here, `lineno` is a line
        lines = source.split("\n")[: error.lineno - 1]
        raise TemplateError(_words(error), sum(len(line) + 1 for line in lines)) from None
    if tokens and tokens[-1][1] in _OPENING:  # Jinja2 says so only if something follows
        message = f"{tokens[-1][2]} is never closed"
        raise TemplateError(message, len(source) - len(tokens[-1][2]))
    try:
        found = Parser(_JINJA, source, source).parse()
    except TemplateSyntaxError as error:
        raise TemplateError(_words(error), error.lineno - 1) from None
    except (RecursionError, ValueError):  # a number of more digits than Python reads
        message = "is nested too deeply, or holds a number without end"
        raise TemplateError(message) from None
    if sum(1 for _ in found.find_all(nodes.Node)) > _MOST_NODES:
        message = f"has more than {_MOST_NODES} parts; divide it"
        raise TemplateError(message)
    return found


def _words(error: TemplateSyntaxError) -> str:
    words = (error.message or "is no template").rstrip(".")
    for jinja, sign in (("end of print statement", "}}"), ("end of statement block", "%}")):
        words = words.replace(jinja, sign)
    return f"{words[:1].lower()}{words[1:]}"

"""Matchers in Alertmanager's syntax and meaning: `severity="critical"`, `!=`, `=~`, `!~`.

Regular expressions are RE2's and anchored; a missing tag is empty. Source: Prometheus' documentation of
Alertmanager's configuration, section "Matcher".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast

import re2

from hookplugin.problems import nearest
from hookspecs import Alert, Priority, Status
from hookspecs.alert import tag_text

Operator: TypeAlias = Literal["=", "!=", "=~", "!~"]

Subject: TypeAlias = tuple[Literal["tag", "annotation", "field"], str]
"""What a matcher looks at: a tag or an annotation by its name, or a field of the alert."""

FIELDS: Final[Mapping[str, Callable[[Alert], str]]] = {
    "target": lambda alert: alert.target or "",
    "content": lambda alert: alert.content,
    "priority": lambda alert: alert.priority.name,
    "status": lambda alert: alert.status.name,
    "source": lambda alert: alert.source or "",
}
"""What a matcher may say after `alert.`; `alert.annotations.NAME` is possible too."""

_VALUES: Final[Mapping[str, Collection[str]]] = {
    "alert.priority": Priority.__members__,
    "alert.status": Status.__members__,
}
"""The values that some fields have, and no others."""

_BLANK: Final = "\t\n\v\f\r \x85\xa0"  # Go's; Python would also strip U+001C to U+001F
_SPACE: Final = r"[\t\n\f\r ]*"
_NAME: Final = r"""[^\s{}!=~,"'`\\]+"""
_MATCHER: Final = re.compile(
    rf"""{_SPACE}(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>{_NAME}))"""
    f"""{_SPACE}(?P<operator>=~|!~|!=|=){_SPACE}(?P<value>.*?){_SPACE}""",
    re.DOTALL,
)
_UNESCAPED: Final = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """Compare one tag, or one field of the alert, with a value or a regular expression."""

    name: str
    """As it was written, without quotes."""
    operator: Operator
    value: str
    quoted: bool
    """Whether the name needs quotes: without, it would be no name, or that of a field."""
    subject: Subject
    read: Callable[[Alert], str] = field(repr=False, compare=False)
    """Return what the matcher looks at; empty if the alert has none."""
    test: Callable[[str], bool] = field(repr=False, compare=False)
    """Say whether a text is what the matcher asks for."""

    def matches(self, alert: Alert) -> bool:
        """Say whether the alert has what the matcher asks for."""
        return self.test(self.read(alert))

    def __str__(self) -> str:
        """Write the matcher as Alertmanager does."""
        return f"{_quote(self.name) if self.quoted else self.name}{self.operator}{_quote(self.value)}"


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Parse one matcher, or several between commas, in braces or not.

    Raises:
        ValueError: with the part that is wrong and what to write instead.

    """
    stripped = text.strip(_BLANK)
    braces = stripped.startswith("{") and stripped.endswith("}")
    parts = _split(stripped[1:-1] if braces else stripped)
    if not parts:
        message = 'a matcher is missing; write one like severity="critical"'
        raise ValueError(message)
    return tuple(_parse(part) for part in parts)


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside of quotes; one at the end is allowed."""
    parts, start, quoted, escaped = [], 0, False, False
    for index, character in enumerate(text):
        if character == "," and not quoted:
            parts.append(text[start:index])
            start = index + 1
        elif character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and not escaped
    return [*parts, text[start:]] if text[start:].strip() else parts


def _parse(text: str) -> Matcher:
    found = _MATCHER.fullmatch(text)
    if not found:
        message = f'bad matcher {text.strip()!r}; write NAME="value", with one of = != =~ !~'
        raise ValueError(message)
    try:
        value = _unquote(found["value"])
        quoted = found["quoted"] is not None
        name = _unquote(f'"{found["quoted"]}"') if quoted else found["name"]
    except ValueError as error:
        message = f"bad matcher {text.strip()!r}: {error}"
        raise ValueError(message) from None
    operator = cast("Operator", found["operator"])
    if not quoted and operator in {"=", "!="} and value not in _VALUES.get(name, (value,)):
        message = f"bad matcher {text.strip()!r}: no alert has this {name}{nearest(value, _VALUES[name])}"
        raise ValueError(message)
    subject: Subject = ("tag", name) if quoted or not name.startswith("alert.") else _field(name)
    needs_quotes = quoted and (name.startswith("alert.") or not re.fullmatch(_NAME, name))
    return Matcher(name, operator, value, needs_quotes, subject, _reads(subject), _tests(operator, value))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


def _unquote(raw: str) -> str:
    """Remove the quotes around a value and its escapes; a backslash before anything else stands for itself."""
    quoted = raw.startswith('"')
    body = raw[1:] if quoted else raw
    value, index = "", 0
    while index < len(body):
        character, following = body[index], body[index + 1 : index + 2]
        if character == '"':
            if quoted and not following:
                return value
            message = 'write a double quote inside a value as \\"'
            raise ValueError(message)
        if character == "\\" and following:
            value += _UNESCAPED.get(following, character + following)
            index += 1
        else:
            value += character
        index += 1
    if quoted:
        message = "the closing double quote is missing"
        raise ValueError(message)
    return value


def _tests(operator: Operator, value: str) -> Callable[[str], bool]:
    if operator == "=":
        return value.__eq__
    if operator == "!=":
        return value.__ne__
    fullmatch = compile_pattern(value).fullmatch  # of bytes: it translates no places in the text, which nobody asks for
    if operator == "=~":
        return lambda actual: fullmatch(actual.encode(errors="surrogatepass")) is not None
    return lambda actual: fullmatch(actual.encode(errors="surrogatepass")) is None


def compile_pattern(pattern: str) -> Any:  # noqa: ANN401 - google-re2 carries no types
    """Compile a regular expression of RE2.

    Raises:
        ValueError: RE2 does not take it.

    """
    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        reason = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        message = f"bad regular expression {pattern!r}: {reason}"
        raise ValueError(message) from None


class PatternSet:
    """Match one text against many regular expressions at once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile patterns that each compile by themselves."""
        options = _options()
        options.max_mem = _SET_MEMORY
        self._everything: Final = range(len(patterns))
        self._set: re2.Set | None = re2.Set.FullMatchSet(options)
        try:
            for pattern in (*patterns, _ANY):
                self._set.Add(pattern)
            self._set.Compile()
        except re2.error:  # together they are too large
            self._set = None

    def matching(self, text: str) -> Iterable[int]:
        """Return the positions of the patterns that match; if RE2 runs out of memory, of all that may."""
        found: Sequence[int] = (self._set.Match(text.encode(errors="surrogatepass")) or ()) if self._set else ()
        if len(self._everything) not in found:  # `_ANY` stands there, and always matches
            return self._everything
        return [position for position in found if position < len(self._everything)]


_ANY: Final = "(?s).*"
_SET_MEMORY: Final = 1 << 26  # bytes that the automaton of one tag may take; RE2's default is too small for 10,000


def _options() -> Any:  # noqa: ANN401 - google-re2 carries no types
    options = re2.Options()
    options.log_errors = False  # it would write to the host's standard error
    return options


def _reads(subject: Subject) -> Callable[[Alert], str]:
    kind, name = subject
    if kind == "field":
        return FIELDS[name]
    return partial(_read_tag if kind == "tag" else _read_annotation, name)


def _read_tag(name: str, alert: Alert) -> str:
    return tag_text(alert.tags.get(name))


def _read_annotation(name: str, alert: Alert) -> str:
    return tag_text(alert.annotations.get(name))


def _field(path: str) -> Subject:
    name, _, key = path.removeprefix("alert.").partition(".")
    if name == "annotations" and key:
        return "annotation", key
    if name in FIELDS and not key:
        return "field", name
    allowed = [*(f"alert.{known}" for known in FIELDS), "alert.annotations.NAME"]
    message = f"{path!r} is no field of an alert{nearest(path, allowed)}; a tag of that name is written in quotes"
    raise ValueError(message)

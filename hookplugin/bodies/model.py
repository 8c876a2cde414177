"""A body as it is configured, and as our presets are written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import quote_plus

from pydantic import Field, PlainSerializer, PlainValidator, ValidationInfo, model_validator

from hookplugin.bodies.compiled import Template, is_template
from hookplugin.bodies.plain import as_text, encode
from hookplugin.bodies.scope import LONGEST, RenderError, Scope, TooLargeError, TooMuchError
from hookplugin.bodies.secret import FORM, escape_for
from hookplugin.problems import Problem, ProblemsError
from hookplugin.values import Name
from hookspecs import Body
from hookspecs.frozen import Frozen

JSON: Final = "application/json"
PLAIN: Final = "text/plain; charset=utf-8"

_SHORTEST: Final = 32  # characters of a text that is inserted: no id and no time has more
_SHORTEST_OF_MANY: Final = 200  # the same, of several alerts: before less is told of each, two requests are made
_MEDIA_TYPE: Final = re.compile(
    r'[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;\s*charset="?utf-?8"?)?', re.IGNORECASE | re.ASCII
)  # RFC 9110, 8.3
_GROUP: Final = frozenset({"alerts", "firing", "recovered", "ranked"})


def _content_type(value: object) -> str:
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        message = "should be a media type like text/html, with charset=utf-8 or none: bodies are UTF-8"
        raise ValueError(message)
    return value


def _text(source: object, info: ValidationInfo) -> Template:
    if not isinstance(source, str):
        message = "should be text"
        raise ValueError(message)
    content_type = info.data.get("content_type") or PLAIN
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json") or kind == FORM:
        message = f"cannot be {kind}; write `{'form' if kind == FORM else 'json'}:` instead, which is always valid"
        raise ValueError(message)
    from hookplugin.bodies.tree import compile_text  # noqa: PLC0415 - it needs Jinja2

    return compile_text(source, escape_for(kind))


def _tree(tree: object) -> Template:
    if isinstance(tree, str) and not (tree.strip().startswith("{{") and tree.strip().endswith("}}")):
        message = "should be a map, a list or one expression; write JSON as YAML, with no `|` and no quotes around it"
        raise ValueError(message)
    from hookplugin.bodies.tree import compile_tree  # noqa: PLC0415 - as above

    return compile_tree(tree)


def _form(fields: object) -> Mapping[str, Template]:
    if not isinstance(fields, Mapping) or not fields:
        message = "should be a map of fields and what is in them"
        raise ValueError(message)
    from hookplugin.bodies.tree import compile_tree  # noqa: PLC0415 - as above

    found: dict[str, Template] = {}
    problems: list[Problem] = []
    for name, source in fields.items():
        if not isinstance(source, str):
            problems.append(Problem((str(name),), "should be text, a form has no other values; write it in quotes"))
            continue
        if is_template(name):
            problems.append(Problem((str(name),), "keys are fixed; what differs belongs into a value", 0, in_key=True))
            continue
        try:
            found[str(name)] = compile_tree(source)
        except ProblemsError as error:
            problems += [Problem((str(name),), one.message, one.offset) for one in error.problems]
    if problems:
        raise ProblemsError(problems)
    return found


def _written(template: Template | Mapping[str, Template] | None) -> object:
    if isinstance(template, Mapping):
        return {name: part.source for name, part in template.items()}
    return template and template.source


_AS_WRITTEN: Final = PlainSerializer(_written)
Tree: TypeAlias = Annotated[Template, PlainValidator(_tree), _AS_WRITTEN]
Text: TypeAlias = Annotated[Template, PlainValidator(_text), _AS_WRITTEN]
Form: TypeAlias = Annotated[Mapping[str, Template], PlainValidator(_form), _AS_WRITTEN]


class BodyTemplate(Frozen):
    """Hold a body: one of `json`, `text` and `form`, compiled."""

    name: Name
    content_type: Annotated[str, PlainValidator(_content_type)] | None = None
    """The media type; that of `json`, `text` or `form` if none."""
    tree: Tree | None = Field(None, alias="json")
    text: Text | None = None
    form: Form | None = None
    max_bytes: Annotated[int, Field(ge=256, le=16 * 1024 * 1024)] = 1024 * 1024
    """What the body may have; the longest texts that are inserted are cut until it fits."""
    batched: Literal["list"] | None = None
    """What a batch is: a list of what each alert gives; if none, the template speaks of all alerts by itself."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.tree, self.text, self.form)) != 1:
            message = "should hold either json, text or form"
            raise ValueError(message)
        if self.tree and not self._type.partition(";")[0].strip().lower().endswith("json"):
            message = f"{self.content_type!r} is no JSON; write text: instead of json:, or leave content_type out"
            raise ValueError(message)
        if self.form and self.content_type:
            message = "a form has a content_type of its own; leave it out"
            raise ValueError(message)
        if self.batched and not self.tree:
            message = "only json can be batched as a list"
            raise ValueError(message)
        return self

    @property
    def vars(self) -> frozenset[str]:
        """Return the secrets that it needs."""
        return frozenset[str]().union(*(template.vars for template in self._templates))

    @property
    def speaks_of_one(self) -> bool:
        """Say whether it would tell only the first alert of a batch."""
        used = frozenset[str]().union(*(template.used for template in self._templates))
        return not self.batched and "alert" in used and not used & _GROUP

    def render(self, scopes: Sequence[Scope], *, many: bool) -> Body:
        """Render the body of a request, within its bounds; secrets are placeholders.

        Args:
            scopes: one for each alert if it is batched as a list, else one for all.
            many: whether the receiver takes batches, also of one.

        Raises:
            TooLargeError: it does not fit, however short its texts are cut.
            RenderError: it cannot be made.

        """
        if self.tree:
            tree, listed = self.tree.render, many and bool(self.batched)
            return Body(content=self._fit(scopes, lambda: _json(tree, scopes, listed=listed)), content_type=self._type)
        (scope,) = scopes
        if self.form:
            form = self.form
            return Body(content=self._fit(scopes, lambda: _encode_form(form, scope)), content_type=FORM)
        assert self.text  # noqa: S101 - one of the three is there
        text = self.text.render
        content = self._fit(scopes, lambda: text(scope).encode(errors="surrogateescape"))
        return Body(content=content, content_type=self._type)

    @property
    def _type(self) -> str:
        return self.content_type or (JSON if self.tree else PLAIN)

    @property
    def _templates(self) -> list[Template]:
        return [part for part in (self.tree, self.text, *(self.form or {}).values()) if part]

    def _fit(self, scopes: Sequence[Scope], write: Callable[[], bytes]) -> bytes:
        """Write with texts as long as they may be for the whole to fit."""

        def attempt(longest: int) -> bytes | None:
            for scope in scopes:
                scope.begin(longest, self.max_bytes)
            try:
                content = write()
            except TooMuchError:
                raise
            except TooLargeError:
                return None
            return content if len(content) <= self.max_bytes else None

        content = attempt(LONGEST)
        if content is not None:
            return content
        several = len(scopes) > 1 or len(scopes[0]["alerts"]) > 1
        fits, exceeds = _SHORTEST_OF_MANY if several else _SHORTEST, LONGEST
        content = attempt(fits)
        if content is None:
            message = f"it does not fit into {self.max_bytes} bytes, however short its texts are cut"
            raise TooLargeError(message)
        while exceeds - fits > max(1, fits // 32):  # near enough
            longest = max(fits + 1, math.isqrt(fits * exceeds))
            longer = attempt(longest)
            if longer is None:
                exceeds = longest
            else:
                fits, content = longest, longer
        return content


def _json(tree: Callable[[Scope], Any], scopes: Sequence[Scope], *, listed: bool) -> bytes:
    if listed:
        return encode([tree(scope) for scope in scopes])
    value = tree(scopes[0])
    if value is None:
        message = "there is nothing in it"
        raise RenderError(message)
    return encode(value)


def _encode_form(form: Mapping[str, Template], scope: Scope) -> bytes:
    pairs = ((name, template.render(scope)) for name, template in form.items())
    return "&".join(
        f"{_quote(name)}={_quote(as_text(value, scope.longest))}" for name, value in pairs if value is not None
    ).encode()


def _quote(text: str) -> str:
    return quote_plus(text.encode(errors="surrogateescape"))

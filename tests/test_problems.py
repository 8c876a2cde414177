"""Mistakes in what people wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from hookplugin.problems import Path, Problem, ProblemsError, nearest, path_text, problems_of

KEYS = ("name", "times", "share", "enabled", "mode", "receivers", "token", "tags", "child", "children")


def shout(value: object) -> object:
    if value == "loud":
        message = "do not shout"
        raise ValueError(message)
    return value


class Child(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1), BeforeValidator(shout)]
    times: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0)] = 1
    enabled: bool = True
    mode: Literal["all", "any"] = "all"
    receivers: Annotated[tuple[str, ...], Field(min_length=1)] = ("ops",)
    token: SecretStr = SecretStr("x")
    tags: Mapping[str, str] = {}
    child: Child | None = None
    children: list[Child] = []


def keys_at(path: Path) -> Iterable[str]:
    return KEYS if not path else ("size",)


def problems(**keys: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"name": "a", **keys})
    return [str(problem) for problem in problems_of(caught.value, keys_at)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"nam": 1}, "nam: unknown key; did you mean 'name'?"),
        ({"zzz": 1}, f"zzz: unknown key; there is {', '.join(sorted(KEYS))}"),
        ({"child": {"size": 1, "sise": 2}}, "child.sise: unknown key; did you mean 'size'?"),
        ({"child": {}}, "child.size: is missing"),
        ({"children": [{"size": 1}, {"size": "s3cret"}]}, "children[1].size: should be a whole number"),
        ({"children": ["s3cret"]}, "children[0]: should be a map of keys and values"),
        ({"children": {"s3cret": 1}}, "children: should be a list, not a map"),
        ({"name": "loud"}, "name: do not shout"),
        ({"name": ""}, "name: should not be empty"),
        ({"name": None}, "name: should be text, not nothing"),
        ({"name": ["s3cret"]}, "name: should be text, not a list"),
        ({"name": {"s3cret": 1}}, "name: should be text, not a map"),
        ({"name": 5318008}, "name: should be text"),
        ({"token": 5318008}, "token: should be text"),
        ({"token": {"s3cret": 1}}, "token: should be text, not a map"),
        ({"times": "s3cret"}, "times: should be a whole number"),
        ({"times": 1.5}, "times: should be a whole number"),
        ({"times": "9" * 5000}, "times: does not fit into 64 bits"),
        ({"times": None}, "times: should be a whole number, not nothing"),
        ({"times": 0}, "times: should be at least 1"),
        ({"times": 10}, "times: should be at most 9"),
        ({"share": 0}, "share: should be more than 0.0"),
        ({"enabled": "s3cret"}, "enabled: should be true or false"),
        ({"enabled": ["s3cret"]}, "enabled: should be true or false, not a list"),
        ({"mode": "s3cret"}, "mode: should be 'all' or 'any'"),
        ({"receivers": []}, "receivers: should name at least 1"),
        ({"receivers": "s3cret"}, "receivers: should be a list"),
        ({"receivers": None}, "receivers: should be a list, not nothing"),
        ({"tags": ["s3cret"]}, "tags: should be a map of keys and values, not a list"),
        ({"tags": {("a", "b"): "s3cret"}}, "tags.?: should be text, not a list"),
        ({"tags": {"env": ["s3cret"]}}, "tags.env: should be text, not a list"),
    ],
)
def test_a_mistake_says_where_and_what_is_allowed_and_never_the_value(keys: dict[str, Any], expected: str) -> None:
    assert problems(**keys) == [expected]


def test_all_mistakes_are_said_at_once() -> None:
    assert problems(name=7, times="x", nam=1) == [
        "name: should be text",
        "times: should be a whole number",
        "nam: unknown key; did you mean 'name'?",
    ]


def test_a_validator_may_find_several_mistakes_at_places_of_its_value() -> None:
    def crooked(_: object) -> object:
        raise ProblemsError([Problem(("a", 0), "is bent", 3), Problem(("b",), "is bent too", 0, in_key=True)])

    class Tree(BaseModel):
        tree: Annotated[object, BeforeValidator(crooked)]

    with pytest.raises(ValidationError) as caught:
        Tree.model_validate({"tree": {}, "other": 1})
    assert problems_of(caught.value, lambda _: KEYS) == [
        Problem(("tree", "a", 0), "is bent", 3),
        Problem(("tree", "b"), "is bent too", 0, in_key=True),
    ]


def test_a_list_of_wrong_items_is_not_called_too_short_as_well() -> None:
    assert problems(receivers=[7]) == ["receivers[0]: should be text"]


@pytest.mark.parametrize("keys", [{"share": "s3cret"}, {"share": ["s3cret"]}, {"token": b"s3cret\xff"}])
def test_an_error_without_words_of_ours_keeps_pydantics_and_hides_the_value_too(keys: dict[str, Any]) -> None:
    (message,) = problems(**keys)
    assert message.partition(": ")[2][:1].islower()
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("receivers",), "receivers"),
        (("receivers", 0, "url"), "receivers[0].url"),
        (("plugins", "settings", "my plugin"), "plugins.settings.my plugin"),
        ((0, 1), "[0][1]"),
    ],
)
def test_a_path_is_written_as_people_read_it(path: Path, text: str) -> None:
    assert path_text(path) == text


def test_a_problem_of_the_whole_document_has_no_path() -> None:
    assert str(Problem((), "is empty")) == "is empty"


@pytest.mark.parametrize(
    ("word", "allowed", "expected"),
    [
        ("critcal", ["warning", "critical"], "; did you mean 'critical'?"),
        ("zzz", ["warning", "critical"], "; there is critical, warning"),
        ("zzz", [], "; there is none"),
        ("", ["critical"], "; there is critical"),
        (7, {"critical"}, "; there is critical"),
        (None, {"critical": 1}, "; there is critical"),
    ],
)
def test_the_nearest_name_is_offered_or_else_all_of_them(word: object, allowed: Iterable[str], expected: str) -> None:
    assert nearest(word, allowed) == expected

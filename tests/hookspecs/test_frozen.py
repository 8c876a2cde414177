"""Values that nobody can change."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookspecs.frozen import MAX_DEPTH, FrozenDict, freeze, text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)

CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda tags: tags.__setitem__("env", "dev"),
    "delete": lambda tags: tags.__delitem__("env"),
    "in-place or": lambda tags: tags.__ior__({"team": "sre"}),
    "clear": lambda tags: tags.clear(),
    "pop": lambda tags: tags.pop("env"),
    "pop what is not there": lambda tags: tags.pop("team", None),
    "popitem": lambda tags: tags.popitem(),
    "setdefault": lambda tags: tags.setdefault("env", "dev"),
    "update": lambda tags: tags.update(env="dev"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_frozen_mapping_refuses_every_change(change: Callable[[Any], object]) -> None:
    tags = FrozenDict({"env": "prod"})
    with pytest.raises(TypeError, match=r"copy it with dict\(\.\.\.\) first"):
        change(tags)
    assert tags == {"env": "prod"}


def test_a_copy_with_dict_can_be_changed() -> None:
    tags = FrozenDict({"env": "prod"})
    changeable = dict(tags)
    changeable["env"] = "dev"
    assert (tags["env"], changeable["env"]) == ("prod", "dev")


def test_equal_frozen_mappings_have_equal_hashes_even_with_unhashable_values() -> None:
    one, other = FrozenDict({"a": [1], "b": 2}), FrozenDict({"b": 2, "a": [1]})
    assert one == other
    assert hash(one) == hash(other)


def test_a_frozen_mapping_needs_no_copy_as_nothing_can_change_it() -> None:
    tags = FrozenDict({"env": "prod"})
    assert copy.copy(tags) is tags
    assert copy.deepcopy(tags) is tags


def test_a_pickled_mapping_comes_back_frozen() -> None:
    found = pickle.loads(pickle.dumps(freeze({"a": {"b": [1]}})))
    assert found == {"a": {"b": (1,)}}
    with pytest.raises(TypeError):
        found["a"]["b"] = 2


@given(JSON)
def test_frozen_json_is_written_as_the_json_it_came_from(data: Any) -> None:
    assert json.dumps(freeze(data)) == json.dumps(data)


def test_freezing_reaches_every_level_and_leaves_the_original_alone() -> None:
    original: dict[str, Any] = {"alerts": [{"labels": {"env": "prod"}}]}
    frozen = freeze(original)
    assert isinstance(frozen["alerts"], tuple)
    with pytest.raises(TypeError):
        frozen["alerts"][0]["labels"]["env"] = "dev"
    original["alerts"].clear()
    assert frozen["alerts"][0]["labels"]["env"] == "prod"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2022, 2, 25, tzinfo=UTC), "2022-02-25 00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ("a\ud800b", "a\ufffdb"),
        ({"\udfff": 1}, {"\ufffd": 1}),
    ],
)
def test_what_json_does_not_know_becomes_text(value: object, expected: object) -> None:
    assert freeze(value) == expected


def test_nesting_is_followed_to_a_limit_and_refused_beyond_it() -> None:
    deepest: Any = "leaf"
    for _ in range(MAX_DEPTH):
        deepest = [deepest]
    found = freeze(deepest)
    for _ in range(MAX_DEPTH):
        (found,) = found
    assert found == "leaf"
    with pytest.raises(ValueError, match="nested more than 100 levels deep"):
        freeze([deepest])


def test_a_mapping_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    with pytest.raises(ValueError, match="nested more than"):
        freeze(endless)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_lone_surrogates_and_nothing_else_are_replaced(value: str) -> None:
    expected = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    assert text(value).encode().decode() == expected

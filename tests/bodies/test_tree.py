"""Bodies as JSON trees."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.bodies.tree import compile_tree, encode, plain
from hookspecs import Alert, Priority

JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab%$\"'\\\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ALERT = Alert(
    content="disk full",
    priority="critical",
    tags={"env": "prod", "port": 80, "items": "a tag", "name": "another", "nothing": None, "a-b": 1},
    annotations={"summary": "it is full"},
    gmt_create="2022-02-25T13:32:13",
    raw={"labels": [{"x": 1}, [2.5, True]]},
)


def render(template: object) -> Any:
    return compile_tree(template)({"alert": ALERT, "vars": {"key": "value"}})


@given(JSON)
def test_a_template_without_paths_is_its_own_result(template: Any) -> None:
    assert render(template) == template


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("alert.content", "disk full"),
        ("alert.id", ALERT.id),
        ("alert.times", 1),
        ("alert.priority", 1),
        ("alert.priority.name", "critical"),
        ("alert.status", 0),
        ("alert.status.name", "firing"),
        ("alert.gmt_create", "2022-02-25T13:32:13"),
        ("alert.tags", dict(ALERT.tags)),
        ("alert.tags.port", 80),
        ("alert.tags.items", "a tag"),
        ("alert.tags.name", "another"),
        ("alert.tags.a-b", 1),
        ("alert.annotations.summary", "it is full"),
        ("alert.raw", {"labels": [{"x": 1}, [2.5, True]]}),
        ("vars.key", "value"),
    ],
)
def test_a_leaf_that_is_one_path_becomes_the_value_with_its_type(path: str, expected: object) -> None:
    for written in (f"{{{{ {path} }}}}", f"{{{{{path}}}}}"):
        found = render(written)
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    "path",
    [
        *("alert.target", "alert.tags.nothing", "alert.tags.missing", "alert.tags.env.deeper", "alert.contnet"),
        *("alert.model_dump", "alert.given", "alert.tags.keys", "alert.content.upper", "alert.content.name"),
        *("missing", "missing.deeper", "vars.other"),
    ],
)
def test_what_leads_to_no_value_is_left_out_and_no_method_can_be_reached(path: str) -> None:
    leaf = f"{{{{ {path} }}}}"
    assert render(leaf) is None
    template = {"gone": leaf, "kept": ["a", leaf, {"gone": leaf}], "none": None}
    assert render(template) == {"kept": ["a", {}]}


@pytest.mark.parametrize(
    "leaf",
    [
        *("{{ alert.content }}!", "see {{ alert.content }}", "{{ alert.content }}{{ alert.id }}", " {{ alert.id }}"),
        *("{{ alert.__class__ }}", "{{ alert._x }}", "{{ __import__ }}", "{{ alert.content.__class__.__mro__ }}"),
        *("{{ alert.content | upper }}", "{{ alert['content'] }}", "{{ 7*7 }}", "{{ f() }}", "{{}}", "{{ alert"),
        *("{{ Alert.content }}", "{{ alert. }}", "{{ alert..content }}", "{{ alert.content }}\n"),
    ],
)
def test_anything_but_one_path_is_refused_when_it_is_compiled(leaf: str) -> None:
    for template in (leaf, {"a": [leaf]}):
        with pytest.raises(ValueError, match=r"should be exactly one path, like {{ alert\.content }}$"):
            compile_tree(template)


def test_keys_are_never_paths() -> None:
    assert render({"{{ alert.id }}": 1}) == {"{{ alert.id }}": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Priority.emergency, 0),
        (True, True),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (datetime(2022, 2, 25, 13, 32, 13), "2022-02-25T13:32:13"),  # noqa: DTZ001 - naive times are a subject here
        (datetime(2022, 2, 25, 13, 32, 13, tzinfo=UTC), "2022-02-25T13:32:13Z"),
        (datetime(2022, 2, 25, 13, tzinfo=timezone(timedelta(hours=8))), "2022-02-25T13:00:00+08:00"),
        ((1, (math.nan, {"a": math.inf})), [1, [None, {"a": None}]]),
        ({1: Priority.warning}, {"1": 2}),
    ],
)
def test_values_become_what_json_has(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_json_is_written_compactly_in_utf_8() -> None:
    assert encode({"a": [1, "ü"], "b": None}) == '{"a":[1,"ü"],"b":null}'.encode()


@given(JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf]])
def test_what_json_does_not_know_is_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode(value)

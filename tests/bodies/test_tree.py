"""Bodies as JSON trees: types, what is left out, loops; and everything that is refused, with its place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.bodies.scope import RenderError, Scope, TooLargeError
from hookplugin.bodies.tree import compile_tree
from hookplugin.problems import Problem, ProblemsError
from hookspecs import Alert, Delivery

JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab%$\"'\\\n"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc%$\"'"), inner),
    max_leaves=20,
)
ALERT = Alert(
    content="disk full",
    priority="critical",
    tags={"env": "prod", "port": 80, "items": "a tag", "name": "another", "nothing": None, "a-b": 1},
    annotations={"summary": "it is full"},
    gmt_create="2022-02-25T13:32:13",
    first_trigger_time=1_767_323_045_678,
    raw={"labels": [{"x": 1}, [2.5, True]]},
)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def scope(*alerts: Alert) -> Scope:
    deliveries = [
        Delivery(id=f"d{index}", alert=alert, receiver="ops", body="x", strategies=("nights",))
        for index, alert in enumerate(alerts or (ALERT,))
    ]
    return Scope("r-1", deliveries, NOW)


def render(template: object, *alerts: Alert) -> Any:
    return compile_tree(template).render(scope(*alerts))


def refused(template: object) -> list[Problem]:
    with pytest.raises(ProblemsError) as caught:
        compile_tree(template)
    return list(caught.value.problems)


@given(JSON)
def test_a_tree_without_expressions_is_its_own_result(tree: Any) -> None:
    assert render(tree) == tree


@pytest.mark.parametrize(
    ("expression", "expected"),
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
        ('alert.tags["a-b"]', 1),
        ("alert.annotations.summary", "it is full"),
        ("alert.raw", {"labels": [{"x": 1}, [2.5, True]]}),
        ("alert.raw.labels[1][0]", 2.5),
        ("alerts | length", 1),
        ("alerts[0].content", "disk full"),
        ("(firing | first).content", "disk full"),
        ("status", "firing"),
        ("headline", "1 firing"),
        ("receiver", "ops"),
        ("strategy", "nights"),
        ("delivery.id", "r-1"),
        ("now", "2026-11-27T12:00:00Z"),
        ("common_tags.env", "prod"),
        ("priority.name", "critical"),
        ('alert.priority == "critical"', True),
        ('alert.priority in ["emergency", "critical"]', True),
        ('alert.status.name != "recovered"', True),
        ('"full" in alert.content', True),
        ("alert.tags.port > 79", True),
        ("1 < alert.tags.port < 100", True),
        ("not alert.link", True),
        ("alert.link is none", True),
        ('alert.tags.env or "none"', "prod"),
        ('{"critical": "orange"}[alert.priority.name]', "orange"),
        ('"a" if alert.link else "b"', "b"),
        ("[alert.tags.env, alert.tags.port]", ["prod", 80]),
        ('{"a": alert.tags.env}', {"a": "prod"}),
        ("alert.content[:4]", "disk"),
        ("(-1)", -1),
        ('{"alertname": "x", "env": "y"} | combine(alert.annotations)', {
            "alertname": "x", "env": "y", "summary": "it is full",
        }),
    ],
)  # fmt: skip
def test_a_leaf_that_is_one_expression_becomes_the_value_with_its_type(expression: str, expected: object) -> None:
    for written in (f"{{{{ {expression} }}}}", f"{{{{{expression} }}}}"):
        found = render({"x": written})["x"]
        assert found == expected
        assert type(found) is type(expected) or isinstance(found, dict)


@pytest.mark.parametrize(
    "expression",
    [
        *("alert.target", "alert.link", "alert.tags.nothing", "alert.tags.missing", "alert.tags.env.deeper"),
        *(
            "alert.tags.keys",
            "alert.raw.no.such.thing",
            "alert.raw[7]",
            "alerts[1].content",
            "alerts[-2].priority.name",
        ),
        *("(recovered | first).content", "(recovered | first).priority.name", "alert.link | url", "alert.link | upper"),
    ],
)
def test_what_leads_to_no_value_is_none_and_is_left_out_with_its_key(expression: str) -> None:
    leaf = f"{{{{ {expression} }}}}"
    assert render({"gone": leaf, "kept": ["a", leaf, {"gone": leaf}], "none": None}) == {
        "kept": ["a", {}],
        "none": None,
    }


@pytest.mark.parametrize(
    "text", [".nan", "no", "0x1F", "{a: b}", "1e3", "null", "2026-01-01", "", "#x", "{{7*7}}", "{%"]
)
def test_what_was_rendered_is_never_read_again(text: str) -> None:
    alert = Alert(content=text, tags={"x": text})
    found = render({"a": "{{ alert.content }}", "b": "<{{ alert.tags.x }}>", "c": "{{ alert.tags }}"}, alert)
    assert found == {"a": text, "b": f"<{text}>", "c": {"x": text}}


def test_a_loop_makes_an_item_of_each_alert_and_knows_its_turn() -> None:
    some = [Alert(content=str(number), status=2 if number % 2 else 0) for number in range(4)]
    tree = [
        "begin",
        {"for one in alerts": {"n": "{{ loop.index }}", "last": "{{ loop.last }}", "text": "{{ one.content }}"}},
        {"for one in alerts if one.status == 'recovered'": "{{ one.content }}"},
        {"for one in recovered": {"for": "{{ one.content }}"}},
    ]
    assert render(tree, *some) == [
        "begin",
        *({"n": number + 1, "last": number == 3, "text": str(number)} for number in range(4)),
        *("1", "3"),
        *({"for": "1"}, {"for": "3"}),
    ]


def test_loops_nest_go_through_maps_and_leave_the_names_as_they_were() -> None:
    tree = {
        "a": [{"for alert in alerts": [{"for name, value in alert.tags | items": "{{ name }}={{ value }}"}]}],
        "b": "{{ alert.content }}",
    }
    found = render(tree, Alert(content="1", tags={"x": 1, "y": 2}), Alert(content="2"))
    assert found == {"a": [["x=1", "y=2"], []], "b": "1"}


def test_the_numbers_of_a_loop_are_those_of_the_innermost() -> None:
    inner = {"for b in alerts": "{{ loop.length }}"}
    after = "{% for b in [1, 2] %}{{ loop.index }}{% endfor %}{% for b in [1] %}b{% endfor %}, {{ loop.index }}"
    tree = [{"for a in [7, 8, 9]": [inner, after]}]
    assert render(tree) == [[1, f"12b, {number}"] for number in (1, 2, 3)]


def test_ranked_are_those_that_fire_and_are_most_urgent_first() -> None:
    some = [
        Alert(content="over", status="recovered", priority="emergency"),
        Alert(content="minor"),
        Alert(content="worst", priority="emergency"),
        Alert(content="also minor"),
    ]
    found = render({"r": [{"for one in ranked": "{{ one.content }}"}], "h": "{{ headline }}"}, *some)
    assert found == {"r": ["worst", "minor", "also minor", "over"], "h": "3 firing, 1 recovered"}


@pytest.mark.parametrize(
    ("template", "path", "words"),
    [
        ({"a": "{{ alrt.content }}"}, ("a",), "unknown name 'alrt'; did you mean 'alert'?"),
        ({"a": "{{ alert.contnet }}"}, ("a",), "an alert has no 'contnet'; did you mean 'content'?"),
        ({"a": "{{ alert.severity }}"}, ("a",), "an alert has no 'severity'; write priority.name"),
        ({"a": "{{ labels.x }}"}, ("a",), "write alert.tags"),
        ({"a": "{{ alert.content | uper }}"}, ("a",), "unknown filter 'uper'; did you mean 'upper'?"),
        ({"a": "{{ alert.content | tojson }}"}, ("a",), "is not needed"),
        ({"a": "{{ alerts }}"}, ("a",), "cannot be written whole"),
        ({"a": ["{{ alert }}"]}, ("a", 0), "write one of its fields, like .content"),
        ({"a": "{{ alert.tags.items() }}"}, ("a",), "write the filter: alert.tags | items"),
        ({"a": '{{ status == "resolved" }}'}, ("a",), "there is no status 'resolved'; write 'recovered'"),
        ({"a": '{{ alert.status.name == "done" }}'}, ("a",), "there is no status 'done'"),
        ({"a": '{{ {"high": 1}[alert.priority.name] }}'}, ("a",), "there is no priority 'high'; write 'emergency'"),
        ({"a": '{{ alert.priority == "info" }}'}, ("a",), "there is no priority 'info'"),
        ({"a": "{{ alert.first_trigger_time | duration }}"}, ("a",), "first_trigger_time | duration(now)"),
        ({"a": "{{ vars.key | upper }}"}, ("a",), "a secret can only be written as it is"),
        ({"a": "{{ vars }}"}, ("a",), "a secret is written by its name"),
        ({"a": "{{ vars[alert.content] }}"}, ("a",), "the name of a secret is written out"),
        ({"a": "{{ alert.content"}, ("a",), "unexpected"),
        ({"{{ alert.content }}": 1}, ("{{ alert.content }}",), "keys are fixed"),
        ({"for a in alerts": 1, "b": 2}, ("for a in alerts",), "with nothing beside it"),
        ([{"for a in alerts if loop.first": 1}], (0, "for a in alerts if loop.first"), "known only within a loop"),
        ([{"foreach a in alerts": 1}], (0, "foreach a in alerts"), "for alert in alerts"),
        ([{"for a of alerts": 1}], (0, "for a of alerts"), "expected"),
        ({"if alert.link": 1}, ("if alert.link",), "for link in [alert.link] if link"),
        ({1: 1}, ("1",), "the key should be text"),
        ({"a": float("nan")}, ("a",), "no number that JSON knows"),
        ({"a": 2**64}, ("a",), "does not fit into 64 bits"),
    ],
)
def test_a_mistake_is_refused_at_its_place_with_what_to_write(template: object, path: object, words: str) -> None:
    (problem,) = refused(template)
    assert problem.path == path
    assert words in problem.message


def test_all_mistakes_of_a_tree_are_told_at_once_each_with_its_character() -> None:
    tree = {"a": "{{ alrt }}", "b": ["x {{ alert.contnet }}"], "c": "{{ f(1) }}"}
    assert [(problem.path, problem.offset) for problem in refused(tree)] == [
        (("a",), 3), (("b", 0), 10), (("c",), 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": {"b": ["x", "{{ alert.tags.port > alert.content }}"]}}, "a.b[1]: a number cannot be compared with text"),
        ({"a": "{{ alert.tags == alert.raw }}"}, "a: a map is not compared with a map"),
        ({"a": "{{ alert.tags in [alert.content, alert.link] }}"}, "a: a map is not looked for in a list"),
    ],
)
def test_what_fails_for_an_alert_names_its_place_and_no_value(tree: object, words: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(tree)
    assert str(caught.value).startswith(words)
    assert "disk" not in str(caught.value)


HUGE = Alert(content="ä b" * 30_000, raw=[[list(range(10)) for _ in range(100)] for _ in range(1_000)])


@pytest.mark.parametrize(
    "tree",
    [
        [{"for a in alerts": [{"for b in alerts": "{{ b.content | urlencode | length }}"}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ b.content | title | lower | upper | length }}"}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ a.raw | string | length }}"}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ 7 in b.raw }}"}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ a.raw[::2] | length }}"}]}],
        [{"for a in alerts": [{"for b in alerts if b.content | lower == a.content | upper": 1}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ b.content }}!"}]}],
        [{"for a in alerts": [{"for b in alerts": "{{ b.raw }}"}]}],
    ],
)
def test_what_a_rendering_may_do_is_bounded_whatever_is_in_a_batch(tree: object) -> None:
    compiled, names = compile_tree(tree), scope(*[HUGE] * 500)
    with pytest.raises(TooLargeError):
        compiled.render(names)
    assert names.effort >= -500_000  # it stopped soon after it had done enough


def test_a_value_of_a_million_parts_is_cut_with_marks() -> None:
    found = render({"a": "{{ alert.raw }}"}, HUGE)["a"]
    assert found[0] == [list(range(10))] * 100
    assert found[-1] == ["… 100 more"]
    assert len(found) == 1_000

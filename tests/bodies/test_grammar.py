"""Any template that is accepted: it renders whatever is in an alert, twice the same, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import orjson
from hypothesis import given, reject
from hypothesis import strategies as st

from hookplugin.bodies.compiled import Template
from hookplugin.bodies.filters import FILTER_NAMES, TESTS
from hookplugin.bodies.plain import encode
from hookplugin.bodies.scope import RenderError, Scope
from hookplugin.bodies.shape import NAMES
from hookplugin.bodies.tree import compile_text, compile_tree
from hookplugin.problems import ProblemsError
from hookspecs import Alert, Delivery

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

ATOMS = st.sampled_from(
    [
        *sorted(NAMES.keys() - {"alert", "delivery"}),
        *(f"alert.{name}" for name in Alert.model_fields),
        *("one", "value", "loop.index", "delivery.id", "alert.tags.env", "alert.raw.x", "alert.priority.name"),
        *("alerts[-1].content", "none", "true", "0", "-1", "2.5", "1e308", "[]", "{}", "'x'", "'critical'", "[1, 'a']"),
    ]
)
ARGUMENTS = ["", "", "1", "-1", "'x'", "''", "'%H'", "'UTC'", "now", "alert.content", "attribute='content'", "1, true"]


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["==", "!=", "<", ">=", "in", "not in", "and", "or"])
    return st.one_of(
        st.builds("({} | {}({}))".format, inner, st.sampled_from(sorted(FILTER_NAMES)), st.sampled_from(ARGUMENTS)),
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}{}".format, inner, st.sampled_from([".name", ".x", ".content", "[:1]", "[::-1]", "[-3:]"])),
        st.builds("({} is {})".format, inner, st.sampled_from(sorted(TESTS))),
        st.builds("(not {})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'x': {}, 'critical': {}}}".format, inner, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, grown, max_leaves=5)
HEADS = st.builds(
    "for {} in {}{}".format,
    st.sampled_from(["one", "one, value", "alert", "recovered", "now, one"]),
    EXPRESSIONS,
    st.just("") | EXPRESSIONS.map(" if {}".format),
)
TEXTS = st.one_of(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    st.builds("{{% if {} %}}a {{{{ {} }}}}{{% endif %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% {} %}}{{{{ {} }}}},{{% endfor %}}".format, HEADS, EXPRESSIONS),
)
TREES = TEXTS | st.builds(lambda head, text, more: [{head: {"a": text}}, more], HEADS, TEXTS, TEXTS)

WORDS = ["critical", "recovered", "nan", "-inf", "1e999", "9" * 400, "9" * 5000, "5", ""]
VALUES = st.recursive(
    st.sampled_from([*WORDS, 10**400, 2**63, 1e308, None, True]) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "env", "0", ""]), inner),
    max_leaves=5,
)
ALERTS = st.builds(
    Alert,
    content=st.text(max_size=5),
    priority=st.sampled_from([0, 1, 2]),
    status=st.sampled_from([0, 2]),
    tags=st.dictionaries(st.sampled_from(["env", "x", "name"]), st.sampled_from(WORDS)),
    raw=VALUES,
    group=VALUES,
    first_trigger_time=st.sampled_from([None, 0, -1, 2**62, 1_767_323_045_678]),
)


@given(
    st.builds(partial, st.just(compile_tree), TREES) | st.builds(partial, st.just(compile_text), TEXTS),
    st.lists(ALERTS, min_size=1, max_size=3),
)
def test_what_is_accepted_renders_any_alert_or_says_why_not(
    compiled: Callable[[], Template], alerts: list[Alert]
) -> None:
    try:
        template = compiled()
    except ProblemsError:
        reject()
    scope = Scope("r", [Delivery(id="d", alert=alert, receiver="ops", body="x") for alert in alerts], NOW)
    with suppress(RenderError):
        written = encode(template.render(scope))
        orjson.loads(written)
        assert encode(template.render(scope)) == written  # it left no name behind

"""Bodies, and who is sent them: names that stand for one thing, secrets that are there, batches that are told whole."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hookplugin import Config, ConfigError
from hookplugin.bodies.preset import PRESETS
from hookplugin.config import open_document
from hookplugin.delivery.signing import SIGNERS
from hookplugin.resolution import Offered, resolve

OFFERED = Offered(
    bodies=PRESETS | {"theirs"}, filters=frozenset(), signers=SIGNERS | {"theirs"}, plugins={"webhook": None}
)
OPS = {"name": "ops", "url": "http://example.com/ops"}
DEV = {"name": "dev", "url": "http://example.com/dev"}
ALL = {"name": "all", "receivers": ["ops"]}
BATCH = {"batch": {"wait": "1s"}}
ONE = {"name": "one", "text": "{{ alert.content }}"}
MANY = {"name": "many", "text": "{% for one in firing %}{{ one.content }}{% endfor %} {{ alert.link }}"}
LOCKED = {"name": "locked", "json": {"key": "{{ vars.key }}", "why": "{{ vars.why }}, {{ vars.key }}"}}

Mistakes = Callable[[str], list[str]]


def problems(**config: object) -> list[str]:
    """Return what is wrong with a configuration; it is the same for a dict and, if it is right by itself, a model."""
    try:
        resolve(open_document(config), OFFERED)
    except ConfigError as error:
        return [line.removeprefix("configuration: ") for line in error.problems]
    resolve(open_document(Config.model_validate(config)), OFFERED)
    return []


@pytest.fixture
def mistakes(tmp_path: Path) -> Mistakes:
    """Return what is wrong with a file, without the folder."""

    def lines(text: str) -> list[str]:
        path = tmp_path / "hookplugin.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            resolve(open_document(path), OFFERED)
        return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]

    return lines


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        (
            {"bodies": [ONE, {"name": " one ", "text": "x"}]},
            "bodies[1].name: 'one' is the name of bodies[0] already; choose another",
        ),
        (
            {"bodies": [{"name": "slack", "text": "x"}]},
            "bodies[0].name: 'slack' is a body of hookplugin's, or of a plugin's; choose another name",
        ),
        (
            {"bodies": [ONE, {"name": "theirs ", "text": "x"}]},
            "bodies[1].name: 'theirs' is a body of hookplugin's, or of a plugin's; choose another name",
        ),
        (
            {"bodies": [{**ONE, "name": "incident"}], "receivers": [{**OPS, "body": "incidnt"}]},
            "receivers[0].body: unknown body 'incidnt'; did you mean 'incident'?",
        ),
        (
            {"bodies": [{**ONE, "name": "incident"}], "receivers": [OPS], "strategies": [{**ALL, "body": "incidents"}]},
            "strategies[0].body: unknown body 'incidents'; did you mean 'incident'?",
        ),
        ({"defaults": {"body": "pagrduty"}}, "defaults.body: unknown body 'pagrduty'; did you mean 'pagerduty'?"),
    ],
)
def test_the_name_of_a_body_stands_for_one_body(config: Mapping[str, object], mistake: str) -> None:
    assert problems(**config) == [mistake]


@pytest.mark.parametrize("name", ["one", " one", "theirs", *sorted(PRESETS - {"pagerduty"})])
def test_a_body_is_one_of_ours_of_a_plugin_or_of_the_configuration(name: str) -> None:
    strategies = [{**ALL, "body": name}]
    assert problems(bodies=[ONE], receivers=[{**OPS, "body": name}], strategies=strategies) == []


def lacking(who: str, name: str, receiver: str = "ops") -> str:
    return f"{who} needs vars.{name}, which the receiver {receiver!r} has not; write vars: {{{name}: …}}"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"receivers": [{**OPS, "body": "locked"}]},
            [("receivers[0]", "the body 'locked'", "key"), ("receivers[0]", "the body 'locked'", "why")],
        ),
        (
            {"receivers": [{**OPS, "body": "locked", "vars": {"key": "k"}}]},
            [("receivers[0]", "the body 'locked'", "why")],
        ),
        ({"receivers": [{**OPS, "body": "pagerduty"}]}, [("receivers[0]", "the body 'pagerduty'", "routing_key")]),
        (
            {"receivers": [{**OPS, "vars": {"key": "k"}}], "strategies": [{**ALL, "body": "locked"}]},
            [("strategies[0].body", "the body 'locked'", "why")],
        ),
        (
            {"receivers": [{**OPS, "headers": {"X-A": "a", "X-B": "{{ vars.key }} {{ alert.id }}"}}]},
            [("receivers[0].headers.X-B", "it", "key")],
        ),
        (
            {"defaults": {"body": "locked", "vars": {"key": "k"}}, "receivers": [{**OPS, "vars": {"other": "o"}}]},
            [("receivers[0]", "the body 'locked'", "why")],
        ),
        ({"defaults": {"body": "locked", "vars": {"key": "k", "why": "w"}}, "receivers": [OPS]}, []),
        ({"defaults": {"body": "locked", "vars": {"key": "k"}}, "receivers": [{**OPS, "vars": {"why": "w"}}]}, []),
        ({"defaults": {"headers": {"X-A": "{{ vars.key }}"}, "vars": {"key": "k"}}, "receivers": [OPS]}, []),
        ({"defaults": {"body": "locked"}}, []),
        ({"receivers": [OPS, {**DEV, "vars": {"key": "k", "why": "w"}, "body": "locked"}]}, []),
        (
            {
                "receivers": [OPS, {**DEV, "vars": {"key": "k", "why": "w"}}],
                "strategies": [{**ALL, "receivers": ["dev"], "body": "locked"}],
            },
            [],
        ),
    ],
)
def test_a_body_that_needs_a_secret_is_sent_only_to_who_has_it(
    config: Mapping[str, object], expected: list[tuple[str, str, str]]
) -> None:
    found = problems(bodies=[LOCKED], **config)
    assert found == [f"{path}: {lacking(who, name)}" for path, who, name in expected]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"receivers": [{**OPS, **BATCH, "body": "one"}]}, [("receivers[0]", "one")]),
        (
            {"receivers": [{**OPS, **BATCH, "body": "pagerduty", "vars": {"routing_key": "k"}}]},
            [("receivers[0]", "pagerduty")],
        ),
        ({"receivers": [{**OPS, **BATCH}], "strategies": [{**ALL, "body": "one"}]}, [("strategies[0].body", "one")]),
        ({"defaults": {"body": "one", **BATCH}, "receivers": [OPS]}, [("receivers[0]", "one")]),
        ({"defaults": BATCH, "receivers": [{**OPS, "body": "one"}]}, [("receivers[0]", "one")]),
        ({"receivers": [{**OPS, "body": "one"}]}, []),
        ({"defaults": BATCH, "receivers": [{**OPS, "body": "one", "batch": None}]}, []),
        ({"defaults": {"body": "one", **BATCH}, "receivers": [{**OPS, "body": "many"}]}, []),
        ({"receivers": [{**OPS, **BATCH, "body": "hertzbeat"}]}, []),
        ({"receivers": [{**OPS, **BATCH, "body": "theirs"}]}, []),
        ({"receivers": [{**OPS, **BATCH, "body": "static"}]}, []),
        ({"receivers": [{**OPS, **BATCH}, {**DEV, "body": "one"}], "strategies": [{**ALL, "receivers": ["dev"]}]}, []),
    ],
)
def test_a_body_that_tells_one_alert_is_never_sent_for_many(
    config: Mapping[str, object], expected: list[tuple[str, str]]
) -> None:
    found = problems(bodies=[ONE, MANY, {"name": "static", "text": "{{ status }}"}], **config)
    assert found == [
        f"{path}: the body {name!r} tells only the first alert of a batch; let it speak of `alerts`, or remove batch "
        "from 'ops'"
        for path, name in expected
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"a": [{"for alert in alerts": "{{ alert.content }}"}]}},
        {"json": {"a": "{{ alert.content }}", "b": "{{ alerts | length }}"}},
        {"text": "{% for alert in recovered %}{{ alert.content }}{% endfor %}"},
        {"form": {"a": "{{ alert.content }}", "b": "{{ firing | map(attribute='content') | join(', ') }}"}},
    ],
)
def test_a_body_that_speaks_of_all_alerts_may_be_sent_for_many(body: Mapping[str, object]) -> None:
    assert problems(bodies=[{"name": "own", **body}], receivers=[{**OPS, **BATCH, "body": "own"}]) == []


def test_what_is_wrong_with_bodies_is_told_all_at_once_in_the_order_of_its_lines(mistakes: Mistakes) -> None:
    text = """\
        bodies:
        - name: first
          json:
            title: "[{{ alrt.content }}]"
            rows:
            - for a in alert.tgs:
                text: x
            - for a in alerts:
                text: '{{ a.contnt }}'
                more: {x: ["{{ 7 * 7 }}"]}
        - name: second
          text: |
            {% for a in alerts %}
              {{ a.content.upper() }}
            {% endfor %}
        - name: third
          form: {a: "{{ alert.content | uper }}", b: "{{ nothing }}"}
        receivers:
        - {name: ops, url: http://h/, headers: {X-A: "é {{ vars.key | upper }}"}}
        - {name: dev, url: http://h/, body: scond}
    """
    found = mistakes(text)
    assert [line.partition(": ")[0] for line in found] == [
        "hookplugin.yaml:4:17",
        "hookplugin.yaml:6:21",
        "hookplugin.yaml:9:20",
        "hookplugin.yaml:10:24",
        "hookplugin.yaml:14:25",
        "hookplugin.yaml:17:33",
        "hookplugin.yaml:17:50",
        "hookplugin.yaml:19:56",
        "hookplugin.yaml:20",
    ]

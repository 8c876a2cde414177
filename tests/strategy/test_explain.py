"""Why an alert goes to whom and why not: explanations agree with what happens, and change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest
from faults import OK, keeps_answering, receiving
from hypothesis import given, settings
from hypothesis import strategies as st
from offering import predicate
from pytest_httpserver import HTTPServer

from hookplugin import Alert, Explanation, Host, Priority, Status
from hookplugin.strategy.explain import TagsSeen, contradictions, explain
from hookplugin.strategy.model import Strategy
from hookplugin.strategy.notify import Known
from hookplugin.strategy.selection import compile_strategy
from hookspecs import Filter

Keys: TypeAlias = dict[str, Any]

AT = datetime(2026, 11, 28, 2, 12, tzinfo=UTC)  # a Saturday
ALERT = Alert(content="disk full", priority="warning", tags={"env": "prod", "team": "sre"}, source="nagios")
BODIES = {"ops": "hertzbeat", "pager": "short"}
NEVER = "can never match: alerts from 'nagios' have no such tag"
UNSEEN = "no alert from 'nagios' has that tag, of 9 seen"


def strategy(**keys: Any) -> Strategy:
    return Strategy.model_validate({"name": "s", "receivers": ["ops"], **keys})


def fails(_: Alert) -> bool:
    message = "no calendar"
    raise LookupError(message)


FILTERS: Mapping[str, Filter] = {"no": lambda _: False, "fails": predicate(fails)}


def explained(
    *strategies: Keys, alert: Alert = ALERT, tags: tuple[str, ...] = (), known: Known | None = None
) -> Explanation:
    compiled = [
        compile_strategy(strategy(**{"name": str(number)} | keys), FILTERS, UTC)
        for number, keys in enumerate(strategies)
    ]
    return explain(alert, AT, compiled, BODIES, known or Known(), TagsSeen(9 if tags else 0, frozenset(tags)))


def test_every_strategy_is_explained_in_its_order_with_the_first_reason_why_not() -> None:
    found = explained(
        {},
        {"enabled": False},
        {"priorities": ["critical"], "tags": {"env": "dev"}},
        {"days": ["mon"], "period": "09:00-17:00"},
        {"filters": ["fails", "no"]},
        {"filters": ["fails"], "receivers": ["pager", "ops"], "body": "chat"},
    )
    said = "the filter fails failed and counts as matched: LookupError: no calendar"
    assert [(one.strategy, one.matched, one.reason, one.failures) for one in found.strategies] == [
        ("0", True, None, ()),
        ("1", False, "disabled", ()),
        ("2", False, "priority warning is not in [critical]", ()),
        ("3", False, "Sat 02:12 UTC is outside mon 09:00–17:00", ()),
        ("4", False, "the filter no said no", (said,)),
        ("5", True, None, (said,)),
    ]
    assert (found.alert, found.at, found.notes) == (ALERT, AT, ())


@pytest.mark.parametrize(
    ("strategies", "expected", "unassociated"),
    [
        ([], [("ops", None, (), "no enabled strategy names it"), ("pager", None, (), "no enabled strategy names it")],
         ("ops", "pager")),
        ([{"enabled": False, "receivers": ["pager"]}, {}],
         [("ops", "hertzbeat", ("1",), None), ("pager", None, (), "no enabled strategy names it")], ("pager",)),
        ([{"priorities": ["critical"], "receivers": ["pager", "ops"]}, {"receivers": ["ops", "ops"]}],
         [("ops", "hertzbeat", ("1",), None), ("pager", None, (), "no strategy that matches names it")], ()),
        ([{}, {"body": "chat"}, {"body": "hertzbeat"}, {"body": "chat", "receivers": ["pager"]}],
         [("ops", "hertzbeat", ("0", "2"), None), ("ops", "chat", ("1",), None), ("pager", "chat", ("3",), None)], ()),
    ],
)  # fmt: skip
def test_every_receiver_is_explained_and_stands_once_for_each_body_that_it_would_get(
    strategies: list[Keys], expected: list[tuple[object, ...]], unassociated: tuple[str, ...]
) -> None:
    found = explained(*strategies)
    assert [(one.receiver, one.body, one.strategies, one.reason) for one in found.receivers] == expected
    assert found.unassociated == unassociated


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"tags": {"env": "prod"}, "match": ["env=dev"]}, 'env="dev" can never match beside the tag env: "prod"'),
        ({"tags": {"env": "prod"}, "match": ["env=~d.*"]}, 'env=~"d.*" can never match beside the tag env: "prod"'),
        ({"tags": {"env": "prod"}, "match": ["env!=prod"]}, 'env!="prod" can never match beside the tag env: "prod"'),
        ({"tags": {"env": ""}, "match": ["env=dev"]}, 'env="dev" can never match beside the tag env: ""'),
        ({"tags": {"port": 80}, "match": ['port!~"80|443"']},
         'port!~"80|443" can never match beside the tag port: "80"'),
        ({"match": ["env=prod,env=dev"]}, 'env="dev" can never match beside env="prod"'),
        ({"match": ["env=~d.*", "env=prod"]}, 'env=~"d.*" can never match beside env="prod"'),
        ({"match": ["alert.target=a", "alert.target!=a"]}, 'alert.target!="a" can never match beside alert.target="a"'),
        ({"match": ["alert.annotations.x=a", "alert.annotations.x=b"]},
         'alert.annotations.x="b" can never match beside alert.annotations.x="a"'),
        ({"priorities": ["emergency", "critical"], "match": ["alert.priority=warning"]},
         'alert.priority="warning" can never match: priority is one of emergency, critical'),
        ({"match": ['alert.priority=~"high|low"']},
         'alert.priority=~"high|low" can never match: priority is one of emergency, critical, warning'),
        ({"match": ["alert.status=pending"]},
         'alert.status="pending" can never match: status is one of firing, recovered'),
        ({"statuses": ["firing"], "match": ["alert.status!=firing"]},
         'alert.status!="firing" can never match: status is one of firing'),
    ],
)  # fmt: skip
def test_what_no_alert_can_have_is_told(keys: Keys, expected: str) -> None:
    assert list(contradictions(strategy(**keys))) == [expected]
    assert explained(keys, tags=("env", "port")).strategies[0].impossible == (expected,)
    assert explained(keys | {"enabled": False}).strategies[0].impossible == ()


@pytest.mark.parametrize(
    "keys",
    [
        {"match_all": True},
        {"tags": {"env": "prod"}, "match": ["env=prod", "env=~p.*", "env!=dev"]},
        {"tags": {"env": "prod", "team": "sre"}, "tags_mode": "any", "match": ["env=dev"]},
        {"tags": {"env": ""}, "match": ["env!=dev", 'env=~"|x"']},
        {"match": ['"alert.priority"=x', "alert.priority=critical"]},
        {"match": ["alert.annotations.env=a", "env=b"]},
        {"statuses": [], "match": ["alert.status=pending"]},
        {"statuses": ["processed"], "match": ["alert.status!=firing"]},
    ],
)
def test_what_an_alert_can_have_is_no_contradiction(keys: Keys) -> None:
    assert list(contradictions(strategy(**keys))) == []


NAMES = st.sampled_from(["a", "b", "alert.priority", "alert.status", "alert.target", "alert.annotations.a"])
TEXTS = st.sampled_from(["", "x", "y", "critical", "warning", "firing", "pending"])
PATTERNS = st.sampled_from(["", "x|y", ".*", ".+", "x?", "critical|firing", "[^x]*", "warning"])


def matcher(name: str, operator: str, value: str) -> str:
    names = {"alert.priority": "critical", "alert.status": "firing"}
    allowed = {"alert.priority": {"critical", "warning"}, "alert.status": {"firing", "pending"}}
    if "~" not in operator and value not in allowed.get(name, {value}):
        value = names[name]
    return f'{name}{operator}"{value}"'


MATCHERS = st.builds(matcher, NAMES, st.sampled_from(["=", "!="]), TEXTS) | st.builds(
    matcher, NAMES, st.sampled_from(["=~", "!~"]), PATTERNS
)
PRIORITIES = st.sampled_from(["emergency", "critical", "warning"])
STATUSES = st.sampled_from([status.name for status in Status])
TAGS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "x", "y"]))
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "priorities": st.lists(PRIORITIES, max_size=2),
        "statuses": st.lists(STATUSES, max_size=2),
        "tags": TAGS,
        "tags_mode": st.sampled_from(["all", "any"]),
        "match": st.lists(MATCHERS, max_size=3),
    },
)
EVERY_ALERT = [
    Alert(content="x", target=target, priority=priority, status=status, tags=tags, annotations=annotations)
    for target, priority, status, tags, annotations in product(
        [None, "x"],
        Priority,
        Status,
        [{"a": a, "b": b} for a in ("", "x", "y", "critical") for b in ("", "x", "y")],
        [{}, {"a": "x"}, {"a": "y"}],
    )
]


@given(keys=CONDITIONS)
def test_a_strategy_with_a_contradiction_matches_no_alert(keys: Keys) -> None:
    compiled = compile_strategy(strategy(**keys), {}, UTC)
    if list(contradictions(compiled.strategy)):
        assert not any(compiled.matches(alert, AT) for alert in EVERY_ALERT)


@pytest.mark.parametrize(
    ("keys", "tags", "expected"),
    [
        ({"match": ["severity=critical"]}, (),
         [f'severity="critical" {NEVER}; did you mean alert.priority?']),
        ({"match": ["alertname=~Disk.*"]}, (),
         [f'alertname=~"Disk.*" {NEVER}; did you mean alert.target?']),
        ({"tags": {"enw": "prod"}}, (), []),
        ({"tags": {"enw": "prod"}}, ("env",), [f"the tag enw: \"prod\": {UNSEEN}; did you mean 'env'?"]),
        ({"tags": {"clutser": "a"}}, ("cluster", "zone"),
         [f"the tag clutser: \"a\": {UNSEEN}; did you mean 'cluster'?"]),
        ({"tags": {"env": "prod", "clutser": "a"}, "tags_mode": "any"}, ("cluster",), []),
        ({"tags": {"cluster": "a"}, "match": ["zone=b"]}, ("cluster", "zone"), []),
        ({"tags": {"other": ""}, "match": ["other!=x", 'other=""', "other=~.*"]}, (), []),
        ({"match": ["alert.target=x", "alert.annotations.other=x"]}, (), []),
        ({"enabled": False, "match": ["severity=critical"]}, (), []),
    ],
)  # fmt: skip
def test_a_tag_that_alerts_of_this_source_never_have_is_told_with_what_to_write_instead(
    keys: Keys, tags: tuple[str, ...], expected: list[str]
) -> None:
    assert list(explained(keys, tags=tags).strategies[0].impossible) == expected


@pytest.fixture
def config(httpserver: HTTPServer, tmp_path: Path) -> Keys:
    httpserver.expect_request("/ops").respond_with_data()
    return {
        "outbox": f"sqlite:///{tmp_path}/outbox.db",
        "timezone": "Asia/Tokyo",
        "receivers": [{"name": "ops", "url": httpserver.url_for("/ops")}],
        "strategies": [{"name": "s", "receivers": ["ops"]}],
    }


def dump(config: Keys) -> list[str]:
    with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())


def gets(found: Explanation) -> list[tuple[str, str]]:
    return [(one.receiver, one.body) for one in found.receivers if one.body is not None]


def test_a_host_explains_without_storing_or_sending_anything(httpserver: HTTPServer, config: Keys) -> None:
    firing = Alert(content="x", source="alertmanager", tags={"env": "prod"})
    recovered = Alert(content="x", source="alertmanager", tags={"env": "prod"}, status="recovered")
    with Host(config) as host:
        before = dump(config)
        for _ in range(2):
            assert gets(host.explain(firing)) == [("ops", "hertzbeat")]
        assert dump(config) == before
        host.wait(host.fire(firing))
        before = dump(config)
        (again,) = host.explain(firing).receivers
        assert (again.receiver, again.body, again.strategies) == ("ops", None, ())
        assert str(again.reason).endswith(" UTC, and no strategy repeats it")
        for _ in range(2):
            found = host.explain(recovered)
            assert gets(found) == [("ops", "hertzbeat")]
            assert found.strategies[0].reason == "it let the firing pass, and its recovery follows"
        assert dump(config) == before
    assert len(httpserver.log) == 1


def test_a_recovery_whose_firing_was_filtered_out_is_explained(config: Keys) -> None:
    firing_only = {"name": "firing only", "receivers": ["ops"], "statuses": ["firing"], "priorities": ["critical"]}
    config["strategies"] = [{"name": "s", "receivers": ["ops"], "priorities": ["critical"]}, firing_only]
    with Host(config) as host:
        host.fire(Alert(content="x"))
        found = host.explain(Alert(content="x", priority="critical", status="recovered"))
    assert [(one.matched, one.reason) for one in found.strategies] == [
        (False, "its firing was filtered out"),
        (False, "status recovered is not in [firing]"),
    ]
    assert [one.reason for one in found.receivers] == ["its firing did not go there"]


def test_explanations_know_the_tags_of_recent_alerts_of_the_same_source(config: Keys) -> None:
    config["strategies"][0]["tags"] = {"cluster": "a"}
    with Host(config) as host:
        assert "did you mean" not in "".join(host.explain(Alert(content="x")).strategies[0].impossible)
        host.fire(Alert(content="x", tags={"cluster": "b"}))
        assert host.explain(Alert(content="x")).strategies[0].impossible == ()
        other = Alert(content="x", source="nagios", tags={"env": "prod"})
        assert host.explain(other).strategies[0].impossible == ()
        host.fire(other)
        assert host.explain(other).strategies[0].impossible == (
            "the tag cluster: \"a\": no alert from 'nagios' has that tag, of 1 seen; there is env",
        )


def test_a_time_without_a_zone_is_in_the_zone_of_the_configuration(config: Keys) -> None:
    config["strategies"][0] |= {"period": "09:00-17:00", "days": ["mon"], "timezone": "Europe/Berlin"}
    monday = datetime(2026, 11, 30, 20, 0)  # noqa: DTZ001 - 12:00 in Berlin
    with Host(config) as host:
        found = [host.explain(ALERT, at) for at in (monday, monday.replace(hour=12), monday.replace(tzinfo=UTC))]
        assert datetime.now(UTC) - host.explain(ALERT).at < timedelta(minutes=1)
    assert [one.strategies[0].matched for one in found] == [True, False, False]
    assert found[0].at == monday.replace(tzinfo=ZoneInfo("Asia/Tokyo"))
    assert found[1].strategies[0].reason == "Mon 04:00 Europe/Berlin is outside mon 09:00–17:00"


def test_a_reminder_is_explained_for_the_time_that_is_asked_about(config: Keys) -> None:
    config["strategies"][0]["repeat"] = "4h"
    with Host(config) as host:
        host.fire(ALERT)
        found = [host.explain(ALERT, datetime.now(UTC) + timedelta(hours=hours)) for hours in (3, 5)]
    assert [gets(one) for one in found] == [[], [("ops", "hertzbeat")]]


def test_without_our_plugin_a_note_says_why_there_are_no_strategies(config: Keys) -> None:
    with Host(config | {"plugins": {"disabled": ["webhook"]}}) as host:
        found = host.explain(ALERT)
    assert found.notes == ("the plugin 'webhook' is off: there are no strategies",)
    assert (found.strategies, found.receivers, found.unassociated) == ((), (), ())


def test_a_storage_that_fails_is_a_note_and_the_rest_is_explained_all_the_same(config: Keys) -> None:
    with Host(config) as host:
        with closing(sqlite3.connect(config["outbox"].removeprefix("sqlite:///"))) as other:
            other.execute("drop table seen")
        broken = host.explain(ALERT)
        host.close()
        closed = host.explain(ALERT)
    for found, reason in ((broken, "failed: no such table: seen"), (closed, "is closed")):
        assert found.notes == (
            f"the outbox {config['outbox'][len('sqlite:///') :]} {reason}: what was told before is not known",
        )
        assert gets(found) == [("ops", "hertzbeat")]


def test_a_body_that_is_gone_since_the_firing_is_explained_as_what_is_sent_instead(
    config: Keys, install: Callable[..., None]
) -> None:
    install(
        "chatty",
        """
        from hookplugin import Body, hookimpl

        @hookimpl
        def alert_register(registry):
            registry.renderer("chat", lambda deliveries: Body(content=b"{}"))
        """,
    )
    chat = {"name": "chat", "receivers": ["ops"], "body": "chat"}
    recovered = Alert(content="x", status="recovered")
    with Host(config | {"strategies": [*config["strategies"], chat]}) as host:
        assert len(host.wait(host.fire(Alert(content="x")))) == 2
    with Host(config | {"plugins": {"disabled": ["chatty"]}}) as host:
        explanation = gets(host.explain(recovered))
        receipt = host.fire(recovered)
    assert explanation == [(one.receiver, one.body) for one in receipt.deliveries] == [("ops", "hertzbeat")]


RECEIVERS = ["a", "b", "c"]
RULES = st.lists(
    st.builds(
        lambda keys, more: keys | more,
        CONDITIONS,
        st.fixed_dictionaries(
            {"receivers": st.lists(st.sampled_from(RECEIVERS), min_size=1, max_size=2)},
            optional={"enabled": st.booleans(), "repeat": st.just("4h")},
        ),
    ),
    max_size=4,
)
FIRED = st.tuples(
    PRIORITIES,
    st.sampled_from(["firing", "firing", "recovered", "pending"]),
    st.sampled_from([{}, {"a": "x"}]),
    st.sampled_from([1000, 2000]),
    st.sampled_from(["nagios", "alertmanager"]),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with receiving(keeps_answering(OK)) as found:
        yield f"http://127.0.0.1:{found.port}/"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host({}) as host:
        yield host


examples = count()


@settings(max_examples=100)
@given(rules=RULES, later=RULES, sequence=st.lists(FIRED, min_size=1, max_size=8))
def test_who_would_hear_of_an_alert_is_who_hears_of_it(
    host: Host, url: str, rules: list[Keys], later: list[Keys], sequence: list[tuple[Any, ...]]
) -> None:
    example = next(examples)
    for number, (priority, status, tags, trigger, source) in enumerate(sequence):
        if number == 0:
            host.reload(configuration(rules, RECEIVERS, url))
        if number == 4:
            host.reload(configuration(later, RECEIVERS[:2], url))
        alert = Alert(
            content="x",
            priority=priority,
            status=status,
            tags=tags,
            first_trigger_time=trigger,
            source=source,
            fingerprint=f"{example} {sorted(tags)}",
        )
        found = host.explain(alert)
        receipt = host.fire(alert)
        told = [(one.receiver, one.body, one.strategies) for one in receipt.deliveries]
        assert sorted((one.receiver, one.body, one.strategies) for one in found.receivers if one.body) == sorted(told)
        held = {one.receiver for one in receipt.suppressed} - {None, "c"}  # "c" may be configured no more
        assert held <= {one.receiver for one in found.receivers if one.reason}
        assert all(host.wait(receipt).values())


def configuration(rules: list[Keys], receivers: list[str], url: str) -> Keys:
    """Return a configuration of those rules that name only these receivers."""
    return {
        "receivers": [{"name": name, "url": url} for name in receivers],
        "strategies": [
            {"name": str(index)} | keys for index, keys in enumerate(rules) if {*keys["receivers"]} <= {*receivers}
        ],
    }

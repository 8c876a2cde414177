"""A configuration: every mistake at once, with its line, and never a secret."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from hookplugin import Alert, Config, ConfigError, Host, Priority
from hookplugin.config import (
    DEFAULT_FILE,
    ENVIRONMENT,
    ConfigInput,
    find_file,
    open_document,
    zone_and_outbox,
)
from hookplugin.document import Document, parse_document
from hookplugin.resolution import Offered, resolve

OFFERED = Offered(
    bodies=frozenset({"hertzbeat", "chat"}),
    filters=frozenset({"noise", "business-hours"}),
    signers=frozenset({"standard", "github", "theirs"}),
    plugins={"webhook": None, "broken": "it cannot be loaded", "other": None},
)
OFF = "; perhaps a plugin that is off offers it: 'broken'"
RECEIVER = {"name": "ops", "url": "http://example.com/hook"}
STRATEGY = {"name": "all", "receivers": ["ops"]}
TOP = (
    "bodies, defaults, dispatch, durability, keep, max_pending, network, outbox, plugins, receivers, serve, "
    "severities, strategies, timezone"
)
OF_DEFAULTS = (
    "auth, batch, body, fallback, headers, max_in_flight, method, proxy, rate, retry, secret, signer, timeout, tls, "
    "vars"
)
OF_RECEIVER = OF_DEFAULTS.replace("method", "method, name, options").replace("vars", "type, url, vars")
ADDRESS = "should be an address that begins with http:// or https://, a host and perhaps a port"
NOT_A_DURATION = "not a duration; write one like 500ms, 3s, 5m, 4h, 1d"
PRIORITIES = "emergency (0), critical (1), warning (2)"

Load = Callable[[str], Config]


def check(config: ConfigInput) -> Config:
    return resolve(open_document(config), OFFERED)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str) -> Config:
        path = tmp_path / "hookplugin.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return check(path)

    return load_text


@pytest.fixture
def mistakes(load: Load, tmp_path: Path) -> Callable[[str], list[str]]:
    """Return the lines of the error, without the folder."""

    def lines(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]

    return lines


def problems(config: ConfigInput) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(config)
    return [line.removeprefix("configuration: ") for line in caught.value.problems]


def receiver(**keys: object) -> dict[str, Any]:
    return {"receivers": [{**RECEIVER, **keys}]}


def strategy(**keys: object) -> dict[str, Any]:
    return {"receivers": [RECEIVER], "strategies": [{**STRATEGY, **keys}]}


def test_every_mistake_is_reported_at_once_with_file_line_path_and_what_is_allowed(
    mistakes: Callable[[str], list[str]],
) -> None:
    text = """\
        timezone: Europe/Berln
        recievers: []
        defaults:
          body: hertzbaet
          timeout: {connect: 3 seconds}
        receivers:
        - name: ops
          url: ftp://example.com
          max_in_flight: 0
          retry: {max_age: tomorrow}
          batch: {wait: 6m, max: 1000}
          rate: 1 per second
        - name: ops
          url: {env: HOOKPLUGIN_TEST_NOT_SET}
        - url: 5
        strategies:
        - name: production
          receivers: [opz]
          priorities: [critcal]
          days: [mondy]
          enabled: maybe
        - name: empty
          receivers: []
        plugins:
          required: [webhok]
    """
    assert mistakes(text) == [
        "hookplugin.yaml:1: timezone: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        "hookplugin.yaml:2: recievers: unknown key; did you mean 'receivers'?",
        "hookplugin.yaml:4: defaults.body: unknown body 'hertzbaet'; did you mean 'hertzbeat'?",
        f"hookplugin.yaml:5: defaults.timeout.connect: {NOT_A_DURATION}",
        f"hookplugin.yaml:8: receivers[0].url: {ADDRESS}",
        "hookplugin.yaml:9: receivers[0].max_in_flight: should be at least 1",
        f"hookplugin.yaml:10: receivers[0].retry.max_age: {NOT_A_DURATION}",
        "hookplugin.yaml:11: receivers[0].batch.wait: should be at most 5m",
        "hookplugin.yaml:11: receivers[0].batch.max: should be at most 500",
        "hookplugin.yaml:12: receivers[0].rate: not a rate; write one like 1/s, 30/m, 100/h",
        "hookplugin.yaml:13: receivers[1].name: 'ops' is the name of receivers[0] already; choose another",
        "hookplugin.yaml:14: receivers[1].url: the environment variable 'HOOKPLUGIN_TEST_NOT_SET' is not set",
        "hookplugin.yaml:15: receivers[2].name: is missing",
        "hookplugin.yaml:15: receivers[2].url: should be text",
        "hookplugin.yaml:18: strategies[0].receivers[0]: unknown receiver 'opz'; did you mean 'ops'?",
        f"hookplugin.yaml:19: strategies[0].priorities[0]: not a priority; write one of {PRIORITIES}",
        "hookplugin.yaml:20: strategies[0].days[0]: not a day; did you mean 'monday'?",
        "hookplugin.yaml:21: strategies[0].enabled: should be true or false",
        "hookplugin.yaml:23: strategies[1].receivers: should name at least 1",
        "hookplugin.yaml:25: plugins.required[0]: unknown plugin 'webhok'; did you mean 'webhook'?",
    ]


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        ({"timezon": "UTC"}, "timezon: unknown key; did you mean 'timezone'?"),
        ({"xyz": 1}, f"xyz: unknown key; there is {TOP}"),
        (receiver(uri="x"), "receivers[0].uri: unknown key; did you mean 'url'?"),
        (receiver(secrets="x"), "receivers[0].secrets: unknown key; did you mean 'secret'?"),
        (receiver(colour="x"), f"receivers[0].colour: unknown key; there is {OF_RECEIVER}"),
        (receiver(auth={"barer": "x"}), "receivers[0].auth.barer: unknown key; did you mean 'bearer'?"),
        (receiver(timeout={"conect": "1s"}), "receivers[0].timeout.conect: unknown key; did you mean 'connect'?"),
        (
            receiver(auth={"basic": {"user": "x", "username": "a", "password": "b"}}),
            "receivers[0].auth.basic.user: unknown key; did you mean 'username'?",
        ),
        ({"defaults": {"name": "x"}}, f"defaults.name: unknown key; there is {OF_DEFAULTS}"),
        (receiver(retry={"maxage": "1h"}), "receivers[0].retry.maxage: unknown key; did you mean 'max_age'?"),
        (receiver(batch={"size": 5}), "receivers[0].batch.size: unknown key; there is max, wait"),
        ({"keep": {"deliverd": "1d"}}, "keep.deliverd: unknown key; did you mean 'delivered'?"),
        ({"max_pendin": 5}, "max_pendin: unknown key; did you mean 'max_pending'?"),
        ({"plugins": {"require": []}}, "plugins.require: unknown key; did you mean 'required'?"),
        (strategy(reciever="ops"), "strategies[0].reciever: unknown key; did you mean 'receivers'?"),
        (strategy(receivers=["opps"]), "strategies[0].receivers[0]: unknown receiver 'opps'; did you mean 'ops'?"),
        (strategy(receivers=["ops", "xyz"]), "strategies[0].receivers[1]: unknown receiver 'xyz'; there is ops"),
        ({"strategies": [STRATEGY]}, "strategies[0].receivers[0]: unknown receiver 'ops'; there is none"),
        (receiver(body="caht"), "receivers[0].body: unknown body 'caht'; did you mean 'chat'?"),
        (
            strategy(body="xyz"),
            f"strategies[0].body: unknown body 'xyz'; there is chat, hertzbeat{OFF}",
        ),
        (strategy(filters=["nois"]), "strategies[0].filters[0]: unknown filter 'nois'; did you mean 'noise'?"),
        (
            strategy(timezone="Europe/Pariss"),
            "strategies[0].timezone: unknown time zone 'Europe/Pariss'; did you mean 'Europe/Paris'?",
        ),
        ({"timezone": "Mars"}, "timezone: unknown time zone 'Mars'; write one like Europe/Berlin or UTC"),
        ({"timezone": 3}, "timezone: should be the name of a time zone, like Europe/Berlin"),
        (
            {"timezone": "../../etc/passwd"},
            "timezone: unknown time zone '../../etc/passwd'; write one like Europe/Berlin or UTC",
        ),
        (strategy(days=["thurs"]), "strategies[0].days[0]: not a day; did you mean 'thursday'?"),
        (strategy(days=["xyz"]), "strategies[0].days[0]: not a day; write mon, tue, wed, thu, fri, sat, sun"),
        (strategy(priorities=["urgent"]), f"strategies[0].priorities[0]: not a priority; write one of {PRIORITIES}"),
        (strategy(priorities=[3]), f"strategies[0].priorities[0]: not a priority; write one of {PRIORITIES}"),
        (strategy(priorities=[True]), f"strategies[0].priorities[0]: not a priority; write one of {PRIORITIES}"),
        (
            strategy(statuses=["gone"]),
            (
                "strategies[0].statuses[0]: not a status; write one of firing (0), pending (1), "
                "recovered (2), processed (3)"
            ),
        ),
        (strategy(tags_mode="some"), "strategies[0].tags_mode: should be 'all' or 'any'"),
        (strategy(receivers="ops"), "strategies[0].receivers: should be a list"),
        (
            strategy(match_all=True, days=["mon"], tags={"a": "b"}),
            "strategies[0]: match_all lets every alert pass; remove it, or remove tags, days",
        ),
        ({"severities": {"page": "emergncy"}}, f"severities.page: not a priority; write one of {PRIORITIES}"),
        ({"severities": {1: "critical"}}, "severities[1]: should be text"),
        (
            {"outbox": "postgres://user:S3cret@db"},
            'outbox: should be sqlite:///FILE, or "sqlite:///:memory:" in quotes',
        ),
        ({"outbox": "sqlite:///"}, 'outbox: should be sqlite:///FILE, or "sqlite:///:memory:" in quotes'),
        ({"plugins": {"disabled": ["othr"]}}, "plugins.disabled[0]: unknown plugin 'othr'; did you mean 'other'?"),
        (
            {"plugins": {"settings": {"othr": {}}}},
            "plugins.settings.othr: unknown plugin 'othr'; did you mean 'other'?",
        ),
        ({"plugins": {"settings": {"other": "x"}}}, "plugins.settings.other: should be a map of keys and values"),
        ({"plugins": {"required": ["broken"]}}, "plugins.required[0]: the plugin 'broken' is off: it cannot be loaded"),
        ({"receivers": {"ops": {}}}, "receivers: should be a list, not a map"),
        ({"receivers": None}, "receivers: should be a list, not nothing"),
        (receiver(name=""), "receivers[0].name: should not be empty"),
        (receiver(name="  "), "receivers[0].name: should not be empty"),
        (receiver(max_in_flight=1.5), "receivers[0].max_in_flight: should be a whole number"),
        (receiver(max_in_flight=1001), "receivers[0].max_in_flight: should be at most 1000"),
        ({"durability": "half"}, "durability: should be 'full' or 'normal'"),
        ({"dispatch": "maybe"}, "dispatch: should be true or false"),
        ({"keep": "1d"}, "keep: should be a map of keys and values"),
        ({"keep": {"dead": "for ever"}}, f"keep.dead: {NOT_A_DURATION}"),
        ({"keep": {"delivered": 0}}, f"keep.delivered: {NOT_A_DURATION}"),
        ({"max_pending": 0}, "max_pending: should be at least 1"),
        ({"max_pending": "many"}, "max_pending: should be a whole number"),
        (receiver(retry={"max_age": "soon"}), f"receivers[0].retry.max_age: {NOT_A_DURATION}"),
        (receiver(batch={"wait": "0s"}), f"receivers[0].batch.wait: {NOT_A_DURATION}"),
        (receiver(batch={"wait": "301s"}), "receivers[0].batch.wait: should be at most 5m"),
        (receiver(batch={"max": 0}), "receivers[0].batch.max: should be at least 1"),
        (receiver(batch={"max": 501}), "receivers[0].batch.max: should be at most 500"),
        (receiver(batch=True), "receivers[0].batch: should be a map of keys and values"),
        (receiver(rate="often"), "receivers[0].rate: not a rate; write one like 1/s, 30/m, 100/h"),
        (receiver(fallback=5), "receivers[0].fallback: should be text"),
        (receiver(auth={}), "receivers[0].auth: should hold either basic, bearer or oauth2"),
    ],
)
def test_a_typo_is_one_problem_with_the_nearest_name_or_all_that_are_allowed(
    config: Mapping[str, Any], mistake: str
) -> None:
    assert problems(config) == [mistake]


@pytest.mark.parametrize(("written", "seconds"), [("4h", 14400.0), ("1h30m", 5400.0), (90, 90.0), (None, None)])
def test_a_strategy_repeats_after_a_duration(written: object, seconds: float | None) -> None:
    assert check(strategy(repeat=written)).strategies[0].repeat == seconds


@pytest.mark.parametrize("written", ["never", "4 hours", "0s", 0, -1, True, "", [], {}])
def test_a_strategy_repeats_after_nothing_but_a_duration(written: object) -> None:
    assert problems(strategy(repeat=written)) == [f"strategies[0].repeat: {NOT_A_DURATION}"]


@pytest.mark.parametrize("data", [["receivers"], "receivers", 5, [{}]])
def test_a_file_that_holds_no_map_is_refused(data: object, tmp_path: Path) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"hookplugin\.yaml:1: should be a map of keys and values"):
        check(path)


@pytest.mark.parametrize("second", ["ops", " ops ", "ops\t"])
@pytest.mark.parametrize("section", ["receivers", "strategies"])
def test_two_things_cannot_share_a_name_even_with_spaces_around_it(section: str, second: str) -> None:
    items: dict[str, list[dict[str, Any]]] = {
        "receivers": [RECEIVER],
        "strategies": [{"name": "ops", "receivers": ["ops"]}],
    }
    config = {**items, section: [items[section][0], {**items[section][0], "name": second}]}
    assert problems(config) == [f"{section}[1].name: 'ops' is the name of {section}[0] already; choose another"]


def test_spaces_around_a_name_do_not_matter() -> None:
    config = check({
        "receivers": [{**RECEIVER, "name": " ops "}],
        "strategies": [{"name": "all", "receivers": ["ops", " ops"], "filters": [" noise"], "body": "chat "}],
        "plugins": {"required": [" webhook"], "settings": {" other ": {"a": 1}}},
    })  # fmt: skip
    assert config.receivers[0].name == "ops"
    assert config.strategies[0].receivers == ("ops", "ops")
    assert config.plugins.settings == {"other": {"a": 1}}


def test_spaces_around_the_name_of_a_required_plugin_do_not_hide_that_it_is_off() -> None:
    assert problems({"plugins": {"required": ["broken "]}}) == [
        "plugins.required[0]: the plugin 'broken' is off: it cannot be loaded"
    ]


def test_references_are_read_from_the_environment_and_from_files_beside_the_configuration(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKPLUGIN_TEST_URL", "https://example.com/env")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("tok-en\r\n", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load("""\
        receivers:
        - name: ops
          url: {env: HOOKPLUGIN_TEST_URL}
          auth: {bearer: {file: secrets/token}}
    """)
    (ops,) = config.receivers
    assert ops.address.get_secret_value() == "https://example.com/env"
    assert ops.auth
    assert ops.auth.bearer
    assert ops.auth.bearer.get_secret_value() == "tok-en"


@pytest.mark.parametrize(
    ("reference", "mistake"),
    [
        ("{env: HOOKPLUGIN_TEST_EMPTY}", "env 'HOOKPLUGIN_TEST_EMPTY' is empty"),
        ("{env: HOOKPLUGIN_TEST_NONE}", "the environment variable 'HOOKPLUGIN_TEST_NONE' is not set"),
        ("{file: none}", "cannot read '{here}/none': No such file or directory"),
        ("{file: .}", "cannot read '{here}': Is a directory"),
        ("{file: latin}", "cannot read '{here}/latin': not UTF-8 text"),
        ("{file: empty}", "file 'empty' is empty"),
        ("{file: a, env: b}", "should be text, {env: NAME} or {file: PATH}"),
        ("{fil: a}", "should be text, {env: NAME} or {file: PATH}"),
        ("{env: 5}", "should be text, {env: NAME} or {file: PATH}"),
        ("{}", "should be text, {env: NAME} or {file: PATH}"),
    ],
)
def test_a_reference_that_cannot_be_read_says_why(
    mistakes: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, mistake: str
) -> None:
    monkeypatch.setenv("HOOKPLUGIN_TEST_EMPTY", "")
    (tmp_path / "latin").write_bytes("ä".encode("latin-1"))
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    said = mistake.replace("{here}", str(tmp_path))
    assert mistakes(f"receivers:\n- name: ops\n  url: {reference}\n") == [
        f"hookplugin.yaml:3: receivers[0].url: {said}"
    ]


def test_a_relative_outbox_lies_beside_the_file(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load("outbox: sqlite:///data/outbox.db").outbox == f"sqlite:///{tmp_path}/data/outbox.db"
    assert load("outbox: sqlite:////var/outbox.db").outbox == "sqlite:////var/outbox.db"
    assert load('outbox: "sqlite:///:memory:"').outbox == "sqlite:///:memory:"
    assert check({"outbox": "sqlite:///outbox.db"}).outbox == f"sqlite:///{elsewhere}/outbox.db"


def test_defaults_fill_in_what_a_receiver_leaves_out() -> None:
    config = check({
        "defaults": {
            "body": "chat",
            "headers": {"X-Team": "sre", "X-From": "us"},
            "auth": {"bearer": "token"},
            "timeout": {"connect": "1s", "total": "1m"},
            "max_in_flight": 9,
        },
        "receivers": [
            {"name": "plain", "url": "http://a"},
            {
                "name": "own",
                "url": "http://b",
                "body": "hertzbeat",
                "headers": {"x-team": "db", "Authorization": "Own"},
                "timeout": {"read": "500ms"},
                "max_in_flight": 1,
            },
        ],
    })  # fmt: skip
    plain, own = config.receivers
    assert (plain.body, plain.max_in_flight) == ("chat", 9)
    assert (plain.timeout.connect, plain.timeout.read, plain.timeout.total) == (1.0, 5.0, 60.0)
    assert set(plain.headers) == {"X-Team", "X-From"}
    assert plain.auth
    assert (own.body, own.max_in_flight) == ("hertzbeat", 1)
    assert (own.timeout.connect, own.timeout.read, own.timeout.total) == (1.0, 0.5, 60.0)
    assert {name: isinstance(value, SecretStr) and value.get_secret_value() for name, value in own.headers.items()} == {
        "X-From": "us",
        "x-team": "db",
        "Authorization": "Own",
    }
    assert own.auth is None


def test_the_outbox_is_kept_and_delivered_as_documented_unless_it_is_said() -> None:
    plain = check(receiver())
    assert (plain.durability, plain.dispatch, plain.max_pending) == ("full", True, 1_000_000)
    assert (plain.keep.delivered, plain.keep.dead) == (86400, 14 * 86400)
    said = check({
        "outbox": "sqlite:////outbox.db",
        "durability": "normal",
        "dispatch": False,
        "max_pending": 1,
        "keep": {"dead": "1h"},
    })  # fmt: skip
    assert (said.durability, said.dispatch, said.max_pending) == ("normal", False, 1)
    assert (said.keep.delivered, said.keep.dead) == (86400, 3600)


@pytest.mark.parametrize(
    ("keys", "retry", "batch", "rate", "fallback"),
    [
        ({}, 14400, None, None, None),
        ({"retry": {}, "batch": {}}, 14400, (5, 100), None, None),
        ({"retry": {"max_age": "90s"}, "rate": " 30/m "}, 90, None, 2, None),
        ({"batch": {"wait": "5m", "max": 500}, "fallback": " pager "}, 14400, (300, 500), None, "pager"),
        ({"batch": {"wait": 0.5, "max": 1}, "rate": "100/h"}, 14400, (0.5, 1), 36, None),
        ({"batch": None, "rate": None, "fallback": None}, 14400, None, None, None),
    ],
)
def test_a_receiver_says_how_long_how_often_and_together_with_what_it_is_told(
    keys: dict[str, Any], retry: float, batch: tuple[float, int] | None, rate: float | None, fallback: str | None
) -> None:
    found = check({"receivers": [{**RECEIVER, **keys}, {**RECEIVER, "name": "pager"}]}).receivers[0]
    assert found.retry.max_age == retry
    assert (found.batch and (found.batch.wait, found.batch.max)) == batch
    assert (found.rate, found.fallback) == (rate, fallback)


def test_defaults_of_retry_batch_rate_and_fallback_are_for_those_who_say_nothing_of_them() -> None:
    config = check({
        "defaults": {"retry": {"max_age": "1h"}, "batch": {"wait": "1s"}, "rate": "2/s", "fallback": "pager"},
        "receivers": [
            {"name": "plain", "url": "http://a"},
            {
                "name": "own",
                "url": "http://b",
                "retry": {"max_age": "5m"},
                "batch": {"wait": "2s", "max": 7},
                "rate": "1/m",
                "fallback": "plain",
            },
            {"name": "none", "url": "http://c", "batch": None, "rate": None, "fallback": None},
            {"name": "pager", "url": "http://d"},
        ],
    })  # fmt: skip
    assert {
        one.name: (one.retry.max_age, one.batch and (one.batch.wait, one.batch.max), one.rate, one.fallback)
        for one in config.receivers
    } == {
        "plain": (3600, (1, 100), 0.5, "pager"),
        "own": (300, (2, 7), 60, "plain"),
        "none": (3600, None, None, None),
        "pager": (3600, (1, 100), 0.5, None),  # the default is meant for the others
    }


def test_a_batch_is_filled_in_with_the_defaults_like_a_timeout() -> None:
    config = check({"defaults": {"batch": {"wait": "1s", "max": 10}}, **receiver(batch={"max": 7})})
    (batch,) = [one.batch for one in config.receivers]
    assert batch
    assert (batch.wait, batch.max) == (1, 7)


def fallbacks(**named: str | None) -> list[dict[str, str]]:
    """Return receivers with the fallbacks that they name."""
    urls = {"url": "http://example.com/"}
    return [{"name": name, **urls, **({"fallback": other} if other else {})} for name, other in named.items()]


UNHEARD = "nobody would hear at its end"


@pytest.mark.parametrize(
    ("receivers", "default", "mistakes"),
    [
        (
            fallbacks(ops="pagr", pager=None),
            None,
            ["receivers[0].fallback: unknown receiver 'pagr'; did you mean 'pager'?"],
        ),
        (fallbacks(ops="xyz"), None, ["receivers[0].fallback: unknown receiver 'xyz'; there is ops"]),
        (fallbacks(ops=None), "opps", ["defaults.fallback: unknown receiver 'opps'; did you mean 'ops'?"]),
        (fallbacks(a="a"), None, [f"receivers[0].fallback: goes in a circle, 'a' → 'a': {UNHEARD}"]),
        (
            fallbacks(z="a", a="b", b="c", c="a"),
            None,
            [
                f"receivers[1].fallback: goes in a circle, 'a' → 'b' → 'c' → 'a': {UNHEARD}",
                f"receivers[2].fallback: goes in a circle, 'b' → 'c' → 'a' → 'b': {UNHEARD}",
                f"receivers[3].fallback: goes in a circle, 'c' → 'a' → 'b' → 'c': {UNHEARD}",
            ],
        ),
        (
            fallbacks(a=None, b="a"),
            "b",
            [
                f"receivers[0].fallback: goes in a circle, 'a' → 'b' → 'a': {UNHEARD}",
                f"receivers[1].fallback: goes in a circle, 'b' → 'a' → 'b': {UNHEARD}",
            ],
        ),
        (fallbacks(a="b", b="c", c=None, d="c"), None, []),
        (fallbacks(a=None, b=None), "b", []),
    ],
)
@pytest.mark.parametrize("make", [dict, Config.model_validate], ids=["dict", "Config"])
def test_a_fallback_is_another_receiver_and_never_goes_in_a_circle(
    make: Callable[[dict[str, Any]], Any], receivers: list[dict[str, str]], default: str | None, mistakes: list[str]
) -> None:
    config = make({"receivers": receivers, **({"defaults": {"fallback": default}} if default else {})})
    if mistakes:
        found = problems(config)
        assert [line.partition(": ")[2] for line in found] == [line.partition(": ")[2] for line in mistakes]
        assert found == mistakes or isinstance(config, Config)  # a model does not know what stood in its defaults
    else:
        assert len(check(config).receivers) == len(receivers)


def test_a_circle_is_told_with_its_lines_where_the_fallbacks_stand(mistakes: Callable[[str], list[str]]) -> None:
    text = """\
        receivers:
        - name: ops
          url: http://example.com/
          fallback: pager
        - {name: pager, url: http://example.com/}
        defaults:
          fallback: ops
    """
    assert [line.partition(": goes")[0] for line in mistakes(text)] == [
        "hookplugin.yaml:4: receivers[0].fallback",
        "hookplugin.yaml:5: receivers[1].fallback",
    ]


def test_what_nobody_could_deliver_is_not_taken(mistakes: Callable[[str], list[str]], load: Load) -> None:
    message = "dispatch: needs an outbox file: nobody else could deliver what waits in memory"
    assert mistakes("timezone: UTC\ndispatch: false\n") == [f"hookplugin.yaml:2: {message}"]
    assert problems(Config(dispatch=False)) == [message]
    assert load("outbox: sqlite:///outbox.db\ndispatch: false\n").dispatch is False


def test_severities_are_compared_without_case_and_read_by_sources() -> None:
    config = check({"severities": {" Page ": "emergency", "info": 2}})
    assert config.severities == {"page": Priority.emergency, "info": Priority.warning}
    with Host(config) as host:
        assert host.context.priority("PAGE") is Priority.emergency


def test_a_time_zone_is_handed_to_plugins_and_schedules() -> None:
    with Host({"timezone": "Asia/Tokyo"}) as host:
        assert host.context.timezone is not None
        assert host.context.timezone.utcoffset(None) in {None, timedelta(hours=9)}
        assert str(host.context.timezone) == "Asia/Tokyo"
    assert check({}).timezone is None


def test_a_dict_a_model_and_a_file_are_the_same_configuration(tmp_path: Path) -> None:
    data = {"receivers": [RECEIVER], "strategies": [{**STRATEGY, "priorities": ["critical", 0], "days": ["Monday"]}]}
    path = tmp_path / "hookplugin.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    model = check(data)
    assert check(path) == model
    assert check(model) is model
    for given in (data, model, path, str(path)):
        with Host(given) as host:
            assert host.fire(Alert(content="x", priority="warning")).suppressed


def test_a_model_is_checked_against_what_plugins_offer_too() -> None:
    config = Config.model_validate({**strategy(filters=["nois"]), "plugins": {"settings": {"othr": {}}}})
    assert problems(config) == [
        "strategies[0].filters[0]: unknown filter 'nois'; did you mean 'noise'?",
        "plugins.settings.othr: unknown plugin 'othr'; did you mean 'other'?",
    ]


def test_a_configuration_cannot_be_changed() -> None:
    config = check({**strategy(tags={"a": "b"}), "plugins": {"settings": {"other": {"deep": {"a": [1]}}}}})
    with pytest.raises(ValueError, match="frozen"):
        config.outbox = "sqlite:///other.db"
    with pytest.raises(TypeError, match="cannot be changed"):
        config.plugins.settings["other"]["deep"]["a"] = 2
    assert config.plugins.settings["other"]["deep"]["a"] == (1,)


def test_the_file_is_the_given_one_or_the_environments_or_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.raises(ConfigError, match=r"hookplugin\.yaml: not found here; `hookplugin init` writes one"):
        find_file()
    (tmp_path / DEFAULT_FILE).touch()
    assert find_file() == Path(DEFAULT_FILE)
    monkeypatch.setenv(ENVIRONMENT, "other.yaml")
    assert find_file() == Path("other.yaml")
    assert find_file("given.yaml") == Path("given.yaml")


CANARY = "S3cret-Canary"


@pytest.mark.parametrize(
    "keys",
    [
        {"url": f"https://example.com/{CANARY}"},
        {"url": f"https://example.com/?token={CANARY}"},
        {"headers": {"X-Key": CANARY}},
        {"headers": {"Authorization": CANARY}},
        {"auth": {"bearer": CANARY}},
        {"auth": {"basic": {"username": CANARY, "password": CANARY}}},
        {"vars": {"key": CANARY}, "headers": {"X-Key": "{{ vars.key }}"}},
    ],
)
def test_a_secret_in_its_place_is_never_shown(keys: dict[str, Any], load: Load) -> None:
    config = check(receiver(**keys))
    defaults = {key: value for key, value in keys.items() if key != "url"}
    shared = check({"receivers": [RECEIVER], "defaults": defaults})
    with Host(config) as host:
        shown = [repr(host), str(host.context), repr(host.context), repr(host.plugins)]
    for model in (config, shared):
        shown += [repr(model), str(model), repr(model.receivers), str(model.model_dump()), model.model_dump_json()]
    assert CANARY not in "".join(shown)
    with pytest.raises(ConfigError) as caught:
        load(json.dumps(receiver(**keys, mistake=1)))
    assert CANARY not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        receiver(url=CANARY),
        receiver(url=f"ftp://example.com/{CANARY}"),
        receiver(url=f"http://user:{CANARY}@example.com/"),
        receiver(url=f"http://example.com:99999/{CANARY}"),
        receiver(url=f"http://example.com/{CANARY} x"),
        receiver(url=f"http://[{CANARY}/"),
        receiver(url=[f"http://example.com/{CANARY}"]),
        receiver(url={"url": CANARY}),
        receiver(url={"env": [CANARY]}),
        receiver(auth=CANARY),
        receiver(auth=[CANARY]),
        receiver(auth={"bearer": [CANARY]}),
        receiver(auth={"bearer": f"{CANARY} x"}),
        receiver(auth={"bearer": {"value": CANARY}}),
        receiver(auth={"bearer": CANARY, "basic": {"username": CANARY, "password": CANARY}}),
        receiver(auth={"basic": CANARY}),
        receiver(auth={"basic": {"username": f"a:{CANARY}", "password": CANARY}}),
        receiver(auth={"basic": {"username": CANARY, "password": [CANARY]}}),
        receiver(auth={"basic": {"username": "a"}, "bearer": CANARY}),
        receiver(auth={"bearer": CANARY}, headers={"authorization": CANARY}),
        receiver(headers=CANARY),
        receiver(headers=[CANARY]),
        receiver(headers={"X-Key": [CANARY]}),
        receiver(headers={"X-Key": f"{CANARY}\n"}),
        receiver(headers={"X-Key": f"{CANARY}ä"}),
        receiver(headers={"Host": CANARY}),
        receiver(headers={"X-Key": CANARY, "x-key": CANARY}),
        receiver(headers={"X Key": CANARY}),
        receiver(headers={"X-Key": f"{CANARY} {{{{ alrt }}}}"}),
        receiver(headers={"X-Key": f"{CANARY} {{{{ vars.none }}}}"}),
        receiver(vars=CANARY),
        receiver(vars=[CANARY]),
        receiver(vars={"key": [CANARY]}),
        receiver(vars={"a b": CANARY}),
        receiver(vars={f"key:{CANARY}/": None}),
        receiver(vars={"key": CANARY}, body="pagerduty"),
        receiver(method=CANARY),
        receiver(timeout=CANARY),
        receiver(timeout={"connect": CANARY}),
        receiver(max_in_flight=CANARY),
        receiver(name=[CANARY]),
        receiver(token=CANARY),
        {"receivers": CANARY},
        {"receivers": [CANARY]},
        {"outbox": CANARY},
        {"outbox": f"postgres://user:{CANARY}@db"},
        {"severities": {"page": CANARY}},
        {"plugins": {"settings": {"other": CANARY}}},
        {"plugins": {"settings": {"othr": {"token": CANARY}}}},
        {"plugins": CANARY},
        {"token": CANARY},
        strategy(tags=CANARY),
        strategy(tags={"a": [CANARY]}),
        strategy(days=[CANARY]),
        strategy(period=CANARY),
        strategy(priorities=[CANARY]),
    ],
)
def test_a_secret_in_a_wrong_place_is_not_quoted(config: dict[str, Any], load: Load) -> None:
    assert CANARY not in "".join(problems(config))
    with pytest.raises(ConfigError) as caught:
        load(json.dumps(config))
    assert CANARY not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_model_that_was_made_by_hand_hides_its_secrets_too() -> None:
    config = Config.model_validate(receiver(url=SecretStr(f"https://example.com/{CANARY}")))
    assert config.receivers[0].address.get_secret_value().endswith(CANARY)
    assert CANARY not in repr(config)


@pytest.mark.parametrize("state", ["required", "disabled"])
def test_a_plugin_that_the_configuration_names_may_be_there(state: str) -> None:
    config = check({"plugins": {state: ["other"]}})
    assert getattr(config.plugins, state) == ("other",)


def test_the_webhook_plugin_has_no_settings_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"plugins\.settings\.webhook: has no settings here"):
        Host({"plugins": {"settings": {"webhook": {"x": 1}}}})


@pytest.mark.parametrize(
    "receiver",
    [
        "{name: a, url:https://h.example/S3CRET}",
        "{name: a, url: 'http://h/', auth: {bearer:S3CRET}}",
        "{name: a, url: 'http://h/', auth: {basic: {ops:S3CRET}}}",
        "{name: a, url: 'http://h/', headers: {'Authorization:Bearer S3CRET'}}",
        "{name: a, url: 'http://h/', headers: {'Authorization:Bearer S3CRET': x}}",
        "{name: a, url: 'http://h/', 'x:S3CRET': 1, 'x:S3CRET': 2}",
    ],
)
def test_a_key_that_has_swallowed_a_secret_is_not_shown(tmp_path: Path, receiver: str) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(f"receivers:\n  - {receiver}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Host(path)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("token", ["$OPS_TOKEN", "${OPS_TOKEN}"])
def test_a_shell_variable_would_be_sent_as_it_stands_and_is_refused(token: str) -> None:
    receiver = {"name": "a", "url": "http://h/", "auth": {"bearer": token}}
    with pytest.raises(ConfigError, match=r"auth\.bearer: would be sent as it stands; write \{env: OPS_TOKEN\}"):
        Host({"receivers": [receiver]})


@pytest.mark.parametrize("config", [None, 5, [], b"hookplugin.yaml"])
def test_what_can_be_no_configuration_is_a_type_error(config: Any) -> None:
    with pytest.raises(TypeError, match="a configuration is a Config, a dict or the path of a file"):
        Host(config)


def test_a_contradiction_in_a_strategy_is_told_beside_its_other_mistakes() -> None:
    wrong = {"name": "s", "receivers": ["a"], "match_all": True, "days": ["mon"], "period": "soon"}
    with pytest.raises(ConfigError) as caught:
        Host({"receivers": [{"name": "a", "url": "http://h/"}], "strategies": [wrong]})
    assert [line.partition(": ")[2] for line in caught.value.problems] == [
        'strategies[0].period: not a period; write "HH:MM-HH:MM", from 00:00 to 23:59',
        "strategies[0]: match_all lets every alert pass; remove it, or remove days, period",
    ]


@pytest.mark.parametrize(
    ("data", "zone", "outbox"),
    [
        ({}, "None", "sqlite:///:memory:"),
        ({"timezone": "Asia/Tokyo", "outbox": "sqlite:///a.db", "receivers": 5, "strategis": []}, "Asia/Tokyo", "a.db"),
        (Config(timezone="Asia/Tokyo", outbox="sqlite:////a.db"), "Asia/Tokyo", "/a.db"),  # type: ignore[arg-type]
    ],
)
def test_zone_and_outbox_are_known_although_all_else_is_wrong(
    tmp_path: Path, data: object, zone: str, outbox: str
) -> None:
    found = zone_and_outbox(Document(data, directory=tmp_path))
    written = outbox if outbox.startswith("sqlite:") else f"sqlite:///{tmp_path / outbox}"
    assert (str(found[0]), found[1]) == (zone, written)


def test_zone_and_outbox_of_what_is_no_map_are_refused() -> None:
    with pytest.raises(ConfigError, match="should be a map of keys and values, not a list"):
        zone_and_outbox(Document([]))


def test_a_zone_and_an_outbox_that_are_wrong_are_told_with_their_lines(tmp_path: Path) -> None:
    text = "strategis: []\ntimezone: Mars/Olympus\noutbox: mysql://x\n"
    with pytest.raises(ConfigError) as caught:
        zone_and_outbox(parse_document(tmp_path / "x.yaml", text))
    lines = [line.removeprefix(f"{tmp_path}/").partition(": ")[::2] for line in caught.value.problems]
    assert [(place, what.partition(":")[0]) for place, what in lines] == [
        ("x.yaml:2", "timezone"),
        ("x.yaml:3", "outbox"),
    ]

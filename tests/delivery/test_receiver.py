"""A receiver as it is configured: what is refused, what is inherited, and that no secret is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from hookplugin.bodies.compiled import Template
from hookplugin.delivery.headers import RESERVED
from hookplugin.delivery.receiver import Defaults, Receiver
from hookspecs import Alert, Delivery

URL = "https://hooks.example.com/alerts"
SECRET = "S3CR3T"


def receiver(**settings: Any) -> Receiver:
    return Receiver.model_validate({"name": "ops", "url": URL, **settings})


def defaults(**settings: Any) -> Defaults:
    return Defaults.model_validate(settings)


def plain(headers: Any) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in headers.items()}


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        receiver(**settings)
    return f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost", "https://h", "HTTPS://EXAMPLE.com:8443/a/../{x}?q=%7B#f", "http://[::1]:80/", "http://127.1/",
        "https://h:65535//x", "https://xn--bcher-kva.example/",
    ],
)  # fmt: skip
def test_a_url_of_http_is_taken_as_it_is_written(url: str) -> None:
    assert receiver(url=url).address.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        *((url, "begins with http:// or https://") for url in (
            "hooks.example.com", "//h/S3CR3T", "ftp://h/S3CR3T", "file:///S3CR3T", "https:///S3CR3T", "http://:80/S3CR3T",
            "http://h:port/S3CR3T", "http://h:65536/S3CR3T", "http://[::1/S3CR3T", "https://?S3CR3T",
        )),
        *((url, "printable ASCII") for url in (
            "", " http://h/S3CR3T", "http://h/S3CR3T\n", "http://h/S3CR3T\r\nX: y", "http://h/ü/S3CR3T", "http://h\\@S3CR3T/",
            "http://h/S3CR3T x", "http://①②⑦.0.0.1/S3CR3T", "http://h/\0S3CR3T",
        )),
        *((url, "should not hold a user or a password") for url in (
            "https://ops:S3CR3T@h/", "https://S3CR3T@h/", "https://@h/S3CR3T", "https://a@b:S3CR3T@h/",
        )),
    ],
)  # fmt: skip
def test_any_other_url_is_refused_and_never_quoted(url: str, words: str) -> None:
    text = refusal(url=url)
    assert words in text
    assert SECRET not in text


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Content-Type", "WEBHOOK-ID", "hOsT"])
def test_what_we_and_http_set_nobody_else_may_set(name: str) -> None:
    text = refusal(headers={name: SECRET})
    assert f"the header {name!r} is reserved: {RESERVED[name.lower()]}" in text
    assert SECRET not in text


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\r\nb", "a\0", "(a)", "a/b"])
def test_a_header_has_a_name_that_http_knows(name: str) -> None:
    assert "cannot be the name of a header" in refusal(headers={name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: S3CR3T", "S3CR3T\n", " S3CR3T", "S3CR3T ", "S3CR3Tü", "S3CR3T\0", "\x7fS3CR3T"]
)
def test_the_value_of_a_header_is_printable_and_never_quoted(value: str) -> None:
    text = refusal(headers={"X-Key": value})
    assert "the value of 'X-Key' should be printable ASCII" in text
    assert SECRET not in text


def test_a_header_that_differs_only_in_case_stands_there_twice() -> None:
    assert "stands here twice" in refusal(headers={"X-Key": "a", "x-key": "b"})


def test_a_header_may_be_empty_and_hold_spaces_inside() -> None:
    assert plain(receiver(headers={"X-A": "", "X-B": "a \t b"}).headers) == {"X-A": "", "X-B": "a \t b"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auth": {}}, "basic, bearer or oauth2"),
        ({"auth": {"bearer": "S3CR3T", "basic": {"username": "u", "password": "S3CR3T"}}}, "basic, bearer or oauth2"),
        ({"auth": {"basic": {"username": "S3CR3T:u", "password": "S3CR3T"}}}, "no colon"),
        ({"auth": {"basic": {"password": "S3CR3T"}}}, "Field required"),
        ({"auth": {"bearer": "S3CR3T token"}}, "printable ASCII without spaces"),
        ({"auth": {"bearer": "S3CR3T\r\nX: y"}}, "printable ASCII without spaces"),
        ({"auth": {"bearer": ""}}, "printable ASCII without spaces"),
        ({"auth": {"bearer": ["S3CR3T"]}}, "valid string"),
        ({"auth": {"token": "S3CR3T"}}, "Extra inputs"),
        ({"auth": "S3CR3T"}, "valid dictionary"),
        ({"auth": {"bearer": "S3CR3T"}, "headers": {"authorization": "S3CR3T"}}, "exclude each other"),
        ({"headers": ["S3CR3T"]}, "valid dictionary"),
        ({"secret": []}, "at least 1 item"),
        ({"secret": ["S3CR3T"] * 11}, "at most 10 items"),
        ({"secret": ["S3CR3T", None]}, "valid string"),
        ({"secret": {"files": "S3CR3T"}}, "should be text, {env: NAME} or {file: PATH}"),
        ({"url": 5}, "valid string"),
        ({"url": {"env": "HOOKPLUGIN_NOT_SET"}}, "'HOOKPLUGIN_NOT_SET' is not set"),
        ({"name": "  "}, "at least 1 character"),
        ({"max_in_flight": 0}, "greater than or equal to 1"),
        ({"max_in_flight": 1001}, "less than or equal to 1000"),
        ({"timeout": {"read": 0}}, "not a duration"),
        ({"timeout": {"read": "-1s"}}, "not a duration"),
        ({"timeout": {"write": "1s"}}, "Extra inputs"),
        ({"url": None}, "is missing"),
        ({"retry": {"max_age": 0}}, "not a duration"),
        ({"retry": {"most": 3}}, "Extra inputs"),
        ({"batch": {"max": 0}}, "greater than or equal to 1"),
        ({"batch": {"max": 501}}, "less than or equal to 500"),
        ({"batch": {"wait": "301s"}}, "should be at most 5m"),
        ({"batch": {"wait": "soon"}}, "not a duration"),
        ({"fallback": " "}, "at least 1 character"),
        *(({"method": method}, "Input should be 'POST', 'PUT' or 'PATCH'") for method in (
            "GET", "DELETE", "post", "", "POST ", "PUT\r\nX: y", "S3CR3T", None, ["POST"],
        )),
        *(({"vars": {name: "S3CR3T"}}, "cannot be the name of a var; write one like routing_key") for name in (
            "", "1a", "_key", "a-b", "a b", "a.b", "ä", "key:S3CR3T/", "key\n",
        )),
        ({"vars": {"key": ["S3CR3T"]}}, "valid string"),
        ({"vars": {"key": None}}, "valid string"),
        ({"vars": {"key": {"value": "S3CR3T"}}}, "should be text, {env: NAME} or {file: PATH}"),
        ({"vars": {"key": {"env": "HOOKPLUGIN_NOT_SET"}}}, "'HOOKPLUGIN_NOT_SET' is not set"),
        ({"vars": {"key": "$PD_KEY"}}, "would be sent as it stands; write {env: PD_KEY}"),
        ({"vars": "S3CR3T"}, "valid dictionary"),
        ({"headers": {"X-A": "S3CR3T {{ alrt.content }}"}}, "unknown name 'alrt'; did you mean 'alert'?"),
        ({"headers": {"X-A": "S3CR3T {{ vars.key | upper }}"}}, "a secret can only be written as it is"),
        ({"headers": {"X-A": "S3CR3T {% set x = 1 %}"}}, "nothing can be assigned"),
        ({"headers": {"Webhook-Id": "{{ alert.id }}"}}, "the header 'Webhook-Id' is reserved"),
        ({"headers": {"X-A": "{{ alert.id }}", "x-a": "S3CR3T"}}, "stands here twice"),
        ({"headers": {"authorization": "{{ vars.key }}"}, "auth": {"bearer": "S3CR3T"}}, "exclude each other"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_in_words_that_hold_no_secret(settings: dict[str, Any], words: str) -> None:
    text = refusal(**settings)
    assert words in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "auth",
    [
        {"auth": {"bearer": "S3CR3T"}},
        {"auth": {"basic": {"username": "S3CR3T", "password": "S3CR3T"}}},
        {"headers": {"Authorization": "S3CR3T", "X-Key": "S3CR3T"}},
        {"vars": {"key": "S3CR3T"}, "headers": {"X-Key": "Key {{ vars.key }}"}},
    ],
)
def test_a_receiver_shows_no_secret(auth: dict[str, Any]) -> None:
    one = receiver(url=f"https://h/{SECRET}?key={SECRET}", **auth)
    merged = receiver().over(Defaults.model_validate(auth))
    for shown in (one, merged):
        parts = f"{shown.auth} {shown.headers} {shown.vars}"
        assert SECRET not in f"{shown!r} {shown} {shown.model_dump()} {shown.model_dump_json()} {parts}"


def test_secrets_come_from_the_environment_and_from_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path_factory.mktemp("keys") / "key"
    key.write_text("from-file\n", encoding="utf-8")
    monkeypatch.setenv("HOOK_URL", URL)
    one = receiver(
        url={"env": "HOOK_URL"},
        headers={"X-Key": {"file": str(key)}},
        vars={"a": {"env": "HOOK_URL"}, "b": {"file": str(key)}},
    )
    assert (one.address.get_secret_value(), plain(one.headers)) == (URL, {"X-Key": "from-file"})
    assert plain(one.vars) == {"a": URL, "b": "from-file"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_receiver_names_its_method_or_inherits_it(method: str) -> None:
    assert receiver(method=method).method == method
    assert receiver().over(defaults(method=method)).method == method
    assert receiver(method="PUT").over(defaults(method=method)).method == "PUT"


def test_a_header_with_an_expression_is_a_template_and_one_without_is_not() -> None:
    found = receiver(headers={"X-A": "{{ alert.id }}", "X-B": "{% if status %}a{% endif %}", "X-C": "{ x }"}).headers
    assert {name: isinstance(value, Template) for name, value in found.items()} == {
        "X-A": True,
        "X-B": True,
        "X-C": False,
    }


def test_what_comes_from_elsewhere_is_never_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("{{ alert.content }}\n", encoding="utf-8")
    monkeypatch.setenv("HOOK_KEY", "{{ 7*7 }}{% x %}")
    one = receiver(
        headers={"X-A": {"env": "HOOK_KEY"}, "X-B": {"file": str(tmp_path / "key")}, "X-C": SecretStr("{{ x }}")}
    )
    assert plain(one.headers) == {"X-A": "{{ 7*7 }}{% x %}", "X-B": "{{ alert.content }}", "X-C": "{{ x }}"}


def test_vars_are_joined_and_the_receivers_own_win() -> None:
    shared = defaults(vars={"key": "shared", "site": "west"})
    assert plain(receiver(vars={"key": "own"}).over(shared).vars) == {"key": "own", "site": "west"}
    assert plain(receiver().over(shared).vars) == {"key": "shared", "site": "west"}


def test_a_receiver_that_is_written_and_read_again_has_its_templates() -> None:
    one = receiver(headers={"X-A": "{{ alert.id }} {{ vars.key }}"})
    written = one.model_dump(mode="json", include={"headers"})
    assert written == {"headers": {"X-A": "{{ alert.id }} {{ vars.key }}"}}
    assert receiver(**written).headers == one.headers


def test_a_receiver_says_what_it_wants_and_inherits_the_rest() -> None:
    shared = defaults(body="chat", max_in_flight=9, auth={"bearer": "shared"})
    merged = receiver(max_in_flight=2).over(shared)
    assert (merged.name, merged.body, merged.max_in_flight, merged.auth) == ("ops", "chat", 2, shared.auth)
    assert receiver(body="hertzbeat").over(shared).body == "hertzbeat"
    assert receiver(auth=None).over(shared).auth is None


def test_without_defaults_a_receiver_stays_as_it_is() -> None:
    one = receiver(headers={"X-A": "a"}, timeout={"read": "2s"})
    assert one.over(Defaults()) == one


def test_each_bound_of_the_timeout_is_inherited_by_itself() -> None:
    shared = defaults(timeout={"connect": "1s", "total": "1m"})
    merged = receiver(timeout={"connect": "500ms", "read": 2}).over(shared).timeout
    assert (merged.connect, merged.read, merged.total) == (0.5, 2.0, 60.0)
    inherited = receiver().over(shared).timeout
    assert (inherited.connect, inherited.read, inherited.total) == (1.0, 5.0, 60.0)


def test_limits_and_a_fallback_are_inherited_but_nobody_falls_back_to_itself() -> None:
    shared = defaults(retry={"max_age": "1h"}, batch={"wait": "1s", "max": 9}, rate="2/s", fallback="pager")
    merged = receiver(rate="1/s").over(shared)
    assert (merged.retry.max_age, merged.batch, merged.rate, merged.fallback) == (3600, shared.batch, 1, "pager")
    assert receiver(name="pager").over(shared).fallback is None
    assert receiver(batch=None, fallback=None).over(shared).model_dump(include={"batch", "fallback"}) == {
        "batch": None,
        "fallback": None,
    }


def test_a_delivery_waits_until_its_max_age() -> None:
    delivery = Delivery(id="a", alert=Alert(content="x"), receiver="ops", body="hertzbeat")
    waiting = receiver(retry={"max_age": "2m"}).waiting(delivery)
    assert (waiting.delivery, waiting.max_age) == (delivery, 120)


def test_the_mark_tells_a_url_from_another_and_not_what_it_is() -> None:
    one, same = receiver(url=f"{URL}/{SECRET}"), receiver(url=f"{URL}/{SECRET}", body="chat", max_in_flight=1)
    others = [receiver(url=f"{URL}/{SECRET}2"), receiver(url=f"{URL}/{SECRET}", name="dev")]
    assert one.mark == same.mark
    assert one.mark not in {other.mark for other in others}
    assert SECRET not in one.mark


def test_headers_are_joined_and_the_receivers_own_win_in_any_case() -> None:
    shared = defaults(headers={"X-Team": "all", "X-Site": "west"})
    assert plain(receiver(headers={"x-team": "ops"}).over(shared).headers) == {"X-Site": "west", "x-team": "ops"}
    assert plain(receiver().over(shared).headers) == {"X-Team": "all", "X-Site": "west"}


@pytest.mark.parametrize(
    ("own", "shared"),
    [
        ({"headers": {"Authorization": "own"}}, {"auth": {"bearer": "shared"}}),
        ({"auth": {"bearer": "own"}}, {"headers": {"authorization": "shared", "X-A": "a"}}),
        ({"auth": {"bearer": "own"}, "headers": {"X-B": "b"}}, {"headers": {"authorization": "shared", "X-A": "a"}}),
        ({"auth": {"bearer": "own"}}, {"auth": {"basic": {"username": "shared", "password": "p"}}}),
        ({"headers": {"authorization": "own"}}, {"headers": {"Authorization": "shared"}}),
    ],
)
def test_a_receiver_that_says_who_we_are_inherits_no_other_authorization(
    own: dict[str, Any], shared: dict[str, Any]
) -> None:
    merged = receiver(**own).over(defaults(**shared))
    said = [value for name, value in plain(merged.headers).items() if name.lower() == "authorization"]
    if merged.auth:
        assert merged.auth.bearer
        said.append(merged.auth.bearer.get_secret_value())
    assert said == ["own"]
    assert ("X-A" in merged.headers) == ("X-A" in shared.get("headers", {}))

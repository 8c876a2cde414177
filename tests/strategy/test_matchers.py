"""Matchers in Alertmanager's syntax and meaning."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hookplugin.strategy.matchers import Matcher, PatternSet, compile_pattern, parse_matchers
from hookspecs import Alert, Scalar

OPERATORS = ("=", "!=", "=~", "!~")


def parse(text: str) -> Matcher:
    (matcher,) = parse_matchers(text)
    return matcher


def matches(text: str, **tags: Scalar) -> bool:
    return all(matcher.matches(Alert(content="", tags=tags)) for matcher in parse_matchers(text))


def refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"bad|missing|no field") as caught:
        parse_matchers(text)
    return str(caught.value)


# Most of these are Alertmanager's own: pkg/labels/parse_test.go, TestMatchers.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{foo="bar"}', [("foo", "=", "bar")]),
        ('{foo=~"bar.*"}', [("foo", "=~", "bar.*")]),
        ('{foo!="bar"}', [("foo", "!=", "bar")]),
        ('{foo!~"bar.*"}', [("foo", "!~", "bar.*")]),
        ('{a="b",c!="d"}', [("a", "=", "b"), ("c", "!=", "d")]),
        (
            '{foo="bar",baz!~".*quux", derp="wat"}',
            [("foo", "=", "bar"), ("baz", "!~", ".*quux"), ("derp", "=", "wat")],
        ),
        ('{foo=""}', [("foo", "=", "")]),
        ("foo=", [("foo", "=", "")]),
        ('{foo="bar,quux", job="job1"}', [("foo", "=", "bar,quux"), ("job", "=", "job1")]),
        ('{foo="bar",}', [("foo", "=", "bar")]),
        ('{foo = "bar", dings != "bums", }', [("foo", "=", "bar"), ("dings", "!=", "bums")]),
        ("foo=bar,dings!=bums", [("foo", "=", "bar"), ("dings", "!=", "bums")]),
        ("foo = bar , dings != bums", [("foo", "=", "bar"), ("dings", "!=", "bums")]),
        (r'{quote="She said: \"Hi, ladies!\""}', [("quote", "=", 'She said: "Hi, ladies!"')]),
        ('statuscode=~"5.."', [("statuscode", "=~", "5..")]),
        ("tricky=~~~", [("tricky", "=~", "~~")]),
        (r"trickier==\\=\=\"", [("trickier", "=", r'=\=\="')]),
        (
            r'contains_quote != "\"" , contains_comma !~ "foo,bar" , ',
            [("contains_quote", "!=", '"'), ("contains_comma", "!~", "foo,bar")],
        ),
        ('{a="{b}"}', [("a", "=", "{b}")]),
        ('a="}"', [("a", "=", "}")]),
        ('{a="}, b=c {"}', [("a", "=", "}, b=c {")]),
        (r'a="\n\\n\t\d"', [("a", "=", "\n\\n\\t\\d")]),
        ("a=x\\", [("a", "=", "x\\")]),
        (r'a="x\\",b=c', [("a", "=", "x\\"), ("b", "=", "c")]),
        ('a="x\ny"', [("a", "=", "x\ny")]),
        ('a=" x "', [("a", "=", " x ")]),
        ("invalid-name=b", [("invalid-name", "=", "b")]),
        ("straße=b", [("straße", "=", "b")]),
    ],
)
def test_matchers_are_read_as_alertmanager_reads_them(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(matcher.name, matcher.operator, matcher.value) for matcher in parse_matchers(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        *('job="value', 'job=value"', r'trickier==\\=\=\""', 'contains_unescaped_quote = foo"bar', r'a="b\"'),
        *(r'"foo=\"bar\""', r'"{foo=\"bar"}', '"foo="bar""', 'a="b"c', 'a="b" c="d"'),
        *("a", "a b=c", "=b", "a~b", '{a="b"},', ",", ",a=b", "a=b,,c=d", "{{a=b}}"),
    ],
)
def test_what_is_no_matcher_is_refused_and_quoted(text: str) -> None:
    assert refusal(text).startswith("bad matcher '")


@pytest.mark.parametrize("text", ["", "{}", " ", "{ }"])
def test_no_matcher_at_all_is_refused(text: str) -> None:
    assert refusal(text) == 'a matcher is missing; write one like severity="critical"'


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('job="value', "the closing double quote is missing"),
        ('job=va"lue', r"write a double quote inside a value as \""),
        ("job", 'write NAME="value", with one of = != =~ !~'),
    ],
)
def test_a_refusal_says_what_to_write_instead(text: str, advice: str) -> None:
    assert refusal(text).endswith(advice)


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("env=prod", {"env": "prod"}, True),
        ("env=prod", {"env": "Prod"}, False),
        ("env=prod", {}, False),
        ("env!=prod", {}, True),
        ("env!=prod", {"env": "prod"}, False),
        ("env=", {}, True),
        ("env=", {"env": ""}, True),
        ("env=", {"env": None}, True),
        ('env=~"prod|dev"', {"env": "dev"}, True),
        ('env=~"prod|dev"', {"env": "prod-2"}, False),
        ('env=~"prod"', {"env": "preprod"}, False),
        ('env=~"a|ab"', {"env": "ab"}, True),
        ('env=~"^prod$"', {"env": "prod"}, True),
        ('env=~".*"', {}, True),
        ('env=~".+"', {}, False),
        ('env=~".+"', {"env": "a\nb"}, False),
        ('env=~"prod"', {"env": "prod\n"}, False),
        ('env!~"prod.*"', {}, True),
        ('env!~"prod.*"', {"env": "prod-2"}, False),
        ('env=~"(?i)PROD"', {"env": "prod"}, True),
        (r'env=~"\d+"', {"env": "17"}, True),
        ("port=80", {"port": 80}, True),
        ("up=true", {"up": True}, True),
        ('a="b",c!="d"', {"a": "b"}, True),
        ('a="b",c!="d"', {"a": "b", "c": "d"}, False),
    ],
)
def test_regular_expressions_are_anchored_and_a_missing_tag_is_empty(
    text: str, tags: dict[str, Scalar], *, expected: bool
) -> None:
    assert matches(text, **tags) is expected


@pytest.mark.parametrize(
    "text",
    [
        'alert.target="available"',
        'alert.content=~"disk.*"',
        "alert.priority=critical",
        "alert.status=firing",
        "alert.source=nagios",
        "alert.annotations.runbook=yes",
        "alert.annotations.a.b=dots",
        "alert.annotations.missing=",
        '"alert.target"=tag',
        '"two words"=yes',
        '"a,b"=comma',
        '"{a}"=braces',
        r'"say \"hi\""=quote',
    ],
)
def test_a_matcher_looks_at_fields_after_alert_and_at_tags_in_quotes(text: str) -> None:
    alert = Alert(
        content="disk full",
        target="available",
        priority="critical",
        source="nagios",
        tags={"alert.target": "tag", "two words": "yes", "a,b": "comma", "{a}": "braces", 'say "hi"': "quote"},
        annotations={"runbook": "yes", "a.b": "dots"},
    )
    assert parse(text).matches(alert)
    assert not parse(text.replace("=", "!=", 1).replace("!=~", "!~")).matches(alert)


@pytest.mark.parametrize("name", ["alert.target", "alert.source", "alert.annotations.runbook"])
def test_a_field_that_the_alert_does_not_have_is_empty(name: str) -> None:
    assert parse(f"{name}=").matches(Alert(content="a"))


@pytest.mark.parametrize("name", ["alert.severity", "alert.", "alert.annotations", "alert.target.x", "alert.contnet"])
def test_an_unknown_field_is_refused_with_what_there_is(name: str) -> None:
    message = refusal(f"{name}=x")
    assert f"'{name}' is no field of an alert; " in message
    assert message.endswith("a tag of that name is written in quotes")
    assert "did you mean 'alert.content'?" in refusal("alert.contnet=x")


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)", "(?!a)", "(?<=a)", "[a", "*", "a{2000}"])
def test_what_re2_does_not_know_is_refused_and_nothing_is_printed(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(f"env=~{quote(pattern)}").startswith(f"bad regular expression {pattern!r}: ")
    assert capfd.readouterr() == ("", "")


def test_a_pattern_that_explodes_elsewhere_takes_linear_time() -> None:
    assert not matches('env=~"(a+)+$"', env="a" * 50_000 + "b")
    assert matches('env=~"(a+)+$"', env="a" * 50_000)


NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(["env", "alert.target", "alert.x", "a b", '"', "\\"])


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


@given(st.sampled_from(OPERATORS[:2]), st.text())
@example("=", '\\"},{\n')
def test_a_matcher_with_any_value_is_read_back_from_its_own_text(operator: str, value: str) -> None:
    matcher = parse(f"env{operator}{quote(value)}")
    assert (matcher.name, matcher.operator, matcher.value) == ("env", operator, value)
    assert parse(str(matcher)) == matcher
    assert str(parse(str(matcher))) == str(matcher)


@given(NAMES, st.text(max_size=8))
def test_a_matcher_with_any_quoted_name_is_read_back_from_its_own_text(name: str, value: str) -> None:
    again = parse(str(parse(f"{quote(name)}={quote(value)}")))
    assert again.matches(Alert(content="a", tags={name: value}))
    assert not again.matches(Alert(content="a", tags={name: value + "x"}))


def test_a_field_and_a_tag_of_its_name_are_different_matchers() -> None:
    assert parse("alert.target=x") != parse('"alert.target"=x')


TAGS = st.dictionaries(st.sampled_from("abc"), st.text("ab,}\"\\ \n'", max_size=4), max_size=3)
PATTERNS = st.text("ab.*|()?", max_size=6)


@given(TAGS, st.sampled_from("abc"), st.sampled_from(OPERATORS), st.data())
def test_matching_agrees_with_a_naive_evaluation(
    tags: dict[str, str], name: str, operator: str, data: st.DataObject
) -> None:
    actual = tags.get(name, "")
    if "~" in operator:
        value = data.draw(PATTERNS)
        try:
            found = re.fullmatch(value, actual) is not None
        except re.error:
            assume(False)  # noqa: FBT003 - it is its name
            raise
    else:
        value = data.draw(st.just(actual) | st.text("ab,}\"\\ \n'", max_size=4))
        found = value == actual
    expected = not found if operator.startswith("!") else found
    assert parse(f"{name}{operator}{quote(value)}").matches(Alert(content="x", tags=tags)) is expected


def test_braces_are_taken_off_only_as_a_pair() -> None:
    (matcher,) = parse_matchers("code=~5[0-9]{2}")
    assert matcher.value == "5[0-9]{2}"
    with pytest.raises(ValueError, match="bad matcher"):
        parse_matchers('{a="b"')


@pytest.mark.parametrize("text", ['alert.priority="2"', 'alert.priority!="Warning"', 'alert.status="resolved"'])
def test_a_name_that_no_alert_has_is_refused(text: str) -> None:
    assert "no alert has this alert." in refusal(text)


def valid(pattern: str) -> bool:
    try:
        compile_pattern(pattern)
    except ValueError:
        return False
    return True


SET_PATTERNS = (
    st.text("ab.*+|()?[]^$\n\u00fc", max_size=6)
    | st.sampled_from(["", "^$", "(?i)AB", "(?s).*", "(?m)^a$", r"\Aa\z", "a{0}", "[^a]", r"\bb", "(?:a|ab)(?:c|bcd)"])
).filter(valid)


@given(st.lists(SET_PATTERNS, max_size=8), st.text("abc\n\u00fc", max_size=4) | st.text(max_size=4))
@example([], "a")
@example(["a", "a|ab", "ab|a", "a", "b", "", "[ab]*"], "ab")
@example(["", "a*", ".*", "^", "a"], "")
@example([".*", "(?s).*", "a.b", r"a\nb"], "a\nb")
@example(["[^ü]", "."], "\U0001f525")
def test_a_set_of_patterns_finds_those_that_match_alone(patterns: list[str], text: str) -> None:
    alone = [number for number, pattern in enumerate(patterns) if compile_pattern(pattern).fullmatch(text)]
    assert sorted(PatternSet(patterns).matching(text)) == alone

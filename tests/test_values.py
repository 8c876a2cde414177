"""Values that configuration is written in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from hookplugin.problems import problems_of
from hookplugin.references import Secret, read_reference
from hookplugin.values import (
    SECONDS,
    Duration,
    Rate,
    Zone,
    duration_text,
    parse_duration,
    parse_rate,
    parse_zone,
)

SECRET: TypeAdapter[Any] = TypeAdapter(Secret)
NOT_A_DURATION = "not a duration; write one like 500ms, 3s, 5m, 4h, 1d"
NOT_A_RATE = "not a rate; write one like 1/s, 30/m, 100/h"


def message_of(adapter: TypeAdapter[Any], value: object, directory: Path | None = None) -> str:
    """Return what people are told about a wrong value."""
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(value, context={"directory": directory} if directory else None)
    (problem,) = problems_of(caught.value, lambda _: ())
    return str(problem)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *(("500ms", 0.5), ("3s", 3), ("5m", 300), ("4h", 14400), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400)),
        *(("1m500ms", 60.5), (" 3s ", 3), (7, 7), (0.25, 0.25), ("1d2h3m4s5ms", 93784.005)),
    ],
)
def test_a_duration_is_read_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@given(st.integers(1, 10**6), st.sampled_from(list(SECONDS)))
def test_a_number_and_a_unit_is_a_duration(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * SECONDS[unit]


@pytest.mark.parametrize(
    "written",
    [
        *("", "3", "s", "3 s", "3S", "-3s", "+3s", "1h30", "h1", "1e3s", ".5s", "3s;", "٣s", "0s", "0ms"),
        *(0, -1, 0.0, float("nan"), float("inf"), True, False, None, [], {}, "1h 30m"),
        pytest.param("9" * 400 + "s", id="too long a text"),
        pytest.param(10**400, id="too large a number"),
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    assert message_of(TypeAdapter(Duration), written) == NOT_A_DURATION


@given(st.text())
def test_any_text_is_a_duration_or_is_refused(written: str) -> None:
    try:
        assert 0 < parse_duration(written) < float("inf")
    except ValueError as error:
        assert str(error) == NOT_A_DURATION  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1/s", 1), ("30/m", 2), ("100/h", 36), ("4/s", 0.25), (" 1 / s ", 1), ("999999/s", 1 / 999999), ("1/h", 3600)],
)
def test_a_rate_is_read_as_the_seconds_between_two_requests(written: str, seconds: float) -> None:
    assert parse_rate(written) == seconds


@given(st.integers(1, 999_999), st.sampled_from("smh"))
def test_a_number_for_each_second_minute_or_hour_is_a_rate(number: int, unit: str) -> None:
    assert parse_rate(f"{number}/{unit}") * number == pytest.approx(SECONDS[unit])


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "/",
            "1",
            "1/",
            "/s",
            "s/1",
            "0/s",
            "00/h",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1e3/s",
            "1/d",
            "1/ms",
            "1/2s",
            "1/S",
        ),
        *("1/s;", "1//s", "1 per second", "٣/s", "1000000/s", 1, 2.0, 0.5, 0, -1.0, float("nan"), float("inf"), True),
        *(None, [], {}, b"1/s"),
    ],
)
def test_what_is_no_rate_is_refused(written: object) -> None:
    assert message_of(TypeAdapter(Rate), written) == NOT_A_RATE


@given(st.text() | st.from_regex(r"\s*\d{0,8}\s*/\s*\w?\s*", fullmatch=True))
def test_any_text_is_a_rate_or_is_refused(written: str) -> None:
    try:
        assert 0 < parse_rate(written) <= SECONDS["h"]
    except ValueError as error:
        assert str(error) == NOT_A_RATE  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        *((0.0, "0s"), (0.4, "0s"), (1, "1s"), (12.4, "12s"), (59.6, "1m"), (60, "1m"), (61, "1m1s"), (3600, "1h")),
        *((3601, "1h"), (5400, "1h30m"), (86399.9, "1d"), (86400 * 3 + 3600 * 4 + 59, "3d4h"), (86460, "1d")),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, written: str) -> None:
    assert duration_text(seconds) == written


@given(st.floats(0.5, 10**9, exclude_min=True) | st.integers(1, 10**9))
def test_a_duration_that_is_written_is_read_as_nearly_the_same(seconds: float) -> None:
    written = duration_text(seconds)
    units = [unit for unit in SECONDS if unit != "ms" and unit in written]
    step = {"m": 1.0, "h": 60.0, "d": 3600.0}.get(units[-1], 1.0)  # of the unit below the largest
    assert len(units) <= 2
    assert -step <= parse_duration(written) - seconds <= 0.5


@pytest.mark.parametrize("written", ["Europe/Berlin", " Europe/Berlin ", ZoneInfo("Europe/Berlin")])
def test_a_zone_is_read_by_its_name(written: object) -> None:
    assert parse_zone(written) == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("Europe/Berln", "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        ("europe/berlin", "unknown time zone 'europe/berlin'; did you mean 'Europe/Berlin'?"),
        ("qqqqqqq", "unknown time zone 'qqqqqqq'; write one like Europe/Berlin or UTC"),
        ("Europe", "unknown time zone 'Europe'"),
        ("../../etc/passwd", "unknown time zone '../../etc/passwd'; write one like Europe/Berlin or UTC"),
        ("/etc/localtime", "unknown time zone '/etc/localtime'"),
        ("a\0b", r"unknown time zone 'a\x00b'; write one like Europe/Berlin or UTC"),
        ("\ud800", r"unknown time zone '\ud800'; write one like Europe/Berlin or UTC"),
        ("x" * 300, "unknown time zone 'xxx"),
        ("", "should be the name of a time zone, like Europe/Berlin"),
        (3600, "should be the name of a time zone, like Europe/Berlin"),
        (None, "should be the name of a time zone, like Europe/Berlin"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_name(written: object, message: str) -> None:
    assert message_of(TypeAdapter(Zone), written).startswith(message)


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=20) | st.text("./\\ _+-0aUTC", max_size=6))
@example(".")
@example("Europe/")
@example("tzdata.zi")
@example("__init__.py")
@example("UTC\0")
def test_any_text_is_a_zone_or_is_refused(written: str) -> None:
    try:
        assert str(parse_zone(written)) == written.strip()
    except ValueError as error:
        assert str(error).startswith(("unknown time zone", "should be the name"))  # noqa: PT017 - either is right


def test_text_stands_for_itself() -> None:
    assert SECRET.validate_python("{env: X}").get_secret_value() == "{env: X}"


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_TOKEN", " s3cret\n")
    found = SECRET.validate_python({"env": "OPS_TOKEN"})
    assert found.get_secret_value() == " s3cret\n"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" two\nlines \n", " two\nlines "),
        ("ключ\n".encode(), "ключ"),
    ],
)
def test_a_secret_is_read_from_a_file_without_its_last_line_end(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "ops.key").write_bytes(content)
    for name in ("ops.key", str(tmp_path / "ops.key")):
        found = SECRET.validate_python({"file": name}, context={"directory": tmp_path})
        assert found.get_secret_value() == expected


def test_a_file_is_looked_for_beside_the_configuration_or_else_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "key").write_text("beside")
    (tmp_path / "key").write_text("here")
    assert SECRET.validate_python({"file": "key"}).get_secret_value() == "here"
    assert SECRET.validate_python({"file": "key"}, context={"directory": "etc"}).get_secret_value() == "beside"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OPS_TOKEN", None, "the environment variable 'OPS_TOKEN' is not set"),
        ("OPS_TOKEN", "", "env 'OPS_TOKEN' is empty"),
        ("", None, "the environment variable named here is not set"),
        ("xoxb-a-token-by-mistake", None, "the environment variable named here is not set"),
    ],
)
def test_a_variable_that_is_missing_or_empty_is_refused(
    name: str, value: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    assert message_of(SECRET, {"env": name}) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.key", "cannot read '{directory}/missing.key': No such file or directory"),
        ("folder", "cannot read '{directory}/folder': Is a directory"),
        ("binary.key", "cannot read '{directory}/binary.key': not UTF-8 text"),
        ("empty.key", "file 'empty.key' is empty"),
        ("newline.key", "file 'newline.key' is empty"),
    ],
)
def test_a_file_that_cannot_be_a_secret_is_refused_without_its_content(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.key").write_bytes(b"s3cret\xff")
    (tmp_path / "empty.key").touch()
    (tmp_path / "newline.key").write_text("\n")
    assert message_of(SECRET, {"file": name}, tmp_path) == message.format(directory=tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"env": "A", "file": "s3cret"},
        {"vault": "s3cret"},
        {"env": None},
        {"file": ["s3cret"]},
        {7: "s3cret"},
    ],
)
def test_a_reference_of_another_form_is_refused_without_its_value(value: object) -> None:
    assert message_of(SECRET, value) == "should be text, {env: NAME} or {file: PATH}"


@pytest.mark.parametrize("value", [5318008, 53.18008, ["s3cret", 5318008], b"s3cret\xff"])
def test_a_secret_of_another_type_is_refused_without_its_value(value: object) -> None:
    message = message_of(SECRET, value)
    assert "should be" in message
    assert not any(part in message for part in ("s3cret", "318008"))


def test_a_variable_that_is_not_utf_8_is_refused_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_TOKEN", os.fsdecode(b"s3cret\xff"))
    assert message_of(SECRET, {"env": "OPS_TOKEN"}) == "the environment variable 'OPS_TOKEN' is not UTF-8 text"


def test_what_is_no_reference_is_left_to_the_type_behind_it() -> None:
    url: TypeAdapter[Any] = TypeAdapter(Annotated[int, BeforeValidator(read_reference)])
    assert url.validate_python(7) == 7

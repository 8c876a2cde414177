"""YAML as an operator writes it: what a scalar means, and what an error says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from hookplugin import ConfigError
from hookplugin.document import Document, read_document
from hookplugin.problems import Problem

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str | bytes) -> Path:
        path = tmp_path / "hookplugin.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


def mistakes(path: Path) -> list[str]:
    """Return the lines of the error, without the folder."""
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    return [line.removeprefix(f"{path.parent}/") for line in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, word) for word in ("no", "No", "yes", "on", "OFF", "y", "12:30", "190:20:30", "1_000", "0b11", "=")),
        *((word, word) for word in ("2026-01-01", "2026-01-01T10:00:00Z", "1e", "0x", "0xZ", ".", "+", "tRUE", "nuLL")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        ("0x1F", 31),
        ("0o17", 15),
        ("010", 10),
        ("+12", 12),
        ("-7", -7),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ('"null"', "null"),
        ("'010'", "010"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(write: Write, written: str, meant: object) -> None:
    data = read_document(write(f"key: {written}\n")).data
    assert data == {"key": meant}
    assert isinstance(data, dict)
    assert type(data["key"]) is type(meant)


@pytest.mark.parametrize("written", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_float(write: Write, written: str) -> None:
    data = read_document(write(f"key: {written}\n")).data
    assert isinstance(data, dict)
    assert math.isnan(data["key"])


def test_a_version_directive_does_not_change_what_scalars_mean(write: Write) -> None:
    assert read_document(write("%YAML 1.1\n---\nkey: no\n")).data == {"key": "no"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", ["hookplugin.yaml:3: the key 'a' stands twice; remove one"]),
        ("a: {x: 1, x: 2}\n", ["hookplugin.yaml:1: the key 'x' stands twice; remove one"]),
        ('1: a\n"1": b\n', ["hookplugin.yaml:2: the key '1' stands twice; remove one"]),
        (
            "list:\n- x: 1\n  x: 2\nlist: []\n",
            [
                "hookplugin.yaml:4: the key 'list' stands twice; remove one",
                "hookplugin.yaml:3: the key 'x' stands twice; remove one",
            ],
        ),
    ],
)
def test_every_key_that_stands_twice_is_reported_with_its_line(write: Write, text: str, lines: list[str]) -> None:
    assert sorted(mistakes(write(text))) == sorted(lines)


def test_the_same_key_in_two_maps_is_no_mistake(write: Write) -> None:
    assert read_document(write("- {x: 1}\n- {x: 2}\n")).data == [{"x": 1}, {"x": 2}]


def test_a_merge_key_takes_over_what_an_anchor_holds_and_own_keys_win(write: Write) -> None:
    text = "base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\nmany:\n  <<: [*base, {c: 4}]\nlist: [*base]\n"
    assert read_document(write(text)).data == {
        "base": {"a": 1, "b": 2},
        "own": {"a": 1, "b": 3},
        "many": {"a": 1, "b": 2, "c": 4},
        "list": [{"a": 1, "b": 2}],
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: S3cret: x\n", 2),
        ('a: 1\nb: "S3cret\n', 3),
        ("a: 1\nb: [S3cret\nc: 2\n", 3),
        ("a: b\n\tS3cret: d\n", 2),
        ("a: 1\n  S3cret: 2\n", 2),
        ("a: %S3cret\n", 1),
        ("a: @S3cret\n", 1),
        ("a: `S3cret`\n", 1),
        ("a: |S3cret\n", 1),
        ('a: "S3\\qcret"\n', 1),
        ("a: 1\nb: !S3cret\n", 2),
        ("a: !!S3cret x\n", 1),
        ("a: !S3cret!x y\n", 1),
        ("a: !<S3cret\n", 1),
        ("a: *S3cret\n", 1),
        ("a: &S3cret! x\n", 1),
        ("a: &S3cret x\nb: &S3cret y\n", 2),
        ("<<: S3cret\n", 1),
        ("? {S3cret: 1}\n: 2\n", 1),
        ("a: 1\n---\nS3cret: 2\n", 2),
    ],
)
def test_a_syntax_error_gives_file_and_line_and_never_quotes_the_text(write: Write, text: str, line: int) -> None:
    (mistake,) = mistakes(write(text))
    assert mistake.startswith(f"hookplugin.yaml:{line}: is not YAML: ")
    assert "S3" not in mistake


@pytest.mark.parametrize(
    "text",
    [
        "a: \x07S3cret\n",
        "a: S3cret\x00\n",
        "a: !!int S3cret\n",
        "a: !!bool S3cret\n",
        "a: !!float S3cret\n",
        "a: !!timestamp S3cret\n",
        "a: !!timestamp 2026-99-99\n",
        f"a: {'9' * 5000}\n",
    ],
)
def test_a_value_that_cannot_be_is_one_clear_line(write: Write, text: str) -> None:
    assert mistakes(write(text)) == [
        "hookplugin.yaml: is not YAML: it holds a character or a value that YAML forbids",
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_told_how_to_begin(write: Write, text: str) -> None:
    assert mistakes(write(text)) == ["hookplugin.yaml: is empty; `hookplugin init FILE` writes one to start from"]


def test_a_missing_file_a_directory_and_bytes_that_are_no_text_are_named(tmp_path: Path, write: Write) -> None:
    assert mistakes(tmp_path / "none.yaml") == ["none.yaml: cannot be read: No such file or directory"]
    (tmp_path / "folder").mkdir()
    assert mistakes(tmp_path / "folder") == ["folder: cannot be read: Is a directory"]
    assert mistakes(write("name: käse".encode("latin-1"))) == ["hookplugin.yaml: is not UTF-8 text"]


def test_a_byte_order_mark_is_no_part_of_the_first_key(write: Write) -> None:
    assert read_document(write("\ufeffkey: ä\n")).data == {"key": "ä"}


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000 + "]" * 200_000, "{a: " * 200_000 + "}" * 200_000, "- " * 200_000 + "x", "- " * 101 + "x"],
    ids=["lists", "maps", "blocks", "just too deep"],
)
def test_nesting_without_end_is_refused_before_the_stack_is_used_up(write: Write, text: str) -> None:
    assert mistakes(write(text)) == ["hookplugin.yaml: is nested more than 100 levels deep"]


def test_what_is_wide_is_not_deep(write: Write) -> None:
    data = read_document(write("- [[a, b], {c: [d]}]\n" * 500)).data
    assert data == [[["a", "b"], {"c": ["d"]}]] * 500


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("list", 1, "b"), 4),
        (("list", 1), 3),
        (("list", 9), 1),
        (("map", "missing"), 5),
        (("map", "deep", "here"), 7),
        ((), 1),
    ],
)
def test_a_problem_stands_on_the_line_of_its_path_or_of_the_nearest_part(
    write: Write, path: tuple[str | int, ...], line: int
) -> None:
    document = read_document(write("list:\n- a: 1\n- a: 2\n  b: 3\nmap:\n  deep:\n    here: 4\n"))
    (text,) = document.locate([Problem(path, "is wrong")])
    assert text.startswith(f"{document.name}:{line}: ")


def test_problems_come_in_the_order_of_their_lines(write: Write) -> None:
    document = read_document(write("a: 1\nb: 2\n"))
    assert document.locate([Problem(("b",), "second"), Problem(("a",), "first")]) == [
        f"{document.name}:1: a: first",
        f"{document.name}:2: b: second",
    ]


def test_problems_of_a_dict_have_no_line() -> None:
    assert Document({"a": 1}).locate([Problem(("a", 0, "b"), "is wrong")]) == ["configuration: a[0].b: is wrong"]


def test_a_document_never_shows_its_text(write: Write) -> None:
    document = read_document(write("# S3cret\na: 1\n"))
    assert "S3cret" not in repr(document)
    assert document.directory.is_absolute()


def test_a_map_that_is_merged_may_merge_another_and_overrule_it(tmp_path: Path) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text(
        "one: &one {a: 1, b: 1}\ntwo: &two\n  <<: *one\n  b: 2\nthree:\n  <<: *two\n  b: 3\n", encoding="utf-8"
    )
    data = read_document(path).data
    assert data == {"one": {"a": 1, "b": 1}, "two": {"a": 1, "b": 2}, "three": {"a": 1, "b": 3}}

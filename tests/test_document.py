"""YAML as an operator writes it: what a scalar means, and what an error says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from hookplugin import ConfigError
from hookplugin.document import Document, parse_document, read_document
from hookplugin.problems import Path as KeyPath
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


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ("a: x bad\n", ("a",), "1:6"),
        ('a: "{{ bad }}"\n', ("a",), "1:8"),
        ("a: '{{ bad }}'\n", ("a",), "1:8"),
        ("b: 1\na:   {x: [1, {ü: 'ö {{ bad }}'}]}\n", ("a", "x", 1, "ü"), "2:24"),
        ("a:\n  - - '{{ bad }}'\n", ("a", 0, 0), "2:11"),
        ('a: "🔥 監 {{ bad }}"\n', ("a",), "1:12"),
        ("a: |\n  x\n\n    y {{ bad }}\n", ("a",), "4:10"),
        ("a:  |2-  # why\n    \n      é {{ bad }}\n", ("a",), "3:12"),
        ("a: |+\n  {{ bad }}\n\n\n", ("a",), "2:6"),
        ("a:\r\n  b: |\r\n    x\r\n    {{ bad }}\r\n", ("a", "b"), "4:8"),
        ('c: 1\r\na: "{{ bad }}"\r\n', ("a",), "2:8"),
        ("x: &x '{{ bad }}'\na: *x\n", ("a",), "1:4"),
    ],
)
def test_what_is_wrong_in_a_text_is_told_to_the_column(write: Write, text: str, path: KeyPath, place: str) -> None:
    document = read_document(write(text))
    value: Any = document.data
    for key in path:
        value = value[key]
    (line,) = document.locate([Problem(path, "is wrong", value.index("bad"))])
    assert line.startswith(f"{document.name}:{place}: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: '{{ ''x'' bad }}'\n", "1:4"),
        ('b: 1\na: "{{ \\"x\\" bad }}"\n', "2:4"),
        ('a: "\\u00e4 {{ bad }}"\n', "1:4"),
        ("a: >-\n  x\n  {{ bad }}\n", "1:4"),
        ("a: x\n  y bad\n", "1:4"),
        ('a: "x\n\n  {{ bad }}"\n', "1:4"),
    ],
)
def test_where_escapes_or_folding_hide_a_character_the_begin_of_its_text_is_told(
    write: Write, text: str, place: str
) -> None:
    document = read_document(write(text))
    (line,) = document.locate([Problem(("a",), "is wrong", 5)])
    assert line.startswith(f"{document.name}:{place}: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:\n- for x in bad:\n    y: 1\n", "2:12"),
        ("a:\n  - {for x in bad: {y: 1}}\n", "2:15"),
        ("a: [{'for x in bad': 1}]\n", "1:16"),
        ("a:\n- ? for x in bad\n  : 1\n", "2:14"),
    ],
)
def test_what_is_wrong_in_a_key_is_told_to_the_column_of_the_key(write: Write, text: str, place: str) -> None:
    document = read_document(write(text))
    (line,) = document.locate([Problem(("a", 0, "for x in bad"), "is wrong", 9, in_key=True)])
    assert line == f"{document.name}:{place}: a[0].for x in bad: is wrong"


def test_problems_come_in_the_order_of_their_lines_and_columns(write: Write) -> None:
    document = read_document(write("a: {x: one two, y: three}\nb: four\n"))
    wrong = [
        Problem(("b",), "5", 1),
        Problem(("a", "y"), "4", 0),
        Problem(("a", "x"), "3", 4),
        Problem(("a", "x"), "2"),
    ]
    assert [line.rpartition(" ")[2] for line in document.locate([*wrong, Problem(("a",), "1")])] == list("21345")


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x85\u2028\u2029"), min_size=1)


@given(LINES, st.sampled_from([None, "'", '"', "|"]), st.data())
def test_a_column_names_the_character_that_stands_there_or_the_begin_of_its_text(
    text: str, style: str | None, data: st.DataObject
) -> None:
    written = yaml.safe_dump({"key": text}, default_style=style, allow_unicode=True)
    document = parse_document(Path("x.yaml"), written)
    assert isinstance(document.data, dict)
    (found,) = document.data.values()
    assume(isinstance(found, str))  # 0o17 is text to PyYAML, which writes it, and a number here
    offset = data.draw(st.integers(0, len(found) - 1))
    (said,) = document.locate([Problem(("key",), "is wrong", offset)])
    line, column = map(int, said.split(":")[1:3])
    root = yaml.compose(written)
    assert isinstance(root, yaml.MappingNode)
    begin = root.value[0][1].start_mark
    if (line, column) != (begin.line + 1, begin.column + 1):
        assert written.split("\n")[line - 1].ljust(column, "\n")[column - 1] == found[offset]


def test_problems_of_a_dict_have_no_line_but_the_character_of_a_text() -> None:
    assert Document({"a": "x bad"}).locate([Problem(("a",), "is wrong", 2)]) == [
        "configuration: a: is wrong (character 3)"
    ]
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

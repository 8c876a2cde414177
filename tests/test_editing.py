"""Edits of a configuration: every line stays, what is added comes back equal, and a failure changes nothing."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hookplugin.document import ConfigError, Document, load, parse_document
from hookplugin.editing import add_item

ITEM = {"name": "new", "url": "http://x/"}
FLOW = "{name: new, url: http://x/}"
JSON = '{"name": "new", "url": "http://x/"}'
NEW = "  - name: new\n    url: http://x/\n"
NEW_0 = "- name: new\n  url: http://x/\n"
NEW_4 = "    - name: new\n      url: http://x/\n"
SECTION = f"receivers:\n{NEW}"
ADVICE = f": is written in a way that cannot be edited here; add this yourself:\n{SECTION.rstrip()}"


def fine(_: Document) -> None:
    """Find nothing wrong."""


def has_all(old: str, new: str) -> bool:
    """Say whether a text is another one with something put in at one place."""
    grown = len(new) - len(old)
    return grown >= 0 and any(new[:at] + new[at + grown :] == old for at in range(len(old) + 1))


# « stands where the item is to be
@pytest.mark.parametrize(
    ("marked", "added"),
    [
        pytest.param("receivers:\n- name: a\n  url: x\n«b: 1\n", NEW_0, id="dash in column 0"),
        pytest.param("receivers:\n  - name: a\n    url: x\n«b: 1\n", NEW, id="dash in column 2"),
        pytest.param("receivers:\n    - name: a\n      url: x\n«\nb: 1\n", NEW_4, id="dash in column 4"),
        pytest.param("receivers:\n -   name: a\n«\nb: 1\n", " - name: new\n   url: http://x/\n", id="wide dash"),
        pytest.param("  receivers:\n    - name: a\n«  a: 1\n", NEW_4, id="all is indented"),
        pytest.param("receivers:\n  - name: a # 1\n    url: x # 2\n«# next\nb: 1\n", NEW, id="comments behind"),
        pytest.param("receivers:\n  - name: a\n    # in a\n    k: x\n    # k: y\n«b: 1\n", NEW, id="comments inside"),
        pytest.param("receivers:\n- name: a\n  # in a\n«# next\nb: 1\n", NEW_0, id="comments inside, column 0"),
        pytest.param("receivers:\n  - name: a\n«  # - name: off\n  #   url: y\n\n# next\nb: 1\n", NEW, id="items off"),
        pytest.param("receivers:\n  - name: a\n«\n\n# next\n\nb: 1\n", NEW, id="blank lines"),
        pytest.param("a: 1\nreceivers:\n  - name: a\n«# the end\n", NEW, id="a comment at the end"),
        pytest.param("a: 1\nreceivers:\n  - name: a\n    # in a", f"\n{NEW}", id="a comment and no line end"),
        pytest.param("receivers:\n  - name: a", f"\n{NEW}", id="no line end"),
        pytest.param("receivers:\n- name: a\n  l:\n  - x\n  - y\n  # in a\n«b: 1\n", NEW_0, id="a list inside"),
        pytest.param("receivers:\n- - a\n  - b\n«b: 1\n", NEW_0, id="a list in a list"),
        pytest.param("receivers:\n  - name: a\n  -\n«b: 1\n", NEW, id="nothing as the last item"),
        pytest.param("receivers:\n  - name: a\n    h: # c\n    # in a\n«b: 1\n", NEW, id="nothing as the last value"),
        pytest.param("receivers:\n  - t: |\n      x\n       y\n\n«b: 1\n", NEW, id="literal"),
        pytest.param("receivers:\n  - t: |\n      x\n      # text\n«b: 1\n", NEW, id="literal with a hash"),
        pytest.param("receivers:\n  - t: |2\n        x\n«b: 1\n", NEW, id="literal with its indent"),
        pytest.param("receivers:\n  - t: |\n«b: 1\n", NEW, id="empty literal"),
        pytest.param("receivers:\n  - t: |+\n      x\n\n\n«b: 1\n", NEW, id="literal that keeps"),
        pytest.param("receivers:\n  - t: |+\n      x\n\n«", NEW, id="literal that keeps, at the end"),
        pytest.param("receivers:\n  - t: |-\n      x\n\n«# next\nb: 1\n", NEW, id="literal that strips"),
        pytest.param("receivers:\n  - t: >\n      x\n      y\n    # in a\n«b: 1\n", NEW, id="folded"),
        pytest.param("receivers:\n- >+\n  a\n\n- >-\n  b\n«b: 1\n", NEW_0, id="folded items"),
        pytest.param("receivers:\n  - h: {a: 1,\n      b: 2\n    } # c\n«b: 1\n", NEW, id="flow over lines"),
        pytest.param('receivers:\n  - h: "x\n      y\n\n    z"\n«b: 1\n', NEW, id="quotes over lines"),
        pytest.param("receivers:\n  - h: 'it''s\n      y'\n«b: 1\n", NEW, id="single quotes over lines"),
        pytest.param("receivers:\n  - h: x\n      y\n      z\n«b: 1\n", NEW, id="plain over lines"),
        pytest.param("receivers:\n  - &a\n    name: a\n  - <<: *a\n    name: b\n«c: 1\n", NEW, id="merge key"),
        pytest.param("b: &b {c: 1}\nreceivers:\n  - name: a\n    h: *b\n«\nd: 1\n", NEW, id="alias as a value"),
        pytest.param("? receivers\n: - name: a\n«b: 1\n", NEW, id="question mark"),
        pytest.param("'receivers':\n  - name: a\n«b: 1\n", NEW, id="quoted key"),
        pytest.param("---\nreceivers:\n  - name: a\n«...\n", NEW, id="document marks"),
        pytest.param("%YAML 1.2\n---\nreceivers:\n  - name: a\n«", NEW, id="directive"),
        pytest.param("receivers:\t# x\n  - name:\ta\t# y\n«b:\t1\n", NEW, id="tabs"),
        pytest.param("receivers:\n  - name: 😀é😀\n«b: 1\n", NEW, id="characters of four bytes"),
        pytest.param("receivers:\n  - name: 'a\u2028b'\n«b: 1\n", NEW, id="line separator"),
        pytest.param("\ufeffreceivers:\n  - name: a\n«b: 1\n", NEW, id="byte order mark"),
        pytest.param("\ufeffb: 1\n«", f"\n{SECTION}", id="byte order mark, no section"),
        pytest.param("receivers:\r\n  - name: a\r\n«b: 1\r\n", NEW.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("a: 1\r\n«", f"\n{SECTION}".replace("\n", "\r\n"), id="CRLF, no section"),
        pytest.param("timezone: UTC\n«", f"\n{SECTION}", id="no section"),
        pytest.param("timezone: UTC # c«", f"\n\n{SECTION}", id="no section, no line end"),
        pytest.param("a:«", f"\n\n{SECTION}", id="no section, nothing as the last value"),
        pytest.param("receivers:\n«b: 1\n", NEW, id="empty section"),
        pytest.param("a: 1\nreceivers:", f"\n{NEW}", id="empty section at the end"),
        pytest.param("receivers:  # none yet\n  # - name: x\n«\n# next\nb: 1\n", NEW, id="empty section, comments"),
        pytest.param("receivers: &r\n«b: 1\n", NEW, id="empty section, anchor"),
        pytest.param("receivers: &r\n  - name: a\n«b: 1\n", NEW, id="anchor"),
        pytest.param("receivers: !!seq\n  - name: a\n«b: 1\n", NEW, id="tag"),
        pytest.param("receivers: &r # - x\n\n    - name: a\n«b: 1\n", NEW_4, id="anchor and a comment"),
        pytest.param("b: &b {c: 1}\nreceivers:\n    - *b\n    - name: a\n«d: 1\n", NEW_4, id="alias as the first"),
        pytest.param("b: &b\n- c: 1\nreceivers:\n  - *b\n  - a: 1\n«", NEW, id="list alias as the first"),
        pytest.param("receivers:\n  - name: a\n\n    # body: x\n«\n  # c\nb: 1\n", NEW, id="comment behind a gap"),
        pytest.param("receivers: [«]  # c\n", FLOW, id="[]"),
        pytest.param("receivers: [ # none yet\n «]\n", FLOW, id="[] over lines"),
        pytest.param("receivers: [{name: a, t: ']'}«] # ]\nb: 1\n", f", {FLOW}", id="flow list"),
        pytest.param("receivers: [\n  {name: 😀} # ]\n«]\nb: 1\n", f", {FLOW}", id="flow list over lines"),
        pytest.param("{a: {receivers: []}«}\n", f', "receivers": [{JSON}]', id="flow map"),
        pytest.param("{«}\n", f'"receivers": [{JSON}]', id="{}"),
        pytest.param('{"receivers": [{"name": "a"}«], "b": 1}', f", {JSON}", id="JSON"),
        pytest.param('{\n  "b": 1\n«}\n', f', "receivers": [{JSON}]', id="JSON, no section"),
    ],
)  # fmt: skip
def test_an_item_is_put_behind_the_last_and_nothing_else_changes(tmp_path: Path, marked: str, added: str) -> None:
    begin, _, end = marked.partition("«")
    path = tmp_path / "hookplugin.yaml"
    path.write_bytes((begin + end).encode())
    old: Any = load(begin + end)
    document = add_item(path, "receivers", ITEM, fine)
    assert path.read_bytes().decode() == begin + added + end
    assert document.data == {**old, "receivers": [*(old.get("receivers") or []), ITEM]}
    assert document.text == begin + added + end


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("receivers: null\n", ADVICE, id="null"),
        pytest.param("receivers: # c\n\n  ~\nb: 1\n", ADVICE, id="~"),
        pytest.param('{"receivers": null}', ADVICE, id="null in JSON"),
        pytest.param("receivers: none\n", ADVICE, id="text"),
        pytest.param("receivers: 5\n", ADVICE, id="number"),
        pytest.param("receivers: {a: 1}\n", ADVICE, id="map"),
        pytest.param("receivers:\n  a: 1\n", ADVICE, id="block map"),
        pytest.param("- a\n", ADVICE, id="list at the top"),
        pytest.param("text\n", ADVICE, id="text at the top"),
        pytest.param("x: &x\n  - k: 1\nreceivers: *x\n", ADVICE, id="alias"),
        pytest.param("receivers: &r\n  - name: a\nother: *r\n", ADVICE, id="used elsewhere"),
        pytest.param("base: &b {name: z}\nreceivers:\n  - name: a\n  - *b\nc: 1\n", ADVICE, id="alias as the last"),
        pytest.param("base: &b {name: z}\nreceivers:\n  - *b\nc: 1\n", ADVICE, id="alias as the only"),
        pytest.param("receivers: &r [*r]\n", ADVICE, id="flow list that holds itself"),
        pytest.param("receivers: &r\n  - *r\nb: 1\n", ADVICE, id="list that holds itself"),
        pytest.param("receivers:\n  - &a\n    name: a\n    more: *a\n", ADVICE, id="item that holds itself"),
        pytest.param("x: &x\n  - *x\nreceivers:\n  - name: a\n", ADVICE, id="another list that holds itself"),
        pytest.param("x: &x\n  receivers:\n    - name: a\n<<: *x\n", ADVICE, id="merged"),
        pytest.param("receivers:\r  - name: a\rb: 1\r", ADVICE, id="CR"),
        pytest.param("receivers:\n  - name: a\n\t# c\nb: 1\n", "3: is not YAML: ", id="tab as indentation"),
        pytest.param("receivers: []\nreceivers: []\n", "2: the key 'receivers' stands twice", id="twice"),
        pytest.param("a: 1\n---\nb: 1\n", "2: is not YAML: ", id="two documents"),
        pytest.param("", ": is empty; ", id="empty"),
        pytest.param("# a\n\n# b\n", ": is empty; ", id="comments only"),
        pytest.param("\ufeff---\n", ": is empty; ", id="marks only"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_is_left_alone_with_advice(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        add_item(path, "receivers", ITEM, fine)
    assert str(caught.value).removeprefix(str(path)).removeprefix(":").startswith(message.removeprefix(":"))
    assert path.read_bytes().decode() == text
    assert list(tmp_path.iterdir()) == [path]


def test_the_advice_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text("receivers: null\n", encoding="utf-8")
    item = {"name": "a: b", "tags": {"env": "yes", "1": "-"}, "list": ["'", '"', ""]}
    with pytest.raises(ConfigError) as caught:
        add_item(path, "receivers", item, fine)
    advice = str(caught.value).partition("\n")[2]
    assert parse_document(path, advice).data == {"receivers": [item]}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from([
    *("", " ", "yes", "null", "~", "1", "1.50", "0x1F", "1e3", ".inf", "<<", "=", "- a", "-", "---", "...", "?", "a:"),
    *("a: b", "a #b", "#", "{", "}", "[a]", "a, b", "&a", "*a", "!a", "%a", "@a", "`a", "|", ">", "'", '"', "it's"),
    *("\\", "a\nb", "a\n", "\n", "\t", "a ", " a", "\x7f", "\x85", "\u2028", "\ufeff", "\uffff", "\x00", "😀", "http://a/?b#c"),
])  # fmt: skip
scalars = texts | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)


@given(st.lists(values, min_size=1, max_size=3), st.sampled_from(["b: 1\n", "l:\n- 1\n", "l: [1]\n"]))
def test_any_value_comes_back_equal(added: list[Any], text: str) -> None:
    item = dict(zip("abc", added, strict=False))
    with TemporaryDirectory() as folder:
        path = Path(folder, "hookplugin.yaml")
        path.write_text(text, encoding="utf-8")
        data: Any = add_item(path, "l", item, fine).data
        assert repr(data["l"][-1]) == repr(item)  # 1 is not 1.0, nor true
        assert has_all(text, path.read_text(encoding="utf-8"))


words = st.sampled_from(
    ["a", "ops", "no", "two words", "it's", "a: b", "# c", "line\nline\n", "line\n\n\n", " x\ny", "ü😀"]
)
trees = st.recursive(
    words | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
configurations = st.fixed_dictionaries(
    {}, optional={"before": trees, "list": st.none() | st.lists(trees, max_size=3), "later": trees}
)
styles = st.fixed_dictionaries(
    {
        "indent": st.integers(2, 6),
        "width": st.sampled_from([8, 80]),
        "default_flow_style": st.sampled_from([False, False, None, True]),
        "default_style": st.sampled_from([None, None, '"', "'", "|", ">"]),
        "explicit_start": st.booleans(),
        "explicit_end": st.booleans(),
        "allow_unicode": st.booleans(),
        "line_break": st.sampled_from(["\n", "\n", "\r\n"]),
        "sort_keys": st.just(value=False),
    }
)
comments = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["", "# c", "  # c", "      # c", "behind"])), max_size=6
)


def with_comments(text: str, put: list[tuple[int, str]]) -> str:
    lines = text.splitlines(keepends=True)
    for number, comment in put:
        at = number % (len(lines) + 1)
        line_end = "\r\n" if "\r\n" in text else "\n"
        if comment == "behind" and at < len(lines):
            lines[at] = lines[at].rstrip("\r\n") + f" # c{line_end}"
        elif comment != "behind":
            lines.insert(at, comment + line_end)
    return "".join(lines)


@given(configurations, styles, comments, st.sampled_from(["", "\r\n"]))
@example({"list": [{"a": "x\n"}]}, {"default_style": "|"}, [(3, "    # c")], "")
def test_a_file_of_any_style_keeps_its_text_and_its_data_or_is_not_touched(
    configuration: dict[str, Any], style: dict[str, Any], put: list[tuple[int, str]], cut: str
) -> None:
    text = with_comments(yaml.safe_dump(configuration, **style), put)
    text = text.rstrip(cut) if cut else text
    with TemporaryDirectory() as folder:
        path = Path(folder, "hookplugin.yaml")
        path.write_bytes(text.encode())
        before: Any = None
        with suppress(ConfigError):  # a comment may have broken it
            before = parse_document(path, text).data
        assume(isinstance(before, dict) and isinstance(before.get("list") or [], list))
        after: Any = None
        refused = ""
        try:
            after = add_item(path, "list", ITEM, fine).data
        except ConfigError as error:
            refused = str(error)
        if refused:
            assert "cannot be edited here; add this yourself:\nlist:\n  - name: new\n" in refused
            assert path.read_bytes().decode() == text
            assert put or cut or style.get("explicit_end") or "null" in text or "&" in text
        else:
            assert after == {**before, "list": [*(before.get("list") or []), ITEM]}
            assert has_all(text, path.read_bytes().decode())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_mode_of_the_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text("a: 1\n", encoding="utf-8")
    path.chmod(mode)
    add_item(path, "receivers", ITEM, fine)
    assert path.stat().st_mode & 0o7777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_what_it_points_to_is_edited(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    real, link = tmp_path / "etc" / "real.yaml", tmp_path / "hookplugin.yaml"
    real.write_text("a: 1\n", encoding="utf-8")
    link.symlink_to("etc/real.yaml")
    add_item(link, "receivers", ITEM, fine)
    assert str(link.readlink()) == "etc/real.yaml"
    assert real.read_text(encoding="utf-8") == f"a: 1\n\n{SECTION}"
    assert sorted(tmp_path.rglob("*")) == [real.parent, real, link]


@pytest.mark.parametrize(
    ("wrong_before", "told"), [(False, ("it is wrong", "nothing was changed")), (True, ("it was wrong",))]
)
def test_what_the_check_refuses_is_not_written(tmp_path: Path, *, wrong_before: bool, told: tuple[str, ...]) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text("a: 1\n", encoding="utf-8")
    before = path.stat()
    seen: list[object] = []

    def refuse(document: Document) -> None:
        seen.append(document.data)
        if wrong_before or len(seen) == 1:
            raise ConfigError(["it is wrong" if len(seen) == 1 else "it was wrong"])

    with pytest.raises(ConfigError) as caught:
        add_item(path, "receivers", ITEM, refuse)
    assert caught.value.problems == told
    assert seen == [{"a": 1, "receivers": [ITEM]}, {"a": 1}]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text("a: 1\n", encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(ConfigError) as caught:
            add_item(path, "receivers", ITEM, fine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{path}: cannot be written: File too large"
    assert path.read_text(encoding="utf-8") == "a: 1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_takes_no_file_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)  # no room for the name of a file beside it; a mode does not stop root
    path.write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written: File name too long"):
        add_item(path, "receivers", ITEM, fine)
    assert path.read_text(encoding="utf-8") == "a: 1\n"


@pytest.mark.parametrize("name", ["missing.yaml", "no/such/folder.yaml", "."])
def test_a_file_that_is_not_there_cannot_be_edited(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: (No such file|Is a directory)"):
        add_item(tmp_path / name, "receivers", ITEM, fine)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hookplugin.yaml"
    path.write_text("# mine\nreceivers: []\n", encoding="utf-8")
    command = [str(Path(sys.executable).with_name("hookplugin")), "receiver", "add", "--json"]
    names = [f"r{number}" for number in range(8)]
    processes = [
        subprocess.Popen([*command, name, "http://127.0.0.1:9/"], cwd=tmp_path, stdout=subprocess.PIPE)
        for name in names
    ]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert answers == [{"file": "hookplugin.yaml", "receiver": name} for name in names]
    text = path.read_text(encoding="utf-8")
    assert sorted(one["name"] for one in yaml.safe_load(text)["receivers"]) == names
    assert text.startswith("# mine\nreceivers: [{")
    assert list(tmp_path.iterdir()) == [path]

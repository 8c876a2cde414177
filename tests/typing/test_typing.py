"""What an author's editor says: offers that are right are clean, and each that is wrong is an error, in both tools."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hookplugin import Host

HERE = Path(__file__).parent
MARK = re.compile(r"  # type: ignore\[[a-z, -]+\]")
OFFER = 'registry.filter("mine", asks_for_nothing)'
TEXTS = {name: (HERE / f"{name}.py").read_text(encoding="utf-8") for name in ("right", "wrong", "hosts")}
CHANGED = {
    "wrong_without_marks": MARK.sub("", TEXTS["wrong"]),
    "hosts_without_marks": MARK.sub("", TEXTS["hosts"]),
    "mended": TEXTS["wrong"].replace(OFFER, 'registry.filter("mine", bool)'),
}
TOOLS = {
    "mypy": ["--strict", "--config-file=", "--no-error-summary"],
    "pyright": ["--outputjson", "--pythonpath", sys.executable],
}
Found = dict[str, set[int]]


@pytest.fixture(scope="module", params=TOOLS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return the lines with errors of each file, by its name, as an author is told who asks a tool to be strict."""
    tool: str = request.param
    pytest.importorskip(tool, reason=f"{tool} is not installed; it comes with the extra `lint`")
    folder = tmp_path_factory.mktemp(tool)
    files = {f"{name}.py": text for name, text in (TEXTS | CHANGED).items()}
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", tool, *TOOLS[tool], *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = _pyrights(done.stdout) if tool == "pyright" else _mypys(done.stdout)
    errors: Found = {file.removesuffix(".py"): set() for file in files}
    for file, line in lines:
        errors[Path(file).stem].add(line)
    return errors


def _mypys(output: str) -> list[tuple[str, int]]:
    return [(file, int(line)) for file, line in re.findall(r"^(.+?):(\d+): error: ", output, re.MULTILINE)]


def _pyrights(output: str) -> list[tuple[str, int]]:
    said = json.loads(output)["generalDiagnostics"]
    return [(one["file"], one["range"]["start"]["line"] + 1) for one in said if one["severity"] == "error"]


def _lines_with(pattern: str, text: str) -> set[int]:
    return {number for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_right_is_clean_and_what_is_wrong_is_marked(found: Found, name: str) -> None:
    assert found[name] == set()


@pytest.mark.parametrize("name", ["wrong", "hosts"])
def test_each_line_that_is_marked_is_a_mistake_and_no_other_is(found: Found, name: str) -> None:
    assert found[f"{name}_without_marks"] == _lines_with(MARK.pattern, TEXTS[name]) != set()


def test_a_mark_where_nothing_is_wrong_is_a_mistake_itself(found: Found) -> None:
    assert found["mended"] == _lines_with(re.escape(OFFER), TEXTS["wrong"]) != set()


def test_what_is_right_runs_and_offers_what_it_says() -> None:
    right = _loaded("right")
    config = {"plugins": {"disabled": ["webhook"], "settings": {"right": {"times": 2}}}}
    with Host(config, strict=True, plugins={"right": right}) as host:
        status = next(status for status in host.plugins if status.name == "right")
        assert host.context.state["right"] == right.Settings(times=2)
    assert (status.state, len(status.hooks)) == ("active", 5)
    assert [sum(offer.startswith(kind) for offer in status.offers) for kind in ("filter", "sender")] == [6, 8]


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

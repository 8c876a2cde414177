"""What `import hookplugin` does, and what it says when somebody else's `hookspecs` is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


FOREIGN = {
    "a module": ("hookspecs.py", "import pluggy\nhookspec = pluggy.HookspecMarker('other')\n", "hookspecs.py"),
    "another project's": ("hookspecs.py", "PROJECT = 'other'\n", "hookspecs.py"),
    "a package": ("hookspecs/__init__.py", "x = 1\n", "hookspecs/__init__.py"),
    "one that fails": ("hookspecs.py", "1 / 0\n", "hookspecs.py"),
    "one with a typo": ("hookspecs.py", "def (:\n", "hookspecs.py"),
    "one that ends the process": ("hookspecs.py", "raise SystemExit(7)\n", "hookspecs.py"),
}


@pytest.mark.parametrize("way", ["PYTHONPATH", "working directory"])
@pytest.mark.parametrize(("file", "text", "found"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_hookspecs_is_one_clear_import_error(
    tmp_path: Path, file: str, text: str, found: str, way: str
) -> None:
    foreign = tmp_path / "foreign"
    path = foreign / file
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    if way == "PYTHONPATH":
        done = run("import hookplugin", tmp_path, PYTHONPATH=str(foreign))
    else:
        done = run("import hookplugin", foreign)
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    where = f"{foreign}/{found}" if found.endswith(".py") else found
    assert last.startswith(
        "ImportError: hookplugin needs the package 'hookspecs' that is installed with it, but found "
    )
    assert where in last
    assert last.endswith("Rename that module, or move it behind site-packages on sys.path.")


def test_a_folder_without_init_is_told_apart(tmp_path: Path) -> None:
    """Import it in advance: on the path, the real package would win over such a folder."""
    (tmp_path / "hookspecs").mkdir()
    code = "import sys; path, sys.path = sys.path, ['.']; import hookspecs; sys.path = path; import hookplugin"
    done = run(code, tmp_path)
    assert done.returncode == 1
    assert "but found a folder without __init__.py. Rename that module" in done.stderr


def test_a_namespace_folder_in_the_way_of_nothing_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "hookspecs").mkdir()
    assert run("import hookplugin", tmp_path).returncode == 0


CONFIG = (
    "{'receivers': [{'name': 'ops', 'url': 'https://example.com/'}],"
    " 'strategies': [{'name': 'all', 'receivers': ['ops'], 'match': ['a=~\"b.*\"']}]}"
)


def test_what_only_sending_needs_is_not_imported(tmp_path: Path) -> None:
    done = run("import sys, hookplugin; print(*sorted(sys.modules))", tmp_path)
    assert done.stderr == ""
    modules = done.stdout.split()
    assert "hookplugin" in modules
    assert not {"requests", "urllib3", "certifi", "rich", "typer", "fastapi"} & {*modules}


def test_a_host_that_was_made_has_started_no_thread(tmp_path: Path) -> None:
    code = f"import threading, hookplugin; host = hookplugin.Host({CONFIG}); print(threading.active_count())"
    assert run(code, tmp_path).stdout == "1\n"


def test_the_contract_alone_needs_neither_yaml_nor_the_plugin(tmp_path: Path) -> None:
    done = run("import sys, hookspecs; print(*sys.modules)", tmp_path)
    assert done.stderr == ""
    assert not {"hookplugin", "yaml", "requests", "re2"} & set(done.stdout.split())


def test_importing_says_nothing_and_touches_nothing(tmp_path: Path) -> None:
    done = run("import hookplugin", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_is_there() -> None:
    import hookplugin
    import hookspecs

    for module in (hookplugin, hookspecs):
        assert sorted(module.__all__) == sorted(set(module.__all__))
        assert [name for name in module.__all__ if not hasattr(module, name)] == []

"""`hookplugin plugins new`."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from hookplugin.cli.options import CommandError, JsonOption, writing
from hookplugin.cli.output import print_json
from hookplugin.config import OUR_PLUGIN

_PREFIX: Final = "hookplugin-"
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "$module.py": "plugin.py",
    "tests/test_$module.py": "test_plugin.py",
}
"""What is written, and the template of it."""


def new(
    name: Annotated[str, typer.Argument(help="What the configuration will call it; the package is hookplugin-NAME.")],
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Write a package with a plugin that works, and tests that pass, to be changed into your own."""
    name = _checked(name.removeprefix(_PREFIX))
    words = {"name": name, "module": f"{_PREFIX}{name}".replace("-", "_")}
    folder = Path(f"{_PREFIX}{name}")
    written = [folder / Template(file).substitute(words) for file in _FILES]
    with writing(folder):
        folder.mkdir()
        for path, template in zip(written, _FILES.values(), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(Template(_read(template)).substitute(words), encoding="utf-8")
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    sys.stdout.writelines(f"{path}\n" for path in written)
    sys.stdout.write("Written. Its tests pass as it stands; change it into what you want:\n")
    sys.stdout.write(f"  cd {folder}\n  pip install -e '.[test]' && pytest\n")


def _checked(name: str) -> str:
    """Return the name.

    Raises:
        CommandError: it cannot be one.

    """
    if not _NAME.fullmatch(name):
        near = "-".join(re.findall("[a-z0-9]+", name.lower()))
        advice = f"; did you mean {near!r}?" if near else ""
        message = (
            f"{name!r} is no name for a plugin: it has lowercase letters, digits, and single dashes inside{advice}"
        )
        raise CommandError(message)
    if name == OUR_PLUGIN:
        message = f"the name {name!r} is taken, by our own plugin"
        raise CommandError(message)
    return name


def _read(template: str) -> str:
    return files("hookplugin.cli").joinpath(f"data/plugin/{template}.txt").read_text(encoding="utf-8")

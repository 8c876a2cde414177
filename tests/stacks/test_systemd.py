"""The unit that README shows is one that systemd understands, and finds well shut."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from commands import COMMAND

UNIT = Path(__file__).parents[1] / "examples/hookplugin.service"


def test_systemd_understands_the_unit_and_finds_little_exposed(foreign: Callable[..., str], tmp_path: Path) -> None:
    program = foreign("systemd-analyze", package="systemd")
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    text = text.replace("/opt/hookplugin/bin/hookplugin", str(COMMAND)).replace("=hookplugin\n", "=user\n")
    unit.write_text(text.replace("User=user", f"User={getpass.getuser()}"), encoding="utf-8")
    verified = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    command = [program, "security", "--offline=true", "--no-pager", str(unit)]
    shut = subprocess.run(command, capture_output=True, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", shut.stdout)
    assert level, shut.stdout + shut.stderr
    assert float(level[1]) < 3  # "OK"; a unit that says nothing has 9.6

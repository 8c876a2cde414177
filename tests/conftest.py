"""Fixtures that many tests share."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from installing import build_wheel

settings.register_profile("timeless", deadline=None)  # no test asserts a time: machines are noisy
settings.load_profile("timeless")

PAYLOADS = Path(__file__).parent / "payloads"
collect_ignore = ["examples"]  # what is a test there runs where the example is installed


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build our wheel."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def payload() -> Callable[[str], bytes]:
    """Read a body that was captured from a real system."""
    return lambda name: (PAYLOADS / f"{name}.json").read_bytes()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution with one plugin, as far as `importlib.metadata` and `import` can tell.

    Call it with the entry point's name and the module's code; `package` and `target` may differ from the name.
    """

    modules: list[str] = []

    def install_plugin(name: str, code: str, *, package: str | None = None, target: str | None = None) -> None:
        package = package or f"hookplugin-{name}"
        module = package.replace("-", "_")
        modules.append(module)
        site = tmp_path / f"site-{package}"
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (metadata / "entry_points.txt").write_text(f"[hookplugin]\n{name} = {target or module}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)  # for processes that the test starts

    yield install_plugin
    for module in modules:
        sys.modules.pop(module, None)

"""`hookplugin check` and plugins: what is wrong with one is said, where it stands, once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., None]

HEAD = "from hookplugin import Body, Secret, hookimpl\nfrom pydantic import BaseModel\n"


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_plugin_that_is_off_is_named_also_where_something_names_its_offer(
    run: Run, install: Install, configure: Callable[..., None]
) -> None:
    install("mine", f"{HEAD}@hookimpl\ndef alert_registr(registry): ...\n")
    configure({"ops": "http://127.0.0.1:9/"}, filters=["mine"])
    done = run("check")
    assert done.returncode == 2
    assert lines(done) == [
        (
            "hookplugin.yaml:1: strategies[0].filters[0]: unknown filter 'mine'; there is none; "
            "perhaps a plugin that is off offers it: 'mine'"
        ),
        (
            "hookplugin.yaml:1: warning: the plugin 'mine' is off: there is no hook 'alert_registr'; "
            "did you mean 'alert_register'?"
        ),
    ]


def test_wrong_settings_are_an_error_with_their_line_and_said_once(run: Run, install: Install, tmp_path: Path) -> None:
    model = "class Settings(BaseModel):\n    level: int = 1\n"
    install("mine", f"{HEAD}{model}@hookimpl\ndef alert_register(registry):\n    registry.settings(Settings)\n")
    (tmp_path / "hookplugin.yaml").write_text("plugins:\n  settings:\n    mine:\n      levl: 2\n", encoding="utf-8")
    done = run("check")
    assert done.returncode == 2
    assert [line for line in lines(done) if "mine" in line] == [
        "hookplugin.yaml:4: plugins.settings.mine.levl: unknown key; did you mean 'level'?"
    ]


def test_a_renderer_that_fails_is_named_where_it_is_picked(run: Run, install: Install, tmp_path: Path) -> None:
    code = "def render(deliveries):\n    raise KeyError('service')\n"
    install("mine", f"{HEAD}{code}@hookimpl\ndef alert_register(registry):\n    registry.renderer('mine', render)\n")
    (tmp_path / "hookplugin.yaml").write_text(
        "outbox: sqlite:///outbox.db\n"
        "receivers:\n"
        "  - name: ops\n"
        "    url: http://127.0.0.1:9/\n"
        "    body: mine\n"
        "strategies: [{name: all, receivers: [ops], match_all: true}]\n",
        encoding="utf-8",
    )
    done = run("check")
    assert done.returncode == 2
    assert lines(done)[0] == (
        "hookplugin.yaml:5: receivers[0].body: the body 'mine' fails for an alert that fires: KeyError: 'service'"
    )


def test_secrets_of_plugins_that_everybody_can_read_are_told(run: Run, install: Install, tmp_path: Path) -> None:
    model = "class Settings(BaseModel):\n    token: Secret\n"
    install("mine", f"{HEAD}{model}@hookimpl\ndef alert_register(registry):\n    registry.settings(Settings)\n")
    file = tmp_path / "hookplugin.yaml"
    file.write_text("plugins: {settings: {mine: {token: S3CR3T-word}}}\n", encoding="utf-8")
    file.chmod(0o644)
    said = [line for line in lines(run("check")) if "secrets of 'mine'" in line]
    assert len(said) == 1
    assert "S3CR3T" not in said[0]

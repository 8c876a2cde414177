"""`hookplugin plugins`: what there is, what it can be told, and what it failed at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, create_model

from hookplugin import Alert, Host
from hookplugin.cli.settings import settings_of
from hookplugin.version import __version__

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., None]

MAIL = """
    from hookplugin import Registry, Secret, hookimpl
    from pydantic import BaseModel, Field

    class Smtp(BaseModel):
        host: str = Field(description="The machine that takes the mail.")
        port: int = 25

    class Settings(BaseModel):
        smtp: Smtp
        password: Secret | None = None
        subject: str = Field("[bold]alert[/]", description="Of each mail; an alert's content is put behind it.")

    @hookimpl
    def alert_register(registry: Registry) -> None:
        settings = registry.settings(Settings)
        registry.filter("mailable", lambda alert: True)
        registry.filter("urgent", lambda alert: 1 / 0)
        registry.renderer("letter", lambda deliveries: 1 / 0)

    @hookimpl
    def alert_fired(alert):
        1 / 0
"""


def failing(tmp_path: Path) -> None:
    """Let a process fire an alert at the plugin, and end."""
    with Host(tmp_path / "hookplugin.yaml") as host:
        host.fire(Alert(content="disk full"))
        host.fire(Alert(content="disk still full"))


@pytest.fixture
def mail(install: Install, configure: Callable[..., None]) -> None:
    install("mail", MAIL)
    settings = {"smtp": {"host": "mail.example.com"}, "password": "S3cret"}
    configure({"ops": "http://127.0.0.1:9/"}, {"plugins": {"settings": {"mail": settings}}}, filters=["urgent"])


@pytest.mark.usefixtures("mail")
def test_what_a_plugin_is_and_can_be_told_is_shown_in_80_columns(run: Run, tmp_path: Path) -> None:
    failing(tmp_path)
    done = run("plugins")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:4] == [
        "plugin package state hooks offers",
        "mail hookplugin-mail 1.0 active register, fired filter mailable",
        "filter urgent",
        "renderer letter",
    ]
    assert lines[4].startswith(f"webhook hookplugin {__version__} active configure, fired,")
    assert lines[lines.index("plugins.settings.mail") :] == [
        "plugins.settings.mail",
        "setting type default what it is",
        "smtp map required",
        "smtp.host text required The machine that takes the mail.",
        "smtp.port whole number 25",
        "password secret none",
        "subject text [bold]alert[/] Of each mail; an alert's content is put",
        "behind it.",
        "",
        "failed in times",
        "mail alert_fired 2",
        "mail filter urgent 2",
    ]


@pytest.mark.usefixtures("mail")
def test_json_has_the_whole_schema_and_what_all_processes_counted(run: Run, tmp_path: Path) -> None:
    failing(tmp_path)
    done = run("plugins", "--json")
    mail, webhook = json.loads(done.stdout)
    assert (mail["version"], mail["package"], mail["state"]) == ("1.0", "hookplugin-mail", "active")
    assert mail["hooks"] == ["alert_register", "alert_fired"]
    assert mail["offers"] == ["filter mailable", "filter urgent", "renderer letter"]
    assert mail["settings"]["$defs"]["Smtp"]["required"] == ["host"]
    assert mail["settings"]["properties"]["subject"]["default"] == "[bold]alert[/]"
    assert mail["failures_total"] == {"alert_fired": 2, "filter urgent": 2}
    assert (webhook["settings"], webhook["failures_total"]) == (None, {})
    assert "S3cret" not in done.stdout


@pytest.mark.usefixtures("mail")
def test_what_a_plugin_failed_at_that_is_gone_is_still_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(tmp_path)
    monkeypatch.delenv("PYTHONPATH")
    (tmp_path / "hookplugin.yaml").write_text("outbox: sqlite:///outbox.db", encoding="utf-8")
    lines = run("plugins").stdout.splitlines()
    assert [line.split() for line in lines[-2:]] == [["mail", "alert_fired", "2"], ["mail", "filter", "urgent", "2"]]
    assert not [line for line in lines if "hookplugin-mail" in line]


@pytest.mark.usefixtures("mail")
def test_to_look_makes_no_outbox(run: Run, tmp_path: Path) -> None:
    done = run("plugins")
    assert "failed" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hookplugin.yaml", "site-hookplugin-mail"]


@pytest.mark.usefixtures("mail")
def test_an_outbox_that_cannot_be_read_hides_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_text("this is no database, and long enough to be sure of that " * 100)
    done = run("plugins")
    assert done.returncode == 0
    assert "plugins.settings.mail" in done.stdout
    assert done.stderr.startswith("what plugins failed at is not known: ")
    assert "file is not a database" in done.stderr


def test_a_plugin_with_wrong_settings_is_named_with_the_line(run: Run, tmp_path: Path, install: Install) -> None:
    install("mail", MAIL)
    (tmp_path / "hookplugin.yaml").write_text("plugins:\n  settings:\n    mail:\n      smpt: {}\n", encoding="utf-8")
    done = run("plugins")
    assert "hookplugin-mail 1.0  failed" in done.stdout
    (reason,) = [line for line in done.stdout.splitlines() if line.startswith("mail: ")]
    assert "hookplugin.yaml:4: plugins.settings.mail.smpt: unknown key; did you mean 'smtp'?" in reason


def test_what_a_plugin_says_cannot_paint_the_terminal(run: Run, install: Install) -> None:
    code = """
        from hookplugin import hookimpl
        from pydantic import BaseModel, Field

        class Settings(BaseModel):
            level: str = Field("\\x1b[31mred", description="[red]loud[/red]\\x07")

        @hookimpl
        def alert_register(registry):
            registry.settings(Settings)
            registry.filter("[blue]\\x1b[2J", bool)
    """
    install("painter", code)
    done = run("plugins")
    assert "filter [blue]\ufffd[2J" in done.stdout
    assert "\ufffd[31mred  [red]loud[/red]\ufffd" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_plugin_without_a_single_setting_says_so(run: Run, install: Install) -> None:
    code = """
        from hookplugin import hookimpl
        from pydantic import BaseModel

        @hookimpl
        def alert_register(registry):
            registry.settings(type("Settings", (BaseModel,), {}))
    """
    install("mute", code)
    assert run("plugins").stdout.endswith("plugins.settings.mute\nnone\n")


def test_another_word_behind_plugins_is_refused(run: Run) -> None:
    done = run("plugins", "news")
    assert done.returncode == 2
    assert "news" in done.stderr


# Settings in words


class Color(Enum):
    red = "red"
    blue = "blue"


class Inner(BaseModel):
    """Where it goes."""

    host: str
    port: int = 25


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []
    parent: Tree | None = None


FIELDS: dict[str, tuple[Any, Any, list[tuple[str, str, str, str]]]] = {
    "text": (str, ..., [("it", "text", "required", "")]),
    "empty text": (str, "", [("it", "text", '""', "")]),
    "number": (float, 1.5, [("it", "number", "1.5", "")]),
    "switch": (bool, True, [("it", "true/false", "true", "")]),
    "nothing": (int | None, None, [("it", "whole number", "none", "")]),
    "secret": (SecretStr, SecretStr("S3cret"), [("it", "secret", "**********", "")]),
    "either": (int | str, 3, [("it", "whole number or text", "3", "")]),
    "choice": (Literal["a", "b", 3], "a", [("it", "a or b or 3", "a", "")]),
    "one choice": (Literal["a"], "a", [("it", "a", "a", "")]),
    "enum": (Color, Color.red, [("it", "red or blue", "red", "")]),
    "duration": (timedelta, timedelta(days=3), [("it", "text", "P3D", "")]),
    "list": (list[str | int], [], [("it", "list of text or whole number", "[]", "")]),
    "bare list": (list[Any], [1], [("it", "list", "[1]", "")]),
    "map": (dict[str, bool], {}, [("it", "map of true/false", "{}", "")]),
    "anything": (Any, None, [("it", "anything", "none", "")]),
    "made by the plugin": (list[str], Field(default_factory=list), [("it", "list of text", "", "")]),
    "described": (int, Field(1, description="How\n  often."), [("it", "whole number", "1", "How often.")]),
    "by another name": (int, Field(1, alias="times"), [("times", "whole number", "1", "")]),
    "model": (
        Inner,
        ...,
        [
            ("it", "map", "required", "Where it goes."),
            ("it.host", "text", "required", ""),
            ("it.port", "whole number", "25", ""),
        ],
    ),
    "model or nothing": (
        Inner | None,
        None,
        [
            ("it", "map", "none", "Where it goes."),
            ("it.host", "text", "required", ""),
            ("it.port", "whole number", "25", ""),
        ],
    ),
    "model or text": (Inner | str, "", [("it", "map or text", '""', "")]),
    "several models": (list[Inner], [], [("it", "list of map", "[]", "")]),
    "model that holds itself": (
        Tree,
        ...,
        [
            ("it", "map", "required", ""),
            ("it.name", "text", "required", ""),
            ("it.branches", "list of map", "[]", ""),
            ("it.parent", "map", "none", ""),
        ],
    ),
}


@pytest.mark.parametrize(("kind", "default", "lines"), FIELDS.values(), ids=FIELDS)
def test_each_setting_is_one_line(kind: Any, default: Any, lines: list[tuple[str, str, str, str]]) -> None:
    model = create_model("Settings", it=(kind, default))
    assert [tuple(one) for one in settings_of(model.model_json_schema())] == lines


def test_settings_of_a_model_that_holds_itself_end() -> None:
    assert [one.name for one in settings_of(Tree.model_json_schema())] == ["name", "branches", "parent"]


def test_keys_without_a_name_of_their_own_are_told() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        level: int = 1

    assert [tuple(one) for one in settings_of(Open.model_json_schema())] == [
        ("level", "whole number", "1", ""),
        ("any other key", "anything", "", ""),
    ]
    assert [tuple(one) for one in settings_of(RootModel[dict[str, int]].model_json_schema())] == [
        ("any other key", "whole number", "", "")
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": True}},
        {"properties": {"a": {"$ref": "#/$defs/J"}}, "$defs": {"J": {"$ref": "#/$defs/J"}}},
        {"properties": {"a": {"$ref": "#/$defs/J"}}, "$defs": {"J": {"anyOf": [{"$ref": "#/$defs/J"}] * 2}}},
        {"properties": {"a": {"$ref": "#/$defs/J"}}, "$defs": {"J": {"type": "array", "items": {"$ref": "#/$defs/J"}}}},
    ],
)
def test_no_schema_is_too_odd_to_be_shown(schema: dict[str, Any]) -> None:
    (setting,) = settings_of(schema)
    assert setting.name == "a"

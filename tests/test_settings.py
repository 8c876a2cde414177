"""Settings of plugins: typed, checked, and secret where they say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

import hookspecs
from hookplugin import Alert, ConfigError, Context, Host, PluginStatus, Registry, Secret, hookimpl, prepare

TOKEN = "T0KEN-of-the-plugin"


class Limits(BaseModel):
    """Bound something."""

    most: int = 10


class Settings(BaseModel):
    """Hold what a plugin may be told."""

    at_least: int = Field(default=3, ge=1)
    token: Secret | None = None
    limits: list[Limits] = []

    @field_validator("token")
    @classmethod
    def _no_spaces(cls, token: Any) -> Any:
        if token and " " in token.get_secret_value():
            message = f"{token.get_secret_value()!r} has a space in it"
            raise ValueError(message)
        return token


class Often:
    """Offer a filter with settings, and keep what its hooks see."""

    model: type[BaseModel] = Settings

    def __init__(self) -> None:
        self.settings: Any = None
        self.seen: list[Any] = []

    @hookimpl
    def alert_register(self, registry: Registry) -> None:
        settings: Any = registry.settings(self.model)
        self.settings = settings
        registry.filter("often", lambda alert: alert.times >= settings.at_least)

    @hookimpl
    def alert_configure(self, context: Context) -> None:
        self.seen.append(context.settings)

    @hookimpl
    def alert_fired(self, context: Context) -> None:
        self.seen.append(context.settings)


def told(settings: object) -> dict[str, Any]:
    return {"plugins": {"settings": {"often": settings}}}


def status(host: Host) -> PluginStatus:
    return next(one for one in host.plugins if one.name == "often")


@pytest.mark.parametrize(("settings", "expected"), [({}, 3), ({"at_least": 5}, 5), ({"at_least": "5"}, 5)])
def test_a_plugin_gets_its_settings_as_its_model_in_each_hook(settings: dict[str, Any], expected: int) -> None:
    often = Often()
    with Host(told(settings), plugins={"often": often}, strict=True) as host:
        host.fire(Alert(content="x"))
        assert host.context.registry.filters["often"](Alert(content="x", times=expected))
        assert not host.context.registry.filters["often"](Alert(content="x", times=expected - 1))
        schema = status(host).settings
    assert isinstance(often.settings, Settings)
    assert often.settings.at_least == expected
    assert [one is often.settings for one in often.seen] == [True, True]
    assert schema == Settings.model_json_schema()
    assert json.dumps(schema)


def test_two_hosts_have_settings_of_their_own() -> None:
    one, other = Often(), Often()
    with (
        Host(told({"at_least": 1}), plugins={"often": one}) as first,
        Host(told({"at_least": 2}), plugins={"often": other}) as second,
    ):
        asked = [host.context.registry.filters["often"](Alert(content="x")) for host in (first, second)]
    assert asked == [True, False]


@pytest.mark.parametrize("reference", ["{env: OFTEN_TOKEN}", "{file: token}", TOKEN])
def test_a_secret_stands_in_the_environment_a_file_or_the_configuration_and_is_never_shown(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFTEN_TOKEN", TOKEN)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "hookplugin.yaml").write_text(f"plugins: {{settings: {{often: {{token: {reference}}}}}}}\n")
    often = Often()
    with Host.from_file(tmp_path / "hookplugin.yaml", plugins={"often": often}) as host:
        assert often.settings.token.get_secret_value() == TOKEN
        shown = f"{often.settings} {host.plugins} {host.config} {host.context} {host.config.model_dump_json()}"
    assert TOKEN not in shown


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("{at_leest: 5}", "at_leest: unknown key; did you mean 'at_least'?"),
        ("{at_least: often}", "at_least: should be a whole number"),
        ("{at_least: 0}", "at_least: should be at least 1"),
        ("{limits: [{mots: 5}]}", "limits[0].mots: unknown key; did you mean 'most'?"),
        ("{token: {env: NO_SUCH_VARIABLE}}", "token: the environment variable 'NO_SUCH_VARIABLE' is not set"),
        ("{token: {file: none}}", "token: cannot read "),
    ],
)
def test_wrong_settings_cost_that_plugin_and_are_told_with_file_and_line(
    settings: str, problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "hookplugin.yaml"
    file.write_text(f"plugins:\n  settings:\n    often: {settings}\n")
    other = Often()
    with Host.from_file(file, plugins={"often": Often(), "other": other}) as host:
        assert host.fire(Alert(content="x")).refused == ()
        found = status(host)
    assert found.state == "failed"
    assert found.reason
    assert found.reason.startswith(f"its settings are wrong: {file}:3: plugins.settings.often.{problem}")
    assert found.offers == ()
    assert len(other.seen) == 2
    assert caplog.messages == [
        f"the plugin 'often' is off: {found.reason}",
        *[message for message in caplog.messages if "alert_register" in message],
    ]


def test_a_plugin_that_is_required_must_have_right_settings() -> None:
    with pytest.raises(ConfigError) as caught:
        Host({"plugins": {"required": ["often"], "settings": {"often": {"at_leest": 1}}}}, plugins={"often": Often()})
    wrong = "configuration: plugins.settings.often.at_leest: unknown key; did you mean 'at_least'?"
    assert caught.value.problems == (
        wrong,
        f"configuration: plugins.required[0]: the plugin 'often' is off: its settings are wrong: {wrong}",
    )


def test_strict_raises_wrong_settings() -> None:
    with pytest.raises(ExceptionGroup, match="plugins failed in alert_register") as caught:
        Host(told({"at_leest": 1}), plugins={"often": Often()}, strict=True)
    assert [type(error) for error in caught.value.exceptions] == [hookspecs.SettingsError]


class Tolerant(BaseModel):
    """Keep what it does not know."""

    model_config = ConfigDict(extra="allow")
    at_least: int = 1


def test_a_model_may_say_itself_what_becomes_of_unknown_keys() -> None:
    often = Often()
    often.model = Tolerant
    with Host(told({"more": 1}), plugins={"often": often}, strict=True):
        pass
    assert often.settings.model_extra == {"more": 1}


@pytest.mark.parametrize("model", [dict, Settings(), "Settings", None])
def test_what_is_no_model_costs_the_plugin(model: Any) -> None:
    often = Often()
    often.model = model
    with Host({}, plugins={"often": often}) as host:
        reason = status(host).reason
    assert reason
    assert reason.startswith("alert_register failed: TypeError: settings are read by a pydantic model, a class; not by")


def test_there_is_one_model() -> None:
    class Twice:
        @hookimpl
        def alert_register(self, registry: Registry) -> None:
            registry.settings(Settings)
            registry.settings(Limits)

    with Host({}, plugins={"often": Twice()}) as host:
        assert status(host).reason == (
            "alert_register failed: TypeError: the settings have a model already; put both into one"
        )


def test_a_model_that_json_cannot_say_has_no_schema() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        at_least: int = 1
        act: Callable[[], None] | None = None

    often = Often()
    often.model = Odd
    with Host({}, plugins={"often": often}, strict=True) as host:
        assert status(host).settings is None


def test_plugins_of_a_programs_own_manager_read_their_settings_too() -> None:
    manager = pluggy.PluginManager("hookplugin")
    manager.add_hookspecs(hookspecs)
    often = Often()
    manager.register(often, name="often")
    context = prepare(manager, told({"at_least": 9}))
    assert often.settings.at_least == 9
    assert context.settings == {}


@pytest.mark.parametrize("hook", ["alert_register", "alert_configure", "alert_fired", "alert_shutdown"])
def test_no_failure_shows_a_secret_of_the_plugin(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    class Careless(Often):
        def fail(self) -> None:
            message = f"cannot log in with {self.settings.token.get_secret_value()}"
            raise RuntimeError(message)

        @hookimpl
        def alert_register(self, registry: Registry) -> None:
            super().alert_register(registry)
            if hook == "alert_register":
                self.fail()

        @hookimpl
        def alert_configure(self, context: Context) -> None:  # noqa: ARG002 - as the class above has it
            if hook == "alert_configure":
                self.fail()

        @hookimpl
        def alert_fired(self, context: Context) -> None:  # noqa: ARG002 - as the class above has it
            if hook == "alert_fired":
                self.fail()

        @hookimpl
        def alert_shutdown(self) -> None:
            if hook == "alert_shutdown":
                self.fail()

    with Host(told({"token": TOKEN}), plugins={"often": Careless()}) as host:
        receipt = host.fire(Alert(content="x"))
    said = f"{receipt} {host.plugins} {caplog.text}"
    assert "cannot log in with ***" in said
    assert TOKEN not in said


def test_no_message_about_wrong_settings_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    with Host(told({"token": f"{TOKEN} and a space", "at_least": 0}), plugins={"often": Often()}) as host:
        said = f"{host.plugins} {caplog.text}"
    assert "should be at least 1" in said
    assert TOKEN not in said

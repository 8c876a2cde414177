"""A plugin that quotes its own secrets, or those it was handed, wherever it fails: nobody is told."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from pytest_httpserver import HTTPServer
from stages import ALERTS, STAGES, Stage, World, function, hook, offer, status_of

from hookplugin import ConfigError, Host, PayloadError
from hookplugin.server.metrics import exposition

SECRET: Final = "s3cretT0ken/of+mine"
FORMS: Final = ("s3cretT0ken", quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode())
SETTINGS: Final = {"plugins": {"settings": {"mmm": {"token": {"env": "MMM_TOKEN"}}}}}
ONCE: Final = {"retry": {"max_age": "500ms"}}
"""What fails is dead at once, with what was said of it."""
READS: Final = """
from base64 import b64encode
from urllib.parse import quote
class Settings(BaseModel):
    token: Secret
own = []
def forms(secret):
    return f"401 for {secret}, {quote(secret, safe='')}, {b64encode(secret.encode()).decode()}"
"""
ERRORS: Final = ("LookupError", "ValueError", "ConnectionError", "SendError", "SystemExit")


@pytest.fixture
def world(install: Callable[..., None], httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MMM_TOKEN", SECRET)
    monkeypatch.setenv("HOOKPLUGIN_TRACE", "1")
    return World(install, httpserver)


def everything(world: World, host: Host, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> str:
    """Return what anybody may read of a host that has lived."""
    told: list[Any] = [host.plugins, host.context, host.config, world.receipts]
    told += [one.model_dump_json() for one in (*host.plugins, *world.receipts)]
    told += [host.wait(receipt, 0) for receipt in world.receipts]
    told += [host.explain(alert) for alert in ALERTS]
    told += [exposition(host).decode()]
    host.close()
    told += [host.plugins, caplog.text, [vars(record) for record in caplog.records], capfd.readouterr()]
    told += [request.get_data() for request, _ in world.server.log]
    return "\n".join(map(str, told))


def live(world: World, host: Host, stage: Stage) -> str:
    """Live through all of it; return what the host has raised."""
    try:
        world.live(host, stage)
    except PayloadError as error:
        return str(error)
    return ""


def reading(code: str) -> str:
    """Let a plugin read its settings first."""
    head = "def alert_register(registry):\n"
    if head not in code:
        code += hook("alert_register", "registry")
    return code.replace(head, f"{head}    own.append(registry.settings(Settings))\n")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", [name for name in STAGES if name != "import"])
def test_a_plugin_may_quote_its_own_secret_wherever_it_fails(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], name: str, error: str
) -> None:
    stage = STAGES[name]
    failing = function("fail", "*_", f"raise {error}(forms(own[0].token.get_secret_value()))")
    mine = None if stage.mine is None else {**stage.mine, **ONCE}
    given = Stage(reading(stage.code), stage.where, mine=mine, filters=stage.filters)
    host = world.host(given, READS + failing, **SETTINGS)
    raised = live(world, host, given)
    told = raised + everything(world, host, caplog, capfd)
    assert [form for form in FORMS if form in told] == []
    assert "401 for ***" in told


HANDED: Final = {
    "options": (
        "sender",
        "message.options.key.get_secret_value()",
        {"type": "mine", "options": {"key": {"env": "MMM_TOKEN"}}},
        ", Options",
    ),
    "a secret to sign with": (
        "signer",
        "message.secrets[0]",
        {"signer": "mine", "secret": {"env": "MMM_TOKEN"}},
        "",
    ),
    "a header": (
        "signer",
        "message.headers['Authorization']",
        {"signer": "mine", "auth": {"bearer": {"env": "MMM_TOKEN"}}},
        "",
    ),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("what", HANDED)
def test_a_plugin_may_quote_what_it_was_handed(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], what: str, error: str
) -> None:
    kind, secret, mine, options = HANDED[what]
    code = "class Options(BaseModel):\n    key: Secret\n"
    code += function("quoting", "message", f"raise {error}(forms({secret}))") + offer(kind, f"quoting{options}")
    stage = Stage(code, f"{kind} mine", mine={**mine, **ONCE})
    host = world.host(stage, READS)
    world.live(host, stage)
    told = everything(world, host, caplog, capfd)
    assert [form for form in FORMS if form in told] == []
    assert "401 for " in told
    assert "***" in told


CHECKS: Final = {
    "a field": "@field_validator('token')\n    @classmethod\n    def check(cls, token):\n        ",
    "the model": "@model_validator(mode='after')\n    def check(self):\n        token = self.token\n        ",
    "what comes after": "def model_post_init(self, _):\n        token = self.token\n        ",
}


def refusing(check: str, error: str) -> str:
    lines = f"class Settings(BaseModel):\n    token: Secret\n    {CHECKS[check]}"
    return READS + lines + f"raise {error}(forms(token.get_secret_value()))\n"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("error", ["ValueError", "LookupError"])
def test_a_model_of_settings_may_quote_the_secret_that_it_refuses(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], check: str, error: str
) -> None:
    host = world.host(Stage(reading(hook("alert_fired")), "settings"), refusing(check, error), **SETTINGS)
    assert status_of(host).state == "failed"
    told = everything(world, host, caplog, capfd)
    assert [form for form in FORMS if form in told] == []
    assert "401 for ***" in told


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("error", ["ValueError", "LookupError"])
def test_a_model_of_options_may_quote_the_secret_that_it_refuses(world: World, check: str, error: str) -> None:
    mine = {"type": "mine", "options": {"token": {"env": "MMM_TOKEN"}}}
    stage = Stage(offer("sender", "print, Settings"), "sender mine", mine=mine)
    with pytest.raises(ConfigError) as caught:
        world.host(stage, refusing(check, error))
    told = "".join(traceback.format_exception(caught.value))
    assert [form for form in FORMS if form in told] == []
    assert "401 for ***" in told


def test_a_secret_in_a_file_that_changes_is_not_told_either(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("an0therT0ken", encoding="utf-8")
    stage = STAGES["fired"]
    failing = function("fail", "*_", "raise LookupError(forms(own[0].token.get_secret_value()))")
    settings = {"plugins": {"settings": {"mmm": {"token": {"file": str(tmp_path / "token")}}}}}
    given = Stage(reading(stage.code), stage.where)
    host = world.host(given, READS + failing, **settings)
    host.fire(ALERTS[0])
    (tmp_path / "token").write_text(SECRET, encoding="utf-8")
    host.fire(ALERTS[1])
    told = everything(world, host, caplog, capfd)
    assert [form for form in (*FORMS, "an0therT0ken") if form in told] == []
    assert "401 for ***" in told


def test_a_default_that_is_a_secret_is_in_no_schema(world: World) -> None:
    model = "from pydantic import SecretStr\nclass Settings(BaseModel):\n    token: Secret = SecretStr('t0ken')\n"
    host = world.host(Stage(reading(hook("alert_fired")), ""), READS + model)
    schema = status_of(host).settings
    assert schema is not None
    assert schema["properties"]["token"]["writeOnly"] is True
    assert "t0ken" not in str(schema)
    host.close()

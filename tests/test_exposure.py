"""What a configuration leaves open is told at each start, and by check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import BaseModel

from hookplugin import Config, Host, Registry, Secret, hookimpl
from hookplugin.config import open_document
from hookplugin.exposure import exposures

SECRET = "S3CR3T-WORD"


@pytest.fixture
def warned(tmp_path: Path) -> Any:
    """Return what is told of a configuration file with one receiver and this mode."""

    def read(receiver: Mapping[str, Any], mode: int = 0o644) -> list[str]:
        path = tmp_path / "hookplugin.yaml"
        one = {"name": "ops", "url": "https://h/", **receiver}
        path.write_text(json.dumps({"receivers": [one]}), encoding="utf-8")
        path.chmod(mode)
        document = open_document(path)
        config = Config.model_validate(document.data, context={"directory": document.directory})
        return [line.replace(str(tmp_path), "") for line in document.locate(exposures(config, document, {}))]

    return read


PLAIN: list[dict[str, Any]] = [
    {"auth": {"bearer": SECRET}},
    {"auth": {"basic": {"username": "u", "password": SECRET}}},
    {"auth": {"oauth2": {"token_url": "https://h/", "client_id": "i", "client_secret": SECRET}}},
    {"secret": SECRET, "signer": "github"},
    {"vars": {"key": SECRET}},
    {"headers": {"Authorization": SECRET}},
    {"headers": {"X-Api-Key": SECRET}},
    {"proxy": f"http://user:{SECRET}@proxy:3128"},
]


@pytest.mark.parametrize("receiver", PLAIN)
def test_a_file_with_secrets_that_everybody_can_read_is_told(receiver: dict[str, Any], warned: Any) -> None:
    (line,) = warned(receiver)
    assert line == (
        "/hookplugin.yaml:1: everybody on this machine can read this file (mode 0644), and secrets of 'ops'"
    )
    for mode in (0o640, 0o600):
        assert warned(receiver, mode) == []


def test_without_secrets_everybody_may_read_it(warned: Any) -> None:
    assert warned({"headers": {"X-Team": "sre"}, "proxy": "http://proxy:3128"}) == []


def test_a_user_s_name_is_no_secret_of_the_file(warned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", SECRET)
    word = {"env": "WORD"}
    assert warned({"auth": {"basic": {"username": "ops", "password": word}}}) == []
    oauth2 = {"token_url": "https://h/", "client_id": "ops", "client_secret": word}
    assert warned({"auth": {"oauth2": oauth2}}) == []


def test_what_stands_elsewhere_is_no_secret_of_the_file(
    warned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    (tmp_path / "key").write_text(SECRET, encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    assert warned({"auth": {"bearer": {"env": "TOKEN"}}, "vars": {"key": {"file": "key"}}}) == []
    (tmp_path / "key").chmod(0o604)
    (line,) = warned({"vars": {"key": {"file": "key"}, "same": {"file": "key"}}})
    assert line == (
        "/hookplugin.yaml:1: receivers[0]: everybody on this machine can read the secret in '/key' (mode 0604); "
        "chmod o-r"
    )


def test_a_key_of_a_certificate_is_a_secret(warned: Any, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("us")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o600)
    tls = {"certificate": "cert.pem", "key": "key.pem"}
    assert warned({"tls": tls}) == []
    (tmp_path / "key.pem").chmod(0o644)
    (line,) = warned({"tls": tls})
    assert "the secret in '/key.pem' (mode 0644)" in line


def test_a_receiver_that_need_not_prove_who_it_is_is_told(warned: Any) -> None:
    (line,) = warned({"tls": {"verify": False}})
    assert line.startswith("/hookplugin.yaml:1: receivers[0].tls.verify: 'ops' need not prove who it is: anyone")


@pytest.mark.parametrize("times", [2])
def test_it_is_said_at_each_start_and_each_reload(times: int, caplog: pytest.LogCaptureFixture) -> None:
    config = {"receivers": [{"name": "ops", "url": "https://h/", "tls": {"verify": False}}]}
    for _ in range(times):
        with Host(config) as host:
            host.reload()
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "need not prove who it is" in line]) == 2 * times


class Settings(BaseModel):
    """Hold a secret of a plugin."""

    token: Secret


class Told:
    """A plugin with a secret."""

    @hookimpl
    def alert_register(self, registry: Registry) -> None:
        registry.settings(Settings)
        registry.sender("box", lambda _: None, Settings)


@pytest.mark.parametrize("where", ["settings", "options"])
def test_a_secret_that_a_plugin_is_told_is_one_of_the_file(
    where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret, path = {"token": SECRET}, tmp_path / "hookplugin.yaml"
    told = {"file": "key"}
    (tmp_path / "key").write_text(SECRET, encoding="utf-8")
    (tmp_path / "key").chmod(0o644)
    for one, expected in ((secret, "secrets of "), ({"token": told}, f"the secret in '{tmp_path}/key'")):
        settings = one if where == "settings" else {"token": {"env": "HOME"}}
        receiver = {"name": "ops", "type": "box", "options": one if where == "options" else {"token": {"env": "HOME"}}}
        path.write_text(json.dumps({"plugins": {"settings": {"told": settings}}, "receivers": [receiver]}))
        path.chmod(0o644)
        caplog.clear()
        with Host(path, plugins={"told": Told()}):
            pass
        assert expected + ("'told'" if where == "settings" else "'ops'") * (one is secret) in caplog.text

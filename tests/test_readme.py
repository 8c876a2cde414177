"""The README: every block is quoted from an example or executed, and what it says of the code is so."""

from __future__ import annotations

import base64
import inspect
import re
import runpy
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

import hookspecs
from hookplugin.cli import main as command_line
from hookplugin.delivery.signing import SignerChoice, scheme_of
from hookplugin.discovery import HOOKS
from hookplugin.document import read_document
from hookspecs import WireRequest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [path.read_text(encoding="utf-8") for path in (ROOT / "tests/examples").rglob("*") if path.is_file()]
SECRET, OTHER = (f"whsec_{base64.b64encode(bytes([byte] * 32)).decode()}" for byte in (1, 2))
SHELL = [text for language, text in BLOCKS if language == "bash"]


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language not in {"bash", ""}])
def test_a_block_is_quoted_from_an_example(text: str) -> None:
    assert text in EXAMPLES


def test_the_two_commands_of_the_beginning_are_those_that_ci_and_the_packaging_test_run() -> None:
    demo, tests, *_ = SHELL
    assert tests in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines(keepends=True)
    assert demo == "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/hookplugin demo\n"


def test_the_commands_for_operators_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alert.json").write_text((ROOT / "tests/examples/alert.json").read_text(encoding="utf-8"))
    exits = []
    for line in SHELL[2].splitlines():
        monkeypatch.setattr("sys.argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            command_line()
        exits.append(ended.value.code)
    assert exits == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]  # nobody listens at the address that `init` writes
    assert "Connection refused" in capsys.readouterr().out


def test_the_reference_of_the_configuration_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from hookplugin.assembly import assemble

    monkeypatch.setenv("OPS_TOKEN", "token")
    _, config = assemble(read_document(ROOT / "tests/examples/hookplugin.yaml"))
    assert [receiver.name for receiver in config.receivers] == ["ops", "night-shift"]
    assert config.receivers[0].timeout.connect == 3.0


def test_the_example_of_the_wire_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hookplugin.assembly import assemble

    authority = trustme.CA()
    certificate = authority.issue_cert("hookplugin")
    authority.cert_pem.write_to_path(str(tmp_path / "corporate.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "hookplugin.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "hookplugin.key"))
    for name in ("next.key", "ops.key"):
        (tmp_path / name).write_text(SECRET, encoding="utf-8")
    (tmp_path / "ops.url").write_text("https://hooks.example.com/S3CR3T", encoding="utf-8")
    (tmp_path / "partner.secret").write_text("S3CR3T", encoding="utf-8")
    for name in ("GIT_SECRET", "BOARD_SECRET"):
        monkeypatch.setenv(name, "S3CR3T")
    file = shutil.copy(ROOT / "tests/examples/wire.yaml", tmp_path)
    _, config = assemble(read_document(Path(file)))
    assert [receiver.signer.name for receiver in config.receivers] == ["standard", "github", "grafana", "standard"]
    assert config.network.private == "deny"


def test_the_example_of_a_receiver_knows_our_requests() -> None:
    scope = runpy.run_path(str(ROOT / "tests/examples/receiver.py"))
    headers = {"webhook-id": "a", "webhook-timestamp": str(int(time.time()))}
    request = WireRequest("a", int(headers["webhook-timestamp"]), "POST", "/", {}, b"{}", (OTHER, SECRET))
    scheme = scheme_of(SignerChoice())
    assert scheme
    headers |= scheme.sign(request).headers
    assert scope["is_ours"](headers, b"{}", SECRET)
    assert not scope["is_ours"](headers, b"{ }", SECRET)
    assert not scope["is_ours"]({**headers, "webhook-timestamp": "1"}, b"{}", SECRET)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_stands_with_its_exact_signature(name: str) -> None:
    signature = str(inspect.signature(getattr(hookspecs, name))).replace("'", "").replace("|", r"\|")
    assert f"| `{name}{signature}` |" in README


@pytest.mark.parametrize("kind", ["source", "filter", "renderer", "signer", "sender"])
def test_what_a_plugin_can_offer_stands_with_its_exact_signature(kind: str) -> None:
    assert f"| `registry.{kind}{signature_of(getattr(hookspecs.Registry, kind))}` |" in README


def test_how_a_plugin_reads_its_settings_stands_with_its_exact_signature() -> None:
    assert f"`registry.settings{signature_of(hookspecs.Registry.settings)}`" in README


def signature_of(method: Callable[..., object]) -> str:
    signature = inspect.signature(method)
    mine = signature.replace(parameters=[one for one in signature.parameters.values() if one.name != "self"])
    return str(mine).replace("'", "").replace("|", r"\|")

"""`hookplugin verify`: what people who write receivers check a request with that they have got."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import faults
import pytest
from faults import receiving
from hypothesis import example, given
from hypothesis import strategies as st

from hookplugin.cli.options import CommandError
from hookplugin.cli.verify import parse_request
from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookplugin.delivery.signing import SignerChoice
from hookplugin.delivery.verification import verify
from hookspecs import Body

Run = Callable[..., subprocess.CompletedProcess[str]]
SECRET, NEXT = (f"whsec_{base64.b64encode(bytes([byte] * 24)).decode()}" for byte in (1, 2))
BODY = b'{"text": "a\\nb"}'
LINES = st.lists(st.from_regex(rb"[a-z-]{0,9}:?[ -~]{0,9}", fullmatch=True)).map(b"\r\n".join)
RECEIVERS: dict[str, dict[str, Any]] = {
    "ops": {"secret": [{"file": "next.key"}, {"file": "ops.key"}]},
    "git": {"secret": "a word", "signer": "github"},
    "board": {"secret": "a word", "signer": {"name": "grafana", "timestamp_header": "X-Time"}},
    "robot": {"secret": "SECa", "signer": "dingtalk"},
    "bot": {"secret": "a word", "signer": "feishu"},
    "open": {},
}


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path) -> None:
    (tmp_path / "ops.key").write_text(f"{SECRET}\n", encoding="utf-8")
    (tmp_path / "next.key").write_text(f"{NEXT}\n", encoding="utf-8")
    receivers = [{"name": name, "url": "https://h/", **more} for name, more in RECEIVERS.items()]
    (tmp_path / "hookplugin.yaml").write_text(json.dumps({"receivers": receivers}), encoding="utf-8")


@pytest.fixture
def captured(tmp_path: Path) -> Callable[[str], bytes]:
    """Send to a receiver as it is configured, and return what was on the wire."""

    def capture(name: str) -> bytes:
        with receiving(faults.answers(faults.OK)) as receiver:
            said = {"name": name, "url": f"http://127.0.0.1:{receiver.port}/hook", **RECEIVERS[name]}
            to = Receiver.model_validate(said, context={"directory": tmp_path})
            outcome = Sender(to, Sessions(Guard(ANYWHERE))).send("msg_1", Body(content=BODY), {}).outcome
        assert outcome.state == "delivered"
        (peer,) = receiver.peers
        return peer.head + b"\r\n" + peer.body

    return capture


@example(b"POST / HTTP/1.1\ncontent-length: " + b"9" * 5000 + b"\nwebhook-timestamp: " + b"9" * 5000 + b"\n\n{}")
@given(
    st.binary() | st.builds(lambda head, body: b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n" + body, LINES, st.binary())
)
def test_anything_is_a_request_or_is_told_to_be_none(raw: bytes) -> None:
    with suppress(CommandError):
        found = parse_request(raw, (SECRET,))
        assert verify(found, SignerChoice(), {}).secret is None


@pytest.mark.parametrize("name", [name for name, more in RECEIVERS.items() if more])
def test_what_we_send_is_signed_as_the_receiver_is_configured(
    name: str, run: Run, captured: Callable[[str], bytes]
) -> None:
    done = run("verify", "--receiver", name, stdin=captured(name))
    assert (done.returncode, done.stderr) == (0, "")
    number = " number 1" if name == "ops" else ""
    signer = {"ops": "standard", "git": "github", "board": "grafana", "robot": "dingtalk", "bot": "feishu"}[name]
    assert done.stdout == f"✓ signed with the secret{number}, as {signer} signs\n"


def test_a_file_with_the_secret_is_enough(run: Run, captured: Callable[[str], bytes], tmp_path: Path) -> None:
    (tmp_path / "request").write_bytes(captured("ops"))
    (tmp_path / "hookplugin.yaml").unlink()
    for key in ("ops.key", "next.key"):
        done = run("verify", "request", "--secret-file", key)
        assert (done.returncode, done.stdout) == (0, "✓ signed with the secret, as standard signs\n")


def test_what_was_saved_with_other_line_ends_between_the_headers_is_read(
    run: Run, captured: Callable[[str], bytes]
) -> None:
    request = captured("ops").replace(b"\r\n", b"\n") + b"\n"
    assert run("verify", "--receiver", "ops", stdin=request).returncode == 0


def test_an_old_request_is_told_to_be_old(run: Run, tmp_path: Path) -> None:
    """Be the vector of the Standard Webhooks repository, of 2021."""
    (tmp_path / "its.key").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", encoding="utf-8")
    request = (
        b"POST /hook HTTP/1.1\r\nwebhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n"
        b"webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n\r\n" + b'{"test": 2432232314}'
    )
    done = run("verify", "--secret-file", "its.key", stdin=request)
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first == "✓ signed with the secret, as standard signs"
    assert second.startswith("it was sent ")
    assert second.endswith(" ago; a receiver refuses more than 5m")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.replace(b"a\\n", b"c\\n"), "it is of another body, id, time or secret"),
        (lambda raw: raw.replace(b"msg_1", b"msg_2"), "it is of another body, id, time or secret"),
        (lambda raw: raw.replace(b"v1,", b"v1,AA"), "it is of another body, id, time or secret"),
        (lambda raw: raw.replace(b"webhook-signature", b"x-other"), "there is none"),
        (
            lambda raw: raw.replace(b"Content-Length: ", b"X-Length: ") + b"\n",
            "of the body without the line end behind it",
        ),
    ],
)
def test_a_request_that_was_changed_is_told_why(
    change: Callable[[bytes], bytes], words: str, run: Run, captured: Callable[[str], bytes]
) -> None:
    raw = change(captured("ops"))
    done = run("verify", "--receiver", "ops", stdin=raw)
    assert done.returncode == 1
    assert done.stdout.startswith("✗ the signature is not right: ")
    assert words in done.stdout
    said = json.loads(run("verify", "--receiver", "ops", "--json", stdin=raw).stdout)
    assert (said["ok"], said["secret"], said["signer"]) == (False, None, "standard")
    assert words in said["reason"]


def test_json_says_which_secret(run: Run, captured: Callable[[str], bytes]) -> None:
    said = json.loads(run("verify", "--receiver", "ops", "--json", stdin=captured("ops")).stdout)
    assert said.pop("timestamp") > 1_700_000_000
    assert said == {"ok": True, "secret": 0, "reason": None, "signer": "standard"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ([], b"", "name either a --receiver of the configuration, or a --secret-file"),
        (["--receiver", "ops", "--secret-file", "ops.key"], b"", "name either a --receiver"),
        (["--receiver", "opps"], b"", "unknown receiver 'opps'; did you mean 'ops'?"),
        (["--receiver", "open"], b"", "requests to 'open' are not signed; write secret: {file: PATH}"),
        (["--secret-file", "missing.key"], b"", "missing.key: cannot read"),
        (["--secret-file", "hookplugin.yaml"], b"", "hookplugin.yaml: is not base64"),
        (["--secret-file", "ops.key", "--signer", "gihub"], b"", "unknown signer 'gihub'; did you mean 'github'?"),
        (["--receiver", "ops"], b"", "this is no request: it should begin like `POST /path HTTP/1.1`"),
        (["--receiver", "ops"], BODY, "this is no request: it should begin like `POST /path HTTP/1.1`"),
        (["--receiver", "ops"], b"POST / HTTP/1.1\r\nnonsense\r\n\r\n", "this is no request"),
        (["--receiver", "ops"], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", "is not whole: 2 of 9 bytes"),
        (["--receiver", "ops"], b"\xff\xfe\0", "this is no request"),
        (["--receiver", "ops"], b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", "0 of 9999999 bytes"),
    ],
)
def test_what_cannot_be_checked_is_told(arguments: list[str], stdin: bytes, words: str, run: Run) -> None:
    done = run("verify", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert SECRET not in done.stderr

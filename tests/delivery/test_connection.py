"""Whatever a receiver does on the wire, an attempt ends in time, with a reason, and tells no secret."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import faults
import pytest
import trustme
from faults import receiving

from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender, Sessions
from hookspecs import Body, Outcome, Reason

SECRETS = ("T0P-S3CR3T-PATH", "T0P-S3CR3T-QUERY", "T0P-S3CR3T-TOKEN")
TOTAL = 0.6
SMALL = Body(content=b"{}")

Server: TypeAlias = "tuple[str, ssl.SSLContext | None]"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, authority: trustme.CA, trusted: None) -> Server:
    """Be a scheme, and what a receiver needs for it."""
    del trusted
    return request.param, context(authority.issue_cert("127.0.0.1")) if request.param == "https" else None


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    return server


def attempt(scheme: str, port: int, body: Body = SMALL, **timeout: float) -> Outcome:
    """Make one attempt, and check what holds for every one of them."""
    path, query, token = SECRETS
    timeout = {"connect": 0.3, "read": 0.3, "total": TOTAL, **timeout}
    receiver = Receiver.model_validate({
        "name": "r",
        "url": f"{scheme}://127.0.0.1:{port}/hooks/{path}?key={query}",
        "auth": {"bearer": token},
        "timeout": timeout,
    })  # fmt: skip
    sender = Sender(receiver, Sessions(tls=receiver.is_https))
    started = time.monotonic()
    outcome = sender.send("id-1", body, {}).outcome
    assert time.monotonic() - started <= timeout["total"] + 0.5
    assert not [secret for secret in SECRETS if secret in outcome.model_dump_json()]
    return outcome


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(script, reason, id=name)
        for scripts, reason in (
            (faults.UNFINISHED, Reason.timeout),
            (faults.BROKEN, Reason.connection),
            (faults.NOT_HTTP, Reason.invalid_answer),
            (faults.ODD_REDIRECTS, Reason.redirect),
        )
        for name, script in scripts.items()
    ],
)
def test_a_fault_ends_in_time_with_its_reason(script: faults.Script, reason: Reason, server: Server) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port)
    assert (outcome.state, outcome.reason) == ("dead", reason)


@pytest.mark.parametrize("script", faults.ODD_BODIES.values(), ids=faults.ODD_BODIES)
def test_complete_headers_are_enough_and_a_body_is_never_awaited_nor_decompressed(
    script: faults.Script, server: Server
) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port)
    assert (outcome.state, outcome.status) == ("delivered", 200)
    assert "boom" not in outcome.detail
    assert len(outcome.detail) <= 200


def test_a_receiver_that_does_not_read_a_large_body_is_a_timeout(server: Server) -> None:
    scheme, tls = server
    with receiving(faults.silent, tls) as receiver:
        outcome = attempt(scheme, receiver.port, Body(content=b"x" * 5_000_000))
    assert outcome.reason is Reason.timeout


def test_a_closed_port_is_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = attempt("http", port)
    assert (outcome.reason, outcome.detail) == (Reason.connection, "Connection refused")


def test_a_name_that_nobody_knows_is_a_failed_connection() -> None:
    receiver = Receiver.model_validate({"name": "r", "url": "http://nobody.invalid/T0P-S3CR3T"})
    outcome = Sender(receiver, Sessions(tls=False)).send("id-1", SMALL, {}).outcome
    assert (outcome.reason, outcome.detail) == (Reason.connection, "the name of the host is not known")


def test_a_stalled_handshake_is_a_timeout() -> None:
    with receiving(faults.silent) as receiver:
        assert attempt("https", receiver.port).reason is Reason.timeout


def test_a_connection_that_takes_long_leaves_less_time_to_the_handshake(stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    port = listener.getsockname()[1]
    waiting = [stack.enter_context(socket.socket()) for _ in range(3)]  # they fill the queue of the listener
    for other in waiting:
        other.settimeout(0)
        other.connect_ex(("127.0.0.1", port))
    accepted: list[socket.socket] = []

    def make_room() -> None:
        accepted.extend(stack.enter_context(listener.accept()[0]) for _ in waiting)

    later = threading.Timer(0.2, make_room)  # the kernel asks again after a second
    later.start()
    outcome = attempt("https", port, connect=1.2, read=1.2, total=1.2)
    later.join()
    assert accepted
    assert outcome.reason is Reason.timeout


def test_a_receiver_without_tls_fails_the_handshake() -> None:
    with receiving(lambda peer: peer.for_ever(faults.OK)) as receiver:
        assert attempt("https", receiver.port).reason is Reason.tls


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_certificate_of_a_trusted_authority_works(scheme: str, authority: trustme.CA) -> None:
    with receiving(faults.answers(faults.OK), context(authority.issue_cert("127.0.0.1"))) as receiver:
        outcome = attempt(scheme, receiver.port)
    assert (outcome.state, outcome.detail) == ("delivered", "ok")


@pytest.mark.usefixtures("trusted")
def test_the_total_time_also_bounds_a_scheme_in_capitals(authority: trustme.CA) -> None:
    script = faults.UNFINISHED["trickled headers"]
    with receiving(script, context(authority.issue_cert("127.0.0.1"))) as receiver:
        assert attempt("HTTPS", receiver.port).reason is Reason.timeout


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("issue", "words"),
    [
        pytest.param(lambda _: trustme.CA().issue_cert("127.0.0.1"), "issuer", id="unknown authority"),
        pytest.param(lambda ca: ca.issue_cert("127.0.0.9"), "mismatch", id="another host"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted_stops_the_attempt(
    issue: Callable[[trustme.CA], trustme.LeafCert], words: str, authority: trustme.CA
) -> None:
    with receiving(faults.answers(faults.OK), context(issue(authority))) as receiver:
        outcome = attempt("https", receiver.port)
    assert outcome.reason is Reason.tls
    assert "the certificate is not to be trusted" in outcome.detail
    assert words in outcome.detail
    assert not receiver.peers


@pytest.mark.usefixtures("trusted")
def test_old_tls_is_refused(authority: trustme.CA) -> None:
    server = context(authority.issue_cert("127.0.0.1"))
    server.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    with receiving(faults.answers(faults.OK), server) as receiver:
        assert attempt("https", receiver.port).reason is Reason.tls

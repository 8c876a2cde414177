"""Whatever a receiver does on the wire, an attempt ends in time, with a reason, and tells no secret."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import faults
import pytest
import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from faults import Peer, Script, receiving
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookspecs import Body, Outcome, Reason

SECRETS = ("T0P-S3CR3T-PATH", "T0P-S3CR3T-QUERY", "T0P-S3CR3T-TOKEN")
TOTAL = 0.6
SMALL = Body(content=b"{}")
LARGE = Body(content=b"x" * 8_000_000)
"""More than the kernel holds on the way between two sockets."""
MOST_ON_THE_WAY = 12_000_000
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

NOW = datetime.now(UTC)
DAY = timedelta(days=1)

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


def self_signed() -> trustme.LeafCert:
    """Return what an authority says of itself."""
    authority = trustme.CA()
    return trustme.LeafCert(authority.private_key_pem.bytes(), authority.cert_pem.bytes(), [])


def attempt(
    scheme: str, port: int, body: Body = SMALL, settings: dict[str, Any] | None = None, **timeout: float
) -> Outcome:
    """Make one attempt, and check what holds for every one of them."""
    path, query, token = SECRETS
    timeout = {"connect": 0.3, "read": 0.3, "total": TOTAL, **timeout}
    receiver = Receiver.model_validate({
        "name": "r",
        "url": f"{scheme}://127.0.0.1:{port}/hooks/{path}?key={query}",
        "auth": {"bearer": token},
        "timeout": timeout,
        **(settings or {}),
    })  # fmt: skip
    tls = receiver.tls if receiver.may_need_tls else None
    sender = Sender(receiver, Sessions(Guard(ANYWHERE), tls, receiver.proxy))
    with faults.little_memory():
        started = time.monotonic()
        outcome = sender.send("id-1", body, {}).outcome
    assert time.monotonic() - started <= timeout["total"] + 0.5
    assert not [secret for secret in SECRETS if secret in outcome.model_dump_json()]
    return outcome


def each(*kinds: tuple[dict[str, Script], Reason]) -> list[Any]:
    """Return every fault of these kinds, with the reason that its kind has."""
    return [pytest.param(script, reason, id=name) for scripts, reason in kinds for name, script in scripts.items()]


@pytest.mark.parametrize(
    ("script", "reason"),
    each(
        (faults.UNFINISHED, Reason.timeout),
        (faults.BROKEN, Reason.connection),
        (faults.NOT_HTTP, Reason.invalid_answer),
        (faults.ODD_REDIRECTS, Reason.redirect),
    ),
)
def test_a_fault_ends_in_time_with_its_reason(script: Script, reason: Reason, server: Server) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port)
    assert (outcome.state, outcome.reason) == ("dead", reason)


@pytest.mark.parametrize("script", faults.ODD_BODIES.values(), ids=faults.ODD_BODIES)
def test_complete_headers_are_enough_and_a_body_is_never_awaited_nor_decompressed(
    script: Script, server: Server
) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port)
    assert (outcome.state, outcome.status) == ("delivered", 200)
    assert "boom" not in outcome.detail
    assert len(outcome.detail) <= 200


@given(content=st.binary(max_size=2000), is_chunked=st.booleans())
def test_whatever_bytes_follow_complete_headers_it_is_delivered(content: bytes, *, is_chunked: bool) -> None:
    answer = faults.chunked(content) if is_chunked else b"HTTP/1.1 200 OK\r\n\r\n" + content
    with receiving(faults.answers(answer)) as receiver:
        outcome = attempt("http", receiver.port)
    assert (outcome.state, outcome.status) == ("delivered", 200)


@pytest.mark.parametrize(
    ("script", "reason", "status"),
    [
        pytest.param(faults.silent, Reason.timeout, None, id="does not read"),
        pytest.param(Peer.sip, Reason.timeout, None, id="reads slowly"),
        pytest.param(lambda peer: peer.sip(once=True).reset(), Reason.connection, None, id="resets while it reads"),
        pytest.param(lambda peer: peer.sip(once=True), Reason.connection, None, id="closes while it reads"),
        pytest.param(lambda peer: peer.send(TOO_LARGE).wait(), Reason.timeout, None, id="answers and does not read"),
        pytest.param(lambda peer: peer.send(TOO_LARGE), Reason.client_error, 413, id="answers before it reads"),
        pytest.param(
            lambda peer: peer.sip(once=True).send(TOO_LARGE), Reason.client_error, 413, id="answers while it reads"
        ),
    ],
)
def test_a_large_body_that_is_not_read_to_its_end_ends_in_time(
    script: Script, reason: Reason, status: int | None, server: Server
) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port, LARGE)
    assert (outcome.reason, outcome.status) == (reason, status)


@pytest.mark.parametrize("script", faults.GREEDY.values(), ids=faults.GREEDY)
def test_what_is_read_for_one_attempt_is_bounded(script: Script, server: Server) -> None:
    scheme, tls = server
    with receiving(script, tls) as receiver:
        outcome = attempt(scheme, receiver.port)
        assert receiver.peers[0].sent < MOST_ON_THE_WAY
    assert outcome.reason in {None, Reason.invalid_answer}


def test_a_closed_port_is_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = attempt("http", port)
    assert (outcome.reason, outcome.detail) == (Reason.connection, "Connection refused")


def test_a_name_that_nobody_knows_is_a_failed_connection() -> None:
    receiver = Receiver.model_validate({"name": "r", "url": "http://nobody.invalid/T0P-S3CR3T"})
    outcome = Sender(receiver, Sessions(Guard(ANYWHERE))).send("id-1", SMALL, {}).outcome
    assert (outcome.reason, outcome.detail) == (Reason.connection, "the name of the host is not known")


@pytest.mark.parametrize(
    ("script", "reason"),
    each(
        (faults.UNFINISHED_HANDSHAKES, Reason.timeout),
        (faults.BROKEN_HANDSHAKES, Reason.connection),
        (faults.NO_HANDSHAKES, Reason.tls),
    ),
)
def test_a_handshake_that_fails_ends_in_time_with_its_reason(script: Script, reason: Reason) -> None:
    with receiving(script) as receiver:
        outcome = attempt("https", receiver.port)
    assert (outcome.state, outcome.reason) == ("dead", reason)


def test_a_handshake_that_is_kept_busy_ends_in_time() -> None:
    with receiving(faults.floods_handshake) as receiver:
        outcome = attempt("https", receiver.port)
    assert outcome.reason in {Reason.timeout, Reason.invalid_answer}


def expand(secret: bytes, label: bytes, size: int) -> bytes:
    """Derive what belongs to a secret (RFC 8446, 7.1)."""
    label = b"tls13 " + label
    return HKDFExpand(SHA384(), size, b"\0%c%c%b\0" % (size, len(label), label)).derive(secret)


@pytest.mark.usefixtures("trusted")
def test_session_tickets_without_end_are_no_answer(authority: trustme.CA, tmp_path: Path) -> None:
    server = context(authority.issue_cert("127.0.0.1"))
    server.num_tickets = 0
    server.keylog_filename = str(tmp_path / "keys")
    tickets = (b"\4\0\0\x0e" + bytes(4 + 4 + 1) + b"\0\1t" + bytes(2)) * 900 + b"\x16"  # RFC 8446, 4.6.1
    head = b"\x17\3\3" + (len(tickets) + 16).to_bytes(2, "big")

    def floods(peer: Peer) -> None:
        """Encrypt by hand: OpenSSL writes no more tickets than it is asked for before."""
        peer.read()
        lines = (tmp_path / "keys").read_text(encoding="ascii").splitlines()
        secret = bytes.fromhex(next(line.split()[2] for line in lines if line.startswith("SERVER_TRAFFIC_SECRET_0 ")))
        key, start = AESGCM(expand(secret, b"key", 32)), int.from_bytes(expand(secret, b"iv", 12), "big")
        peer.connection.settimeout(None)
        ends = time.monotonic() + 2
        for number in itertools.takewhile(lambda _: time.monotonic() < ends, itertools.count()):
            peer.send_raw(head + key.encrypt((start ^ number).to_bytes(12, "big"), tickets, head))

    with receiving(floods, server) as receiver:
        outcome = attempt("https", receiver.port)
    assert outcome.reason in {Reason.timeout, Reason.invalid_answer}


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(lambda peer: peer.read().send_raw(b"\0\xff" * 99), Reason.tls, id="garbage"),
        pytest.param(lambda peer: peer.read().send_raw(b"\x17\3\3\0\x20" + bytes(32)), Reason.tls, id="forged"),
        pytest.param(lambda peer: peer.read().connection.unwrap(), Reason.connection, id="closed by TLS"),
    ],
)
def test_a_connection_whose_tls_breaks_has_its_reason(script: Script, reason: Reason, authority: trustme.CA) -> None:
    with receiving(script, context(authority.issue_cert("127.0.0.1"))) as receiver:
        assert attempt("https", receiver.port).reason is reason


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("size", [0, 2, 16_384])
def test_one_connection_of_tls_serves_many_requests(size: int, version: str, authority: trustme.CA) -> None:
    server = context(authority.issue_cert("127.0.0.1"))
    server.maximum_version = ssl.TLSVersion[version]
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    with receiving(faults.keeps_answering(answer), server) as receiver:
        settings = Receiver.model_validate({"name": "r", "url": f"https://127.0.0.1:{receiver.port}/"})
        to = Sender(settings, Sessions(Guard(ANYWHERE), settings.tls))
        assert [to.send(str(number), SMALL, {}).outcome.status for number in range(5)] == [200] * 5
        assert len(receiver.peers) == 1


@pytest.mark.usefixtures("trusted")
def test_what_is_said_beyond_an_answer_is_not_the_next_one(authority: trustme.CA) -> None:
    record = faults.OK.ljust(8192, b"x") + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"  # http.client reads 8192
    with receiving(faults.keeps_answering(record), context(authority.issue_cert("127.0.0.1"))) as receiver:
        settings = Receiver.model_validate({"name": "r", "url": f"https://127.0.0.1:{receiver.port}/"})
        to = Sender(settings, Sessions(Guard(ANYWHERE), settings.tls))
        assert [to.send(str(number), SMALL, {}).outcome.status for number in range(3)] == [200] * 3


def test_a_receiver_of_tls_does_not_understand_plain_http(authority: trustme.CA) -> None:
    with receiving(faults.answers(faults.OK), context(authority.issue_cert("127.0.0.1"))) as receiver:
        assert attempt("http", receiver.port).reason is Reason.connection


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


@pytest.mark.usefixtures("trusted")
def test_a_proxy_that_takes_long_leaves_less_time_to_the_handshake() -> None:
    def takes_long(peer: Peer) -> None:
        peer.read()
        peer.over.wait(0.9)
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n").wait()

    with receiving(takes_long) as proxy:
        settings = {"proxy": f"http://127.0.0.1:{proxy.port}"}
        outcome = attempt("https", proxy.port, settings=settings, connect=1.0, read=1.0, total=1.0)
    assert outcome.reason is Reason.timeout


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
        pytest.param(lambda ca: ca.issue_cert("localhost"), "mismatch", id="a name of the host"),
        pytest.param(
            lambda ca: ca.issue_cert("127.0.0.1", not_before=NOW - 2 * DAY, not_after=NOW - DAY),
            "expired",
            id="expired",
        ),
        pytest.param(
            lambda ca: ca.issue_cert("127.0.0.1", not_before=NOW + DAY, not_after=NOW + 2 * DAY),
            "not yet valid",
            id="of tomorrow",
        ),
        pytest.param(lambda _: self_signed(), "self-signed", id="self-signed"),
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
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused(version: str, authority: trustme.CA) -> None:
    server, old = context(authority.issue_cert("127.0.0.1")), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with receiving(faults.keeps_answering(faults.OK), server) as receiver:
        for side in (server, old):
            with pytest.warns(DeprecationWarning, match=version):
                side.minimum_version = side.maximum_version = ssl.TLSVersion[version]
            side.set_ciphers("ALL:@SECLEVEL=0")
        try:
            with socket.create_connection(("127.0.0.1", receiver.port)) as plain, old.wrap_socket(plain) as secured:
                assert secured.version() == version.replace("_", ".")
        except ssl.SSLError as error:
            pytest.skip(f"OpenSSL here has no {version}: {error.reason}")
        outcome = attempt("https", receiver.port)
    assert outcome.reason is Reason.tls
    assert "the TLS handshake failed" in outcome.detail


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("whose", ["nobody", "a stranger", "ours"])
def test_a_receiver_may_want_to_know_who_we_are(
    whose: str, version: str, authority: trustme.CA, tmp_path: Path
) -> None:
    server = context(authority.issue_cert("127.0.0.1"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion[version]
    authority.configure_trust(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = {"ca": str(tmp_path / "ca.pem")}
    if whose != "nobody":
        certificate = (authority if whose == "ours" else trustme.CA()).issue_cert("hookplugin")
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
        certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        tls |= {"certificate": str(tmp_path / "certificate.pem"), "key": str(tmp_path / "key.pem")}
    with receiving(faults.answers(faults.OK), server) as receiver:
        outcome = attempt("https", receiver.port, settings={"tls": tls})
    assert (outcome.state, outcome.reason) == (("delivered", None) if whose == "ours" else ("dead", Reason.tls))

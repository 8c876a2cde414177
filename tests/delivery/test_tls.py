"""TLS settings: what is trusted, who we are, what is refused at load, and files that change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from faults import receiving
from pydantic import ValidationError

from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookplugin.delivery.tls import Tls, make_context
from hookspecs import Body, Outcome, Reason

BODY = Body(content=b"{}")


@pytest.fixture(scope="module")
def ours() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, ours: trustme.CA) -> Path:
    """Hold our authority, a certificate of it for us, and the key; a foreign authority and key, too."""
    client, foreign = ours.issue_cert("hookplugin"), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    foreign.cert_pem.write_to_path(str(tmp_path / "foreign.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    foreign.issue_cert("x").private_key_pem.write_to_path(str(tmp_path / "foreign.key"))
    key = load_pem_private_key(client.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "text.pem").write_text("no certificate", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    return tmp_path


def serving(authority: trustme.CA, name: str = "127.0.0.1", *, wants: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if wants:
        wants.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def sender(port: int, files: Path, **tls: Any) -> Sender:
    settings = {"name": "r", "url": f"https://127.0.0.1:{port}/", "tls": tls, "timeout": {"total": "5s"}}
    receiver = Receiver.model_validate(settings, context={"directory": files})
    return Sender(receiver, Sessions(Guard(ANYWHERE), receiver.tls))


def sent(context: ssl.SSLContext, files: Path, **tls: Any) -> Outcome:
    with receiving(faults.answers(faults.OK), context) as receiver:
        return sender(receiver.port, files, **tls).send("id", BODY, {}).outcome


def refusal(files: Path, **tls: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Tls.model_validate(tls, context={"directory": files})
    return str(caught.value).replace(str(files), "")


def test_a_ca_of_ones_own_is_trusted_and_without_it_nobody_knows_it(files: Path, ours: trustme.CA) -> None:
    assert sent(serving(ours), files, ca="ca.pem").state == "delivered"
    outcome = sent(serving(ours), files)
    assert (outcome.reason, outcome.detail) == (
        Reason.tls,
        "the certificate is not to be trusted: unable to get local issuer certificate",
    )


def test_a_ca_of_ones_own_is_the_only_one_that_is_trusted(files: Path, ours: trustme.CA) -> None:
    assert sent(serving(ours), files, ca="foreign.pem").reason is Reason.tls
    tls = Tls.model_validate({"ca": "ca.pem"}, context={"directory": files})
    assert len(make_context(tls).get_ca_certs()) == 1
    assert len(make_context(Tls()).get_ca_certs()) > 50


def test_a_certificate_is_of_the_host_that_is_asked(files: Path, ours: trustme.CA) -> None:
    outcome = sent(serving(ours, "hooks.example.com"), files, ca="ca.pem")
    assert outcome.reason is Reason.tls
    assert "IP address mismatch" in outcome.detail


@pytest.mark.parametrize("tls", [{"certificate": "cert.pem", "key": "key.pem"}, {"certificate": "both.pem"}])
def test_we_show_our_certificate_to_who_wants_it(tls: dict[str, str], files: Path, ours: trustme.CA) -> None:
    assert sent(serving(ours, wants=ours), files, ca="ca.pem", **tls).state == "delivered"


def test_without_a_certificate_who_wants_one_refuses_us(files: Path, ours: trustme.CA) -> None:
    outcome = sent(serving(ours, wants=ours), files, ca="ca.pem")
    assert (outcome.state, outcome.reason) == ("dead", Reason.tls)


def test_verify_false_takes_any_certificate_without_a_warning_for_each(files: Path) -> None:
    """Warnings are errors here: that of urllib3 would fail the attempt."""
    assert sent(serving(trustme.CA(), "elsewhere"), files, verify=False).state == "delivered"


def test_a_connection_is_as_new_as_tls_1_2(files: Path, ours: trustme.CA) -> None:
    for tls in (Tls(), Tls(verify=False), Tls.model_validate({"ca": "ca.pem"}, context={"directory": files})):
        assert make_context(tls).minimum_version is ssl.TLSVersion.TLSv1_2
    context = serving(ours)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert sent(context, files, ca="ca.pem").state == "delivered"


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"ca": "missing.pem"}, "cannot read '/missing.pem': No such file or directory"),
        ({"ca": "folder"}, "cannot read '/folder': Is a directory"),
        ({"ca": "text.pem"}, "ca: '/text.pem' holds no certificate in PEM"),
        ({"ca": "key.pem"}, "ca: '/key.pem' holds no certificate in PEM"),
        ({"certificate": "cert.pem"}, "certificate: '/cert.pem' should be a certificate and its key, in PEM"),
        ({"certificate": "text.pem"}, "certificate: '/text.pem' should be a certificate and its key, in PEM"),
        (
            {"certificate": "cert.pem", "key": "foreign.key"},
            "certificate: '/cert.pem' and '/foreign.key' do not belong together",
        ),
        ({"certificate": "cert.pem", "key": "locked.pem"}, "key: '/locked.pem' is encrypted; `openssl pkey` writes it"),
        ({"key": "key.pem"}, "key needs a certificate beside it"),
        ({"ca": "ca.pem", "verify": False}, "ca is of no use with verify: false; remove one"),
        ({"verify": "perhaps"}, "valid boolean"),
        ({"certificat": "cert.pem"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_used_is_refused_at_load(tls: dict[str, Any], words: str, files: Path) -> None:
    assert words in refusal(files, **tls)


Change = Callable[[Path, trustme.CA], object]


def replace_ca(files: Path, new: trustme.CA) -> None:
    new.cert_pem.write_to_path(str(files / "ca.pem"))


def test_an_authority_that_is_replaced_is_trusted_from_the_next_request_on(files: Path, ours: trustme.CA) -> None:
    new = trustme.CA()
    with receiving(faults.keeps_answering(faults.OK), serving(ours)) as old_one:
        old = sender(old_one.port, files, ca="ca.pem")
        assert old.send("1", BODY, {}).outcome.state == "delivered"
        replace_ca(files, new)
        assert old.send("2", BODY, {}).outcome.reason is Reason.tls  # not even on the connection that is open
    assert sent(serving(new), files, ca="ca.pem").state == "delivered"


def test_a_certificate_whose_key_is_about_to_follow_changes_nothing(
    files: Path, ours: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(faults.keeps_answering(faults.OK), serving(ours, wants=ours)) as receiver:
        to = sender(receiver.port, files, ca="ca.pem", certificate="cert.pem", key="key.pem")
        fresh = ours.issue_cert("hookplugin")
        fresh.cert_chain_pems[0].write_to_path(str(files / "cert.pem"))
        assert [to.send(str(number), BODY, {}).outcome.state for number in range(2)] == ["delivered"] * 2
        assert len([one for one in caplog.messages if "the former ones are kept" in one]) == 1
        fresh.private_key_pem.write_to_path(str(files / "key.pem"))
        assert to.send("3", BODY, {}).outcome.state == "delivered"
        assert len(receiver.peers) == 2  # the connection with the former certificate is closed

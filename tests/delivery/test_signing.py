"""Signatures: what verifies elsewhere, what is refused, and that each attempt is signed anew over what is sent."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import faults
import pytest
import standardwebhooks
import svix
from counting import Heard, counting
from faults import receiving
from hypothesis import given, settings
from hypothesis import strategies as st
from offering import registry

from hookplugin import Config, ConfigError, Host
from hookplugin.bodies.rendering import Bodies
from hookplugin.config import open_document
from hookplugin.delivery.deliverer import Deliverer
from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import Attempt
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookplugin.delivery.signing import SIGNERS, SignerChoice, scheme_of, standard_key
from hookplugin.delivery.verification import verify
from hookplugin.outbox.rows import Claimed
from hookplugin.resolution import Offered, resolve
from hookspecs import Alert, Body, Delivery, Reason, WireRequest

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
OTHER = f"whsec_{base64.b64encode(KEY[::-1]).decode()}"
BODY = Body(content=b'{"text": "gr\xc3\xb6\xc3\x9fer"}')
OFFERED = Offered(
    bodies=frozenset({"hertzbeat"}), filters=frozenset(), signers=SIGNERS | {"theirs"}, plugins={"webhook": None}
)
SIGNATURES = 100
"""In each zone."""
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "America/St_Johns")


def request(secrets: tuple[str, ...] = (SECRET,), **changes: Any) -> WireRequest:
    said: dict[str, Any] = {
        "id": "msg_1",
        "timestamp": 1_700_000_000,
        "method": "POST",
        "url": "https://hooks.example.com/a?b=c",
        "headers": {"Content-Type": "application/json"},
        "content": BODY.content,
        "secrets": secrets,
    }
    return WireRequest(**{**said, **changes})


def signed(request: WireRequest, **choice: str) -> WireRequest:
    scheme = scheme_of(SignerChoice.model_validate(choice))
    assert scheme
    return scheme.sign(request)


def send(url: str, body: Body = BODY, **settings: Any) -> Attempt:
    receiver = Receiver.model_validate({"name": "r", "url": url, **settings})
    return Sender(receiver, Sessions(Guard(ANYWHERE))).send("msg_1", body, {})


def problems(**settings: Any) -> tuple[str, ...]:
    """Return what is wrong with a receiver."""
    receiver = {"name": "ops", "url": "https://h/", **settings}
    strategy = {"name": "all", "receivers": ["ops"], "match_all": True}
    with pytest.raises(ConfigError) as caught:
        resolve(open_document({"receivers": [receiver], "strategies": [strategy]}), OFFERED)
    return caught.value.problems


@pytest.fixture(params=ZONES)
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
@given(
    identity=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    skew=st.integers(-290, 290),
    content=st.text(max_size=200).map(str.encode),  # they read UTF-8 before they verify
    key=st.binary(min_size=24, max_size=64),
)
@settings(max_examples=SIGNATURES)
def test_two_foreign_packages_verify_what_we_sign(identity: str, skew: int, content: bytes, key: bytes) -> None:
    secret = f"whsec_{base64.b64encode(key).decode()}"
    now = int(time.time()) + skew
    one = signed(request((secret,), id=identity, timestamp=now, content=content))
    headers = {**one.headers, "webhook-id": identity, "webhook-timestamp": str(now)}
    standardwebhooks.Webhook(secret).verify(content, headers, json_parse=False)
    svix.Webhook(secret).verify(content, headers)
    for package in (standardwebhooks, svix):
        with pytest.raises(package.WebhookVerificationError):
            package.Webhook(secret).verify(content + b" ", headers)


def test_the_specification_s_own_example_has_its_signature() -> None:
    """Be the vector of the Standard Webhooks repository, which Svix's documentation shows, too."""
    one = signed(
        request(
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
            id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            content=b'{"test": 2432232314}',
        )
    )
    assert one.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_rotated_each_of_them_signs() -> None:
    one = signed(request((SECRET, OTHER)))
    each = [signed(request((secret,))).headers["webhook-signature"] for secret in (SECRET, OTHER)]
    assert one.headers["webhook-signature"] == " ".join(each)
    assert len(set(each)) == 2


def test_the_prefix_may_be_left_out() -> None:
    assert standard_key(SECRET) == standard_key(SECRET.removeprefix("whsec_")) == KEY


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (f"whsec_{base64.b64encode(bytes(23)).decode()}", "is a key of 23 bytes, too short to be safe"),
        ("whsec_abcd", "is a key of 3 bytes, too short to be safe"),
        ("", "is a key of 0 bytes, too short to be safe"),
        ("whsec_", "is a key of 0 bytes, too short to be safe"),
        *((text, "is not base64") for text in (
            "whsec_" + "-_" * 20, "whsec_YWJj\n" + "YWJj" * 9, "a password with spaces in it, quite long",
            SECRET[:-1], SECRET + "=", f"{SECRET}é", "whsec_whsec_" + "YWJj" * 9,
        )),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_a_key_is_refused_without_being_quoted(secret: str, words: str) -> None:
    (problem,) = problems(secret=secret)
    assert problem.startswith(f"configuration: receivers[0].secret: {words}")
    assert "openssl rand -base64 32" in problem
    assert secret in {"", "whsec_"} or secret not in problem


def test_of_several_secrets_the_wrong_one_is_named() -> None:
    (problem,) = problems(secret=[SECRET, "short"])
    assert problem.startswith("configuration: receivers[0].secret[1]: is ")


@pytest.mark.parametrize("name", ["github", "grafana", "dingtalk", "feishu"])
def test_who_has_room_for_one_signature_takes_one_secret(name: str) -> None:
    (problem,) = problems(signer=name, secret=["a", "b"])
    assert problem == f"configuration: receivers[0].secret: {name!r} has room for one signature; name one secret"


@pytest.mark.parametrize("name", ["github", "grafana", "dingtalk", "feishu"])
def test_a_signer_of_ours_needs_a_secret_that_is_not_empty(name: str) -> None:
    (problem,) = problems(signer=name)
    assert problem == f"configuration: receivers[0].signer: {name!r} signs with a secret; write secret: {{file: PATH}}"
    assert problems(signer=name, secret="") == ("configuration: receivers[0].secret: is empty",)


def test_an_unknown_signer_is_a_typo() -> None:
    assert problems(signer="gihub", secret="x") == (
        "configuration: receivers[0].signer: unknown signer 'gihub'; did you mean 'github'?",
    )
    (problem,) = problems(signer={"name": "grafanna"}, secret="x")
    assert problem == "configuration: receivers[0].signer.name: unknown signer 'grafanna'; did you mean 'grafana'?"


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        ({"name": "github", "header": "X-Sig"}, ": header and timestamp_header are grafana's; remove them"),
        (
            {"name": "grafana", "header": "X-A", "timestamp_header": "x-a"},
            ": header and timestamp_header should differ",
        ),
        (
            {"name": "grafana", "timestamp_header": "X-Grafana-Alerting-Signature"},
            ": header and timestamp_header should differ",
        ),
        ({"name": "grafana", "header": "Host"}, ".header: the header 'Host' is reserved: HTTP itself needs it"),
        ({"name": "grafana", "header": "a b"}, ".header: 'a b' cannot be the name of a header"),
        ({"name": "grafana", "headers": "X-A"}, ".headers: unknown key; did you mean 'header'?"),
    ],
)
def test_a_signer_that_cannot_sign_like_that_is_refused(signer: dict[str, str], words: str) -> None:
    (problem,) = problems(signer=signer, secret="x")
    assert problem.startswith(f"configuration: receivers[0].signer{words}")


@pytest.mark.parametrize(
    ("signer", "header"),
    [
        ("github", "x-hub-signature-256"),
        ("grafana", "X-Grafana-Alerting-Signature"),
        ({"name": "grafana", "timestamp_header": "X-Time"}, "x-time"),
    ],
)
def test_a_header_that_the_signer_sets_nobody_else_sets(signer: object, header: str) -> None:
    (problem,) = problems(signer=signer, secret="x", headers={header: "mine"})
    name = signer if isinstance(signer, str) else "grafana"
    assert problem == f"configuration: receivers[0].headers.{header}: is what {name!r} sets; remove it"


def test_github_signs_as_its_documentation_shows() -> None:
    """Be the values of docs.github.com, "Validating webhook deliveries"."""
    one = signed(request(("It's a Secret to Everybody",), content=b"Hello, World!"), name="github")
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert one.headers["X-Hub-Signature-256"] == f"sha256={digest}"


@pytest.mark.parametrize("header", [None, "X-Mine"])
@pytest.mark.parametrize("timed", [None, "X-Grafana-Alerting-Timestamp"])
def test_grafana_signs_the_body_and_if_it_is_told_so_the_time(header: str | None, timed: str | None) -> None:
    choice = {"name": "grafana", "header": header, "timestamp_header": timed}
    one = signed(request(("s3cret",)), **{key: value for key, value in choice.items() if value})
    before = b"1700000000:" if timed else b""
    expected = hmac.new(b"s3cret", before + BODY.content, sha256).hexdigest()
    assert one.headers[header or "X-Grafana-Alerting-Signature"] == expected
    assert one.headers.get("X-Grafana-Alerting-Timestamp") == ("1700000000" if timed else None)


@pytest.mark.parametrize(("url", "before"), [("https://h/r?access_token=x", "access_token=x&"), ("https://h/r", "")])
def test_dingtalk_signs_in_the_query(url: str, before: str) -> None:
    """Be the algorithm of open.dingtalk.com, "Customize robot security settings"."""
    one = signed(request(("SECabc",), url=url), name="dingtalk")
    sign = base64.b64encode(hmac.new(b"SECabc", b"1700000000000\nSECabc", sha256).digest()).decode()
    query = urlsplit(one.url).query
    assert query.startswith(f"{before}timestamp=1700000000000&sign=")
    assert parse_qs(query)["sign"] == [sign]
    assert "+" not in query


@pytest.mark.parametrize("content", [b'{"msg_type": "text"}', b" {}", b'{"a":1e2,"b":[{}]}'])
def test_feishu_signs_in_the_body_and_leaves_the_rest_of_it(content: bytes) -> None:
    """Be the algorithm of open.feishu.cn, "Custom bot usage guide"."""
    one = signed(request(("s3cret",), content=content), name="feishu")
    sign = base64.b64encode(hmac.new(b"1700000000\ns3cret", b"", sha256).digest()).decode()
    assert json.loads(one.content) == {"timestamp": "1700000000", "sign": sign, **json.loads(content)}
    assert content.strip().removeprefix(b"{") in one.content


@pytest.mark.parametrize("content", [b"", b"text", b"[]", b"null", b'{"sign": 1}', b'{"timestamp": "1"}', b"\xff"])
def test_what_feishu_cannot_sign_is_not_sent(content: bytes) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        outcome = send(url, Body(content=content), signer="feishu", secret="x").outcome
    assert (outcome.state, outcome.reason, receiver.peers) == ("dead", Reason.failed, [])
    assert outcome.detail.startswith("the signer 'feishu' failed: ValueError: the body should be a JSON object")


def heads(script: faults.Script, attempts: int, **settings: Any) -> list[str]:
    with receiving(script) as receiver:
        for _ in range(attempts):
            send(f"http://127.0.0.1:{receiver.port}/hook?x=y", **settings)
    return [peer.head.decode() for peer in receiver.peers]


def test_what_is_sent_is_what_was_signed() -> None:
    (head,) = heads(faults.answers(faults.OK), 1, secret=SECRET)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
    assert headers["content-length"] == str(len(BODY.content))
    for package in (standardwebhooks, svix):
        package.Webhook(SECRET).verify(BODY.content, headers)


def test_a_signature_may_change_path_and_body_and_the_length_follows() -> None:
    (head,) = heads(faults.answers(faults.OK), 1, secret="s3cret", signer="dingtalk")
    assert head.startswith("POST /hook?x=y&timestamp=")
    (head,) = heads(faults.answers(faults.OK), 1, secret="s3cret", signer="feishu")
    assert int(head.partition("Content-Length: ")[2].partition("\r\n")[0]) > len(BODY.content) + 50


def test_without_a_secret_nothing_is_signed() -> None:
    (head,) = heads(faults.answers(faults.OK), 1)
    assert "signature" not in head.lower()


@pytest.fixture
def host() -> Callable[[Mapping[str, Any]], Host]:
    return lambda config: Host(dict(config), strict=True)


def test_each_attempt_has_a_fresh_time_and_signature_and_the_same_body_and_id(
    host: Callable[[Mapping[str, Any]], Host],
) -> None:
    """Let the first attempts fail: the clock has gone on by a second before the last."""
    tried: list[Heard] = []

    def answer(one: Heard) -> int:
        tried.append(one)
        return 503 if len(tried) < 3 else 204

    with counting(answer) as receiver:
        config = {
            "receivers": [{"name": "ops", "url": receiver.url, "secret": [SECRET, OTHER], "timeout": {"total": "5s"}}],
            "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
        }
        with host(config) as running:
            receipt = running.fire(Alert(content="disk full"))
            (outcome,) = running.wait(receipt, 30).values()
    assert outcome
    assert outcome.state == "delivered"
    for one in tried:
        headers = {name.lower(): value for name, value in one.headers.items()}
        for secret in (SECRET, OTHER):
            assert standardwebhooks.Webhook(secret).verify(one.body, headers) == json.loads(one.body)
    assert len({(one.id, one.body) for one in tried}) == 1
    assert len({one.headers["webhook-timestamp"] for one in tried}) >= 2
    assert len({one.headers["webhook-signature"] for one in tried}) >= 2


THEIRS = {"name": "ops", "signer": "theirs", "secret": "their own words"}


def deliver(sign: Callable[[WireRequest], Any], url: str, **settings: Any) -> Attempt:
    receiver = Receiver.model_validate({**THEIRS, "url": url, **settings})
    delivery = Delivery(id="d1", alert=Alert(content="x"), receiver="ops", body="hertzbeat")
    deliverer = Deliverer([receiver], Bodies(), offers=registry(theirs=("signer", sign)))
    return deliverer.deliver(Claimed("d1", (delivery,), expires=1e12))


def test_a_plugin_signs_with_the_secret_of_the_receiver_and_sees_all_that_is_sent() -> None:
    seen: list[WireRequest] = []

    def sign(request: WireRequest) -> WireRequest:
        seen.append(request)
        return request.with_headers({"X-Seal": "sealed"})

    with receiving(faults.answers(faults.OK)) as receiver:
        attempt = deliver(sign, f"http://127.0.0.1:{receiver.port}/a?b", headers={"X-Team": "sre"})
    assert attempt.outcome.state == "delivered"
    assert b"X-Seal: sealed\r\n" in receiver.peers[0].head
    (one,) = seen
    assert (one.id, one.method, one.secrets) == ("d1", "POST", ("their own words",))
    assert (one.headers["X-Team"], one.headers["webhook-id"]) == ("sre", "d1")
    assert "their own words" not in repr(one)
    assert abs(one.timestamp - datetime.now(UTC).timestamp()) < 60


def fails(_: WireRequest) -> WireRequest:
    message = "no key for their own words"
    raise RuntimeError(message)


def ends(_: WireRequest) -> WireRequest:
    raise SystemExit(3)


def sealed(**headers: str) -> Callable[[WireRequest], WireRequest]:
    return lambda request: request.with_headers({name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("sign", "why"),
    [
        (fails, "RuntimeError: no key for ***"),
        (ends, "SystemExit: 3"),
        (lambda _: None, "TypeError: it returned NoneType, not WireRequest"),
        (lambda one: one.headers, "TypeError: it returned dict, not WireRequest"),
        (
            lambda _: WireRequest("", 0, "POST", "http://127.0.0.2/", {}, b""),
            "ValueError: it changed more of the URL",
        ),
        (sealed(Host="elsewhere"), "ValueError: it may not set the header 'Host'"),
        (sealed(Content_Length="5"), "ValueError: it may not set the header 'Content-Length'"),
        (sealed(Transfer_Encoding="chunked"), "ValueError: it may not set the header 'Transfer-Encoding'"),
    ],
)
def test_a_signer_that_fails_or_leads_elsewhere_sends_nothing(sign: Callable[[WireRequest], Any], why: str) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        outcome = deliver(sign, f"http://127.0.0.1:{receiver.port}/").outcome
    assert (outcome.state, outcome.reason, receiver.peers) == ("dead", Reason.failed, [])
    assert outcome.detail.startswith(f"the signer 'theirs' failed: {why}")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\0", "é"])
def test_a_signature_that_is_no_header_is_not_sent(value: str) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        outcome = deliver(sealed(X_Seal=value), f"http://127.0.0.1:{receiver.port}/").outcome
    assert (outcome.reason, receiver.peers) == (Reason.failed, [])
    assert outcome.detail == "the request cannot be written: X-Seal is not printable ASCII"


def quotes_signature(peer: faults.Peer) -> None:
    """Answer 500 with the target and the signature."""
    lines = peer.read().head.splitlines()
    quoted = b" ".join([lines[0], *(line for line in lines if line.startswith(b"webhook-signature"))])
    peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % len(quoted) + quoted)


@pytest.mark.parametrize("choice", [{"secret": SECRET}, {"secret": "s3cret", "signer": "dingtalk"}])
def test_an_answer_that_quotes_the_signature_is_kept_without_it(choice: dict[str, Any]) -> None:
    with receiving(quotes_signature) as receiver:
        detail = send(f"http://127.0.0.1:{receiver.port}/hook", **choice).outcome.detail
    assert "***" in detail
    assert "v1," not in detail
    assert "sign=" not in detail


# what a receiver checks


def captured(choice: dict[str, str], secrets: tuple[str, ...]) -> WireRequest:
    one = signed(request(secrets), **choice)
    return WireRequest(
        one.id, one.timestamp, one.method, one.url, {k.lower(): v for k, v in one.headers.items()}, one.content, secrets
    )


CHOICES: list[tuple[dict[str, str], str]] = [
    ({"name": "standard"}, SECRET),
    ({"name": "github"}, "s"),
    ({"name": "grafana"}, "s"),
    ({"name": "grafana", "timestamp_header": "X-T"}, "s"),
    ({"name": "dingtalk"}, "s"),
    ({"name": "feishu"}, "s"),
]


@pytest.mark.parametrize(("choice", "secret"), CHOICES)
def test_what_is_signed_verifies_and_with_another_secret_it_does_not(choice: dict[str, str], secret: str) -> None:
    one = captured(choice, (secret,))
    named = SignerChoice.model_validate(choice)
    assert verify(one, named, {}).secret == 0
    wrong = OTHER if secret == SECRET else "t"
    assert verify(WireRequest(**{**fields(one), "secrets": (wrong,)}), named, {}).secret is None
    assert verify(WireRequest(**{**fields(one), "secrets": (wrong, secret)}), named, {}).secret == 1


def fields(one: WireRequest) -> dict[str, Any]:
    return {name: getattr(one, name) for name in WireRequest.__slots__}


@pytest.mark.parametrize(("choice", "secret"), CHOICES)
def test_a_request_without_a_signature_says_so(choice: dict[str, str], secret: str) -> None:
    verdict = verify(request((secret,)), SignerChoice.model_validate(choice), {})
    assert (verdict.secret, verdict.reason) == (None, "there is none")


@pytest.mark.parametrize(
    ("choice", "changes"),
    [
        ({"name": "standard"}, {"content": b"{}"}),
        ({"name": "standard"}, {"id": "msg_2"}),
        ({"name": "standard"}, {"timestamp": 1_700_000_001}),
        ({"name": "github"}, {"content": b"{}"}),
        ({"name": "grafana", "timestamp_header": "X-T"}, {"timestamp": 1_700_000_001}),
        ({"name": "dingtalk"}, {"timestamp": 1_700_000_001}),
        ({"name": "feishu"}, {"timestamp": 1_700_000_001}),
    ],
)
def test_a_request_that_was_changed_does_not_verify(choice: dict[str, str], changes: dict[str, Any]) -> None:
    one = captured(choice, (SECRET,))
    changed = WireRequest(**{**fields(one), **changes})
    verdict = verify(changed, SignerChoice.model_validate(choice), {})
    assert (verdict.secret, verdict.reason) == (None, "it is of another body, id, time or secret")


@pytest.mark.parametrize(
    ("content", "words"),
    [(BODY.content + b"\n", "the line end behind it"), (BODY.content + b"\r\n", "the line end behind it")],
)
def test_what_a_program_did_to_the_body_is_found(content: bytes, words: str) -> None:
    one = captured({"name": "standard"}, (SECRET,))
    verdict = verify(WireRequest(**{**fields(one), "content": content}), SignerChoice(), {})
    assert verdict.secret is None
    assert words in verdict.reason


def test_line_ends_that_were_changed_are_found() -> None:
    one = signed(request(content=b"a\nb\n"))
    verdict = verify(WireRequest(**{**fields(one), "content": b"a\r\nb\r\n"}), SignerChoice(), {})
    assert "other line ends" in verdict.reason


def test_what_a_plugin_signs_verifies_if_signing_again_changes_nothing() -> None:
    offered = {"theirs": lambda one: one.with_headers({"X-Seal": one.secrets[0] + str(len(one.content))})}
    one = offered["theirs"](request(("s",)))
    choice = SignerChoice(name="theirs")
    assert verify(one, choice, offered).secret == 0
    assert (
        verify(WireRequest(**{**fields(one), "content": b"longer than it was before, by far"}), choice, offered).secret
        is None
    )


def test_a_signer_of_ours_has_its_name_for_itself(install: Callable[..., None]) -> None:
    install("other", "import hookplugin\n\n@hookplugin.hookimpl\ndef alert_register(registry):\n"
            "    registry.signer('github', lambda request: request)\n")  # fmt: skip
    with Host({}) as running:
        (status,) = [one for one in running.plugins if one.name == "other"]
    assert status.state == "failed"
    assert "the signer 'github' is taken by 'hookplugin'" in (status.reason or "")


def test_a_plugins_signer_is_named_by_a_receiver_of_a_running_host(install: Callable[..., None]) -> None:
    install("seal", "import hookplugin\n\n@hookplugin.hookimpl\ndef alert_register(registry):\n"
            "    registry.signer('seal', lambda request: request.with_headers({'X-Seal': 'sealed'}))\n")  # fmt: skip
    with counting() as receiver:
        config = {
            "receivers": [{"name": "ops", "url": receiver.url, "signer": "seal"}],
            "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
        }
        with Host(config, strict=True) as running:
            running.wait(running.fire(Alert(content="x")), 10)
    (one,) = receiver.heard
    assert one.headers["X-Seal"] == "sealed"
    assert isinstance(Config.model_validate(config), Config)

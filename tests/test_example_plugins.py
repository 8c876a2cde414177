"""The example plugins, installed for real beside the wheel, and used through the command."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from string import Template
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from http_message_signatures.algorithms import HMAC_SHA256  # pyright: ignore[reportPrivateImportUsage]
from http_message_signatures.exceptions import InvalidSignature
from http_message_signatures.resolvers import MappingKeyResolver
from http_message_signatures.signatures import HTTPMessageVerifier
from installing import EXAMPLES, ROOT, make_environment, pip, run
from monitored import free_port
from pytest_httpserver import HTTPServer
from werkzeug import Request

NAMES = ("email", "healthchecks", "journal", "oneline", "often", "rfc9421")
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_PLUGINS = re.findall(
    r"^```bash\n(.*?)^```$", README.partition("\n## For authors of plugins\n")[2], re.MULTILINE | re.DOTALL
)
PIP = '#!/bin/sh\nexec $python -m pip --python $commands/python "$$@"\n'
PASSWORD = "correct horse battery staple"

Command = Callable[..., str]
Configure = Callable[..., None]


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, what tests of plugins need, and all example plugins; return the folder of the commands."""
    folder = tmp_path_factory.mktemp("examples")
    made = make_environment(folder / "environment", f"{wheel}[testing]")
    copies = [shutil.copytree(EXAMPLES / f"hookplugin-{name}", folder / name) for name in NAMES]
    pip(made, "install", "-q", "--no-deps", *copies, cwd=folder)
    return made


@pytest.fixture
def hookplugin(commands: Path, tmp_path: Path) -> Command:
    """Run the command in an empty folder; return what it has printed."""

    def run_command(*arguments: str, code: int = 0, **environment: str) -> str:
        return run(commands / "hookplugin", *arguments, cwd=tmp_path, code=code, environment=os.environ | environment)

    return run_command


@pytest.fixture
def configure(tmp_path: Path, httpserver: HTTPServer) -> Configure:
    """Write hookplugin.yaml: a receiver at the test's server, and keys of it and of the strategy that names it."""
    httpserver.expect_request("/ops").respond_with_data(status=204)

    def write(
        settings: Mapping[str, Any] | None = None, receiver: Mapping[str, Any] | None = None, **strategy: Any
    ) -> None:
        where = {} if "type" in (receiver or {}) else {"url": httpserver.url_for("/ops")}
        config = {
            "outbox": "sqlite:///outbox.db",
            "receivers": [{"name": "ops", **where, **(receiver or {})}],
            "strategies": [{"name": "all", "receivers": ["ops"], **(strategy or {"match_all": True})}],
            "plugins": {"settings": settings or {}},
        }
        (tmp_path / "hookplugin.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")

    return write


def fire(hookplugin: Command, folder: Path, *alerts: Mapping[str, Any], code: int = 0) -> list[dict[str, Any]]:
    """Fire alerts; return what became of each delivery."""
    (folder / "alerts.json").write_text(json.dumps(alerts), encoding="utf-8")
    deliveries: list[dict[str, Any]] = json.loads(hookplugin("fire", "--json", "alerts.json", code=code))["deliveries"]
    return deliveries


def test_all_are_found_with_what_they_offer_and_what_can_be_set(hookplugin: Command) -> None:
    found = {one["name"]: one for one in json.loads(hookplugin("plugins", "--json"))}
    assert {name: (one["package"], one["version"], one["state"]) for name, one in found.items() if name in NAMES} == {
        name: (f"hookplugin-{name}", "1.0", "active") for name in NAMES
    }
    assert {name: found[name]["offers"] for name in NAMES} == {
        "email": ["sender email"],
        "healthchecks": ["source healthchecks"],
        "journal": [],
        "oneline": ["renderer one-line"],
        "often": ["filter often"],
        "rfc9421": ["signer rfc9421"],
    }
    assert found["journal"]["hooks"] == ["alert_register", "alert_configure", "alert_fired", "alert_delivered"]
    schemas = {name: found[name]["settings"] for name in NAMES}
    assert {name: sorted(schema["properties"]) for name, schema in schemas.items() if schema} == {
        "email": ["password", "port", "server", "starttls", "username"],
        "journal": ["file"],
        "often": ["at_least"],
    }
    assert schemas["often"]["properties"]["at_least"]["default"] == 3


def test_the_configuration_that_uses_them_all_is_right(hookplugin: Command, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "plugins.yaml", tmp_path / "hookplugin.yaml")
    for name in ("mail.password", "partner.key"):
        (tmp_path / name).write_text(PASSWORD, encoding="utf-8")
    assert "fine" in hookplugin("check")


def test_the_filter_lets_pass_what_its_settings_call_often_and_the_body_is_one_line(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    configure({"often": {"at_least": 5}}, {"body": "one-line"}, filters=["often"])
    deliveries = fire(hookplugin, tmp_path, {"content": "rare", "times": 4}, {"content": "again", "times": 5})
    assert [(one["content"], one["state"]) for one in deliveries] == [("again", "delivered")]
    ((request, _),) = httpserver.log
    assert request.get_data() == b"warning: again"
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"


def healthchecks(status: str, name: str) -> str:
    """Return what Healthchecks posts, as its `transport.py` makes it of the body that the example asks for."""
    check = {
        "name": name,
        "slug": "backup",
        "tags": "prod backup",
        "desc": 'nightly, "full"',
        "grace": 3600,
        "n_pings": 7,
        "status": "started",  # of the check as it is now; what was told may be older
        "started": True,
        "last_ping": "2026-01-05T02:00:00+00:00",
        "next_ping": None,
        "manual_resume": False,
        "methods": "",
        "ping_url": "https://hc-ping.com/ca6d0c20",
        "channels": "",
        "timeout": 86400,
    }
    source = (EXAMPLES / "hookplugin-healthchecks/hookplugin_healthchecks.py").read_text(encoding="utf-8")
    found = re.search(r"\{\"code.*\}", source)
    assert found
    words = {"CODE": "ca6d0c20-5d2f", "STATUS": status, "NOW": "2026-01-06T03:00:00+00:00", "JSON": json.dumps(check)}
    return Template(found[0]).substitute(words)


def test_the_source_knows_a_check_that_is_up_again_under_another_name(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    configure(match=['prod="true"'], priorities=["critical"])
    for status, name in (("down", "Backup"), ("up", "Nightly backup")):
        (tmp_path / "payload.json").write_text(healthchecks(status, name), encoding="utf-8")
        hookplugin("fire", "--source", "healthchecks", "payload.json")
    down, up = (json.loads(request.get_data()) for request, _ in httpserver.log)
    assert (down["content"], down["status"], down["priority"]) == ("Backup is down", 0, 1)
    assert (up["content"], up["status"]) == ("Nightly backup is up", 2)
    assert down["tags"] == {"prod": True, "backup": True}
    assert down["lastTriggerTime"] == 1767668400000
    assert down["id"] == up["id"]


def test_the_source_says_what_it_cannot_read(hookplugin: Command, configure: Configure, tmp_path: Path) -> None:
    configure()
    (tmp_path / "payload.json").write_text(healthchecks("flapping", "Backup"), encoding="utf-8")
    told = hookplugin("fire", "--source", "healthchecks", "--json", "payload.json", code=1)
    assert "status: should be 'down' or 'up'" in told


def verified(request: Request, content: bytes, secret: str) -> set[str]:
    """Return what a signature covers that a verifier of somebody else's finds right."""
    message = SimpleNamespace(method=request.method, url=request.url, headers=dict(request.headers))
    keys = MappingKeyResolver(public_keys={"hookplugin": secret.encode()}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=HMAC_SHA256, key_resolver=keys)
    (found,) = verifier.verify(message, body=content)
    return set(found.covered_components)


def test_the_signature_is_that_of_the_standard(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    configure(receiver={"signer": "rfc9421", "secret": ["newest", "former"]})
    fire(hookplugin, tmp_path, {"content": "disk full"})
    ((request, _),) = httpserver.log
    content = request.get_data()
    covered = {'"@method"', '"@path"', '"webhook-id"', '"content-digest"'}
    assert covered < verified(request, content, "newest")
    for forged, secret in ((content, "former"), (content + b" ", "newest")):
        with pytest.raises(InvalidSignature):
            verified(request, forged, secret)


def test_without_a_secret_nothing_is_sent_and_the_reason_is_told(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    configure(receiver={"signer": "rfc9421", "retry": {"max_age": "1s"}})
    (delivery,) = fire(hookplugin, tmp_path, {"content": "disk full"}, code=1)
    assert delivery["state"] == "dead"
    assert "no secret to sign with" in delivery["detail"]
    assert not httpserver.log


@dataclass
class Mailbox:
    """What a mail server was given, and what it answers next; what it takes if nothing is said."""

    answers: list[str] = field(default_factory=list)
    """To whole mails, one after the other."""
    refusals: dict[str, list[str]] = field(default_factory=dict)
    """To recipients, one after the other."""
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    """All that it was given, also what it did not take, with the recipients that it took."""

    async def handle_RCPT(  # noqa: N802 - as the server calls it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refusals.get(address):
            return self.refusals[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return self.answers.pop(0) if self.answers else "250 OK"


@contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[dict[str, Any]]:
    """Serve SMTP; yield settings of the plugin that lead there."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield {"server": "127.0.0.1", "port": controller.port, "starttls": False}
    finally:
        controller.stop()


OPTIONS = {"from": "Ops <ops@example.com>", "to": ["anna@example.com", "otto@example.com"]}


def mail_to(configure: Configure, settings: Mapping[str, Any], **receiver: Any) -> None:
    configure({"email": settings}, {"type": "email", "body": "one-line", "options": OPTIONS, **receiver})


def test_a_mail_is_sent_once_with_any_text(hookplugin: Command, configure: Configure, tmp_path: Path) -> None:
    mailbox, content = Mailbox(), "Platte »größte« voll: 95 %\n.\nBcc: eve@example.com"
    with serving(mailbox) as settings:
        mail_to(configure, settings)
        (delivery,) = fire(hookplugin, tmp_path, {"content": content, "priority": "critical"})
    assert delivery["state"] == "delivered"
    ((recipients, mail),) = mailbox.mails
    assert recipients == ["anna@example.com", "otto@example.com"]
    assert (mail["From"], mail["To"], mail["Bcc"]) == (OPTIONS["from"], ", ".join(OPTIONS["to"]), None)
    assert mail["Subject"] == f"firing: {' '.join(content.split())}"
    assert mail["Message-ID"] == f"<{delivery['id']}@hookplugin>"
    assert mail["Date"].datetime
    assert mail.get_content().splitlines() == f"critical: {content}".splitlines()


def test_several_alerts_come_in_one_mail(hookplugin: Command, configure: Configure, tmp_path: Path) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as settings:
        mail_to(configure, settings, batch={"wait": "1s", "max": 2})
        fire(hookplugin, tmp_path, {"content": "a"}, {"content": "b"})
    ((_, mail),) = mailbox.mails
    assert mail["Subject"] == "firing: a (and 1 more)"
    assert mail.get_content().splitlines() == ["warning: a", "warning: b"]


@pytest.mark.parametrize(
    ("answers", "refusals"),
    [
        (["451 try again later"], {}),
        (["421 too busy"], {}),
        ([], {"otto@example.com": ["450 greylisted"]}),
        ([], {"anna@example.com": ["450 greylisted"], "otto@example.com": ["451 greylisted"]}),
    ],
)
def test_a_server_that_asks_for_it_is_told_again_in_the_same_words(
    hookplugin: Command, configure: Configure, tmp_path: Path, answers: list[str], refusals: dict[str, list[str]]
) -> None:
    mailbox = Mailbox(answers, refusals)
    with serving(mailbox) as settings:
        mail_to(configure, settings)
        (delivery,) = fire(hookplugin, tmp_path, {"content": "disk full"})
    assert delivery["state"] == "delivered"
    assert mailbox.mails[-1][0] == OPTIONS["to"]
    assert {mail["Message-ID"] for _, mail in mailbox.mails} == {f"<{delivery['id']}@hookplugin>"}


@pytest.mark.parametrize(
    ("answers", "refusals", "says"),
    [
        (["554 looks like spam"], {}, "looks like spam"),
        ([], {"otto@example.com": ["550 no such user"]}, "otto@example.com"),
        ([], {"anna@example.com": ["550 gone"], "otto@example.com": ["550 no such user"]}, "no such user"),
    ],
)
def test_what_a_server_will_never_take_is_dead_at_once(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    hookplugin: Command,
    configure: Configure,
    tmp_path: Path,
    answers: list[str],
    refusals: dict[str, list[str]],
    says: str,
) -> None:
    with serving(Mailbox(answers, refusals)) as settings:
        mail_to(configure, settings)
        (delivery,) = fire(hookplugin, tmp_path, {"content": "disk full"}, code=1)
    assert (delivery["state"], delivery["reason"]) == ("dead", "client_error")
    assert says in delivery["detail"]


def test_a_server_that_is_not_there_is_asked_again_until_the_time_is_over(
    hookplugin: Command, configure: Configure, tmp_path: Path
) -> None:
    mail_to(configure, {"server": "127.0.0.1", "port": free_port(), "starttls": False}, retry={"max_age": "3s"})
    (delivery,) = fire(hookplugin, tmp_path, {"content": "disk full"}, code=1)
    assert delivery["state"] == "dead"
    assert "Connection refused" in delivery["detail"]
    shown = json.loads(hookplugin("deliveries", "show", delivery["id"], "--json"))
    assert shown["attempts"] > 1


@pytest.mark.parametrize(("password", "state"), [(PASSWORD, "delivered"), ("wrong horse", "dead")])
def test_the_password_goes_through_tls_only_and_is_told_to_nobody_else(
    hookplugin: Command, configure: Configure, tmp_path: Path, password: str, state: str
) -> None:
    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        return AuthResult(success=(login.login, login.password) == (b"ops", PASSWORD.encode()), handled=False)

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "mail.password").write_text(f"{password}\n", encoding="utf-8")
    mailbox = Mailbox()
    secure = {"tls_context": context, "require_starttls": True, "authenticator": authenticate, "auth_required": True}
    with serving(mailbox, **secure) as settings:
        login = {"username": "ops", "password": {"file": "mail.password"}, "starttls": True}
        mail_to(configure, settings | login)
        (tmp_path / "alert.json").write_text('{"content": "disk full"}', encoding="utf-8")
        trusting = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        shown = hookplugin("fire", "--json", "alert.json", code=0 if state == "delivered" else 1, **trusting)
    (delivery,) = json.loads(shown)["deliveries"]
    assert delivery["state"] == state
    assert len(mailbox.mails) == (state == "delivered")
    seen = shown + hookplugin("plugins", "--json") + hookplugin("deliveries", "show", delivery["id"], "--json")
    for spelling in (password, base64.b64encode(password.encode()).decode()):
        assert spelling not in seen


def test_the_journal_has_a_line_for_each_alert_and_for_each_that_somebody_did_not_hear_of(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    configure({"journal": {"file": "what-happened.jsonl"}}, {"timeout": {"total": "2s"}}, match=['env="prod"'])
    httpserver.expect_oneshot_request("/ops").respond_with_data(status=400)
    fire(hookplugin, tmp_path, {"content": "größer"}, {"content": "dead", "tags": {"env": "prod"}}, code=1)
    lines = (tmp_path / "what-happened.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(map(json.loads, lines)) == [
        {"status": "firing", "priority": "warning", "content": "größer"},
        {"status": "firing", "priority": "warning", "content": "dead"},
        {"receiver": "ops", "reason": "client_error", "content": "dead"},
    ]


def test_the_journal_is_kept_where_a_host_has_a_manager_of_its_own(
    commands: Path, configure: Configure, tmp_path: Path
) -> None:
    configure({"journal": {"file": "here.jsonl"}})
    run(commands / "python", EXAMPLES / "host_with_own_manager.py", "hookplugin.yaml", cwd=tmp_path)
    (line,) = (tmp_path / "here.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["status"] == "firing"


def test_wrong_settings_are_told_with_their_place_and_cost_nobody_else(
    hookplugin: Command, configure: Configure, tmp_path: Path, httpserver: HTTPServer
) -> None:
    wrong = {"often": {"at_leats": 5}, "email": {"port": "smtp"}}
    configure(wrong, {"body": "one-line"})
    lines = (tmp_path / "hookplugin.yaml").read_text(encoding="utf-8").splitlines()
    places = {word: next(n for n, line in enumerate(lines, 1) if f'"{word}":' in line) for word in ("at_leats", "port")}
    told = hookplugin("check", code=2)
    for word, problem in (("at_leats", "did you mean 'at_least'?"), ("port", "plugins.settings.email.port")):
        (line,) = (line for line in told.splitlines() if word in line)
        assert f"hookplugin.yaml:{places[word]}" in line
        assert problem in line
    states = {one["name"]: one["state"] for one in json.loads(hookplugin("plugins", "--json"))}
    assert {name for name, state in states.items() if state == "failed"} == {"often", "email"}
    fire(hookplugin, tmp_path, {"content": "disk full"})
    ((request, _),) = httpserver.log
    assert request.get_data() == b"warning: disk full"
    assert (tmp_path / "journal.jsonl").exists()


def test_the_tests_of_the_example_pass_where_it_is_installed(commands: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "hookplugin-often/test_hookplugin_often.py", tmp_path)
    assert "3 passed" in run(commands / "python", "-m", "pytest", "-q", cwd=tmp_path)


def test_the_commands_for_authors_of_plugins_run_as_they_stand(
    wheel: Path, tmp_path: Path, httpserver: HTTPServer
) -> None:
    commands = make_environment(tmp_path / ".venv", f"{wheel}[testing]")
    pip_of_it = commands / "pip"
    pip_of_it.write_text(Template(PIP).substitute(python=sys.executable, commands=commands), encoding="utf-8")
    pip_of_it.chmod(0o755)
    httpserver.expect_request("/chat").respond_with_data(status=204)
    config = (EXAMPLES / "one-line.yaml").read_text(encoding="utf-8")
    there = config.replace("http://127.0.0.1:9000/chat", httpserver.url_for("/chat"))
    (tmp_path / "hookplugin.yaml").write_text(there, encoding="utf-8")
    shutil.copy(EXAMPLES / "alert.json", tmp_path)
    shutil.copytree(EXAMPLES / "hookplugin-oneline", tmp_path / "hookplugin-oneline")
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}"}
    shown = [run("bash", "-ec", block, cwd=tmp_path, environment=environment) for block in OF_PLUGINS]
    assert "renderer one-line" in shown[0]
    ((request, _),) = httpserver.log
    assert request.get_data() == b"critical: disk 95% full"
    assert "passed" in shown[1]

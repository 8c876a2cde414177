"""No secret of a configuration is ever told: not by a command, a message, a log, a repr, nor by the outbox's file."""

from __future__ import annotations

import base64
import hmac
import html
import json
import logging
import os
import re
import shlex
import shutil
import signal
import ssl
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count, cycle, takewhile
from math import inf
from pathlib import Path
from pprint import pformat
from queue import SimpleQueue
from typing import Any, BinaryIO, Final, TypeAlias
from urllib.parse import parse_qs, quote, quote_plus, unquote, unquote_plus

import faults
import pytest
import trustme
import yaml
from commands import PATIENCE, RunIn, forked_commands, working
from faults import Peer, Script, receiving
from pydantic import BaseModel, ValidationError
from rich.pretty import pretty_repr

from hookplugin import Alert, Config, ConfigError, Host
from hookplugin.assembly import rehearse
from hookplugin.config import open_document, zone_and_outbox
from hookplugin.delivery.connection import Call
from hookplugin.delivery.exchange import Answer
from hookplugin.delivery.oauth2 import Token
from hookplugin.outbox.rows import Claimed
from hookplugin.plugins import Plugins
from hookplugin.resolution import Offered, resolve
from hookplugin.webhook import deliverer_of
from hookspecs import Delivery, Outcome, WireRequest

Outputs: TypeAlias = dict[str, str]
"""What somebody may read, by what it is."""
Keys: TypeAlias = dict[str, Any]
Refer: TypeAlias = Callable[[str], object]
"""Puts a secret where it stands, and returns what the configuration says instead."""

KINDS: Final = ("literal", "env", "file")
WAYS: Final = ("bearer", "basic", "oauth", "proxied")
FORMS: Final = ("", " --json")
CONTENT: Final = "the disk of db1 is 95% full"


def payload(number: int) -> bytes:
    return json.dumps({"content": CONTENT, "priority": "critical", "tags": {"number": str(number)}}).encode()


# The canaries: each has two runs of letters and digits, between what percent-encoding, JSON, HTML and repr change


SHAPES: Final = {
    "path": "{}'(<~>{}",
    "query": "{}%2F%2B{}",
    "bearer": "{}/+\"\\<&'{}==",
    "username": '{} ü/\\"{}',
    "password": "{}:€/+\\\"&<' {}",
    "client_id": '{} +/&="{}',
    "client_secret": '{}%/+&=:"\\ {}',
    "token_path": "{}'~{}",
    "secret": "whsec_{}/+{}/abcd+fgA=",
    "second secret": "whsec_{}/+{}/hijk+mnQ=",
    "header": "{} \"\\/<&' {}",
    "var": "{}\n\"\\/<&ü' {}",
    "proxy": "{}%2F%40%C3%BC~{}",
}
ISSUED: Final = "issued"
"""What the endpoint gives: no canary of the configuration, and as secret."""


def runs(place: str, kind: str) -> tuple[str, str]:
    first, second = (f"c{sha256(f'{place} {kind} {number}'.encode()).hexdigest()[:15]}" for number in (1, 2))
    return first, second


def canary(place: str, kind: str) -> str:
    return SHAPES.get(place, "{}/{}").format(*runs(place, kind))


def needles(place: str, kind: str) -> Iterator[str]:
    """Yield what gives a canary away: a run of it, also within base64, hexadecimal digits or UTF-16."""
    for run in runs(place, kind):
        yield run
        yield run.encode().hex()
        yield "\0".join(run)
        for shift in range(3):  # what stands before it decides where a group of base64 begins
            encoded = base64.b64encode(b" " * shift + run.encode()).decode()
            yield encoded[4 if shift else 0 : -4]
    if place.endswith("secret") and place != "client_secret":
        key = base64.b64decode(canary(place, kind).removeprefix("whsec_"))
        yield key.hex()
        yield repr(key)[2:-1]
        yield key.decode("latin-1")


PLACES: Final = [(place, kind) for kind in KINDS for place in SHAPES]
NEEDLES: Final = {
    needle: f"{place} ({kind})" for place, kind in [*PLACES, (ISSUED, "")] for needle in needles(place, kind)
}


def leaks(outputs: Outputs, *, kinds: Sequence[str] = (*KINDS, "")) -> str:
    """Return the canaries that are in each output, and where."""
    endings = tuple(f"({kind})" for kind in kinds)
    wanted = {needle: name for needle, name in NEEDLES.items() if name.endswith(endings)}
    found: dict[str, str] = {}
    for name, text in outputs.items():
        for said in (text, text.lower()):
            places = {place: said.index(needle) for needle, place in wanted.items() if needle in said}
            found |= {f"{name}: {place}": said[max(at - 30, 0) : at + 20] for place, at in places.items()}
    return "\n".join(f"{where}: {text!r}" for where, text in found.items())


def see_none(outputs: Outputs, *, kinds: Sequence[str] = (*KINDS, "")) -> None:
    if found := leaks(outputs, kinds=kinds):
        pytest.fail(f"secrets are told:\n{found}", pytrace=False)


# The wire: one server is receiver, endpoint of tokens and proxy; it keeps what it heard, and answers as it is told


@dataclass(frozen=True)
class Heard:
    """A request as it arrived."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.decode("latin-1").split(" ", 2)[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:] if line]
        return {name.lower(): value.strip() for name, _, value in lines}

    @property
    def is_for_a_token(self) -> bool:
        return "/token/" in self.target

    @property
    def parts(self) -> list[str]:
        """Return everything in it that may be a secret."""
        said = [self.headers.get(name) for name in ("authorization", "proxy-authorization", "x-api-key")]
        return [part for part in (self.target, *said, self.headers.get("webhook-signature"), self.text) if part]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def whole(self) -> str:
        return f"{self.head.decode('latin-1')}\r\n{self.text}"


def answer(status: int, text: str, *headers: str) -> bytes:
    content = text.encode()
    lines = [f"HTTP/1.1 {status} Well", *headers, f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def give_token(_: Heard) -> bytes:
    issued = {"access_token": canary(ISSUED, ""), "token_type": "Bearer", "expires_in": 3600}
    return answer(200, json.dumps(issued), "Content-Type: application/json")


@dataclass
class Wire:
    """A server that listens."""

    url: str = ""
    hook: Callable[[Heard], bytes] = lambda _: answer(204, "")
    token: Callable[[Heard], bytes] = give_token
    heard: list[Heard] = field(default_factory=list)
    arrived: SimpleQueue[Heard] = field(default_factory=SimpleQueue)

    def serve(self, peer: Peer) -> None:
        with peer.connection.makefile("rb") as stream:
            while heard := read(stream):
                self.heard.append(heard)
                self.arrived.put(heard)
                peer.send((self.token if heard.is_for_a_token else self.hook)(heard))

    @contextmanager
    def answering(self, hook: Callable[[Heard], bytes], token: Callable[[Heard], bytes] = give_token) -> Iterator[None]:
        before = self.hook, self.token
        self.hook, self.token = hook, token
        try:
            yield
        finally:
            self.hook, self.token = before


def read(stream: BinaryIO) -> Heard | None:
    head = b""
    while (line := stream.readline()).strip():
        head += line
    size = re.search(rb"(?i)content-length: *(\d+)", head)
    return Heard(head, stream.read(int(size[1]) if size else 0)) if b" HTTP/" in head else None


def echo(status: int, *headers: str) -> Callable[[Heard], bytes]:
    """Answer with the whole request, its secrets in front."""
    return lambda heard: answer(status, "\n".join([*heard.parts, heard.whole]), *headers)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    with receiving(wire.serve) as listening:
        wire.url = f"http://127.0.0.1:{listening.port}"
        yield wire


# The configuration: every kind of place, in every kind of writing


BODIES: Final = [
    {"name": "chat", "json": {"text": "{{ alert.content }}", "key": "{{ vars.routing_key }}"}},
    {"name": "page", "content_type": "text/html", "text": "<p>{{ alert.content }}</p>{{ vars.routing_key }}"},
    {"name": "formed", "form": {"text": "{{ alert.content }}", "key": "{{ vars.routing_key }}"}},
    {"name": "noted", "text": "{{ alert.content }} {{ vars.routing_key }}"},
]


@dataclass
class Ground:
    """A folder and an environment for secrets."""

    folder: Path
    patch: pytest.MonkeyPatch
    count: int = 0

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def refer(self, kind: str) -> Refer:
        ways: Mapping[str, Refer] = {"literal": str, "env": self.in_environment, "file": self.in_file}
        return ways[kind]

    def in_environment(self, secret: str) -> object:
        self.count += 1
        self.patch.setenv(f"HOOKPLUGIN_CANARY_{self.count}", secret)
        return {"env": f"HOOKPLUGIN_CANARY_{self.count}"}

    def in_file(self, secret: str) -> object:
        self.count += 1
        path = self.folder / f"{self.count}.secret"
        path.write_text(f"{secret}\n", encoding="utf-8")
        return {"file": str(path)}

    def receivers(self, url: str, kind: str, proxy: str = "") -> list[Keys]:
        """Return a receiver for each way to prove who we are."""
        text = {place: canary(place, kind) for place in SHAPES}
        refer = self.refer(kind)
        shared = {
            "url": refer(f"{url}/hooks/{text['path']}?token={text['query']}&team=sre"),
            "vars": {"routing_key": refer(text["var"])},
            "timeout": {"total": "5s"},
            "tls": {"ca": str(self.authority)},  # to load those of the machine takes longer than most commands
        }
        key = {"headers": {"X-Api-Key": refer(text["header"]), "X-Team": "sre"}}
        secrets = {"secret": [refer(text["secret"]), refer(text["second secret"])]}
        basic = {"username": refer(text["username"]), "password": refer(text["password"])}
        client = {name: refer(text[name]) for name in ("client_id", "client_secret")}
        oauth2 = {"token_url": refer(f"{url}/token/{text['token_path']}"), **client}
        through = f"http://operator:{text['proxy']}@{(proxy or url).removeprefix('http://')}"
        ways: list[Keys] = [
            {"auth": {"bearer": refer(text["bearer"])}, "body": "chat", **key, **secrets},
            {"auth": {"basic": basic}, "body": "page"},
            {"auth": {"oauth2": oauth2}, "body": "formed"},
            {"proxy": refer(through), "body": "noted"},
        ]
        return [{"name": f"{name}-{kind}", **shared, **way} for name, way in zip(WAYS, ways, strict=True)]

    def config(self, url: str, *, proxy: str = "", kinds: Sequence[str] = KINDS, **keys: Any) -> Keys:
        receivers = [one for kind in kinds for one in self.receivers(url, kind, proxy)]
        names = [one["name"] for one in receivers]
        strategies = [{"name": "all", "receivers": names, "match_all": True}]
        return {"receivers": receivers, "strategies": strategies, "bodies": BODIES, **keys}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(tmp_path_factory.mktemp("secrets"), patch)
    trustme.CA().cert_pem.write_to_path(str(ground.authority))
    return ground


def write(path: Path, keys: Keys) -> Path:
    path.write_text(yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=9999), encoding="utf-8")
    return path


# What is read: logs, errors


class _Keeping(logging.Handler):
    """Keep all of each record: message, arguments, traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.texts.append(f"{record.name} {record.getMessage()} {record.args!r} {trace} {record.stack_info or ''}")


@contextmanager
def logged() -> Iterator[list[str]]:
    """Yield what everybody logs, from DEBUG on."""
    root, keeping = logging.getLogger(), _Keeping()
    levels = {one: one.level for one in (root, logging.getLogger("hookplugin"), logging.getLogger("urllib3"))}
    root.addHandler(keeping)
    for one in levels:
        one.setLevel(logging.DEBUG)
    try:
        yield keeping.texts
    finally:
        root.removeHandler(keeping)
        for one, level in levels.items():
            one.setLevel(level)


def told(error: BaseException) -> str:
    """Return everything that is told of an error."""
    lines = getattr(error, "problems", ())
    return "\n".join([str(error), repr(error), repr(lines), *traceback.format_exception(error)])


# Commands


@dataclass
class Shell:
    """Run commands in a folder, and keep what they print."""

    run_in: RunIn
    folder: Path
    outputs: Outputs = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def run(self, command: str, stdin: bytes | None = None) -> str:
        """Run a command with an alert that was not there before."""
        done = self.run_in(self.folder, shlex.split(command), payload(next(self.numbers)) if stdin is None else stdin)
        name = command
        while name in self.codes:
            name += " again"
        self.codes[name] = done.returncode
        streams = (("out", done.stdout), ("err", done.stderr))
        self.outputs |= {f"{name} > {stream}": text.decode() for stream, text in streams if text}
        return done.stdout.decode()

    def both(self, *commands: str) -> None:
        """Run each for people and for programs, all at once."""
        self.at_once(*(command + option for command in commands for option in FORMS))

    def at_once(self, *commands: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.run, commands))


@pytest.fixture(scope="module")
def run_in(plugin: None) -> Iterator[RunIn]:
    del plugin
    with forked_commands() as run:
        yield run


SIGNERS: Final = {
    "plain": "request.secrets[0]",
    "bare": "request.secrets[0].removeprefix('whsec_')",
    "both": "request.secrets",
    "key": "base64.b64decode(request.secrets[0].removeprefix('whsec_'))",
    "encoded": "base64.b64encode(request.secrets[1].encode())",
    "percent": "quote(request.secrets[0], safe='')",
    "url": "request.url",
    "headers": "dict(request.headers)",
    "body": "request.content",
    "request": "(request, request.secrets)",
}
RETURNS: Final = {
    "returns-text": "request.secrets[0]",
    "returns-elsewhere": "replace(request, url='http://example.com/' + request.secrets[0])",
    "returns-a-name": "request.with_headers({'X ' + request.secrets[0]: 'x'})",
    "returns-a-value": "request.with_headers({'X-Signature': request.secrets[0] + chr(10)})",
    "returns-no-url": "replace(request, url=None)",
    "returns-no-headers": "replace(request, headers=list(request.headers.items()))",
    "returns-a-number": "request.with_headers({'X-Signature': 5})",
    "returns-bytes": "request.with_headers({'X-Signature': request.secrets[0].encode()})",
    "returns-no-bytes": "replace(request, content=request.content.decode() + request.secrets[0])",
    "returns-no-content": "replace(request, content=None)",
}
PLUGIN: Final = f"""\
import base64
from dataclasses import replace
from urllib.parse import quote

from hookplugin import hookimpl


def fails(request, found):
    raise ValueError(f"cannot sign with {{found!r}}: {{found}}") from RuntimeError(request.secrets)


def renders(deliveries):
    raise ValueError(f"cannot render {{deliveries!r}}")


@hookimpl
def alert_register(registry):
    registry.renderer("failing", renders)
    {"".join(f"registry.signer({name!r}, lambda request: fails(request, {what})); " for name, what in SIGNERS.items())}
    {"".join(f"registry.signer({name!r}, lambda request: {what}); " for name, what in RETURNS.items())}


@hookimpl
def alert_delivered(delivery, outcome):
    raise RuntimeError(f"{{delivery!r}} {{outcome!r}}")
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a plugin whose signers tell in their errors what they know."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "hookplugin_canaries-1.0.dist-info"
    metadata.mkdir()
    (site / "hookplugin_canaries.py").write_text(PLUGIN, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hookplugin-canaries\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("[hookplugin]\ncanaries = hookplugin_canaries\n", "utf-8")
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    patch.setenv("COLUMNS", "999")  # no table breaks a secret apart
    yield
    sys.modules.pop("hookplugin_canaries", None)


def signing(ground: Ground, wire: Wire) -> list[Keys]:
    """Return a receiver for each signer of the plugin."""
    like = ground.receivers(wire.url, "literal")[0]
    return [{**like, "name": name, "signer": name} for name in (*SIGNERS, *RETURNS)]


@pytest.fixture(scope="module")
def shell(run_in: RunIn, ground: Ground, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Run every command, with receivers that echo all that they hear, in every state of the outbox."""
    folder = tmp_path_factory.mktemp("commands")
    file = write(folder / "hookplugin.yaml", ground.config(wire.url, outbox="sqlite:///outbox.db"))
    shell = Shell(run_in, folder)
    with wire.answering(echo(200)):
        shell.at_once("fire", "fire --json", "test bearer-literal", "test proxied-env --json")
        _work(shell, file, wire)
    with wire.answering(echo(400), echo(401)):
        shell.at_once("fire", "fire --json", "test oauth-env --json")
    with wire.answering(echo(503), echo(503)):
        shell.run("fire --wait 300ms")
        _look_at_deliveries(shell)
    with wire.answering(echo(410)):
        shell.run("deliveries replay --receiver bearer-literal --reason client_error")
    paused = "receiver pause basic-env", "receiver pause oauth-env --json"
    shell.at_once(*paused, "receiver enable bearer-literal", "receiver enable bearer-env --json")
    shell.both("check", "plugins", "render", "explain", "receiver list", "strategy list", "alerts list", "demo")
    shell.both("deliveries list", "deliveries stats", "deliveries forget --receiver oauth-literal")
    shell.at_once("receiver resume basic-env", "receiver resume oauth-env --json")
    _verify(shell, wire)
    _let_plugins_fail(shell, ground, wire)
    _break(shell, file)
    _add(shell)
    return shell


def _work(shell: Shell, file: Path, wire: Wire) -> None:
    """Let a worker deliver in each form, and end."""
    shutil.copy(file, shell.folder / "json.yaml")
    change(shell.folder / "json.yaml", "outbox.db", "other.db")
    shell.at_once("fire --queue", "fire --queue --json --config json.yaml")
    while not wire.arrived.empty():
        wire.arrived.get()
    forms = "worker", "worker --json --config json.yaml"
    with ExitStack() as stack:
        workers = [stack.enter_context(working(shell.folder, *form.split()[1:])) for form in forms]
        hooks = 0
        while hooks < 2 * len(EVERYBODY):
            hooks += not wire.arrived.get(timeout=PATIENCE).is_for_a_token
        change(shell.folder / "json.yaml", "bearer:", "barer:")
        workers[1].send_signal(signal.SIGHUP)
        assert workers[1].stderr
        shell.outputs["worker < SIGHUP"] = "".join(takewhile(lambda line: "unknown key" not in line, workers[1].stderr))
        for form, worker in zip(forms, workers, strict=True):
            worker.send_signal(signal.SIGTERM)
            out, err = worker.communicate()
            shell.outputs |= {f"{form} > out": out, f"{form} > err": err}
            assert worker.returncode == 0


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def _look_at_deliveries(shell: Shell) -> None:
    """Show deliveries of each way, and in each state."""
    found = json.loads(shell.run("deliveries list --json --limit 999"))
    ids = {(one["receiver"].partition("-")[0], one["state"]): one["id"] for one in found}
    assert {state for _, state in ids} == {"delivered", "dead", "pending"}
    forms = cycle(FORMS)
    shown = [
        one
        for (way, state), one in ids.items()
        if (way == "bearer" and state != "pending") or (way, state) == ("oauth", "pending")
    ]
    commands = [f"deliveries show {one}{next(forms)}" for one in shown]
    shell.at_once(*commands, f"deliveries replay {shown[0]} --wait 300ms --json")


def _verify(shell: Shell, wire: Wire) -> None:
    """Verify what arrived, as it was and as somebody changed it."""
    signed = [heard for heard in wire.heard if "webhook-signature" in heard.headers]
    heard = next(one for one in signed if canary("path", "file") in one.target)
    files = shell.folder / "received"
    files.mkdir()
    (files / "right").write_bytes(heard.head + b"\r\n" + heard.body)
    (files / "wrong").write_bytes(heard.head + b"\r\n" + heard.body.replace(b"disk", b"desk"))
    (files / "key").write_text(canary("secret", "file"), encoding="utf-8")
    (files / "no-key").write_text(canary("bearer", "file"), encoding="utf-8")
    right = "verify received/right"
    wrong = "verify received/wrong --secret-file received/key"
    no_key = f"{right} --secret-file received/no-key"
    shell.at_once(f"{right} --receiver bearer-file", f"{right} --receiver bearer-env --json", f"{wrong} --json", no_key)
    assert shell.codes[f"{right} --receiver bearer-file"] == 0
    assert shell.codes[f"{wrong} --json"] == 1


def _let_plugins_fail(shell: Shell, ground: Ground, wire: Wire) -> None:
    """Use signers and a renderer that raise."""
    receivers = [*signing(ground, wire), {"name": "rendered", "url": wire.url, "body": "failing"}]
    write(shell.folder / "plugins.yaml", {"receivers": receivers, "bodies": BODIES})
    commands = ("test both", "test rendered --json", "verify received/right --receiver both")
    shell.at_once(*(f"{command} --config plugins.yaml" for command in commands))


def _break(shell: Shell, file: Path) -> None:
    """Run commands with configurations that are wrong in many places."""
    broken = {"typos": ("bearer:", "barer:"), "tabs": ("  auth:", "\tauth:"), "types": ("bearer: ", "bearer: !!int ")}
    for name, (old, new) in broken.items():
        shutil.copy(file, shell.folder / f"{name}.yaml")
        change(shell.folder / f"{name}.yaml", old, new)
    change(shell.folder / "typos.yaml", "routing_key:", "routing key:")
    checks = [f"check --config {name}.yaml" for name in broken]
    shell.at_once(*checks, "worker --json --config typos.yaml")
    assert [shell.codes[one] for one in checks] == [2] * len(broken)


def _add(shell: Shell) -> None:
    """Write configurations, and add to them."""
    url = f"https://hooks.example.com/{runs('path', 'literal')[0]}"
    merged = "<<: {receivers: [{name: a, url: 'http://h'}]}\n"
    env = next(name for name, value in os.environ.items() if canary("query", "env") in value)
    (shell.folder / "merged.yaml").write_text(merged, encoding="utf-8")
    shell.at_once("init added.yaml", "init another.yaml --json")
    added = (
        f"receiver add one '{{env: {env}}}'", f"receiver add two '{{env: {env}}}' --json", f"receiver add three {url}",
        f"receiver add four {url} --json", f"receiver add five '{url} x'", f"receiver add six '{{env: {url}}}' --json",
    )  # fmt: skip
    strategies = "strategy add tomorrow --receiver one", "strategy add today --receiver two --json"
    for commands in (added, strategies):
        shell.at_once(*(f"{command} --config added.yaml" for command in commands))
    shell.at_once(f"receiver add one {url} --config merged.yaml", f"receiver add one {url} --json --config merged.yaml")


@pytest.fixture(scope="module")
def files(shell: Shell) -> Outputs:
    """Return what commands have written."""
    return {path.name: path.read_bytes().decode("latin-1") for path in shell.folder.iterdir() if path.is_file()}


def test_no_command_tells_a_secret(shell: Shell) -> None:
    see_none(shell.outputs)


def test_no_command_writes_a_secret(files: Outputs) -> None:
    see_none({name: text for name, text in files.items() if ".db" in name})
    see_none(files, kinds=("env", "file", ""))
    assert runs("path", "literal")[0] in files["added.yaml"]
    assert CONTENT in files["outbox.db"]


def test_commands_tell_the_alert_and_what_became_of_it(shell: Shell) -> None:
    for name in ("fire", "fire --json", "explain", "explain --json", "render", "alerts list"):
        assert CONTENT in shell.outputs[f"{name} > out"], name
    assert shell.codes["fire"] == shell.codes["explain"] == shell.codes["test bearer-literal"] == 0
    shown = shell.outputs["test bearer-literal > out"]
    assert "200" in shown
    assert "***" in shown


# Broken configurations: each secret in the wrong type, the wrong place, under a key with a mistake, and in no YAML


def simple(place: str) -> str:
    """Return a canary that is plain in YAML, and could stand in any place."""
    text = "".join(runs(place, "literal"))
    if place in {"path", "query"}:
        return f"https://h.example/{text}" if place == "path" else f"https://h.example/?t={text}"
    if place == "token_path":
        return f"https://h.example/token/{text}"
    if place == "proxy":
        return f"http://operator:{text}@h.example:3128"
    return f"whsec_{text}abcdefghijk=" if place in {"secret", "second secret"} else text


STANDS: Final[Mapping[str, tuple[str | int, ...]]] = {
    "path": ("url",),
    "query": ("url",),
    "bearer": ("auth", "bearer"),
    "username": ("auth", "basic", "username"),
    "password": ("auth", "basic", "password"),
    "client_id": ("auth", "oauth2", "client_id"),
    "client_secret": ("auth", "oauth2", "client_secret"),
    "token_path": ("auth", "oauth2", "token_url"),
    "secret": ("secret", 0),
    "second secret": ("secret", 1),
    "header": ("headers", "X-Api-Key"),
    "var": ("vars", "routing_key"),
    "proxy": ("proxy",),
}


def whole(place: str) -> Keys:
    """Return a receiver with one way to prove who we are, whose secrets are simple."""
    stands = STANDS[place]
    way = stands[1] if stands[0] == "auth" else "bearer"
    basic = {"username": simple("username"), "password": simple("password")}
    oauth2 = {"token_url": simple("token_path"), **{name: simple(name) for name in ("client_id", "client_secret")}}
    auth = {"bearer": simple("bearer"), "basic": basic, "oauth2": oauth2}
    return {
        "name": "ops",
        "url": simple("query" if place == "query" else "path"),
        "auth": {way: auth[str(way)]},
        "secret": [simple("secret"), simple("second secret")],
        "headers": {"X-Api-Key": simple("header")},
        "vars": {"routing_key": simple("var")},
        "proxy": simple("proxy"),
        "body": "chat",
    }


def around(receiver: Keys, **keys: Any) -> Keys:
    strategies = [{"name": "all", "receivers": ["ops"]}]
    return {"receivers": [receiver], "strategies": strategies, "bodies": BODIES, **keys}


def changed(place: str, change: Callable[[Any, Any], None]) -> Keys:
    """Return a configuration in which something is done to the map, or list, that holds a secret."""
    receiver = whole(place)
    holder: Any = receiver
    for key in STANDS[place][:-1]:
        holder = holder[key]
    change(holder, STANDS[place][-1])
    return around(receiver)


def instead(make: Callable[[str], object]) -> Callable[[Any, Any], None]:
    """Put something else where a secret stands."""

    def change(holder: Any, key: Any) -> None:
        holder[key] = make(holder[key])

    return change


def renamed(make: Callable[[str, str], tuple[str, object]]) -> Callable[[Any, Any], None]:
    """Put another key where that of a secret stands."""

    def change(holder: Any, key: Any) -> None:
        if isinstance(holder, list):
            name, value = make("secret", holder[key])
            holder[key] = {name: value}
        else:
            name, value = make(key, holder.pop(key))
            holder[name] = value

    return change


VALUES: Final[Mapping[str, Callable[[str], object]]] = {
    "a list": lambda secret: [[secret]],
    "a map": lambda secret: {"value": secret},
    "a map of it": lambda secret: {secret: secret},
    "bytes": lambda secret: b"\xff" + secret.encode(),
    "a pair": lambda secret: {"env": secret, "file": secret},
    "a list for env": lambda secret: {"env": [secret]},
    "its name": lambda secret: {"env": secret},
    "its path": lambda secret: {"file": secret},
    "a line end": lambda secret: f"{secret}\n",
    "another header": lambda secret: f"{secret}\r\nX-Evil: {secret}",
    "a space": lambda secret: f" {secret}",
    "a control character": lambda secret: f"\0{secret}",
    "an umlaut": lambda secret: f"ü{secret}",
    "a surrogate": lambda secret: f"\udcff{secret}",
    "too long": lambda secret: secret * 500,
    "a user": lambda secret: secret.replace("://", "://user:word@"),
    "a port": lambda secret: secret.replace(".example", ".example:port"),
    "another scheme": lambda secret: secret.replace("http", "ftp"),
    "an expression": lambda secret: f"{{{{ {secret} }}}}",
    "a statement": lambda secret: f"{{% {secret} %}}",
    "an open expression": lambda secret: f"{secret}{{{{{secret}",
    "no end": lambda secret: f"{{# {secret}",
    "short": lambda secret: f"whsec_{secret[6:22]}",
    "no base64": lambda secret: f"{secret}!",
}
NAMES: Final[Mapping[str, Callable[[str, str], tuple[str, object]]]] = {
    "a typo": lambda name, secret: (f"{name[:-1]}", secret),
    "another typo": lambda name, secret: (f"{name}s {name}", secret),
    "capitals": lambda name, secret: (name.upper(), secret),
    "no space": lambda name, secret: (f"{name}:{secret}", None),
    "no colon": lambda name, secret: (f"{name} {secret}", None),
    "an equals sign": lambda name, secret: (f"{name}={secret}", None),
    "no name": lambda _, secret: (secret, None),
    "the wrong way round": lambda name, secret: (secret, name),
}
FILES: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "a line end": b"\n",
    "not UTF-8": b"\xff\xfe%s",
    "two lines": b"%s\n%s\n",
    "a control character": b"\x1b%s",
    "an assignment": b"TOKEN=%s \n",
}


def alone(**keys: object) -> Keys:
    return around({"name": "ops", "url": "http://h/", **keys})


def as_key(key: str) -> Callable[[str], Keys]:
    return lambda secret: alone(**{key: secret})


def as_section(key: str) -> Callable[[str], Keys]:
    return lambda secret: {**alone(), key: secret}


OF_RECEIVERS: Final = (
    "auth", "batch", "headers", "max_in_flight", "method", "proxy", "rate", "retry", "secret", "signer", "timeout",
    "tls", "vars",
)  # fmt: skip
SECTIONS: Final = (
    "bodies", "defaults", "dispatch", "durability", "keep", "max_pending", "network", "outbox", "plugins", "receivers",
    "severities", "strategies",
)  # fmt: skip
INSTEAD: Final[Mapping[str, Callable[[str], Keys]]] = {
    **{f"{key} of a receiver": as_key(key) for key in OF_RECEIVERS},
    **{key: as_section(key) for key in SECTIONS},
    "an item": lambda secret: {"receivers": [secret], "strategies": [secret], "bodies": [secret]},
    "a range": lambda secret: {"network": {"allow": [secret], "deny": secret, "private": secret}},
    "a switch": lambda secret: alone(tls={"verify": secret}),
    "a duration": lambda secret: alone(timeout={"total": secret}),
    "a certificate as text": lambda secret: alone(tls={"certificate": pem(secret)}),
    "a key as text": lambda secret: alone(tls={"certificate": __file__, "key": pem(secret)}),
    "an authority as text": lambda secret: alone(tls={"ca": pem(secret)}),
    "a file as text": lambda secret: alone(auth={"bearer": {"file": pem(secret)}}),
    "a signer": lambda secret: alone(signer={"name": secret}),
    "a signer's header": lambda secret: alone(signer={"name": "grafana", "header": f"{secret}/"}),
    "bytes in a body": lambda secret: {"bodies": [{"name": "chat", "json": {"key": secret.encode()}}]},
    "bytes in a form": lambda secret: {"bodies": [{"name": "chat", "form": {"key": secret.encode()}}]},
    "text of a body": lambda secret: {"bodies": [{"name": "chat", "json": secret}]},
}


def pem(secret: str) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"


TAGS: Final = (
    "!!int", "!!float", "!!bool", "!!null", "!!binary", "!!timestamp", "!!map", "!!seq", "!!set", "!!omap", "!",
)  # fmt: skip
SIGNS: Final = [*"*&!%@`{[|>?'\"#}\\", "- ", ", ", "<<: ", '"\\x']
Line: TypeAlias = Callable[[str, str, str], str]


def with_before(sign: str) -> Line:
    return lambda indent, key, secret: f"{indent}{key}: {sign}{secret}"


def with_behind(sign: str) -> Line:
    return lambda indent, key, secret: f"{indent}{key}: {secret}{sign}"


LINES: Final[Mapping[str, Line]] = {
    "a tab before it": lambda indent, key, secret: f"{indent[:-1]}\t{key}: {secret}",
    "a tab behind the colon": lambda indent, key, secret: f"{indent}{key}:\t\t- {secret}",
    "no space": lambda indent, key, secret: f"{indent}{key}:{secret}",
    "no colon": lambda indent, key, secret: f"{indent}{key} {secret}",
    "a colon more": lambda indent, key, secret: f"{indent}{key}: {secret}: x",
    "a key more": lambda indent, key, secret: f"{indent}{key}: {{{secret}}}",
    "twice": lambda indent, key, secret: f"{indent}{key}: {secret}\n{indent}{key}: {secret}",
    "itself twice": lambda indent, key, secret: f"{indent}{key}: {{{secret}: 1, {secret}: 2}}",
    "a key of several lines": lambda indent, key, secret: f"{indent}? {secret}\n{indent}  {key}\n{indent}: {key}",
    "a list as key": lambda indent, key, secret: f"{indent}? [{secret}]\n{indent}: {key}",
    "another indentation": lambda indent, key, secret: f"{indent}{key}: x\n{indent} {secret}: y",
    "an unknown alias": lambda indent, key, secret: f"{indent}{key}: *{secret}",
    "an anchor twice": lambda indent, key, secret: f"{indent}{key}: [&{secret} a, &{secret} b]",
    "a directive": lambda indent, key, secret: f"{indent}{key}: x\n%{secret} x\n---",
    "a control character": lambda indent, key, secret: f"{indent}{key}: \x07{secret}",
    "another document": lambda indent, key, secret: f"{indent}{key}: {secret}\n---\n{secret}",
    "deep": lambda indent, key, secret: f"{indent}{key}: {'[' * 200}{secret}{']' * 200}",
    **{f"{tag} before it": with_before(f"{tag} ") for tag in TAGS},
    **{f"{sign} before it": with_before(sign) for sign in SIGNS},
    **{f"{sign} behind it": with_behind(sign) for sign in SIGNS},
}


def texts(place: str) -> Iterator[tuple[str, str]]:
    """Yield the text of a configuration with a mistake in the line of a secret."""
    text = yaml.safe_dump(around(whole(place)), sort_keys=False, width=9999)
    lines = text.splitlines()
    number = next(index for index, line in enumerate(lines) if line.endswith(simple(place)))
    found = re.fullmatch(r"( *(?:- )?)([\w-]+: )?(.*)", lines[number])
    assert found
    indent, key = found[1], (found[2] or "secret: ").removesuffix(": ")
    for name, make in LINES.items():
        line = make(indent, key, simple(place))
        yield f"{place} with {name}", "\n".join([*lines[:number], line, *lines[number + 1 :]])


def refusal(config: Keys | Path, offered: Offered) -> str:
    """Return what is told of a configuration that is refused; nothing if it is not."""
    said: list[str] = []
    with logged() as records:
        try:
            document = open_document(config)
            for check in (lambda: resolve(document, offered), lambda: zone_and_outbox(document)):
                try:
                    check()
                except ConfigError as error:
                    said.append(told(error))
        except ConfigError as error:
            said.append(told(error))
    return "\n".join([*said, *records]) if said else ""


@pytest.fixture(scope="module")
def plugins(plugin: None) -> Iterator[Plugins]:
    """Load the plugins once: that takes longer than a delivery."""
    del plugin
    with rehearse(open_document({})) as (plugins, _):
        yield plugins


@pytest.fixture(scope="module")
def refusals(plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Return what is told of each configuration that is refused."""
    folder = tmp_path_factory.mktemp("broken")
    found: Outputs = {}
    for name, config in broken(folder):
        if isinstance(config, str):
            (folder / "hookplugin.yaml").write_text(config, encoding="utf-8", errors="surrogatepass")
        found[name] = refusal(folder / "hookplugin.yaml" if isinstance(config, str) else config, plugins.offered)
    return {name: text for name, text in found.items() if text}


def at(path: Path) -> Callable[[str], object]:
    return lambda _: {"file": str(path)}


def broken(folder: Path) -> Iterator[tuple[str, Keys | str]]:
    for place in STANDS:
        for name, make in VALUES.items():
            yield f"{place} with {name}", changed(place, instead(make))
        for name, rename in NAMES.items():
            yield f"{place} under {name}", changed(place, renamed(rename))
        for name, content in FILES.items():
            path = folder / f"{place} {name}"
            path.write_bytes(content.replace(b"%s", simple(place).encode()))
            yield f"{place} in a file, {name}", changed(place, instead(at(path)))
        (folder / f"{place}.pem").write_text(pem(simple(place)), encoding="utf-8")
        for key in ("ca", "certificate"):
            tls = {key: str(folder / f"{place}.pem")}
            yield f"{place} in a file of TLS, {key}", around({"name": "ops", "url": "https://h/", "tls": tls})
        if place in {"path", "bearer", "second secret", "header"}:
            yield from texts(place)
        for name, wrong in INSTEAD.items() if place in {"path", "bearer", "secret", "proxy"} else ():
            yield f"{place} as {name}", wrong(simple(place))


def test_no_mistake_tells_a_secret(refusals: Outputs) -> None:
    assert len(refusals) >= 100
    see_none(refusals)


# Deliveries that fail, each in its own way, and what is kept of them


def in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def by_number(text: str) -> str:
    return "".join(one if one.isalnum() else f"&#{ord(one)};" for one in text)


def by_code(text: str) -> str:
    return "".join(one if one.isalnum() else f"\\u{ord(one):04x}" for one in text)


SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "JSON": in_json,
    "JSON in ASCII": json.dumps,
    "PHP's JSON": lambda text: json.dumps(text).replace("/", "\\/"),
    "Go's JSON": lambda text: re.sub("[<>&]", lambda found: by_code(found[0]), in_json(text)),
    "Gson's JSON": lambda text: re.sub("[<>&='/]", lambda found: by_code(found[0]), in_json(text)),
    "JSON within JSON": lambda text: in_json(in_json(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "percent": lambda text: quote(text, safe=""),
    "percent in small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "percent but for slashes": quote,
    "a form": quote_plus,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML by numbers": by_number,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}


def in_words(status: int, spell: Callable[[str], str], part: int) -> Callable[[Heard], bytes]:
    """Answer with one part of the request; or with all of it, if there are not so many."""
    return lambda heard: answer(status, f"no: {spell([*heard.parts, heard.whole][min(part, len(heard.parts))])}")


Deliver: TypeAlias = Callable[[str], Outcome]


def delivers(config: Keys, plugins: Plugins) -> Deliver:
    """Return what makes one attempt to deliver to a receiver."""
    checked = resolve(open_document(config), plugins.offered)
    deliverer = deliverer_of(checked, plugins.context)
    bodies = {one.name: one.body for one in checked.receivers}

    def deliver(receiver: str) -> Outcome:
        delivery = Delivery(id="d1", alert=Alert(content=CONTENT), receiver=receiver, body=bodies[receiver])
        return deliverer.deliver(Claimed("d1", (delivery,), expires=inf)).outcome

    return deliver


@dataclass
class Attempts:
    """What became of deliveries, and what everybody logged meanwhile."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    logs: Outputs = field(default_factory=dict)

    @property
    def outputs(self) -> Outputs:
        return {**{name: repr(outcome) for name, outcome in self.outcomes.items()}, **self.logs}

    def make(self, name: str, deliver: Deliver, receivers: Iterable[str]) -> None:
        with logged() as records:
            self.outcomes |= {f"{name}, {one}": deliver(one) for one in receivers}
        self.logs[f"{name}, logged"] = "\n".join(records)


LITERAL: Final = tuple(f"{way}-literal" for way in WAYS)
EVERYBODY: Final = tuple(f"{way}-{kind}" for way in WAYS for kind in KINDS)


@pytest.fixture(scope="module")
def deliver(ground: Ground, wire: Wire, plugins: Plugins) -> Deliver:
    return delivers(ground.config(wire.url), plugins)


@pytest.fixture(scope="module")
def echoed(ground: Ground, wire: Wire, plugins: Plugins, deliver: Deliver) -> Attempts:
    """Return what is kept of answers that quote each part of a request, in each spelling."""
    found = Attempts()
    for name, spell in SPELLINGS.items():
        for part in range(6):  # a request with a signature has that many, of which the others have two of their own
            with wire.answering(in_words(400, spell, part)):
                found.make(f"{name}, part {part}", deliver, LITERAL if part in {1, 2} else LITERAL[:1])
        for part in range(2):
            with wire.answering(echo(200), in_words(400, spell, part)):  # nobody has a token yet
                asking = delivers(ground.config(wire.url, kinds=("literal",)), plugins)
                found.make(f"{name}, part {part} for a token", asking, ["oauth-literal"])
    return found


STATUSES: Final = (200, 307, 400, 401, 407, 410, 429, 500, 503, 999)


@pytest.fixture(scope="module")
def answered(ground: Ground, wire: Wire, plugins: Plugins, deliver: Deliver) -> Attempts:
    """Return what is kept of answers of every status that quote the whole request."""
    found = Attempts()
    elsewhere = f"Location: {wire.url}/elsewhere/{canary('path', 'literal')}", "Retry-After: 1"
    for status in STATUSES:
        with wire.answering(echo(status, *elsewhere), echo(status, *elsewhere)):
            found.make(f"{status}", deliver, EVERYBODY)
    with wire.answering(echo(200), lambda heard: answer(200, heard.whole)):
        asking = delivers(ground.config(wire.url, kinds=("literal",)), plugins)
        found.make("no token", asking, ["oauth-literal"])
    return found


def heads(make: Callable[[Heard], str]) -> Callable[[Heard], bytes]:
    """Answer with something that is not quite HTTP."""
    return lambda heard: make(heard).encode()


MALFORMED: Final[Mapping[str, Callable[[Heard], str]]] = {
    "no status line": lambda heard: f"{heard.parts[1]}\r\n\r\n",
    "a status line": lambda heard: f"HTTP/1.1 abc {heard.target}\r\n\r\n",
    "a reason": lambda heard: f"HTTP/1.1 500 {heard.target}\r\nContent-Length: 0\r\n\r\n",
    "a header": lambda heard: f"HTTP/1.1 400 No\r\nContent-Length: 0\r\nX-Echo: {heard.parts[1]}\r\n\r\n",
    "a header without a colon": lambda heard: (
        f"HTTP/1.1 400 No\r\nA: b\r\n{heard.parts[1 % len(heard.parts)].replace(':', '')}\r\n\r\n"
    ),
    "a head that is the request": lambda heard: f"HTTP/1.1 400 No\r\n{heard.whole}\r\n\r\n",
    "a cookie": lambda heard: (
        f"HTTP/1.1 400 No\r\nContent-Length: 0\r\nSet-Cookie: a={heard.target}; Expires=x\r\n\r\n"
    ),
    "a length": lambda heard: f"HTTP/1.1 400 No\r\nContent-Length: {heard.target}\r\n\r\n{heard.whole}",
    "an encoding": lambda heard: f"HTTP/1.1 400 No\r\nContent-Encoding: {heard.target}\r\nContent-Length: 2\r\n\r\nno",
    "chunks": lambda heard: f"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n{heard.target}\r\n{heard.whole}",
    "a time": lambda heard: f"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: {heard.target}\r\n\r\n",
}


def closing(make: Callable[[Heard], bytes]) -> Script:
    """Answer once, and close."""

    def script(peer: Peer) -> None:
        with peer.connection.makefile("rb") as stream:
            heard = read(stream)
        if heard:
            peer.send(make(heard))

    return script


@pytest.fixture(scope="module")
def broken_off(ground: Ground, wire: Wire, plugins: Plugins) -> Attempts:
    """Return what is kept of exchanges that end in no answer, or in none that is HTTP."""
    found = Attempts()

    def try_at(name: str, url: str, receivers: Iterable[str] = LITERAL, **keys: Any) -> None:
        config = ground.config(url, kinds=("literal",), **keys)
        found.make(name, delivers(config, plugins), receivers)

    scripts = {name: closing(heads(make)) for name, make in MALFORMED.items()}
    scripts |= {"a reset": faults.resets, "closed": lambda _: None}
    for name, script in scripts.items():
        with receiving(script) as listening:
            try_at(name, f"http://127.0.0.1:{listening.port}")
    with receiving(faults.silent) as listening:
        config = ground.config(f"http://127.0.0.1:{listening.port}", kinds=("literal",))
        for one in config["receivers"]:
            one["timeout"] = {"total": "50ms"}
        found.make("no answer", delivers(config, plugins), LITERAL)
    try_at("refused", "http://127.0.0.1:1")
    try_at("blocked", wire.url, network={"deny": ["127.0.0.0/8"]})
    try_at("no such name", "http://nobody.invalid")
    try_at("no such proxy", wire.url, ["proxied-literal"], proxy="http://nobody.invalid")
    try_at("no proxy", wire.url, ["proxied-literal"], proxy="http://127.0.0.1:1")
    with receiving(lambda peer: peer.send(faults.OK)) as listening:
        try_at("not TLS", f"https://127.0.0.1:{listening.port}", LITERAL[:3], proxy="http://127.0.0.1:1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)
    with receiving(wire.serve, context) as listening, wire.answering(echo(407)):
        try_at("an unknown authority", f"https://127.0.0.1:{listening.port}", proxy=wire.url)
    return found


@pytest.fixture(scope="module")
def unsigned(ground: Ground, wire: Wire, plugins: Plugins) -> Attempts:
    """Return what is kept of signers that raise, or return what cannot be sent."""
    found = Attempts()
    config = {"receivers": signing(ground, wire), "bodies": BODIES}
    with wire.answering(echo(400)):
        found.make("signed", delivers(config, plugins), [*SIGNERS, *RETURNS])
    return found


@pytest.fixture(scope="module")
def rotated(ground: Ground, wire: Wire, plugins: Plugins) -> Attempts:
    """Return what is kept while secrets change in their files: to what cannot be used, and during a request."""
    found = Attempts()
    config = ground.config(wire.url, kinds=("file",))
    files = {path: path.read_text(encoding="utf-8") for path in map(Path, sorted(set(paths_in(config))))}
    receivers = [one["name"] for one in config["receivers"]]
    with wire.answering(echo(400)):
        deliver = delivers(config, plugins)
        for name, make in CHANGES.items():
            for path, secret in files.items():
                path.write_bytes(make(secret.removesuffix("\n")))
            found.make(name, deliver, receivers)
    for path, secret in files.items():
        path.write_text(secret, encoding="utf-8")

    def change(heard: Heard) -> bytes:
        for number, path in enumerate(files):
            path.write_text(f"https://127.0.0.1/another{number}", encoding="utf-8")
        return echo(401)(heard)

    for one in receivers:
        deliver = delivers(config, plugins)
        with wire.answering(change):
            found.make("meanwhile", deliver, [one])
        for path, secret in files.items():
            path.write_text(secret, encoding="utf-8")
    return found


CHANGES: Final[Mapping[str, Callable[[str], bytes]]] = {
    "two lines": lambda secret: f"{secret}\n{secret}".encode(),
    "an umlaut": lambda secret: f"ü:{secret}".encode(),
    "not UTF-8": lambda secret: b"\xff" + secret.encode(),
    "no text": lambda _: b"",
    "another": lambda secret: f"{secret}{secret[-4:]}".encode(),
}


def paths_in(value: object) -> Iterator[str]:
    """Find the files of secrets."""
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield value["file"]
        for one in value.values():
            yield from paths_in(one)
    if isinstance(value, list):
        for one in value:
            yield from paths_in(one)


# A host: what it returns, what it logs, and the whole bytes of its outbox


@pytest.fixture(scope="module")
def hosted(ground: Ground, wire: Wire, plugin: None, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Let a host deliver to receivers that echo all they hear, and keep all that can be read of it."""
    del plugin
    folder = tmp_path_factory.mktemp("host")
    config = ground.config(wire.url, outbox=f"sqlite:///{folder}/outbox.db")
    found: Outputs = {}
    with logged() as records, ExitStack() as stack:
        host = stack.enter_context(Host(config))
        for number, status in enumerate((200, 400, 503)):
            alert = Alert(content=CONTENT, target=f"linux.disk{number}", priority="critical")
            with wire.answering(echo(status), give_token if status == 200 else echo(status)):
                receipt = host.fire(alert)
                assert len(receipt.deliveries) == len(EVERYBODY)
                outcomes = host.wait(receipt, PATIENCE if status < 500 else 0.3)
                found |= dumps(f"the receipt of {status}", receipt)
                found |= {f"{status} {one}": repr(outcome) for one, outcome in outcomes.items() if outcome}
                found |= bytes_in(folder, f"{status}")
            found |= dumps(f"the explanation of {status}", host.explain(alert))
        found |= dumps("Host.config", host.config)
        found["the host"] = f"{host!r} {host.context!r} {host.plugins!r}"
    found |= bytes_in(folder, "closed")
    found["logged"] = "\n".join(records)
    return found


def bytes_in(folder: Path, when: str) -> Outputs:
    return {f"{path.name} after {when}": path.read_bytes().decode("latin-1") for path in folder.iterdir()}


def dumps(name: str, value: BaseModel) -> Outputs:
    """Write a model in every way."""
    return {
        f"repr of {name}": repr(value),
        f"str of {name}": str(value),
        f"dump of {name}": repr(value.model_dump()),
        f"dump of {name} for JSON": repr(value.model_dump(mode="json")),
        f"JSON of {name}": value.model_dump_json(),
        f"{name}, pretty": f"{pformat(value)} {pretty_repr(value)}",
        f"{name}, logged": logging.LogRecord("x", 10, "x", 1, "%s %r", (value, value), None).getMessage(),
    }


@pytest.fixture(scope="module")
def reprs(ground: Ground, wire: Wire, plugins: Plugins) -> Outputs:
    """Return how everything is written that holds a secret."""
    document = open_document(ground.config(wire.url, defaults={"vars": {"routing_key": canary("var", "literal")}}))
    config = resolve(document, plugins.offered)
    found = dumps("the configuration", config) | dumps("the defaults", config.defaults)
    for one in config.receivers:
        found |= dumps(one.name, one) | dumps(f"tls of {one.name}", one.tls)
        for part in (one.auth, one.auth and one.auth.basic, one.auth and one.auth.oauth2):
            found |= dumps(f"{type(part).__name__} of {one.name}", part) if part else {}
        found[f"secrets of {one.name}"] = f"{one.secrets!r} {one.secret} {one.url} {one.headers} {one.vars} {one.proxy}"
    request = WireRequest(
        id="d1",
        timestamp=1,
        method="POST",
        url=f"{wire.url}/hooks/{canary('path', 'literal')}",
        headers={"Authorization": canary("bearer", "literal")},
        content=canary("var", "literal").encode(),
        secrets=(canary("secret", "literal"),),
    )
    for name, value in {
        "a request": request,
        "a document": document,
        "a token": Token(canary(ISSUED, ""), 1.0, 2.0),
        "a call": Call(target=f"/hooks/{canary('path', 'literal')}"),
        "an answer": Answer(400, {"X-Echo": canary("path", "literal")}, canary("bearer", "literal")),
    }.items():
        found[name] = f"{value!r} {value} {pformat(value)} {pretty_repr(value)}"
    return found


@pytest.fixture(scope="module")
def invalid() -> Outputs:
    """Return what pydantic says to a host that makes a model by itself."""
    found: Outputs = {}
    for place in STANDS:
        for name, make in VALUES.items():
            with suppress(ConfigError):
                try:
                    Config.model_validate(changed(place, instead(make)))
                except ValidationError as error:
                    found[f"{place} with {name}, by itself"] = told(error)
    return found


def test_no_host_tells_or_keeps_a_secret(hosted: Outputs) -> None:
    see_none(hosted)
    for name in ("outbox.db-wal after 503", "outbox.db after closed", "logged"):
        assert CONTENT in hosted[name], name
    assert "\xffrouting_key\xff" in hosted["outbox.db after closed"]  # bodies are kept, with places for secrets


def test_nothing_that_holds_a_secret_writes_it(reprs: Outputs) -> None:
    see_none(reprs)


def test_no_model_tells_a_secret_that_is_wrong(invalid: Outputs) -> None:
    see_none(invalid)


def test_no_signer_tells_a_secret(unsigned: Attempts) -> None:
    see_none(unsigned.outputs)
    assert all(outcome.state == "dead" for outcome in unsigned.outcomes.values())


def test_no_change_of_a_file_tells_a_secret(rotated: Attempts) -> None:
    see_none(rotated.outputs)
    assert "the former one is kept" in rotated.outputs["two lines, logged"]


def test_no_answer_is_kept_with_a_secret_in_it(answered: Attempts) -> None:
    see_none(answered.outputs)


def test_no_answer_is_kept_with_a_secret_in_another_spelling(echoed: Attempts) -> None:
    see_none(echoed.outputs)


def test_no_failure_of_the_wire_tells_a_secret(broken_off: Attempts) -> None:
    see_none(broken_off.outputs)


def test_answers_are_kept_but_for_the_secrets(wire: Wire, deliver: Deliver) -> None:
    words = "there is no such place for alerts: {}; ask who is on call for db1"
    with wire.answering(lambda heard: answer(404, words.format(heard.headers["x-api-key"]))):
        assert deliver("bearer-literal").detail == words.format("***")


# The tests themselves: they could fail


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_would_be_seen_in_each_spelling(spelling: str) -> None:
    for place, kind in PLACES:
        secret = unquote(canary(place, kind)).removeprefix("whsec_")
        for before in ("", "a", "ab"):
            said = f"> {SPELLINGS[spelling](before + secret + before)}"
            assert f"{place} ({kind})" in leaks({"said": said}), said


def credentials(header: str | None, encoding: str = "utf-8") -> tuple[str, str]:
    kind, _, pair = (header or "").partition(" ")
    user, _, word = base64.b64decode(pair if kind == "Basic" else "").decode(encoding).partition(":")
    return user, word


def is_signed(heard: Heard, secret: str) -> bool:
    said = heard.headers
    message = f"{said.get('webhook-id')}.{said.get('webhook-timestamp')}.".encode() + heard.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, message, "sha256")).decode()
    return f"v1,{signature}" in said.get("webhook-signature", "").split()


def carries(heard: Heard, place: str, secret: str) -> bool:
    """Say whether a request has a secret where it belongs."""
    said, key = heard.headers, ""
    user, word = credentials(said.get("authorization"))
    if "json" in said["content-type"]:
        key = json.loads(heard.body).get("key", "")
    elif "form" in said["content-type"]:
        key = parse_qs(heard.text).get("key", [""])[0]
    where: Mapping[str, Callable[[], bool]] = {
        "path": lambda: f"/hooks/{secret}?" in heard.target,
        "query": lambda: f"?token={secret}&team=sre" in heard.target,
        "token_path": lambda: heard.target.endswith(f"/token/{secret}"),
        "bearer": lambda: said.get("authorization") == f"Bearer {secret}",
        "username": lambda: user == secret,
        "password": lambda: word == secret,
        "client_id": lambda: heard.is_for_a_token and unquote_plus(user) == secret,
        "client_secret": lambda: heard.is_for_a_token and unquote_plus(word) == secret,
        "secret": lambda: is_signed(heard, secret),
        "second secret": lambda: is_signed(heard, secret),
        "header": lambda: said.get("x-api-key") == secret,
        "var": lambda: key == secret,
        "proxy": lambda: credentials(said.get("proxy-authorization"), "latin-1") == ("operator", unquote(secret)),
    }
    return where[place]()


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_each_secret_was_on_the_wire(place: str, kind: str, answered: Attempts, wire: Wire) -> None:
    assert answered.outcomes
    assert any(carries(heard, place, canary(place, kind)) for heard in wire.heard if "content-type" in heard.headers)


@pytest.fixture(scope="module")
def everything(request: pytest.FixtureRequest) -> list[Outputs]:
    gathered = (
        "shell",
        "refusals",
        "echoed",
        "answered",
        "broken_off",
        "unsigned",
        "rotated",
        "hosted",
        "reprs",
        "invalid",
    )
    found = [request.getfixturevalue(name) for name in gathered]
    return [one if isinstance(one, dict) else one.outputs for one in found]


def test_there_are_hundreds_of_outputs_and_a_dozen_secrets(everything: list[Outputs]) -> None:
    assert len({text for outputs in everything for text in outputs.values()}) >= 200
    assert len(SHAPES) >= 12

"""Nobody is reached whom the network policy closes, however an address is written, found or gone through."""

from __future__ import annotations

import base64
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import faults
import pytest
import trustme
from faults import Peer, Receiving, receiving
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from hookplugin.delivery.guard import (
    ANYWHERE,
    BLOCKED,
    Found,
    Guard,
    IpAddress,
    IpNetwork,
    Lookup,
    Network,
    is_reachable,
)
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.retry import is_retried
from hookplugin.delivery.sender import Sender
from hookplugin.delivery.session import Sessions
from hookspecs import Body, Outcome, Reason

BODY = Body(content=b"{}")
INSIDE, OPEN, DEAD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
NAME = "hooks.example.com"
UNKNOWN = "the name of the host is not known"
SHORT = {"connect": 0.3, "read": 0.3, "total": 0.4}

CLOSED = Network.model_validate({"private": "deny"})
ONE_OPEN = Network.model_validate({"private": "deny", "allow": [f"{OPEN}/32"]})
EVERYTHING = Network.model_validate({"private": "deny", "allow": ["0.0.0.0/0", "::/0"]})
ALL_ALLOWED = Network.model_validate({"private": "allow", "allow": ["0.0.0.0/0", "::/0"]})
POLICIES = (ANYWHERE, CLOSED, EVERYTHING, ALL_ALLOWED)

Answer: TypeAlias = "Sequence[str] | Exception"


def sender(url: str, policy: Network = ANYWHERE, look_up: Lookup | None = None, **settings: Any) -> Sender:
    timeout = {"connect": 0.5, "read": 5, "total": 5}
    receiver = Receiver.model_validate({"name": "r", "url": url, "timeout": timeout, **settings})
    guard = Guard(policy, look_up) if look_up else Guard(policy)
    return Sender(receiver, Sessions(guard, receiver.tls if receiver.may_need_tls else None, receiver.proxy))


def attempt(url: str, policy: Network = ANYWHERE, look_up: Lookup | None = None, **settings: Any) -> Outcome:
    return sender(url, policy, look_up, **settings).send("id-1", BODY, {}).outcome


def attempt_if_accepted(url: str, policy: Network, look_up: Lookup | None = None, **settings: Any) -> Outcome | None:
    try:
        return attempt(url, policy, look_up, **settings)
    except ValidationError:
        return None


def ends_blocked(outcome: Outcome) -> bool:
    """Say whether an outcome is the one that everybody is told, and final."""
    told = (outcome.state, outcome.reason, outcome.status, outcome.detail)
    return told == ("dead", Reason.blocked, None, BLOCKED) and not is_retried(outcome)


@dataclass
class Resolver:
    """Answer each look-up with the next of the answers, and count them."""

    answers: Iterator[Answer]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> list[Found]:
        self.asked.append(host)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return [found(address, port) for address in answer]


def found(address: str, port: int) -> Found:
    return (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))


def always(*addresses: str) -> Resolver:
    return Resolver(cycle([addresses]))


@dataclass
class Door:
    """A listener at every address of this machine: who calls is answered."""

    port: int
    calls: SimpleQueue[tuple[str, tuple[str, int]]] = field(default_factory=SimpleQueue)
    heard: bytes = b""

    def called(self) -> list[str]:
        """Return the addresses that somebody has connected to since this was asked last."""
        with socket.create_connection((INSIDE, self.port)) as bell:
            mine = bell.getsockname()
        return list(iter(partial(self._next, mine), None))

    def _next(self, mine: tuple[str, int]) -> str | None:
        address, caller = self.calls.get(timeout=5)
        return None if caller == mine else address

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, caller = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    self.calls.put((plain(connection.getsockname()[0]), (plain(caller[0]), caller[1])))
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        """Answer a request; a TLS handshake gets no other answer, so that it is over at once."""
        data = b""
        while not data.startswith(b"\x16") and not data.endswith(BODY.content):
            chunk = connection.recv(65536)
            if not chunk:
                return
            data += chunk
            self.heard += chunk
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


@pytest.fixture(scope="module")
def shared_door() -> Iterator[Door]:
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(("", 0), family=family, backlog=128, dualstack_ipv6=dual) as listener:
        door = Door(listener.getsockname()[1])
        thread = threading.Thread(target=door.serve, args=(listener,))
        thread.start()
        yield door
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def door(shared_door: Door) -> Door:
    shared_door.called()
    shared_door.heard = b""
    return shared_door


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@contextmanager
def nobody_connects() -> Iterator[list[str]]:
    """Refuse every connection before it is tried, and note where to: some of these addresses are other people's."""
    tried: list[str] = []

    def connect(_: socket.socket, address: tuple[Any, ...]) -> None:
        tried.append(str(address[0]))
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect, raising=False)
        yield tried


def has_ipv6_loopback() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


LOOPBACK = (
    "127.0.0.1", "127.1", "127.0.1", "127.0.0.2", "127.255.255.254",  # short, and the whole range
    "2130706433", "0x7f000001", "0X7F000001", "017700000001",
    "0x7f.1", "0x7f.0.0.1", "0x7F.000.0X0.1", "0x7f.0x0.0x0.0x1", "0x0000000000007f.1",
    "0177.1", "0177.0.0.1", "00000177.0.0.1", "127.0x0.0.01", "127.0.0x1",
    "0", "00", "0x0", "0.0", "0.0.0", "0.0.0.0",  # the kernel takes this for 127.0.0.1
    "localhost", "LOCALHOST", "LocalHost",
)  # fmt: skip
LOOPBACK_6 = (
    "[::1]", "[0::1]", "[::0001]", "[::0.0.0.1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]", "[::0]", "[0::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:1]", "[::ffff:7fff:fffe]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0.0.0.0]", "[::ffff:0:0]",
)  # fmt: skip
ODD = (
    "%6cocalhost", "%4Cocalhost", "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%2f.nobody.invalid",
    "%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1", "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "127%E3%80%820%E3%80%820%E3%80%821",
    "①②⑦.⓪.⓪.①", "\uff11\uff12\uff17.0.0.1", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "localhost.", "127.0.0.1.", "127.1.", "0.", "0x7f000001.", "2130706433.", "localhost.localdomain", "*", "*.0.0.1",
    "4294967297", "6425673729", "127.16777217", "127.0.65537", "127.0.0.257", "383.0.0.1", "-2130706433",
    "[127.0.0.1]", "[localhost]", "[2130706433]", "[::1]x", "[::1].", "[::1][::1]", "[v1.7f000001]", "[::1", "::1",
    "[::1%25lo]", "[::1%251]", "[::ffff:127.0.0.1%25lo]", "[fe80::1%25lo]", "[fe80::1%251]",
)  # fmt: skip
EMBEDDED = (
    "[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:127.0.0.1]", "[::ffff:0:7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[64:ff9b:1:7f00:0:100::]",
    "[2002:7f00:1::]", "[2002:7f00:0001::1]", "[2002:a00:1::]", "[2002:c0a8:101::1]",
    "[2001:0:7f00:1:0:0:80ff:fffe]", "[2001::80ff:fffe]", "[2001:0:0808:0808::f5ff:fffe]",
    "[fe80::5efe:127.0.0.1]", "[fe80::200:5efe:7f00:1]", "[fd00::5efe:10.0.0.1]",
    "[::ffff:10.0.0.1]", "[::ffff:c0a8:101]", "[::ffff:100.64.0.1]", "[::ffff:224.0.0.1]", "[::ffff:192.0.2.1]",
)  # fmt: skip
PRIVATE = (
    "10.0.0.1", "10.1", "167772161", "0xa000001", "012.0.0.1", "10.255.255.255",
    "172.16.0.1", "172.31.255.255", "172.1048577", "0xac.16.1", "2886729729",
    "192.168.0.1", "192.168.1", "0300.0250.1.1", "3232235777", "0xc0a80101",
    "100.64.0.1", "100.127.255.254", "1681915905", "0.0.0.1", "0.255.255.255", "169.254.0.1", "192.0.0.1", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "0xe0000001", "239.255.255.255", "240.0.0.1", "255.255.255.255", "4294967295", "0xffffffff",
    "[fc00::1]", "[fd00::1]", "[fdff:ffff::1]", "[fec0::1]", "[fe80::1]", "[febf::1]", "[ff02::1]", "[ff05::1:3]",
    "[100::1]", "[2001:db8::1]", "[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[3fff::1]", "[4000::1]", "[5f00::1]",
    "[8000::1]", "[1::1]", "[::2]", "[200::1]",
)  # fmt: skip
TRICKS = (
    "{scheme}://public@127.0.0.1:{port}/", "{scheme}://public:80@127.0.0.1:{port}/", "{scheme}://@127.0.0.1:{port}/",
    "{scheme}://public%40127.0.0.1:{port}/", "{scheme}://nobody.invalid@127.0.0.1@127.0.0.1:{port}/",
    "{scheme}://127.0.0.1:{port}@nobody.invalid/", "{scheme}://nobody.invalid%2f@127.0.0.1:{port}/",
    "{scheme}://127.0.0.1:{port}\\@nobody.invalid/", "{scheme}://nobody.invalid\\@127.0.0.1:{port}/",
    "{scheme}:\\\\127.0.0.1:{port}/", "{scheme}://127.0.0.1:{port}\\.nobody.invalid/",
    "{scheme}:///127.0.0.1:{port}/", "{scheme}:////127.0.0.1:{port}/", "{scheme}:/127.0.0.1:{port}/",
    "{scheme}:127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "{scheme}://:{port}/",
    "{scheme}://127.0.0.1:{port}#@nobody.invalid/", "{scheme}://127.0.0.1:{port}?@nobody.invalid/",
    "{scheme}://127.0.0.1:{port}/@nobody.invalid/", "{scheme}://127.0.0.1:{port}#nobody.invalid:80",
    "{scheme}://nobody.invalid#@127.0.0.1:{port}/", "{scheme}://nobody.invalid?@127.0.0.1:{port}/",
    "{scheme}://nobody.invalid:80#@127.0.0.1:{port}/", "{scheme}://nobody.invalid//127.0.0.1:{port}/",
    "{scheme}://nobody.invalid;@127.0.0.1:{port}/", "{scheme}://nobody.invalid&@127.0.0.1:{port}/",
    "{scheme}://nobody.invalid:80:127.0.0.1:{port}/", "{scheme}://127.0.0.1:{port}:80/", "{scheme}://127.0.0.1:0{port}/",
    "{scheme}://127.0.0.1:+{port}/", "{scheme}://127.0.0.1:%3{port}/", "{scheme}://127.0.0.1 :{port}/",
    "{scheme}://127.0.0.1\t:{port}/", "{scheme}://127.0.\n0.1:{port}/", "\t{scheme}://127.0.0.1:{port}/",
    "\x01{scheme}://127.0.0.1:{port}/", "{scheme}://127.0.0.1\0.nobody.invalid:{port}/", "{scheme}://\u00ad127.0.0.1:{port}/",
    "{scheme}://127.0.0.1\u3002:{port}/", "{scheme}://[::1\u2024]:{port}/", "{scheme}s://127.0.0.1:{port}/",
    "{scheme}+unix://127.0.0.1:{port}/", "file://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/",
    "{scheme}://127.0.0.1,nobody.invalid:{port}/", "{scheme}://127.0.0.1;nobody.invalid:{port}/",
    "url:{scheme}://127.0.0.1:{port}/", "{scheme}://xn--127-.0.0.1:{port}/",
)  # fmt: skip
SPELLINGS = (
    *(f"{{scheme}}://{host}:{{port}}/" for host in (*LOOPBACK, *LOOPBACK_6, *ODD, *EMBEDDED, *PRIVATE)),
    *TRICKS,
    *(
        f"{{scheme}}://{host}:{{port}}/"
        for host in (
            *("127.0.0.1%00", "127.0.0.1%00.nobody.invalid", "127.0.0.1%0d%0a", "[::1%lo]", "[fe80::1%lo]"),
            *("[2a00::5efe:127.0.0.1]", "[2a00::200:5efe:a00:1]"),
        )
    ),
)


def hostile(host: str, port: int) -> list[Found]:
    """Read an address as the machine does, and find every name inside."""
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return [found(INSIDE, port)]
    return [(family, address) for family, _, _, _, address in known]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_an_inside_address_is_connected_to(spelling: str, scheme: str, door: Door) -> None:
    url = spelling.format(scheme=scheme, port=door.port)
    outcome = attempt_if_accepted(url, CLOSED, hostile, tls={"verify": False})
    assert door.called() == []
    assert outcome is None or ends_blocked(outcome)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::1]", "localhost", "localhost."])
def test_the_resolver_of_this_machine_leads_nowhere_inside_either(host: str, scheme: str, door: Door) -> None:
    outcome = attempt(f"{scheme}://{host}:{door.port}/", CLOSED, tls={"verify": False})
    assert door.called() == []
    assert ends_blocked(outcome) or (outcome.reason, outcome.detail) == (Reason.connection, UNKNOWN)


@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
@pytest.mark.parametrize("host", [*LOOPBACK, *(LOOPBACK_6 if has_ipv6_loopback() else ())])
def test_the_same_spellings_reach_this_machine_where_the_policy_lets_them(host: str, scheme: str, door: Door) -> None:
    outcome = attempt(f"{scheme}://{host}:{door.port}/", tls={"verify": False})
    assert len(door.called()) == 1
    assert outcome.reason is (Reason.tls if scheme.lower() == "https" else None)


PIECES = st.one_of(
    st.sampled_from([*LOOPBACK, *LOOPBACK_6, *EMBEDDED, *PRIVATE, "localhost", "nobody.invalid", "8.8.8.8"]),
    st.sampled_from(["0x7f", "0177", "127", "1", "0", "::", "ffff:", "64:ff9b::", "2002:", "7f00", "xn--", "0x"]),
    st.sampled_from([*"@:/?#\\[]%.;,&=~!*", "%25", "%2e", "%00", "%40", "://", "http://", "\u3002", "\uff0e", "①"]),
    st.text("0123456789abcdefx.:", max_size=8),
    st.integers(0, 2**32).map(str),
    st.ip_addresses(v=4).map(lambda address: hex(int(address))),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)


def is_inside(address: str) -> bool:
    there = ip_address(address.partition("%")[0])
    if isinstance(there, IPv6Address) and there.ipv4_mapped:
        there = there.ipv4_mapped
    return not there.is_global or there.is_multicast or there.is_reserved


@settings(max_examples=300)
@given(st.sampled_from(["http://", "https://", "HTTP://", ""]), st.lists(PIECES, max_size=6).map("".join))
def test_whatever_the_url_nobody_inside_is_connected_to(scheme: str, rest: str) -> None:
    with nobody_connects() as tried, suppress(ValidationError):
        attempt(scheme + rest, CLOSED, hostile, tls={"verify": False})
    assert not [address for address in tried if is_inside(address)]


METADATA = (
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "169.254.255.255", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fe80::1", "fe80::a9fe:a9fe",
    "febf:ffff::1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:100.100.100.200", "::ffff:a83f:8110",
    "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::168.63.129.16",
    "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "2002:6464:64c8::1", "2001:0:a9fe:a9fe::", "2001::5601:5601",
    "2a00::5efe:169.254.169.254", "fd00::200:5efe:a9fe:a9fe",
)  # fmt: skip
METADATA_TOO = (
    *METADATA,
    pytest.param("100.96.0.96", id="Volcano Engine"),
    pytest.param("100.80.80.80", id="UCloud"),
    pytest.param("fd00:c1::a9fe:a9fe", id="Oracle Cloud"),
    pytest.param("fd00:a9fe:a9fe::1", id="Akamai"),
    pytest.param("fd00:100::100:200", id="Alibaba Cloud"),
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
)


@pytest.mark.parametrize("address", METADATA_TOO)
def test_metadata_and_link_local_addresses_are_reachable_under_no_policy(address: str) -> None:
    exactly = Network(private="allow", allow=(ip_network(address),))
    for policy in (*POLICIES, exactly):
        assert not is_reachable(ip_address(address), policy)


@pytest.mark.parametrize("address", METADATA)
def test_a_name_that_leads_to_metadata_is_connected_to_under_no_policy(address: str) -> None:
    for policy in POLICIES:
        resolver = always(address)
        with nobody_connects() as tried:
            outcome = attempt(f"http://{NAME}/latest/meta-data/", policy, resolver)
        assert ends_blocked(outcome)
        assert (resolver.asked, tried) == ([NAME], [])


METADATA_URLS = (
    "http://169.254.169.254/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/",
    "http://025177524776/", "http://0xa9.254.0251.254/", "http://169.254.43518/", "http://169.16689662/",
    "http://169.254.169.254:80/latest/meta-data/", "https://169.254.169.254/", "http://%3169.254.169.254/",
    "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b::169.254.169.254]/", "http://[2002:a9fe:a9fe::]/", "http://[::169.254.169.254]/",
    "http://[fd00:ec2::254]/", "http://[fd00:0ec2:0:0::0254]/", "http://[fd20:ce::254]/", "http://[fd00:42::42]/",
    "http://[fe80::1]/", "http://[fe80::a9fe:a9fe]/", "http://[fe80::1%251]/",
    "http://100.100.100.200/", "http://1684301000/", "http://168.63.129.16/", "http://0xa83f8110/",
    "http://192.0.0.192/", "http://0300.0.0.0300/",
)  # fmt: skip


@pytest.mark.parametrize("url", METADATA_URLS)
def test_no_spelling_of_a_metadata_address_is_connected_to_under_any_policy(url: str) -> None:
    for policy in POLICIES:
        with nobody_connects() as tried:
            outcome = attempt_if_accepted(url, policy, tls={"verify": False})
        assert outcome is None or ends_blocked(outcome)
        assert tried == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere(status: int, door: Door) -> None:
    head = f"HTTP/1.1 {status} Go\r\nLocation: http://127.0.0.1:{door.port}/\r\nRefresh: 0; url=http://127.0.0.1:{door.port}/"
    with receiving(faults.answers(f"{head}\r\nContent-Length: 0\r\n\r\n".encode())) as receiver:
        outcome = attempt(f"http://127.0.0.1:{receiver.port}/")
    assert outcome.reason is Reason.redirect
    assert door.called() == []


def test_a_token_is_asked_for_under_the_same_policy(door: Door) -> None:
    oauth2 = {"token_url": f"http://127.1:{door.port}/", "client_id": "i", "client_secret": "s"}
    outcome = attempt(f"http://{NAME}:{door.port}/", ONE_OPEN, auth={"oauth2": oauth2})
    assert ends_blocked(outcome)
    assert door.called() == []


def test_a_zone_opens_no_link_local_address(door: Door) -> None:
    for address in ("fe80::1%lo", "fe80::1%1", "fe80::fc:ff:fe00:1%eth0"):
        assert ends_blocked(attempt(f"http://{NAME}:{door.port}/", ALL_ALLOWED, always(address)))
    assert door.called() == []


def test_a_name_that_flips_between_outside_and_inside_never_reaches_inside(door: Door) -> None:
    resolver = Resolver(cycle([[OPEN], [INSIDE]]))
    to = sender(f"http://{NAME}:{door.port}/", ONE_OPEN, resolver)
    outcomes = [to.send(str(number), BODY, {}).outcome for number in range(1000)]
    assert [outcome.state for outcome in outcomes[::2]] == ["delivered"] * 500
    assert all(map(ends_blocked, outcomes[1::2]))
    assert len(resolver.asked) == 1000
    assert door.called() == [OPEN] * 500


@pytest.mark.parametrize(
    "addresses",
    [
        (OPEN, INSIDE), (INSIDE, OPEN), (OPEN, OPEN, INSIDE), (OPEN, "::1"), ("::1", OPEN), (OPEN, f"::ffff:{INSIDE}"),
        (OPEN, "169.254.169.254"), ("169.254.169.254", OPEN), (OPEN, "0.0.0.0"), (OPEN, DEAD), ("8.8.8.8", "10.0.0.1"),
    ],
)  # fmt: skip
def test_one_closed_address_among_others_closes_the_name(addresses: tuple[str, ...], door: Door) -> None:
    with nobody_connects() as tried:
        outcome = attempt(f"http://{NAME}:{door.port}/", ONE_OPEN, always(*addresses))
    assert ends_blocked(outcome)
    assert tried == []
    assert door.called() == []


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Reason.connection, UNKNOWN),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Reason.connection, UNKNOWN),
        (OSError(errno.EMFILE, "too many open files"), Reason.connection, "too many open files"),
        (TimeoutError("slow"), Reason.timeout, "no complete answer in time"),
        (UnicodeError("label too long"), Reason.connection, UNKNOWN),
    ],
)
def test_a_failed_look_up_opens_nothing_for_the_next_one(
    error: Exception, reason: Reason, detail: str, door: Door
) -> None:
    to = sender(f"http://{NAME}:{door.port}/", ONE_OPEN, Resolver(iter([error, [INSIDE], error, [OPEN]])))
    failed, blocked, again, delivered = (to.send(str(number), BODY, {}).outcome for number in range(4))
    assert [(one.reason, one.detail) for one in (failed, again)] == [(reason, detail)] * 2
    assert is_retried(failed)
    assert ends_blocked(blocked)
    assert delivered.state == "delivered"
    assert door.called() == [OPEN]


@pytest.mark.parametrize("host", ["a..b", ".b", f"{'a' * 64}.b", "a." * 200 + "b"])
def test_a_name_that_cannot_be_one_is_not_known(host: str) -> None:
    outcome = attempt(f"http://{host}/", CLOSED)
    assert (outcome.reason, outcome.detail) == (Reason.connection, UNKNOWN)


def test_a_name_without_an_address_is_a_failed_connection() -> None:
    outcome = attempt(f"http://{NAME}/", look_up=always())
    assert (outcome.reason, outcome.detail) == (Reason.connection, "the name has no address")


@pytest.mark.parametrize("other", [INSIDE, DEAD, "127.0.0.0", "::1", "10.0.0.1", "::ffff:127.0.0.3"])
def test_one_allowed_address_opens_no_other(other: str, door: Door) -> None:
    to = sender(f"http://{NAME}:{door.port}/", ONE_OPEN, Resolver(iter([[OPEN], [other], [f"::ffff:{OPEN}"]])))
    first, second, third = (to.send(str(number), BODY, {}).outcome for number in range(3))
    assert (first.state, third.state) == ("delivered", "delivered")
    assert ends_blocked(second)
    assert door.called() == [OPEN, OPEN]


@pytest.mark.parametrize("dead", [(DEAD,), ("192.0.2.77",), (DEAD, "127.0.0.4", "127.0.0.5"), ("2001:db8::1", DEAD)])
def test_after_an_address_that_does_not_answer_the_next_one_is_tried(dead: tuple[str, ...]) -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        timeout = {"connect": 0.2, "read": 5, "total": 9}
        outcome = attempt(f"http://{NAME}:{receiver.port}/", look_up=always(*dead, INSIDE), timeout=timeout)
    assert outcome.state == "delivered"
    assert len(receiver.peers) == 1


def test_addresses_that_do_not_answer_end_in_time(stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server((INSIDE, 0), backlog=0))
    port = listener.getsockname()[1]
    for _ in range(3):  # they fill the queue of the listener
        other = stack.enter_context(socket.socket())
        other.settimeout(0)
        other.connect_ex((INSIDE, port))
    started = time.monotonic()
    outcome = attempt(f"http://{NAME}:{port}/", look_up=always(*[INSIDE] * 100), timeout=SHORT)
    assert time.monotonic() - started < 0.4 + 0.5
    assert outcome.reason is Reason.timeout


@dataclass
class Hanging:
    """Answer no look-up before it is told to."""

    go: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> list[Found]:
        self.asked.append(host)
        self.go.wait(20)
        return [found(OPEN, port)]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    resolver = Hanging()
    yield resolver
    resolver.go.set()


def test_a_look_up_that_hangs_ends_in_time_and_is_made_once(hanging: Hanging, door: Door) -> None:
    before = threading.active_count()
    timeout = {"connect": 0.05, "read": 5, "total": 5}
    to = sender(f"http://{NAME}:{door.port}/", ONE_OPEN, hanging, timeout=timeout)
    started = time.monotonic()
    outcomes = [to.send(str(number), BODY, {}).outcome for number in range(10)]
    assert time.monotonic() - started < 10 * 0.05 + 1
    assert {outcome.reason for outcome in outcomes} == {Reason.timeout}
    assert all(map(is_retried, outcomes))
    assert hanging.asked == [NAME]
    assert threading.active_count() <= before + 1
    hanging.go.set()
    assert to.send("id-1", BODY, {}).outcome.state == "delivered"
    assert door.called() == [OPEN]


def test_a_look_up_that_hangs_does_not_hold_up_other_names(hanging: Hanging, door: Door) -> None:
    def look_up(host: str, port: int) -> Sequence[Found]:
        return hanging(host, port) if host == NAME else [found(OPEN, port)]

    guard = Guard(ONE_OPEN, look_up)
    with pytest.raises(TimeoutError):
        guard.addresses(NAME, door.port, 0.05)
    assert guard.addresses("other.example.com", door.port, 5) == [found(OPEN, door.port)]
    assert guard.addresses(OPEN, door.port, 5) == [found(OPEN, door.port)]


def test_threads_that_ask_for_a_name_at_the_same_time_share_one_look_up(hanging: Hanging) -> None:
    guard = Guard(ONE_OPEN, hanging)
    together = threading.Barrier(16)

    def ask() -> None:
        together.wait(5)
        with suppress(TimeoutError):
            guard.addresses(NAME, 80, 0.2)

    with ThreadPoolExecutor(16) as pool:
        for _ in range(16):
            pool.submit(ask)
    assert hanging.asked == [NAME]


def test_a_machine_without_room_for_a_thread_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outcome = attempt(f"http://{NAME}/", look_up=always(OPEN))
    assert outcome.reason is Reason.connection
    assert is_retried(outcome)


def test_a_look_up_that_is_over_is_made_again() -> None:
    resolver = Resolver(cycle([[OPEN], [INSIDE]]))
    guard = Guard(ANYWHERE, resolver)
    answers = [guard.addresses(NAME, 80, 5) for _ in range(1000)]
    assert answers == [[found(OPEN, 80)], [found(INSIDE, 80)]] * 500


def test_the_peer_is_checked_again_before_anything_is_sent(door: Door) -> None:
    policy = Network.model_validate({"private": "deny", "allow": ["0.0.0.0"]})  # the kernel takes it for 127.0.0.1
    outcome = attempt(f"http://{NAME}:{door.port}/", policy, always("0.0.0.0"))
    assert ends_blocked(outcome)
    assert (door.called(), door.heard) == ([INSIDE], b"")


@pytest.mark.parametrize(
    ("address", "denied"), [("0.0.0.0", "127.0.0.0/8"), ("::ffff:0.0.0.0", "127.0.0.1"), ("::", "::1")]
)
def test_the_address_that_the_kernel_takes_for_loopback_is_denied_with_it(address: str, denied: str) -> None:
    policy = Network.model_validate({"deny": [denied]})
    assert not is_reachable(ip_address(address), policy)


WAYS_TO_BE_BLOCKED: dict[str, Callable[[int], Outcome]] = {
    "an address": lambda port: attempt(f"http://127.0.0.1:{port}/", CLOSED),
    "over TLS": lambda port: attempt(f"https://127.0.0.1:{port}/", CLOSED, tls={"verify": False}),
    "a number": lambda port: attempt(f"http://2130706433:{port}/", CLOSED),
    "where nobody listens": lambda _: attempt("http://10.0.0.1:1/", CLOSED),
    "a name": lambda port: attempt(f"http://{NAME}:{port}/", CLOSED, always(INSIDE)),
    "one of many": lambda port: attempt(f"http://{NAME}:{port}/", ONE_OPEN, always(OPEN, INSIDE)),
    "metadata": lambda port: attempt(f"http://{NAME}:{port}/", ALL_ALLOWED, always("169.254.169.254")),
    "denied": lambda port: attempt(f"http://127.0.0.1:{port}/", Network.model_validate({"deny": ["127.0.0.0/8"]})),
    "a denied proxy": lambda port: attempt(
        f"http://{NAME}/", Network.model_validate({"deny": [INSIDE]}), proxy=f"http://127.0.0.1:{port}"
    ),
    "a proxy that is metadata": lambda _: attempt(f"https://{NAME}/", proxy="http://169.254.169.254:80"),
    "the peer": lambda port: (
        attempt(f"http://{NAME}:{port}/", Network.model_validate({"private": "deny", "allow": ["::"]}), always("::"))
        if has_ipv6_loopback()
        else attempt(f"http://127.0.0.1:{port}/", CLOSED)
    ),
}


@pytest.mark.parametrize("way", WAYS_TO_BE_BLOCKED.values(), ids=WAYS_TO_BE_BLOCKED)
def test_whatever_ends_blocked_says_the_same_and_is_not_tried_again(way: Callable[[int], Outcome], door: Door) -> None:
    outcome = way(door.port)
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", Reason.blocked, None)
    assert outcome.detail == BLOCKED
    assert not is_retried(outcome)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.1.2.3", "10.1.2.3/32"), ("10.0.0.0/8", "10.0.0.0/8"), (" 10.0.0.0/8\n", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("255.255.255.255", "255.255.255.255/32"),
        ("fd00::/8", "fd00::/8"), ("FD00::1", "fd00::1/128"), ("::/0", "::/0"), ("64:ff9b::/96", "64:ff9b::/96"),
    ],
)  # fmt: skip
def test_ranges_are_written_as_usual(written: str, meant: str) -> None:
    assert Network.model_validate({"allow": [written], "deny": [written]}) == Network.model_validate(
        {"allow": [ip_network(meant)], "deny": [ip_network(meant)]}
    )


FORM = "should be an address or a range, like 10.1.2.3, 10.0.0.0/8 or fd00::/8"


@pytest.mark.parametrize("where", ["allow", "deny"])
@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("10.0.0.5/8", "names an address within a range; the range is 10.0.0.0/8"),
        ("192.168.1.1/255.255.0.0", "names an address within a range; the range is 192.168.0.0/16"),
        ("fd00::1/8", "names an address within a range; the range is fd00::/8"),
        ("::ffff:10.0.0.0/104", "should be written as IPv4: 10.0.0.0/8"),
        ("::ffff:0:0/96", "should be written as IPv4: 0.0.0.0/0"),
        ("::ffff:127.0.0.1", "should be written as IPv4: 127.0.0.1/32"),
        ("::FFFF:7f00:1/128", "should be written as IPv4: 127.0.0.1/32"),
        *((garbage, FORM) for garbage in (
            "", " ", "/8", "10", "10/8", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0-10.0.0.9",
            "10.0.0.*", "010.0.0.0/8", "0x7f000001", "2130706433", "256.0.0.0/8", "1.1.1.1, 2.2.2.2", "localhost",
            "\u0661\u0660.0.0.0/8", "\uff11\uff10.0.0.0/8", "[::1]", "::1/129", ":::/0", "fd00::/8\0", "http://10.0.0.0/8",
            10, 2**100, 1.5, True, None, b"\x7f\0\0\1", ["10.0.0.0/8"], {"10.0.0.0": 8}, ("10.0.0.0", 8),
        )),
    ],
)  # fmt: skip
def test_a_range_that_is_none_is_refused_with_what_is_meant(written: object, told: str, where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Network.model_validate({where: [written]})
    (error,) = caught.value.errors()
    assert error["loc"][:2] == (where, 0)
    assert error["msg"] == f"Value error, {told}"


@pytest.mark.parametrize("written", ["fd00::1%eth0", "fd00::%eth0/8"])
def test_a_range_with_a_zone_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        Network.model_validate({"deny": [written]})


@given(st.one_of(st.text("0123456789abcdef.:/%x", max_size=24), st.text(max_size=12)))
def test_any_text_is_a_range_or_refused(written: str) -> None:
    with suppress(ValidationError):
        (network,) = Network.model_validate({"deny": [written]}).deny
        assert network == ip_network(written.strip())


@pytest.mark.parametrize(
    ("address", "policy", "reachable"),
    [
        ("8.8.8.8", {}, True),
        ("8.8.8.8", {"deny": ["8.8.8.0/24"]}, False),
        ("8.8.8.8", {"deny": ["8.8.8.0/24"], "allow": ["8.8.8.8"]}, False),
        ("8.8.4.4", {"deny": ["8.8.8.0/24"]}, True),
        ("8.8.8.8", {"private": "deny", "allow": ["10.0.0.0/8"]}, True),
        ("10.1.2.3", {}, True),
        ("10.1.2.3", {"private": "deny"}, False),
        ("10.1.2.3", {"private": "deny", "allow": ["10.1.0.0/16"]}, True),
        ("10.2.2.3", {"private": "deny", "allow": ["10.1.0.0/16"]}, False),
        ("10.1.2.3", {"private": "deny", "allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}, False),
        ("10.1.2.3", {"private": "deny", "allow": ["10.1.2.3"], "deny": ["0.0.0.0/0"]}, False),
        ("10.1.2.3", {"deny": ["10.0.0.0/8"]}, False),
        ("fd00::1", {"private": "deny", "allow": ["fd00::/16"]}, True),
        ("fd00::1", {"private": "deny", "allow": ["0.0.0.0/0"]}, False),
        ("127.0.0.1", {"private": "deny", "allow": ["::/0"]}, False),
        ("::1", {"private": "deny", "allow": ["127.0.0.0/8"]}, False),
        ("::ffff:10.1.2.3", {"private": "deny", "allow": ["10.0.0.0/8"]}, True),
        ("::ffff:10.1.2.3", {"private": "deny", "allow": ["::/0"]}, False),
        ("64:ff9b::8.8.8.8", {"private": "deny"}, True),  # as networks without IPv4 reach a public one
        ("64:ff9b::10.1.2.3", {"private": "deny"}, False),
        ("64:ff9b::a01:203", {"private": "deny", "allow": ["10.0.0.0/8"]}, True),
        ("2606:4700::1111", {"deny": ["2606:4700::/32"]}, False),
        *((embedded, {"deny": ["8.8.8.8"], "allow": ["::/0"]}, False) for embedded in (
            "::ffff:8.8.8.8", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::808:808",
            "2002:808:808::1", "2001:0:808:808::", "2001::f7f7:f7f7", "2a00::5efe:8.8.8.8", "2a00::200:5efe:808:808",
        )),
    ],
)  # fmt: skip
def test_deny_counts_before_allow_and_allow_before_private(
    address: str,
    policy: dict[str, Any],
    reachable: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert is_reachable(ip_address(address), Network.model_validate(policy)) is reachable


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "9.9.9.9", "52.94.236.248", "140.82.121.4", "172.15.255.255", "172.32.0.1", "192.0.1.1",
     "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "168.63.129.17", "169.253.255.255", "169.255.0.1",
     "198.17.255.255", "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700:4700::1111",
     "2001:4860:4860::8888", "2620:fe::fe", "2a00:1450:4001:81b::200e", "2001:200::1", "2003::1"],
)  # fmt: skip
def test_public_addresses_are_reachable_though_private_ones_are_not(address: str) -> None:
    assert is_reachable(ip_address(address), CLOSED)


RANGES = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "100.100.100.0/24",
    "168.63.129.0/24", "8.8.8.0/24", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2001::/23",
    "2001:db8::/32", "2002::/16", "3fff::/20", "2a00::5efe:0:0/96", "2000::/3", "fc00::/7", "fd00:ec2::/32",
    "fd20:ce::/64", "fec0::/10", "fe80::/10", "ff00::/8",
)  # fmt: skip
ADDRESSES = st.one_of(
    st.ip_addresses(v=4), st.ip_addresses(v=6), *(st.ip_addresses(network=network) for network in RANGES)
)
NETWORKS = st.builds(
    lambda address, bits: ip_network((address, min(bits, address.max_prefixlen)), strict=False),
    ADDRESSES,
    st.integers(0, 128),
).filter(lambda network: not (isinstance(network, IPv6Network) and network.network_address.ipv4_mapped))
POLICY = st.builds(
    lambda private, allow, deny: Network(private=private, allow=tuple(allow), deny=tuple(deny)),
    st.sampled_from(["allow", "deny"]),
    st.lists(NETWORKS, max_size=3),
    st.lists(NETWORKS, max_size=3),
)


def mapped(address: IPv4Address) -> IPv6Address:
    return IPv6Address(f"::ffff:{address}")


HIDDEN: dict[str, Callable[[int], int]] = {  # where an IPv4 address may stand within one of IPv6
    "mapped": lambda number: 0xFFFF << 32 | number,
    "compatible": lambda number: number,
    "translated": lambda number: 0xFFFF << 48 | number,
    "NAT64": lambda number: int(IPv6Address("64:ff9b::")) | number,
    "local NAT64": lambda number: int(IPv6Address("64:ff9b:1::")) | number,
    "6to4": lambda number: 0x2002 << 112 | number << 80,
    "Teredo's server": lambda number: 0x20010000 << 96 | number << 64,
    "Teredo's client": lambda number: 0x20010000 << 96 | number ^ 0xFFFFFFFF,
    "ISATAP": lambda number: int(IPv6Address("2a00:1450::5efe:0:0")) | number,
    "ISATAP, global": lambda number: int(IPv6Address("2a00:1450::200:5efe:0:0")) | number,
}


@given(st.ip_addresses(v=4), POLICY)
def test_an_address_and_its_mapped_form_have_the_same_verdict(address: IPv4Address, policy: Network) -> None:
    assert is_reachable(address, policy) is is_reachable(mapped(address), policy)


@given(st.data(), NETWORKS, POLICY)
def test_what_is_denied_is_never_reachable(data: st.DataObject, denied: IpNetwork, policy: Network) -> None:
    address = data.draw(st.ip_addresses(network=denied))
    policy = policy.model_copy(update={"deny": (*policy.deny, denied)})
    if not (isinstance(address, IPv6Address) and address.ipv4_mapped):  # that is an IPv4 address
        assert not is_reachable(address, policy)


@given(st.data(), NETWORKS.filter(lambda network: network.version == 4), POLICY, st.sampled_from([*HIDDEN]))
def test_what_is_denied_is_not_reachable_within_ipv6_either(
    data: st.DataObject, denied: IPv4Network, policy: Network, hidden: str
) -> None:
    address = int(data.draw(st.ip_addresses(v=4, network=denied)))
    policy = policy.model_copy(update={"deny": (denied,)})
    assert not is_reachable(IPv6Address(HIDDEN[hidden](address)), policy)


NEVER = [ip_network(network) for network in (
    "169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254",
    "fd00:42::42", "100.96.0.96", "100.80.80.80", "fd00:c1::a9fe:a9fe", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
)]  # fmt: skip


def all_within(address: IpAddress) -> list[IpAddress]:
    """Return an address, and whatever may be an IPv4 address within it, plain or inverted."""
    if isinstance(address, IPv4Address):
        return [address]
    number = int(address)
    windows = [number >> shift & 0xFFFFFFFF for shift in range(0, 97, 8)]
    windows += [
        (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,
        (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF,
    ]
    return [address, *(IPv4Address(one) for window in windows for one in (window, window ^ 0xFFFFFFFF))]


@given(ADDRESSES)
@example(ip_address("127.0.0.1"))
@example(ip_address("::1"))
@example(ip_address("255.255.255.255"))
@example(ip_address("ff02::1"))
def test_everything_but_metadata_and_link_local_is_reachable_if_private_addresses_are(address: IpAddress) -> None:
    if not any(there in network for there in all_within(address) for network in NEVER):
        assert is_reachable(address, ANYWHERE)


@given(ADDRESSES, st.lists(NETWORKS, max_size=2))
@example(ip_address("::ffff:127.0.0.1"), [])
@example(ip_address("fec0::1"), [])
def test_what_is_not_public_is_not_reachable_if_private_addresses_are_not(
    address: IpAddress, denied: list[IpNetwork]
) -> None:
    policy = Network(private="deny", deny=tuple(denied))
    there = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    if there in IPv6Network("64:ff9b::/96"):
        there = IPv4Address(int(there) & 0xFFFFFFFF)
    kinds = (there.is_private, there.is_loopback, there.is_link_local, there.is_multicast, there.is_reserved)
    if any(kinds) or there.is_unspecified:
        assert not is_reachable(address, policy)


@pytest.mark.parametrize("hidden", HIDDEN)
@given(address=st.one_of(*(st.ip_addresses(network=network) for network in ("10.0.0.0/8", "127.0.0.0/8"))))
def test_a_private_address_within_ipv6_is_not_reachable_if_private_addresses_are_not(
    hidden: str, address: IPv4Address
) -> None:
    assert not is_reachable(IPv6Address(HIDDEN[hidden](int(address))), CLOSED)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of a receiver that trusts our authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return {"tls": {"ca": str(tmp_path / "ca.pem")}}


def context(certificate: trustme.LeafCert, names: list[str | None]) -> ssl.SSLContext:
    """Return a receiver's context; who is asked for in the handshake is noted."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    server.sni_callback = lambda _, name, __: names.append(name)
    return server


def header(head: bytes, name: str) -> list[str]:
    lines = head.decode().split("\r\n")[1:]
    return [value.strip() for line in lines for key, _, value in [line.partition(":")] if key.lower() == name]


@pytest.mark.parametrize("policy", [ANYWHERE, Network.model_validate({"private": "deny", "allow": [INSIDE]})])
@pytest.mark.parametrize("host", [NAME, NAME.upper()])
def test_a_name_stays_the_name_though_we_connect_to_its_address(
    host: str, policy: Network, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    names: list[str | None] = []
    resolver = always(INSIDE)
    with receiving(faults.answers(faults.OK), context(authority.issue_cert(NAME), names)) as receiver:
        outcome = attempt(f"https://{host}:{receiver.port}/hook", policy, resolver, **trusted)
    assert outcome.state == "delivered"
    assert names == [NAME]
    assert resolver.asked == [NAME]
    assert [one.lower() for one in header(receiver.peers[0].head, "host")] == [f"{NAME}:{receiver.port}"]


def test_a_name_with_a_dot_behind_it_is_looked_up_with_it_and_certified_without(
    authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    names: list[str | None] = []
    resolver = always(INSIDE)
    with receiving(faults.answers(faults.OK), context(authority.issue_cert(NAME), names)) as receiver:
        outcome = attempt(f"https://{NAME}.:{receiver.port}/", look_up=resolver, **trusted)
    assert outcome.state == "delivered"
    assert (resolver.asked, names) == ([f"{NAME}."], [NAME])


def test_the_host_header_is_the_name_without_tls_too() -> None:
    with receiving(faults.answers(faults.OK)) as receiver:
        outcome = attempt(f"http://{NAME}:{receiver.port}/hook", look_up=always(INSIDE))
    assert outcome.state == "delivered"
    assert header(receiver.peers[0].head, "host") == [f"{NAME}:{receiver.port}"]


@pytest.mark.parametrize("certified", ["other.example.com", INSIDE, "example.com", "*.com"])
def test_the_certificate_has_to_be_for_the_name_and_not_for_the_address(
    certified: str, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    names: list[str | None] = []
    with receiving(faults.answers(faults.OK), context(authority.issue_cert(certified), names)) as receiver:
        outcome = attempt(f"https://{NAME}:{receiver.port}/", look_up=always(INSIDE), **trusted)
    assert outcome.reason is Reason.tls
    assert "mismatch" in outcome.detail
    assert names == [NAME]
    assert not receiver.peers


@dataclass
class Proxy:
    """A forward proxy that knows each name as 127.0.0.1."""

    heads: list[bytes] = field(default_factory=list)

    def __call__(self, peer: Peer) -> None:
        data = b""
        while b"\r\n\r\n" not in data and (chunk := peer.connection.recv(65536)):
            data += chunk
        self.heads.append(data.partition(b"\r\n\r\n")[0])
        method, target, _ = data.decode().split(" ", 2)
        authority = target if method == "CONNECT" else target.partition("://")[2].partition("/")[0]
        if not authority:
            peer.send(b"HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection((INSIDE, int(authority.rpartition(":")[2])), 5) as onward:
            if method == "CONNECT":
                peer.send(b"HTTP/1.1 200 Connected\r\nX-Proxy: ours\r\n\r\n")
            else:
                onward.sendall(data)
            back = threading.Thread(target=pump, args=(onward, peer.connection))
            back.start()
            pump(peer.connection, onward)
            back.join()

    @property
    def lines(self) -> list[str]:
        """Return the first lines of what it was sent."""
        return [head.decode().partition("\r\n")[0] for head in self.heads]


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes until one side closes."""
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(tls: ssl.SSLContext | None = None) -> Iterator[tuple[Proxy, int, Receiving]]:
    """Run a proxy, on a port, and a receiver."""
    proxy = Proxy()
    with receiving(faults.answers(faults.OK), tls) as receiver, receiving(proxy) as entry:
        yield proxy, entry.port, receiver


@pytest.mark.parametrize(
    ("scheme", "written", "target"),
    [
        ("http", "/hook", "/hook"),
        ("http", "", "/"),
        ("http", "?a=b", "/?a=b"),
        ("http", "/a/../b/./c//d?q={x}&q=%7e+%zz#part", "/a/../b/./c//d?q={x}&q=%7e+%zz"),
        ("http", "/http://elsewhere.example/", "/http://elsewhere.example/"),
        ("HTTP", "/hook", "/hook"),
    ],
)
def test_a_private_proxy_is_reached_and_told_the_whole_target_as_it_was_written(
    scheme: str, written: str, target: str
) -> None:
    resolver = always(INSIDE)
    with proxied() as (proxy, port, receiver):
        url = f"{scheme}://{NAME}:{receiver.port}"
        outcome = attempt(f"{url}{written}", CLOSED, resolver, proxy=f"http://127.0.0.1:{port}")
    assert outcome.state == "delivered"
    assert [line.lower() for line in proxy.lines] == [f"POST {url}{target} HTTP/1.1".lower()]
    assert header(proxy.heads[0], "host") == [f"{NAME}:{receiver.port}"]
    assert resolver.asked == [INSIDE]


def test_a_proxy_opens_its_address_to_nobody_else(door: Door) -> None:
    guard = Guard(CLOSED)
    address = f"http://127.0.0.1:{door.port}"
    receiver = Receiver.model_validate({"name": "r", "url": address})
    through = Sender(receiver, Sessions(guard, proxy=SecretStr(address))).send("id-1", BODY, {}).outcome
    directly = Sender(receiver, Sessions(guard)).send("id-1", BODY, {}).outcome
    assert through.state == "delivered"
    assert ends_blocked(directly)
    assert door.called() == [INSIDE]


def test_https_goes_through_a_tunnel_and_is_verified_from_end_to_end(
    authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    names: list[str | None] = []
    resolver = always(INSIDE)
    with proxied(context(authority.issue_cert(NAME), names)) as (proxy, port, receiver):
        url = f"https://{NAME}:{receiver.port}/hook?a=b"
        outcome = attempt(url, CLOSED, resolver, proxy=f"http://127.0.0.1:{port}", **trusted)
    head = receiver.peers[0].head
    assert outcome.state == "delivered"
    assert [line.rpartition(" ")[0] for line in proxy.lines] == [f"CONNECT {NAME}:{receiver.port}"]
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert header(head, "host") == [f"{NAME}:{receiver.port}"]
    assert names == [NAME]
    assert resolver.asked == [INSIDE]


@pytest.mark.parametrize("certified", ["other.example.com", INSIDE])
def test_a_certificate_for_another_name_is_no_better_behind_a_proxy(
    certified: str, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    with proxied(context(authority.issue_cert(certified), [])) as (_, port, receiver):
        url = f"https://{NAME}:{receiver.port}/"
        outcome = attempt(url, CLOSED, proxy=f"http://127.0.0.1:{port}", **trusted)
    assert outcome.reason is Reason.tls
    assert "the certificate is not to be trusted" in outcome.detail
    assert not receiver.peers


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("written", "pair"),
    [
        ("user:word@", "user:word"),
        ("us%3Aer:p%40s%2Fs@", "us:er:p@s/s"),
        ("ops:gr%C3%B6%C3%9Fe@", "ops:größe"),
        ("ops:@", "ops:"),
        ("", ""),
    ],
)
def test_credentials_for_the_proxy_go_to_the_proxy_and_never_into_the_tunnel(
    written: str, pair: str, scheme: str, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    tls = context(authority.issue_cert(NAME), []) if scheme == "https" else None
    with proxied(tls) as (proxy, port, receiver):
        url = f"{scheme}://{NAME}:{receiver.port}/"
        settings = {"proxy": f"http://{written}127.0.0.1:{port}", "auth": {"bearer": "mine"}, **trusted}
        outcome = attempt(url, CLOSED, **settings)
    expected = [f"Basic {base64.b64encode(pair.encode('latin-1')).decode()}"] if pair else []
    assert outcome.state == "delivered"
    assert header(proxy.heads[0], "proxy-authorization") == expected
    assert header(receiver.peers[0].head, "authorization") == ["Bearer mine"]
    if tls:
        assert header(receiver.peers[0].head, "proxy-authorization") == []
        assert header(proxy.heads[0], "authorization") == []


@pytest.mark.parametrize("written", ["user", ":word", "%E2%82%AC:word", "user:%F0%9F%94%A5"])
def test_credentials_that_cannot_be_sent_to_a_proxy_are_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        attempt(f"http://{NAME}/", proxy=f"http://{written}@127.0.0.1:1")


@pytest.mark.parametrize("status", [301, 403, 407, 429, 502, 503])
def test_a_proxy_that_opens_no_tunnel_is_a_failed_connection(status: int) -> None:
    refusal = b"HTTP/1.1 %d S3CR3T\r\nLocation: http://127.0.0.1/\r\nContent-Length: 6\r\n\r\nS3CR3T" % status
    with receiving(faults.answers(refusal)) as entry:
        proxy = f"http://user:S3CR3T@127.0.0.1:{entry.port}"
        outcome = attempt(f"https://{NAME}/", CLOSED, proxy=proxy, tls={"verify": False})
    assert (outcome.state, outcome.reason, outcome.status) == ("dead", Reason.connection, None)
    assert f"the proxy answered {status}" in outcome.detail
    assert "S3CR3T" not in outcome.detail
    assert is_retried(outcome)
    assert len(entry.peers) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(faults.silent, Reason.timeout, id="silence"),
        pytest.param(faults.UNFINISHED["trickled status line"], Reason.timeout, id="trickled status line"),
        pytest.param(faults.UNFINISHED["trickled headers"], Reason.timeout, id="trickled headers"),
        pytest.param(faults.resets, Reason.connection, id="reset"),
        pytest.param(lambda _: None, Reason.connection, id="closed without reading"),
        pytest.param(Peer.read, Reason.connection, id="closed without an answer"),
        pytest.param(faults.answers(b"\0\xff\r\n\r\n"), Reason.invalid_answer, id="garbage"),
    ],
)
def test_a_proxy_that_misbehaves_ends_in_time_with_its_reason(
    script: faults.Script, reason: Reason, scheme: str
) -> None:
    started = time.monotonic()
    with receiving(script) as entry:
        proxy = f"http://127.0.0.1:{entry.port}"
        outcome = attempt(f"{scheme}://{NAME}/", CLOSED, proxy=proxy, tls={"verify": False}, timeout=SHORT)
        assert time.monotonic() - started < 0.4 + 0.5
    assert (outcome.state, outcome.reason) == ("dead", reason)
    assert is_retried(outcome)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_is_silent_behind_a_proxy_ends_in_time(scheme: str) -> None:
    started = time.monotonic()
    with receiving(faults.silent) as receiver, receiving(Proxy()) as entry:
        url = f"{scheme}://{NAME}:{receiver.port}/"
        proxy = f"http://127.0.0.1:{entry.port}"
        outcome = attempt(url, CLOSED, proxy=proxy, tls={"verify": False}, timeout=SHORT)
        assert time.monotonic() - started < 0.4 + 0.5
    assert outcome.reason is Reason.timeout


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_a_failed_connection(scheme: str) -> None:
    with socket.create_server((INSIDE, 0)) as listener:
        port = listener.getsockname()[1]
    dead = attempt(f"{scheme}://{NAME}/", CLOSED, proxy=f"http://127.0.0.1:{port}", tls={"verify": False})
    unknown = Resolver(iter([socket.gaierror(socket.EAI_NONAME, "unknown")]))
    nowhere = attempt(f"{scheme}://{NAME}/", CLOSED, unknown, proxy="http://p.example:80", tls={"verify": False})
    assert (dead.reason, dead.detail) == (Reason.connection, "the proxy: Connection refused")
    assert (nowhere.reason, nowhere.detail) == (Reason.connection, f"the proxy: {UNKNOWN}")
    assert is_retried(dead)


@pytest.fixture
def elsewhere(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """Let the environment name a proxy and hold passwords."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://env:word@127.0.0.1:{door.port}")
        monkeypatch.setenv(name.upper(), f"http://env:word@127.0.0.1:{door.port}")
    (tmp_path / ".netrc").write_text("default login someone password else\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    return door


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_and_passwords_of_the_environment_are_never_used(
    scheme: str, elsewhere: Door, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    tls = context(authority.issue_cert(NAME), []) if scheme == "https" else None
    with receiving(faults.answers(faults.OK), tls) as receiver:
        outcome = attempt(f"{scheme}://{NAME}:{receiver.port}/", look_up=always(INSIDE), **trusted)
    assert outcome.state == "delivered"
    assert header(receiver.peers[0].head, "authorization") == []
    assert elsewhere.called() == []


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_environment_takes_no_request_away_from_the_proxy_and_adds_nothing(
    scheme: str, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, trusted: dict[str, Any]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    tls = context(authority.issue_cert(NAME), []) if scheme == "https" else None
    with proxied(tls) as (proxy, port, receiver):
        url = f"{scheme}://{NAME}:{receiver.port}/"
        outcome = attempt(url, CLOSED, proxy=f"http://127.0.0.1:{port}", **trusted)
    assert outcome.state == "delivered"
    assert len(proxy.heads) == 1
    for head in (proxy.heads[0], receiver.peers[0].head):
        assert header(head, "authorization") == header(head, "proxy-authorization") == []


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        *(
            (host, scheme)
            for scheme in ("http", "https")
            for host in ("169.254.169.254", "2852039166", "100.100.100.200")
        ),
        *((host, "http") for host in ("[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::1]")),
        *((host, "https") for host in ("[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::1]")),
    ],
)
def test_a_proxy_is_no_metadata_address(host: str, scheme: str) -> None:
    for policy in POLICIES:
        with nobody_connects() as tried:
            outcome = attempt(f"{scheme}://{NAME}/", policy, proxy=f"http://{host}:3128", tls={"verify": False})
        assert tried == []
        assert ends_blocked(outcome)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_may_have_an_ipv6_address(scheme: str, authority: trustme.CA, trusted: dict[str, Any]) -> None:
    tls = context(authority.issue_cert(NAME), []) if scheme == "https" else None
    with proxied(tls) as (_, port, receiver):
        url = f"{scheme}://{NAME}:{receiver.port}/"
        outcome = attempt(url, CLOSED, proxy=f"http://[::ffff:127.0.0.1]:{port}", **trusted)
    assert outcome.state == "delivered"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("addresses", [("169.254.169.254",), (INSIDE, "169.254.169.254"), ("fe80::1%lo", INSIDE)])
def test_the_name_of_a_proxy_leads_to_no_metadata_address(addresses: tuple[str, ...], scheme: str) -> None:
    resolver = always(*addresses)
    with nobody_connects() as tried:
        outcome = attempt(f"{scheme}://{NAME}/", CLOSED, resolver, proxy="http://p.example:80", tls={"verify": False})
    assert ends_blocked(outcome)
    assert (resolver.asked, tried) == (["p.example"], [])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_denied_is_not_connected_to(scheme: str, door: Door) -> None:
    policy = Network.model_validate({"deny": ["127.0.0.0/8"]})
    outcome = attempt(f"{scheme}://{NAME}/", policy, proxy=f"http://localhost:{door.port}", tls={"verify": False})
    assert ends_blocked(outcome)
    assert door.called() == []

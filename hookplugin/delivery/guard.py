"""The guard: which addresses a request may reach, and the look-up of names, which has to end in time.

The cloud's metadata and link-local addresses are never reachable: what answers there hands out credentials.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator

from hookplugin.delivery.lock import ProcessLock
from hookspecs.frozen import Frozen

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network
Found: TypeAlias = tuple[socket.AddressFamily, "tuple[Any, ...]"]
"""Family and address, as sockets take them."""
Lookup: TypeAlias = "Callable[[str, int], Sequence[Found]]"
"""Finds the addresses of a name and a port; raises OSError or UnicodeError."""

BLOCKED: Final = "the network policy does not let us reach this address"
"""What everybody is told, whatever the reason: an answer that differs would map the network."""


class BlockedError(Exception):
    """Say that an address is not to be reached; no OSError: urllib3 would take that for a broken connection."""

    def __init__(self) -> None:
        """Say always the same."""
        super().__init__(BLOCKED)


def _read_network(value: object) -> IpNetwork:
    if isinstance(value, (IPv4Network, IPv6Network)):
        return value
    try:
        found = ip_network(value.strip()) if isinstance(value, str) and "%" not in value else None
    except ValueError:
        found = None
    if found is None:
        message = "should be an address or a range, like 10.1.2.3, 10.0.0.0/8 or fd00::/8"
        if isinstance(value, str) and "%" not in value and (meant := _without_host_bits(value)):
            message = f"names an address within a range; the range is {meant}"
        raise ValueError(message)
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped and found.prefixlen >= 96:
        inner = ip_network((found.network_address.ipv4_mapped, found.prefixlen - 96))
        message = f"should be written as IPv4: {inner}"
        raise ValueError(message)
    return found


def _without_host_bits(value: str) -> str | None:
    try:
        return str(ip_network(value.strip(), strict=False))
    except ValueError:
        return None


Range: TypeAlias = Annotated[IPv4Network | IPv6Network, BeforeValidator(_read_network)]


class Network(Frozen):
    """Say which addresses receivers may have; `deny` counts before `allow`, and `allow` before `private`."""

    private: Literal["allow", "deny"] = "allow"
    """Whether what is no public address can be reached: loopback, private and reserved ranges."""
    allow: tuple[Range, ...] = ()
    """Reachable although they are private."""
    deny: tuple[Range, ...] = ()
    """Never reachable."""


ANYWHERE: Final = Network()
"""What holds for configurations that say nothing else."""


def _ranges(text: str) -> tuple[IpNetwork, ...]:
    return tuple(map(ip_network, text.split()))


_METADATA: Final = _ranges(
    "169.254.0.0/16 fe80::/10"  # link-local: most clouds (RFC 3927, RFC 4291)
    " 100.100.100.200 168.63.129.16 192.0.0.192"  # Alibaba Cloud, Azure, Oracle Cloud
    " 100.96.0.96 100.80.80.80"  # Volcano Engine, UCloud
    " fd00:ec2::/32 fd20:ce::254 fd00:42::42"  # AWS, Google Cloud, Scaleway
    " fd00:c1::a9fe:a9fe fd00:a9fe:a9fe::1 fd00:100::100:200"  # Oracle Cloud, Akamai, Alibaba Cloud
)
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC: Final = _ranges(  # IANA's registries of special-purpose addresses (RFC 6890)
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
    " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
    " 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
)
_EMBEDDING: Final = tuple(  # IPv6 ranges whose last 32 bits are an IPv4 address that a gateway or the kernel reaches
    map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_LOOPBACK: Final[Mapping[int, IpAddress]] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214: an interface id of these, and an IPv4 address


def _last_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _meanings(address: IpAddress) -> Iterator[IpAddress]:
    """Yield an address, and the IPv4 addresses that are written within it."""
    yield address
    number = int(address)
    if not number:  # the kernel takes it for this machine
        yield _LOOPBACK[address.version]
    if isinstance(address, IPv4Address):
        return
    if address in _LOCAL_NAT64:  # whose prefix may have 48, 56 or 64 bits, too (RFC 6052, 2.2)
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        yield IPv4Address((number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF)
        yield IPv4Address(number >> 24 & 0xFFFFFFFF)
    if any(address in network for network in _EMBEDDING) or number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield _last_bits(address)
    if address.sixtofour:
        yield address.sixtofour
    yield from address.teredo or ()


def _is_in(address: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv6Address) and address not in _PUBLIC_6:
        return False
    return not _is_in(address, _NOT_PUBLIC)


def is_reachable(address: IpAddress, network: Network) -> bool:
    """Say whether the policy lets a request reach an address."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # the kernel reaches that
    meanings = list(_meanings(address))
    if any(_is_in(meaning, _METADATA) or _is_in(meaning, network.deny) for meaning in meanings):
        return False
    if network.private == "allow" or _is_in(address, network.allow):
        return True
    if isinstance(address, IPv6Address) and address in _NAT64:  # how networks without IPv4 reach all of it
        return is_reachable(_last_bits(address), network)
    return all(map(_is_public, meanings))


def _look_up(host: str, port: int) -> list[Found]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


@dataclass(eq=False, slots=True)
class _Pending:
    """Hold a look-up that runs in a thread of its own."""

    thread: threading.Thread
    over: threading.Event = field(default_factory=threading.Event)
    found: Sequence[Found] = ()
    error: OSError | None = None


class Guard:
    """Find where requests may connect to."""

    def __init__(self, network: Network, look_up: Lookup = _look_up) -> None:
        """Look nothing up yet.

        Args:
            network: the policy.
            look_up: finds the addresses of names; the machine's resolver if not given.

        """
        self._network: Final = network
        self._proxied: Final = network.model_copy(update={"private": "allow"})
        self._look_up: Final = look_up
        self._pending: Final[dict[tuple[str, int], _Pending]] = {}
        self._lock: Final = ProcessLock()

    def addresses(self, host: str, port: int, seconds: float, *, proxy: bool = False) -> Sequence[Found]:
        """Return the addresses of a host, in the order in which they are to be tried; it is looked up once.

        Args:
            host: a name, or an address in any form.
            port: of it.
            seconds: that this may take.
            proxy: whether it is the proxy that the operator has named, which may be private.

        Raises:
            BlockedError: one of them is not to be reached; then none is.
            OSError: there is none; TimeoutError if the time was not enough.

        """
        found = self._found(host, port, seconds)
        for _, address in found:
            self.check(address, proxy=proxy)
        return found

    def check(self, address: tuple[Any, ...], *, proxy: bool = False) -> None:
        """See that an address, as sockets have it, may be reached.

        Raises:
            BlockedError: it may not.

        """
        found = ip_address(str(address[0]).partition("%")[0])
        if not is_reachable(found, self._proxied if proxy else self._network):
            raise BlockedError

    def _found(self, host: str, port: int, seconds: float) -> Sequence[Found]:
        """Look a name up; resolvers know no deadline, so a thread does it that nobody has to wait for.

        There is never more than one thread for a name: those that hang would pile up.
        """
        if _is_numeric(host):
            return self._look_up(host, port)
        with self._lock.here:
            pending = self._pending.get((host, port))
            # what is over is not told again; a thread is dead in a forked child, too
            if pending is None or pending.over.is_set() or not pending.thread.is_alive():
                pending = self._pending[host, port] = self._begin(host, port)
        if not pending.over.wait(seconds):
            message = "the name of the host was not found in time"
            raise TimeoutError(message)
        if pending.error:
            raise pending.error
        return pending.found

    def _begin(self, host: str, port: int) -> _Pending:
        def run() -> None:
            try:
                pending.found = self._look_up(host, port)
            except UnicodeError as error:  # a label that no name has
                pending.error = socket.gaierror(socket.EAI_NONAME, str(error))
            except OSError as error:
                pending.error = error
            finally:
                pending.over.set()

        # a daemon: a resolver that hangs must not keep the process from ending
        pending = _Pending(threading.Thread(target=run, name=f"hookplugin-name-{host}", daemon=True))
        try:
            pending.thread.start()
        except RuntimeError as error:  # there are too many
            raise OSError(errno.EAGAIN, str(error)) from error
        return pending


def is_blocked(host: str, network: Network) -> bool:
    """Say whether a host is an address, in any form, that the policy does not let us reach; names are not looked up."""
    if not _is_numeric(host):
        return False
    try:
        Guard(network).addresses(host, 80, 0.0)
    except BlockedError:
        return True
    except OSError:
        return False
    return False


def _is_numeric(host: str) -> bool:
    """Say whether a host is an address in some form, which takes no time to read."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    try:
        socket.inet_aton(host)  # 127.1, 0x7f000001 …
    except (OSError, ValueError):
        return False
    return True

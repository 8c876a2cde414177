"""Receivers that misbehave: raw sockets in threads, with and without TLS."""

from __future__ import annotations

import gzip
import os
import resource
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_HEAD = b"HTTP/1.1 200 OK\r\n"
_PAUSE = 0.05
_STREAM = 2.0
"""Seconds after which even what is endless ends: who never stops reading fails, and does not hang."""


@dataclass
class Peer:
    """The receiver's end of one connection."""

    connection: socket.socket
    over: threading.Event
    head: bytes = b""
    body: bytes = b""
    gone: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    def read(self) -> Peer:
        """Read one request; it is kept."""
        with self.connection.makefile("rb") as stream:
            lines = list(takewhile(lambda line: line.strip(), stream))
            self.head = b"".join(lines)
            size = next((line for line in lines if line.lower().startswith(b"content-length:")), b":0")
            self.body = stream.read(int(size.partition(b":")[2]))
        return self

    def send(self, data: bytes) -> Peer:
        self.connection.sendall(data)
        self.sent += len(data)
        return self

    def send_raw(self, data: bytes) -> Peer:
        """Send beneath TLS."""
        os.write(self.connection.fileno(), data)
        return self

    def trickle(self, *parts: bytes) -> None:
        for part in parts:
            self.send(part)
            self.over.wait(_PAUSE)

    def greeted(self) -> Peer:
        """Read the beginning of a TLS handshake."""
        self.connection.recv(65_536)
        return self

    def sip(self, *, once: bool = False) -> Peer:
        """Read slowly."""
        while self.connection.recv(1000) and not once:
            self.over.wait(_PAUSE)
        return self

    def for_ever(self, data: bytes) -> None:
        ends = time.monotonic() + _STREAM
        while not self.over.is_set() and time.monotonic() < ends:
            self.send(data)

    def wait(self) -> None:
        """Do nothing until all is over."""
        self.over.wait()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def end(self) -> Peer:
        """Send nothing more, and listen on."""
        self.connection.shutdown(socket.SHUT_WR)
        return self


Script: TypeAlias = Callable[[Peer], object]


def answers(data: bytes) -> Script:
    """Read the request, answer this and close."""
    return lambda peer: peer.read().send(data)


def keeps_answering(data: bytes) -> Script:
    """Answer this to each request until the other side closes."""

    def script(peer: Peer) -> None:
        while peer.read().head:
            peer.send(data)

    return script


def then_for_ever(start: bytes, data: bytes) -> Script:
    """Read the request, answer `start`, then `data` without end."""

    def script(peer: Peer) -> None:
        peer.read().send(start)
        peer.for_ever(data)

    return script


def trickles(start: bytes, data: bytes) -> Script:
    """Read the request, answer `start` at once and `data` byte by byte."""

    def script(peer: Peer) -> None:
        peer.read().send(start)
        peer.trickle(*(bytes([byte]) for byte in data))

    return script


def repeats(data: bytes) -> Script:
    """Read the request, and answer this again and again, slowly."""
    return lambda peer: peer.read().trickle(*[data] * 99)


def stalls(data: bytes) -> Script:
    """Read the request, answer this and nothing more."""
    return lambda peer: peer.read().send(data).wait()


def breaks(data: bytes) -> Script:
    """Read the request, answer this and reset the connection."""
    return lambda peer: peer.read().send(data).reset()


def silent(peer: Peer) -> None:
    """Neither read nor write."""
    peer.wait()


def resets(peer: Peer) -> None:
    peer.read().reset()


def echoes(peer: Peer) -> None:
    """Answer 500 with the request's own head, its secrets in front."""
    head = peer.read().head
    peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


def _deflated(content: bytes, times: int) -> bytes:
    packer = zlib.compressobj()
    first, again = (packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (times - 1)


_BOMBS = {b"gzip": gzip.compress(b"boom" * 250_000) * 300, b"deflate": _deflated(b"boom" * 250_000, 300)}
"""300 KB that are 300 MB when decompressed."""


def many(line: bytes) -> Script:
    """Read the request, and answer with nearly as many headers as `http.client` takes."""

    def script(peer: Peer) -> None:
        peer.read().send(_HEAD)
        for _ in range(98):
            peer.send(line + b"\r\n")
        peer.send(b"\r\n")

    return script


def encoded(status: bytes, encoding: bytes, content: bytes) -> Script:
    """Answer with a body of which it is said that it is compressed."""
    fields = b"\r\nLocation: /\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(content))
    return answers(b"HTTP/1.1 " + status + fields + content)


def bomb(status: bytes, encoding: bytes) -> Script:
    return encoded(status, encoding, _BOMBS[encoding])


def chunked(content: bytes) -> bytes:
    return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + content


def located(location: bytes, status: bytes = b"302 Found") -> Script:
    return answers(b"HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location))


def informs(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nLink: </x>\r\n\r\n"


UNFINISHED: dict[str, Script] = {
    "silence": silent,
    "no answer": stalls(b""),
    "half a status line": stalls(b"HTTP/1.1 2"),
    "half the headers": stalls(_HEAD + b"Content-Type: text/plain\r\n"),
    "half a header": stalls(_HEAD + b"Content-Ty"),
    "only early hints": stalls(informs(b"103 Early Hints")),
    "trickled status line": trickles(b"", _HEAD * 9),
    "trickled headers": trickles(_HEAD, b"X-A: " + b"a" * 100),
    "endless 100 continue": repeats(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless 102 processing": repeats(informs(b"102 Processing")),
    "endless 103 early hints": repeats(informs(b"103 Early Hints")),
}
BROKEN: dict[str, Script] = {
    "reset": resets,
    "reset without reading": Peer.reset,
    "reset in the status line": breaks(b"HTTP/1.1 20"),
    "reset in the headers": breaks(_HEAD + b"Content-Type: text/plain\r\n"),
    "closed without reading": lambda _: None,
    "closed without an answer": Peer.read,
    "half closed without an answer": lambda peer: peer.read().end().wait(),
    "half a status line": answers(b"HTTP/1.1 20"),
    "a status line without its end": answers(b"HTTP/1.1 200 OK"),
    "half the headers": answers(_HEAD + b"Content-Type: text/plain\r\n"),
    "half closed in the headers": lambda peer: peer.read().send(_HEAD + b"X-A: a\r\n").end().wait(),
    "only early hints": answers(informs(b"103 Early Hints")),
    "settings of http/2": answers(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0d\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\1"),
}
NOT_HTTP: dict[str, Script] = {
    "garbage": answers(b"\0\xff\r\n\r\n" * 9),
    "empty lines": answers(b"\r\n" * 9),
    "another protocol": answers(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "http/0.9": answers(b"<html>hello</html>\r\n"),
    "the preface of http/2": answers(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http/2": answers(b"HTTP/2 200\r\n\r\n"),
    "no such status": answers(b"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n"),
    "a status of four digits": answers(b"HTTP/1.1 2000 What\r\nContent-Length: 0\r\n\r\n"),
    "a status below zero": answers(b"HTTP/1.1 -200 What\r\nContent-Length: 0\r\n\r\n"),
    "a status that is a word": answers(b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    "switching protocols": stalls(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "long status line": answers(b"HTTP/1.1 200 " + b"K" * 70_000 + b"\r\n\r\n"),
    "endless status line": then_for_ever(b"HTTP/1.1 200 ", b"K" * 4096),
    "two lengths": answers(_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "endless header": then_for_ever(_HEAD + b"X-A: ", b"a" * 4096),
    "endless location": then_for_ever(b"HTTP/1.1 302 Found\r\nLocation: /", b"a" * 4096),
    "endless headers": then_for_ever(_HEAD, b"X-A: a\r\n"),
}
ODD_BODIES: dict[str, Script] = {
    "endless": then_for_ever(_HEAD + b"\r\n", b"a" * 4096),
    "none": answers(_HEAD + b"\r\n"),
    "stalled": stalls(_HEAD + b"Content-Length: 9\r\n\r\na"),
    "trickled": trickles(_HEAD + b"\r\n", b"a" * 100),
    "cut off": answers(_HEAD + b"Content-Length: 99\r\n\r\na"),
    "reset": breaks(_HEAD + b"Content-Length: 99\r\n\r\na"),
    "half closed": lambda peer: peer.read().send(_HEAD + b"\r\n").end().wait(),
    "more than was said": then_for_ever(_HEAD + b"Content-Length: 1\r\n\r\n", b"a" * 4096),
    "length below zero": then_for_ever(_HEAD + b"Content-Length: -1\r\n\r\n", b"a" * 4096),
    "length that is huge": then_for_ever(_HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", b"a" * 4096),
    "length of 5,000 digits": answers(_HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\na"),
    "length that is a word": answers(_HEAD + b"Content-Length: none\r\n\r\na"),
    "one length twice": answers(_HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "length and chunks": answers(_HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
    "no chunk": answers(chunked(b"nothing\r\n")),
    "chunk without its size": then_for_ever(chunked(b""), b"a" * 4096),
    "chunk that is huge": then_for_ever(chunked(b"f" * 4000 + b"\r\n"), b"a" * 4096),
    "chunk below zero": then_for_ever(chunked(b"-2\r\n"), b"a" * 4096),
    "chunk that never ends": stalls(chunked(b"5\r\nab")),
    "endless tiny chunks": then_for_ever(chunked(b""), b"1\r\na\r\n"),
    "endless words beside chunks": then_for_ever(chunked(b""), b"1;" + b"a" * 60_000 + b"\r\na\r\n"),
    "endless trailer": then_for_ever(chunked(b"0\r\n"), b"X-A: a\r\n" * 512),
    "bomb": bomb(b"200 OK", b"gzip"),
    "bomb of deflate": bomb(b"200 OK", b"deflate"),
    "chunked bomb": answers(
        _HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(_BOMBS[b"gzip"])
        + _BOMBS[b"gzip"] + b"\r\n0\r\n\r\n"
    ),
    "charset without its name": answers(_HEAD + b"Content-Type: text/plain; charset\r\nContent-Length: 0\r\n\r\n"),
    "no gzip": encoded(b"200 OK", b"gzip", b"boo"),
    "wrapped a hundred times": encoded(b"200 OK", b", ".join([b"gzip"] * 100), b"boo"),
    "unknown encoding": encoded(b"200 OK", b"boo", b"boo"),
}  # fmt: skip
ODD_REDIRECTS: dict[str, Script] = {
    "endless": then_for_ever(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"a" * 4096),
    "bomb": bomb(b"307 Temporary Redirect", b"gzip"),
    "bomb of deflate": bomb(b"308 Permanent Redirect", b"deflate"),
    "bad location": located(b"http://[::bad", b"301 Moved"),
    "empty location": located(b""),
    "long location": located(b"/" * 60_000),
    "location of bytes": located(b"\xff\0\x1b\xe9"),
    "location within the cloud": located(b"http://169.254.169.254/latest/meta-data/"),
    "location of a file": located(b"file:///etc/passwd", b"303 See Other"),
    "no location": answers(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
}
GREEDY: dict[str, Script] = {
    "chunk of minus one": then_for_ever(chunked(b"-1\r\n"), b"a" * 65_536),
    "long headers": many(b"X-A: " + b"a" * 65_000),
    "headers that a return parts": many(b"A:\r" * 21_000),
    "long cookies": many(b"Set-Cookie: " + b"a=b;" * 16_000),
}
"""Complete headers, or a body, that want much memory or time."""

_HELLO_REQUESTS = b"\x16\3\3\x40\0" + bytes(16_384)  # of a server that wants to begin anew (RFC 5246, 7.4.1.1)


def greets(data: bytes) -> Script:
    """Read the beginning of a TLS handshake, answer this and close."""
    return lambda peer: peer.greeted().send(data)


def floods_handshake(peer: Peer) -> None:
    """Keep a TLS handshake busy with what OpenSSL skips."""
    peer.greeted().for_ever(_HELLO_REQUESTS * 16)


UNFINISHED_HANDSHAKES: dict[str, Script] = {
    "silence": silent,
    "no answer": lambda peer: peer.greeted().wait(),
    "half a record": lambda peer: peer.send(_HELLO_REQUESTS[:99]).wait(),
    "trickled": lambda peer: peer.trickle(*(bytes([byte]) for byte in _HELLO_REQUESTS[:99])),
    "trickled records": lambda peer: peer.trickle(*[b"\x16\3\3\0\4\0\0\0\0"] * 99),
}
BROKEN_HANDSHAKES: dict[str, Script] = {
    "closed": lambda _: None,
    "closed after the greeting": greets(b""),
    "closed within a record": greets(_HELLO_REQUESTS[:99]),
    "reset": Peer.reset,
    "reset after the greeting": lambda peer: peer.greeted().reset(),
    "half closed": lambda peer: peer.end().wait(),
}
NO_HANDSHAKES: dict[str, Script] = {
    "garbage": greets(b"\0\xff" * 99),
    "endless garbage": lambda peer: peer.for_ever(b"\0\xff" * 999),
    "plain http": greets(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "another protocol": lambda peer: peer.send(b"220 mail.example.com ESMTP\r\n").wait(),
    "record that is huge": greets(b"\x16\3\3\xff\xff" + bytes(9999)),
    "alert": greets(b"\x15\3\3\0\2\2\x28"),
    "data": greets(b"\x17\3\3\0\4\0\0\0\0"),
}


@dataclass
class Receiving:
    """A receiver that listens."""

    port: int
    peers: list[Peer] = field(default_factory=list)


def _peak() -> int:
    """Return the most memory that was ever resident since it was forgotten, in KiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


@contextmanager
def little_memory(mebibytes: float = 20) -> Iterator[None]:
    """See that no more memory was needed in between, in the whole process, than there was before and so much more."""
    with suppress(OSError):  # then the peak of the whole life counts
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak()
    yield
    grown = (_peak() - before) / 1024
    assert grown < mebibytes, f"{grown:.1f} MiB more"


@contextmanager
def receiving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Receiving]:
    """Listen on 127.0.0.1 and run the script for each connection."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if tls is None:
                talk(connection)
            else:
                with tls.wrap_socket(connection, server_side=True) as secured:
                    talk(secured)

    def talk(connection: socket.socket) -> None:
        peer = Peer(connection, over)
        found.peers.append(peer)
        try:
            script(peer)
        finally:
            connection.close()
            peer.gone.set()

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(10)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what was sent is on its way
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Receiving(listener.getsockname()[1])
        threads.append(threading.Thread(target=listen))
        threads[0].start()
        try:
            yield found
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for peer in found.peers:
                with suppress(OSError):
                    socket.socket.shutdown(
                        peer.connection, socket.SHUT_RDWR
                    )  # not TLS's own: its thread may be reading
            for thread in threads[1:]:
                thread.join()

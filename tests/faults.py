"""Receivers that misbehave: raw sockets in threads, with and without TLS."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_HEAD = b"HTTP/1.1 200 OK\r\n"
_PAUSE = 0.05


@dataclass
class Peer:
    """The receiver's end of one connection."""

    connection: socket.socket
    over: threading.Event
    head: bytes = b""
    gone: threading.Event = field(default_factory=threading.Event)

    def read(self) -> Peer:
        """Read one request; its head is kept."""
        with self.connection.makefile("rb") as stream:
            lines = list(takewhile(lambda line: line.strip(), stream))
            self.head = b"".join(lines)
            size = next((line for line in lines if line.lower().startswith(b"content-length:")), b":0")
            stream.read(int(size.partition(b":")[2]))
        return self

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def trickle(self, data: bytes) -> None:
        for byte in data:
            self.send(bytes([byte]))
            self.over.wait(_PAUSE)

    def for_ever(self, data: bytes) -> None:
        while not self.over.is_set():
            self.send(data)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


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
        peer.trickle(data)

    return script


def silent(peer: Peer) -> None:
    """Neither read nor write."""
    peer.over.wait()


def resets(peer: Peer) -> None:
    peer.read().reset()


def echoes(peer: Peer) -> None:
    """Answer 500 with the request's own head, its secrets in front."""
    head = peer.read().head
    peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


def bomb(status: bytes) -> Script:
    """Answer with 300 KB that are 300 MB when decompressed."""
    content = gzip.compress(b"boom" * 250_000) * 300
    fields = b"\r\nLocation: /\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
    return answers(b"HTTP/1.1 " + status + fields + content)


UNFINISHED: dict[str, Script] = {
    "silence": silent,
    "trickled status line": trickles(b"", _HEAD * 9),
    "trickled headers": trickles(_HEAD, b"X-A: " + b"a" * 100),
    "endless 100 continue": then_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
BROKEN: dict[str, Script] = {
    "reset": resets,
    "closed without reading": lambda _: None,
    "closed without an answer": Peer.read,
    "half a status line": answers(b"HTTP/1.1 20"),
    "a status line without its end": answers(b"HTTP/1.1 200 OK"),
    "half the headers": answers(_HEAD + b"Content-Type: text/plain\r\n"),
}
NOT_HTTP: dict[str, Script] = {
    "garbage": answers(b"\0\xff\r\n\r\n" * 9),
    "another protocol": answers(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "no such status": answers(b"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n"),
    "two lengths": answers(_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "endless header": then_for_ever(_HEAD + b"X-A: ", b"a" * 4096),
    "endless headers": then_for_ever(_HEAD, b"X-A: a\r\n"),
}
ODD_BODIES: dict[str, Script] = {
    "endless": then_for_ever(_HEAD + b"\r\n", b"a" * 4096),
    "trickled": trickles(_HEAD + b"\r\n", b"a" * 100),
    "cut off": answers(_HEAD + b"Content-Length: 99\r\n\r\na"),
    "no chunk": answers(_HEAD + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n"),
    "bomb": bomb(b"200 OK"),
}
ODD_REDIRECTS: dict[str, Script] = {
    "endless": then_for_ever(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"a" * 4096),
    "bomb": bomb(b"307 Temporary Redirect"),
    "bad location": answers(b"HTTP/1.1 301 Moved\r\nLocation: http://[::bad\r\nContent-Length: 0\r\n\r\n"),
}


@dataclass
class Receiving:
    """A receiver that listens."""

    port: int
    peers: list[Peer] = field(default_factory=list)


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

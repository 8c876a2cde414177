"""The thread that listens: it says when it has ended, and whether by an error."""

from __future__ import annotations

import socket
import threading

import pytest
from commands import PATIENCE
from serving import everything

from hookplugin import Host
from hookplugin.server.app import create_app
from hookplugin.server.listening import Listening


def test_one_that_cannot_go_on_says_so_and_why(caplog: pytest.LogCaptureFixture) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.close()
    ended = threading.Event()
    with Host({}) as host:
        listening = Listening(create_app(host), listener, ended.set)
        assert ended.wait(PATIENCE)
        listening.stop()
    assert listening.failed
    assert "the server has died" in caplog.text


def test_one_that_is_told_to_stop_closes_its_socket_and_has_not_failed() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    where = listener.getsockname()
    ended = threading.Event()
    with Host({}) as host:
        listening = Listening(create_app(host), listener, ended.set)
        with socket.create_connection(where, timeout=PATIENCE) as idle:
            listening.stop()
            assert everything(idle) == b""
    assert (ended.is_set(), listening.failed) == (True, False)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where, timeout=PATIENCE)

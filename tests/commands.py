"""The command, in processes that are forked from one that has imported it: importing takes longer than most commands.

`python tests/commands.py` is that one; it runs a command for each connection.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

COMMAND: Final = Path(sys.executable).with_name("hookplugin")
PATIENCE: Final = 30.0  # seconds until a test gives up; nothing waits that long
LONGEST: Final = 60  # seconds that a command may take
STREAMS: Final = ("stdin", "stdout", "stderr")

RunIn: TypeAlias = Callable[[Path, Sequence[str], bytes], "subprocess.CompletedProcess[bytes]"]


@contextmanager
def forked_commands() -> Iterator[RunIn]:
    """Start the process that forks the others; yield what runs a command in a folder, with the environment as it is."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as nursery:
        try:
            assert nursery.stdout
            port = int(nursery.stdout.readline())

            def run(folder: Path, arguments: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
                with TemporaryDirectory() as place, socket.create_connection(("127.0.0.1", port)) as connection:
                    streams = {name: Path(place, name) for name in STREAMS}
                    streams["stdin"].write_bytes(stdin)
                    command = [str(COMMAND), *arguments]
                    order = {
                        "arguments": command,
                        "folder": str(folder),
                        "environment": dict(os.environ),
                        "streams": {name: str(path) for name, path in streams.items()},
                    }
                    connection.sendall(json.dumps(order).encode() + b"\n")
                    code = int(connection.makefile().readline())
                    output, errors = streams["stdout"].read_bytes(), streams["stderr"].read_bytes()
                return subprocess.CompletedProcess(command, code, output, errors)

            yield run
        finally:
            nursery.kill()


@contextmanager
def working(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a worker; one that hangs is killed."""
    command = [str(COMMAND), "worker", *options]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def _nurse() -> None:
    """Fork for each connection who attends to it, who forks the command; it ends as any interpreter does."""
    from hookplugin.cli import main
    from hookplugin.delivery import sender  # noqa: F401 - is imported as late as it is needed

    sys.path[0] = str(COMMAND.parent)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who attend
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - whoever has started it reads this
        connection, _ = listener.accept()
        while os.fork():
            connection.close()
            connection, _ = listener.accept()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with closing(connection), connection.makefile("rw") as stream:
        order = json.loads(stream.readline())
        if command := os.fork():
            stream.write(f"{os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])}\n")
            stream.flush()
            os._exit(0)
    _become(order)
    main()


def _become(order: dict[str, Any]) -> None:
    """Be a process that was started with these arguments."""
    signal.alarm(LONGEST)  # it dies of that
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in paths if path and path not in sys.path]
    sys.argv = order["arguments"]
    for number, name in enumerate(STREAMS):
        opened = os.open(order["streams"][name], os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
        stream = getattr(sys, name)
        if encoding := os.environ.get("PYTHONIOENCODING"):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(encoding=encoding)


if __name__ == "__main__":
    _nurse()

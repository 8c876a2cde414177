"""What a guarded POST costs, beside one of `requests.Session`: python tests/benchmarks/posting.py [PART …]."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import trustme

from hookplugin.delivery.guard import ANYWHERE, Guard
from hookplugin.delivery.receiver import Receiver
from hookplugin.delivery.sender import Sender, own_headers
from hookplugin.delivery.session import Sessions
from hookspecs import Body

ROUNDS = 41
TIMES = 200
BODY = Body(content=b'{"content": "disk 95% full", "target": "linux.disk.usage", "priority": "critical"}'.ljust(400))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SINK = """
import asyncio, ssl, sys
sys.path.insert(0, sys.argv[1])
from sink import Sink

async def main():
    context = None
    if sys.argv[2]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def sink(certificate: str = "") -> Iterator[str]:
    """Run the receiver of sink.py in a process of its own, perhaps over TLS; yield where it answers at once."""
    command = [sys.executable, "-c", SINK, str(Path(__file__).parent), certificate]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            port = process.stdout.readline().strip()
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}/0"
        finally:
            process.kill()


def ours(url: str, **settings: Any) -> Callable[[], None]:
    """Return one POST of our sender."""
    receiver = Receiver.model_validate({"name": "sink", "url": url, **settings})
    sender = Sender(receiver, Sessions(Guard(ANYWHERE), receiver.tls if receiver.may_need_tls else None))

    def post() -> None:
        attempt = sender.send("sample", BODY, {})
        assert attempt.outcome.status == 204, attempt.outcome

    return post


def theirs(url: str, more: Mapping[str, str], ca: str | None) -> Callable[[], None]:
    """Return one POST of a session with the headers of ours."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca or True
    headers = {**own_headers("sample", int(time.time()), BODY), "Accept-Encoding": "identity", **more}

    def post() -> None:
        answer = session.post(url, data=BODY.content, headers=headers, timeout=(3, 5))
        assert answer.status_code == 204, answer

    return post


def spent(post: Callable[[], None]) -> tuple[float, float]:
    """Return the microseconds of one of many in a row: as time goes by, and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    for _ in range(TIMES):
        post()
    return (time.perf_counter() - started) / TIMES * 1e6, (time.process_time() - worked) / TIMES * 1e6


def measure(part: str, one: Callable[[], None], other: Callable[[], None]) -> None:
    """Print one line; in turn, so that noise meets both alike."""
    one()
    other()
    rounds = [(*spent(one), *spent(other)) for _ in range(ROUNDS)]
    mine, my_work, reference, its_work = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = sorted(mine / reference for mine, _, reference, _ in rounds)
    works = statistics.median(mine / reference for _, mine, _, reference in rounds)
    low, high = ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
    print(
        f"{part:<8}{mine:>8.0f} µs{reference:>12.0f} µs{statistics.median(ratios):>9.3f} × ({low:.3f}–{high:.3f})"
        f"{my_work:>8.0f} µs{its_work:>9.0f} µs{works:>8.3f} ×"
    )


def plain() -> None:
    with sink() as url:
        measure("plain", ours(url), theirs(url, {}, None))


def signed() -> None:
    """Sign ours only; the other sends a signature that it does not have to make."""
    with sink() as url:
        signature = {"webhook-signature": f"v1,{'x' * 43}="}
        measure("signed", ours(url, secret=SECRET), theirs(url, signature, None))


def tls() -> None:
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        ca, certificate = f"{folder}/ca.pem", f"{folder}/sink.pem"
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with sink(certificate) as url:
            measure("tls", ours(url, tls={"ca": ca}), theirs(url, {}, ca))


PARTS: dict[str, Callable[[], None]] = {"plain": plain, "signed": signed, "tls": tls}

if __name__ == "__main__":
    print(f"{'':<8}{'ours':>11}{'requests':>15}{'ratio':>11} (quartiles)   processor: ours, requests, ratio")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()

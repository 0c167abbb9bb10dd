"""NATS JetStream with file storage: its server, one client that publishes, one durable consumer that acknowledges.

`publish PORT COUNT` and `consume PORT COUNT` speak the protocol of NATS themselves, as bench/clients.py speaks chatd's.
"""

import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.broker import Broker, free_port
from bench.pipeline import BYTES, WINDOW, begin, connect, end, measured, pipeline, received, text
from bench.process import say

PROGRAM = "nats-server"
CONFIG = """\
listen: "127.0.0.1:{port}"
jetstream: {{ store_dir: "{folder}" }}
"""
STREAM = {"name": "BENCH", "subjects": ["bench"], "storage": "file"}
READER = {
    "durable_name": "reader",
    "deliver_subject": "deliver",
    "ack_policy": "explicit",
    "max_ack_pending": WINDOW,
}
DELIVERED = re.compile(rb"MSG bench 1 (\S+) %d\r\n(\d{9})x+\r\n" % BYTES)


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A server with an empty stream and a consumer of it."""
    port, config = free_port(), folder / "nats.conf"
    config.write_text(CONFIG.format(port=port, folder=folder), encoding="utf-8")
    with Broker(PROGRAM, ["-c", str(config)], port, folder / "nats.log") as broker:
        sock = _login(port, b"SUB made 1\r\n")
        _make(sock, "STREAM.CREATE.BENCH", STREAM)
        _make(sock, "CONSUMER.DURABLE.CREATE.BENCH.reader", {"stream_name": "BENCH", "config": READER})
        sock.close()
        yield broker


def publish(port: int, count: int) -> None:
    """Pipeline `count` messages; each is answered when the stream has it."""
    requests = b"".join(b"PUB bench stored %d\r\n%s\r\n" % (BYTES, text(n).encode()) for n in range(count))
    sock = _login(port, b"SUB stored 1\r\n")
    last = b""

    def answers_in(data: bytes) -> int:
        nonlocal last
        last = (last + data)[-1024:]
        return data.count(b"}")  # of the JSON; there may be a PING among the lines

    began = begin()
    pipeline(sock, requests, count, answers_in)
    end(began, last=json.loads(last[last.rindex(b"{") : last.rindex(b"}") + 1])["seq"])


def consume(port: int, count: int) -> None:
    """Take `count` messages and acknowledge each; then look at every one."""
    sock = _login(port)
    began = begin()
    sock.sendall(b"SUB deliver 1\r\n")
    numbers: list[bytes] = []
    data = b""
    while len(numbers) < count:
        data += received(sock)
        rest, acks = 0, []
        for found in DELIVERED.finditer(data):
            acks.append(b"PUB %s 4\r\n+ACK\r\n" % found[1])
            numbers.append(found[2])
            rest = found.end()
        sock.sendall(b"".join(acks))
        data = data[rest:]
    ended = measured(began)
    say({**ended, "whole": [*map(int, numbers)] == [*range(count)], "last": len(numbers)})


def _login(port: int, subscribe: bytes = b"") -> socket.socket:
    """Connected, subscribed, and heard."""
    sock = connect(port)
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n%sPING\r\n' % subscribe)
    data = b""
    while not data.endswith(b"PONG\r\n"):
        data += received(sock)
    return sock


def _make(sock: socket.socket, what: str, config: object) -> None:
    """Ask the server's own interface for it."""
    body = json.dumps(config).encode()
    sock.sendall(b"PUB $JS.API.%s made %d\r\n%s\r\n" % (what.encode(), len(body), body))
    data = b""
    while data.count(b"\n") < 2:
        data += received(sock)
    answer = json.loads(data.splitlines()[1])
    if "error" in answer:
        raise SystemExit(f"{PROGRAM}: {what}: {answer['error']}")


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))

"""What the clients of all throughput benchmarks have in common: equal messages, one window, one clock.

Bare sockets and as little work for a message as can be: what is measured is between the two clients. They say `ready`,
wait for `go`, and say when they began and ended (on the clock that all processes of a machine share), and the processor
time in between.
"""

import select
import socket
import time
from collections.abc import Callable

from bench.process import PATIENCE_S, await_go, say

BYTES = 100  # of a message
CHUNK = 1 << 18
WINDOW = 16_384  # messages that a sender is ahead of its answers; MQTT cannot have more than 65,535
Began = tuple[float, float]


def text(number: int) -> str:
    """The message with that number."""
    return f"{number:09}".ljust(BYTES, "x")


def connect(port: int, buffer: int | None = None) -> socket.socket:
    """A connection to a server; `buffer`: what the kernel takes for one that does not read, else as it likes."""
    sock = socket.socket()
    sock.settimeout(PATIENCE_S)
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def pipeline(
    sock: socket.socket, requests: bytes, count: int, answers_in: Callable[[bytes], int], window: int = WINDOW
) -> None:
    """Send `count` requests, all of one size, at most `window` ahead of their answers; return when all are answered."""
    each, view = len(requests) // count, memoryview(requests)
    sent = answered = 0
    sock.settimeout(0)
    while answered < count:
        allowed = min(count, answered + window) * each
        readable, writable, _ = select.select([sock], [sock] if sent < allowed else [], [], PATIENCE_S)
        if writable:
            sent += sock.send(view[sent : min(allowed, sent + CHUNK)])
        if readable:
            answered += answers_in(received(sock))
        if not readable and not writable:
            raise SystemExit("the other side has stopped answering")
    sock.settimeout(PATIENCE_S)


def received(sock: socket.socket, most: int = CHUNK) -> bytes:
    """The next bytes. Ends the program when there are none."""
    data = sock.recv(most)
    if not data:
        raise SystemExit("the other side has closed the connection")
    return data


def begin() -> Began:
    """Wait for the others."""
    say("ready")
    await_go()
    return time.monotonic(), time.process_time()


def measured(began: Began) -> dict[str, float]:
    """What `end` says: for clients that have something to check before."""
    return {"begun": began[0], "ended": time.monotonic(), "cpu": time.process_time() - began[1]}


def end(began: Began, **more: object) -> None:
    """The last line."""
    say({**measured(began), **more})

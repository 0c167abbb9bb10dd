"""One message at a time, from send to subscriber, beside a bare pair that commits a row on each hop."""

import socket
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.nodes import Control, folder, pair
from bench.pipeline import text
from bench.process import PATIENCE_S, Process
from bench.result import Beside, Result

ROUNDS = 8  # of each, in turns
EACH = 100
TARGET_MS = 2.0


def run() -> list[Result]:
    """In turns, so that a noisy moment falls on both."""
    ours: list[float] = []
    bare: list[float] = []
    with ExitStack() as stack:
        ping_ours, ping_bare = _chatd(stack), _bare(stack)
        _turn(ping_ours, [])  # to warm up
        _turn(ping_bare, [])
        for _ in range(ROUNDS):
            _turn(ping_ours, ours)
            _turn(ping_bare, bare)
    middle, theirs = statistics.median(ours), statistics.median(bare)
    beside = f"{theirs:.2f} ms ({_late(bare):.2f} ms)"
    result = Result(
        "latency",
        "one message at a time, send to subscriber, median (99th percentile)",
        f"{middle:.2f} ms ({_late(ours):.2f} ms)",
        f"median under {TARGET_MS:g} ms",
        middle < TARGET_MS,
        (Beside("bare trio pair with two FULL commits", beside, f"{middle / theirs:.1f} : 1"),),
        (f"{len(ours)} messages each, in turns of {EACH}",),
    )
    return [result]


def _turn(ping: Callable[[], float], measured: list[float]) -> None:
    measured += [ping() * 1000 for _ in range(EACH)]


def _late(measured: list[float]) -> float:
    return statistics.quantiles(measured, n=100)[98]


def _chatd(stack: ExitStack) -> Callable[[], float]:
    alice, bob = stack.enter_context(pair())
    sender, subscriber = alice.control(), bob.control()
    stack.callback(sender.close)
    stack.callback(subscriber.close)
    subscriber.request("subscribe", **{"from": "now", "filter": {"types": ["message"]}})
    line = b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":"%s"}}\n' % text(0).encode()

    def ping() -> float:
        begun = time.perf_counter()
        sender.sock.sendall(line)
        subscriber.raw()
        taken = time.perf_counter() - begun
        _accepted(sender)
        return taken

    return ping


def _accepted(sender: Control) -> None:
    if "result" not in sender.line():
        raise SystemExit("latency: a message was refused")


def _bare(stack: ExitStack) -> Callable[[], float]:
    path: Path = stack.enter_context(folder())
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    second = Process("bare", "forward", str(server.getsockname()[1]), str(path / "second.db"))
    first = Process("bare", "forward", str(stack.enter_context(second).said()), str(path / "first.db"))
    source = stack.enter_context(socket.create_connection(("127.0.0.1", stack.enter_context(first).said())))
    server.settimeout(PATIENCE_S)
    sink = stack.enter_context(server.accept()[0])
    for sock in (source, sink):
        sock.settimeout(PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    message = text(0).encode()

    def ping() -> float:
        begun = time.perf_counter()
        source.sendall(message)
        rest = len(message)
        while rest:
            rest -= len(sink.recv(rest))
        return time.perf_counter() - begun

    return ping

"""Messages a second through a pair of nodes, from a pipelining client to a subscriber, beside forwarded bytes."""

from typing import Any

from bench.nodes import Node, pair
from bench.process import Process, cpu_seconds
from bench.result import Result

ROUNDS = 3  # of each, in turns; the best of each counts, because what else runs on the machine can only slow it
COUNT = 300_000
TARGET = 100_000  # a second


def run() -> Result:
    """In turns; every round is in the notes."""
    rounds = [(_chatd(), _bare()) for _ in range(ROUNDS)]
    ours, notes = max(chatd for chatd, _ in rounds)
    bare = max(forwarded for _, forwarded in rounds)
    shown = ", ".join(f"{rate:,.0f}/s" for (rate, _), _ in rounds)
    return Result(
        "throughput",
        "100-byte messages through two nodes, TLS, FULL commits on both",
        f"{ours:,.0f}/s",
        "bare trio pair that forwards the bytes",
        f"{bare:,.0f}/s",
        f"1 : {bare / ours:.1f}",
        f"at least {TARGET:,}/s",
        ours >= TARGET,
        (f"the best of {ROUNDS} rounds: {shown}", *notes),
    )


def _chatd() -> tuple[float, tuple[str, ...]]:
    with (
        pair() as (alice, bob),
        Process("clients", "subscribe", str(bob.socket), str(COUNT)) as subscriber,
        Process("clients", "send", str(alice.socket), str(COUNT)) as client,
    ):
        before = _cpu(alice, bob)
        sent, taken = _race(client, subscriber)
        after = _cpu(alice, bob)
    if not taken["whole"] or taken["last"] != sent["last"]:
        raise SystemExit("throughput: messages are missing, or out of order")
    used = [sent["cpu"], *(late - early for early, late in zip(before, after, strict=True)), taken["cpu"]]
    each = [f"{name} {seconds / COUNT * 1e6:.1f}" for name, seconds in zip(PROCESSES, used, strict=True)]
    note = f"processor time for a message, in µs: {', '.join(each)}; together {sum(used) / COUNT * 1e6:.1f}"
    return _rate(sent, taken), (f"{COUNT:,} messages, all there and in order", note)


PROCESSES = ("client", "sending node", "receiving node", "subscriber")


def _cpu(*nodes: Node) -> list[float]:
    return [cpu_seconds(node.pid) for node in nodes]


def _bare() -> float:
    with (
        Process("clients", "drain", str(COUNT)) as sink,
        Process("bare", "forward", str(sink.said())) as second,
        Process("bare", "forward", str(second.said())) as first,
        Process("clients", "pour", str(first.said()), str(COUNT)) as source,
    ):
        return _rate(*_race(source, sink))


def _race(source: Process, sink: Process) -> tuple[Any, Any]:
    for process in (sink, source):
        if process.said() != "ready":
            raise SystemExit("throughput: a client is not ready")
    sink.go()
    source.go()
    return source.said(), sink.said()


def _rate(source: Any, sink: Any) -> float:
    return float(COUNT / (max(source["ended"], sink["ended"]) - source["begun"]))

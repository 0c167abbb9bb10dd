"""Messages a second from a pipelining client to a subscriber: through two nodes, through brokers, as bare bytes.

Whatever is between them, the clients are of one kind and have one window (pipeline.py), and every message is looked at.
"""

from typing import NamedTuple

from bench import brokers, race
from bench.nodes import Node, pair
from bench.pipeline import WINDOW
from bench.process import Process, cpu_seconds
from bench.result import Beside, Result

ROUNDS = 3  # of each, in turns; the best of each counts, because what else runs on the machine can only slow it
COUNT = 300_000
TARGET = 100_000  # a second
PROCESSES = ("client", "sending node", "receiving node", "subscriber")


class _Round(NamedTuple):
    ours: float
    costs: str
    consumed: float
    bare: float
    brokers: tuple[float, ...]


def run() -> list[Result]:
    """In turns; every round of ours is in the notes."""
    rounds = [_round() for _ in range(ROUNDS)]
    best = max(rounds)
    consumed, bare = max(one.consumed for one in rounds), max(one.bare for one in rounds)
    theirs = [max(rates) for rates in zip(*(one.brokers for one in rounds), strict=True)]
    pair_alone = Result(
        "throughput",
        "100-byte messages through two nodes, TLS, FULL commits on both",
        f"{best.ours:,.0f}/s",
        f"at least {TARGET:,}/s",
        best.ours >= TARGET,
        (Beside("bare trio pair that forwards the bytes", f"{bare:,.0f}/s", f"1 : {bare / best.ours:.1f}"),),
        (
            f"the best of {ROUNDS} rounds: {', '.join(f'{one.ours:,.0f}/s' for one in rounds)}",
            f"{COUNT:,} messages each, all there and in order; a client is at most {WINDOW:,} ahead of its answers",
            best.costs,
        ),
    )
    beside_brokers = Result(
        "consumers",
        "the same to a named consumer that acknowledges",
        f"{consumed:,.0f}/s",
        target="",
        met=True,
        beside=tuple(brokers.beside(kind, rate, consumed) for kind, rate in zip(brokers.KINDS, theirs, strict=True)),
        notes=(
            "when chatd answers: the message is synced at the sender, and at the receiver when it is shown there",
            *map(brokers.note, brokers.KINDS),
        ),
    )
    return [pair_alone, beside_brokers]


def _round() -> _Round:
    ours, costs = _chatd("subscribe")
    theirs = tuple(brokers.throughput(kind, COUNT) for kind in brokers.KINDS)
    return _Round(ours, costs, _chatd("consume")[0], _bare(), theirs)


def _chatd(taker: str) -> tuple[float, str]:
    with (
        pair() as (alice, bob),
        Process("clients", taker, str(bob.socket), str(COUNT)) as subscriber,
        Process("clients", "send", str(alice.socket), str(COUNT)) as client,
    ):
        before = _cpu(alice, bob)
        raced = race.run(client, subscriber, COUNT)
        nodes = [late - early for early, late in zip(before, _cpu(alice, bob), strict=True)]
    used = [raced.cpu[0], *nodes, raced.cpu[1]]
    each = [f"{name} {seconds / COUNT * 1e6:.1f}" for name, seconds in zip(PROCESSES, used, strict=True)]
    costs = f"processor time for a message, in µs: {', '.join(each)}; together {sum(used) / COUNT * 1e6:.1f}"
    return raced.rate, costs


def _cpu(*nodes: Node) -> list[float]:
    return [cpu_seconds(node.pid) for node in nodes]


def _bare() -> float:
    with (
        Process("clients", "drain", str(COUNT)) as sink,
        Process("bare", "forward", str(sink.said())) as second,
        Process("bare", "forward", str(second.said())) as first,
        Process("clients", "pour", str(first.said()), str(COUNT)) as source,
    ):
        return race.run(source, sink, COUNT).rate

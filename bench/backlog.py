"""A million messages for a peer that is away: how fast they go when it is back, in which memory, and the start."""

import statistics
import time
from typing import NamedTuple

from bench import brokers, race
from bench.nodes import Control, Node, nodes
from bench.process import LONGEST_S, Process, cpu_seconds, peak_bytes
from bench.result import Beside, Result

COUNT = 1_000_000
STARTS = 5  # of each node, in turns
TARGET = 80_000  # a second
TARGET_MIB = 200
TARGET_S = 1.0
FLAGS = ("--outbox-messages", "1100000", "--outbox-bytes", "1GiB", "--retain-bytes", "4GiB")


class _Measured(NamedTuple):
    filled: float  # messages a second
    drained: float
    costs: str
    read: float
    peak: int  # bytes, from the start over the whole drain
    filling_peak: int
    started: float  # seconds
    killed: float
    empty: float
    empty_peak: int


def run() -> list[Result]:
    """One node fills up, starts again, and drains; beside it one that has nothing."""
    ours = _chatd()
    theirs = brokers.backlog(brokers.JETSTREAM, COUNT)
    mib = ours.peak / 2**20
    return [
        Result(
            "backlog",
            f"{COUNT:,} messages of 100 bytes that waited for one peer, drained",
            f"{ours.drained:,.0f}/s",
            f"at least {TARGET:,}/s",
            ours.drained >= TARGET,
            (brokers.beside(brokers.JETSTREAM, theirs, ours.drained),),
            (
                ours.costs,
                f"accepted while the peer was away: {ours.filled:,.0f}/s",
                f"read again there by a subscriber, all there and in order: {ours.read:,.0f}/s",
            ),
        ),
        Result(
            "backlog-memory",
            "the most memory of the node that drains them, from its start on",
            f"{mib:.0f} MiB",
            f"below {TARGET_MIB} MiB",
            mib < TARGET_MIB,
            (_beside("the same with an empty journal", ours.peak, ours.empty_peak, "{:.0f} MiB", 2**20),),
            (f"the most while they were accepted: {ours.filling_peak / 2**20:.0f} MiB",),
        ),
        Result(
            "backlog-start",
            "from its start until `wait ready` is answered, with that journal, median",
            f"{ours.started:.2f} s",
            f"within {TARGET_S:g} s",
            ours.started <= TARGET_S,
            (_beside("the same with an empty journal", ours.started, ours.empty, "{:.2f} s", 1),),
            (f"{STARTS} starts each, in turns; after kill -9: {ours.killed:.2f} s",),
        ),
    ]


def _beside(what: str, ours: float, theirs: float, shown: str, unit: int) -> Beside:
    return Beside(what, shown.format(theirs / unit), f"{ours / theirs:.1f} : 1")


def _chatd() -> _Measured:
    with nodes("alice", "bob", "carol", flags=FLAGS) as (alice, bob, carol):
        session = alice.control()
        session.request("connect", host="127.0.0.1", port=bob.port)
        session.close()
        bob.stop()
        filled, last, filling_peak = _fill(alice)
        alice.kill()
        killed = alice.start()
        started, empty = _starts(alice, carol)
        bob.start()
        drained, costs = _drain(alice, bob)
        with Process("clients", "replay", str(bob.socket), str(COUNT)) as reader:
            read, taken = race.alone(reader, COUNT)
        if taken["last"] != last:
            raise SystemExit("backlog: the last message is another one")
        peaks = peak_bytes(alice.pid), filling_peak
        return _Measured(filled, drained, costs, read, *peaks, started, killed, empty, peak_bytes(carol.pid))


def _fill(alice: Node) -> tuple[float, str, int]:
    with Process("clients", "send", str(alice.socket), str(COUNT)) as client:
        filled, said = race.alone(client, COUNT)
    return filled, said["last"], peak_bytes(alice.pid)


def _starts(*of: Node) -> list[float]:
    """The medians of what they take."""
    taken: list[list[float]] = [[] for _ in of]
    for _ in range(STARTS):
        for node, seconds in zip(of, taken, strict=True):
            node.stop()
            seconds.append(node.start())
    return [statistics.median(seconds) for seconds in taken]


def _drain(alice: Node, bob: Node) -> tuple[float, str]:
    """From the dial until nothing is owed: until the last one is committed there, and that is known here."""
    session: Control = alice.control()
    session.sock.settimeout(LONGEST_S)
    before = [cpu_seconds(node.pid) for node in (alice, bob)]
    begun = time.monotonic()
    session.request("connect", host="127.0.0.1", port=bob.port)
    session.request("wait", **{"for": "outbox-empty", "peer": 0})
    drained = COUNT / (time.monotonic() - begun)
    sending, receiving = (cpu_seconds(node.pid) - early for node, early in zip((alice, bob), before, strict=True))
    session.close()
    each = f"sending node {sending / COUNT * 1e6:.1f}, receiving node {receiving / COUNT * 1e6:.1f}"
    return drained, f"processor time for a message, in µs: {each}"

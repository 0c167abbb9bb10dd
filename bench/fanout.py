"""Deliveries a second from one sender to all in a room: of chatd to plain members and nodes, of ngircd, of bare trio.

A delivery is one message at one member; the time runs until the last member has the last one. Whoever serves the room,
its members are in one process of one kind (members.py), and the sender has one window (pipeline.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench import irc, race
from bench.broker import free_port, installed, version
from bench.nodes import Node, folder, nodes
from bench.process import Process, cpu_seconds, forget_peak, peak_bytes
from bench.result import Beside, Result

ROUNDS = 3  # of each, in turns; the best of each counts, because what else runs on the machine can only slow it
PAIRS = 9  # of rounds with and without a silent member: each is short, and the machine's speed varies
DELIVERIES = 5_000_000  # in a round
NATIVE_DELIVERIES = 200_000
NATIVES = 20
TARGET = 3_000_000  # a second, to 100 plain members
TARGET_RATIO = 1.5  # to ngircd
SLOWER = 0.10  # by a member that never reads
MEMBER_BYTES = 1 << 20
NOISE_BYTES = 1 << 20


class _Round(NamedTuple):
    rate: float  # deliveries a second
    cost: float  # µs of the server's processor for one
    cuts: int = 0


def run() -> list[Result]:
    """Plain members, then one that does not read, then nodes."""
    return [_plain(100), _plain(1000), *_silent(), _native()]


def _plain(members: int) -> Result:
    ours, ircs, bares = zip(*((_chatd(members), _ngircd(members), _bare(members)) for _ in range(ROUNDS)), strict=True)
    best, irc_best, bare = (max(rounds).rate for rounds in (ours, ircs, bares))
    targets = members == 100
    met = best >= TARGET and best >= TARGET_RATIO * irc_best
    return Result(
        f"fanout-{members}",
        f"100-byte messages from one to {members:,} plain members, FULL commit first: deliveries",
        f"{best:,.0f}/s",
        f"at least {TARGET:,}/s, and {TARGET_RATIO} times ngircd" if targets else "",
        met or not targets,
        (_beside_ngircd(irc_best, best), Beside("bare trio broadcaster", f"{bare:,.0f}/s", f"1 : {bare / best:.2g}")),
        (
            _rounds(ours, DELIVERIES),
            f"processor time of the server for a delivery, in µs: chatd {max(ours).cost:.2f}, "
            + (f"ngircd {max(ircs).cost:.2f}, " if irc_best else "")
            + f"bare {max(bares).cost:.2f}",
        ),
    )


def _rounds(rounds: Sequence[_Round], deliveries: int) -> str:
    return f"the best of {ROUNDS} rounds of {deliveries:,}: {', '.join(f'{one.rate:,.0f}/s' for one in rounds)}"


def _beside_ngircd(rate: float, ours: float) -> Beside:
    """Never a number that was not measured."""
    if not rate:
        return Beside("ngircd", f"not measured: {irc.PROGRAM} is not installed", "–")
    return Beside(f"ngircd {version(irc.PROGRAM, '--version')}", f"{rate:,.0f}/s", f"1 : {rate / ours:.2g}")


def _silent() -> list[Result]:
    """One room, in turns without and with one that never reads; when it is cut it comes back."""
    members = 100
    with _lobby() as (alice, port):
        _flooded(alice, port, members, 0)
        pairs = [[_peaked(alice, port, members + silent, silent) for silent in (0, 1)] for _ in range(PAIRS)]
    (without, peak), (beside, peak_beside) = (
        (max(one.rate for one, _ in rounds), min(peak for _, peak in rounds)) for rounds in zip(*pairs, strict=True)
    )
    grown = peak_beside - peak
    cuts = sum(one.cuts for _, (one, _) in pairs)
    return [
        Result(
            "fanout-silent",
            f"the same to {members} while one more never reads",
            f"{beside:,.0f}/s",
            f"at most {SLOWER:.0%} slower",
            beside >= (1 - SLOWER) * without,
            (Beside("without that one", f"{without:,.0f}/s", f"{beside / without:.2f} : 1"),),
            (f"it was cut and came back {cuts} times in {PAIRS} rounds of {DELIVERIES:,}",),
        ),
        Result(
            "fanout-silent-memory",
            "the most memory of the node meanwhile",
            f"{peak_beside / 2**20:.1f} MiB",
            f"at most 1 MiB more (and {NOISE_BYTES >> 20} of noise)",
            grown <= MEMBER_BYTES + NOISE_BYTES,
            (Beside("without that one", f"{peak / 2**20:.1f} MiB", f"{grown / 2**20:+.1f} MiB"),),
        ),
    ]


def _peaked(alice: Node, port: int, members: int, silent: int) -> tuple[_Round, int]:
    forget_peak(alice.pid)
    return _flooded(alice, port, members, silent), peak_bytes(alice.pid)


def _native() -> Result:
    rounds = _natives()
    best = max(rounds)
    return Result(
        f"fanout-{NATIVES}-nodes",
        f"the same from one node to {NATIVES}, TLS, FULL commits on all, to a subscriber of each: deliveries",
        f"{best.rate:,.0f}/s",
        "",
        met=True,
        beside=(Beside("to plain members of that many", f"{_chatd(NATIVES).rate:,.0f}/s", "–"),),
        notes=(
            _rounds(rounds, NATIVE_DELIVERIES),
            f"processor time of all nodes for a delivery, in µs: {best.cost:.1f}",
        ),
    )


@contextmanager
def _lobby() -> Iterator[tuple[Node, int]]:
    """A node that hosts it and is in it, and its room port."""
    port = free_port()
    with nodes("alice", flags=("--room-port", f"127.0.0.1:{port}=lobby,dialect=name")) as (alice,):
        _host(alice)
        yield alice, port


def _host(alice: Node) -> None:
    session = alice.control()
    session.request("room.host", room="lobby", nick="bench")
    session.close()


def _chatd(members: int) -> _Round:
    with _lobby() as (alice, port):
        return _flooded(alice, port, members, 0)


def _flooded(alice: Node, port: int, members: int, silent: int) -> _Round:
    count = DELIVERIES // (members - silent)
    with (
        _crowd("name", members, count, silent, str(port)) as crowd,
        Process("clients", "say", str(alice.socket), str(count)) as client,
    ):
        return _race(client, crowd, count, members - silent, (alice.pid,))


def _ngircd(members: int) -> _Round:
    if installed(irc.PROGRAM) is None:
        return _Round(0, 0)
    count = DELIVERIES // members
    with folder() as path, irc.running(path) as server, Process("irc", "flood", str(server.port), str(count)) as client:
        client.said()
        with _crowd("irc", members, count, 0, str(server.port)) as crowd:
            return _race(client, crowd, count, members, (server.pid,))


def _bare(members: int) -> _Round:
    count = DELIVERIES // members
    with Process("bare", "broadcast") as server:
        source_port, port = server.said()
        with (
            _crowd("bare", members, count, 0, str(port)) as crowd,
            Process("clients", "lines", str(source_port), str(count)) as client,
        ):
            return _race(client, crowd, count, members, (server.pid,))


def _natives() -> list[_Round]:
    """The sender is at the host, a subscriber at each of the others."""
    count = NATIVE_DELIVERIES // NATIVES
    with nodes("alice", *(f"node{n}" for n in range(NATIVES))) as (alice, *others):
        _host(alice)
        for node in others:
            session = node.control()
            session.request("connect", host="127.0.0.1", port=alice.port)
            session.request("room.join", room="lobby@alice")
            session.close()
        rounds = []
        for _ in range(ROUNDS):
            with (
                _crowd("native", NATIVES, count, 0, *(str(node.socket) for node in others)) as crowd,
                Process("clients", "say", str(alice.socket), str(count)) as client,
            ):
                rounds.append(_race(client, crowd, count, NATIVES, tuple(node.pid for node in (alice, *others))))
        return rounds


def _crowd(kind: str, members: int, count: int, silent: int, *where: str) -> Process:
    return Process("members", kind, str(members), str(count), str(silent), *where)


def _race(client: Process, crowd: Process, count: int, members: int, servers: tuple[int, ...]) -> _Round:
    before = sum(map(cpu_seconds, servers))
    raced = race.run(client, crowd, count)
    used = sum(map(cpu_seconds, servers)) - before
    return _Round(raced.rate * members, used / count / members * 1e6, raced.cuts)

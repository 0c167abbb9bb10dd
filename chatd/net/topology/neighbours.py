"""Surroundings: who this node is connected with, and how far away they are, as it tells whoever explores the network.

Round trips are measured when somebody asks; askers within a moment share what was measured. An exploration is a storm
of small frames in which everything takes longer, so the least of the last half minute counts; but where this node
itself makes a link bad on purpose, what it is now. Sends nothing but Pings. Called by `net/topology/explorer.py`.
"""

from typing import Final, Protocol, cast

import trio

from chatd.api.network import TopologyLink
from chatd.net import reasons
from chatd.net.pings import PendingPing
from chatd.peers.peer import NativeLink, Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.wire.frames import Explore, Explored, FoundFrame
from chatd.wire.query_frames import NEIGHBOURS_MOST

LINKS_MOST: Final = 4096  # of one node, as it tells them
FRESH_S: Final = 1.0  # what was measured is not measured again for so long
KEPT_S: Final = 30.0  # and counts for so long where it is the least
MEASURE_S: Final = 1.0  # a round trip that takes longer is not waited for
ENDED: Final = frozenset({"terminated", "denied", reasons.ended("terminated"), reasons.ended("denied")})
STATES: Final = {"up": 0, "dialing": 1, "pending": 2, "down": 3}


class FrameSink(Protocol):
    """What takes frames to be sent."""

    def send(self, frame: Explore | FoundFrame | Explored) -> bool:
        """Send it with the next write; False where too much waits for that already."""


class MeasurableLink(NativeLink, Protocol):
    """A native link, as explorations use it."""

    peer: Peer

    @property
    def queries(self) -> FrameSink:
        """Where frames go out."""

    def ping(self) -> PendingPing:
        """Ask the peer for an answer."""


class _Probe:
    """One Ping of ours to a peer that is up, and what was known before it."""

    __slots__ = ("_asked", "_at", "_faults", "_least", "_since", "_way")

    def __init__(self, way: MeasurableLink, before: "_Probe | None") -> None:
        self._way = way
        self._faults = way.peer.faults
        self._at = self._since = trio.current_time()
        self._least = way.peer.rtt_ms
        if before is not None and before.holds(way) and self._at - before._since < KEPT_S:
            self._least, self._since = before.rtt_ms or self._least, before._since
        if self._faults is not None:
            self._least = None
        self._asked = way.ping()

    def holds(self, way: PeerLink | None) -> bool:
        """It is of that link, which suffers the same as then."""
        return self._way is way and self._faults == self._way.peer.faults

    @property
    def fresh(self) -> bool:
        """Another one would tell nothing new."""
        return trio.current_time() - self._at < FRESH_S

    async def measured(self, until: float) -> None:
        """Wait for the answer."""
        with trio.move_on_at(min(until, self._at + MEASURE_S)):
            await self._asked.answered.wait()

    @property
    def rtt_ms(self) -> float | None:
        """None where it was not answered: what was known before may be far from what is."""
        if not self._asked.answered.is_set():
            return None
        now = round(self._asked.rtt_s * 1000, 3)
        return now if self._least is None else min(now, self._least)


class Neighbours:
    """Those of one node."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._probes: dict[Peer, _Probe] = {}

    def open_links(self) -> list[MeasurableLink]:
        """The open links, one for each native peer that is up."""
        links = (peer.link for peer in self._registry if peer.kind == "native")
        return [cast(MeasurableLink, link) for link in links if link is not None]

    @property
    def plain(self) -> int:
        """How many plain peers are connected."""
        return sum(peer.kind == "plain" and peer.is_up for peer in self._registry)

    async def measure(self, patience: float) -> None:
        """Wait until all round trips are known, for `patience` seconds and MEASURE_S at most."""
        until = trio.current_time() + patience
        before, self._probes = self._probes, {}
        for way in self.open_links():
            known = before.get(way.peer)
            if known is None or not known.fresh or not known.holds(way):
                known = _Probe(way, known)
            self._probes[way.peer] = known
        for probe in list(self._probes.values()):
            await probe.measured(until)

    def records(self) -> list[TopologyLink]:
        """To native peers: those that are up first."""
        near = sorted((peer for peer in self._registry if _is_near(peer)), key=_order)
        return [
            TopologyLink(peer.node or "", peer.name, peer.state, self._round_trip(peer)) for peer in near[:LINKS_MOST]
        ]

    def _round_trip(self, peer: Peer) -> float | None:
        """In ms. Of a link that came up since then it is what that has measured itself."""
        probe = self._probes.get(peer)
        if probe is not None and probe.holds(peer.link):
            return probe.rtt_ms
        return peer.rtt_ms if peer.is_up else None

    def pages(self, token: int, node: str, name: str) -> list[FoundFrame]:
        """The same as frames, of the node that is called so."""
        links = [(link.node, link.name, link.state, link.rtt_ms) for link in self.records()]
        starts = range(0, len(links) or 1, NEIGHBOURS_MOST)
        return [
            FoundFrame(
                token,
                node,
                name,
                private=False,
                plain=self.plain,
                links=links[start : start + NEIGHBOURS_MOST],  # type: ignore[arg-type]  # the states of a Peer are these
                more=start != starts[-1],
            )
            for start in starts
        ]


def _is_near(peer: Peer) -> bool:
    """It is a node that we are, or are to be, connected with, or lost in this run: not one that somebody sent away."""
    if peer.kind != "native" or peer.node is None:
        return False
    if peer.state != "down" or peer.persistent_addresses:
        return True
    return peer.opening is not None and not peer.terminated and peer.reason not in ENDED


def _order(peer: Peer) -> tuple[int, str, str]:
    return STATES[peer.state], peer.name, peer.node or ""

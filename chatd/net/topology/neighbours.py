"""Neighbours: the links of this node to other nodes and their round trips, as reported to explorations.

Round trips are measured on demand; explorations within FRESH_S share a measurement. The result is the minimum of the
last KEPT_S, because the small frames of the exploration itself delay the Pongs; on a link with faults it is the current
value. Sends only Pings. Called by `net/topology/explorer.py`.
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

LINKS_MOST: Final = 4096  # in the report of this node
FRESH_S: Final = 1.0  # a measurement is reused for so long
KEPT_S: Final = 30.0  # a minimum counts for so long
MEASURE_S: Final = 1.0  # longest wait for one round trip
ENDED: Final = frozenset({"terminated", "denied", reasons.ended("terminated"), reasons.ended("denied")})
STATES: Final = {"up": 0, "dialing": 1, "pending": 2, "down": 3}


class FrameSink(Protocol):
    """The queue for frames of a link, as an explorer uses it."""

    def send(self, frame: Explore | FoundFrame | Explored) -> bool:
        """Queue a frame for the next write; False if the queue is full."""


class MeasurableLink(NativeLink, Protocol):
    """A native link, as an explorer uses it."""

    peer: Peer

    @property
    def queries(self) -> FrameSink:
        """The queue for outgoing frames."""

    def ping(self) -> PendingPing: ...


class _Probe:
    """One Ping on an open link, with the minimum of earlier round trips."""

    __slots__ = ("_at", "_faults", "_least", "_link", "_ping", "_since")

    def __init__(self, link: MeasurableLink, before: "_Probe | None") -> None:
        self._link = link
        self._faults = link.peer.faults
        self._at = self._since = trio.current_time()
        self._least = link.peer.rtt_ms
        if before is not None and before.measures(link) and self._at - before._since < KEPT_S:
            self._least, self._since = before.rtt_ms or self._least, before._since
        if self._faults is not None:
            self._least = None
        self._ping = link.ping()

    def measures(self, link: PeerLink | None) -> bool:
        """Whether it measured that link, with its current faults."""
        return self._link is link and self._faults == self._link.peer.faults

    @property
    def fresh(self) -> bool:
        return trio.current_time() - self._at < FRESH_S

    async def wait_answered(self, until: float) -> None:
        with trio.move_on_at(min(until, self._at + MEASURE_S)):
            await self._ping.answered.wait()

    @property
    def rtt_ms(self) -> float | None:
        """Milliseconds; None without a Pong, since earlier values may be wrong by now."""
        if not self._ping.answered.is_set():
            return None
        now = round(self._ping.rtt_s * 1000, 3)
        return now if self._least is None else min(now, self._least)


class Neighbours:
    """The neighbours of this node, with the newest probe of each."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._probes: dict[Peer, _Probe] = {}

    def open_links(self) -> list[MeasurableLink]:
        """One open link for each native peer that is up."""
        links = (peer.link for peer in self._registry if peer.kind == "native")
        return [cast(MeasurableLink, link) for link in links if link is not None]

    @property
    def plain(self) -> int:
        """Number of connected plain peers."""
        return sum(peer.kind == "plain" and peer.is_up for peer in self._registry)

    async def measure(self, patience: float) -> None:
        """Measure all round trips; waits at most `patience` seconds and MEASURE_S."""
        until = trio.current_time() + patience
        before, self._probes = self._probes, {}
        for link in self.open_links():
            probe = before.get(link.peer)
            if probe is None or not probe.fresh or not probe.measures(link):
                probe = _Probe(link, probe)
            self._probes[link.peer] = probe
        for probe in list(self._probes.values()):
            await probe.wait_answered(until)

    def records(self) -> list[TopologyLink]:
        """Links to native peers; those that are up come first."""
        peers = sorted((peer for peer in self._registry if _is_near(peer)), key=_sort_key)
        return [
            TopologyLink(peer.node or "", peer.name, peer.state, self._round_trip(peer)) for peer in peers[:LINKS_MOST]
        ]

    def _round_trip(self, peer: Peer) -> float | None:
        """Milliseconds; for a link that came up since the measurement, its own first Ping."""
        probe = self._probes.get(peer)
        if probe is not None and probe.measures(peer.link):
            return probe.rtt_ms
        return peer.rtt_ms if peer.is_up else None

    def pages(self, token: int, node: str, name: str) -> list[FoundFrame]:
        """The records as frames: the report of this node."""
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
    """Whether a node is listed: connected, persistent or disconnected in this run, not terminated or denied."""
    if peer.kind != "native" or peer.node is None:
        return False
    if peer.state != "down" or peer.persistent_addresses:
        return True
    return peer.opening is not None and not peer.terminated and peer.reason not in ENDED


def _sort_key(peer: Peer) -> tuple[int, str, str]:
    return STATES[peer.state], peer.name, peer.node or ""

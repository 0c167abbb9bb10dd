"""A world of explorers: real ones, with fake links between them that take their time, on the clock of the test."""

from base64 import b32encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from random import Random
from typing import Any, cast

import msgspec
import trio

from chatd.config.settings import Config
from chatd.net.pings import PendingPing
from chatd.net.topology.explorer import Explorer
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.wire.codec import encode
from chatd.wire.frames import Explore, Explored, FoundFrame
from tests.harness.linked_node import config_of
from tests.harness.parts import lone_peer

Told = Explore | FoundFrame | Explored


def node_id(name: str) -> str:
    return b32encode(sha256(name.encode()).digest()).decode().lower().rstrip("=")


class FakeLink:
    """One end of a link: what is told at it is taken at the other end, in order, after a while."""

    direction, address, unsent, epoch, lost = "out", "x:1", 0, "aaaaaaaa", False

    def __init__(self, peer: Peer, delay: float) -> None:
        self.peer = peer
        self.delay = delay
        self.reason: str | None = None
        self.muted = False  # what is told gets lost
        self.capacity = 1_000_000  # frames that it takes
        self.told: list[Told] = []
        self.far: FakeLink
        self.explorer: Explorer  # at this end
        self._due, self._waiting = trio.open_memory_channel[tuple[float, Told]](100_000)

    @property
    def queries(self) -> "FakeLink":
        return self

    def send(self, frame: Told) -> bool:
        encode(frame)  # it can be
        if self.capacity == 0:
            return False
        self.capacity -= 1
        self.told.append(frame)
        if not self.muted:
            self._due.send_nowait((trio.current_time() + self.delay, frame))
        return True

    def ping(self) -> PendingPing:
        asked = PendingPing(0.0)
        if not self.muted:
            self._due.send_nowait((trio.current_time() + 2 * self.delay, cast(Any, asked)))
        return asked

    async def run(self) -> None:
        async for due, frame in self._waiting:
            await trio.sleep_until(due)
            if isinstance(frame, PendingPing):
                frame.record_pong(0.0, 0.0)
                self.peer.rtt_ms = round(frame.rtt_s * 1000, 3)
            elif self.far.reason is None:
                self.far.explorer.receive(frame, self.far)

    def close(self, reason: str) -> None:
        self.reason = reason

    def drop(self, reason: str) -> None:
        self.reason = reason

    def declare(self) -> None:
        pass


class Peers(list[Peer]):
    """As much of a registry as an explorer needs; nodes are called as they say."""

    @property
    def naming(self) -> "Peers":
        return self

    def names_of(self, claims: Mapping[str, str]) -> dict[str, str]:
        return dict(claims)


class World:
    """Nodes by name, and links between them."""

    def __init__(self, nursery: trio.Nursery, **settings: Any) -> None:
        self.explorers: dict[str, Explorer] = {}
        self.peers: dict[str, Peers] = {}
        self._settings = settings
        self._nursery = nursery

    def add(self, name: str, **settings: Any) -> Explorer:
        config: Config = msgspec.structs.replace(config_of(**self._settings, **settings), name=name)
        peers = self.peers[name] = Peers()
        explorer = Explorer(config, node_id(name), cast(Registry, peers), Random(name), self._nursery.start_soon)
        self.explorers[name] = explorer
        return explorer

    def link(self, left: str, right: str, delay: float = 0.001) -> tuple[FakeLink, FakeLink]:
        """A link between two nodes, which are made where they are not there yet: the end at each of them."""
        for name in (left, right):
            if name not in self.explorers:
                self.add(name)
        ends = self._end(left, right, delay), self._end(right, left, delay)
        for end, far in (ends, ends[::-1]):
            end.far = far
            self._nursery.start_soon(end.run)
        return ends

    def _end(self, here: str, there: str, delay: float) -> FakeLink:
        peer = lone_peer(len(self.peers[here]), len(self.peers[here]), "native", there, node_id(there), "x:1")
        end = FakeLink(peer, delay)
        end.explorer = self.explorers[here]
        peer.links.append(end)
        peer.state = "up"
        self.peers[here].append(peer)
        return end

    def mesh(self, names: Sequence[str], delay: float = 0.001) -> None:
        for at, left in enumerate(names):
            for right in names[at + 1 :]:
                self.link(left, right, delay)

    def idle(self, *names: str) -> bool:
        """Whether none of these (none at all, without names) waits for anything."""
        return not any(self.explorers[name]._explorations for name in names or self.explorers)


@asynccontextmanager
async def exploring(**settings: Any) -> AsyncIterator[World]:
    """A world that ends with the block."""
    async with trio.open_nursery() as nursery:
        yield World(nursery, **settings)
        nursery.cancel_scope.cancel()

"""Explorer: discovers the topology of the network, and forwards and answers the explorations of other nodes.

An echo algorithm over the links: a node that receives a new token answers with its own links and forwards the question
to all its other neighbours. Their answers return along the route of the question. A node that has `Explored` from all
of them sends its own, so the asker knows when it has everything. A token that arrives again, along a cycle, is answered
with `Explored` at once, unless it may go more hops than before. Each hop gets a little less time than the previous one,
so that the deepest node gives up first and a dead node costs only the nodes after it.

The asker accepts the links of a direct neighbour only over the link with it. So a neighbour always answers the asker
itself, even if it has answered the same token over another route.

Any peer with a link may ask: forwarded work is bounded for each link and for the node. Called by `net/native/link.py`
and by the control methods.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from random import Random
from typing import Final

import trio

from chatd.api.errors import ControlError
from chatd.api.network import Topology, TopologyNode
from chatd.config.settings import Config
from chatd.net.topology.graph import NetworkGraph
from chatd.net.topology.neighbours import MeasurableLink, Neighbours
from chatd.peers.peer import PeerLink
from chatd.peers.registry import Registry
from chatd.sync import Waker
from chatd.wire.frames import Explore, Explored, FoundFrame
from chatd.wire.query_frames import HOPS_MOST

OPEN: Final = 256  # open explorations of other nodes
OPEN_FOR_ONE: Final = 64  # of these, for one link
OURS: Final = 64  # open explorations of our own
REMEMBERED: Final = 4096  # tokens
FOUND_MOST: Final = 20_000  # frames returned to the asker in one exploration
HELD_MOST: Final = 20_000  # links in frames that wait for slow askers, in total
PACE, BURST = 2_000.0, 4_000.0  # frames that one link may cause, per second and at once
NODE_PACE, NODE_BURST = 10_000.0, 20_000.0  # and all links together
SHARE: Final = 0.97  # of its remaining time that a node gives the next one, after the round trip
LOOK_S: Final = 0.5  # between two calls of `enough` while no frames arrive
STEP_S: Final = 0.02  # between two calls of `enough` (answers come in bursts), or two attempts to send held frames
Run = Callable[[], Awaitable[object]]


class Explorer:
    """All explorations at one node.

    Resource handling: the task of each exploration of others runs where `start` puts it, until its deadline. Error
    handling: `explore` raises ControlError rate_limited if OURS are open.
    """

    def __init__(
        self, config: Config, node: str, registry: Registry, random: Random, start: Callable[[Run], None]
    ) -> None:
        """`node` is our node id; `start` runs a task beside the links."""
        self._config = config
        self._node = node
        self._registry = registry
        self._random = random
        self._neighbours = Neighbours(registry)
        self._explorations: dict[int, list[_Exploration]] = {}  # open ones by token, oldest first
        self._seen: dict[int, int] = {}  # token -> most hops that it arrived with
        self._buckets: dict[PeerLink, _Bucket] = {}
        self._bucket = _Bucket(NODE_PACE, NODE_BURST)
        self._start = start

    # -- asking

    async def explore(self, hops: int, timeout: float, enough: Callable[[Topology], bool] | None = None) -> Topology:
        """Explore the network within `hops`; nodes that have not answered after `timeout` seconds are `silent`.

        With `enough`, stop as soon as it accepts the topology so far; our own round trips are not measured then.
        Raises ControlError rate_limited.
        """
        if sum(exploration.asker is None for exploration in self._all()) >= OURS:
            raise ControlError("rate_limited", f"{OURS} explorations are under way", "wait for one of them to end")
        began = trio.current_time()
        token, graph = self._random.getrandbits(63), NetworkGraph(self._node)
        self._remember(token, HOPS_MOST)
        exploration = self._add(_Exploration(token, None, began + timeout, graph))

        def topology_so_far() -> Topology:
            elapsed = trio.current_time() - began
            return graph.topology(self._own_node(), hops, elapsed, self._registry.naming.names_of)

        try:
            with trio.move_on_at(exploration.deadline):
                self._forward(exploration, hops)
                if enough is None:
                    await self._neighbours.measure(timeout / 2)
                while exploration.waiting_for and not (enough is not None and enough(topology_so_far())):
                    with trio.move_on_after(float("inf") if enough is None else LOOK_S):
                        await exploration.waker.wait()
                    if enough is not None:
                        await trio.sleep(STEP_S)
        finally:
            self._remove(exploration)
        return topology_so_far()

    def _own_node(self) -> TopologyNode:
        name, neighbours = self._config.name, self._neighbours
        return TopologyNode(self._node, name, "answered", 0, neighbours.plain, neighbours.records())

    def _forward(self, exploration: "_Exploration", hops: int) -> None:
        """Send the question to all neighbours except its asker, with `hops` left from here."""
        within = exploration.deadline - trio.current_time()
        for link in self._neighbours.open_links() if hops else ():
            left_ms = int((within * SHARE) * 1000 - (link.peer.rtt_ms or 0.0))
            if left_ms <= 0 or (exploration.asker is not None and link.peer is exploration.asker.peer):
                continue
            if link.queries.send(Explore(exploration.token, hops - 1, left_ms, own=exploration.asker is None)):
                exploration.waiting_for.add(link)
                if exploration.graph is not None:
                    exploration.graph.expect(link.peer.node or "", link)

    # -- receiving

    def receive(self, frame: Explore | FoundFrame | Explored, link: MeasurableLink) -> None:
        """Handle a frame from a peer. Answers without an open question are dropped."""
        if isinstance(frame, Explore):
            self._receive_explore(frame, link)
            return
        open_ones = self._explorations.get(frame.token, ())
        exploration = next((each for each in open_ones if link in each.waiting_for), None)
        if exploration is None:
            return
        if isinstance(frame, Explored):
            exploration.expect_nothing_from(link)
        elif frame.node == self._node:
            return  # forged in our name: the asker would believe it, as it arrives over its link with us
        elif exploration.graph is None:
            self._return_to_asker(exploration, frame)
        else:
            exploration.graph.add(frame, link)
            exploration.waker.wake()

    def link_down(self, link: PeerLink) -> None:
        """Expect no answers from a link that has ended, and drop its own questions."""
        self._buckets.pop(link, None)
        for exploration in self._all():
            exploration.expect_nothing_from(link)
            if exploration.asker is link:
                exploration.abandon()

    def _receive_explore(self, frame: Explore, link: MeasurableLink) -> None:
        before = self._seen.get(frame.token, -1)
        further = frame.hops > before
        if not (further or frame.own) or not self._is_allowed(link):
            link.queries.send(Explored(frame.token))
            return
        if further:
            self._remember(frame.token, frame.hops)
        if self._config.topology == "private":
            name = self._config.name
            link.queries.send(FoundFrame(frame.token, self._node, name, private=True, plain=0, links=[], more=False))
            link.queries.send(Explored(frame.token))
            return
        exploration = self._add(_Exploration(frame.token, link, trio.current_time() + frame.within_ms / 1000))
        if further:
            self._forward(exploration, frame.hops)
        self._start(partial(self._answer_and_wait, exploration, with_own_links=before < 0 or frame.own))

    async def _answer_and_wait(self, exploration: "_Exploration", *, with_own_links: bool) -> None:
        """Answer with our own links if wanted, then send Explored once all neighbours have."""
        try:
            with trio.move_on_at(exploration.deadline):
                if with_own_links:
                    await self._neighbours.measure((exploration.deadline - trio.current_time()) / 2)
                    for page in self._neighbours.pages(exploration.token, self._node, self._config.name):
                        self._return_to_asker(exploration, page)
                await exploration.wait_finished()
        finally:
            self._remove(exploration)
        exploration.send(Explored(exploration.token))

    def _return_to_asker(self, exploration: "_Exploration", frame: FoundFrame) -> None:
        """Send a frame back to the asker, now or once its queue has capacity."""
        exploration.returned += 1
        if exploration.returned > FOUND_MOST or (not exploration.held and exploration.send(frame)):
            return
        if sum(exploration.weight for exploration in self._all()) < HELD_MOST:
            exploration.hold(frame)

    # -- open explorations

    def _all(self) -> list["_Exploration"]:
        return list(chain.from_iterable(self._explorations.values()))

    def _add(self, exploration: "_Exploration") -> "_Exploration":
        self._explorations.setdefault(exploration.token, []).append(exploration)
        return exploration

    def _remove(self, exploration: "_Exploration") -> None:
        explorations = self._explorations[exploration.token]
        explorations.remove(exploration)
        if not explorations:
            del self._explorations[exploration.token]

    # -- bounds

    def _is_allowed(self, link: MeasurableLink) -> bool:
        """Whether an exploration for that link is within the limits; charges its cost."""
        askers = [exploration.asker for exploration in self._all() if exploration.asker is not None]
        if len(askers) >= OPEN or askers.count(link) >= OPEN_FOR_ONE:
            return False
        cost = 2.0 + len(self._neighbours.open_links())
        return self._buckets.setdefault(link, _Bucket(PACE, BURST)).charge(cost) and self._bucket.charge(cost)

    def _remember(self, token: int, hops: int) -> None:
        while len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[token] = hops


class _Exploration:
    """One open exploration: its asker (None: this node), and the links that have not answered.

    A token has several of them if it arrived again with more hops than before.
    """

    __slots__ = ("asker", "deadline", "graph", "held", "returned", "token", "waiting_for", "waker", "weight")

    def __init__(
        self, token: int, asker: MeasurableLink | None, deadline: float, graph: NetworkGraph | None = None
    ) -> None:
        self.token = token
        self.asker = asker
        self.deadline = deadline
        self.graph = graph
        self.waiting_for: set[PeerLink] = set()
        self.waker = Waker()  # woken by a frame, and by the end of a link
        self.returned = 0  # frames for the asker, including those over FOUND_MOST, which are dropped
        self.held: deque[FoundFrame] = deque()  # frames for which the asker has no capacity yet
        self.weight = 0  # of `held`: frames and the links in them

    def send(self, frame: FoundFrame | Explored) -> bool:
        """Send a frame to the asker; False if it has no capacity."""
        return self.asker is None or self.asker.queries.send(frame)

    def hold(self, frame: FoundFrame) -> None:
        """Keep a frame until the asker has capacity."""
        self.held.append(frame)
        self.weight += _weight(frame)
        self.waker.wake()

    async def wait_finished(self) -> None:
        """Wait until all links have answered and all held frames are sent."""
        while self.waiting_for or self.held:
            while self.held and self.send(self.held[0]):
                self.weight -= _weight(self.held.popleft())
            if self.held:
                await trio.sleep(STEP_S)
            elif self.waiting_for:
                await self.waker.wait()

    def expect_nothing_from(self, link: PeerLink) -> None:
        if link in self.waiting_for:
            self.waiting_for.remove(link)
            self.waker.wake()

    def abandon(self) -> None:
        """Drop everything: the link with the asker has ended."""
        self.waiting_for.clear()
        self.held.clear()
        self.weight = 0
        self.waker.wake()


def _weight(frame: FoundFrame) -> int:
    return 1 + len(frame.links)


class _Bucket:
    """A token bucket: `rate` per second, `burst` at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = 0.0, float("-inf")

    def charge(self, cost: float) -> bool:
        """Charge the cost if the bucket holds it; whether it did."""
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

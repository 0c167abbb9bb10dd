"""Explorer: discovers the topology of the network, and forwards and answers the explorations of other nodes.

An echo algorithm over the links. A node that gets an exploration for the first time answers with its own links and
forwards it to all its other neighbours. Their answers return along the route of the question. A node that has got
`Explored` from all of them sends its own, so the asker knows when it has everything. A token that arrives again, along
a cycle, is answered with `Explored` at once, unless it may go more hops than the first time. Each hop gets a little
less time than the one before, so that the deepest node gives up first and a dead node costs only what is after it.

A node speaks for itself where it can: what a neighbour of the asker reports about itself counts only over their link.
So it answers the asker in any case, even after it has answered another node.

Any peer with a link may ask: forwarded work is bounded for each link and for the node.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
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
OPEN_FOR_ONE: Final = 64  # of them for one link
OURS: Final = 64  # open explorations of our own
REMEMBERED: Final = 4096  # tokens
FOUND_MOST: Final = 20_000  # frames returned to the asker in one exploration
HELD_MOST: Final = 20_000  # links in frames that wait for slow askers, in total
PACE, BURST = 2_000.0, 4_000.0  # frames that one link may cause, per second and at once
NODE_PACE, NODE_BURST = 10_000.0, 20_000.0  # and all links together
SHARE: Final = 0.97  # of its remaining time that a node gives the next one, after the round trip
LOOK_S: Final = 0.5  # without new frames, before `enough` is asked again
STEP_S: Final = 0.02  # between two checks of the graph (answers come in bursts) or of an asker that accepts nothing
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
        self._rounds: dict[int, list[_Round]] = {}  # open, by token, oldest first
        self._seen: dict[int, int] = {}  # token -> most hops that it arrived with
        self._buckets: dict[PeerLink, _Bucket] = {}
        self._bucket = _Bucket(NODE_PACE, NODE_BURST)
        self._start = start

    # -- asking

    async def explore(self, hops: int, timeout: float, enough: Callable[[Topology], bool] | None = None) -> Topology:
        """The network within `hops`; nodes that have not answered after `timeout` seconds are `silent`.

        Ends early once `enough` accepts the topology so far; our own round trips are not measured then.
        """
        if sum(one.asker is None for rounds in self._rounds.values() for one in rounds) >= OURS:
            raise ControlError("rate_limited", f"{OURS} explorations are under way", "wait for one of them to end")
        began = trio.current_time()
        token, graph = self._random.getrandbits(63), NetworkGraph(self._node)
        self._remember(token, HOPS_MOST)
        mine = self._open(_Round(token, None, began + timeout, graph))

        def found() -> Topology:
            elapsed = trio.current_time() - began
            return graph.topology(self._here(), hops, elapsed, self._registry.naming.names_of)

        try:
            with trio.move_on_at(mine.deadline):
                self._forward(mine, hops)
                if enough is None:
                    await self._neighbours.measure(timeout / 2)
                while mine.waiting_for and not (enough is not None and enough(found())):
                    with trio.move_on_after(float("inf") if enough is None else LOOK_S):
                        await mine.waker.wait()
                    if enough is not None:
                        await trio.sleep(STEP_S)
        finally:
            self._close(mine)
        return found()

    def _here(self) -> TopologyNode:
        name, around = self._config.name, self._neighbours
        return TopologyNode(self._node, name, "answered", 0, around.plain, around.records())

    def _forward(self, asking: "_Round", hops: int) -> None:
        """Send the question to all neighbours except its asker, with `hops` left from here."""
        within = asking.deadline - trio.current_time()
        for link in self._neighbours.open_links() if hops else ():
            left_ms = int((within * SHARE) * 1000 - (link.peer.rtt_ms or 0.0))
            if left_ms <= 0 or (asking.asker is not None and link.peer is asking.asker.peer):
                continue
            if link.queries.send(Explore(asking.token, hops - 1, left_ms, own=asking.asker is None)):
                asking.waiting_for.add(link)
                if asking.graph is not None:
                    asking.graph.expect(link.peer.node or "", link)

    # -- receiving

    def receive(self, frame: Explore | FoundFrame | Explored, link: MeasurableLink) -> None:
        """A frame from a peer. Answers without an open question are dropped."""
        if isinstance(frame, Explore):
            self._receive_explore(frame, link)
            return
        waiting = next((one for one in self._rounds.get(frame.token, ()) if link in one.waiting_for), None)
        if waiting is None:
            return
        if isinstance(frame, Explored):
            waiting.ended(link)
        elif frame.node == self._node:
            return  # forged in our name: the asker would believe it, as it arrives over its link with us
        elif waiting.graph is None:
            self._pass_back(waiting, frame)
        else:
            waiting.graph.add(frame, link)
            waiting.waker.wake()

    def link_down(self, link: PeerLink) -> None:
        """The link has ended: expect no answers from it, and drop its own questions."""
        self._buckets.pop(link, None)
        for rounds in list(self._rounds.values()):
            for one in rounds:
                one.ended(link)
                if one.asker is link:
                    one.give_up()

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
        asked = self._open(_Round(frame.token, link, trio.current_time() + frame.within_ms / 1000))
        if further:
            self._forward(asked, frame.hops)
        self._start(partial(self._serve, asked, speaks=before < 0 or frame.own))

    async def _serve(self, asked: "_Round", *, speaks: bool) -> None:
        """Answer with our links if `speaks`, then send Explored once all neighbours have."""
        try:
            with trio.move_on_at(asked.deadline):
                if speaks:
                    await self._neighbours.measure((asked.deadline - trio.current_time()) / 2)
                    for page in self._neighbours.pages(asked.token, self._node, self._config.name):
                        self._pass_back(asked, page)
                await asked.settled()
        finally:
            self._close(asked)
        asked.send(Explored(asked.token))

    def _pass_back(self, asked: "_Round", frame: FoundFrame) -> None:
        """Return a frame to the asker, now or once it accepts more."""
        asked.found += 1
        if asked.found > FOUND_MOST or (not asked.held and asked.send(frame)):
            return
        if sum(one.weight for rounds in self._rounds.values() for one in rounds) < HELD_MOST:
            asked.hold(frame)

    def _open(self, one: "_Round") -> "_Round":
        self._rounds.setdefault(one.token, []).append(one)
        return one

    def _close(self, one: "_Round") -> None:
        rounds = self._rounds[one.token]
        rounds.remove(one)
        if not rounds:
            del self._rounds[one.token]

    # -- bounds

    def _is_allowed(self, link: MeasurableLink) -> bool:
        """Whether an exploration for that link is within the limits; charges its cost."""
        askers = [one.asker for rounds in self._rounds.values() for one in rounds if one.asker is not None]
        if len(askers) >= OPEN or askers.count(link) >= OPEN_FOR_ONE:
            return False
        cost = 2.0 + len(self._neighbours.open_links())
        return self._buckets.setdefault(link, _Bucket(PACE, BURST)).charge(cost) and self._bucket.charge(cost)

    def _remember(self, token: int, hops: int) -> None:
        while len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[token] = hops


class _Round:
    """One open question: its asker (None: this node), and the links that have not answered.

    A token has several if it arrived again with more hops than before.
    """

    __slots__ = ("asker", "deadline", "found", "graph", "held", "token", "waiting_for", "waker", "weight")

    def __init__(
        self, token: int, asker: MeasurableLink | None, deadline: float, findings: NetworkGraph | None = None
    ) -> None:
        self.token = token
        self.asker = asker
        self.deadline = deadline
        self.graph = findings
        self.waiting_for: set[PeerLink] = set()
        self.waker = Waker()  # woken by a frame, and by the end of a link
        self.found = 0  # frames
        self.held: deque[FoundFrame] = deque()  # the asker has no capacity for them
        self.weight = 0  # of `held`: frames and the links in them

    def send(self, frame: FoundFrame | Explored) -> bool:
        """Send a frame to the asker; False if it has no capacity."""
        return self.asker is None or self.asker.queries.send(frame)

    def hold(self, frame: FoundFrame) -> None:
        """Keep a frame until the asker has capacity."""
        self.held.append(frame)
        self.weight += _weight(frame)
        self.waker.wake()

    async def settled(self) -> None:
        """Wait until all links have answered and the asker has got everything."""
        while self.waiting_for or self.held:
            while self.held and self.send(self.held[0]):
                self.weight -= _weight(self.held.popleft())
            if self.held:
                await trio.sleep(STEP_S)
            elif self.waiting_for:
                await self.waker.wait()

    def ended(self, link: PeerLink) -> None:
        """Expect no more answers from that link."""
        if link in self.waiting_for:
            self.waiting_for.remove(link)
            self.waker.wake()

    def give_up(self) -> None:
        """The asker is gone."""
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
        """Charge the cost if it is within the limits; whether it was."""
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

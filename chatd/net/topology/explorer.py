"""Explorer: who is connected with whom, all over the network: asked by us, and passed on and answered for others.

An echo over the links. Who is asked the first time says who it is connected with, and asks all others that it is
connected with; what they say goes back the way the question came; who has heard the end from all of them says that
itself. So the asker knows that it has everything as soon as it has. A question that comes again, the other way round a
circle, is at its end at once, unless it may go further than it did the first time. Each hop has a little less time than
the one before it, so that what is deep inside gives up first, and one dead node costs only what lies behind it.

A node speaks for itself where it can: what a neighbour of the asker says of itself counts only over the link with it.
So it says that to the asker in any case, even where it has answered another node before.

Everybody who may have a link may ask: how much of it is passed on is bounded for each link and for the node.
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

OPEN: Final = 256  # explorations of others under way, all together
OPEN_FOR_ONE: Final = 64  # and for one link
OURS: Final = 64  # of our own
REMEMBERED: Final = 4096  # tokens
FOUND_MOST: Final = 20_000  # frames that are passed back in one exploration
HELD_MOST: Final = 20_000  # links in frames that wait until a slow asker takes them, all together
PACE, BURST = 2_000.0, 4_000.0  # frames that one link may cause, a second and at once: what each exploration costs
NODE_PACE, NODE_BURST = 10_000.0, 20_000.0  # and all of them
SHARE: Final = 0.97  # of its time that a node leaves to the next one, after the way there and back
LOOK_S: Final = 0.5  # after which what was found may be enough, as nothing more has come
STEP_S: Final = 0.02  # between two looks at what was found, as answers come in bunches, or at who takes nothing
Run = Callable[[], Awaitable[object]]


class Explorer:
    """The one of a node.

    Resource handling: tasks that wait for the end of what others asked run where `start` puts them, until their time is
    over. Error handling: `explore` raises ControlError rate_limited where too many wait already.
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
        self._rounds: dict[int, list[_Round]] = {}  # those that are open, by token, the oldest first
        self._seen: dict[int, int] = {}  # token -> the most hops that it came with
        self._paces: dict[PeerLink, _Pace] = {}
        self._pace = _Pace(NODE_PACE, NODE_BURST)
        self._start = start

    # -- asking

    async def explore(self, hops: int, timeout: float, enough: Callable[[Topology], bool] | None = None) -> Topology:
        """The network, over so many hops at most; what has not come after `timeout` seconds is silent.

        `enough` may end it as soon as it likes what has come; our own round trips are not waited for then.
        """
        if sum(one.asker is None for rounds in self._rounds.values() for one in rounds) >= OURS:
            raise ControlError("rate_limited", f"{OURS} explorations are under way", "wait for one of them to end")
        began = trio.current_time()
        token, findings = self._random.getrandbits(63), NetworkGraph(self._node)
        self._remember(token, HOPS_MOST)
        mine = self._open(_Round(token, None, began + timeout, findings))

        def found() -> Topology:
            elapsed = trio.current_time() - began
            return findings.topology(self._here(), hops, elapsed, self._registry.naming.names_of)

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
        """Pass a question on that may go so many hops from here."""
        within = asking.deadline - trio.current_time()
        for way in self._neighbours.open_links() if hops else ():
            left_ms = int((within * SHARE) * 1000 - (way.peer.rtt_ms or 0.0))
            if left_ms <= 0 or (asking.asker is not None and way.peer is asking.asker.peer):
                continue
            if way.queries.send(Explore(asking.token, hops - 1, left_ms, own=asking.asker is None)):
                asking.waiting_for.add(way)
                if asking.graph is not None:
                    asking.graph.expect(way.peer.node or "", way)

    # -- what comes

    def receive(self, frame: Explore | FoundFrame | Explored, link: MeasurableLink) -> None:
        """One that came. Answers to what is not asked, or not any more, are dropped."""
        if isinstance(frame, Explore):
            self._receive_explore(frame, link)
            return
        waiting = next((one for one in self._rounds.get(frame.token, ()) if link in one.waiting_for), None)
        if waiting is None:
            return
        if isinstance(frame, Explored):
            waiting.ended(link)
        elif frame.node == self._node:
            return  # in our name: the asker would believe it, as it comes over its link with us
        elif waiting.graph is None:
            self._pass_back(waiting, frame)
        else:
            waiting.graph.add(frame, link)
            waiting.waker.wake()

    def link_down(self, link: PeerLink) -> None:
        """The link has ended: nothing more comes that way, and what it asked nobody waits for."""
        self._paces.pop(link, None)
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
        """Answer for ourselves, if that was not done yet, and say when all others have."""
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
        """What somebody says, or we do, is for whoever asked."""
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
        """Whether the node does that for it, too."""
        askers = [one.asker for rounds in self._rounds.values() for one in rounds if one.asker is not None]
        if len(askers) >= OPEN or askers.count(link) >= OPEN_FOR_ONE:
            return False
        cost = 2.0 + len(self._neighbours.open_links())
        return self._paces.setdefault(link, _Pace(PACE, BURST)).take(cost) and self._pace.take(cost)

    def _remember(self, token: int, hops: int) -> None:
        while len(self._seen) >= REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[token] = hops


class _Round:
    """One question that this node has passed on: for whom (None: for itself), and who has not answered yet.

    A token may have several: it came again, and may go further than before.
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
        self.waker = Waker()  # something came, or nothing more will
        self.found = 0  # frames
        self.held: deque[FoundFrame] = deque()  # that the asker has no room for
        self.weight = 0  # of those: frames and links in them

    def send(self, frame: FoundFrame | Explored) -> bool:
        """To whoever asked."""
        return self.asker is None or self.asker.queries.send(frame)

    def hold(self, frame: FoundFrame) -> None:
        """Keep it until the asker has room."""
        self.held.append(frame)
        self.weight += _weight(frame)
        self.waker.wake()

    async def settled(self) -> None:
        """Wait until all have answered, and the asker has had room for it."""
        while self.waiting_for or self.held:
            while self.held and self.send(self.held[0]):
                self.weight -= _weight(self.held.popleft())
            if self.held:
                await trio.sleep(STEP_S)
            elif self.waiting_for:
                await self.waker.wait()

    def ended(self, way: PeerLink) -> None:
        """Nothing more comes that way."""
        if way in self.waiting_for:
            self.waiting_for.remove(way)
            self.waker.wake()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self.waiting_for.clear()
        self.held.clear()
        self.weight = 0
        self.waker.wake()


def _weight(frame: FoundFrame) -> int:
    return 1 + len(frame.links)


class _Pace:
    """So much a second, and so much at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = 0.0, float("-inf")

    def take(self, cost: float) -> bool:
        """Whether that is still within it; then it is taken."""
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < cost:
            return False
        self._left -= cost
        return True

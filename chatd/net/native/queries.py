"""Queries: what one native link asks and is asked about messages, and what else it has to tell that is no message.

Answers take their turns at the journal, so each is a task of its own; none of them holds up the link's reader. A peer
that asks more than it may is not answered. What is told goes with the next write, in order.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, cast

import trio

from chatd.api.errors import ControlError
from chatd.journal.epochs import GlobalId
from chatd.net.links import Links, supervised
from chatd.peers.peer import Peer
from chatd.query.tally import SPAN, RangeTally
from chatd.query.trace import TAKEN, Moment
from chatd.wire.frames import Count, Counted, FoundFrame, Frame, Inquire, TracedFrame
from chatd.wire.query_frames import STEPS_MOST

TOLD_MOST: Final = 4096  # frames that may wait for a write, and links in them: half a MiB
ASKED_MOST: Final = 64  # questions of ours that may be open
ANSWERING_MOST: Final = 4  # of theirs that are answered at a time,
WAITING_MOST: Final = 8  # and that wait for that; more are dropped
REST_S: Final = 0.02  # before the place of an answer is free again: who asks without end gets 200 a second
AWAITED: Final = "awaited"  # says of a consumer that it has still to take it
UNKNOWN: Final = 0.0  # the time of what happened, and nobody knows when
Answer = TracedFrame | Counted


class Queries:
    """Those of one link.

    Resource handling: answers are tasks beside the links; `close` ends them. Error handling: who waits is told when the
    link ends. A bug in an answer is logged, and costs that answer.
    """

    def __init__(self, links: Links, peer: Peer, wake: Callable[[], None]) -> None:
        """`wake` has the link write what is `due`."""
        self._links = links
        self._peer = peer
        self._wake = wake
        self._told: list[Frame] = []
        self._told_size = 0
        self._asked: dict[int, _Asked] = {}
        self._waiting: deque[Inquire | Count] = deque()
        self._answering: set[trio.CancelScope] = set()
        self._counting = trio.Lock()  # one count at a time: it may go through all that ever came
        self._closed = False

    # -- what the link calls; nothing here waits

    def take(self, frame: Inquire | TracedFrame | Count | Counted) -> None:
        """One that came."""
        if isinstance(frame, Answer):
            asked = self._asked.get(frame.token)
            if asked is not None and type(frame) is asked.kind:
                del self._asked[frame.token]  # what else comes for that token is nothing
                asked.answer = frame
                asked.answered.set()
        elif len(self._answering) < ANSWERING_MOST and not self._closed:
            scope = trio.CancelScope()
            self._answering.add(scope)
            self._links.nursery.start_soon(self._answer_on, frame, scope)
        elif len(self._waiting) < WAITING_MOST:
            self._waiting.append(frame)

    def tell(self, frame: Frame) -> bool:
        """Send it with the next write; False if too much waits for that already, or the link has ended."""
        if self._closed or self._told_size >= TOLD_MOST:
            return False
        self._told.append(frame)
        self._told_size += 1 + (len(frame.links) if isinstance(frame, FoundFrame) else 0)
        self._wake()
        return True

    def due(self) -> list[Frame]:
        """What is to be told now."""
        told, self._told, self._told_size = self._told, [], 0
        return told

    def close(self) -> None:
        """The link has ended: nobody is answered any more, in either direction."""
        self._closed = True
        self._told.clear()
        self._waiting.clear()
        for scope in self._answering:
            scope.cancel()
        for asked in self._asked.values():
            asked.answered.set()

    # -- asking

    async def inquire(self, message: GlobalId) -> TracedFrame:
        """When did what happen to it over there? Raises ControlError: peer_offline once the link has ended."""
        ask = partial(Inquire, node=message.node, epoch=message.epoch, seq=message.seq)
        return cast(TracedFrame, await self._ask(ask, TracedFrame))

    async def count(self, epoch: str, first: int, last: int) -> Counted:
        """How many of our messages from `first` through `last` of that epoch are there, SPAN seqs at most? As above."""
        return cast(Counted, await self._ask(partial(Count, epoch=epoch, first=first, last=last), Counted))

    async def _ask(self, make: Callable[[int], Frame], kind: type[Answer]) -> Answer:
        token = self._links.runtime.random.getrandbits(48)
        if self._closed:
            raise self._gone()
        if len(self._asked) >= ASKED_MOST or not self.tell(make(token)):
            raise ControlError("rate_limited", f"{self._peer.name} is being asked too much", "try again in a moment")
        asked = self._asked[token] = _Asked(kind)
        try:
            await asked.answered.wait()
        finally:
            self._asked.pop(token, None)
        if asked.answer is None:
            raise self._gone()
        return asked.answer

    def _gone(self) -> ControlError:
        hint = f"`chatctl wait peer {self._peer.name}`, then ask again"
        return ControlError("peer_offline", f"the link to {self._peer.name} has ended", hint)

    # -- answering

    async def _answer_on(self, frame: Inquire | Count, scope: trio.CancelScope) -> None:
        """Answer one after the other, until none waits."""
        try:
            with scope:
                while True:
                    await supervised(f"an answer to {self._peer.shown}", partial(self._answer, frame))
                    await trio.sleep(REST_S)
                    if not self._waiting:
                        return
                    frame = self._waiting.popleft()
        finally:
            self._answering.discard(scope)

    async def _answer(self, frame: Inquire | Count) -> None:
        if isinstance(frame, Count):
            await self._answer_count(frame)
            return
        wanted = GlobalId(frame.node, frame.epoch, frame.seq)
        moments = await self._links.traces.visible_to(self._peer, wanted)
        steps = [step for moment in moments or () if (step := _step(moment)) is not None]
        self.tell(TracedFrame(frame.token, moments is not None, steps[:STEPS_MOST]))

    async def _answer_count(self, frame: Count) -> None:
        """Taking half of the journal's time at most. Over too wide a range there is no answer."""
        if frame.last - frame.first >= SPAN:
            return
        journal, peer = self._links.journal, self._peer
        async with self._counting:
            after = await self._links.chat.lookup.position_before(peer, frame.epoch, frame.first)
            tally = RangeTally(peer.stream_id, after, journal.committed, frame.epoch, frame.first, frame.last)
            began = trio.current_time()
            while not await journal.ask(tally.step):
                await trio.sleep(trio.current_time() - began)
                began = trio.current_time()
        self.tell(Counted(frame.token, tally.messages, tally.distinct))


class _Asked:
    """A question of ours that is open."""

    __slots__ = ("answer", "answered", "kind")

    def __init__(self, kind: type[Answer]) -> None:
        self.kind = kind
        self.answer: Answer | None = None
        self.answered = trio.Event()


def _step(moment: Moment) -> tuple[str, float, str] | None:
    """As it is told; nothing of what has not happened, but who is to take it."""
    if moment.done:
        return moment.step, UNKNOWN if moment.at is None else moment.at, moment.consumer
    return (AWAITED, UNKNOWN, moment.consumer) if moment.step == TAKEN else None

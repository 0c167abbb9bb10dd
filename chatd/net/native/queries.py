"""Queries on one native link, in both directions (trace and counts), and the queue of their frames.

An answer waits for reads of the journal, so it runs in a task beside the link and does not block the link's reader. A
peer over its limit gets no answer. `writer.py` sends the queued frames with the next write, in order; the topology
sends its frames through this queue too. Called by `link.py` and by the control method `trace`.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, cast

import trio

from chatd.api.errors import ControlError
from chatd.journal.epochs import GlobalId
from chatd.journal.journal import Journal
from chatd.messages.lookup import MessageLookup
from chatd.net.links import Links, supervised
from chatd.peers.peer import Peer
from chatd.query.tally import SPAN, RangeTally
from chatd.query.trace import TAKEN, MessageTraces, Moment
from chatd.wire.frames import Count, Counted, FoundFrame, Frame, Inquire, TracedFrame
from chatd.wire.query_frames import STEPS_MOST

QUEUED_MOST: Final = 4096  # queued frames plus the links in them: about half a MiB
QUESTIONS_MOST: Final = 64  # open questions of ours
ANSWERING_MOST: Final = 4  # questions of the peer that are answered at a time
WAITING_MOST: Final = 8  # questions of the peer that wait for that; more are dropped
REST_S: Final = 0.02  # pause after an answer: at most 200 answers per second
AWAITED: Final = "awaited"  # step: the consumer has not processed the message yet
UNKNOWN: Final = 0.0  # the time of a step that happened at an unknown time
Answer = TracedFrame | Counted


class Queries:
    """Queries of one link.

    Resource handling: answers are tasks beside the links; `close` cancels them. Error handling: open questions raise
    ControlError when the link ends; a bug in an answer is logged and ends only that answer.
    """

    def __init__(
        self,
        peer: Peer,
        wake: Callable[[], None],
        *,
        links: Links,
        random: Random,
        journal: Journal,
        lookup: MessageLookup,
        traces: MessageTraces,
    ) -> None:
        """`wake` makes the link write the queued frames."""
        self._peer = peer
        self._links = links
        self._random = random
        self._journal = journal
        self._lookup = lookup
        self._traces = traces
        self._wake = wake
        self._outgoing: list[Frame] = []
        self._outgoing_size = 0
        self._questions: dict[int, _Question] = {}
        self._waiting: deque[Inquire | Count] = deque()
        self._answering: set[trio.CancelScope] = set()
        self._counting = trio.Lock()  # one count at a time: it may read the whole journal
        self._closed = False

    # -- what the link calls; nothing here waits

    def receive(self, frame: Inquire | TracedFrame | Count | Counted) -> None:
        """Handle a question or an answer from the peer."""
        if isinstance(frame, Answer):
            question = self._questions.get(frame.token)
            if question is not None and type(frame) is question.kind:
                del self._questions[frame.token]  # further answers with this token are ignored
                question.answer = frame
                question.answered.set()
        elif len(self._answering) < ANSWERING_MOST and not self._closed:
            scope = trio.CancelScope()
            self._answering.add(scope)
            self._links.start("answers to a peer", partial(self._answer_all, frame, scope))
        elif len(self._waiting) < WAITING_MOST:
            self._waiting.append(frame)

    def send(self, frame: Frame) -> bool:
        """Queue a frame for the next write; False if the queue is full or the link has ended."""
        if self._closed or self._outgoing_size >= QUEUED_MOST:
            return False
        self._outgoing.append(frame)
        self._outgoing_size += 1 + (len(frame.links) if isinstance(frame, FoundFrame) else 0)
        self._wake()
        return True

    def take_frames(self) -> list[Frame]:
        frames, self._outgoing, self._outgoing_size = self._outgoing, [], 0
        return frames

    def close(self) -> None:
        """The link has ended: end all questions and answers."""
        self._closed = True
        self._outgoing.clear()
        self._waiting.clear()
        for scope in self._answering:
            scope.cancel()
        for question in self._questions.values():
            question.answered.set()

    # -- asking

    async def inquire(self, message: GlobalId) -> TracedFrame:
        """Ask for the steps of a message at the peer. Raises ControlError: peer_offline, rate_limited."""
        ask = partial(Inquire, node=message.node, epoch=message.epoch, seq=message.seq)
        return cast(TracedFrame, await self._ask(ask, TracedFrame))

    async def count(self, epoch: str, first: int, last: int) -> Counted:
        """Ask how many of our messages `first` to `last` (at most SPAN seqs) the peer has. Raises as `inquire`."""
        return cast(Counted, await self._ask(partial(Count, epoch=epoch, first=first, last=last), Counted))

    async def _ask(self, make: Callable[[int], Frame], kind: type[Answer]) -> Answer:
        token = self._random.getrandbits(48)
        if self._closed:
            raise self._link_ended()
        if len(self._questions) >= QUESTIONS_MOST or not self.send(make(token)):
            raise ControlError("rate_limited", f"{self._peer.name} is being asked too much", "try again in a moment")
        question = self._questions[token] = _Question(kind)
        try:
            await question.answered.wait()
        finally:
            self._questions.pop(token, None)
        if question.answer is None:
            raise self._link_ended()
        return question.answer

    def _link_ended(self) -> ControlError:
        hint = f"`chatctl wait peer {self._peer.name}`, then ask again"
        return ControlError("peer_offline", f"the link to {self._peer.name} has ended", hint)

    # -- answering

    async def _answer_all(self, frame: Inquire | Count, scope: trio.CancelScope) -> None:
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
        moments = await self._traces.visible_to(self._peer, wanted)
        steps = [step for moment in moments or () if (step := _step(moment)) is not None]
        self.send(TracedFrame(frame.token, moments is not None, steps[:STEPS_MOST]))

    async def _answer_count(self, frame: Count) -> None:
        """Count in steps, with pauses: at most half of the journal's time. A range over SPAN is ignored."""
        if frame.last - frame.first >= SPAN:
            return
        journal, peer = self._journal, self._peer
        async with self._counting:
            after = await self._lookup.position_before(peer, frame.epoch, frame.first)
            tally = RangeTally(peer.stream_id, after, journal.committed, frame.epoch, frame.first, frame.last)
            began = trio.current_time()
            while not await journal.ask(tally.step):
                await trio.sleep(trio.current_time() - began)
                began = trio.current_time()
        self.send(Counted(frame.token, tally.messages, tally.distinct))


class _Question:
    __slots__ = ("answer", "answered", "kind")

    def __init__(self, kind: type[Answer]) -> None:
        self.kind = kind
        self.answer: Answer | None = None
        self.answered = trio.Event()


def _step(moment: Moment) -> tuple[str, float, str] | None:
    """A moment as a step in the answer; None for steps that have not happened, except of consumers."""
    if moment.done:
        return moment.step, UNKNOWN if moment.at is None else moment.at, moment.consumer
    return (AWAITED, UNKNOWN, moment.consumer) if moment.step == TAKEN else None

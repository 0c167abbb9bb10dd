"""Lives: what this node knows of one message's way: accepted, committed, sent, and how it ended; who has taken it.

Out of the journal (the message, its receipt), the timeline and the consumers; nothing is kept for it. The other end of
a message is asked by control/methods/trace.py, and tells what it knows in `between`, by way of net/native/queries.py.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple, cast

import msgspec

from chatd.api.events import Message, Receipt
from chatd.journal.batch import Entry
from chatd.journal.epochs import GlobalId
from chatd.journal.journal import Journal
from chatd.journal.rawjson import is_settled, names_room
from chatd.messages.chat import Chat
from chatd.messages.consumers import Consumers
from chatd.messages.states import REJECTED
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.query.filters import former_place, is_for
from chatd.rooms.router import RoomRouter

ACCEPTED, ARRIVED, COMMITTED, SENT, TAKEN = "accepted", "arrived", "committed", "sent", "taken"
ACKNOWLEDGED, DELIVERED, FAILED = "acknowledged", "delivered", "failed"
FAR: Final = 32_768  # events behind a message that are looked at for its end; an outbox has 10,000


class Moment(NamedTuple):
    """One step here. Without a time: it is not done yet, or the time was not kept."""

    step: str
    done: bool = True
    at: float | None = None  # wall clock
    consumer: str = ""  # that has taken it, or is to


class MessageTrace(NamedTuple):
    """What is known of a message here: its steps in order; its state, if it goes out; its place in another's room."""

    moments: list[Moment]
    state: str = ""
    place: str | None = None


class MessageTraces:
    """Those of all messages of one node."""

    def __init__(
        self, journal: Journal, registry: Registry, chat: Chat, exchange: RoomRouter, consumers: Consumers
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._chat = chat
        self._rooms = exchange.hosted_rooms
        self._memberships = exchange.joined_rooms
        self._consumers = consumers

    async def of(self, entry: Entry) -> MessageTrace:
        """That of a message in our journal."""
        out, timeline = entry.direction == "out", self._journal.timings
        begun = timeline.appended_at(entry.seq, entry.at_ms)
        moments = [Moment(ACCEPTED if out else ARRIVED, at=begun)]
        moments.append(Moment(COMMITTED, at=timeline.committed_at(entry.seq)))
        if not out or is_settled(entry.raw):
            return MessageTrace([*moments, *self._taken(entry)])
        state = await self._chat.states.state(entry)
        end = await self._end(entry, state)
        place = end.event.room_position if end is not None and isinstance(end.event, Receipt) else None
        moments += self._way(entry, state, timeline.appended_at(end.seq, end.at_ms) if end is not None else None)
        return MessageTrace([*moments, *self._taken(entry)], state, place)

    def _way(self, entry: Entry, state: str, ended: float | None) -> Iterator[Moment]:
        """How it went out, and how that ended."""
        times, in_room = self._journal.timings.writes.times_of(entry.stream_id, entry.seq), names_room(entry.raw)
        if state in ("queued", "sent", "delivered"):
            yield from _sent(times[:1] if entry.seq in self._tentative(entry) else times, done=state != "queued")
            if state == "delivered" or (state == "sent" and cast(Message, entry.event).peer.kind == "native"):
                yield Moment(DELIVERED if in_room else ACKNOWLEDGED, state == "delivered", ended)
            return
        if state == REJECTED and in_room:  # by the host, that has got it
            yield from _sent(times)
        elif ended is not None and times and times[0] < ended:
            yield from _sent(times[:1])
        yield Moment(state, at=ended)

    def _tentative(self, entry: Entry) -> dict[int, str]:
        """What was taken back while it may have been under way: it is not sent again, though others around it are."""
        peer = self._registry.by_stream_id(entry.stream_id or 0)
        return peer.outbox.tentative if peer is not None else {}

    def _taken(self, entry: Entry) -> Iterator[Moment]:
        """The consumers that are to get it, by name."""
        for one in self._consumers:
            place = former_place(self._registry, self._memberships, one)
            if entry.seq > one.born and is_for(entry, place, one.filter):
                done = one.seq >= entry.seq
                times = self._journal.timings.taken.times_of(one, entry.seq) if done else []
                yield Moment(TAKEN, done, times[-1] if times else None, one.name)

    # -- its end

    async def _end(self, entry: Entry, state: str) -> Entry | None:
        """What says that it is in that state for good; None where it is not, or that lies too far behind it."""
        if state in ("queued", "sent"):
            return None
        await self._journal.settled()  # a receipt takes its time to the disk
        room = cast(Message, entry.event).room
        stream_ids = (
            entry.stream_id or 0,
            *(one.stream_id for one in self._memberships if room is not None and one.label == room),
        )
        if state == FAILED:
            return await self._behind(entry, stream_ids, _is_gone)
        if state == "delivered" and room is None:
            return await self._behind(entry, stream_ids, partial(_is_acknowledged, entry.seq))
        return await self._behind(entry, stream_ids, partial(_is_told, self._journal.position(entry.seq)))

    async def _behind(self, entry: Entry, stream_ids: tuple[int, ...], is_end: Callable[[Entry], bool]) -> Entry | None:
        cursor, looked = entry.seq, 0
        while cursor < self._journal.committed and looked < FAR:
            entries, cursor = await self._journal.read(cursor, stream_ids)
            looked += len(entries)
            for other in entries:
                if is_end(other):
                    return other
        return None

    # -- for the other end

    async def between(self, peer: Peer, wanted: GlobalId) -> list[Moment] | None:
        """What to tell a native peer of a message that one of the two has sent to the other.

        It is named by its place in the journal of its sender; one in a room that is hosted here, by its place in ours.
        None where there is no such message, or it is not for that peer.
        """
        entry = await self._known(peer, wanted)
        if entry is None or entry.type != "message":
            return None
        if entry.stream_id == peer.stream_id or self._has_said(peer, entry):
            return (await self.of(entry)).moments
        if self._has_heard(peer, entry):
            return [*(await self.of(entry)).moments, *self._passed_on(peer, entry)]
        return None

    async def _known(self, peer: Peer, wanted: GlobalId) -> Entry | None:
        """By a place in the peer's journal or in ours; of other nodes a peer is told nothing."""
        if wanted.node == peer.node:
            return await self._chat.lookup.taken(peer, wanted.epoch, wanted.seq)
        ours = wanted.node == self._rooms.host_settings.node and self._journal.holds(wanted.epoch, wanted.seq)
        return await self._journal.entry(wanted.seq) if ours else None

    def _has_said(self, peer: Peer, entry: Entry) -> bool:
        room = self._rooms.by_stream_id(entry.stream_id or 0)
        return room is not None and cast(Message, entry.event).peer.node == peer.node

    def _has_heard(self, peer: Peer, entry: Entry) -> bool:
        """Whether it was said in a room here, to all or to that peer alone, while it was in it."""
        to = cast(Message, entry.event).to_node
        feeds = self._rooms.intervals.of_node(peer.node or "")
        is_in = any(feed.room.stream_id == entry.stream_id and feed.contains(entry.seq) for feed in feeds)
        return is_in and (to is msgspec.UNSET or to == peer.node)

    def _passed_on(self, peer: Peer, entry: Entry) -> Iterator[Moment]:
        """The way of what was said in a room to one of its members."""
        acked = entry.seq <= self._journal.watermarks.acked.get(peer.node or "", 0)
        times = self._journal.timings.writes.times_of(peer.stream_id, entry.seq)
        yield from _sent(times, done=acked or bool(times))
        yield Moment(ACKNOWLEDGED, done=acked)


def _sent(times: list[float], *, done: bool = True) -> Iterator[Moment]:
    """Written: for the first time, and where links broke before it was acknowledged, also for the last one."""
    yield Moment(SENT, done, times[0] if done and times else None)
    if done and len(times) > 1:
        yield Moment(SENT, at=times[-1])


def _is_gone(entry: Entry) -> bool:
    """Whether it says that a plain peer went."""
    return entry.type == "peer.down"


def _is_acknowledged(seq: int, entry: Entry) -> bool:
    """Whether it says that a native peer has everything up to there."""
    through = cast(Receipt, entry.event).through if entry.type == "receipt" else None
    return through is not None and int(through.rpartition(":")[2]) >= seq


def _is_told(message_id: str, entry: Entry) -> bool:
    """Whether it is the receipt of that message alone."""
    return entry.type == "receipt" and cast(Receipt, entry.event).id == message_id

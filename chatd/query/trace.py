"""MessageTraces: the steps of one message on this node, e.g. accepted, committed, sent, acknowledged, taken.

Derived from the journal (the message and its receipt), the timings and the consumers; nothing is stored for it.
control/methods/trace.py asks the node at the other end, which answers with `visible_to` through net/native/queries.py.
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
from chatd.query.filters import consumer_scope, is_selected
from chatd.rooms.router import RoomRouter

ACCEPTED, ARRIVED, COMMITTED, SENT, TAKEN = "accepted", "arrived", "committed", "sent", "taken"
ACKNOWLEDGED, DELIVERED, FAILED = "acknowledged", "delivered", "failed"
FAR: Final = 32_768  # events after a message that are searched for its end; an outbox has 10,000


class Moment(NamedTuple):
    """One step on this node. Without a time: it is not done yet, or its time is unknown."""

    step: str
    done: bool = True
    at: float | None = None  # wall clock
    consumer: str = ""  # for TAKEN


class MessageTrace(NamedTuple):
    """A message on this node: its steps in order; the state of an outgoing one; its position in a joined room."""

    moments: list[Moment]
    state: str = ""
    room_position: str | None = None


class MessageTraces:
    def __init__(
        self, journal: Journal, registry: Registry, chat: Chat, router: RoomRouter, consumers: Consumers
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._chat = chat
        self._hosted_rooms = router.hosted_rooms
        self._joined_rooms = router.joined_rooms
        self._consumers = consumers

    async def trace(self, entry: Entry) -> MessageTrace:
        out, timings = entry.direction == "out", self._journal.timings
        moments = [Moment(ACCEPTED if out else ARRIVED, at=timings.appended_at(entry.seq, entry.at_ms))]
        moments.append(Moment(COMMITTED, at=timings.committed_at(entry.seq)))
        if not out or is_settled(entry.raw):
            return MessageTrace([*moments, *self._consumer_steps(entry)])
        state = await self._chat.states.state(entry)
        end = await self._end(entry, state)
        room_position = end.event.room_position if end is not None and isinstance(end.event, Receipt) else None
        ended_at = timings.appended_at(end.seq, end.at_ms) if end is not None else None
        moments += self._sending_steps(entry, state, ended_at)
        return MessageTrace([*moments, *self._consumer_steps(entry)], state, room_position)

    def _sending_steps(self, entry: Entry, state: str, ended_at: float | None) -> Iterator[Moment]:
        times, in_room = self._journal.timings.writes.times_of(entry.stream_id, entry.seq), names_room(entry.raw)
        if state in ("queued", "sent", "delivered"):
            yield from _write_steps(times[:1] if entry.seq in self._tentative(entry) else times, done=state != "queued")
            if state == "delivered" or (state == "sent" and cast(Message, entry.event).peer.kind == "native"):
                yield Moment(DELIVERED if in_room else ACKNOWLEDGED, state == "delivered", ended_at)
            return
        if state == REJECTED and in_room:  # by the host, which has received it
            yield from _write_steps(times)
        elif ended_at is not None and times and times[0] < ended_at:
            yield from _write_steps(times[:1])
        yield Moment(state, at=ended_at)

    def _tentative(self, entry: Entry) -> dict[int, str]:
        """Messages that were given up when the peer may have had them: they are not sent again."""
        peer = self._registry.by_stream_id(entry.stream_id or 0)
        return peer.delivery.tentative if peer is not None else {}

    def _consumer_steps(self, entry: Entry) -> Iterator[Moment]:
        """The steps of the consumers that select the message, by name."""
        for consumer in self._consumers:
            scope = consumer_scope(self._registry, self._joined_rooms, consumer)
            if entry.seq > consumer.created_at_seq and is_selected(entry, scope, consumer.filter):
                done = consumer.seq >= entry.seq
                times = self._journal.timings.acknowledgements.times_of(consumer, entry.seq) if done else []
                yield Moment(TAKEN, done, times[-1] if times else None, consumer.name)

    # -- its end

    async def _end(self, entry: Entry, state: str) -> Entry | None:
        """The event that made this state final; None if it is not final, or the event is too far after the message."""
        if state in ("queued", "sent"):
            return None
        await self._journal.settled()  # a receipt may wait for its commit
        room = cast(Message, entry.event).room
        stream_ids = (
            entry.stream_id or 0,
            *(joined.stream_id for joined in self._joined_rooms if room is not None and joined.label == room),
        )
        if state == FAILED:
            return await self._find_after(entry, stream_ids, _is_peer_down)
        if state == "delivered" and room is None:
            return await self._find_after(entry, stream_ids, partial(_is_acknowledged, entry.seq))
        return await self._find_after(entry, stream_ids, partial(_is_receipt_of, self._journal.position(entry.seq)))

    async def _find_after(
        self, entry: Entry, stream_ids: tuple[int, ...], is_end: Callable[[Entry], bool]
    ) -> Entry | None:
        """The first event after `entry` for which `is_end` is true; None if it is not among the next FAR events."""
        cursor, examined = entry.seq, 0
        while cursor < self._journal.committed and examined < FAR:
            entries, cursor = await self._journal.read(cursor, stream_ids)
            examined += len(entries)
            for other in entries:
                if is_end(other):
                    return other
        return None

    # -- for the other end

    async def visible_to(self, peer: Peer, wanted: GlobalId) -> list[Moment] | None:
        """The steps of a message that a native peer may know: one between the two nodes, or one in a hosted room.

        `wanted` names it by its position in the sender's journal; in a hosted room, by its position in our journal.
        None if there is no such message, or it is not for that peer.
        """
        entry = await self._find(peer, wanted)
        if entry is None or entry.type != "message":
            return None
        if entry.stream_id == peer.stream_id or self._is_from(peer, entry):
            return (await self.trace(entry)).moments
        if self._is_for_member(peer, entry):
            return [*(await self.trace(entry)).moments, *self._member_steps(peer, entry)]
        return None

    async def _find(self, peer: Peer, wanted: GlobalId) -> Entry | None:
        """The message at a position in the peer's journal or in ours; a peer learns nothing about other nodes."""
        if wanted.node == peer.node:
            return await self._chat.lookup.received_from(peer, wanted.epoch, wanted.seq)
        ours = wanted.node == self._hosted_rooms.host_settings.node and self._journal.holds(wanted.epoch, wanted.seq)
        return await self._journal.entry(wanted.seq) if ours else None

    def _is_from(self, peer: Peer, entry: Entry) -> bool:
        """Whether the peer sent the message to a hosted room."""
        room = self._hosted_rooms.by_stream_id(entry.stream_id or 0)
        return room is not None and cast(Message, entry.event).peer.node == peer.node

    def _is_for_member(self, peer: Peer, entry: Entry) -> bool:
        """Whether the peer was a member of the hosted room, and the message was for all or for this peer."""
        to = cast(Message, entry.event).to_node
        intervals = self._hosted_rooms.intervals.of_node(peer.node or "")
        was_member = any(each.room.stream_id == entry.stream_id and each.contains(entry.seq) for each in intervals)
        return was_member and (to is msgspec.UNSET or to == peer.node)

    def _member_steps(self, peer: Peer, entry: Entry) -> Iterator[Moment]:
        acknowledged = entry.seq <= self._journal.watermarks.acknowledged_by(peer.node)
        times = self._journal.timings.writes.times_of(peer.stream_id, entry.seq)
        yield from _write_steps(times, done=acknowledged or bool(times))
        yield Moment(ACKNOWLEDGED, done=acknowledged)


def _write_steps(times: list[float], *, done: bool = True) -> Iterator[Moment]:
    """The first write; and the last one, if the message was written again on a later link."""
    yield Moment(SENT, done, times[0] if done and times else None)
    if done and len(times) > 1:
        yield Moment(SENT, at=times[-1])


def _is_peer_down(entry: Entry) -> bool:
    """Whether the event is the end of a plain peer's last link."""
    return entry.type == "peer.down"


def _is_acknowledged(seq: int, entry: Entry) -> bool:
    """Whether the event is a receipt for everything up to and including that seq."""
    through = cast(Receipt, entry.event).through if entry.type == "receipt" else None
    return through is not None and int(through.rpartition(":")[2]) >= seq


def _is_receipt_of(message_id: str, entry: Entry) -> bool:
    """Whether the event is the receipt for that message alone."""
    return entry.type == "receipt" and cast(Receipt, entry.event).id == message_id

"""SendCursor: reads from the journal the messages and room events that one link has to send, and makes frames of them.

Respects the text limits of the peer. Knows no stream. Called by `writer.py`.
"""

from collections.abc import Sequence
from typing import cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import Message, RoomRefused
from chatd.journal.batch import Entry
from chatd.journal.epochs import position_part
from chatd.journal.journal import Journal
from chatd.messages.states import REJECTED, MessageStates
from chatd.messages.text import is_over
from chatd.net.room_updates import RoomUpdates
from chatd.peers.peer import Peer
from chatd.rooms.intervals import MembershipInterval, MembershipIntervals
from chatd.sync import Waker
from chatd.wire.frames import Missing, Ordered, Refused, Say, Text

WRITE_ROWS = 2048  # entries read for one write
AGAIN_S = 1.0  # before retrying to save a message state


class SendCursor:
    """Cursor over the messages in the peer's outbox and the events of its rooms, in the order of the journal.

    A message past its ttl or over the peer's limits is ended instead of sent. That end is committed before anything
    after it is sent. If the end were lost, the message would be sent late, and the peer would drop it as a duplicate.
    """

    def __init__(
        self,
        peer: Peer,
        waker: Waker,
        limits: tuple[int, int],
        *,
        journal: Journal,
        states: MessageStates,
        intervals: MembershipIntervals,
        room_updates: RoomUpdates,
    ) -> None:
        """`waker` is woken by new entries. `limits`: UTF-8 bytes and characters of a text; 0 characters: no limit."""
        self.message_count = 0  # messages in the last result of `next`
        self._journal = journal
        self._states = states
        self._intervals = intervals
        self._room_updates = room_updates
        self._peer = peer
        self._node = peer.node or ""
        self._waker = waker
        self._limits = limits
        self._other_limits_through = journal.appended  # messages up to here may have been accepted under other limits
        self.position = 0  # seq up to which everything was read: the caller has written it, or writes it next
        self._rooms_through = 0  # seq up to which all events of rooms were sent, or `Missing` instead
        self._peer_intervals: tuple[MembershipInterval, ...] = ()
        self._room_intervals: dict[int, list[MembershipInterval]] = {}  # stream id of a room -> its intervals
        self._stream_ids: int | tuple[int, ...] = peer.stream_id
        self._journal.watch(waker, peer.stream_id)

    def start(self, seq: int) -> None:
        """Start after that seq: the peer has everything up to it."""
        self.position = self._rooms_through = seq

    def close(self) -> None:
        """Stop watching the journal."""
        self._journal.unwatch(self._waker, self._stream_ids)

    @property
    def at_tail(self) -> bool:
        """Whether everything committed was read."""
        return self.position >= self._journal.committed

    async def next(self) -> Sequence[Ordered | bytes]:
        """The next frames, in order; moves `position` after them. May be empty before `at_tail`."""
        self.message_count = 0
        self._watch_rooms()  # before the link may rest: otherwise nothing wakes it for a new room
        if not await self._ends_committed() or self.at_tail:
            return []
        peer, delivery, outbox = self._peer, self._peer.delivery, self._peer.delivery.outbox
        entries, through = await self._journal.read(self.position, self._stream_ids, WRITE_ROWS)
        direct = [entry for entry in entries if entry.stream_id == peer.stream_id] if self._room_intervals else entries
        if outbox.has_unread and outbox.learned < through:
            await self._states.load_page(peer, direct, through)
        # No await from here on: the outbox must not change before the write.
        self._states.expire()
        queued = self._in_outbox(direct, through)
        if self.position < self._other_limits_through:
            self._reject(queued)
        if delivery.uncommitted_end is not None:
            return []
        after, self.position = self.position, through
        self.message_count = len(queued)
        frames: Sequence[Ordered | bytes] = frames_of(queued, self._journal)
        if self._room_intervals:
            frames = self._merge_room_events(cast(list[Ordered], frames), entries, after, through)
        if frames:
            last = frames[-1]
            delivery.mark_written(through if type(last) is bytes else cast(Ordered, last).seq)
        return frames

    # -- rooms

    def _watch_rooms(self) -> None:
        """Watch the rooms that the peer is in now, and stop watching the others."""
        intervals = self._intervals.of_node(self._node)
        if intervals is self._peer_intervals:
            return
        self._peer_intervals, self._room_intervals = intervals, {}
        for interval in intervals:
            self._room_intervals.setdefault(interval.room.stream_id, []).append(interval)
        stream_ids = (self._peer.stream_id, *self._room_intervals) if self._room_intervals else self._peer.stream_id
        self._journal.watch(self._waker, stream_ids)
        for ended in _set_of(self._stream_ids) - _set_of(stream_ids):
            self._journal.unwatch(self._waker, ended)
        self._stream_ids = stream_ids

    def _merge_room_events(
        self, frames: list[Ordered], entries: Sequence[Entry], after: int, through: int
    ) -> list[Ordered | bytes]:
        """Merge frames of messages with the events of rooms in (after, through]."""
        floor = self._journal.floor
        is_below_floor = self._rooms_through < floor
        by_seq: dict[int, Ordered | bytes] = {frame.seq: frame for frame in frames}
        for entry in entries:
            if entry.stream_id in self._room_intervals and entry.seq > floor:  # the cache may still have older ones
                for interval in self._room_intervals[entry.stream_id]:
                    if interval.contains(entry.seq) and (frame := self._room_frame(entry, interval)) is not None:
                        by_seq[entry.seq] = frame
        for interval in self._peer_intervals:
            if after < interval.until <= min(through, floor) and interval.until not in by_seq:
                by_seq[interval.until] = self._room_updates.ended(interval.until, interval.room, self._node)
        if is_below_floor:
            self._add_missing(by_seq, min(through, floor))
        self._rooms_through = max(self._rooms_through, through if through >= floor else 0)
        return [by_seq[seq] for seq in sorted(by_seq)]

    def _add_missing(self, by_seq: dict[int, Ordered | bytes], through: int) -> None:
        """Report events of rooms that retention deleted before they were sent, at the first free seq."""
        free = next((seq for seq in range(self._rooms_through + 1, through + 1) if seq not in by_seq), None)
        if free is None:
            self._rooms_through = through  # every seq there is a message of the outbox
            return
        floor = self._journal.floor
        lost = {
            interval.room.name: max(self._rooms_through, interval.since - 1)
            for interval in self._peer_intervals
            if interval.since <= floor and interval.until > free and interval.room.newest > self._rooms_through
        }
        if lost:
            by_seq[free] = self._room_updates.missing(free, floor, lost)
        self._rooms_through = floor

    def _room_frame(self, entry: Entry, interval: MembershipInterval) -> bytes | Missing | None:
        self.message_count += entry.type == "message"
        text_bytes, text_chars = self._limits
        return self._room_updates.frame_for(entry, interval.room, self._node, text_bytes, text_chars)

    # -- the outbox

    async def _ends_committed(self) -> bool:
        """Wait until the ends of messages are committed. False if that failed: the caller retries."""
        delivery, failed = self._peer.delivery, False
        while (batch := delivery.uncommitted_end) is not None and not failed:
            try:
                await batch.wait()
            except ControlError:
                failed = True
                await trio.sleep(AGAIN_S)
            delivery.settle_end(batch)
        if failed:
            self._states.expire()
        return not failed

    def _in_outbox(self, entries: Sequence[Entry], through: int) -> list[Entry]:
        """The entries that are in the peer's outbox.

        Includes tentatively ended ones, which another link may have written: if this link skipped one, the peer's
        watermark would pass a message that the peer may not have.
        """
        outbound = [entry for entry in entries if entry.direction == "out"]
        if not outbound:
            return outbound
        seqs = self._peer.delivery.outbox.between(outbound[0].seq - 1, through)
        if len(seqs) == len(outbound):
            return outbound
        wanted = set(seqs)
        return [entry for entry in outbound if entry.seq in wanted]

    def _reject(self, entries: Sequence[Entry]) -> None:
        """Reject messages over the peer's current limits."""
        for entry in entries:
            if entry.type == "message" and is_over(cast(Message, entry.event).text, *self._limits):
                self._states.end(self._peer, entry.seq, len(entry.raw), REJECTED)


class _DirectMessage(msgspec.Struct, gc=False):
    """The fields of a message that a frame needs. Decoding only these makes a backlog from disk fast."""

    text: str
    room: str | None
    re_global_id: str | msgspec.UnsetType = msgspec.UNSET


_decode_direct = msgspec.json.Decoder(_DirectMessage).decode


def frames_of(entries: Sequence[Entry], journal: Journal) -> list[Ordered]:
    """Frames of entries of an outbox, in order."""
    epochs = {journal.epoch_of(entry.seq) for entry in (*entries[:1], *entries[-1:])}
    only_epoch = epochs.pop() if len(epochs) == 1 else None  # the usual case: entries are in order
    frames: list[Ordered] = []
    for entry in entries:
        epoch = only_epoch or journal.epoch_of(entry.seq)
        if entry.type == "message":
            message = cast(Message, entry.known) if entry.known else _decode_direct(entry.raw)
            if message.room is None:
                answered_id = message.re_global_id
                re = None if answered_id is msgspec.UNSET else position_part(answered_id)
                frames.append(Text(epoch, entry.seq, message.text, re))
                continue
        frames.append(_frame_to_room(epoch, entry))
    return frames


def _frame_to_room(epoch: str, entry: Entry) -> Say | Refused:
    """The frame of a message to a room of the peer, or of our refusal of the peer's message to a room of ours."""
    event = entry.event
    if isinstance(event, RoomRefused):
        return Refused(epoch, entry.seq, room_of(event.room), position_part(event.global_id), event.reason)
    message = cast(Message, event)
    to = None if message.to is msgspec.UNSET else message.to
    to_node = None if message.to_node is msgspec.UNSET else message.to_node
    return Say(epoch, entry.seq, room_of(message.room or ""), message.text, to, to_node)


def room_of(label: str) -> str:
    """Name of the room in a label, e.g. `lobby` of `lobby@alice`."""
    return label.partition("@")[0]


def _set_of(stream_ids: int | tuple[int, ...]) -> set[int]:
    return set(stream_ids) if isinstance(stream_ids, tuple) else {stream_ids}

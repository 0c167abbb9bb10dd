"""SendCursor: reads from the journal what one link has to send and makes frames of it.

Respects the limits of the other side. Called by the writer of `link.py`, which owns the stream.
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

    A message past its ttl or over the peer's limits is ended instead of sent. That is committed before anything after
    it is sent, because the peer would then treat the message as a duplicate forever.
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
        """`waker` is woken when there may be more. `limits` are bytes and characters of a text; 0 characters: any."""
        self.texts = 0  # messages in the last result of `next`
        self._journal = journal
        self._states = states
        self._intervals = intervals
        self._room_updates = room_updates
        self._peer = peer
        self._node = peer.node or ""
        self._waker = waker
        self._limits = limits
        self._backlog = journal.appended  # messages up to here may have been accepted under other limits
        self.cursor = 0  # everything up to here was read, and is written with the last result of `next`
        self._fed = 0  # up to here no event of a room is missing, or `Missing` was sent
        self._feed: tuple[MembershipInterval, ...] = ()
        self._rooms: dict[int, list[MembershipInterval]] = {}  # stream id of a room -> its intervals
        self._stream_ids: int | tuple[int, ...] = peer.stream_id
        self._journal.watch(waker, peer.stream_id)

    def start(self, seq: int) -> None:
        """Start after that seq: the peer has everything up to it."""
        self.cursor = self._fed = seq

    def close(self) -> None:
        """Stop watching the journal."""
        self._journal.unwatch(self._waker, self._stream_ids)

    @property
    def at_tail(self) -> bool:
        """Whether everything committed was read."""
        return self.cursor >= self._journal.committed

    async def next(self) -> Sequence[Ordered | bytes]:
        """The next frames; moves the cursor after them. May be empty before `at_tail`."""
        self.texts = 0
        self._look_at_rooms()  # before the link may rest: else nothing wakes it for a new room
        if not await self._decided() or self.at_tail:
            return []
        peer, delivery, outbox = self._peer, self._peer.delivery, self._peer.delivery.outbox
        entries, through = await self._journal.read(self.cursor, self._stream_ids, WRITE_ROWS)
        direct = [entry for entry in entries if entry.stream_id == peer.stream_id] if self._rooms else entries
        if outbox.has_unread and outbox.learned < through:
            await self._states.load_page(peer, direct, through)
        # No await from here on: the outbox must not change before the write.
        self._states.expire()
        ours = self._owed(direct, through)
        if self.cursor < self._backlog:
            self._reject(ours)
        if delivery.uncommitted_end is not None:
            return []
        after, self.cursor = self.cursor, through
        self.texts = len(ours)
        frames: Sequence[Ordered | bytes] = frames_of(ours, self._journal)
        if self._rooms:
            frames = self._with_rooms(cast(list[Ordered], frames), entries, after, through)
        if frames:
            last = frames[-1]
            delivery.mark_written(through if type(last) is bytes else cast(Ordered, last).seq)
        return frames

    # -- rooms

    def _look_at_rooms(self) -> None:
        """Watch the rooms that the peer is in now."""
        feed = self._intervals.of_node(self._node)
        if feed is self._feed:
            return
        self._feed, self._rooms = feed, {}
        for one in feed:
            self._rooms.setdefault(one.room.stream_id, []).append(one)
        stream_ids = (self._peer.stream_id, *self._rooms) if self._rooms else self._peer.stream_id
        self._journal.watch(self._waker, stream_ids)
        for gone in _set_of(self._stream_ids) - _set_of(stream_ids):
            self._journal.unwatch(self._waker, gone)
        self._stream_ids = stream_ids

    def _with_rooms(
        self, frames: list[Ordered], entries: Sequence[Entry], after: int, through: int
    ) -> list[Ordered | bytes]:
        """Merge frames of messages with the events of rooms in (after, through]."""
        floor = self._journal.floor
        below = self._fed < floor
        mixed: dict[int, Ordered | bytes] = {frame.seq: frame for frame in frames}
        for entry in entries:
            if entry.stream_id in self._rooms and entry.seq > floor:  # memory may have more
                for feed in self._rooms[entry.stream_id]:
                    if feed.contains(entry.seq) and (made := self._made(entry, feed)) is not None:
                        mixed[entry.seq] = made
        for feed in self._feed:
            if after < feed.until <= min(through, floor) and feed.until not in mixed:
                mixed[feed.until] = self._room_updates.ended(feed.until, feed.room, self._node)
        if below:
            self._tell_missing(mixed, min(through, floor))
        self._fed = max(self._fed, through if through >= floor else 0)
        return [mixed[seq] for seq in sorted(mixed)]

    def _tell_missing(self, mixed: dict[int, Ordered | bytes], through: int) -> None:
        """Report events of rooms that retention deleted before they were sent, at the first free seq."""
        free = next((seq for seq in range(self._fed + 1, through + 1) if seq not in mixed), None)
        if free is None:
            self._fed = through  # everything there is a message that is owed
            return
        floor = self._journal.floor
        lost = {
            feed.room.name: max(self._fed, feed.since - 1)
            for feed in self._feed
            if feed.since <= floor and feed.until > free and feed.room.newest > self._fed
        }
        if lost:
            mixed[free] = self._room_updates.missing(free, floor, lost)
        self._fed = floor

    def _made(self, entry: Entry, feed: MembershipInterval) -> bytes | Missing | None:
        self.texts += entry.type == "message"
        text_bytes, text_chars = self._limits
        return self._room_updates.frame_for(entry, feed.room, self._node, text_bytes, text_chars)

    # -- the outbox

    async def _decided(self) -> bool:
        """Wait until ended messages are committed. False if that failed: the caller retries."""
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

    def _owed(self, entries: Sequence[Entry], through: int) -> list[Entry]:
        """The entries that are in the peer's outbox.

        Includes tentatively ended ones: another link may have written them, and nothing after them may be missing.
        """
        ours = [entry for entry in entries if entry.direction == "out"]
        if not ours:
            return ours
        owed = self._peer.delivery.outbox.between(ours[0].seq - 1, through)
        if len(owed) == len(ours):
            return ours
        wanted = set(owed)
        return [entry for entry in ours if entry.seq in wanted]

    def _reject(self, entries: Sequence[Entry]) -> None:
        """Reject messages over the peer's current limits."""
        for entry in entries:
            if entry.type == "message" and is_over(cast(Message, entry.event).text, *self._limits):
                self._states.end(self._peer, entry.seq, len(entry.raw), REJECTED)


class _Direct(msgspec.Struct, gc=False):
    """The fields of a message that a frame needs: decoding a backlog from disk must be fast."""

    text: str
    room: str | None
    re_global_id: str | msgspec.UnsetType = msgspec.UNSET


_direct = msgspec.json.Decoder(_Direct).decode


def frames_of(entries: Sequence[Entry], journal: Journal) -> list[Ordered]:
    """Frames of the entries, in order."""
    epochs = {journal.epoch_of(entry.seq) for entry in (*entries[:1], *entries[-1:])}
    one = epochs.pop() if len(epochs) == 1 else None  # the usual case, since they are in order
    frames: list[Ordered] = []
    for entry in entries:
        epoch = one or journal.epoch_of(entry.seq)
        if entry.type == "message":
            message = cast(Message, entry.known) if entry.known else _direct(entry.raw)
            if message.room is None:
                answered = message.re_global_id
                re = None if answered is msgspec.UNSET else position_part(answered)
                frames.append(Text(epoch, entry.seq, message.text, re))
                continue
        frames.append(_in_room(epoch, entry))
    return frames


def _in_room(epoch: str, entry: Entry) -> Say | Refused:
    """A message to a room of the peer, or the refusal of the peer's message to a room of ours."""
    event = entry.event
    if isinstance(event, RoomRefused):
        return Refused(epoch, entry.seq, room_of(event.room), position_part(event.global_id), event.reason)
    message = cast(Message, event)
    to = None if message.to is msgspec.UNSET else message.to
    to_node = None if message.to_node is msgspec.UNSET else message.to_node
    return Say(epoch, entry.seq, room_of(message.room or ""), message.text, to, to_node)


def room_of(label: str) -> str:
    """`lobby` of `lobby@alice`."""
    return label.partition("@")[0]


def _set_of(stream_ids: int | tuple[int, ...]) -> set[int]:
    return set(stream_ids) if isinstance(stream_ids, tuple) else {stream_ids}

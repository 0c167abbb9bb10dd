"""Texts: what one link still has to send, as frames: a cursor in the journal, and the limits of the other side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import Message, RoomRefused
from chatd.journal.batch import Entry
from chatd.journal.epochs import position_part
from chatd.journal.journal import Journal
from chatd.messages.states import REJECTED
from chatd.messages.text import is_over
from chatd.peers.peer import Peer
from chatd.rooms.intervals import MembershipInterval
from chatd.runtime import Waker
from chatd.wire.frames import Missing, Ordered, Refused, Say, Text

if TYPE_CHECKING:
    from chatd.net.links import Links

WRITE_ROWS = 2048  # entries looked at for one write
AGAIN_S = 1.0  # until an outcome that could not be written down is tried again


class SendCursor:
    """What one peer is to get, after where its link starts: messages that are owed to it, and of the rooms that it is
    in what happens there; in the order of the journal.

    A message that is past its ttl, or over what the peer takes, is ended instead of sent; that is on disk before
    anything behind it is sent, because the peer would take it for a duplicate ever after.
    """

    def __init__(self, links: "Links", peer: Peer, waker: Waker, text_bytes: int, text_chars: int) -> None:
        """`waker` is woken when there may be more."""
        self.texts = 0  # messages in what `next` gave last
        self._journal = links.journal
        self._outcomes = links.chat.states
        self._feeds = links.router.hosted_rooms.intervals
        self._roomfeed = links.room_updates
        self._peer = peer
        self._node = peer.node or ""
        self._waker = waker
        self._limits = text_bytes, text_chars
        self._backlog = links.journal.appended  # what lies before may have been accepted under other limits
        self.cursor = 0  # up to there everything was looked at, and written with what `next` gave last
        self._fed = 0  # up to there nothing of a room is missing, or it was said to be
        self._feed: tuple[MembershipInterval, ...] = ()
        self._rooms: dict[int, list[MembershipInterval]] = {}  # topic -> its intervals
        self._stream_ids: int | tuple[int, ...] = peer.stream_id
        self._journal.watch(waker, peer.stream_id)

    def start(self, seq: int) -> None:
        """Everything up to that seq is known there."""
        self.cursor = self._fed = seq

    def close(self) -> None:
        """Nothing more is asked for."""
        self._journal.unwatch(self._waker, self._stream_ids)

    @property
    def at_tail(self) -> bool:
        """Everything that is committed was looked at."""
        return self.cursor >= self._journal.committed

    async def next(self) -> Sequence[Ordered | bytes]:
        """The next ones, with the cursor moved behind them; may be none while not `at_tail`."""
        self.texts = 0
        self._look_at_rooms()  # before it may rest: else nobody would wake it for a new one
        if not await self._decided() or self.at_tail:
            return []
        peer, delivery, outbox = self._peer, self._peer.delivery, self._peer.delivery.outbox
        entries, through = await self._journal.read(self.cursor, self._stream_ids, WRITE_ROWS)
        direct = [entry for entry in entries if entry.stream_id == peer.stream_id] if self._rooms else entries
        if outbox.has_unread and outbox.learned < through:
            await self._outcomes.load_page(peer, direct, through)
        # Nothing is awaited from here on: what is owed now is written.
        self._outcomes.expire()
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
        """The rooms that the peer is in may be others by now."""
        feed = self._feeds.of_node(self._node)
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
        """The frames of messages, with what happened in rooms in (after, through] between them."""
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
                mixed[feed.until] = self._roomfeed.ended(feed.until, feed.room, self._node)
        if below:
            self._tell_missing(mixed, min(through, floor))
        self._fed = max(self._fed, through if through >= floor else 0)
        return [mixed[seq] for seq in sorted(mixed)]

    def _tell_missing(self, mixed: dict[int, Ordered | bytes], through: int) -> None:
        """Say what retention has taken away before it could be sent: at the first seq at which there may be such."""
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
            mixed[free] = self._roomfeed.missing(free, floor, lost)
        self._fed = floor

    def _made(self, entry: Entry, feed: MembershipInterval) -> bytes | Missing | None:
        self.texts += entry.type == "message"
        text_bytes, text_chars = self._limits
        return self._roomfeed.frame_for(entry, feed.room, self._node, text_bytes, text_chars)

    # -- what is owed

    async def _decided(self) -> bool:
        """Wait until everything that was given up is so on disk. False where that is full: then try again."""
        delivery, failed = self._peer.delivery, False
        while (batch := delivery.uncommitted_end) is not None and not failed:
            try:
                await batch.wait()
            except ControlError:
                failed = True
                await trio.sleep(AGAIN_S)
            delivery.settle_end(batch)
        if failed:
            self._outcomes.expire()
        return not failed

    def _owed(self, entries: Sequence[Entry], through: int) -> list[Entry]:
        """Those of the entries that the peer is to get.

        With one that is given up tentatively: another link may have written it, and behind it nothing may be missing.
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
        """End what is over the limits that the peer has by now."""
        for entry in entries:
            if entry.type == "message" and is_over(cast(Message, entry.event).text, *self._limits):
                self._outcomes.end(self._peer, entry.seq, len(entry.raw), REJECTED)


class _Direct(msgspec.Struct, gc=False):
    """What a frame needs of a message: most of what is read from disk is a backlog."""

    text: str
    room: str | None
    re_global_id: str | msgspec.UnsetType = msgspec.UNSET


_direct = msgspec.json.Decoder(_Direct).decode


def frames_of(entries: Sequence[Entry], journal: Journal) -> list[Ordered]:
    """The frames of what is owed to a peer."""
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
    """What is said in a room of the peer, or what was not taken in one of ours."""
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

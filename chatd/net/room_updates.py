"""Room feed: what members are told of the rooms that are hosted here, as frames. Each is made and encoded once, for all
links but the author's, which also gets the position by which it knows its own message. What was said to one member
alone goes to that one and to its author.
"""

from typing import cast

import msgspec

from chatd.api.events import Message, RoomJoin, RoomLeave, RoomTopic
from chatd.journal.batch import Entry
from chatd.journal.global_id import position_in
from chatd.journal.journal import Journal
from chatd.messages.text_limits import is_over
from chatd.rooms.room import HostedRoom
from chatd.wire.codec import encode_many
from chatd.wire.frames import Happened, Missing, Said

NOBODY = "guest"  # a nick that is not known any more
KEPT = 4096  # frames: what the slowest of several members that keep up has behind the fastest
NO_LIMIT = 1 << 62  # a frame fits wherever its text does


class RoomUpdates:
    """The frames of one host."""

    __slots__ = ("_encoded", "_journal")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._encoded: dict[int, bytes] = {}

    def frame_for(
        self, entry: Entry, room: HostedRoom, node: str, text_bytes: int, text_chars: int
    ) -> bytes | Missing | None:
        """What that node is told of an entry of the room's topic; None if it is not for it."""
        if entry.type == "message":
            message = cast(Message, entry.event)
            if message.to is not msgspec.UNSET and node not in (message.to_node, message.peer.node):
                return None
            if is_over(message.text, text_bytes, text_chars):
                return self.missing(entry.seq, entry.seq, {room.name: entry.seq - 1})
            if message.peer.node == node:
                return encode_many((self._said_frame(entry, room, position_in(message.global_id or "")),), NO_LIMIT)
        data = self._encoded.get(entry.seq)
        if data is None:
            data = self._encoded[entry.seq] = encode_many((self._frame_of(entry, room),), NO_LIMIT)
            if len(self._encoded) > KEPT:
                del self._encoded[next(iter(self._encoded))]
        return data

    def missing(self, seq: int, through: int, rooms: dict[str, int]) -> Missing:
        """That nothing of those rooms comes, behind a seq for each, up to `through`; said at `seq`."""
        position = self._journal.position
        lost = [(name, position(after)) for name, after in rooms.items()]
        return Missing(self._journal.epoch_of(seq), seq, position(through), lost)

    def ended(self, seq: int, room: HostedRoom, node: str) -> Happened:
        """That the node is not in the room any more since that seq, where it cannot be told why."""
        return Happened(self._journal.epoch_of(seq), seq, room.name, "leave", NOBODY, node, "it ended long ago")

    def _frame_of(self, entry: Entry, room: HostedRoom) -> Said | Happened:
        epoch, event = self._journal.epoch_of(entry.seq), entry.event
        if isinstance(event, Message):
            return self._said_frame(entry, room, None)
        if isinstance(event, RoomJoin):
            return Happened(epoch, entry.seq, room.name, "join", event.nick, event.node)
        if isinstance(event, RoomLeave):
            return Happened(epoch, entry.seq, room.name, "leave", event.nick, event.node, event.reason)
        if isinstance(event, RoomTopic):
            return Happened(epoch, entry.seq, room.name, "topic", text=event.text)
        return Happened(epoch, entry.seq, room.name, "closed")

    def _said_frame(self, entry: Entry, room: HostedRoom, said_at: str | None) -> Said:
        """A message of the room; for its author with the position in the author's journal."""
        message = cast(Message, entry.event)
        to = None if message.to is msgspec.UNSET else message.to
        epoch = self._journal.epoch_of(entry.seq)
        return Said(epoch, entry.seq, room.name, message.nick or "", message.text, said_at, to)

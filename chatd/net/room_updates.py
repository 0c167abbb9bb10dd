"""Encodes events of hosted rooms as frames for member nodes.

Each event is encoded once for all links. Exceptions: the author of a message gets a frame with the position in its own
journal, and a private message goes only to its recipient and its author. Called by `net/native/sending.py`.
"""

from typing import cast

import msgspec

from chatd.api.events import Message, RoomJoin, RoomLeave, RoomTopic
from chatd.journal.batch import Entry
from chatd.journal.epochs import position_part
from chatd.journal.journal import Journal
from chatd.messages.text import is_over
from chatd.rooms.room import HostedRoom
from chatd.wire.codec import encode_many
from chatd.wire.frames import Happened, Missing, Said

UNKNOWN_NICK = "guest"  # for a nick that is no longer known
CACHED_FRAMES = 4096  # more than the lag between the fastest and the slowest member node that keeps up
NO_LIMIT = 1 << 62  # bytes: a text within the limits always makes a frame within them


class RoomUpdates:
    """Frames of all rooms of one host, with a cache of encoded ones."""

    __slots__ = ("_encoded", "_journal")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._encoded: dict[int, bytes] = {}

    def frame_for(
        self, entry: Entry, room: HostedRoom, node: str, text_bytes: int, text_chars: int
    ) -> bytes | Missing | None:
        """The frame of an event for the member node `node`; None: the event is not for it.

        A text over the node's limits (UTF-8 bytes, characters) becomes a `Missing`.
        """
        if entry.type == "message":
            message = cast(Message, entry.event)
            if message.to is not msgspec.UNSET and node not in (message.to_node, message.peer.node):
                return None
            if is_over(message.text, text_bytes, text_chars):
                return self.missing(entry.seq, entry.seq, {room.name: entry.seq - 1})
            if message.peer.node == node:
                return encode_many((self._said_frame(entry, room, position_part(message.global_id or "")),), NO_LIMIT)
        data = self._encoded.get(entry.seq)
        if data is None:
            data = self._encoded[entry.seq] = encode_many((self._frame_of(entry, room),), NO_LIMIT)
            if len(self._encoded) > CACHED_FRAMES:
                del self._encoded[next(iter(self._encoded))]
        return data

    def missing(self, seq: int, through: int, rooms: dict[str, int]) -> Missing:
        """A frame at `seq`: events are missing up to and including `through`. `rooms`: name -> seq before the first."""
        position = self._journal.position
        lost = [(name, position(after)) for name, after in rooms.items()]
        return Missing(self._journal.epoch_of(seq), seq, position(through), lost)

    def ended(self, seq: int, room: HostedRoom, node: str) -> Happened:
        """A frame at `seq`: the node has left the room, for a reason that retention has removed."""
        return Happened(self._journal.epoch_of(seq), seq, room.name, "leave", UNKNOWN_NICK, node, "it ended long ago")

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

    def _said_frame(self, entry: Entry, room: HostedRoom, author_position: str | None) -> Said:
        """The frame of a message. `author_position`: only for its author, the position in the author's journal."""
        message = cast(Message, entry.event)
        to = None if message.to is msgspec.UNSET else message.to
        epoch = self._journal.epoch_of(entry.seq)
        return Said(epoch, entry.seq, room.name, message.nick or "", message.text, author_position, to)

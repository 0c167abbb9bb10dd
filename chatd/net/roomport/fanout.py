"""Fan-out of one room's messages to all plain clients in it.

Reads the newest events of the room's stream, renders the messages of a commit once per dialect, and writes the same
bytes to every client. A client gets different bytes only if it sent one of the messages, gets a private one, or has
just joined. A client that does not read delays only its own writer (`writer.py`). Knows no sockets and no commands.
Used by `client.py` and `port.py`.
"""

from typing import Final, Protocol, cast

import msgspec
import trio

from chatd.api.events import Message
from chatd.journal.batch import Entry
from chatd.journal.journal import Journal
from chatd.net.links import supervised
from chatd.net.roomport.writer import ClientWriter
from chatd.rooms.nicks import fold
from chatd.rooms.room import HostedRoom, Member
from chatd.sync import Waker
from chatd.wire.dialects import ADDRESS, NAME, line_of

ROWS: Final = 1024  # events per turn
TURN_BYTES: Final = 1 << 20  # journal bytes per turn; with 100-byte messages ROWS is the limit
STRIDE: Final = 64  # clients per checkpoint
# After a turn it pauses for REST times the turn's duration. In a busy room this makes fewer and larger turns, which are
# far cheaper: the overhead of one write equals 30 KiB of data. After a quiet moment a message is delivered at once.
REST, REST_MOST_S = 3, 0.02

Row = tuple[int, Message]  # seq, message


class Recipient(Protocol):
    """A plain client in the room: `RoomClient`."""

    dialect: str
    writer: ClientWriter

    @property
    def ends_lines(self) -> bool | None:
        """Whether the client's own texts end with newlines; None: not known yet."""

    def close(self, reason: str) -> None: ...


class Fanout:
    """The plain clients of one room.

    Resource handling: a task in `nursery` exists while there is a client. Error handling: raises nothing; a bug is
    logged and ends the connections of all clients.
    """

    def __init__(self, room: HostedRoom, journal: Journal, nursery: trio.Nursery) -> None:
        self._room = room
        self._journal = journal
        self._nursery = nursery
        self._recipients: dict[str, dict[Recipient, Member]] = {ADDRESS: {}, NAME: {}}
        self._cursor = 0
        self._waker = Waker()
        self._running = False

    def add(self, recipient: Recipient, member: Member) -> None:
        """Write everything after the member's `room.join` to this recipient."""
        self._recipients[recipient.dialect][recipient] = member
        if not self._running:
            self._running, self._cursor = True, self._journal.committed
            self._nursery.start_soon(supervised, f"the fan-out of {self._room.label}", self._run)

    def discard(self, recipient: Recipient) -> None:
        self._recipients[recipient.dialect].pop(recipient, None)
        if not self._has_recipients:
            self._waker.wake()

    @property
    def _has_recipients(self) -> bool:
        return any(self._recipients.values())

    async def _run(self) -> None:
        journal, stream_id = self._journal, self._room.stream_id
        journal.watch(self._waker, stream_id)
        try:
            while self._has_recipients:
                if self._cursor < journal.committed:
                    began = trio.current_time()
                    more = await self._write_next()
                    took = 0.0 if more else trio.current_time() - began
                    await trio.sleep(min(REST * took, REST_MOST_S))
                else:
                    await self._waker.wait()
        finally:
            journal.unwatch(self._waker, stream_id)
            self._running = False
            for recipients in self._recipients.values():
                for recipient in list(recipients):
                    recipient.close("cut")

    async def _write_next(self) -> bool:
        """Write the next entries to all recipients. True: more are left than fit into one turn."""
        entries, through = await self._journal.read(self._cursor, self._room.stream_id, ROWS)
        count = _count_fitting(entries)
        rows = [(entry.seq, cast(Message, entry.event)) for entry in entries[:count] if entry.type == "message"]
        self._cursor = through if count == len(entries) else entries[count - 1].seq
        for dialect, recipients in self._recipients.items():
            if rows and recipients:
                await self._write(dialect, recipients, rows)
        return count < len(entries) or len(entries) == ROWS

    async def _write(self, dialect: str, recipients: dict[Recipient, Member], rows: list[Row]) -> None:
        rendering = _Rendering(dialect, rows)
        for number, (recipient, member) in enumerate(list(recipients.items())):
            if number % STRIDE == STRIDE - 1:
                await trio.lowlevel.checkpoint()
            data = rendering.bytes_for(recipient, member) if recipient in recipients else b""
            if data:  # empty: the client has left, or no message is for it
                recipient.writer.write(data)


class _Rendering:
    """The messages of one turn, rendered in one dialect: shared bytes, and variants for some recipients."""

    def __init__(self, dialect: str, rows: list[Row]) -> None:
        self._rows = rows
        self._first = rows[0][0]
        self._folds = [None if message.to is msgspec.UNSET else fold(message.to) for _, message in rows]
        self._addressed = {*self._folds} - {None}
        self._lines = [
            line_of(dialect, message.nick or "", message.text, private=to is not None)
            for (_, message), to in zip(rows, self._folds, strict=True)
        ]
        self._spans: dict[str | None, list[tuple[int, int]]] = {}  # per sender: its lines in `_shared`
        end = 0
        for (_, message), line, to in zip(rows, self._lines, self._folds, strict=True):
            if to is None:
                start, end = end, end + len(line)
                self._spans.setdefault(message.nick, []).append((start, end))
        self._shared = b"".join(
            [line for line, to in zip(self._lines, self._folds, strict=True) if to is None]
            if self._addressed
            else self._lines
        )

    def bytes_for(self, recipient: Recipient, member: Member) -> bytes:
        """Bytes for one recipient: since its join, public texts of the others, and private texts to it."""
        if member.since >= self._first or member.fold in self._addressed:
            return self._own_bytes(recipient, member)
        spans = self._spans.get(member.nick)
        return self._shared if spans is None else self._shared_without(spans)

    def _shared_without(self, spans: list[tuple[int, int]]) -> bytes:
        shared, kept, position = memoryview(self._shared), [], 0
        for start, end in spans:
            kept.append(shared[position:start])
            position = end
        return b"".join([*kept, shared[position:]])

    def _own_bytes(self, recipient: Recipient, member: Member) -> bytes:
        # A program that sends its name without a newline expects a private message in a read of its own.
        without_newline = recipient.dialect == NAME and recipient.ends_lines is False
        pieces = []
        for (seq, message), line, to in zip(self._rows, self._lines, self._folds, strict=True):
            if seq > member.since and to == member.fold:
                pieces.append(line[:-1] if without_newline else line)
            elif seq > member.since and to is None and message.nick != member.nick:
                pieces.append(line)
        return b"".join(pieces)


def _count_fitting(entries: list[Entry]) -> int:
    """Number of entries that fit into one turn."""
    size = 0
    for number, entry in enumerate(entries):
        size += len(entry.raw)
        if size > TURN_BYTES and number:
            return number
    return len(entries)

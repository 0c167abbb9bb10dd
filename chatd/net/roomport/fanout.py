"""Fanout: what is said in one room, to all plain clients that are in it through room ports.

A reader of the room's topic like any other: it stands near the tail, renders what a commit brought once for each
dialect, joins it, and writes the same bytes to everybody. A path of their own have only those who said something
themselves, were spoken to in private, or have just come; and who does not take what it is sent waits in its writer.
Knows no sockets and no commands: net/roomport/client.py is who it writes to.
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
from chatd.runtime import Waker
from chatd.wire.dialects import ADDRESS, NAME, line_of

ROWS: Final = 1024  # events of one turn
TURN_BYTES: Final = 1 << 20  # of them in the journal; with 100-byte messages the rows are the bound
STRIDE: Final = 64  # clients that are written to before others may run
# After a turn it rests for so many times what that took. In a busy room that makes the turns fewer and larger, which is
# cheaper by far: a write costs as much as 30 KiB in it. Who has said nothing for a moment is heard at once.
REST, REST_MOST_S = 3, 0.02

Said = tuple[int, Message]  # seq, message


class Recipient(Protocol):
    """One plain client in the room."""

    dialect: str
    writer: ClientWriter

    @property
    def ends_lines(self) -> bool | None:
        """Whether its own texts end in newlines; None: that is not known yet."""

    def close(self, reason: str) -> None:
        """Hang up on it."""


class Fanout:
    """The plain clients of one room.

    Resource handling: a task in `nursery` exists while there is one of them. Error handling: nothing comes out; a bug
    is logged, and ends the connections with all of them.
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
        """From its `room.join` on it gets everything."""
        self._recipients[recipient.dialect][recipient] = member
        if not self._running:
            self._running, self._cursor = True, self._journal.committed
            self._nursery.start_soon(supervised, f"the fan-out of {self._room.label}", self._run)

    def discard(self, recipient: Recipient) -> None:
        """It gets nothing from now on."""
        self._recipients[recipient.dialect].pop(recipient, None)
        if not self._has_recipients:
            self._waker.wake()

    @property
    def _has_recipients(self) -> bool:
        return any(self._recipients.values())

    async def _run(self) -> None:
        journal, key = self._journal, self._room.stream_id
        journal.watch(self._waker, key)
        try:
            while self._has_recipients:
                if self._cursor < journal.committed:
                    began = trio.current_time()
                    behind = await self._write_next()
                    took = 0.0 if behind else trio.current_time() - began
                    await trio.sleep(min(REST * took, REST_MOST_S))
                else:
                    await self._waker.wait()
        finally:
            journal.unwatch(self._waker, key)
            self._running = False
            for recipients in self._recipients.values():
                for recipient in list(recipients):
                    recipient.close("cut")

    async def _write_next(self) -> bool:
        """Bring the next entries to everybody. True: there were more than go into one turn."""
        entries, through = await self._journal.read(self._cursor, self._room.stream_id, ROWS)
        count = _fitting(entries)
        said = [(entry.seq, cast(Message, entry.event)) for entry in entries[:count] if entry.type == "message"]
        self._cursor = through if count == len(entries) else entries[count - 1].seq
        for dialect, recipients in self._recipients.items():
            if said and recipients:
                await self._write(dialect, recipients, said)
        return count < len(entries) or len(entries) == ROWS

    async def _write(self, dialect: str, recipients: dict[Recipient, Member], said: list[Said]) -> None:
        shown = _Rendering(dialect, said)
        for number, (recipient, member) in enumerate(list(recipients.items())):
            if number % STRIDE == STRIDE - 1:
                await trio.lowlevel.checkpoint()
            data = shown.bytes_for(recipient, member) if recipient in recipients else b""
            if data:  # or it is gone meanwhile, or nothing was for it
                recipient.writer.write(data)


class _Rendering:
    """What was said in one turn, in one dialect: the same bytes for all, and for some a part of them, or more."""

    def __init__(self, dialect: str, said: list[Said]) -> None:
        self._said = said
        self._first = said[0][0]
        self._folds = [None if message.to is msgspec.UNSET else fold(message.to) for _, message in said]
        self._addressed = {*self._folds} - {None}
        self._lines = [
            line_of(dialect, message.nick or "", message.text, private=to is not None)
            for (_, message), to in zip(said, self._folds, strict=True)
        ]
        self._spans: dict[str | None, list[tuple[int, int]]] = {}  # by speaker: where in `_shared`
        end = 0
        for (_, message), line, to in zip(said, self._lines, self._folds, strict=True):
            if to is None:
                start, end = end, end + len(line)
                self._spans.setdefault(message.nick, []).append((start, end))
        self._shared = b"".join(
            [line for line, to in zip(self._lines, self._folds, strict=True) if to is None]
            if self._addressed
            else self._lines
        )

    def bytes_for(self, recipient: Recipient, member: Member) -> bytes:
        """What is for that client: nothing from before it came, of the others to all, and to itself in private."""
        if member.since >= self._first or member.fold in self._addressed:
            return self._picked(recipient, member)
        spans = self._spans.get(member.nick)
        return self._shared if spans is None else self._without(spans)

    def _without(self, spans: list[tuple[int, int]]) -> bytes:
        shared, kept, position = memoryview(self._shared), [], 0
        for start, end in spans:
            kept.append(shared[position:start])
            position = end
        return b"".join([*kept, shared[position:]])

    def _picked(self, recipient: Recipient, member: Member) -> bytes:
        # A program that sends a name without a newline takes one read for one private message.
        glued = recipient.dialect == NAME and recipient.ends_lines is False
        pieces = []
        for (seq, message), line, to in zip(self._said, self._lines, self._folds, strict=True):
            if seq > member.since and to == member.fold:
                pieces.append(line[:-1] if glued else line)
            elif seq > member.since and to is None and message.nick != member.nick:
                pieces.append(line)
        return b"".join(pieces)


def _fitting(entries: list[Entry]) -> int:
    """How many of them make one turn."""
    size = 0
    for number, entry in enumerate(entries):
        size += len(entry.raw)
        if size > TURN_BYTES and number:
            return number
    return len(entries)

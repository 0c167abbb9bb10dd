"""Subscription: a cursor in the journal, pulled by the writer of its session at the pace of the client; and all of one.

It holds no events: whoever is slow reads later, from memory or from disk. What it gives are lines ready to write,
made of the JSON that the journal holds. That of a consumer's holder waits for acknowledgements, too.
"""

from functools import partial

from chatd.api.errors import ControlError
from chatd.control import jsonrpc
from chatd.control.responses import ResponseQueue
from chatd.control.selection import Selection, read_or_gap
from chatd.journal.batch import Entry, stream_ids_of
from chatd.journal.journal import PAGE_ROWS, Journal, Page
from chatd.messages.consumers import Hold
from chatd.runtime import Runtime, Waker

CHUNK_BYTES = 256 * 1024  # about what one write to a client carries
FEW_ROWS = 32  # that are read where there was more to send than a consumer's window had room for


class Subscription:
    """Events after `cursor`; those at or before `boundary` are replay."""

    __slots__ = (
        "_boundary", "_journal", "_live", "_match", "_replay", "_rows", "_runtime",
        "announced", "cursor", "hold", "number", "stream_id",
    )  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        runtime: Runtime,
        number: int,
        selection: Selection,
        cursor: int,
        boundary: int,
        hold: Hold | None,
    ) -> None:
        self.number = number
        self.stream_id = selection.stream_id
        self.cursor = cursor
        self.hold = hold  # of a consumer
        self.announced = False  # its number was told: events may follow
        self._boundary = boundary
        self._journal = journal
        self._runtime = runtime
        self._match = selection.match
        self._rows = PAGE_ROWS
        self._replay = _frame(number, "true")
        self._live = _frame(number, "false")

    @property
    def is_due(self) -> bool:
        """There is something that was not looked at, and may be sent."""
        return self.announced and self.cursor < self._journal.committed and (self.hold is None or self.hold.room > 0)

    async def pull(self) -> bytes:
        """The next events as lines, at most about CHUNK_BYTES, and move the cursor behind them.

        May be empty: nothing matched, so call it again while it `is_due`.
        """
        entries, through = await self._next()
        raws = [entry.raw for entry in entries]
        if sum(map(len, raws)) > CHUNK_BYTES:
            count = _fitting(raws)
            through = entries[count - 1].seq
            del raws[count:], entries[count:]
        self.cursor = through
        if self.hold is not None:
            self.hold.send([entry.seq for entry in entries])
            self.hold.look(through)
        prefix, suffix = self._replay if through <= self._boundary else self._live
        return prefix + (suffix + prefix).join(raws) + suffix if raws else b""

    async def _next(self) -> Page:
        """What comes next and is for this reader; all replay, or none of it."""
        hold = self.hold
        rows = self._rows if hold is None else max(self._rows, min(hold.room, PAGE_ROWS))
        entries, through = await read_or_gap(self._journal, self._runtime, self.cursor, self.stream_id, rows)
        if hold is not None and self.cursor < (ahead := hold.skip(self.cursor)):
            return Page([], ahead)
        boundary = self._boundary = max(self._boundary, self._journal.floor)
        if self.cursor < boundary < through:
            entries, through = [entry for entry in entries if entry.seq <= boundary], boundary
        match = self._match
        if match is not None:
            entries = [entry for entry in entries if match(entry)]
        return Page(entries, through if hold is None else self._limit(hold, entries, through))

    def _limit(self, hold: Hold, entries: list[Entry], through: int) -> int:
        """Take away what the window has no room for; gives the seq up to which all is there."""
        room = max(hold.room, 0)
        self._rows = PAGE_ROWS
        if len(entries) <= room:
            return through
        self._rows = FEW_ROWS
        del entries[room:]
        return entries[-1].seq if entries else self.cursor


class Subscriptions:
    """Those of one session, by number. The session's waker is woken by every commit that one of them has to look at."""

    __slots__ = ("_answers", "_by_number", "_given", "_journal", "_runtime", "_waker")

    def __init__(self, journal: Journal, runtime: Runtime, waker: Waker, answers: ResponseQueue) -> None:
        self._journal = journal
        self._runtime = runtime
        self._waker = waker
        self._answers = answers
        self._by_number: dict[int, Subscription] = {}
        self._given = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, selection: Selection, cursor: int, boundary: int, hold: Hold | None = None) -> int:
        """Begin one; gives its number. Events follow once that was told (`announce`)."""
        self._given = number = self._given + 1
        self._by_number[number] = Subscription(self._journal, self._runtime, number, selection, cursor, boundary, hold)
        self._journal.watch(self._waker, selection.stream_id)
        if hold is not None:
            hold.attend(self._waker, partial(self._lose, number, hold.consumer.name))
        return number

    def announce(self, number: int) -> None:
        """Its number was told; it may have been ended since."""
        if number in self._by_number:
            self._by_number[number].announced = True

    def remove(self, number: int) -> None:
        """No event of it follows, and its consumer is free. Raises KeyError."""
        ended = self._by_number.pop(number)
        left = {stream_id for other in self._by_number.values() for stream_id in stream_ids_of(other.stream_id)}
        for stream_id in set(stream_ids_of(ended.stream_id)) - left:
            self._journal.unwatch(self._waker, stream_id)
        if ended.hold is not None:
            ended.hold.release()

    def clear(self) -> None:
        """End all."""
        for number in list(self._by_number):
            self.remove(number)

    async def pull(self, parts: list[bytes]) -> bool:
        """Add events to what is written next, every subscription in its turn; whether any cursor moved."""
        size, moved = sum(map(len, parts)), False
        for number, subscription in list(self._by_number.items()):
            if number not in self._by_number or not subscription.is_due:
                continue
            data = await subscription.pull()
            moved = True
            if number in self._by_number:  # it may have been ended meanwhile
                self._by_number[number] = self._by_number.pop(number)
                if data:
                    parts.append(data)
                    size += len(data)
            if size >= CHUNK_BYTES:
                break
        return moved

    def _lose(self, number: int, name: str) -> None:
        """Somebody else reads as the consumer now; said in its place behind what was answered and sent."""
        self.remove(number)
        hint = "somebody read as it with --takeover"
        error = ControlError("conflict", f"consumer {name} was taken over", hint, reason="taken_over")
        self._answers.add(jsonrpc.ended_line(number, error), loose=False)


def _frame(number: int, replay: str) -> tuple[bytes, bytes]:
    """What stands before and behind an event."""
    params = f'{{"subscription":{number},"replay":{replay},"event":'
    return b'{"jsonrpc":"2.0","method":"event","params":' + params.encode(), b"}}\n"


def _fitting(raws: list[bytes]) -> int:
    """How many of them, at least one, are not over CHUNK_BYTES."""
    size = 0
    for count, raw in enumerate(raws):
        size += len(raw)
        if size > CHUNK_BYTES and count:
            return count
    return len(raws)

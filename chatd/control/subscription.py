"""Subscription: a cursor in the journal that the writer of its session pulls at the pace of the client.

It buffers no events: a slow client is served later, from memory or from disk. It returns lines that are ready to write:
notifications around the JSON that the journal stores. A consumer's subscription waits for acknowledgements too.
"""

from functools import partial

from chatd.api.errors import ControlError
from chatd.control import jsonrpc
from chatd.control.responses import ResponseQueue
from chatd.control.selection import Selection, read_or_gap
from chatd.journal.batch import Entry, stream_ids_of
from chatd.journal.journal import PAGE_ROWS, Journal, Page
from chatd.messages.consumers import ConsumerReader
from chatd.runtime import Runtime
from chatd.sync import Waker

CHUNK_BYTES = 256 * 1024  # in one write to a client, approximately
FEW_ROWS = 32  # per read, after a consumer's window had no capacity for all events of a larger one


class Subscription:
    """Events after `cursor`; those at or before `boundary` are replay."""

    __slots__ = (
        "_boundary", "_journal", "_live", "_match", "_replay", "_rows_per_read", "_runtime",
        "announced", "cursor", "number", "reader", "stream_id",
    )  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        runtime: Runtime,
        number: int,
        selection: Selection,
        cursor: int,
        boundary: int,
        reader: ConsumerReader | None,
    ) -> None:
        self.number = number
        self.stream_id = selection.stream_id
        self.cursor = cursor
        self.reader = reader  # None: the subscription is not a consumer's
        self.announced = False  # its number is in a response: events may follow
        self._boundary = boundary
        self._journal = journal
        self._runtime = runtime
        self._match = selection.match
        self._rows_per_read = PAGE_ROWS
        self._replay = _frame(number, "true")
        self._live = _frame(number, "false")

    @property
    def is_due(self) -> bool:
        """Whether there are events to examine, and the consumer may get more."""
        if not self.announced or self.cursor >= self._journal.committed:
            return False
        return self.reader is None or self.reader.capacity > 0

    async def pull(self) -> bytes:
        """The next events as lines, about CHUNK_BYTES at most; moves the cursor past them.

        Empty if no event of this part of the journal matches: call it again while it `is_due`.
        """
        entries, through = await self._next()
        raws = [entry.raw for entry in entries]
        if sum(map(len, raws)) > CHUNK_BYTES:
            count = _count_in_chunk(raws)
            through = entries[count - 1].seq
            del raws[count:], entries[count:]
        self.cursor = through
        if self.reader is not None:
            self.reader.add_sent([entry.seq for entry in entries])
            self.reader.advance(through)
        prefix, suffix = self._replay if through <= self._boundary else self._live
        return prefix + (suffix + prefix).join(raws) + suffix if raws else b""

    async def _next(self) -> Page:
        """The next matching entries; either all are replay or none is."""
        reader = self.reader
        rows = self._rows_per_read if reader is None else max(self._rows_per_read, min(reader.capacity, PAGE_ROWS))
        entries, through = await read_or_gap(self._journal, self._runtime, self.cursor, self.stream_id, rows)
        if reader is not None and self.cursor < (ahead := reader.next_cursor(self.cursor)):
            return Page([], ahead)
        boundary = self._boundary = max(self._boundary, self._journal.floor)
        if self.cursor < boundary < through:
            entries, through = [entry for entry in entries if entry.seq <= boundary], boundary
        match = self._match
        if match is not None:
            entries = [entry for entry in entries if match(entry)]
        return Page(entries, through if reader is None else self._limit(reader, entries, through))

    def _limit(self, reader: ConsumerReader, entries: list[Entry], through: int) -> int:
        """Remove the entries for which the window has no capacity; returns the last seq that is examined then."""
        capacity = max(reader.capacity, 0)
        self._rows_per_read = PAGE_ROWS
        if len(entries) <= capacity:
            return through
        self._rows_per_read = FEW_ROWS
        del entries[capacity:]
        return entries[-1].seq if entries else self.cursor


class Subscriptions:
    """The subscriptions of one session, by number. A commit that one of them has to examine wakes `waker`."""

    __slots__ = ("_by_number", "_journal", "_last_number", "_responses", "_runtime", "_waker")

    def __init__(self, journal: Journal, runtime: Runtime, waker: Waker, responses: ResponseQueue) -> None:
        self._journal = journal
        self._runtime = runtime
        self._waker = waker
        self._responses = responses
        self._by_number: dict[int, Subscription] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, selection: Selection, cursor: int, boundary: int, reader: ConsumerReader | None = None) -> int:
        """Add a subscription and return its number. Events follow after `announce`."""
        self._last_number = number = self._last_number + 1
        self._by_number[number] = Subscription(
            self._journal, self._runtime, number, selection, cursor, boundary, reader
        )
        self._journal.watch(self._waker, selection.stream_id)
        if reader is not None:
            reader.set_waker(self._waker, partial(self._end_after_takeover, number, reader.consumer.name))
        return number

    def announce(self, number: int) -> None:
        """Let events follow: the client gets the number now. The subscription may have ended since."""
        if number in self._by_number:
            self._by_number[number].announced = True

    def remove(self, number: int) -> None:
        """End a subscription and detach it from its consumer. Raises KeyError."""
        ended = self._by_number.pop(number)
        left = {stream_id for other in self._by_number.values() for stream_id in stream_ids_of(other.stream_id)}
        for stream_id in set(stream_ids_of(ended.stream_id)) - left:
            self._journal.unwatch(self._waker, stream_id)
        if ended.reader is not None:
            ended.reader.release()

    def clear(self) -> None:
        for number in list(self._by_number):
            self.remove(number)

    async def pull(self, parts: list[bytes]) -> bool:
        """Append events to `parts`, each subscription in its turn; returns whether any cursor moved."""
        size, moved = sum(map(len, parts)), False
        for number, subscription in list(self._by_number.items()):
            if number not in self._by_number or not subscription.is_due:
                continue
            data = await subscription.pull()
            moved = True
            if number in self._by_number:  # it may have ended meanwhile
                self._by_number[number] = self._by_number.pop(number)
                if data:
                    parts.append(data)
                    size += len(data)
            if size >= CHUNK_BYTES:
                break
        return moved

    def _end_after_takeover(self, number: int, name: str) -> None:
        """Notify the client, after all responses and events so far, that another client reads as the consumer now."""
        self.remove(number)
        hint = "somebody read as it with --takeover"
        error = ControlError("conflict", f"consumer {name} was taken over", hint, reason="taken_over")
        self._responses.add(jsonrpc.ended_line(number, error), out_of_order=False)


def _frame(number: int, replay: str) -> tuple[bytes, bytes]:
    """The bytes before and after the JSON of an event."""
    params = f'{{"subscription":{number},"replay":{replay},"event":'
    return b'{"jsonrpc":"2.0","method":"event","params":' + params.encode(), b"}}\n"


def _count_in_chunk(raws: list[bytes]) -> int:
    """The number of events, at least one, that together are at most CHUNK_BYTES."""
    size = 0
    for count, raw in enumerate(raws):
        size += len(raw)
        if size > CHUNK_BYTES and count:
            return count
    return len(raws)

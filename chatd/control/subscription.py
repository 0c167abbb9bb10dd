"""Subscription: a cursor in the journal, pulled by the writer of its session at the pace of the client; and all of one.

It holds no events: whoever is slow reads later, from memory or from disk. What it gives are lines ready to write,
made of the JSON that the journal holds.
"""

from chatd.control.selection import Selection
from chatd.core.journal import PAGE_ROWS, Journal
from chatd.runtime import Waker

CHUNK_BYTES = 256 * 1024  # about what one write to a client carries


class Subscription:
    """Events after `cursor`; those at or before `boundary` are replay."""

    __slots__ = ("_boundary", "_journal", "_live", "_match", "_replay", "announced", "cursor", "number", "topic")

    def __init__(self, journal: Journal, number: int, selection: Selection, cursor: int, boundary: int) -> None:
        self.number = number
        self.topic = selection.topic
        self.cursor = cursor
        self.announced = False  # its number was told: events may follow
        self._boundary = boundary
        self._journal = journal
        self._match = selection.match
        self._replay = _frame(number, "true")
        self._live = _frame(number, "false")

    @property
    def behind(self) -> bool:
        """There is something that was not looked at."""
        return self.cursor < self._journal.committed

    async def pull(self) -> bytes:
        """The next events as lines, at most about CHUNK_BYTES, and move the cursor behind them.

        May be empty: nothing matched, so call it again while it is `behind`.
        """
        boundary = self._boundary
        entries, through = await self._journal.read(self.cursor, self.topic, PAGE_ROWS)
        prefix, suffix = self._live
        if self.cursor < boundary:
            prefix, suffix = self._replay
            if through > boundary:
                entries, through = [entry for entry in entries if entry.seq <= boundary], boundary
        match = self._match
        if match is not None:
            entries = [entry for entry in entries if match(entry)]
        raws = [entry.raw for entry in entries]
        if sum(map(len, raws)) > CHUNK_BYTES:
            count = _fitting(raws)
            through = entries[count - 1].seq
            del raws[count:]
        self.cursor = through
        return prefix + (suffix + prefix).join(raws) + suffix if raws else b""


class Subscriptions:
    """Those of one session, by number. The session's waker is woken by every commit that one of them has to look at."""

    __slots__ = ("_by_number", "_given", "_journal", "_waker")

    def __init__(self, journal: Journal, waker: Waker) -> None:
        self._journal = journal
        self._waker = waker
        self._by_number: dict[int, Subscription] = {}
        self._given = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, selection: Selection, cursor: int, boundary: int) -> int:
        """Begin one; gives its number. Events follow once that was told (`announce`)."""
        self._given += 1
        self._by_number[self._given] = Subscription(self._journal, self._given, selection, cursor, boundary)
        self._journal.watch(self._waker, selection.topic)
        return self._given

    def announce(self, number: int) -> None:
        """Its number was told; it may have been ended since."""
        if number in self._by_number:
            self._by_number[number].announced = True

    def remove(self, number: int) -> None:
        """No event of it follows. Raises KeyError."""
        topic = self._by_number.pop(number).topic
        if all(other.topic != topic for other in self._by_number.values()):
            self._journal.unwatch(self._waker, topic)

    def clear(self) -> None:
        """End all."""
        for number in list(self._by_number):
            self.remove(number)

    async def pull(self, parts: list[bytes]) -> bool:
        """Add events to what is written next, every subscription in its turn; whether any cursor moved."""
        size, moved = sum(map(len, parts)), False
        for number, subscription in list(self._by_number.items()):
            if not subscription.announced or not subscription.behind:
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

"""Retention: deletes events that are too old or too many, oldest first, in steps of a few milliseconds.

Everything up to the floor is deleted, except rows that an outbox still contains; these are deleted once they are
acknowledged or given up. A row, its rows in other tables, and the floor change in one transaction; `journal.floor`
follows before the next read. Epochs without events are dropped, all but the newest ones (journal/epochs.py).
Watermarks and acknowledgements are kept for good. Called by maintenance.py.

*Size* means the pages in use: the file does not shrink, but its free pages are used again. History keeps about half of
the allowed size, however much the outboxes contain.

*Age* is judged by timestamps of a wall clock that may be wrong for a while. A timestamp in the future proves nothing.
If timestamps jump by more than a day from one event to the next (the clock was set, or the node was off), the events
before the jump are deleted only when those after it are too old too. So a clock in 1970 or 2038 deletes nothing
early. Events that this process has held for longer than the allowed age are too old by any clock, so every event is
deleted at some time.
"""

from collections import deque

import trio

from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull, Store
from chatd.runtime import Runtime

ROWS = 2048  # in one step, at most: about 5 ms
MOST_ROWS = 12_000  # the same between large commits: a step takes no longer than one of these
ROW_BYTES = 512  # of bodies per row of a step, on average, unless a single row is larger
STREAMS = 256  # streams examined in one step: 2 ms
JUMP_MS = 86_400_000  # between two events: a longer pause means that a clock may be wrong

_UNDELIVERED = """SELECT 1 FROM outboxes AS box WHERE box.topic = events.topic AND box.messages > 0
    AND events.direction = 'out' AND events.seq >= box.first
    AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.seq = events.seq AND outcomes.final)"""
_DELETIONS = (
    f"DELETE FROM events WHERE seq > ? AND seq <= ? AND NOT EXISTS ({_UNDELIVERED})",
    *(
        f"DELETE FROM {table} WHERE seq > ? AND seq <= ? AND NOT EXISTS (SELECT 1 FROM events WHERE seq = {table}.seq)"
        for table in ("outcomes", "expiries", "keys")
    ),
)
_RAISE = "UPDATE floor SET seq = max(seq, ?)"
_OLDEST = "SELECT min(seq) FROM events"
_TRIM = "DELETE FROM epochs WHERE ord < (SELECT ord FROM epochs WHERE epoch = ?)"
_BLOCK = """SELECT max(seq), sum(size) FROM
    (SELECT seq, length(body) AS size FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)"""
_STREAMS_IN = "SELECT DISTINCT topic FROM events WHERE seq > ? AND seq <= ?"
_OLDEST_OF_STREAM = """SELECT (SELECT seq FROM events WHERE topic = ? AND seq <= ? ORDER BY seq LIMIT 1),
    (SELECT first FROM outboxes WHERE topic = ? AND messages > 0)"""
_GIVEN_UP = "SELECT min(seq) FROM outcomes WHERE seq <= ? AND final"
_NEXT_STREAM = "SELECT topic, seq FROM events WHERE topic > ? ORDER BY topic, seq LIMIT 1"
_USED = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""
_UNDELIVERED_BYTES = "SELECT coalesce(sum(bytes), 0) FROM outboxes"
_AT_OR_AFTER = "SELECT at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1"
_AT_BEFORE = "SELECT at FROM events WHERE seq < ? AND seq > ? ORDER BY seq DESC LIMIT 1"


class Retention:
    """The retention of one journal. One task calls `step`."""

    def __init__(self, journal: Journal, runtime: Runtime, *, age: float, size: int) -> None:
        """`age` in seconds, `size` in bytes."""
        self._journal = journal
        self._runtime = runtime
        self._age = age
        self._size = size
        self._streams_below: deque[int] = deque()  # stream ids with rows below the floor
        self._recalled_through: int | None = 0  # stream ids up to this one were examined since the start; None: all
        self._held_since = (journal.committed, trio.current_time())  # events up to this seq are older than this time
        self._old_by_any_clock = 0
        self._oldest = journal.epochs.epoch_of(0)  # the oldest epoch to keep

    async def step(self) -> bool:
        """Delete some events; returns whether there may be more to delete."""
        self._note_time()
        now_ms, newest = int(self._runtime.wall() * 1000), self._journal.committed
        return (await self._journal.ask(lambda store: self._step(store, newest, now_ms), self._apply))[1]

    def _note_time(self) -> None:
        seq, since = self._held_since
        if trio.current_time() - since >= self._age:
            self._old_by_any_clock, self._held_since = seq, (self._journal.committed, trio.current_time())

    def _apply(self, result: tuple[int, bool]) -> None:
        self._journal.raise_floor(result[0])
        self._journal.epochs.drop_before(self._oldest)

    def _step(self, store: Store, newest: int, now_ms: int) -> tuple[int, bool]:
        """Delete; returns the new floor, and whether there may be more. `newest`: the last seq when this was queued."""
        floor = self._journal.floor
        self._recall_streams(store, floor)
        start, end = self._next_below_floor(store, floor), floor
        # A writer without pauses must not outrun this: delete as much as was appended while this waited for its turn.
        rows = min(max(ROWS, (self._journal.committed - newest) * 5 // 4), MOST_ROWS)
        size = rows * ROW_BYTES
        if start is None:
            start, excess = floor, self._excess_bytes(store)
            end = self._journal.committed if excess > 0 else self._too_old(store, floor, now_ms)
            size = min(size, excess) if excess > 0 else size
        if start >= end:
            return floor, self._recalled_through is not None
        try:
            through = self._delete(store, start, end, rows, size)
        except DiskFull:
            return floor, False
        self._remember_streams([stream_id for (stream_id,) in store.query(_STREAMS_IN, start, through)])
        return max(floor, through), True

    def _delete(self, store: Store, after: int, end: int, rows: int, size: int) -> int:
        """Delete the next rows in (after, end], at most `rows`, except undelivered ones; returns the last seq."""
        last, total = store.query(_BLOCK, after, end, rows)[0]
        while rows > 1 and (total or 0) > size:
            rows //= 2
            last, total = store.query(_BLOCK, after, end, rows)[0]
        through = int(end if last is None else last)
        with store.transaction() as run:
            for sql in _DELETIONS:
                run(sql, (after, through))
            run(_RAISE, (through,))
            # An outbox may contain rows below the floor, and their frames need the epoch in which they were written.
            left, floor = store.query(_OLDEST)[0][0], max(through, self._journal.floor)
            oldest = self._journal.epochs.oldest_to_keep(min(left or floor, floor))
            run(_TRIM, (oldest,))
        self._oldest = oldest
        return through

    # -- below the floor

    def _remember_streams(self, stream_ids: list[int]) -> None:
        self._streams_below.extend(stream_id for stream_id in stream_ids if stream_id not in self._streams_below)

    def _recall_streams(self, store: Store, floor: int) -> None:
        """Find the streams with rows that previous runs have kept, a few at a time."""
        for _ in range(STREAMS):
            if self._recalled_through is None:
                return
            rows = store.query(_NEXT_STREAM, self._recalled_through)
            self._recalled_through = rows[0][0] if rows else None
            self._remember_streams([stream_id for stream_id, seq in rows if seq <= floor])

    def _next_below_floor(self, store: Store, floor: int) -> int | None:
        """The seq before the oldest row below the floor that is no longer undelivered; None if none is found."""
        given_up = store.query(_GIVEN_UP, floor)[0][0]
        if given_up is not None:
            return int(given_up) - 1
        for _ in range(min(STREAMS, len(self._streams_below))):
            stream_id = self._streams_below[0]
            oldest, first_undelivered = store.query(_OLDEST_OF_STREAM, stream_id, floor, stream_id)[0]
            if oldest is None:
                self._streams_below.popleft()
            elif first_undelivered is None or oldest < first_undelivered:
                return int(oldest) - 1
            else:
                self._streams_below.rotate(-1)
        return None

    # -- above the floor

    def _excess_bytes(self, store: Store) -> int:
        """The bytes of history to delete; 0 or less: none."""
        used = store.query(_USED)[0][0]
        if used <= self._size:
            return 0
        undelivered = store.query(_UNDELIVERED_BYTES)[0][0]
        return int(min(used - self._size, used - undelivered - self._size // 2))

    def _too_old(self, store: Store, floor: int, now_ms: int) -> int:
        """The last seq that is too old, as far as the clock is not in doubt."""
        newest, limit_ms = self._journal.committed, now_ms - int(self._age * 1000)
        young = store.first_at_or_after(limit_ms, floor, newest, now_ms)
        old = store.query(_AT_BEFORE, young, floor)
        after = store.query(_AT_OR_AFTER, young) if young <= newest else [(now_ms,)]
        if not old or old[0][0] >= limit_ms or after[0][0] - old[0][0] > JUMP_MS:
            return self._old_by_any_clock
        return max(self._old_by_any_clock, young - 1)

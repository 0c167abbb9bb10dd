"""Retention: what of the journal is too old, or too much, goes: oldest first, in steps of a few milliseconds.

Everything up to the floor is gone, except the single rows that an outbox owes, which go once they are acknowledged or
given up. A row, what other tables say of it, and the floor change in one transaction; `journal.floor` follows before
anybody else reads. Epochs of which nothing is left go with them, all but the newest (journal/epochs.py). Marks and
acknowledgements are for good.

*Size* is that of the pages in use: a file does not shrink, but its free pages are used again. History keeps about half
of what is allowed, however much is owed.

*Age* is judged by stamps of a wall clock that may be wrong for a while. A stamp in the future says nothing. And where
stamps jump by more than a day from one event to the next (the clock was set, or the node was off), what lies before
the jump goes only once what lies behind it is too old as well. So a clock in 1970 or 2038 deletes nothing early. What
this run itself has seen for so long is too old by any clock, so nothing is kept for ever.
"""

from collections import deque

import trio

from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull, Store
from chatd.runtime import Runtime

ROWS = 2048  # of one step, at most: about 5 ms
MOST_ROWS = 12_000  # the same while larger commits go in between: no longer than they take
ROW_BYTES = 512  # of bodies for each row of a step, or a single larger one
TOPICS = 256  # looked at in one step: 2 ms
JUMP_MS = 86_400_000  # between two events, and not believed

_OWED = """SELECT 1 FROM outboxes AS box WHERE box.topic = events.topic AND box.messages > 0
    AND events.direction = 'out' AND events.seq >= box.first
    AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.seq = events.seq AND outcomes.final)"""
_DELETIONS = (
    f"DELETE FROM events WHERE seq > ? AND seq <= ? AND NOT EXISTS ({_OWED})",
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
_KEPT = "SELECT DISTINCT topic FROM events WHERE seq > ? AND seq <= ?"
_OLDEST_OF = """SELECT (SELECT seq FROM events WHERE topic = ? AND seq <= ? ORDER BY seq LIMIT 1),
    (SELECT first FROM outboxes WHERE topic = ? AND messages > 0)"""
_GIVEN_UP = "SELECT min(seq) FROM outcomes WHERE seq <= ? AND final"
_NEXT_TOPIC = "SELECT topic, seq FROM events WHERE topic > ? ORDER BY topic, seq LIMIT 1"
_USED = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""
_OWED_BYTES = "SELECT coalesce(sum(bytes), 0) FROM outboxes"
_AT_OR_AFTER = "SELECT at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1"
_AT_BEFORE = "SELECT at FROM events WHERE seq < ? AND seq > ? ORDER BY seq DESC LIMIT 1"


class Retention:
    """What is to go, of one journal. `step` is called by one task."""

    def __init__(self, journal: Journal, runtime: Runtime, *, age: float, size: int) -> None:
        """`age` in seconds, `size` in bytes."""
        self._journal = journal
        self._runtime = runtime
        self._age = age
        self._size = size
        self._kept: deque[int] = deque()  # topics that have rows below the floor
        self._recalled: int | None = 0  # topics up to there were looked at since the start; None: all
        self._witness = (journal.committed, trio.current_time())  # what is up to there is older than that
        self._surely_old = 0
        self._oldest = journal.epochs.epoch_of(0)  # epoch that is kept

    async def step(self) -> bool:
        """Delete a little of what has to go; whether there may be more."""
        self._look_at_the_clock()
        now_ms, newest = int(self._runtime.wall() * 1000), self._journal.committed
        return (await self._journal.ask(lambda store: self._step(store, newest, now_ms), self._told))[1]

    def _look_at_the_clock(self) -> None:
        seq, since = self._witness
        if trio.current_time() - since >= self._age:
            self._surely_old, self._witness = seq, (self._journal.committed, trio.current_time())

    def _told(self, found: tuple[int, bool]) -> None:
        self._journal.raise_floor(found[0])
        self._journal.epochs.drop_before(self._oldest)

    def _step(self, store: Store, newest: int, now_ms: int) -> tuple[int, bool]:
        """The floor from now on, and whether there may be more. It was asked for when the journal ended at `newest`."""
        floor = self._journal.floor
        self._recall(store, floor)
        start, end = self._released(store, floor), floor
        # Who writes without a pause must not outrun this: as much goes as came while this waited for its turn.
        rows = min(max(ROWS, (self._journal.committed - newest) * 5 // 4), MOST_ROWS)
        size = rows * ROW_BYTES
        if start is None:
            start, excess = floor, self._excess(store)
            end = self._journal.committed if excess > 0 else self._too_old(store, floor, now_ms)
            size = min(size, excess) if excess > 0 else size
        if start >= end:
            return floor, self._recalled is not None
        try:
            through = self._delete(store, start, end, rows, size)
        except DiskFull:
            return floor, False
        self._keep([stream_id for (stream_id,) in store.query(_KEPT, start, through)])
        return max(floor, through), True

    def _delete(self, store: Store, after: int, end: int, rows: int, size: int) -> int:
        """Delete the next rows of (after, end], at most so many, except what is owed; up to where."""
        found, total = store.query(_BLOCK, after, end, rows)[0]
        while rows > 1 and (total or 0) > size:
            rows //= 2
            found, total = store.query(_BLOCK, after, end, rows)[0]
        through = int(end if found is None else found)
        with store.transaction() as run:
            for sql in _DELETIONS:
                run(sql, (after, through))
            run(_RAISE, (through,))
            # An outbox may owe what is below the floor, and its frames have the epoch in which it was written.
            left, floor = store.query(_OLDEST)[0][0], max(through, self._journal.floor)
            oldest = self._journal.epochs.oldest_to_keep(min(left or floor, floor))
            run(_TRIM, (oldest,))
        self._oldest = oldest
        return through

    # -- below the floor

    def _keep(self, stream_ids: list[int]) -> None:
        self._kept.extend(stream_id for stream_id in stream_ids if stream_id not in self._kept)

    def _recall(self, store: Store, floor: int) -> None:
        """Find what former runs have kept, a few topics at a time."""
        for _ in range(TOPICS):
            if self._recalled is None:
                return
            rows = store.query(_NEXT_TOPIC, self._recalled)
            self._recalled = rows[0][0] if rows else None
            self._keep([stream_id for stream_id, seq in rows if seq <= floor])

    def _released(self, store: Store, floor: int) -> int | None:
        """Just before the oldest row below the floor that was owed and is not any more; None if none is found."""
        given_up = store.query(_GIVEN_UP, floor)[0][0]
        if given_up is not None:
            return int(given_up) - 1
        for _ in range(min(TOPICS, len(self._kept))):
            stream_id = self._kept[0]
            oldest, owed = store.query(_OLDEST_OF, stream_id, floor, stream_id)[0]
            if oldest is None:
                self._kept.popleft()
            elif owed is None or oldest < owed:
                return int(oldest) - 1
            else:
                self._kept.rotate(-1)
        return None

    # -- above the floor

    def _excess(self, store: Store) -> int:
        """How many bytes of history are too much."""
        used = store.query(_USED)[0][0]
        if used <= self._size:
            return 0
        owed = store.query(_OWED_BYTES)[0][0]
        return int(min(used - self._size, used - owed - self._size // 2))

    def _too_old(self, store: Store, floor: int, now_ms: int) -> int:
        """The last seq before the first event that is young, as far as the clock is not in doubt."""
        newest, limit_ms = self._journal.committed, now_ms - int(self._age * 1000)
        young = store.first_at_or_after(limit_ms, floor, newest, now_ms)
        old = store.query(_AT_BEFORE, young, floor)
        behind = store.query(_AT_OR_AFTER, young) if young <= newest else [(now_ms,)]
        if not old or old[0][0] >= limit_ms or behind[0][0] - old[0][0] > JUMP_MS:
            return self._surely_old
        return max(self._surely_old, young - 1)

"""Seek: where in a journal to begin reading, by time and by number. Nothing below the floor is found."""

from collections.abc import Callable
from functools import partial

from chatd.journal.batch import Entry, StreamIds
from chatd.journal.conditions import ANYTHING, Condition
from chatd.journal.journal import PAGE_ROWS, Journal
from chatd.journal.store import Store

HEAD_ROWS = 512  # whose bodies are touched in one turn: below 10 ms, however long they are


async def seek_time(journal: Journal, seconds: float) -> int:
    """The seq after which everything is that is not older than that wall time."""
    at_ms, floor, newest = int(seconds * 1000), journal.floor, journal.committed
    return await journal.ask(lambda store: store.first_at_or_after(at_ms, floor, newest)) - 1


async def seek_last(
    journal: Journal,
    n: int,
    match: Callable[[Entry], bool],
    stream_id: StreamIds = None,
    *,
    heads: bool = False,
    where: Condition = ANYTHING,
) -> int:
    """The seq after which the newest `n` matching entries are. `match` sees the columns, and the `heads` of bodies.

    Every entry that `match` accepts must meet `where` too. If fewer than `n` match: the seq before the oldest of them.
    """
    after = journal.committed
    before, floor, rows = after + 1, journal.floor, HEAD_ROWS if heads else PAGE_ROWS
    while n > 0 and before > floor + 1:
        look = partial(_page_back, after=floor, before=before, stream_id=stream_id, rows=rows, heads=heads, where=where)
        found, down_to = await journal.ask(look)
        for entry in found:
            if match(entry):
                n, after = n - 1, entry.seq - 1
            if n == 0:
                return after
        before = down_to + 1
    return after


def _page_back(
    store: Store, *, after: int, before: int, stream_id: StreamIds, rows: int, heads: bool, where: Condition
) -> tuple[list[Entry], int]:
    return store.page_back(after, before, stream_id, rows, heads=heads, where=where)

"""Seek: where in a journal to begin reading, by time and by number. Nothing below the floor is found."""

from collections.abc import Callable
from functools import partial

from chatd.core.batch import Entry
from chatd.core.journal import PAGE_ROWS, Journal
from chatd.core.store import Store


async def seek_time(journal: Journal, seconds: float) -> int:
    """The seq after which everything is that is not older than that wall time."""
    at_ms, floor, newest = int(seconds * 1000), journal.floor, journal.committed
    return await journal.ask(lambda store: store.first_at_or_after(at_ms, floor, newest)) - 1


async def seek_last(journal: Journal, n: int, match: Callable[[Entry], bool], topic: int | None = None) -> int:
    """The seq after which the newest `n` matching entries are. `match` sees the columns, not `raw`."""
    before, floor = journal.committed + 1, journal.floor
    while n > 0:
        found = await journal.ask(partial(_page_back, after=floor, before=before, topic=topic))
        for entry in found:
            n -= match(entry)
            if n <= 0:
                return entry.seq - 1
        if len(found) < PAGE_ROWS:
            return floor
        before = found[-1].seq
    return journal.committed


def _page_back(store: Store, *, after: int, before: int, topic: int | None) -> list[Entry]:
    return store.page_back(after, before, topic, PAGE_ROWS)

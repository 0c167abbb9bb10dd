"""Searches in the journal: where to begin reading, by time or by number; and how many events match.

Each search reads in steps of a few milliseconds, so that commits and other reads get their turn. Nothing below the
floor is found. Called by control/.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

from chatd.journal.batch import Entry, StreamIds, stream_ids_of
from chatd.journal.conditions import ANYTHING, Condition
from chatd.journal.journal import PAGE_ROWS, Journal
from chatd.journal.rawjson import HEAD, ROOM_AT, ROOM_FIELD
from chatd.journal.store import Store

HEAD_ROWS = 512  # in one step that reads bodies: below 10 ms, however long they are
STEP = 2048  # events counted in one step: well below 10 ms
HEAD_STEP = 512  # the same where bodies are read
COUNT = "SELECT topic, type, direction, x'', count(*) FROM events WHERE seq > ? AND seq <= ? GROUP BY 1, 2, 3"
COUNT_BY_ROOM = f"""SELECT topic, type, direction, {ROOM_FIELD}, count(*) FROM
    (SELECT topic, type, direction, head, {ROOM_AT} AS room_at FROM
    (SELECT topic, type, direction, {HEAD} AS head FROM events WHERE seq > ? AND seq <= ?)) GROUP BY 1, 2, 3, 4"""
Row = tuple[int | None, str, str | None, bytes, int]
Kinds = Counter[tuple[str, str | None, bytes]]  # events by type, direction and room field


async def seek_time(journal: Journal, seconds: float) -> int:
    """The seq after which all events are at least as new as that wall time (in seconds)."""
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
    """The seq after which the newest `n` matching entries follow. `match` gets the columns, and the `heads` of bodies.

    Every entry that `match` accepts must meet `where` too. If fewer than `n` match: the seq before the oldest of them.
    """
    after = journal.committed
    before, floor, rows = after + 1, journal.floor, HEAD_ROWS if heads else PAGE_ROWS
    while n > 0 and before > floor + 1:
        read = partial(_page_back, after=floor, before=before, stream_id=stream_id, rows=rows, heads=heads, where=where)
        entries, down_to = await journal.ask(read)
        for entry in entries:
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


# -- counting


class CountRequest(NamedTuple):
    """Events after `seq`, of those streams, for which `match` is true (None: all).

    `match` gets an entry with type and direction; its stream id, unless `stream_id` is None; and with `heads`, as its
    body, the room field (journal/rawjson.py) or nothing.
    """

    seq: int
    stream_id: StreamIds
    match: Callable[[Entry], bool] | None
    heads: bool = False


async def count(journal: Journal, requests: Sequence[CountRequest]) -> list[int]:
    """The number of committed events for each request, in one pass over the journal.

    Each event is examined once, however many requests count it; nothing is loaded or decoded.
    """
    counts = [0] * len(requests)
    kinds: defaultdict[int | None, Kinds] = defaultdict(Counter)  # by stream id; None: of all streams
    low, heads = journal.committed, any(request.heads for request in requests)
    for index in sorted(range(len(requests)), key=lambda index: requests[index].seq, reverse=True):
        request = requests[index]
        floor = max(request.seq, journal.floor)
        while low > floor:
            high, low = low, max(low - (HEAD_STEP if heads else STEP), floor)
            step = partial(_count_rows, after=low, through=high, heads=heads)
            for stream_id, type_, direction, room_field, number in await journal.ask(step):
                for key in {stream_id, None}:
                    kinds[key][(type_, direction, room_field)] += number
        stream_ids = stream_ids_of(request.stream_id)
        counts[index] = sum(_sum(stream_id, kinds[stream_id], request.match) for stream_id in stream_ids)
    return counts


def _count_rows(store: Store, *, after: int, through: int, heads: bool) -> list[Row]:
    return cast(list[Row], store.query(COUNT_BY_ROOM if heads else COUNT, after, through))


def _sum(stream_id: int | None, kinds: Kinds, match: Callable[[Entry], bool] | None) -> int:
    return sum(
        number
        for (type_, direction, room_field), number in kinds.items()
        if match is None or match(Entry(0, 0, type_, direction, stream_id, room_field))
    )

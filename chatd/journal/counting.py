"""Census: how many events lie behind many positions that match each one's filter, in one pass over the journal.

A thousand consumers a million events behind cost one look at each event, in steps that leave the journal to others in
between; nothing is loaded or decoded.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from chatd.journal.batch import Entry, StreamIds, stream_ids_of
from chatd.journal.journal import Journal
from chatd.journal.rawjson import HEAD, ROOM_AT, ROOM_FIELD
from chatd.journal.store import Store

STEP = 2048  # events looked at in one turn: well under 10 ms
HEAD_STEP = 512  # the same where bodies are touched
COUNT = "SELECT topic, type, direction, x'', count(*) FROM events WHERE seq > ? AND seq <= ? GROUP BY 1, 2, 3"
COUNT_BY_ROOM = f"""SELECT topic, type, direction, {ROOM_FIELD}, count(*) FROM
    (SELECT topic, type, direction, head, {ROOM_AT} AS room_at FROM
    (SELECT topic, type, direction, {HEAD} AS head FROM events WHERE seq > ? AND seq <= ?)) GROUP BY 1, 2, 3, 4"""
Row = tuple[int | None, str, str | None, bytes, int]
Kinds = Counter[tuple[str, str | None, bytes]]


class CountRequest(NamedTuple):
    """Events after `seq`, of those topics, for which `match` is true (None: every one).

    `match` sees the columns of an entry (the topic, unless it asks for all), and with `heads` what its body tells of a
    room.
    """

    seq: int
    stream_id: StreamIds
    match: Callable[[Entry], bool] | None
    heads: bool = False


async def count(journal: Journal, asked: Sequence[CountRequest]) -> list[int]:
    """How many committed events each asks for, in that order. What lies below the floor is gone."""
    found = [0] * len(asked)
    kinds: defaultdict[int | None, Kinds] = defaultdict(Counter)  # by topic; None: of all
    low, heads = journal.committed, any(one.heads for one in asked)
    for index in sorted(range(len(asked)), key=lambda index: asked[index].seq, reverse=True):
        one = asked[index]
        floor = max(one.seq, journal.floor)
        while low > floor:
            high, low = low, max(low - (HEAD_STEP if heads else STEP), floor)
            step = partial(_counted, after=low, through=high, heads=heads)
            for stream_id, name, direction, place, number in await journal.ask(step):
                for key in {stream_id, None}:
                    kinds[key][(name, direction, place)] += number
        found[index] = sum(_sum(stream_id, kinds[stream_id], one.match) for stream_id in stream_ids_of(one.stream_id))
    return found


def _counted(store: Store, *, after: int, through: int, heads: bool) -> list[Row]:
    rows = store.query(COUNT_BY_ROOM if heads else COUNT, after, through)
    return [(stream_id, name, direction, place, number) for stream_id, name, direction, place, number in rows]


def _sum(stream_id: int | None, kinds: Kinds, match: Callable[[Entry], bool] | None) -> int:
    return sum(
        number
        for (name, direction, place), number in kinds.items()
        if match is None or match(Entry(0, 0, name, direction, stream_id, place))
    )

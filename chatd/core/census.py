"""Census: how many events lie behind many positions that match each one's filter, in one pass over the journal.

A thousand consumers a million events behind cost one look at each event, in steps that leave the journal to others in
between; nothing is loaded or decoded.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from chatd.core.batch import Entry
from chatd.core.journal import Journal
from chatd.core.store import Store

STEP = 2048  # events looked at in one turn: well under 10 ms
COUNT = "SELECT topic, type, direction, count(*) FROM events WHERE seq > ? AND seq <= ? GROUP BY topic, type, direction"
Row = tuple[int | None, str, str | None, int]


class Asked(NamedTuple):
    """Events after `seq`, of a topic (None: of all), for which `match` is true (None: every one)."""

    seq: int
    topic: int | None
    match: Callable[[Entry], bool] | None


async def count(journal: Journal, asked: Sequence[Asked]) -> list[int]:
    """How many committed events each asks for, in that order. What lies below the floor is gone."""
    found = [0] * len(asked)
    kinds: defaultdict[int | None, Counter[tuple[str, str | None]]] = defaultdict(Counter)  # by topic; None: of all
    low = journal.committed
    for index in sorted(range(len(asked)), key=lambda index: asked[index].seq, reverse=True):
        one = asked[index]
        floor = max(one.seq, journal.floor)
        while low > floor:
            high, low = low, max(low - STEP, floor)
            for topic, name, direction, number in await journal.ask(partial(_counted, after=low, through=high)):
                for key in {topic, None}:
                    kinds[key][(name, direction)] += number
        found[index] = _sum(kinds[one.topic], one.match)
    return found


def _counted(store: Store, *, after: int, through: int) -> list[Row]:
    return [(topic, name, direction, number) for topic, name, direction, number in store.query(COUNT, after, through)]


def _sum(kinds: Counter[tuple[str, str | None]], match: Callable[[Entry], bool] | None) -> int:
    return sum(
        number
        for (name, direction), number in kinds.items()
        if match is None or match(Entry(0, 0, name, direction, None, b""))
    )

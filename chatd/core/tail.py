"""The newest committed entries, in memory, so that a reader at the tail never touches the disk. Bounded in bytes."""

from bisect import bisect_right
from collections import Counter
from operator import attrgetter

from chatd.core.batch import ENTRY_COST, Entry

_seq = attrgetter("seq")
_topic = attrgetter("topic")


class Tail:
    """Entries in seq order without a hole, whole and by topic."""

    __slots__ = ("_bound", "_by_topic", "_entries", "_size", "floor")

    def __init__(self, floor: int, bound: int) -> None:
        self.floor = floor  # everything above this seq is here
        self._bound = bound
        self._size = 0
        self._entries: list[Entry] = []
        self._by_topic: dict[int, list[Entry]] = {}

    def extend(self, entries: list[Entry]) -> set[int | None]:
        """Add what was just committed, and let go of the oldest; gives the topics that were touched."""
        self._entries += entries
        topics: set[int | None] = set(map(_topic, entries))
        if len(topics) == 1 and None not in topics:
            self._by_topic.setdefault(entries[0].topic or 0, []).extend(entries)
        else:
            for entry in entries:
                if entry.topic is not None:
                    self._by_topic.setdefault(entry.topic, []).append(entry)
        self._size += sum([len(entry.raw) for entry in entries]) + ENTRY_COST * len(entries)
        if self._size > self._bound:
            self._trim()
        return topics

    def _trim(self) -> None:
        """Down to three quarters, so that this is done rarely."""
        count, excess = 0, self._size - self._bound * 3 // 4
        for entry in self._entries:
            if excess <= 0:
                break
            excess -= len(entry.raw) + ENTRY_COST
            count += 1
        self._size = excess + self._bound * 3 // 4
        self.floor = self._entries[count - 1].seq
        topics = Counter(map(_topic, self._entries[:count]))
        del self._entries[:count]
        for topic, number in topics.items():
            if topic is not None:
                kept = self._by_topic[topic]
                del kept[:number]
                if not kept:
                    del self._by_topic[topic]

    def after(self, seq: int, topic: int | None, limit: int) -> list[Entry] | None:
        """At most `limit` entries after that seq; None when memory does not reach back that far."""
        if seq < self.floor:
            return None
        if topic is None:
            start = seq - self.floor
            return self._entries[start : start + limit]
        kept = self._by_topic.get(topic)
        if not kept or kept[-1].seq <= seq:
            return []
        start = bisect_right(kept, seq, key=_seq)
        return kept[start : start + limit]

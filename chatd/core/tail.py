"""The newest committed entries, in memory, so that a reader at the tail never touches the disk. Bounded in bytes."""

from bisect import bisect_right
from operator import attrgetter

from chatd.core.batch import ENTRY_COST, Entry

_seq = attrgetter("seq")


class Tail:
    """Entries in seq order without a hole, whole and by topic."""

    __slots__ = ("_bound", "_by_topic", "_entries", "_size", "floor")

    def __init__(self, floor: int, bound: int) -> None:
        self.floor = floor  # everything above this seq is here
        self._bound = bound
        self._size = 0
        self._entries: list[Entry] = []
        self._by_topic: dict[int, list[Entry]] = {}

    def extend(self, entries: list[Entry]) -> None:
        """Add what was just committed, and let go of the oldest."""
        self._entries += entries
        by_topic = self._by_topic
        size = 0
        for entry in entries:
            size += len(entry.raw)
            if entry.topic is not None:
                try:
                    by_topic[entry.topic].append(entry)
                except KeyError:
                    by_topic[entry.topic] = [entry]
        self._size += size + ENTRY_COST * len(entries)
        if self._size > self._bound:
            self._trim()

    def _trim(self) -> None:
        """Down to three quarters, so that this is done rarely."""
        count, topics = 0, dict[int, int]()
        while count < len(self._entries) and self._size > self._bound * 3 // 4:
            entry = self._entries[count]
            self._size -= len(entry.raw) + ENTRY_COST
            if entry.topic is not None:
                topics[entry.topic] = topics.get(entry.topic, 0) + 1
            count += 1
        self.floor = self._entries[count - 1].seq
        del self._entries[:count]
        for topic, number in topics.items():
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

"""EventCache: the newest committed entries in memory, bounded in bytes.

A reader that keeps up with the journal never reads the disk. Owned by the journal, which adds each commit. Knows
neither the store nor the readers.
"""

from bisect import bisect_right
from collections import deque
from operator import attrgetter

from chatd.journal.batch import ENTRY_COST, Entry, StreamIds

_seq = attrgetter("seq")
_stream_id = attrgetter("stream_id")
BLOCK = 256  # entries that are dropped together, at most


class EventCache:
    """Entries in seq order without a hole: all of them, and by stream id."""

    __slots__ = ("_blocks", "_bound", "_by_stream_id", "_entries", "_size", "floor")

    def __init__(self, floor: int, bound: int) -> None:
        self.floor = floor  # everything above this seq is here
        self._bound = bound
        self._size = 0
        self._entries: list[Entry] = []
        self._blocks: deque[tuple[int, int]] = deque()  # newest seq and bytes of each block of entries
        self._by_stream_id: dict[int, list[Entry]] = {}

    def extend(self, entries: list[Entry]) -> set[int | None]:
        """Add the entries of a commit and drop the oldest; returns the stream ids of the new entries."""
        self._entries += entries
        stream_ids: set[int | None] = set(map(_stream_id, entries))
        if len(stream_ids) == 1 and None not in stream_ids:
            self._by_stream_id.setdefault(entries[0].stream_id or 0, []).extend(entries)
        else:
            for entry in entries:
                if entry.stream_id is not None:
                    self._by_stream_id.setdefault(entry.stream_id, []).append(entry)
        for start in range(0, len(entries), BLOCK):
            block = entries[start : start + BLOCK]
            size = sum([len(entry.raw) for entry in block]) + ENTRY_COST * len(block)
            self._blocks.append((block[-1].seq, size))
            self._size += size
        if self._size > self._bound:
            self._trim()
        return stream_ids

    def _trim(self) -> None:
        """Shrink to three quarters of the bound, so that this happens rarely."""
        before = self.floor
        while self._blocks and self._size > self._bound * 3 // 4:
            self.floor, size = self._blocks.popleft()
            self._size -= size
        stream_ids = set(map(_stream_id, self._entries[: self.floor - before]))
        del self._entries[: self.floor - before]
        for stream_id in stream_ids - {None}:
            kept = self._by_stream_id[stream_id]
            del kept[: bisect_right(kept, self.floor, key=_seq)]
            if not kept:
                del self._by_stream_id[stream_id]

    def after(self, seq: int, stream_id: StreamIds, limit: int) -> list[Entry] | None:
        """At most `limit` entries after that seq; None if the first of them may no longer be in memory."""
        if seq < self.floor:
            return None
        if stream_id is None:
            start = seq - self.floor
            return self._entries[start : start + limit]
        if isinstance(stream_id, int):
            return self._in_stream(stream_id, seq, limit)
        streams = [entries for each in stream_id if (entries := self._in_stream(each, seq, limit))]
        if len(streams) < 2:
            return streams[0] if streams else []
        return sorted([entry for entries in streams for entry in entries], key=_seq)[:limit]

    def at(self, seq: int) -> Entry | None:
        """The entry of that seq; None if it is not in memory."""
        index = seq - self.floor - 1
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def _in_stream(self, stream_id: int, seq: int, limit: int) -> list[Entry]:
        kept = self._by_stream_id.get(stream_id)
        if not kept or kept[-1].seq <= seq:
            return []
        start = bisect_right(kept, seq, key=_seq)
        return kept[start : start + limit]

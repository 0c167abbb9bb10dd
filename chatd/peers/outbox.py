"""Outbox: sequence numbers and sizes of the messages that a native peer has not acknowledged.

A message is in the outbox from its append until it is acknowledged or given up (cancelled, expired, rejected). The
messages themselves are in the journal. Of the messages of previous runs only number and size are known until they are
read from the disk (`learn`), so that a start reads no messages. Owned by `Delivery`.
"""

from array import array
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from chatd.sync import Broadcast

NEVER = (1 << 63) - 1  # above every seq


class NoCapacity(Exception):
    """Nothing was done because there is no capacity: `await wait()`, then repeat the request.

    Repeat it at `until` (trio's clock) in any case.
    """

    def __init__(self, wait: Callable[[], Awaitable[None]], until: float = float("inf")) -> None:
        super().__init__()
        self.wait = wait
        self.until = until


class OutboxTotals:
    """Messages and bytes in all outboxes of a node."""

    __slots__ = ("changed", "messages", "size")

    def __init__(self) -> None:
        self.changed = Broadcast()  # notified when it shrinks
        self.messages = 0
        self.size = 0  # bytes of JSON


_EMPTY: Final = array("q")  # shared by all lanes that never had a message, and never changed: idle peers are many


class Lane:
    """Rising seqs, each with a size. 16 bytes per message; cutting off either end is cheap."""

    __slots__ = ("_head", "_seqs", "_sizes")

    def __init__(self) -> None:
        self._seqs = self._sizes = _EMPTY
        self._head = 0

    @property
    def first(self) -> int:
        """Lowest seq; 0 if empty."""
        return self._seqs[self._head] if self._head < len(self._seqs) else 0

    def add(self, seqs: Iterable[int], sizes: Iterable[int]) -> None:
        """Append seqs that are above all others."""
        self._create_arrays()
        self._seqs.extend(seqs)
        self._sizes.extend(sizes)

    def cut_head(self, through: int) -> tuple[int, int]:
        """Drop everything up to and including that seq; returns the number and the total size."""
        head = self._head
        end = bisect_right(self._seqs, through, lo=head)
        size = sum(self._sizes[head:end])
        self._head = end
        if end * 2 > len(self._seqs):
            del self._seqs[:end], self._sizes[:end]
            self._head = 0
        return end - head, size

    def cut_tail(self, after: int) -> tuple[int, int]:
        """Drop everything above that seq; returns the number and the total size."""
        end = bisect_right(self._seqs, after, lo=self._head)
        count, size = len(self._seqs) - end, sum(self._sizes[end:])
        del self._seqs[end:], self._sizes[end:]
        return count, size

    def between(self, after: int, through: int) -> Sequence[int]:
        """Seqs in (after, through]."""
        start = bisect_right(self._seqs, after, lo=self._head)
        return self._seqs[start : bisect_right(self._seqs, through, lo=start)]

    def remove(self, seq: int) -> int | None:
        """Remove one seq; returns its size, or None if it is not there."""
        index = self._index(seq)
        if index is None:
            return None
        del self._seqs[index]
        return self._sizes.pop(index)

    def insert(self, seq: int, size: int) -> None:
        """Add one seq at its place in the order."""
        self._create_arrays()
        index = bisect_right(self._seqs, seq, lo=self._head)
        self._seqs.insert(index, seq)
        self._sizes.insert(index, size)

    def __contains__(self, seq: int) -> bool:
        return self._index(seq) is not None

    def _create_arrays(self) -> None:
        if self._seqs is _EMPTY:
            self._seqs, self._sizes = array("q"), array("q")

    def _index(self, seq: int) -> int | None:
        index = bisect_right(self._seqs, seq, lo=self._head) - 1
        return index if index >= self._head and self._seqs[index] == seq else None


class Outbox:
    """Messages to one peer that are neither acknowledged nor given up. Owned and changed by its `Delivery`."""

    __slots__ = (
        "_acknowledged",
        "_border",
        "_in_rooms",
        "_new",
        "_old",
        "_totals",
        "_unread",
        "count",
        "learned",
        "size",
    )

    def __init__(self, totals: OutboxTotals) -> None:
        self.count = 0
        self.size = 0  # bytes of JSON
        self.learned = 0  # messages of previous runs are known one by one up to this seq
        self._totals = totals
        self._old = Lane()  # messages of previous runs, as far as they were read
        self._new = Lane()  # messages of this run
        self._border = 0  # last seq of previous runs
        self._acknowledged = 0  # seq up to which the peer has acknowledged
        self._in_rooms = Lane()  # messages of this run that are about rooms; sizes are 0
        self._unread = _Unread(0, 0, 0, 0)

    def _count(self, messages: int, size: int) -> None:
        self.count += messages
        self.size += size
        self._totals.messages += messages
        self._totals.size += size
        if messages < 0:
            self._totals.changed.notify()

    # -- messages of previous runs

    def recall(self, first: int, messages: int, size: int, through: int) -> None:
        """Restore number and size of the messages in [first, through]; `through` is the end of the journal."""
        self._border = through
        self._unread = _Unread(first, messages, size, through)
        self.learned = max(first - 1, 0)
        self._count(messages, size)

    @property
    def has_unread(self) -> bool:
        """Whether some messages of previous runs were not read yet."""
        return self._unread.messages > 0

    def is_unread(self, seq: int) -> bool:
        """Whether that seq is in the range that was not read yet."""
        return self.has_unread and self.learned < seq <= self._unread.through

    def learn(self, through: int, messages: Sequence[tuple[int, int]]) -> None:
        """Add (seq, size) of every message in (`learned`, through] that is neither acknowledged nor given up."""
        unread = self._unread
        messages = [pair for pair in messages if pair[0] <= unread.through and pair[0] not in unread.gone]
        self._old.add([seq for seq, _ in messages], [size for _, size in messages])
        unread.messages -= len(messages)
        unread.size -= sum(size for _, size in messages)
        self.learned = through
        unread.first = through + 1
        if through >= unread.through:
            self._count(-unread.messages, -unread.size)  # nothing, if the numbers were right
            self._unread = _Unread(0, 0, 0, 0)

    # -- changes

    def add(self, seqs: Iterable[int], sizes: Sequence[int], *, in_room: bool = False) -> None:
        """Add messages that were just appended; `in_room`: they are about rooms."""
        self._new.add(seqs, sizes)
        if in_room:
            self._in_rooms.add(seqs, [0] * len(sizes))
        self._count(len(sizes), sum(sizes))

    def revert(self, committed: int) -> None:
        """Drop everything above that seq, because it was not committed."""
        count, size = self._new.cut_tail(committed)
        self._count(-count, -size)
        self._in_rooms.cut_tail(committed)

    def acknowledge(self, through: int) -> bool:
        """The peer has everything up to that seq; returns whether a message left the outbox that is not about rooms."""
        self._acknowledged = max(self._acknowledged, through)
        before, (rooms, _) = self.count, self._in_rooms.cut_head(through)
        for lane in (self._old, self._new):
            count, size = lane.cut_head(through)
            self._count(-count, -size)
        if self._unread.messages and through >= self._unread.through:
            self.learn(self._unread.through, [])
        return before - self.count > rooms

    def remove(self, seq: int, size: int) -> int:
        """Remove a message; returns its size. `size` counts if the message was not read from the disk yet."""
        if self.is_unread(seq):
            self._unread.gone.add(seq)
            self._unread.messages -= 1
            self._unread.size -= size
            known: int | None = size
        else:
            known = (self._old if seq <= self._border else self._new).remove(seq)
        if known is None:
            return size
        self._in_rooms.remove(seq)
        self._count(-1, -known)
        return known

    def restore(self, seq: int, size: int) -> None:
        """Put a message back because its end was not committed, unless the peer has it or was forgotten."""
        if seq <= self._acknowledged:
            return
        if self.is_unread(seq):
            self._unread.gone.discard(seq)
            self._unread.messages += 1
            self._unread.size += size
        else:
            (self._old if seq <= self._border else self._new).insert(seq, size)
        self._count(1, size)

    def clear(self) -> None:
        """Drop everything for good."""
        self._count(-self.count, -self.size)
        self._old, self._new, self._unread = Lane(), Lane(), _Unread(0, 0, 0, 0)
        self._acknowledged = NEVER
        self._in_rooms = Lane()

    # -- views

    @property
    def first(self) -> int:
        """Lowest seq that may be in the outbox; 0 if it is empty."""
        if not self.count:
            return 0
        return self._old.first or (self._unread.first if self._unread.messages else self._new.first)

    def contains(self, seq: int) -> bool:
        """Whether the message is in the outbox. In the unread range: whether it was not given up in this run."""
        if self.is_unread(seq):
            return seq not in self._unread.gone
        return seq in self._old or seq in self._new

    def between(self, after: int, through: int) -> list[int]:
        """Seqs of messages in (after, through], as far as they were read."""
        return [*self._old.between(after, through), *self._new.between(after, through)]


class _Unread:
    """Messages of previous runs in [first, through] that were not read yet: only number and size are known."""

    __slots__ = ("first", "gone", "messages", "size", "through")

    def __init__(self, first: int, messages: int, size: int, through: int) -> None:
        self.first = first
        self.messages = messages
        self.size = size
        self.through = through
        self.gone: set[int] = set()  # seqs given up in this run

"""Outbox: what is owed to one native peer. Numbers only; the messages are in the journal.

Owed is a message that is appended, and neither acknowledged nor given up (cancelled, expired, rejected). What former
runs left is known as a number until somebody reads it from the disk (`learn`), so that a start costs nothing.
"""

from array import array
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence

from chatd.runtime import Broadcast

NEVER = (1 << 63) - 1  # no seq is so high


class NoCapacity(Exception):
    """Nothing was done, and the caller is to be slowed: `await wait()`, then ask for the same again.

    At `until`, on trio's clock, it is to be asked for again in any case.
    """

    def __init__(self, wait: Callable[[], Awaitable[None]], until: float = float("inf")) -> None:
        super().__init__()
        self.wait = wait
        self.until = until


class OutboxTotals:
    """What all outboxes of a node hold together."""

    __slots__ = ("changed", "messages", "size")

    def __init__(self) -> None:
        self.changed = Broadcast()  # it became less
        self.messages = 0
        self.size = 0  # bytes of JSON


class Lane:
    """Rising seqs with the size of each; 16 bytes a message, and cheap to cut at both ends."""

    __slots__ = ("_head", "_seqs", "_sizes")

    def __init__(self) -> None:
        self._seqs = array("q")
        self._sizes = array("q")
        self._head = 0

    @property
    def first(self) -> int:
        """The lowest seq; 0 if there is none."""
        return self._seqs[self._head] if self._head < len(self._seqs) else 0

    def add(self, seqs: Iterable[int], sizes: Iterable[int]) -> None:
        """Behind all others."""
        self._seqs.extend(seqs)
        self._sizes.extend(sizes)

    def cut_head(self, through: int) -> tuple[int, int]:
        """Drop everything up to that seq; how many they were, and their size."""
        head = self._head
        end = bisect_right(self._seqs, through, lo=head)
        size = sum(self._sizes[head:end])
        self._head = end
        if end * 2 > len(self._seqs):
            del self._seqs[:end], self._sizes[:end]
            self._head = 0
        return end - head, size

    def cut_tail(self, after: int) -> tuple[int, int]:
        """Drop everything above that seq."""
        end = bisect_right(self._seqs, after, lo=self._head)
        count, size = len(self._seqs) - end, sum(self._sizes[end:])
        del self._seqs[end:], self._sizes[end:]
        return count, size

    def between(self, after: int, through: int) -> Sequence[int]:
        """The seqs in (after, through]."""
        start = bisect_right(self._seqs, after, lo=self._head)
        return self._seqs[start : bisect_right(self._seqs, through, lo=start)]

    def remove(self, seq: int) -> int | None:
        """Take one out; its size, None if it is not here."""
        place = self._place(seq)
        if place is None:
            return None
        del self._seqs[place]
        return self._sizes.pop(place)

    def insert(self, seq: int, size: int) -> None:
        """Put one (back) in its place."""
        place = bisect_right(self._seqs, seq, lo=self._head)
        self._seqs.insert(place, seq)
        self._sizes.insert(place, size)

    def __contains__(self, seq: int) -> bool:
        return self._place(seq) is not None

    def _place(self, seq: int) -> int | None:
        place = bisect_right(self._seqs, seq, lo=self._head) - 1
        return place if place >= self._head and self._seqs[place] == seq else None


class Outbox:
    """Messages to one peer that are neither acknowledged nor given up. Owned and changed by its `Delivery`."""

    __slots__ = ("_border", "_done", "_in_rooms", "_new", "_old", "_totals", "_unread", "count", "learned", "size")

    def __init__(self, owed: OutboxTotals) -> None:
        self.count = 0
        self.size = 0  # bytes of JSON
        self.learned = 0  # what former runs left is known one by one up to this seq
        self._totals = owed
        self._old, self._new = Lane(), Lane()  # of former runs, as far as it is read; of this one
        self._border = 0  # the last seq of former runs
        self._done = 0  # acknowledged up to there
        self._in_rooms = Lane()  # what of this run is about rooms, without sizes
        self._unread = _Unread(0, 0, 0, 0)

    def _count(self, messages: int, size: int) -> None:
        self.count += messages
        self.size += size
        self._totals.messages += messages
        self._totals.size += size
        if messages < 0:
            self._totals.changed.notify()

    # -- what former runs left

    def recall(self, first: int, messages: int, size: int, through: int) -> None:
        """So much was owed at the start, from `first` on, in a journal that ended at `through`."""
        self._border = through
        self._unread = _Unread(first, messages, size, through)
        self.learned = max(first - 1, 0)
        self._count(messages, size)

    @property
    def has_unread(self) -> bool:
        """Whether there is something of which only the number is known."""
        return self._unread.messages > 0

    def is_unread(self, seq: int) -> bool:
        """Whether that seq lies where only the number is known."""
        return self.has_unread and self.learned < seq <= self._unread.through

    def learn(self, through: int, owed: Sequence[tuple[int, int]]) -> None:
        """Seq and size of everything owed behind `learned` up to there."""
        unread = self._unread
        owed = [pair for pair in owed if pair[0] <= unread.through and pair[0] not in unread.gone]
        self._old.add([seq for seq, _ in owed], [size for _, size in owed])
        unread.messages -= len(owed)
        unread.size -= sum(size for _, size in owed)
        self.learned = through
        unread.first = through + 1
        if through >= unread.through:
            self._count(-unread.messages, -unread.size)  # nothing, if the numbers were right
            self._unread = _Unread(0, 0, 0, 0)

    # -- what changes it

    def add(self, seqs: Iterable[int], sizes: Sequence[int], *, in_room: bool = False) -> None:
        """Messages that were just appended."""
        self._new.add(seqs, sizes)
        if in_room:
            self._in_rooms.add(seqs, [0] * len(sizes))
        self._count(len(sizes), sum(sizes))

    def revert(self, committed: int) -> None:
        """What is above that seq was never committed."""
        count, size = self._new.cut_tail(committed)
        self._count(-count, -size)
        self._in_rooms.cut_tail(committed)

    def acknowledge(self, through: int) -> bool:
        """The peer has everything up to that seq; whether something of that was owed, and not only about rooms."""
        self._done = max(self._done, through)
        before, (rooms, _) = self.count, self._in_rooms.cut_head(through)
        for lane in (self._old, self._new):
            count, size = lane.cut_head(through)
            self._count(-count, -size)
        if self._unread.messages and through >= self._unread.through:
            self.learn(self._unread.through, [])
        return before - self.count > rooms

    def remove(self, seq: int, size: int) -> int:
        """It is not owed any more; gives its size, which is `size` as long as nobody has read it."""
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
        """Giving it up could not be written down. Nothing, if the peer has it, or nothing is owed any more."""
        if seq <= self._done:
            return
        if self.is_unread(seq):
            self._unread.gone.discard(seq)
            self._unread.messages += 1
            self._unread.size += size
        else:
            (self._old if seq <= self._border else self._new).insert(seq, size)
        self._count(1, size)

    def clear(self) -> None:
        """Nothing is owed any more."""
        self._count(-self.count, -self.size)
        self._old, self._new, self._unread = Lane(), Lane(), _Unread(0, 0, 0, 0)
        self._done = NEVER
        self._in_rooms = Lane()

    # -- what it is

    @property
    def first(self) -> int:
        """The lowest seq that may be owed; 0 if none is."""
        if not self.count:
            return 0
        return self._old.first or (self._unread.first if self._unread.messages else self._new.first)

    def contains(self, seq: int) -> bool:
        """Whether that message is owed; for one in the unread part: whether nobody gave it up in this run."""
        if self.is_unread(seq):
            return seq not in self._unread.gone
        return seq in self._old or seq in self._new

    def between(self, after: int, through: int) -> list[int]:
        """What is owed in (after, through], as far as it is read."""
        return [*self._old.between(after, through), *self._new.between(after, through)]


class _Unread:
    """A number of messages of former runs, between two seqs, that nobody has read yet."""

    __slots__ = ("first", "gone", "messages", "size", "through")

    def __init__(self, first: int, messages: int, size: int, through: int) -> None:
        self.first = first
        self.messages = messages
        self.size = size
        self.through = through
        self.gone: set[int] = set()  # given up since

"""Epochs: which positions of this journal exist. Each start of the daemon begins one, at the next seq.

An epoch of which nothing is left in the journal is let go of, except the newest 1,024 of them: who comes back with a
position in one of those is told of a gap. A position in an older one is unknown, as one of another journal is.
"""

from bisect import bisect_right

from chatd.api.errors import ControlError

KEPT = 1024  # epochs of which nothing is left
TRIMMED = 2048  # at once: about 5 ms


class Epochs:
    """The journal's epochs, oldest first, as (first seq, epoch). The last one is the present."""

    __slots__ = ("_before", "_firsts", "_names", "_places")

    def __init__(self, epochs: list[tuple[int, str]]) -> None:
        self._before = 0  # how many were let go of
        self._firsts = [first for first, _ in epochs]
        self._names = [name for _, name in epochs]
        self._places = {name: place for place, name in enumerate(self._names)}

    def of(self, seq: int) -> str:
        """The epoch that a seq is in. The oldest one also counts for all that were let go of."""
        return self._names[max(bisect_right(self._firsts, seq) - 1, 0)]

    def span(self, epoch: str, newest: int) -> tuple[int, int] | None:
        """First and last seq of an epoch (last < first: empty); None if it is not ours. `newest` ends the present."""
        if epoch not in self._places:
            return None
        place = self._places[epoch] - self._before
        last = self._firsts[place + 1] - 1 if place + 1 < len(self._firsts) else newest
        return self._firsts[place] if place else 1, last

    def resolve(self, position: str, newest: int) -> int:
        """The seq of a position; 0 is the one before the journal's first event. Raises ControlError cursor_gone."""
        if position == f"{self._names[0]}:0":
            return 0
        epoch, _, digits = position.partition(":")
        span = self.span(epoch, newest)
        if span and digits.isascii() and digits.isdigit() and len(digits) < 19 and span[0] <= int(digits) <= span[1]:
            return int(digits)
        hint = "start from `start`, `now` or a point in time"
        raise ControlError("cursor_gone", f"position {position!r} is not in this journal", hint)

    def told(self, seq: int) -> tuple[str, int]:
        """A seq as another node knows it that has everything up to there: its epoch, and 0 for one let go of."""
        return self.of(seq), seq if seq >= self._firsts[0] else 0

    # -- letting go

    def oldest_needed(self, seq: int) -> str:
        """The epoch that is to be the oldest, now that nothing is left below `seq`."""
        own = bisect_right(self._firsts, seq) - 1
        return self._names[max(0, min(own - KEPT, TRIMMED))]

    def trim(self, oldest: str) -> None:
        """Let go of those before that one."""
        count = self._places[oldest] - self._before
        for name in self._names[:count]:
            del self._places[name]
        del self._firsts[:count], self._names[:count]
        self._before += count

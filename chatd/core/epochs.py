"""Epochs: which positions of this journal exist. Each start of the daemon begins one, at the next seq."""

from chatd.api.errors import ControlError


class Epochs:
    """The journal's epochs, oldest first, as (first seq, epoch). The last one is the present."""

    __slots__ = ("_all",)

    def __init__(self, epochs: list[tuple[int, str]]) -> None:
        self._all = epochs

    def of(self, seq: int) -> str:
        """The epoch in whose range a seq lies."""
        for first, epoch in reversed(self._all):
            if seq >= first:
                return epoch
        return self._all[0][1]

    def span(self, epoch: str, newest: int) -> tuple[int, int] | None:
        """First and last seq of an epoch (last < first: empty); None if it is not ours. `newest` ends the present."""
        for index, (first, name) in enumerate(self._all):
            if name == epoch:
                return first, self._all[index + 1][0] - 1 if index + 1 < len(self._all) else newest
        return None

    def resolve(self, position: str, newest: int) -> int:
        """The seq of a position; 0 is the one before the journal's first event. Raises ControlError cursor_gone."""
        if position == f"{self._all[0][1]}:0":
            return 0
        epoch, _, digits = position.partition(":")
        span = self.span(epoch, newest)
        if span and digits.isascii() and digits.isdigit() and len(digits) < 19 and span[0] <= int(digits) <= span[1]:
            return int(digits)
        hint = "start from `start`, `now` or a point in time"
        raise ControlError("cursor_gone", f"position {position!r} is not in this journal", hint)

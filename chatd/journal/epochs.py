"""Positions: `EPOCH:SEQ` in this journal, and `NODEID/EPOCH:SEQ` (a global id) in the journal of a certain node.

Each start of the daemon begins an epoch, so that no position is ever used twice. `Epochs` knows which positions of this
journal exist. Retention drops epochs without events, except the newest 1,024 of these: a reader that comes back with a
position in one of them gets a gap. A position in a dropped epoch is unknown, like a position of another journal.
"""

from bisect import bisect_right
from typing import NamedTuple, Self

from chatd.api.errors import ControlError
from chatd.wire.fields import valid_id, valid_node

KEPT = 1024  # epochs without events
TRIMMED = 2048  # epochs in one step: about 5 ms


class Epochs:
    """The epochs of this journal, oldest first, as (first seq, epoch). The last one is the current one."""

    __slots__ = ("_dropped", "_firsts", "_names", "_ordinals")

    def __init__(self, epochs: list[tuple[int, str]]) -> None:
        self._dropped = 0  # count
        self._firsts = [first for first, _ in epochs]
        self._names = [name for _, name in epochs]
        self._ordinals = {name: ordinal for ordinal, name in enumerate(self._names)}  # counts dropped epochs too

    def epoch_of(self, seq: int) -> str:
        """The epoch that contains a seq; for a seq in a dropped epoch, the oldest epoch that is left."""
        return self._names[max(bisect_right(self._firsts, seq) - 1, 0)]

    def span(self, epoch: str, newest: int) -> tuple[int, int] | None:
        """First and last seq of an epoch (last < first: it is empty); None if it is not in this journal.

        `newest` is the newest seq of the journal, where the current epoch ends.
        """
        if epoch not in self._ordinals:
            return None
        index = self._ordinals[epoch] - self._dropped
        last = self._firsts[index + 1] - 1 if index + 1 < len(self._firsts) else newest
        return self._firsts[index] if index else 1, last

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

    def as_watermark(self, seq: int) -> tuple[str, int]:
        """Epoch and seq, for a node that has everything up to and including `seq`. In a dropped epoch, the seq is 0."""
        return self.epoch_of(seq), seq if seq >= self._firsts[0] else 0

    # -- dropping

    def oldest_to_keep(self, seq: int) -> str:
        """The oldest epoch to keep in a journal without events below `seq`; drops a bounded number at a time."""
        index = bisect_right(self._firsts, seq) - 1
        return self._names[max(0, min(index - KEPT, TRIMMED))]

    def drop_before(self, oldest: str) -> None:
        count = self._ordinals[oldest] - self._dropped
        for name in self._names[:count]:
            del self._ordinals[name]
        del self._firsts[:count], self._names[:count]
        self._dropped += count


class GlobalId(NamedTuple):
    """The name of a message on every node: its sender and its position in the sender's journal.

    The node is one that a link has authenticated; no frame contains it.
    """

    node: str
    epoch: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The global id in a text; None if the text is not one."""
        node, _, position = text.partition("/")
        if not valid_node(node) or not valid_id(position):
            return None
        return cls(node, *split_position(position))

    def __str__(self) -> str:
        return f"{self.node}/{self.position}"

    @property
    def position(self) -> str:
        """`EPOCH:SEQ` in the journal of the node."""
        return f"{self.epoch}:{self.seq}"


def split_position(position: str) -> tuple[str, int]:
    """Epoch and seq of a well-formed position."""
    epoch, _, digits = position.partition(":")
    return epoch, int(digits)


def position_part(global_id: str) -> str:
    return global_id.partition("/")[2]

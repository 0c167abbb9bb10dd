"""Tally: how many messages of a range of a peer's journal lie in ours, and how many different ones that are.

Every message that came of the peer behind the first of the range is looked at, step by step; nothing is concluded from
marks or from the order of things: what is to be found out is whether those rules held.
"""

from typing import Final

from chatd.journal.rawjson import POSITION_AND_MORE, parse_position
from chatd.journal.store import Store

SPAN: Final = 1 << 24  # seqs in a range, at most
STEP: Final = 1024  # rows looked at in one turn: two or three milliseconds
PAGE: Final = 1 << 16  # seqs that are remembered together, a bit each
# Only messages come in.
_ROWS = f"""SELECT seq, CASE direction WHEN 'in' THEN {POSITION_AND_MORE} END
           FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"""


class RangeTally:
    """A count under way: of what lies on that topic in (after, through], the messages from `epoch` within the range."""

    def __init__(self, stream_id: int, after: int, through: int, epoch: str, first: int, last: int) -> None:
        self.messages = self.distinct = 0
        self._stream_id = stream_id
        self._after = after
        self._through = through
        self._epoch = epoch.encode()
        self._first, self._last = first, last
        self._seen: dict[int, bytearray] = {}

    def go_on(self, store: Store) -> bool:
        """A step; whether it is over."""
        rows = store.query(_ROWS, self._stream_id, self._after, self._through, STEP)
        epoch, first, last = self._epoch, self._first, self._last
        for _, start in rows:
            if start is None:
                continue
            sent_in, seq = parse_position(start)
            if sent_in == epoch and first <= seq <= last:
                self._count(seq - first)
        self._after = rows[-1][0] if rows else self._through
        return len(rows) < STEP

    def _count(self, number: int) -> None:
        bits = self._seen.get(number // PAGE)
        if bits is None:
            bits = self._seen[number // PAGE] = bytearray(PAGE // 8)
        place, bit = number % PAGE >> 3, 1 << (number & 7)
        self.messages += 1
        if not bits[place] & bit:
            bits[place] |= bit
            self.distinct += 1

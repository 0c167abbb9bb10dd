"""RangeTally: how many messages of a range of a peer's journal are in ours, and how many distinct ones.

It examines every message from the peer after the first one of the range, step by step. It relies neither on watermarks
nor on the order of events, because its caller checks whether those rules held. Called by net/native/queries.py.
"""

from typing import Final

from chatd.journal.rawjson import POSITION_AND_MORE, parse_position
from chatd.journal.store import Store

SPAN: Final = 1 << 24  # seqs in a range, at most
STEP: Final = 1024  # rows examined in one step: two or three milliseconds
PAGE: Final = 1 << 16  # seqs in one bitmap
# Only messages have the direction 'in'.
_ROWS = f"""SELECT seq, CASE direction WHEN 'in' THEN {POSITION_AND_MORE} END
           FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"""


class RangeTally:
    """A count in progress: the messages in (after, through] of a stream that were sent in `epoch`, first to last."""

    def __init__(self, stream_id: int, after: int, through: int, epoch: str, first: int, last: int) -> None:
        self.messages = self.distinct = 0
        self._stream_id = stream_id
        self._after = after
        self._through = through
        self._epoch = epoch.encode()
        self._first, self._last = first, last
        self._seen: dict[int, bytearray] = {}

    def step(self, store: Store) -> bool:
        """Examine some rows; returns whether the count is complete."""
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

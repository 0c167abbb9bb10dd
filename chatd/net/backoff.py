"""Exponential back-off with full jitter, as used by `net/dialer.py`. Computes waits; it does not wait."""

from random import Random
from typing import Final

STABLE_S: Final = 10.0  # a link that was up this long resets the back-off


class Backoff:
    """Seconds between attempts: the ceiling doubles from `least` to `most`; each wait is uniform between 0 and it."""

    __slots__ = ("_ceiling", "_least", "_most", "_random")

    def __init__(self, least: float, most: float, random: Random) -> None:
        self._least, self._most = least, max(least, most)
        self._random = random
        self._ceiling = least

    def next(self) -> float:
        """Seconds to wait before the next attempt; raises the ceiling."""
        wait = self._random.uniform(0, self._ceiling)
        self._ceiling = min(self._ceiling * 2, self._most)
        return wait

    def reset(self) -> None:
        """Return to the lowest ceiling, after success."""
        self._ceiling = self._least

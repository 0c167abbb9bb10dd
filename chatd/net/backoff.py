"""Back-off: how long to wait before dialing again. A value; it neither waits nor knows what for."""

from random import Random
from typing import Final

STABLE_S: Final = 10.0  # a link that lived this long starts the back-off anew


class Backoff:
    """`least` doubling to `most`; each wait is drawn evenly between nothing and that (full jitter)."""

    __slots__ = ("_ceiling", "_least", "_most", "_random")

    def __init__(self, least: float, most: float, random: Random) -> None:
        self._least, self._most = least, max(least, most)
        self._random = random
        self._ceiling = least

    def next(self) -> float:
        """Seconds to wait now."""
        wait = self._random.uniform(0, self._ceiling)
        self._ceiling = min(self._ceiling * 2, self._most)
        return wait

    def reset(self) -> None:
        """It worked: the next wait is a short one."""
        self._ceiling = self._least

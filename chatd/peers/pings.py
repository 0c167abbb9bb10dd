"""Pings: the questions that one link has open, and how long the last answer took. Sends nothing itself."""

from random import Random
from typing import Final

import trio

OPEN: Final = 8  # questions that may be open; an older one is given up


class Pings:
    """Tokens of one link's Pings. Times are trio's clock."""

    __slots__ = ("_due", "_open", "_random", "last_asked")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: list[int] = []
        self._open: dict[int, tuple[float, trio.Event]] = {}
        self.last_asked = 0.0

    def ask(self) -> trio.Event:
        """Have one more Ping sent; the event is set by its Pong."""
        token = self._random.getrandbits(48)
        while len(self._open) >= OPEN:
            del self._open[next(iter(self._open))]
        self.last_asked = trio.current_time()
        event = trio.Event()
        self._open[token] = self.last_asked, event
        self._due.append(token)
        return event

    def take(self) -> list[int]:
        """The tokens to send now."""
        due, self._due = self._due, []
        return due

    def answered(self, token: int) -> float | None:
        """A Pong came: the round trip in milliseconds, None if nobody asked."""
        if token not in self._open:
            return None
        asked, event = self._open.pop(token)
        event.set()
        return round((trio.current_time() - asked) * 1000, 3)

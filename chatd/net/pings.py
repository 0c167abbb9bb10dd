"""Pings: the questions that one link has open, and what answers tell of the way and of clocks. Sends nothing itself."""

from collections.abc import Callable
from random import Random
from typing import Final

import trio

OPEN: Final = 64  # questions that may be open; an older one is given up


class PendingPing:
    """One question: `answered` is set by its Pong, the other fields together with it."""

    __slots__ = ("_at", "_wall", "answered", "clock_s", "rtt_s")

    def __init__(self, wall: float) -> None:
        self._at = trio.current_time()
        self._wall = wall
        self.answered = trio.Event()
        self.rtt_s = 0.0
        self.clock_s: float | None = None  # that the peer's clock is before ours, within half of `rtt_s`

    def settle(self, wall: float, theirs: float) -> None:
        """The Pong came, at that time of our wall clock; `theirs` is that of the peer, 0 if it did not say."""
        self.rtt_s = trio.current_time() - self._at
        self.clock_s = theirs - (self._wall + wall) / 2 if theirs else None  # as NTP does it: RFC 5905, 8
        self.answered.set()


class Pings:
    """Tokens of one link's Pings. Times are trio's clock; `wall` is the wall clock."""

    __slots__ = ("_due", "_open", "_random", "_wall", "last_asked")

    def __init__(self, random: Random, wall: Callable[[], float]) -> None:
        self._random = random
        self._wall = wall
        self._due: list[int] = []
        self._open: dict[int, PendingPing] = {}
        self.last_asked = 0.0

    def ask(self) -> PendingPing:
        """Have one more Ping sent."""
        token = self._random.getrandbits(48)
        while len(self._open) >= OPEN:
            del self._open[next(iter(self._open))]
        self.last_asked = trio.current_time()
        self._open[token] = asked = PendingPing(self._wall())
        self._due.append(token)
        return asked

    def take_due(self) -> list[int]:
        """The tokens to send now."""
        due, self._due = self._due, []
        return due

    def answered(self, token: int, theirs: float = 0.0) -> float | None:
        """A Pong came: the round trip in milliseconds, None if nobody asked."""
        asked = self._open.pop(token, None)
        if asked is None:
            return None
        asked.settle(self._wall(), theirs)
        return round(asked.rtt_s * 1000, 3)

"""Pings of one native link: open tokens, round trips, and the difference between the two clocks.

Sends nothing: `net/native/writer.py` writes the tokens of `take_due`. `PendingPing` is what the control methods `ping`
and `trace` and the topology wait for.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import trio

OPEN: Final = 64  # unanswered Pings; beyond it the oldest is forgotten


class PendingPing:
    """One Ping. Its Pong sets `answered`, `rtt_s` and `clock_s`."""

    __slots__ = ("_at", "_wall", "answered", "clock_s", "rtt_s")

    def __init__(self, wall: float) -> None:
        """`wall` is our wall clock now."""
        self._at = trio.current_time()
        self._wall = wall
        self.answered = trio.Event()
        self.rtt_s = 0.0
        self.clock_s: float | None = None  # seconds that the peer's clock is ahead of ours, within half of `rtt_s`

    def record_pong(self, wall: float, theirs: float) -> None:
        """Record the Pong: `wall` is our clock at its arrival, `theirs` the peer's clock in it (0: unknown)."""
        self.rtt_s = trio.current_time() - self._at
        self.clock_s = theirs - (self._wall + wall) / 2 if theirs else None  # as NTP does it: RFC 5905, 8
        self.answered.set()


class Pings:
    """The open Pings of one link. Times are trio's clock; `wall` reads the wall clock."""

    __slots__ = ("_due", "_open", "_random", "_wall", "last_queued_at")

    def __init__(self, random: Random, wall: Callable[[], float]) -> None:
        self._random = random
        self._wall = wall
        self._due: list[int] = []
        self._open: dict[int, PendingPing] = {}  # by token, oldest first
        self.last_queued_at = 0.0

    def queue(self) -> PendingPing:
        """Queue a Ping for the next write."""
        token = self._random.getrandbits(48)
        while len(self._open) >= OPEN:
            del self._open[next(iter(self._open))]
        self.last_queued_at = trio.current_time()
        self._open[token] = ping = PendingPing(self._wall())
        self._due.append(token)
        return ping

    def take_due(self) -> list[int]:
        """Take the tokens to send now."""
        due, self._due = self._due, []
        return due

    def record_pong(self, token: int, theirs: float = 0.0) -> float | None:
        """Record a Pong; return the round trip in milliseconds, None for an unknown token."""
        ping = self._open.pop(token, None)
        if ping is None:
            return None
        ping.record_pong(self._wall(), theirs)
        return round(ping.rtt_s * 1000, 3)

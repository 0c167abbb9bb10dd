"""Rate limits of plain peers and of room clients.

Used in both directions: input is read at the receive rate, and writes to a program that knows no lines are spread so
that each message arrives in a read of its own. Knows neither messages nor sockets. Called by `net/plain/link.py`,
`net/plain/room_server.py` and `net/roomport/`.
"""

import trio


class Pacer:
    """One unit every `interval_s` seconds on average; after a pause, `burst_s` seconds' worth of units at once.

    Call `wait` before the work and `spend` after it. Work may cost a fraction of a unit, or many.
    """

    __slots__ = ("_burst_s", "_interval_s", "_next")

    def __init__(self, interval_s: float, burst_s: float = 0.0) -> None:
        self._interval_s = interval_s
        self._burst_s = burst_s
        self._next = 0.0  # trio clock: when the units spent so far are paid for

    async def wait(self, at_most_s: float | None = None) -> None:
        """Wait until more may be done, but no longer than `at_most_s` seconds. No checkpoint if that is now."""
        now = trio.current_time()
        until = self._next - self._burst_s
        if at_most_s is not None:
            until = min(until, now + at_most_s)
        if until > now:
            await trio.sleep_until(until)

    def spend(self, units: float = 1.0) -> None:
        """Count work that was done."""
        self._next = max(self._next, trio.current_time()) + units * self._interval_s

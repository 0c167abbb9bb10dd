"""Waker and Broadcast: how tasks wake each other. Both carry no data: the woken task checks the state again.

Used by every layer above; knows no other module of chatd.
"""

import trio


class Waker:
    """An edge-triggered flag for one waiter: `wait` returns at once if `wake` was called since the last `wait`."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def wake(self) -> None:
        """Wake the waiter. Several calls before it runs count as one."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        await self._event.wait()
        self._event = trio.Event()


class Broadcast:
    """Wakes all current waiters, which check their condition again."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    def notify(self) -> None:
        """Wake all current waiters."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()

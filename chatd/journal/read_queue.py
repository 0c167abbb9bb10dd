"""Reads: what waits for its turn at the store. Who asks waits; the journal's task serves one at a time."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio


class _Read:
    __slots__ = ("abandoned", "done", "function", "result", "then")

    def __init__(self, function: Callable[[], Any], then: Callable[[Any], None] | None) -> None:
        self.function = function
        self.then = then
        self.done = trio.Event()
        self.result: Any = None
        self.abandoned = False


class ReadQueue:
    """First come, first served."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[_Read] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def ask(self, function: Callable[[], Any], then: Callable[[Any], None] | None = None) -> Any:
        """Wait for what it gives; one that nobody waits for any more is not done.

        `then` gets it before the next one is served, also if who asked is gone by then.
        """
        read = _Read(function, then)
        self._waiting.append(read)
        try:
            await read.done.wait()
        finally:
            read.abandoned = True
        return read.result

    async def serve(self, run: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        """Do the oldest, by means of `run`; its exceptions come out here, and the one who asked waits on."""
        read = self._waiting.popleft()
        if not read.abandoned:
            read.result = await run(read.function)
            if read.then is not None:
                read.then(read.result)
            read.done.set()

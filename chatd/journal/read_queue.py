"""ReadQueue: functions that wait for their turn to use the store, oldest first.

A caller waits in `ask`; the journal's task calls `serve` for one function at a time. Knows neither store nor threads.
"""

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
    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[_Read] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def ask(self, function: Callable[[], Any], then: Callable[[Any], None] | None = None) -> Any:
        """Wait for the result of `function`. It is not called if its caller is cancelled before its turn.

        `then` gets the result before the next function is served, also if the caller is cancelled by then.
        """
        read = _Read(function, then)
        self._waiting.append(read)
        try:
            await read.done.wait()
        finally:
            read.abandoned = True
        return read.result

    async def serve(self, run: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        """Call the oldest function through `run`. An exception is raised here; the caller keeps waiting."""
        read = self._waiting.popleft()
        if not read.abandoned:
            read.result = await run(read.function)
            if read.then is not None:
                read.then(read.result)
            read.done.set()

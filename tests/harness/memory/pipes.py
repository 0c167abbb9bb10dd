"""Wires and pipes: how bytes travel in the simulated network, and how they get lost.

What goes through a wire arrives later and in order; while the wire is held nothing arrives and nothing is known to be
lost, as with TCP. A pipe is one direction of one connection. What is drawn comes from the Random of the network.
"""

import errno
import os
from collections import deque
from collections.abc import Callable
from random import Random
from weakref import WeakSet

import trio

from chatd.sync import Broadcast

WINDOW = 64 * 1024


class Wire:
    """What lies between two hosts. Delays are seconds, `window` bytes under way in a pipe; `held`: nothing arrives."""

    def __init__(self, random: Random, latency: float = 0.0, jitter: float = 0.0) -> None:
        self.latency = latency
        self.jitter = jitter
        self.fragments = False
        self.window = WINDOW
        self.held = False
        self.moved = Broadcast()
        self.pipes = WeakSet[Pipe]()
        self._random = random

    def delay(self) -> float:
        """How long the next piece takes."""
        return self.latency + (self._random.uniform(0, self.jitter) if self.jitter else 0.0)

    def fragment(self, size: int) -> int:
        """How much of what has arrived one read gets."""
        return self._random.randint(1, size) if self.fragments and self._random.random() < 0.3 else size

    def hold(self, held: bool) -> None:
        """Begin or end a silence."""
        self.held = held
        self.moved.notify()
        for pipe in self.pipes:
            pipe.moved.notify()


class Pipe:
    """One direction of a connection: pieces with the time at which they arrive, and how it ends."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.lost = False  # for ever, and nobody is told
        self.moved = Broadcast()
        self.closing = Broadcast()
        self.size = 0
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._last = 0.0  # when the newest piece arrives
        self._end: tuple[float, int] | None = None  # when, and the errno it ends with (0: in order)
        wire.pipes.add(self)

    # -- the writing end

    @property
    def broken(self) -> int:
        """The errno that a write meets by now; 0: none."""
        if self.lost or self.wire.held or self._end is None:
            return 0
        return self._end[1] if self._end[0] <= trio.current_time() else 0

    async def room(self) -> None:
        """Until a write may have another outcome than before."""
        ends = self._end[0] if self._end is not None else 0.0
        with trio.move_on_at(ends if ends > trio.current_time() else float("inf")):
            await self.moved.wait()

    def put(self, data: bytes) -> int:
        """Take what there is room for; gives how much."""
        data = data[: self.wire.window - self.size]
        if data:
            self._last = max(self._last, trio.current_time() + self.wire.delay())
            self._pieces.append((self._last, data))
            self.size += len(data)
            self.moved.notify()
        return len(data)

    def end(self, code: int = 0) -> None:
        """Nothing follows. With an errno, what has not arrived yet is lost."""
        now = trio.current_time()
        if self._end is not None and (self._end[1] or not code):
            return
        if code:
            self._drop(lambda at: at > now)
            self._last = now
        self._end = (max(self._last, now), code)
        self.moved.notify()
        self.closing.notify()

    def truncate(self, keep: int) -> None:
        """Cut: of what is under way only the first bytes still come, then a reset."""
        kept: deque[tuple[float, bytes]] = deque()
        for at, data in self._pieces:
            if keep > 0:
                kept.append((at, data[:keep]))
            keep -= len(data)
        self._pieces, self.size = kept, sum(len(data) for _, data in kept)
        self._last = kept[-1][0] if kept else trio.current_time()
        self._end = (max(self._last, trio.current_time()), errno.ECONNRESET)
        self.moved.notify()

    def _drop(self, which: Callable[[float], bool]) -> None:
        self._pieces = deque(piece for piece in self._pieces if not which(piece[0]))
        self.size = sum(len(data) for _, data in self._pieces)

    # -- the reading end

    @property
    def unread(self) -> bool:
        """Something has arrived and was not read."""
        return bool(self._pieces) and self._pieces[0][0] <= trio.current_time()

    @property
    def finished(self) -> bool:
        """The other end has closed and all of it arrived."""
        return not self._pieces and self._end is not None and self._end[0] <= trio.current_time()

    def take(self, most: int, *, peek: bool) -> bytes | None:
        """What has arrived; b"" for the end, None while there is nothing. Raises OSError."""
        if self.lost or self.wire.held:
            return None
        now = trio.current_time()
        if self._pieces and self._pieces[0][0] <= now:
            return self._arrived(most, now, peek=peek)
        if self._pieces or self._end is None or self._end[0] > now:
            return None
        if self._end[1]:
            raise OSError(self._end[1], os.strerror(self._end[1]))
        return b""

    def _arrived(self, most: int, now: float, *, peek: bool) -> bytes:
        if peek:
            return self._pieces[0][1][:most]
        ready = sum(len(data) for at, data in self._pieces if at <= now)
        wanted, parts = self.wire.fragment(min(ready, most)), list[bytes]()
        while wanted:
            at, data = self._pieces.popleft()
            if len(data) > wanted:
                self._pieces.appendleft((at, data[wanted:]))
                data = data[:wanted]
            parts.append(data)
            wanted -= len(data)
            self.size -= len(data)
        self.moved.notify()
        return b"".join(parts)

    @property
    def _arrival(self) -> float:
        """When time alone brings something."""
        if self.lost or self.wire.held:
            return float("inf")
        if self._pieces:
            return self._pieces[0][0]
        return self._end[0] if self._end is not None else float("inf")

    async def wait(self) -> None:
        """After a `take` that gave nothing: until there may be something."""
        with trio.move_on_at(self._arrival):
            await self.moved.wait()

    @property
    def ended(self) -> bool:
        """The other end has closed, whether or not everything was read."""
        return self._end is not None

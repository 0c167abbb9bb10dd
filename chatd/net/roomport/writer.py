"""Outlet: the writing end of one plain client of a room port.

What the socket takes is written at once, in the task of whoever has something to say; what it does not take waits
here, within bounds, and a task writes that which exists only as long. So a client that does not read costs the others
nothing, and is cut in the end. Knows bytes and newlines, and nothing of rooms.
"""

import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

import trio

from chatd.config.settings import Config
from chatd.net.pacing import Pacer
from chatd.net.reasons import STALLED, TOO_SLOW, broken

READ_BYTES: Final = 1024  # what programs that know no lines read at once
SMALL_BYTES: Final = 4096  # pieces of less are put together while they wait
PIECES: Final = 64  # in one write

Piece = bytes | bytearray | memoryview


class ClientWriter:
    """What one client is sent, in order.

    `cut` is called, more than once perhaps, with the reason why nothing more can be written. The writing task lives in
    `nursery`; it has ended, and nothing waits, when that ends by itself.
    """

    __slots__ = (
        "_config",
        "_fd",
        "_lines",
        "_nursery",
        "_on_failure",
        "_open",
        "_paced",
        "_pacer",
        "_ready",
        "buffered",
    )

    def __init__(self, fd: int, config: Config, nursery: trio.Nursery, cut: Callable[[str], None]) -> None:
        self.buffered = 0  # bytes
        self._fd = fd
        self._config = config
        self._nursery = nursery
        self._on_failure = cut
        self._open = True
        self._paced = False
        self._ready: deque[Piece] = deque()  # written as soon as the socket takes it
        self._lines: deque[Piece] = deque()  # whole lines for a paced client, behind what is ready
        self._pacer = Pacer(config.plain_pace)

    def write(self, data: bytes) -> None:
        """Write it, behind what waits. For a paced client it is whole lines."""
        if self.buffered or self._paced:
            self._buffer(data)
            return
        try:
            taken = os.write(self._fd, data) if self._open else len(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._fail(broken(error))
            return
        if taken < len(data):
            self._buffer(memoryview(data)[taken:] if taken else data)

    def set_paced(self, paced: bool) -> None:
        """A paced client knows no lines: to it one read is one text. It gets them apart and without their newlines."""
        self._paced = paced
        if not paced:
            self._ready += self._lines
            self._lines.clear()

    def close(self) -> None:
        """Write nothing any more: the descriptor may soon be that of another file. What waits is let go."""
        self._open = False
        self.buffered = 0
        self._ready.clear()
        self._lines.clear()

    # -- what the socket does not take

    def _buffer(self, data: Piece) -> None:
        if not self._open:
            return
        idle, self.buffered = not self.buffered, self.buffered + len(data)
        queue = self._lines if self._paced else self._ready
        last = queue[-1] if queue else None
        if len(data) >= SMALL_BYTES:
            queue.append(data)  # shared with all others that wait for it
        elif isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += data
        else:
            queue.append(bytearray(data))
        if self.buffered > self._config.plain_buffer_bytes:
            self._fail(TOO_SLOW)
        elif idle:
            self._nursery.start_soon(self._drain)

    def _fail(self, reason: str) -> None:
        self.close()
        self._on_failure(reason)

    async def _drain(self) -> None:
        """Write what waits, until nothing does."""
        try:
            while self.buffered and self._open:
                if not self._ready:
                    await self._release_lines()
                    continue
                with trio.fail_after(self._config.plain_stall):
                    await trio.lowlevel.wait_writable(self._fd)
                self._flush()
        except trio.TooSlowError:
            self._fail(STALLED)
        except OSError as error:
            self._fail(broken(error))

    def _flush(self) -> None:
        """Write as much as the socket takes."""
        try:
            taken = os.writev(self._fd, list(islice(self._ready, PIECES)))
        except BlockingIOError:
            return
        self.buffered -= taken
        while taken:
            piece = self._ready[0]
            if taken < len(piece):
                self._ready[0] = memoryview(piece)[taken:]
                return
            taken -= len(piece)
            self._ready.popleft()

    async def _release_lines(self) -> None:
        """Make ready what a paced client is to get with its next read, when it is time for that.

        That is as much as it reads at once; more only where so much waits that it would not keep up.
        """
        await self._pacer.wait()
        self._pacer.spend()
        if not self._lines:  # it has shown meanwhile that it knows lines
            return
        data = b"".join(self._lines)
        end = _end_of_lines(data, max(READ_BYTES, len(data) // 8))
        self._lines.clear()
        if end < len(data):
            self._lines.append(memoryview(data)[end:])
        self._ready.append(memoryview(data)[: end - 1])
        self.buffered -= 1  # the newline


def _end_of_lines(data: bytes, most: int) -> int:
    """Where the last line ends that ends within `most` bytes; at least one line."""
    end = data.rfind(b"\n", 0, most + 1)
    return (end if end >= 0 else data.find(b"\n")) + 1

"""Buffered writing to one plain client of a room port.

As many bytes as the socket accepts are written at once, in the task of the caller. The rest is buffered within limits
and written by a task that exists only while the buffer is not empty. So a client that does not read costs the others
nothing, and is disconnected in the end. Knows bytes and newlines, no rooms. Used by `client.py` and `fanout.py`.
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

READ_BYTES: Final = 1024  # programs that know no lines read this much at once
SMALL_BYTES: Final = 4096  # smaller pieces are joined in the buffer
PIECES: Final = 64  # per write

Piece = bytes | bytearray | memoryview


class ClientWriter:
    """Writes to one client, in order.

    Resource handling: does not own the descriptor; the task runs in `nursery` and ends when the buffer is empty.
    Error handling: `on_failure` is called, possibly more than once, with the reason why nothing more can be written.
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

    def __init__(self, fd: int, config: Config, nursery: trio.Nursery, on_failure: Callable[[str], None]) -> None:
        self.buffered = 0  # in bytes
        self._fd = fd
        self._config = config
        self._nursery = nursery
        self._on_failure = on_failure
        self._open = True
        self._paced = False
        self._ready: deque[Piece] = deque()  # written as soon as the socket accepts it
        self._lines: deque[Piece] = deque()  # whole lines for a paced client, after `_ready`
        self._pacer = Pacer(config.plain_pace)

    def write(self, data: bytes) -> None:
        """Write `data` after everything buffered. For a paced client it must be whole lines."""
        if self.buffered or self._paced:
            self._buffer(data)
            return
        try:
            written = os.write(self._fd, data) if self._open else len(data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._fail(broken(error))
            return
        if written < len(data):
            self._buffer(memoryview(data)[written:] if written else data)

    def set_paced(self, paced: bool) -> None:
        """Switch pacing. For a paced client one read is one text: writes are `plain_pace` apart, without a newline."""
        self._paced = paced
        if not paced:
            self._ready += self._lines
            self._lines.clear()

    def close(self) -> None:
        """Drop the buffer and stop writing: the descriptor may soon be reused for another file."""
        self._open = False
        self.buffered = 0
        self._ready.clear()
        self._lines.clear()

    # -- buffering

    def _buffer(self, data: Piece) -> None:
        if not self._open:
            return
        idle, self.buffered = not self.buffered, self.buffered + len(data)
        queue = self._lines if self._paced else self._ready
        last = queue[-1] if queue else None
        if len(data) >= SMALL_BYTES:
            queue.append(data)  # shared with all clients that buffer it
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
        """Write until the buffer is empty."""
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
        """Write as much as the socket accepts."""
        try:
            written = os.writev(self._fd, list(islice(self._ready, PIECES)))
        except BlockingIOError:
            return
        self.buffered -= written
        while written:
            piece = self._ready[0]
            if written < len(piece):
                self._ready[0] = memoryview(piece)[written:]
                return
            written -= len(piece)
            self._ready.popleft()

    async def _release_lines(self) -> None:
        """Move the lines for the next read of a paced client to `_ready`, when they are due.

        At most READ_BYTES, or an eighth of the buffer if that is more, so that a long buffer does not take forever.
        """
        await self._pacer.wait()
        self._pacer.spend()
        if not self._lines:  # the client is no longer paced
            return
        data = b"".join(self._lines)
        end = _end_of_lines(data, max(READ_BYTES, len(data) // 8))
        self._lines.clear()
        if end < len(data):
            self._lines.append(memoryview(data)[end:])
        self._ready.append(memoryview(data)[: end - 1])
        self.buffered -= 1  # the newline


def _end_of_lines(data: bytes, most: int) -> int:
    """End of the last line within the first `most` bytes; end of the first line if none ends there."""
    end = data.rfind(b"\n", 0, most + 1)
    return (end if end >= 0 else data.find(b"\n")) + 1

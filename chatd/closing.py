"""Parting: how this side ends a connection without taking away what the other side has not read yet.

Closing a socket with unread input resets the connection: the other side may lose the last words, and a plain program
its prompt. So: write the last words, end the writing, drop what still comes until the other side closes, then close.
"""

import contextlib
import socket
from collections.abc import Iterator

import trio

WITHIN_S = 1.0
MOST = 32  # connections that are parted from at a time
MOST_BYTES = 4 << 20  # that are dropped of one connection: a session may have pipelined as much
READ_BYTES = 64 * 1024


class GracefulClose:
    """The connections that one listener is parting from: of too many, the oldest is left at once.

    Resource handling: the caller closes the socket, after `part`. Error handling: nothing comes out of `part`.
    """

    def __init__(self) -> None:
        self._open: dict[trio.CancelScope, None] = {}  # oldest first

    async def shut_down(self, sock: trio.socket.SocketType, last_words: bytes = b"", within: float = WITHIN_S) -> None:
        """Write `last_words`, and wait until the other side has closed: `within` seconds, or MOST_BYTES, at most."""
        with self._place(within), contextlib.suppress(OSError, trio.ClosedResourceError):
            rest = memoryview(last_words)
            while rest:
                rest = rest[await sock.send(rest) :]
            sock.shutdown(socket.SHUT_WR)
            dropped = 0
            while dropped < MOST_BYTES and (data := await sock.recv(READ_BYTES)):
                dropped += len(data)

    @contextlib.contextmanager
    def _place(self, within: float) -> Iterator[None]:
        scope = trio.move_on_after(within)
        self._open[scope] = None
        if len(self._open) > MOST:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        try:
            with scope:
                yield
        finally:
            self._open.pop(scope, None)

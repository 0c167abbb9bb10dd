"""Graceful close: end a connection without losing bytes that the other side has not read yet.

Closing a socket with unread input resets the connection, and the other side may lose our last bytes. So: write the last
bytes, half-close, drop input until the other side closes, then close. Knows no protocol. Used by the peer port, the
room ports and the control socket.
"""

import contextlib
import socket
from collections.abc import Iterator

import trio

WITHIN_S = 1.0
MOST = 32  # connections being closed at a time
MOST_BYTES = 4 << 20  # input to drop from one connection: a session may have pipelined that much
READ_BYTES = 64 * 1024


class GracefulClose:
    """The connections that one listener is closing; over MOST, the oldest is closed at once.

    Resource handling: the caller closes the socket after `shut_down`. Error handling: `shut_down` raises nothing.
    """

    def __init__(self) -> None:
        self._open: dict[trio.CancelScope, None] = {}  # oldest first

    async def shut_down(self, sock: trio.socket.SocketType, last_words: bytes = b"", within: float = WITHIN_S) -> None:
        """Write `last_words`, half-close, wait until the other side closes: at most `within` seconds and MOST_BYTES."""
        with self._limited(within), contextlib.suppress(OSError, trio.ClosedResourceError):
            rest = memoryview(last_words)
            while rest:
                rest = rest[await sock.send(rest) :]
            sock.shutdown(socket.SHUT_WR)
            dropped = 0
            while dropped < MOST_BYTES and (data := await sock.recv(READ_BYTES)):
                dropped += len(data)

    @contextlib.contextmanager
    def _limited(self, within: float) -> Iterator[None]:
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

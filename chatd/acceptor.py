"""The accept loop of the peer port, the room ports and the control socket.

Handles a process without free descriptors: `accept` fails then, and clients would wait in the backlog without an
answer. Spare descriptors are held back to accept and refuse them. Knows nothing about the connections: `OnAccept`
serves or refuses them. `Descriptors` reports a shortage to the log and to `health`.
"""

import contextlib
import errno
import logging
import os
from types import TracebackType
from typing import Protocol, Self

import trio

RETRY_AFTER_S = 0.1
ACCEPT_WITHIN_S = 0.1  # the waiting client may have gone meanwhile
LOG_EVERY_S = 60.0
RECENT_S = 10.0  # a short shortage stays visible to monitors that poll every few seconds
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
HINT = "raise the limit (ulimit -n, LimitNOFILE), or lower max_links and sessions"
log = logging.getLogger("chatd.acceptor")


class OnAccept(Protocol):
    """Serve a connection, or refuse it if `short`: it has a spare descriptor, because no other was free."""

    def __call__(self, stream: trio.SocketStream, /, *, short: bool) -> None: ...


class Descriptors:
    """Reports that this process has no free descriptors: in the log once a minute, and as `problem`."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")
        self._short_at = float("-inf")

    def record_failure(self, error: OSError) -> None:
        """Record that a connection could not be accepted, and log it."""
        now = trio.current_time()
        if error.errno in OUT_OF_DESCRIPTORS:
            self._short_at = now
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            text = "connections cannot be accepted: %(reason)s (%(remedy)s; logged once a minute)"
            log.warning(text, {"reason": _reason(error), "remedy": HINT})

    @property
    def problem(self) -> str | None:
        """The shortage as text, if there is one or was one within RECENT_S; else None."""
        descriptor = _open_spare()
        if descriptor is not None:
            os.close(descriptor)
            if trio.current_time() - self._short_at >= RECENT_S:
                return None
        return f"out of file descriptors: new connections are refused ({HINT})"


class Acceptor:
    """The accept loops of one port or socket, with the spare descriptors that they share.

    Resource handling: a context manager that holds the spares. The caller of `run` closes the listener; `accepted`
    owns the connection. Error handling: `run` raises nothing.
    """

    def __init__(self, descriptors: Descriptors, spares: int) -> None:
        self._descriptors = descriptors
        self._most = spares
        self._spares: list[int] = []
        self._open = False

    def __enter__(self) -> Self:
        self._open = True
        self.refill()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._open = False
        while self._spares:
            os.close(self._spares.pop())

    def refill(self) -> bool:
        """Open missing spares. False if no descriptors are free for them."""
        while self._open and len(self._spares) < self._most:
            descriptor = _open_spare()
            if descriptor is None:
                return False
            self._spares.append(descriptor)
        return True

    def lend_spare(self) -> None:
        """Close one spare so that the caller can open a file in a shortage; call `refill` afterwards."""
        if self._spares:
            os.close(self._spares.pop())

    async def run(self, listener: trio.SocketListener, accepted: OnAccept) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                await self._accept(listener, accepted)
            except trio.ClosedResourceError:
                return

    async def _accept(self, listener: trio.SocketListener, accepted: OnAccept) -> None:
        try:
            stream = await listener.accept()
        except OSError as error:
            self._descriptors.record_failure(error)
            await trio.lowlevel.wait_readable(listener.socket)  # `accept` fails also while no client waits
            await self._accept_if_possible(listener, accepted)
        else:
            accepted(stream, short=False)
            self.refill()

    async def _accept_if_possible(self, listener: trio.SocketListener, accepted: OnAccept) -> None:
        """Accept the waiting client, with a spare descriptor if no other is free by now."""
        for short in (False, True):
            if short and not self._spares:
                break
            if short:
                self.lend_spare()
            with trio.move_on_after(ACCEPT_WITHIN_S), contextlib.suppress(OSError):
                stream = await listener.accept()
                accepted(stream, short=short)
                return
        self.refill()
        await trio.sleep(RETRY_AFTER_S)


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _reason(error: OSError) -> str:
    return "out of file descriptors" if error.errno in OUT_OF_DESCRIPTORS else (error.strerror or str(error)).lower()

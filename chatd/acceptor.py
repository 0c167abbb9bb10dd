"""Acceptor: the one loop in which the peer port, the room ports and the control socket accept connections.

Owns what happens when the process has no free descriptor: `accept` fails then, and clients would wait in the backlog
without an answer. Spare descriptors are held back for that moment. Knows nothing about what is accepted: the caller
serves it, or parts from it. `Descriptors` is what the log and `health` are told about a shortage.
"""

import contextlib
import errno
import logging
import os
from types import TracebackType
from typing import Protocol, Self

import trio

RETRY_AFTER_S = 0.1
ACCEPT_WITHIN_S = 0.1  # a client that was there a moment ago may have gone
TELL_EVERY_S = 60.0
RECENT_S = 10.0  # a shortage that comes and goes shall be seen by a monitor that asks every few seconds
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
HINT = "raise the limit (ulimit -n, LimitNOFILE), or lower max_links and sessions"
log = logging.getLogger("chatd.acceptor")


class OnAccept(Protocol):
    """Start to serve a connection. `short`: it has a spare descriptor, there was no other."""

    def __call__(self, stream: trio.SocketStream, /, *, short: bool) -> None: ...


class Descriptors:
    """Whether this process has free descriptors: logged once a minute while it has none, and told by `problem`."""

    def __init__(self) -> None:
        self._told = float("-inf")
        self._short = float("-inf")

    def ran_out(self, error: OSError) -> None:
        """A connection could not be accepted."""
        now = trio.current_time()
        if error.errno in OUT_OF_DESCRIPTORS:
            self._short = now
        if now - self._told >= TELL_EVERY_S:
            self._told = now
            log.warning("connections cannot be accepted: %s (%s; logged once a minute)", _reason(error), HINT)

    @property
    def problem(self) -> str | None:
        """What is wrong now, or was a few seconds ago."""
        descriptor = _open_spare()
        if descriptor is not None:
            os.close(descriptor)
            if trio.current_time() - self._short >= RECENT_S:
                return None
        return f"out of file descriptors: new connections are refused ({HINT})"


class Acceptor:
    """The accept loops of one port or socket, with the spare descriptors that they share.

    Resource handling: used in a `with`, which holds the spares. The caller of `run` closes the listener, and `take`
    owns what was accepted. Error handling: nothing comes out of `run`.
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
        """Hold back as many spares as there should be. False: there are no descriptors for them."""
        while self._open and len(self._spares) < self._most:
            descriptor = _open_spare()
            if descriptor is None:
                return False
            self._spares.append(descriptor)
        return True

    def lend_spare(self) -> None:
        """Close one spare, so that the caller can open a file in a shortage. Call `refill` after that."""
        if self._spares:
            os.close(self._spares.pop())

    async def run(self, listener: trio.SocketListener, take: OnAccept) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                await self._accept(listener, take)
            except trio.ClosedResourceError:
                return

    async def _accept(self, listener: trio.SocketListener, take: OnAccept) -> None:
        try:
            stream = await listener.accept()
        except OSError as error:
            self._descriptors.ran_out(error)
            await trio.lowlevel.wait_readable(listener.socket)  # `accept` fails also while no client waits
            await self._accept_if_possible(listener, take)
        else:
            take(stream, short=False)
            self.refill()

    async def _accept_if_possible(self, listener: trio.SocketListener, take: OnAccept) -> None:
        """Accept the client that waits, with a descriptor that was held back if there still is no other."""
        for short in (False, True):
            if short and not self._spares:
                break
            if short:
                self.lend_spare()
            with trio.move_on_after(ACCEPT_WITHIN_S), contextlib.suppress(OSError):
                stream = await listener.accept()
                take(stream, short=short)
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

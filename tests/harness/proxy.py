"""A TCP proxy in front of a node, for breaking its links: cut them, stall them, or slow them down."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from tests.harness.places import address_of, dial, listen

PIECE_BYTES = 16384
RST = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to one address. `delay` seconds pass before each piece."""

    def __init__(self, listener: trio.SocketListener, target: str) -> None:
        self.address = address_of(listener)
        self.delay = 0.0
        self.links = 0  # that were ever made
        self.forwarded = 0  # bytes, both directions
        self._target = target
        self._flowing = trio.Event()
        self._flowing.set()
        self._open: set[trio.CancelScope] = set()
        self._changed = trio.Event()

    async def serve(self, theirs: trio.SocketStream) -> None:
        """One connection."""
        try:
            ours = await dial(self._target)
        except OSError:
            _reset(theirs)
            theirs.socket.close()
            return
        self.links += 1
        scope = trio.CancelScope()
        self._open.add(scope)
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, theirs, ours)
                    nursery.start_soon(self._pump, ours, theirs)
        finally:
            self._open.remove(scope)
            for stream in (theirs, ours):
                if scope.cancel_called:
                    _reset(stream)
                stream.socket.close()

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(PIECE_BYTES):
                await self._flowing.wait()
                await trio.sleep(self.delay)
                await sink.send_all(data)
                self.forwarded += len(data)
                self._changed.set()
                self._changed = trio.Event()
            await sink.send_eof()

    async def wait_forwarded(self, more: int) -> None:
        """Until so many more bytes have gone through."""
        goal = self.forwarded + more
        while self.forwarded < goal:
            await self._changed.wait()

    def cut(self) -> None:
        """Reset every connection, with what is on its way."""
        for scope in self._open:
            scope.cancel()

    def stall(self) -> None:
        """Forward nothing more; connections stay open."""
        self._flowing = trio.Event()

    def flow(self) -> None:
        """End `stall`."""
        self._flowing.set()


def _reset(stream: trio.SocketStream) -> None:
    with suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)


@asynccontextmanager
async def proxying(target: str) -> AsyncIterator[Proxy]:
    """A running proxy; at the end its connections are cut."""
    listener = await listen()
    proxy = Proxy(listener, target)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        yield proxy
        nursery.cancel_scope.cancel()

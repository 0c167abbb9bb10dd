"""A network in memory: hosts, and connections that can be delayed, held, cut and lost.

`MemorySocket`, `MemoryStream` and `MemoryListener` are what chatd uses of trio's. All that is drawn comes from one
Random, so a seed is one network.
"""

import errno
import os
import socket
import struct
from collections import deque
from random import Random

import trio

from chatd.sync import Broadcast
from tests.harness.memory.pipes import WINDOW, Pipe, Wire

PEEK = 2  # MSG_PEEK
NO_DESCRIPTOR = 2**31 - 1
NO_LINGER = struct.pack("ii", 1, 0)  # of SO_LINGER: a close is a reset


class MemorySocket:
    """One end of a connection, as much of trio's socket as chatd uses."""

    def __init__(self, inbound: Pipe, outbound: Pipe, here: tuple[str, int], there: tuple[str, int]) -> None:
        self._in, self._out = inbound, outbound
        self._here, self._there = here, there
        self._closed = self._abrupt = False

    def __enter__(self) -> "MemorySocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def getpeername(self) -> tuple[str, int]:
        return self._there

    def getsockname(self) -> tuple[str, int]:
        return self._here

    def fileno(self) -> int:
        """-1 once closed; before, a descriptor that no process has."""
        return -1 if self._closed else NO_DESCRIPTOR

    async def recv(self, most: int, flags: int = 0) -> bytes:
        """Raises OSError, ClosedResourceError."""
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            data = self._in.take(most, peek=bool(flags & PEEK))
            if data is not None:
                return data
            await self._in.wait()

    async def send(self, data: "bytes | bytearray | memoryview") -> int:
        """Raises OSError, ClosedResourceError."""
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            if self._out.broken or self._in.broken:
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            taken = self._out.put(bytes(data))
            if taken or not data:
                return taken
            await self._out.room()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end was closed")

    def setsockopt(self, level: int, option: int, value: "int | bytes") -> None:
        """Only whether a close is a reset means anything here: there are no keepalives and the like."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._abrupt = value == NO_LINGER

    def shutdown(self, how: int) -> None:
        """FIN: of one direction only, that in which this end writes."""
        assert how == socket.SHUT_WR
        self._out.end()

    def close(self) -> None:
        """FIN, or a reset when something was not read. Whoever waits here is told."""
        if self._closed:
            return
        self._closed = True
        self._out.end(errno.ECONNRESET if self._in.unread or self._abrupt else 0)
        self._in.end(errno.ECONNRESET)  # what comes from now on is answered with a reset
        for pipe in (self._in, self._out):
            pipe.moved.notify()

    async def hung_up(self) -> None:
        """Until the other end is closed for good: `unix.Hangups` of this world."""
        while not (self._in.ended and self._out.broken):
            await (self._out if self._in.ended else self._in).closing.wait()


class MemoryStream(trio.abc.HalfCloseableStream):
    """A MemorySocket as a stream, with the errors of `trio.SocketStream`."""

    def __init__(self, socket: MemorySocket) -> None:
        self.socket = socket

    def setsockopt(self, level: int, option: int, value: "int | bytes") -> None:
        self.socket.setsockopt(level, option, value)

    async def send_all(self, data: "bytes | bytearray | memoryview") -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self.socket.send(rest) :]
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self.socket.shutdown(socket.SHUT_WR)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self.socket.recv(max_bytes or WINDOW)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        self.socket.close()
        await trio.lowlevel.checkpoint()


class _Door:
    """The socket of a listener: its address, and `close`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.closed = False
        self.changed = Broadcast()
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        """Who accepts is told."""
        self.closed = True
        self.changed.notify()


class MemoryListener(trio.abc.Listener[MemoryStream]):
    """Where connections come in."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = _Door(address)
        self._waiting: deque[MemoryStream] = deque()

    def offer(self, stream: MemoryStream) -> None:
        """One more connection."""
        self._waiting.append(stream)
        self.socket.changed.notify()

    async def accept(self) -> MemoryStream:
        """Raises ClosedResourceError."""
        await trio.lowlevel.checkpoint()
        while True:
            if self.socket.closed:
                for stream in self._waiting:
                    stream.socket.close()
                raise trio.ClosedResourceError("the listener was closed")
            if self._waiting:
                return self._waiting.popleft()
            await self.socket.changed.wait()

    async def aclose(self) -> None:
        self.socket.close()
        await trio.lowlevel.checkpoint()


class Connection:
    """Both ends of one TCP connection."""

    def __init__(self, wire: Wire, here: tuple[str, int], there: tuple[str, int]) -> None:
        forth, back = Pipe(wire), Pipe(wire)
        self.pipes = (forth, back)
        self.hosts = {here[0], there[0]}
        self.dialed = MemoryStream(MemorySocket(back, forth, here, there))
        self.accepted = MemoryStream(MemorySocket(forth, back, there, here))

    @property
    def is_over(self) -> bool:
        """Nothing goes through it any more."""
        return all(pipe.finished or pipe.lost for pipe in self.pipes)

    def cut(self, random: Random) -> None:
        """A reset for both ends, in the middle of what is under way."""
        for pipe in self.pipes:
            pipe.truncate(random.randint(0, pipe.size))

    def lose(self) -> None:
        """From now on nothing arrives at either end, and neither is told."""
        for pipe in self.pipes:
            pipe.lost = True
            pipe.moved.notify()


class MemoryNetwork:
    """Hosts by address, the wires between them, and every connection."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.connections: list[Connection] = []
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._wires: dict[tuple[str, str], Wire] = {}
        self._ports = 40000

    def wire(self, one: str, other: str) -> Wire:
        """The wire between two hosts."""
        key = (min(one, other), max(one, other))
        if key not in self._wires:
            self._wires[key] = Wire(self.random, latency=0.001)
        return self._wires[key]

    @property
    def wires(self) -> list[Wire]:
        """All that there are."""
        return list(self._wires.values())

    def listen(self, host: str, port: int) -> MemoryListener:
        """Raises OSError."""
        before = self._listeners.get((host, port))
        if before is not None and not before.socket.closed:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._listeners[(host, port)] = listener = MemoryListener((host, port))
        return listener

    async def dial(self, source: str, host: str, port: int) -> MemoryStream:
        """Raises OSError; waits while the wire is held."""
        wire = self.wire(source, host)
        await trio.sleep(wire.delay())
        while wire.held:
            await wire.moved.wait()
        listener = self._listeners.get((host, port))
        if listener is None or listener.socket.closed:
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self._ports += 1
        connection = Connection(wire, (source, self._ports), (host, port))
        self.connections = [*(each for each in self.connections if not each.is_over), connection]
        listener.offer(connection.accepted)
        try:
            await trio.sleep(wire.delay())
        except BaseException:
            connection.dialed.socket.close()
            raise
        return connection.dialed

    def of(self, *hosts: str) -> list[Connection]:
        """Open connections that all of these hosts have a part in."""
        return [each for each in self.connections if each.hosts.issuperset(hosts) and not each.is_over]

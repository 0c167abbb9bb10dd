"""Faulty: a TCP connection that can be made to suffer, as a stream and as a socket, for whoever reads and writes it.

Until the first fault everything goes straight through. From then on there are two tasks, the pumps: one takes out of a
Shaper what has got through and writes it, one reads what comes into another. A connection that is closed while
something is under way, or while it is cut, stays open underneath until that is over: a real network would not tell the
other end at once either. Knows no peers; `net/faults/faults.py` says what a connection suffers.
"""

import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import trio

from chatd.api.results import LinkFaults
from chatd.net.faults.shaper import NOTHING, Meter, Shaper
from chatd.sync import Broadcast

CHUNK: Final = 65536  # bytes of one read or write
LINGER_S: Final = 60.0  # that what is under way gets, once its connection was closed and nothing is cut
FLUSH_S: Final = 0.2  # to hand over what is under way when the node stops
INFINITY: Final = float("inf")
NO_LINGER: Final = struct.pack("ii", 1, 0)  # a close is a reset

Start = Callable[[Callable[[], Awaitable[None]]], None]


class FaultySocket:
    """A connection as a socket. `start` starts a pump; `told` is called when it begins to linger, and when it ends."""

    def __init__(
        self, stream: trio.SocketStream, start: Start, random: Random, told: "Callable[[FaultySocket], None]"
    ) -> None:
        self._stream = stream
        self._sock = stream.socket
        self._start = start
        self._told = told
        self._in, self._out = Shaper(random), Shaper(random)
        self._in_moved, self._out_moved = Broadcast(), Broadcast()
        self._in_error: OSError | None = None
        self._out_error: OSError | None = None
        self.shaped = False  # no more straight through
        self._direct = trio.CancelScope()  # around a read that goes straight through
        self._pumps = trio.CancelScope(), trio.CancelScope()  # in, out
        self._heard_all = self._said_all = False
        self._closed = self._reset = False
        self._gone = trio.Event()

    def getpeername(self) -> tuple[str, int]:
        """The address of the other end."""
        host, port = self._sock.getpeername()[:2]
        return host, port

    def getsockname(self) -> tuple[str, int]:
        """The address of this end."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As on the socket underneath. Raises OSError."""
        self._sock.setsockopt(level, option, value)

    # -- what it suffers

    def impair(self, faults: LinkFaults, out: Meter, in_: Meter) -> None:
        """Suffer that from now on."""
        now = trio.current_time()
        self._out.set(faults.out, out, now)
        self._in.set(faults.in_, in_, now)
        if not self.shaped and not self._closed and (faults.out != NOTHING or faults.in_ != NOTHING):
            self.shaped = True
            self._direct.cancel()
            self._start(self._pump_in)
            self._start(self._pump_out)
        if self._closed:
            self._pumps[1].deadline = self._patience(now)
        self._in_moved.notify()
        self._out_moved.notify()

    def reset(self) -> None:
        """Break it: both ends see a reset."""
        self._reset = True
        try:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        except OSError:
            self._closed = True  # it was broken already
        self.close_now()

    # -- what its owner does

    async def recv(self, most: int, flags: int = 0) -> bytes:
        """What has come; b"" is the end. Raises OSError, ClosedResourceError."""
        while not self.shaped:
            try:
                with trio.CancelScope() as self._direct:
                    return await self._sock.recv(most, flags)
            except (OSError, trio.ClosedResourceError):  # EBADF too: closed between its wake-up and its turn
                self._check()
                raise
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            now = trio.current_time()
            data = self._in.read(now, most, peek=bool(flags & socket.MSG_PEEK))
            if data:
                self._in_moved.notify()
                return data
            if self._in.at_end:
                if self._in_error is not None:
                    raise self._in_error
                return b""
            with trio.move_on_at(self._in.next_at(now)):
                await self._in_moved.wait()

    async def send(self, data: bytes | bytearray | memoryview) -> int:
        """Take some of it, and give how much. Raises OSError, ClosedResourceError."""
        if not self.shaped:
            try:
                return await self._sock.send(data)
            except (OSError, trio.ClosedResourceError):
                self._check()
                raise
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            if self._out_error is not None:
                raise self._out_error
            room = self._out.capacity
            if room or not data:
                self._out.write(bytes(data[:room]), trio.current_time())
                self._out_moved.notify()
                return min(room, len(data))
            await self._out_moved.wait()

    def shutdown(self, how: int) -> None:
        """Write no more: the other end gets to the end, once all else has got through. Raises OSError."""
        if self.shaped:
            self._out.finish(trio.current_time())
            self._out_moved.notify()
        else:
            self._sock.shutdown(how)

    def close(self) -> None:
        """For its owner it is closed. What was written still goes out, and a cut one says nothing to the other end."""
        if self._closed:
            return
        self._closed = True
        now = trio.current_time()
        cut = self._out.is_cut(now) or self._in.is_cut(now)
        if not self.shaped or self._out_error is not None or (self._out.is_empty and not cut):
            self.close_now()
            return
        self._out.finish(now)
        self._pumps[0].cancel()
        self._pumps[1].deadline = self._patience(now)
        self._told(self)
        self._in_moved.notify()
        self._out_moved.notify()

    def _patience(self, now: float) -> float:
        """Until when a closed one is kept: LINGER_S behind the end of what cuts it, if that ends by itself."""
        return max(self._out.opens_at(now), self._in.opens_at(now)) + LINGER_S

    @property
    def lingers(self) -> bool:
        """Closed for its owner, and open underneath."""
        return self._closed and not self._gone.is_set()

    async def wait_closed(self) -> None:
        """Wait until it is closed underneath too."""
        await self._gone.wait()

    def close_now(self) -> None:
        """Close it underneath, whatever is under way."""
        self._closed = True
        for pump in self._pumps:
            pump.cancel()
        if not self._gone.is_set():
            self._gone.set()
            self._sock.close()
            self._told(self)
        self._in_moved.notify()
        self._out_moved.notify()

    def _check(self) -> None:
        if self._reset:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")

    # -- the pumps

    async def _pump_in(self) -> None:
        """Read what comes, while there is room and it is not cut."""
        with self._pumps[0]:
            try:
                while not self._heard_all:
                    await self._read_some()
            except OSError as error:
                self._in_error = error
                self._in.finish(trio.current_time())
                self._in_moved.notify()
            except trio.ClosedResourceError:
                return

    async def _read_some(self) -> None:
        now, room = trio.current_time(), self._in.capacity
        cut = self._in.is_cut(now)
        if cut or not room:
            with trio.move_on_at(self._in.opens_at(now) if cut else INFINITY):
                await self._in_moved.wait()
            return
        data = await self._sock.recv(min(CHUNK, room))  # no deadline: whose link this is has one
        if data:
            self._in.write(data, trio.current_time())
        else:
            self._in.finish(trio.current_time())
            self._heard_all = True
        self._in_moved.notify()

    async def _pump_out(self) -> None:
        """Write what has got through, then the end; at last close, if the owner has."""
        try:
            with self._pumps[1]:
                await self._write_all()
        finally:
            if self._closed or self._out_error is None:
                await self._flush()

    async def _write_all(self) -> None:
        try:
            while not self._is_done(trio.current_time()):
                await self._write_some()
        except (OSError, trio.BrokenResourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            self._out_error = cause if isinstance(cause, OSError) else OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            self._out_moved.notify()
        except trio.ClosedResourceError:
            return

    def _is_done(self, now: float) -> bool:
        """The owner has closed it, and nothing keeps it open any more."""
        return self._closed and self._said_all and not self._in.is_cut(now)

    async def _write_some(self) -> None:
        now = trio.current_time()
        data = self._out.read(now, CHUNK)
        if data:
            self._out_moved.notify()
            await self._write(data)
        elif self._out.at_end and not self._said_all:
            self._said_all = True
            await self._stream.send_eof()
        else:
            waits = self._said_all and self._in.is_cut(now)
            with trio.move_on_at(self._in.opens_at(now) if waits else self._out.next_at(now)):
                await self._out_moved.wait()

    async def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self._sock.send(rest) :]

    async def _flush(self) -> None:
        """The owner has closed it, or the node stops: what is under way goes out now, unless it is cut."""
        if not self._gone.is_set() and self._out_error is None and not self._out.is_cut(trio.current_time()):
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FLUSH_S):
                try:
                    await self._write(self._out.rest())
                except (OSError, trio.ClosedResourceError):
                    self._closed = True
        self.close_now()


class FaultyStream(trio.abc.HalfCloseableStream):
    """The same as a stream, with the errors of `trio.SocketStream`."""

    def __init__(self, stream: trio.SocketStream, sock: FaultySocket) -> None:
        self.socket = sock
        self._stream = stream

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As on the socket underneath."""
        self._stream.setsockopt(level, option, value)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self.socket.send(rest) :]
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        if not self.socket.shaped:
            await self._stream.send_eof()
            return
        await trio.lowlevel.checkpoint()
        self.socket.shutdown(socket.SHUT_WR)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self.socket.recv(max_bytes or CHUNK)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        self.socket.close()
        await trio.lowlevel.checkpoint()

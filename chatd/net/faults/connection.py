"""A TCP connection with faults, as a stream (FaultyStream) and as a socket (FaultySocket).

Until the first fault, reads and writes go straight to the kernel. After that two pump tasks move the bytes: one writes
the output of the outbound Shaper, one reads into the inbound Shaper. A connection that its owner closes while bytes are
in transit, or while it is cut, stays open underneath ("lingers") until they are out: a real network would not tell the
other end at once either. Knows no peers; `net/faults/faults.py` sets the faults.
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
LINGER_S: Final = 60.0  # for bytes in transit after the owner closed, while nothing is cut
FLUSH_S: Final = 0.2  # to write bytes in transit when the node stops
INFINITY: Final = float("inf")
NO_LINGER: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset

Start = Callable[[Callable[[], Awaitable[None]]], None]


class FaultySocket:
    """The connection, with the methods of a trio socket that chatd uses.

    Resource handling: owns the stream; `close_now` and the end of the pumps close it. Error handling: as a trio socket.
    """

    def __init__(
        self, stream: trio.SocketStream, start: Start, random: Random, changed: "Callable[[FaultySocket], None]"
    ) -> None:
        """`start` runs a pump task; `changed` is called when the connection starts to linger and when it has ended."""
        self._stream = stream
        self._sock = stream.socket
        self._start = start
        self._changed = changed
        self._in, self._out = Shaper(random), Shaper(random)
        self._in_moved, self._out_moved = Broadcast(), Broadcast()
        self._in_error: OSError | None = None
        self._out_error: OSError | None = None
        self.shaped = False  # the pumps run: reads and writes go through the shapers
        self._direct = trio.CancelScope()  # around a direct read
        self._pumps = trio.CancelScope(), trio.CancelScope()  # in, out
        self._read_all = self._sent_eof = False
        self._closed = self._reset = False
        self._socket_closed = trio.Event()

    def getpeername(self) -> tuple[str, int]:
        host, port = self._sock.getpeername()[:2]
        return host, port

    def getsockname(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()[:2]
        return host, port

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As on the socket underneath. Raises OSError."""
        self._sock.setsockopt(level, option, value)

    # -- faults

    def impair(self, faults: LinkFaults, out: Meter, in_: Meter) -> None:
        """Apply faults to both directions; the meters count from now."""
        now = trio.current_time()
        self._out.set(faults.out, out, now)
        self._in.set(faults.in_, in_, now)
        if not self.shaped and not self._closed and (faults.out != NOTHING or faults.in_ != NOTHING):
            self.shaped = True
            self._direct.cancel()
            self._start(self._pump_in)
            self._start(self._pump_out)
        if self._closed:
            self._pumps[1].deadline = self._linger_deadline(now)
        self._in_moved.notify()
        self._out_moved.notify()

    def reset(self) -> None:
        """Reset the connection at both ends."""
        self._reset = True
        try:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        except OSError:
            self._closed = True  # broken before
        self.close_now()

    # -- called by the owner

    async def recv(self, most: int, flags: int = 0) -> bytes:
        """Return received bytes; b"" at the end of the stream. Raises OSError, ClosedResourceError."""
        while not self.shaped:
            try:
                with trio.CancelScope() as self._direct:
                    return await self._sock.recv(most, flags)
            except (OSError, trio.ClosedResourceError):  # EBADF too: closed between its wake-up and its turn
                self._raise_if_closed()
                raise
        await trio.lowlevel.checkpoint()
        while True:
            self._raise_if_closed()
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
        """Accept a prefix of the data; return its length. Raises OSError, ClosedResourceError."""
        if not self.shaped:
            try:
                return await self._sock.send(data)
            except (OSError, trio.ClosedResourceError):
                self._raise_if_closed()
                raise
        await trio.lowlevel.checkpoint()
        while True:
            self._raise_if_closed()
            if self._out_error is not None:
                raise self._out_error
            capacity = self._out.capacity
            if capacity or not data:
                self._out.write(bytes(data[:capacity]), trio.current_time())
                self._out_moved.notify()
                return min(capacity, len(data))
            await self._out_moved.wait()

    def shutdown(self, how: int) -> None:
        """End the outbound direction after the bytes written so far. Raises OSError."""
        if self.shaped:
            self._out.finish(trio.current_time())
            self._out_moved.notify()
        else:
            self._sock.shutdown(how)

    def close(self) -> None:
        """Close for the owner. Written bytes still go out; the other end of a cut connection is not told."""
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
        self._pumps[1].deadline = self._linger_deadline(now)
        self._changed(self)
        self._in_moved.notify()
        self._out_moved.notify()

    def _linger_deadline(self, now: float) -> float:
        """When a closed connection stops lingering: LINGER_S after the end of a flap's phase; never during a cut."""
        return max(self._out.opens_at(now), self._in.opens_at(now)) + LINGER_S

    @property
    def lingers(self) -> bool:
        """Whether it is closed for the owner and still open underneath."""
        return self._closed and not self._socket_closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until it is closed underneath."""
        await self._socket_closed.wait()

    def close_now(self) -> None:
        """Close underneath; bytes in transit are lost."""
        self._closed = True
        for pump in self._pumps:
            pump.cancel()
        if not self._socket_closed.is_set():
            self._socket_closed.set()
            self._sock.close()
            self._changed(self)
        self._in_moved.notify()
        self._out_moved.notify()

    def _raise_if_closed(self) -> None:
        if self._reset:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")

    # -- the pumps

    async def _pump_in(self) -> None:
        """Read while the shaper has capacity and no cut is on."""
        with self._pumps[0]:
            try:
                while not self._read_all:
                    await self._read_some()
            except OSError as error:
                self._in_error = error
                self._in.finish(trio.current_time())
                self._in_moved.notify()
            except trio.ClosedResourceError:
                return

    async def _read_some(self) -> None:
        now, capacity = trio.current_time(), self._in.capacity
        cut = self._in.is_cut(now)
        if cut or not capacity:
            with trio.move_on_at(self._in.opens_at(now) if cut else INFINITY):
                await self._in_moved.wait()
            return
        data = await self._sock.recv(min(CHUNK, capacity))  # the owner of the link has the deadline
        if data:
            self._in.write(data, trio.current_time())
        else:
            self._in.finish(trio.current_time())
            self._read_all = True
        self._in_moved.notify()

    async def _pump_out(self) -> None:
        """Write the output of the shaper, then the end of the stream; close once the owner has closed."""
        try:
            with self._pumps[1]:
                await self._write_all()
        finally:
            if self._closed or self._out_error is None:
                await self._flush()

    async def _write_all(self) -> None:
        try:
            while not self._is_written(trio.current_time()):
                await self._write_some()
        except (OSError, trio.BrokenResourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            self._out_error = cause if isinstance(cause, OSError) else OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            self._out_moved.notify()
        except trio.ClosedResourceError:
            return

    def _is_written(self, now: float) -> bool:
        """Whether the owner has closed it, everything is written, and no cut holds it open."""
        return self._closed and self._sent_eof and not self._in.is_cut(now)

    async def _write_some(self) -> None:
        now = trio.current_time()
        data = self._out.read(now, CHUNK)
        if data:
            self._out_moved.notify()
            await self._write(data)
        elif self._out.at_end and not self._sent_eof:
            self._sent_eof = True
            await self._stream.send_eof()
        else:
            is_held_open = self._sent_eof and self._in.is_cut(now)
            with trio.move_on_at(self._in.opens_at(now) if is_held_open else self._out.next_at(now)):
                await self._out_moved.wait()

    async def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self._sock.send(rest) :]

    async def _flush(self) -> None:
        """Write bytes in transit now, unless cut: the owner has closed, or the node stops."""
        if not self._socket_closed.is_set() and self._out_error is None and not self._out.is_cut(trio.current_time()):
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FLUSH_S):
                try:
                    await self._write(self._out.rest())
                except (OSError, trio.ClosedResourceError):
                    self._closed = True
        self.close_now()


class FaultyStream(trio.abc.HalfCloseableStream):
    """The same connection as a stream, with the errors of `trio.SocketStream`."""

    def __init__(self, stream: trio.SocketStream, sock: FaultySocket) -> None:
        self.socket = sock
        self._stream = stream

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
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

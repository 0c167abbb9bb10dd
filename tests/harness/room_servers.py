"""The two room servers of docs/origins.md, with the same behaviour on the wire (measured, not guessed).

One `recv` is one text or one command, and is sent to each other client after the name of its sender. Differences:

- The address room server names the sender as `('IP', PORT): ` and sends nothing on joining. `QUIT` leaves, as a chunk
  of its own. A client that just closes is not noticed: every further `recv` is an empty text, which all others get, as
  fast as possible. A reset ends that.
- The name room server takes the first chunk of a client as its name, and accepts no other client before it has that. It
  answers with a welcome. `*users` and `*exit` must be a chunk of their own, with the newline.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.harness.places import listen

ADDRESS_BYTES = 1024
NAME_BYTES = 2048


class Member:
    """One client of such a server. `chunks`: the result of each `recv`.

    `over`: None while it is served, then "left" (by the command), "gone" (by a bare FIN), "reset" or "thrown out".
    """

    def __init__(self, server: "RoomServer", stream: trio.SocketStream) -> None:
        self.chunks: list[bytes] = []
        self.name = ""
        self.over: str | None = None
        self.closed_first = False  # its FIN arrived before we answered its farewell
        self.address = stream.socket.getpeername()[:2]
        self.stream = stream
        self._server = server

    async def chunk(self, size: int) -> bytes:
        chunk = await self.stream.socket.recv(size)
        if chunk:
            self.chunks.append(chunk)
            self._server.notify()
        return chunk

    async def wait_chunks(self, count: int) -> list[bytes]:
        """Wait for `count` chunks; return all."""
        while len(self.chunks) < count:
            assert self.over is None, f"over ({self.over}) after {self.chunks}"
            await self._server.changed.wait()
        return self.chunks

    async def wait_over(self) -> str:
        """Wait until it is no longer served; return how it ended."""
        while self.over is None:
            await self._server.changed.wait()
        return self.over

    async def write(self, data: bytes) -> None:
        """Write all of it. A client that is gone is ignored."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def throw_out(self) -> None:
        self.end("thrown out")

    def end(self, how: str) -> None:
        if self.over is None:
            self.over = how
        self.stream.socket.close()
        self._server.notify()

    def look_for_fin(self) -> None:
        """Record whether it closed before we did."""
        with socket.fromfd(self.stream.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
            try:
                self.closed_first = not copy.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.closed_first = False


class RoomServer:
    """Base of both servers. The port stays the same when it is stopped and started."""

    def __init__(self) -> None:
        self.members: list[Member] = []  # all clients so far, in the order of their connections
        self.empty_texts = 0  # sent to all others for a client that is just gone
        self.closes = trio.Event()  # a farewell is answered when this is set
        self.closes.set()
        self.changed = trio.Event()
        self.port = 0
        self._scope = trio.CancelScope()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def member(self, number: int = 0) -> Member:
        """Wait for the client with that number, in the order of connections."""
        while len(self.members) <= number:
            await self.changed.wait()
        return self.members[number]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, until `stop`."""
        listener = await listen(self.port)
        self.port = listener.socket.getsockname()[1]
        self._scope = trio.CancelScope()
        try:
            with self._scope:
                async with listener, trio.open_nursery() as nursery:
                    task_status.started()
                    while True:
                        await self.accept(await listener.accept(), nursery)
        finally:
            for member in self.members:
                member.end("gone")

    def stop(self) -> None:
        """Like a killed process."""
        self._scope.cancel()

    async def accept(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        raise NotImplementedError

    def join(self, stream: trio.SocketStream) -> Member:
        self.members.append(Member(self, stream))
        self.notify()
        return self.members[-1]

    async def to_others(self, member: Member, data: bytes) -> None:
        for other in self.members:
            if other is not member and other.over is None:
                await other.write(data)

    async def leaves(self, member: Member) -> None:
        await self.closes.wait()
        member.look_for_fin()
        member.end("left")


class AddressServer(RoomServer):
    """The address room server."""

    async def accept(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._serve, self.join(stream))

    async def _serve(self, member: Member) -> None:
        mark = f"{member.address}: ".encode()
        while True:
            try:
                text = await member.chunk(ADDRESS_BYTES)
            except (OSError, trio.ClosedResourceError):
                return member.end("reset")
            if text == b"QUIT":
                return await self.leaves(member)
            self.empty_texts += not text
            await self.to_others(member, mark + text)


class NameServer(RoomServer):
    """The name room server. `welcomes`: replace it with an unset event to make the newest client wait."""

    def __init__(self) -> None:
        super().__init__()
        self.welcomes = trio.Event()
        self.welcomes.set()

    async def accept(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        member = self.join(stream)
        try:
            member.name = (await member.chunk(NAME_BYTES)).decode()
        except (OSError, trio.ClosedResourceError):
            return member.end("reset")
        await self.welcomes.wait()
        await member.write(f"Welcome to this chatroom, {member.name}! Type '*help' to see more options.".encode())
        nursery.start_soon(self._serve, member)
        return None

    async def _serve(self, member: Member) -> None:
        while True:
            try:
                text = (await member.chunk(NAME_BYTES)).decode()
            except (OSError, trio.ClosedResourceError):
                return member.end("reset")
            if not text:
                return member.end("gone")
            if text == "*exit\n":
                return await self.leaves(member)
            if text == "*users\n":
                await member.write(self._users())
            else:
                await self.to_others(member, f"<{member.name}> {text}".encode())

    def _users(self) -> bytes:
        here = [member.name for member in self.members if member.over is None]
        return "".join(["User List:\n", *(f"[{n}] {name}\n" for n, name in enumerate(here, 1))]).encode()


@asynccontextmanager
async def serving(server: RoomServer) -> AsyncIterator[None]:
    """Run the server during the block; then assert that no client was flooded with empty texts."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield
        server.stop()
    assert server.empty_texts == 0

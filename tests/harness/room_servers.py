"""Room servers that behave on the wire like those of the seeds 003 and 004 (measured, not guessed).

What they have in common: what one `recv` gives is one text or one command, whatever it is glued to, and is written to
each of the others with a mark of who said it. Where they differ:

- 003 (dialect address) marks with `('IP', PORT): `, and sends nothing on joining. `QUIT` leaves, when it is a chunk by
  itself. A client that just closes is not noticed: every further `recv` is an empty text, and all others get it, as
  fast as it goes. A reset ends that.
- 004 (dialect name) takes the first chunk of a client for its name, and accepts nobody else before it has it. It
  answers with a welcome. `*users` and `*exit` have to be a chunk by themselves, with the newline.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

ADDRESS_BYTES = 1024
NAME_BYTES = 2048


class Member:
    """One client of such a server. `chunks` is what each `recv` gave.

    `over` is None while it is served; then "left" (by the command), "gone" (by a bare FIN), "reset" or "thrown out".
    """

    def __init__(self, server: "RoomServer", stream: trio.SocketStream) -> None:
        self.chunks: list[bytes] = []
        self.name = ""
        self.over: str | None = None
        self.closed_first = False  # its FIN was there before we answered its farewell
        self.address = stream.socket.getpeername()[:2]
        self.stream = stream
        self._server = server

    async def chunk(self, size: int) -> bytes:
        """The next one."""
        chunk = await self.stream.socket.recv(size)
        if chunk:
            self.chunks.append(chunk)
            self._server.tell()
        return chunk

    async def wait_chunks(self, count: int) -> list[bytes]:
        """All of them, once there are so many."""
        while len(self.chunks) < count:
            assert self.over is None, f"over ({self.over}) after {self.chunks}"
            await self._server.changed.wait()
        return self.chunks

    async def wait_over(self) -> str:
        """Wait until it is served no longer; says how that came."""
        while self.over is None:
            await self._server.changed.wait()
        return self.over

    async def write(self, data: bytes) -> None:
        """All of it; one that is gone is not told apart."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def throw_out(self) -> None:
        """Hang up on it."""
        self.end("thrown out")

    def end(self, how: str) -> None:
        if self.over is None:
            self.over = how
        self.stream.socket.close()
        self._server.tell()

    def look_for_fin(self) -> None:
        """Whether it closed before we did."""
        with socket.fromfd(self.stream.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
            try:
                self.closed_first = not copy.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.closed_first = False


class RoomServer:
    """What both have. Its port stays the same when it is stopped and started."""

    def __init__(self) -> None:
        self.members: list[Member] = []  # all that ever were, in the order of their coming
        self.empty_texts = 0  # written to everybody for somebody who is just gone
        self.closes = trio.Event()  # a farewell is answered once it is set
        self.closes.set()
        self.changed = trio.Event()
        self.port = 0
        self._scope = trio.CancelScope()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def member(self, number: int = 0) -> Member:
        """The one who came after so many others, once it is there."""
        while len(self.members) <= number:
            await self.changed.wait()
        return self.members[number]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, until `stop`."""
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
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
        """The process is killed."""
        self._scope.cancel()

    async def accept(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        """Make a member of it."""
        raise NotImplementedError

    def join(self, stream: trio.SocketStream) -> Member:
        self.members.append(Member(self, stream))
        self.tell()
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
    """Seed 003."""

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
    """Seed 004. `welcomes`: set it later to have the newest client wait."""

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
    """The server runs as long as the block; then nobody has ever been flooded."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield
        server.stop()
    assert server.empty_texts == 0

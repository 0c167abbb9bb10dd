"""The chat programs of docs/origins.md, with the same behaviour on the wire (measured, not guessed).

The peer programs send raw UTF-8 without a newline or handshake, and one `recv(1024)` is one message. Runs of spaces
collapse when they send. Their `terminate` sends no FIN: both ends stay connected until we write, and they show what we
write before they close. Differences:

- The close-text peer sends the text `Close Connection` when it terminates, and closes when it receives it. A character
  across the end of a read makes it deaf: its reader ends, the connection stays. After a reset it keeps a dead entry,
  and its next `send` crashes it.
- The 100-character peer sends at most 100 characters.
- The 100-character and the counting peer hang up at a character across the end of a read.

`RoomProgram` is the client of the two room servers; it is a member of a room, not a peer.
"""

from typing import ClassVar, Literal, Self

import trio

from tests.harness.places import dial, listen

Variant = Literal["close-text", "100-character", "counting"]
RoomVariant = Literal["address", "name"]

RECV_BYTES = 1024
CLOSE_TEXT = "Close Connection"


class ProgramCrashed(Exception):
    """The real program would have ended with a traceback here."""


class PeerProgram:
    """One connection of a peer program. `received`: what it would have shown, one entry per read.

    `over`: None while it is connected, then "eof" (the other side closed), "closed" (it closed) or "reset".
    """

    def __init__(self, stream: trio.SocketStream, variant: Variant = "close-text") -> None:
        self.received: list[str] = []
        self.variant = variant
        self.deaf = False
        self.terminated = False
        self.over: str | None = None
        self._sock = stream.socket
        self._changed = trio.Event()

    @classmethod
    async def connect(cls, nursery: trio.Nursery, host: str, port: int, variant: Variant = "close-text") -> Self:
        """`connect HOST PORT` at its prompt."""
        peer = cls(await dial(f"{host}:{port}"), variant)
        nursery.start_soon(peer.read)
        return peer

    @staticmethod
    async def listen(variant: Variant = "close-text", host: str = "127.0.0.1", port: int = 0) -> "PeerProgramListener":
        """Listen as the program does; call `accept` for each connection."""
        listener = await listen(port)
        return PeerProgramListener(listener, variant)

    async def send(self, text: str) -> None:
        """`send ID TEXT` at its prompt: the words, joined with one space, in one write."""
        if self.over == "reset" and self.variant == "close-text":
            raise ProgramCrashed("send on a dead entry")
        text = " ".join(text.split())
        if self.variant == "100-character" and len(text) > 100:
            raise ValueError("the 100-character peer says: the message must not exceed 100 characters")
        await self.send_raw(text.encode())

    async def send_raw(self, data: bytes) -> None:
        """Bytes that the program itself would not send."""
        while data:
            data = data[await self._sock.send(data) :]

    async def terminate(self) -> None:
        """`terminate ID` at its prompt: gone from its list, and still connected."""
        self.terminated = True
        if self.variant == "close-text":
            await self.send(CLOSE_TEXT)

    async def wait_received(self, count: int) -> list[str]:
        """Wait for `count` messages and return them."""
        while len(self.received) < count:
            assert self.over is None, f"over ({self.over}) after {self.received}"
            await self._changed.wait()
        return self.received[:count]

    async def wait_over(self) -> str:
        """Wait until it is no longer connected; return how it ended."""
        while self.over is None:
            await self._changed.wait()
        return self.over

    async def read(self) -> None:
        """The reader thread of the program."""
        while self.over is None and not self.deaf:
            try:
                data = await self._sock.recv(RECV_BYTES)
            except ConnectionResetError:
                self._end("reset")
            except trio.ClosedResourceError:
                return
            else:
                self._take(data)
            self._tell()

    def vanish(self) -> None:
        """`exit`, or a process that was killed: the kernel closes, with an RST where something was unread."""
        self._end("closed")
        self._tell()

    def _take(self, data: bytes) -> None:
        if not data:
            self._end("eof")
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            if self.variant == "close-text":
                self.deaf = True
            else:
                self._end("closed")
            return
        if text == CLOSE_TEXT and self.variant == "close-text":
            self._end("eof")
            return
        self.received.append(text)
        if self.terminated:
            self._end("closed")

    def _end(self, how: str) -> None:
        if self.over is None:
            self.over = how
            self._sock.close()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class PeerProgramListener:
    """Listening side of a peer program."""

    def __init__(self, listener: trio.SocketListener, variant: Variant) -> None:
        self.port: int = listener.socket.getsockname()[1]
        self._listener = listener
        self._variant = variant

    async def accept(self, nursery: trio.Nursery) -> PeerProgram:
        peer = PeerProgram(await self._listener.accept(), self._variant)
        nursery.start_soon(peer.read)
        return peer

    async def aclose(self) -> None:
        await self._listener.aclose()


class RoomProgram:
    """Client program of the address or of the name room server.

    Both read in a thread and ignore the end: after an unexpected FIN they loop for ever. A reset ends them with an
    error. `received`: one entry per read. `over`: "eof" (after they left by themselves), "spins" or "reset".
    """

    RECV_BYTES: ClassVar = {"address": 1024, "name": 2048}

    def __init__(self, stream: trio.SocketStream, variant: RoomVariant) -> None:
        self.received: list[bytes] = []
        self.variant = variant
        self.over: str | None = None
        self.address = "{}:{}".format(*stream.socket.getsockname()[:2])
        self._sock = stream.socket
        self._leaving = False
        self._changed = trio.Event()

    @classmethod
    async def connect(cls, nursery: trio.Nursery, address: str, name: str | None = None) -> Self:
        """`CONNECT` at the prompt of the address client, or, with a name, the start of the name client."""
        host, _, port = address.rpartition(":")
        client = cls(await dial(f"{host}:{port}"), "address" if name is None else "name")
        if name is not None:
            await client.send_raw(name.encode())
        nursery.start_soon(client.read)
        return client

    async def say(self, text: str) -> None:
        """`SEND text` at the prompt of the address client; a line at the prompt of the name client."""
        await self.send_raw(text.encode() if self.variant == "address" else text.encode() + b"\n")

    async def leave(self) -> str:
        """Send `QUIT` alone, or `*exit`; return how the connection ended."""
        self._leaving = True
        await self.say("QUIT" if self.variant == "address" else "*exit")
        return await self.wait_over()

    async def send_raw(self, data: bytes) -> None:
        """Bytes that the program itself would not send."""
        while data:
            data = data[await self._sock.send(data) :]

    async def wait_received(self, count: int) -> list[bytes]:
        """Wait for `count` reads and return them."""
        while len(self.received) < count:
            assert self.over is None, f"over ({self.over}) after {self.received}"
            await self._changed.wait()
        return self.received[:count]

    async def wait_bytes(self, expected: bytes) -> None:
        """Wait until exactly these bytes have arrived, in any number of reads."""
        while len(b"".join(self.received)) < len(expected) and self.over is None:
            await self._changed.wait()
        assert b"".join(self.received) == expected

    async def wait_over(self) -> str:
        """Wait until it is no longer connected; return how it ended."""
        while self.over is None:
            await self._changed.wait()
        return self.over

    async def read(self) -> None:
        """The reader thread of the program."""
        while self.over is None:
            try:
                data = await self._sock.recv(self.RECV_BYTES[self.variant])
            except ConnectionResetError:
                self._end("reset")
            except trio.ClosedResourceError:
                return
            else:
                if data:
                    self.received.append(data)
                else:
                    self._end("eof" if self._leaving else "spins")
            self._changed.set()
            self._changed = trio.Event()

    def vanish(self) -> None:
        """A process that was killed: the kernel closes, with an RST where something was unread."""
        self._end("closed")

    def _end(self, how: str) -> None:
        if self.over is None:
            self.over = how
            self._sock.close()

"""Peers that behave on the wire exactly like the seed programs 000, 001 and 002 (measured, not guessed).

What they have in common: raw UTF-8 without a newline or handshake, and one `recv(1024)` is one message. Runs of
spaces collapse when they send. Their `terminate` sends no FIN: both ends stay connected until we write, and what we
write is still shown before they close. Where they differ:

- 000 sends the text `Close Connection` when it terminates, and closes when it is sent that. A character that lies
  across the end of a read makes it deaf: its reader dies, the connection stays. After a reset it keeps a dead entry,
  and its next `send` crashes it.
- 001 sends at most 100 characters.
- 001 and 002 hang up at such a character.

Below them the clients of 003 and 004, which are no peers but members of a room on a server.
"""

from typing import ClassVar, Literal, Self

import trio

Variant = Literal["close-text", "100-character", "counting"]
RoomVariant = Literal["address", "name"]

RECV_BYTES = 1024
CLOSE_TEXT = "Close Connection"


class ProgramCrashed(Exception):
    """The real program would have ended with a traceback here."""


class PeerProgram:
    """One connection of a seed program. `received` is what it would have shown, one entry for each read.

    `over` is None while it is connected, then "eof" (it was hung up on), "closed" (it hung up) or "reset".
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
        peer = cls(await trio.open_tcp_stream(host, port), variant)
        nursery.start_soon(peer.read)
        return peer

    @staticmethod
    async def listen(variant: Variant = "close-text", host: str = "127.0.0.1", port: int = 0) -> "PeerProgramListener":
        """The listener that each of them has; here it is asked for each connection."""
        (listener,) = await trio.open_tcp_listeners(port, host=host)
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
        """The first `count` messages, once they are there."""
        while len(self.received) < count:
            assert self.over is None, f"over ({self.over}) after {self.received}"
            await self._changed.wait()
        return self.received[:count]

    async def wait_over(self) -> str:
        """Wait until it is no longer connected; says how that came."""
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
    """The listening side of a seed program."""

    def __init__(self, listener: trio.SocketListener, variant: Variant) -> None:
        self.port: int = listener.socket.getsockname()[1]
        self._listener = listener
        self._variant = variant

    async def accept(self, nursery: trio.Nursery) -> PeerProgram:
        """The next connection."""
        peer = PeerProgram(await self._listener.accept(), self._variant)
        nursery.start_soon(peer.read)
        return peer

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()


class RoomProgram:
    """A client of a room server: that of seed 003 (no names) or of seed 004 (its name comes first).

    Both read in a thread and never look for the end: after a FIN that they did not ask for they spin for ever. A reset
    ends them with an error. `received` has one entry for each read; `over` is "eof" (after they left by themselves),
    "spins" or "reset".
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
        """`CONNECT` at the prompt of a 003, or the start of a 004 with that name."""
        host, _, port = address.rpartition(":")
        client = cls(await trio.open_tcp_stream(host, int(port)), "address" if name is None else "name")
        if name is not None:
            await client.send_raw(name.encode())
        nursery.start_soon(client.read)
        return client

    async def say(self, text: str) -> None:
        """`SEND text` at the prompt of a 003; a line at that of a 004."""
        await self.send_raw(text.encode() if self.variant == "address" else text.encode() + b"\n")

    async def leave(self) -> str:
        """`QUIT`, alone, or `*exit`; says how it ended then."""
        self._leaving = True
        await self.say("QUIT" if self.variant == "address" else "*exit")
        return await self.wait_over()

    async def send_raw(self, data: bytes) -> None:
        """Bytes that the program itself would not send."""
        while data:
            data = data[await self._sock.send(data) :]

    async def wait_received(self, count: int) -> list[bytes]:
        """The first `count` reads, once they are there."""
        while len(self.received) < count:
            assert self.over is None, f"over ({self.over}) after {self.received}"
            await self._changed.wait()
        return self.received[:count]

    async def wait_bytes(self, expected: bytes) -> None:
        """Wait until that is exactly what came, in however many reads."""
        while len(b"".join(self.received)) < len(expected) and self.over is None:
            await self._changed.wait()
        assert b"".join(self.received) == expected

    async def wait_over(self) -> str:
        """Wait until it is no longer connected; says how that came."""
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

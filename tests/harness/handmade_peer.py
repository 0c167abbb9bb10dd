"""A native peer by hand: real TLS with an identity of its own, and exactly the frames (or bytes) that a test says."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import trio

from chatd.net.native.handshake import as_acceptor
from chatd.net.native.link import NativeLink
from chatd.node import Node
from chatd.peers.identity import Identity
from chatd.wire.codec import Decoder, encode_many
from chatd.wire.frames import Frame, Hello, Resume
from tests.harness.connections import in_memory
from tests.harness.memory.identities import identity_of
from tests.harness.places import dial

F = TypeVar("F", bound=Frame)
EPOCH = "handmade"
RECEIVE_BYTES = 65536
_NUMBERS = WeakKeyDictionary[trio.lowlevel.TrioToken, Iterator[int]]()  # of the next identity, by run


def new_identity() -> Identity:
    """One that no node of this run has seen before; the first of each run is the same, since making one takes long."""
    numbers = _NUMBERS.setdefault(trio.lowlevel.current_trio_token(), count())
    return identity_of(f"handmade {next(numbers)}")


def hello(**changes: Any) -> Hello:
    """A good one, for a `connect`."""
    usual = Hello(1, "handmade", EPOCH, None, 0, "connect", 16384, 0, 65536)
    return msgspec.structs.replace(usual, **changes)


class Handmade:
    """One connection, from the side of the peer. `next` gives None at the end."""

    def __init__(self, stream: "trio.SSLStream[trio.SocketStream]", node: str) -> None:
        self.stream = stream
        self.node = node
        self.frames: list[Frame] = []
        self.resumed: Resume | None = None  # where they said they go on, as far as a test has looked
        self._decoder = Decoder()
        self._ended = False

    @classmethod
    async def over(cls, stream: trio.SocketStream, identity: Identity, *, server_side: bool = False) -> "Handmade":
        """TLS on an open connection."""
        context = identity.server_context if server_side else identity.client_context
        tls = trio.SSLStream(stream, context, server_side=server_side, https_compatible=False)
        try:
            await tls.do_handshake()
        except BaseException:
            stream.socket.close()
            raise
        return cls(tls, identity.node)

    @classmethod
    async def dial(cls, address: str, identity: Identity | None = None) -> "Handmade":
        """Connect, TLS and no more."""
        return await cls.over(await dial(address), identity or new_identity())

    @classmethod
    async def linked(cls, address: str, identity: Identity | None = None, **changes: Any) -> "Handmade":
        """Connect, say a good Hello and Resume, and wait for theirs."""
        peer = await cls.dial(address, identity)
        await peer.greet(**changes)
        return peer

    async def greet(self, **changes: Any) -> None:
        """Say a good Hello and Resume, and wait for theirs."""
        said = hello(**changes)
        await self.send(said)
        await self.until(Hello)
        await self.send(Resume(said.epoch, 0))
        await self.until(Resume)

    async def send(self, *frames: Frame) -> None:
        """In one write."""
        await self.stream.send_all(encode_many(frames))

    async def send_raw(self, data: bytes) -> None:
        """Bytes inside of TLS."""
        await self.stream.send_all(data)

    async def next(self) -> Frame | None:
        """The next frame; None once they have closed, or reset."""
        while not self.frames and not self._ended:
            try:
                data = await self.stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if data:
                self.frames = self._decoder.receive(data)
            self._ended = not data
        return self.frames.pop(0) if self.frames else None

    async def until(self, kind: type[F]) -> F:
        """The next frame of that kind."""
        while True:
            frame = await self.next()
            assert frame is not None, f"the end came before {kind.__name__}"
            if isinstance(frame, kind):
                return frame

    async def rest(self) -> list[Frame]:
        """Everything up to the end."""
        found = []
        while (frame := await self.next()) is not None:
            found.append(frame)
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Without a word."""
        await trio.aclose_forcefully(self.stream)


@asynccontextmanager
async def linked(
    node: Node, *frames: Frame, identity: Identity | None = None, **changes: object
) -> AsyncIterator[tuple[Handmade, NativeLink]]:
    """A running link over a connection in memory, accepted from a peer that has said Hello and those frames."""
    ours, theirs = in_memory()
    made: list[NativeLink] = []

    async def accept() -> None:
        established = await as_acceptor(node.handshake_parts, ours, "127.0.0.1:50000")
        made.append(NativeLink(node.link_parts, established, direction="in", address="127.0.0.1:50000"))
        node.links.attach(established.peer, made[0])
        await node.links.serve(established.peer, made[0], made[0].run)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        async with await Handmade.over(theirs, identity or new_identity()) as peer:
            await peer.send(hello(**changes))
            await peer.until(Hello)
            peer.resumed = await peer.until(Resume)
            await peer.send(*frames)
            yield peer, made[0]
    assert made[0].reason is not None
    ours.socket.close()

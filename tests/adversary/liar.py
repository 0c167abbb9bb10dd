"""A liar: a node with a key of its own that speaks the protocol correctly and says what is not true.

Each connection is a `Line`. It answers pings and acknowledges what it gets in the background, so that the link stays
up while a test sends its lies. `Liar` keeps the identity, so that one liar may have several lines and come back.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from chatd.peers.identity import Identity
from chatd.wire.frames import (
    AckFrame,
    Frame,
    Happened,
    Hello,
    Missing,
    PingFrame,
    PongFrame,
    Refused,
    Resume,
    Rooms,
    Roster,
    Said,
    Say,
    Text,
)
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import LiveNode
from tests.harness.places import address_of, listen

F = TypeVar("F", bound=Frame)
ORDERED = (Text, Say, Said, Happened, Refused, Missing)
EPOCH = "mallory2"
TOKEN = 4242  # of the pings by which a line learns that everything before was taken


class Line:
    """One connection of a liar. `frames` is everything that came and was not asked for yet, in order."""

    def __init__(self, liar: "Liar", hand: Handmade) -> None:
        self.liar = liar
        self.frames: list[Frame] = []
        self.ended = False
        self.acknowledges = True
        self.answers: dict[type[Frame], Callable[[Any], Sequence[Frame]]] = {}  # to questions, by kind
        self._hand = hand
        self._pongs = 0
        self._writing = trio.Lock()
        self._changed = trio.Event()

    async def serve(self) -> None:
        """Read until the end, and answer what an honest node would answer."""
        try:
            while (frame := await self._hand.next()) is not None:
                if isinstance(frame, PongFrame):
                    self._pongs += frame.token == TOKEN
                else:
                    self.frames.append(frame)
                self._tell()
                await self._answer(frame)
        finally:
            self.ended = True
            self._tell()
            self._hand.stream.transport_stream.socket.close()

    async def _answer(self, frame: Frame) -> None:
        answers: list[Frame] = []
        if isinstance(frame, PingFrame):
            answers.append(PongFrame(frame.token))
        elif isinstance(frame, Rooms):
            answers += [self.liar.roster(room, nick) for room, nick, _ in frame.rooms if room in self.liar.hosts]
        elif isinstance(frame, ORDERED) and self.acknowledges:
            answers.append(AckFrame(frame.epoch, frame.seq))
        elif type(frame) in self.answers:
            answers += self.answers[type(frame)](frame)
        if answers:
            await self._send(*answers)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _send(self, *frames: Frame) -> None:
        try:
            async with self._writing:
                await self._hand.send(*frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # `serve` comes to the end too

    async def say(self, *frames: Frame) -> None:
        """Send frames and wait until the node has taken them, or has ended the link."""
        pongs = self._pongs
        await self._send(*frames, PingFrame(TOKEN))
        while self._pongs == pongs and not self.ended:
            await self._changed.wait()

    async def join(self, room: str, nick: str) -> Roster:
        """Be in a room of the node, as any member would."""
        self.liar.seq += 1
        await self.say(Rooms(self.liar.seq, [(room, nick, True)]))
        return await self.until(Roster, room=room)

    async def until(self, kind: type[F], **match: object) -> F:
        """The first frame of that kind with these fields; the ones before it are dropped."""
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if isinstance(frame, kind) and all(getattr(frame, name) == value for name, value in match.items()):
                    return frame
            assert not self.ended, f"the end came before {kind.__name__}"
            await self._changed.wait()

    async def over(self) -> None:
        """Wait until the node has ended the link."""
        while not self.ended:
            await self._changed.wait()

    async def close(self) -> None:
        """End it without a word."""
        await self._hand.close()


class Liar:
    """A node that lies. `hosts` are its rooms: whoever asks to be in one is in it."""

    def __init__(self, nursery: trio.Nursery, name: str = "mallory", epoch: str = EPOCH) -> None:
        self.name = name
        self.epoch = epoch
        self.identity: Identity = new_identity()
        self.hosts: set[str] = set()
        self.seq = 100  # of its journal, so far
        self._nursery = nursery

    @property
    def id(self) -> str:
        """Its node id."""
        return self.identity.node

    def new_key(self) -> None:
        """It goes on with the same journal, as another node."""
        self.identity = new_identity()

    def next(self, count: int = 1) -> int:
        """The last of so many new seqs of its journal."""
        self.seq += count
        return self.seq

    def roster(self, room: str, nick: str) -> Roster:
        """Its answer to a node that wants to be in a room of its own."""
        return Roster(room, nick, "", 1, [(nick, None, True)], False)

    async def dial(self, node: LiveNode, *, resume: tuple[str, int] | None = None, **changes: Any) -> Line:
        """A line to a node; `changes` are of the Hello, `resume` is the position that it says it goes on after."""
        hand = await Handmade.dial(node.address, self.identity)
        said = hello(**{"name": self.name, "epoch": self.epoch} | changes)
        await hand.send(said)
        await hand.until(Hello)
        await hand.send(Resume(*(resume or (said.epoch, 0))))
        line = Line(self, hand)
        self._nursery.start_soon(line.serve)
        await line.say()
        return line

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[tuple[str, list[Line]]]:
        """A port at which it answers (0: a free one): its address, and the lines that came in there."""
        lines: list[Line] = []

        async def accept(stream: trio.SocketStream) -> None:
            hand = await Handmade.over(stream, self.identity, server_side=True)
            await hand.until(Hello)
            await hand.send(hello(name=self.name, epoch=self.epoch, dial="answer"), Resume(self.epoch, 0))
            line = Line(self, hand)
            lines.append(line)
            await line.serve()

        async with trio.open_nursery() as nursery:
            listener = await listen(port)
            nursery.start_soon(trio.serve_listeners, accept, [listener])
            yield address_of(listener), lines
            nursery.cancel_scope.cancel()

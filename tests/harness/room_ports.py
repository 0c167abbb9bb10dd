"""A node with room ports, and clients of them over real loopback sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
import trio.testing

from chatd.api.events import Message, RoomLeave
from chatd.net.roomport.port import RoomPorts
from chatd.node import Node
from chatd.rooms.room import HostedRoom, Member
from chatd.runtime import Runtime
from chatd.sync import Waker
from tests.harness.chat_programs import RoomProgram
from tests.harness.linked_node import linking
from tests.harness.places import dial

NAME, ADDRESS = "127.0.0.1:0=lobby,dialect=name", "127.0.0.1:0=lobby,dialect=address"
WELCOME = "Welcome to this chatroom, {}! Type '*help' to see more options."
QUICK = {"plain_quiet": 0.02}


class RoomPortNode:
    """A running node with bound room ports: one per dialect into the lobby, unless settings differ."""

    def __init__(self, node: Node, ports: RoomPorts, nursery: trio.Nursery, streams: list[trio.SocketStream]) -> None:
        self.node = node
        self.ports = ports
        self.nursery = nursery
        self.streams = streams
        self.rooms, self.posting = node.router.hosted_rooms, node.router.posting
        self.moderation = node.router.moderation

    @property
    def room(self) -> HostedRoom:
        room = self.rooms.get("lobby")
        assert room is not None
        return room

    async def named(self, name: str) -> RoomProgram:
        """A client of dialect `name`, after its welcome."""
        client = RoomProgram(await self.dial(), "name")
        self.nursery.start_soon(client.read)
        await client.send_raw(name.encode())
        await client.wait_received(1)
        return client

    async def unnamed(self) -> RoomProgram:
        """A client of dialect `address`, after it has entered the room."""
        client = RoomProgram(await self.dial(1), "address")
        self.nursery.start_soon(client.read)
        await self.users(client.address)
        return client

    async def dial(self, number: int = 0) -> trio.SocketStream:
        """A connection to one of the ports."""
        host, _, port = self.ports.addresses[number].rpartition(":")
        self.streams.append(await dial(f"{host}:{port}"))
        return self.streams[-1]

    async def nc(self, text: str = "nc\n") -> trio.SocketStream:
        """An `nc` that has sent its name and read its welcome."""
        stream = await self.dial()
        await stream.send_all(text.encode())
        await stream.receive_some()
        return stream

    async def users(self, *nicks: str, gone: bool = False) -> None:
        """Wait until these nicks are in the room, or (`gone`) are not."""
        while any((self.room.named(nick) is not None) is gone for nick in nicks):
            await self.room.changed.wait()

    def say(self, text: str) -> None:
        """Post a text of the host."""
        own: Member = self.rooms.enter_own(self.room, "alice")[0]
        self.posting.post(self.room, own, [text])

    async def texts(self) -> list[tuple[str | None, str]]:
        """All messages so far, as (nick, text)."""
        return [(event.nick, event.text) for event in await self.events() if isinstance(event, Message)]

    async def leaves(self) -> list[tuple[str, str]]:
        """All leaves so far, as (nick, reason)."""
        return [(event.nick, event.reason) for event in await self.events() if isinstance(event, RoomLeave)]

    async def said(self, count: int) -> list[tuple[str | None, str]]:
        """Wait for `count` messages; return all as (nick, text)."""
        waker = Waker()
        self.node.journal.watch(waker, self.room.stream_id)
        while len(texts := await self.texts()) < count:
            await waker.wait()
        self.node.journal.unwatch(waker, self.room.stream_id)
        return texts

    async def events(self) -> list[object]:
        """All events of the room so far."""
        await self.node.journal.settled()
        return [entry.event for entry in (await self.node.journal.read(0, self.room.stream_id)).entries]


@asynccontextmanager
async def room_port_node(runtime: Runtime | None = None, **settings: Any) -> AsyncIterator[RoomPortNode]:
    """Run the node during the block. At the end all clients are disconnected in time."""
    given = {"room_port": [NAME, ADDRESS], **QUICK, **settings}
    async with linking(runtime, **given) as node:
        ports = node.room_ports
        await ports.bind()
        streams: list[trio.SocketStream] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ports.run)
                await trio.testing.wait_all_tasks_blocked()
                yield RoomPortNode(node, ports, nursery, streams)
                ports.hang_up()
                await ports.wait_closed()
                assert not any(ports._clients.values())
                nursery.cancel_scope.cancel()
        finally:
            for stream in streams:
                stream.socket.close()


async def rest(stream: trio.SocketStream) -> tuple[bytes, str]:
    """Read to the end. Return the data and how the connection ended: "eof" or "reset"."""
    data = b""
    with suppress(trio.BrokenResourceError):
        while chunk := await stream.receive_some():
            data += chunk
        return data, "eof"
    return data, "reset"


async def exactly(stream: trio.SocketStream, expected: bytes) -> None:
    """Read exactly `expected`."""
    data = b""
    while len(data) < len(expected):
        data += await stream.receive_some()
    assert data == expected


def nick_of(client: RoomProgram, node: RoomPortNode) -> str:
    (nick,) = [user.nick for user in node.room.users() if user.address == client.address]
    return nick

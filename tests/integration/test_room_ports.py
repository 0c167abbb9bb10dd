"""Room ports of a real node: the original chat programs (docs/origins.md), nc, crowds, and restarts of the node."""

import random
import socket
import struct
from collections import defaultdict
from contextlib import suppress

import pytest
import trio
import trio.lowlevel

from chatd.rooms.room import HostedRoom
from chatd.sync import Broadcast
from tests.harness.chat_programs import RoomProgram
from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network
from tests.harness.places import dial

pytestmark = pytest.mark.loopback  # what real sockets do to clients that are slow, deaf or gone is the point

PORTS = ["127.0.0.1:0=lobby,dialect=name", "127.0.0.1:0=lobby,dialect=address"]
WELCOME = "Welcome to this chatroom, {}! Type '*help' to see more options."


def room_of(node: LiveNode) -> HostedRoom:
    room = node.node.hosted_rooms.get("lobby")
    assert room is not None
    return room


async def users(node: LiveNode, count: int) -> None:
    """Wait until so many are in the lobby."""
    room = room_of(node)
    while len(room.by_fold) != count:
        await room.changed.wait()


async def a_host(network: Network, **settings: object) -> LiveNode:
    """alice, whose room ports stay where they are over restarts."""
    node = network.node("alice", room_port=PORTS, **settings)
    await node.start()
    texts = zip(node.node.room_ports.addresses, ("name", "address"), strict=True)
    node.settings["room_port"] = [f"{address}=lobby,dialect={dialect}" for address, dialect in texts]
    return node


def port(node: LiveNode, dialect: str = "name") -> str:
    return node.node.room_ports.addresses[0 if dialect == "name" else 1]


async def test_programs_of_both_seeds_and_the_control_socket_talk_in_one_room(network: Network) -> None:
    a = await a_host(network)
    events = await a.feed(room="lobby")
    async with trio.open_nursery() as nursery:
        bob = await RoomProgram.connect(nursery, port(a), "bob")
        await bob.wait_received(1)
        unnamed = await RoomProgram.connect(nursery, port(a, "address"))
        await users(a, 2)
        await bob.say("hello")
        await unnamed.wait_bytes(b"('bob', 0): hello\n")
        await unnamed.say("hi bob")
        await bob.wait_bytes(WELCOME.format("bob").encode() + f"<{unnamed.address}> hi bob\n".encode())
        assert await events.texts(2) == ["hello", "hi bob"]
        joined = [event["nick"] for event in events.seen if event["type"] == "room.join"]
        assert joined == ["bob", unnamed.address]
        assert await unnamed.leave() == "eof"
        assert await bob.leave() == "reset"
        left = [await events.until("room.leave") for _ in range(2)]
        assert [(event["nick"], event["reason"]) for event in left] == [(unnamed.address, "left"), ("bob", "left")]


async def test_members_of_other_nodes_and_plain_ones_hear_each_other_in_one_order(network: Network) -> None:
    a, b = await a_host(network), network.node("bob")
    await b.start()
    await b.connect(a)
    await b.ask("room.join", room="lobby@alice", nick="native")
    inbox = await b.feed(room="lobby@alice", types=["message"], direction="in")
    async with trio.open_nursery() as nursery:
        zoe = await RoomProgram.connect(nursery, port(a), "zoe")
        await zoe.wait_received(1)
        unnamed = await RoomProgram.connect(nursery, port(a, "address"))
        await users(a, 3)
        await zoe.say("hello")
        assert await inbox.texts(1) == ["hello"]
        await b.ask("room.say", room="lobby@alice", text="hello zoe", wait="delivered")
        await unnamed.say("hello both")
        assert await inbox.texts(1) == ["hello both"]
        await b.ask("room.say", room="lobby@alice", text="@zoe psst", wait="delivered")
        await zoe.say("@native psst too")
        await zoe.wait_bytes(
            WELCOME.format("zoe").encode()
            + f"<native> hello zoe\n<{unnamed.address}> hello both\n<native> (Private Message) psst".encode()
        )
        await unnamed.wait_bytes(b"('zoe', 0): hello\n('native', 0): hello zoe\n")
        assert await inbox.texts(1) == ["psst too"]
        zoe.vanish()
        unnamed.vanish()


@pytest.mark.parametrize("dialect", ["name", "address"])
async def test_a_node_that_visits_as_a_plain_client_is_a_member_like_any_other(network: Network, dialect: str) -> None:
    a, b = await a_host(network), network.node("bob")
    await b.start()
    inbox = await b.feed(types=["message"], direction="in")
    async with trio.open_nursery() as nursery:
        zoe = await RoomProgram.connect(nursery, port(a), "zoe")
        await zoe.wait_received(1)
        more = {"nick": "robot"} if dialect == "name" else {}
        await b.connect(port(a, dialect), dialect=dialect, **more)
        await users(a, 2)
        (nick,) = [user.nick for user in room_of(a).users() if user.nick != "zoe"]
        assert (nick == "robot") is (dialect == "name")
        await b.send(port(a, dialect), "hello zoe")
        await zoe.wait_bytes(WELCOME.format("zoe").encode() + f"<{nick}> hello zoe\n".encode())
        for number in range(5):
            await zoe.say(f"text {number}")
        shown = "<zoe> {}" if dialect == "name" else "('zoe', 0): {}"
        for number in range(5):
            await inbox.until("message", text=shown.format(f"text {number}"))
        await b.ask("terminate", peer=port(a, dialect))
        await users(a, 1)
        zoe.vanish()
    left = [event["reason"] for event in await a.history(room="lobby") if event["type"] == "room.leave"]
    assert left[0] == "left"


async def test_who_is_kicked_is_out_and_who_is_banned_stays_out(network: Network) -> None:
    a = await a_host(network)
    async with trio.open_nursery() as nursery:
        bob = await RoomProgram.connect(nursery, port(a), "bob")
        await bob.wait_received(1)
        await a.ask("room.kick", room="lobby", nick="bob")
        assert await bob.wait_over() == "reset"
        bob = await RoomProgram.connect(nursery, port(a), "bob")
        await bob.wait_received(1)
        await a.ask("room.ban", room="lobby", nick="bob")
        assert await bob.wait_over() == "reset"
        bob = await RoomProgram.connect(nursery, port(a), "bob")
        assert await bob.wait_over() == "reset"
        assert bob.received == [b"127.0.0.1 is banned from lobby@alice"]
        await a.restart()
        bob = await RoomProgram.connect(nursery, port(a, "address"))
        assert await bob.wait_over() == "reset"
        await a.ask("room.unban", room="lobby", nick="bob")
        bob = await RoomProgram.connect(nursery, port(a), "bob")
        await bob.wait_received(1)
        bob.vanish()


async def test_a_room_that_a_port_serves_cannot_be_closed(network: Network) -> None:
    a = await a_host(network)
    with pytest.raises(Refused) as refused:
        await a.ask("room.close", room="lobby")
    assert (refused.value.kind, "--room-port" in refused.value.data["hint"]) == ("conflict", True)
    assert (await a.ask("status"))["room_ports"] == a.node.room_ports.addresses


async def test_a_node_that_stops_hangs_up_with_a_reset_and_says_so(network: Network) -> None:
    a = await a_host(network)
    async with trio.open_nursery() as nursery:
        clients = [await RoomProgram.connect(nursery, port(a), f"user{number}") for number in range(10)]
        await users(a, 10)
        deaf = await dial(port(a))
        await a.stop()
        assert {await client.wait_over() for client in clients} == {"reset"}
        await deaf.aclose()
    await a.start()
    assert len(room_of(a).by_fold) == 0
    left = [event["reason"] for event in await a.history(room="lobby") if event["type"] == "room.leave"]
    assert left == ["shutdown"] * 10


async def test_after_a_kill_the_room_is_there_and_those_who_come_again_are_in_it(network: Network) -> None:
    a = await a_host(network)
    async with trio.open_nursery() as nursery:
        bob, carol = [await RoomProgram.connect(nursery, port(a), name) for name in ("bob", "carol")]
        await users(a, 2)
        await bob.say("before")
        await carol.wait_received(2)
        await a.kill()
        for client in (bob, carol):
            await client.wait_over()
        await a.start()
        assert len(room_of(a).by_fold) == 0
        bob, carol = [await RoomProgram.connect(nursery, port(a), name) for name in ("bob", "carol")]
        await users(a, 2)
        await bob.say("behind")
        await carol.wait_bytes(WELCOME.format("carol").encode() + b"<bob> behind\n")
        bob.vanish()
        carol.vanish()
        await users(a, 0)
    messages = [event for event in await a.history(room="lobby") if event["type"] == "message"]
    assert [message["text"] for message in messages] == ["before", "behind"]


class Crowd:
    """Clients of a room, some of which misbehave; what each that reads has got, as it came."""

    def __init__(self, node: LiveNode, nursery: trio.Nursery, program: int) -> None:
        self.node = node
        self.nursery = nursery
        self.random = random.Random(program)
        self.got: dict[str, bytearray] = defaultdict(bytearray)  # by nick, without the welcome
        self.said: dict[str, list[str]] = defaultdict(list)
        self.progress: dict[str, Broadcast] = defaultdict(Broadcast)
        self.streams: list[trio.SocketStream] = []

    async def enter(self, nick: str) -> trio.SocketStream:
        """One that knows how to behave."""
        stream = await dial(port(self.node))
        self.streams.append(stream)
        await stream.send_all(nick.encode() + b"\n")
        welcome = b""
        while not welcome.endswith(b"\n"):
            welcome += await stream.receive_some(1)
        assert welcome == WELCOME.format(nick).encode() + b"\n"
        return stream

    async def read(self, nick: str, stream: trio.SocketStream, pause: float) -> None:
        """Read all there is; a slow one a little at a time."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await stream.receive_some(200 if pause else 65536):
                self.got[nick] += data
                self.progress[nick].notify()
                if pause:
                    await trio.sleep(pause)

    def lines(self, nick: str) -> list[str]:
        """What it got so far, the unfinished line without."""
        return self.got[nick].decode(errors="replace").split("\n")[:-1]

    async def talk(self, nick: str, stream: trio.SocketStream, count: int) -> None:
        """Say something, in chunks as they come from a network."""
        for number in range(count):
            text = f"{nick} says {number}"
            self.said[nick].append(text)
            data = text.encode() + b"\n"
            cut = self.random.randrange(len(data))
            await stream.send_all(data[:cut])
            if cut % 3 == 0:
                await trio.lowlevel.checkpoint()
            await stream.send_all(data[cut:])
            await trio.sleep(self.random.random() / 20)

    async def misbehave(self, kind: str) -> None:
        """One client of a kind that others must not notice."""
        stream = await dial(port(self.node))
        self.streams.append(stream)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if kind == "silent":
                return
            if kind == "garbage":
                await stream.send_all(self.random.randbytes(3000))
                return
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await stream.send_all(kind.encode())
            if kind == "flood":
                await stream.send_all(b"\n*users\n" * 20_000)
            elif kind == "gone":
                await stream.receive_some()
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()
            # "deaf" never reads


async def a_crowd(network: Network, count: int, texts: int, bad: int) -> None:
    """Everybody who reads gets everything of all others, once, and all in the same order."""
    # They are all in this process, and some halves of lines come late.
    a = await a_host(network, handshake_timeout=2.0, plain_quiet=10.0)
    async with trio.open_nursery() as nursery:
        crowd = Crowd(a, nursery, program=count)
        nicks = [f"user{number}" for number in range(count)]
        members: dict[str, trio.SocketStream] = {}

        async def enter(nick: str) -> None:
            members[nick] = await crowd.enter(nick)

        for kind in ("silent", "garbage", "flood", "gone", "deaf") * bad:
            nursery.start_soon(crowd.misbehave, kind)
        async with trio.open_nursery() as entering:
            for nick in nicks:
                entering.start_soon(enter, nick)
        for number, (nick, stream) in enumerate(members.items()):
            nursery.start_soon(crowd.read, nick, stream, 0.005 if number % 20 == 0 else 0.0)
        speakers = nicks[:: max(1, count // 50)]
        async with trio.open_nursery() as talking:
            for nick in speakers:
                talking.start_soon(crowd.talk, nick, members[nick], texts)
        own = {nick: {f"<{nick}> {text}" for text in crowd.said[nick]} for nick in nicks}
        total = len(speakers) * texts
        for nick in nicks:
            while sum(line.startswith("<user") for line in crowd.lines(nick)) < total - len(own[nick]):
                await crowd.progress[nick].wait()
        order = await said_in_order(a)
        assert len([line for line in order if line.startswith("<user")]) == total
        for nick in nicks:
            mine = [line for line in crowd.lines(nick) if line.startswith("<user")]
            assert mine == [line for line in order if line.startswith("<user") and line not in own[nick]]
        for stream in crowd.streams:
            stream.socket.close()
        nursery.cancel_scope.cancel()


async def said_in_order(node: LiveNode) -> list[str]:
    """The room's own order."""
    events = await node.history(room="lobby")
    return [f"<{event['nick']}> {event['text']}" for event in events if event["type"] == "message"]


async def test_a_hundred_clients_hear_each_other_once_and_in_one_order_whatever_others_do(network: Network) -> None:
    await a_crowd(network, 100, texts=5, bad=3)


@pytest.mark.long
@pytest.mark.deadline(300)
async def test_a_thousand_clients_do_too(network: Network) -> None:
    await a_crowd(network, 1000, texts=20, bad=20)

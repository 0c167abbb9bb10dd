"""Hostile peers: the daemon and its other peers do not notice.

In every test alice and bob, two decent nodes, exchange messages all the time; whatever is done to alice, each message
arrives, in order, and none of her links to bob breaks.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import islice, product
from time import process_time

import pytest
import trio

from chatd.net.native.link import NativeLink
from chatd.net.native.queries import QUEUED_MOST
from chatd.net.native.writer import PONGS
from chatd.wire.codec import encode_many
from chatd.wire.frames import (
    AckFrame,
    Bye,
    Count,
    Counted,
    Explore,
    Explored,
    FoundFrame,
    Frame,
    Hello,
    Inquire,
    PingFrame,
    PongFrame,
    Resume,
    Text,
    TracedFrame,
)
from tests.harness.handmade_peer import EPOCH, Handmade, hello
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.places import dial

RST = struct.pack("ii", 1, 0)
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


@asynccontextmanager
async def chatting(a: LiveNode, b: LiveNode, rounds: int = 20) -> AsyncIterator[None]:
    """During the block and for some rounds after it both talk to each other; nothing of it is lost."""
    stop, said = trio.Event(), {a.name: list[str](), b.name: list[str]()}

    async def talk(one: LiveNode, other: LiveNode) -> None:
        inbox = await other.feed(types=["message"], direction="in", peer=one.name)
        left = rounds
        while left:
            left -= stop.is_set()
            said[one.name].append(f"{one.name} {len(said[one.name])}")
            await one.send(other.name, said[one.name][-1])
            await inbox.until("message", text=said[one.name][-1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk, a, b)
        nursery.start_soon(talk, b, a)
        yield
        stop.set()
    for one, other in ((a, b), (b, a)):
        received = await other.history(types=["message"], direction="in", peer=one.name)
        texts = [message["text"] for message in received]
        assert [text for text in texts if text.startswith(f"{one.name} ")] == said[one.name]
        assert not await other.history(types=["peer.down"], peer=one.name)


async def raw(node: LiveNode, receive_bytes: int = 0) -> trio.SocketStream:
    """A bare connection to its peer port. On loopback it may hold about so many bytes that were not read."""
    if not receive_bytes:
        return await dial(node.address)
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await sock.connect(("127.0.0.1", node.port))
    return trio.SocketStream(sock)


async def ended(stream: trio.abc.ReceiveStream) -> None:
    """Wait until the node has closed, or reset, a connection."""
    with suppress(*GONE):
        while await stream.receive_some():
            continue


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16" + bytes(range(256)) * 64, id="noise"),
        pytest.param(b"\x16\x03\x01\xff\xff", id="a record that never comes"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" + b"\0" * 1000, id="a broken ClientHello"),
    ],
)
async def test_bytes_that_begin_like_tls_and_are_not(two_nodes: TwoNodes, data: bytes) -> None:
    a, b = await two_nodes(handshake_timeout=0.5)
    async with chatting(a, b):
        for _ in range(20):
            async with await raw(a) as stream:
                with suppress(*GONE):
                    await stream.send_all(data)
                await ended(stream)
    assert [peer["name"] for peer in await a.peers()] == ["bob"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">I", 2**32 - 1), id="a giant declared frame"),
        pytest.param(struct.pack(">I", 0), id="an empty frame"),
        pytest.param(struct.pack(">I", 60000) + b"\x91" * 60000, id="deep nesting"),
        pytest.param(struct.pack(">I", 5) + b"\xff" * 5, id="no msgpack"),
        pytest.param(struct.pack(">I", 6) + b"\x92\x07\xa3\xff\xfe\xfd", id="invalid UTF-8"),
    ],
)
async def test_bytes_after_a_good_tls_handshake_that_are_no_hello(two_nodes: TwoNodes, data: bytes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.dial(a.address) as peer:
        await peer.send_raw(data)
        assert await peer.rest() == [Bye("protocol")]
    assert [peer["name"] for peer in await a.peers()] == ["bob"]


async def test_a_giant_declared_frame_on_a_link(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await peer.send(Text("handmade", 1, "before"))
        await peer.send_raw(struct.pack(">I", 2**31))
        assert (await peer.until(Bye)).reason == "protocol"


async def test_silent_connections_beyond_the_bound_drop_the_oldest_and_keep_nobody_out(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, plain="off", unauthenticated=64)
    silent = [await raw(a) for _ in range(200)]
    await a.connect(b)
    async with chatting(a, b):
        for stream in silent[: 200 - 64]:
            await ended(stream)
        async with await Handmade.linked(a.address) as peer:
            await peer.send(PingFrame(1))
            await peer.until(PongFrame)
    for stream in silent:
        await stream.aclose()


async def test_invalid_utf_8_from_a_plain_peer(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b):
        inbox = await a.feed(types=["message"], direction="in")
        async with await raw(a) as stream:
            await stream.send_all(b"\xff\xfe\xc3\x28 hi\n")
            text = await inbox.until("message", global_id=None)
    assert text["text"].endswith("( hi")


@pytest.mark.loopback
async def test_a_plain_peer_that_sends_ten_megabytes_without_a_line_end(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    downs = await a.feed(types=["peer.down"])
    async with chatting(a, b):
        async with await raw(a) as stream:
            with suppress(*GONE):
                await stream.send_all(b"x" * 10_000_000)
            await ended(stream)
        assert (await downs.next())["reason"] == "line too long"
    assert not [text for text in await a.texts() if text.startswith("xx")]


@pytest.mark.loopback
async def test_a_plain_peer_that_floods_lines_is_read_at_its_rate(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(plain_rate=50)
    async with chatting(a, b, rounds=200), await raw(a) as stream:
        with trio.move_on_after(1.0):
            await stream.send_all(b"flood\n" * 2_000_000)
    assert len([text for text in await a.texts() if text == "flood"]) < 2000


@pytest.mark.loopback
async def test_a_plain_peer_that_never_reads(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(plain_stall=0.2)
    events = await a.feed(types=["peer.up", "peer.down"])
    async with chatting(a, b), await raw(a, receive_bytes=4096) as stream:
        await stream.send_all(b"hi\n")
        slot = (await events.until("peer.up"))["peer"]["slot"]
        client = await a.new_client()
        while not any(event["type"] == "peer.down" for event in events.seen):
            with suppress(Exception):
                await client.send_many(slot, ["x" * 1000] * 50)
        assert (await events.until("peer.down"))["reason"] == "stalled"


@pytest.mark.loopback
async def test_a_native_peer_that_never_reads(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(ping_after=0.1, dead_after=1.0)
    downs = await a.feed(types=["peer.down"], peer="bob")
    handmade_downs = await a.feed(types=["peer.down"])
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await a.client.send_many("handmade", ["x" * 8000] * 1500)
        assert (await handmade_downs.next())["reason"] == "no answer"
        await ended(peer.stream.transport_stream)
    assert downs.seen == []


@pytest.mark.loopback
async def test_a_native_peer_that_never_reads_and_pings_all_the_time(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await a.client.send_many("handmade", ["x" * 8000] * 1500)
        with trio.move_on_after(1.0):
            while True:
                await peer.send(*(PingFrame(number) for number in range(500)))
        for link in a.node.registry.find("handmade").links:
            assert isinstance(link, NativeLink)
            assert len(link._writer._pongs) <= PONGS + 1


FAULTS: dict[str, Callable[[str], list[Text | AckFrame | Resume | Hello]]] = {
    "an Ack of the present epoch that was never sent": lambda epoch: [AckFrame(epoch, 10**9)],
    "a second Hello": lambda epoch: [hello()],
    "a second Resume": lambda epoch: [Resume("handmade", 0)],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_frames_that_break_the_rules_end_that_link_only(two_nodes: TwoNodes, fault: str) -> None:
    a, b = await two_nodes()
    epoch = (await a.ask("status"))["epoch"]
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await a.send("handmade", "hi")
        await peer.send(*FAULTS[fault](epoch))
        assert (await peer.until(Bye)).reason == "protocol"
    assert (await a.peer("handmade"))["reason"] == "protocol"
    assert (await a.peer("handmade"))["queued"] == 1


async def test_acks_of_epochs_that_never_were_acknowledge_nothing(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await a.send("handmade", "hi")
        await peer.send(AckFrame("neverwas", 10**9), PingFrame(1))
        await peer.until(Text)
        assert (await a.peer("handmade"))["queued"] == 1


@pytest.mark.deadline(60)
@pytest.mark.loopback
async def test_thousands_of_connections_that_come_and_go(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()

    async def come_and_go(number: int) -> None:
        for turn in range(100):
            stream = await raw(a)
            with suppress(OSError, *GONE):
                if turn % 4 == 1:
                    await stream.send_all(b"\x16")
                elif turn % 4 == 2:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                elif turn % 20 == 3:
                    await stream.send_all(b"hi\n")
            stream.socket.close()

    async with chatting(a, b), trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(come_and_go, number)
    async with await Handmade.linked(a.address):
        assert len(await a.peers()) < 600


async def test_a_name_of_5000_characters_is_no_name(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b):
        for name in ("x" * 5000, "", "007", "../etc", "A\x1b[2J"):
            async with await Handmade.dial(a.address) as peer:
                await peer.send(hello(name=name))
                assert await peer.rest() == [Bye("protocol")]
    assert [peer["name"] for peer in await a.peers()] == ["bob"]


# -- questions

NODE = "k3v7" * 13
FLOODS: dict[str, Callable[[int], Frame]] = {
    "explorations": lambda number: Explore(number, 64, 60_000),
    "the same exploration": lambda number: Explore(7, 64, 60_000),
    "explorations that end at once": lambda number: Explore(number, 0, 0),
    "inquiries": lambda number: Inquire(number, "k" * 52, EPOCH, number),
    "inquiries about what no journal can hold": lambda number: Inquire(number, "k" * 52, "aaaaaaaa", 2**63 - 1),
    "counts of all there may ever be": lambda number: Count(number, EPOCH, 0, 2**63 - 1),
    "counts": lambda number: Count(number, EPOCH, 1, 9_000_000),
    "counts from the end": lambda number: Count(number, EPOCH, 2**63 - 1, 0),
    "answers to nothing": lambda number: (
        FoundFrame(number, NODE, "nobody", private=False, plain=0, links=[(NODE, "x", "up", None)] * 20, more=True),
        Explored(number),
        TracedFrame(number, True, [("sent", 1.0, "")]),
        Counted(number, 1, 1),
    )[number % 4],
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_questions_holds_nobody_up(two_nodes: TwoNodes, flood: str) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        await peer.send(*(Text(EPOCH, seq, "x") for seq in range(1, 1001)))
        for first in range(0, 10_000, 500):
            await peer.send(*(FLOODS[flood](number) for number in range(first, first + 500)))
        link = a.node.registry.find("handmade").links[0]
        assert isinstance(link, NativeLink)
        assert len(link.queries._outgoing) <= QUEUED_MOST
        assert not link.queries._waiting or len(link.queries._waiting) < 10
        await peer.send(PingFrame(1))
        await peer.until(PongFrame)
    assert (await a.ask("topo", timeout=1))["nodes"][0]["name"] == "alice"


@pytest.mark.long
@pytest.mark.loopback
async def test_a_flood_of_questions_whose_answers_nobody_reads(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(ping_after=0.1, dead_after=1.0)
    downs = await a.feed(types=["peer.down"])
    async with chatting(a, b), await Handmade.linked(a.address) as peer:
        with trio.move_on_after(3), suppress(*GONE):
            for number in range(10**6):
                await peer.send(*(Explore(number * 100 + turn, 1, 60_000) for turn in range(100)))
        link = a.node.registry.find("handmade").links
        assert not link or len(link[0].queries._outgoing) <= QUEUED_MOST  # type: ignore[attr-defined]
    assert {event["peer"]["name"] for event in downs.seen} <= {"handmade"}


@pytest.mark.long
async def test_a_peer_that_answers_an_exploration_without_end(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await Handmade.linked(a.address) as peer, trio.open_nursery() as nursery:
        nursery.start_soon(_lie_without_end, peer)
        found = await a.ask("topo", timeout=2)
        nursery.cancel_scope.cancel()
    assert found["complete"] is False
    assert {node["name"] for node in found["nodes"][:2]} == {"alice", "bob"}
    assert len(found["nodes"]) <= 10_000


async def test_one_who_asks_and_reads_nothing_in_league_with_one_who_answers_without_end(
    two_nodes: TwoNodes,
) -> None:
    a, b = await two_nodes()
    letters = "abcdefghijklmnop"
    async with (
        chatting(a, b),
        await Handmade.linked(a.address) as liar,
        await Handmade.linked(a.address, name="asker", epoch="asker222") as asker,
    ):

        async def lie(token: int) -> float:
            nodes = ("".join(some) + "x" * 48 for some in product(letters, repeat=4))
            frames = [FoundFrame(token, node, "liar", False, 0, [], True) for node in islice(nodes, 10_000)]
            data, began = encode_many(frames), process_time()
            await liar.send_raw(data)
            await liar.send(PingFrame(1))
            await liar.until(PongFrame)
            return process_time() - began

        nobody_asked = await lie(1)
        await asker.send(Explore(2, 64, 60_000))
        while (await liar.until(Explore)).token != 2:
            pass
        assert await lie(2) < 10 * nobody_asked + 0.5


async def _lie_without_end(peer: Handmade) -> None:
    asked = await peer.until(Explore)
    ids = ["".join(letters) for letters in product("abcdefghijklmnop", repeat=4)]
    with suppress(*GONE):
        for node in ids:
            links = [(f"{node}{other}" + "x" * 44, "x", "up", 1e9) for other in ids[:256]]
            await peer.send(FoundFrame(asked.token, f"{node:y<52}", "liar", False, 2**63 - 1, links, True))  # type: ignore[arg-type]


@pytest.mark.parametrize("clock", [0.0, 0.001, 1e11])
async def test_a_peer_whose_clock_is_not_of_this_world(two_nodes: TwoNodes, clock: float) -> None:
    a, b = await two_nodes()
    steps = [("accepted", 0.0, ""), ("of_next_year", 1e11, ""), ("committed", 1e11, ""), ("taken", 0.001, "bot")] * 16

    async def answer(peer: Handmade) -> None:
        while (frame := await peer.next()) is not None:
            if isinstance(frame, PingFrame):
                await peer.send(PongFrame(frame.token, clock))
            elif isinstance(frame, Inquire):
                await peer.send(TracedFrame(frame.token, True, steps), TracedFrame(frame.token, True, steps))
            elif isinstance(frame, Count):
                await peer.send(Counted(frame.token, 2**63 - 1, 0))

    async with chatting(a, b), await Handmade.linked(a.address) as peer, trio.open_nursery() as nursery:
        nursery.start_soon(answer, peer)
        sent = await a.send("handmade", "hi")
        traced = await a.ask("trace", id=sent)
        assert traced["id"] == sent
        assert (await a.ask("ping", peer="handmade"))["rtt_ms"] > 0
        assert (await a.ask("tally", peer="handmade", first=sent, last=sent))["distinct"] == 0
        nursery.cancel_scope.cancel()

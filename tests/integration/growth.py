"""Growth: does a node hold more after a lot of the same work than it held before? Run in a process of its own.

Each kind of work is done some thousand times to fill every cache and ring to its bound, then measured. Three numbers
are printed for each kind, as JSON: objects that the garbage collector knows, blocks of Python's allocator (they count
what it does not know, e.g. bytes and msgspec structs), and resident memory in KiB.

    python -m tests.integration.growth quick|long KIND…
"""

import ctypes
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from random import Random
from typing import Any, NamedTuple, cast

import trio

from chatd.api.events import PeerPending
from chatd.api.params import List
from chatd.control.jsonrpc import RpcReply, encode
from chatd.net import admission
from chatd.node import Node
from chatd.rooms import declarations
from chatd.wire.frames import Rooms
from tests.harness.connections import loopback
from tests.harness.explorers import node_id
from tests.harness.handmade_peer import Handmade, new_identity
from tests.harness.linked_node import linking
from tests.harness.memory.network import Connection
from tests.harness.memory.pipes import Wire
from tests.harness.parts import FakeLink

SMALL: dict[str, Any] = {"tail_bytes": 65536, "plain": "on", "max_links": 64}  # what is kept on purpose is full soon
TURN = 200  # events between two waits for the journal
FEW = 20  # the same for connections, each of which brings several

Work = Callable[[Node, int], Awaitable[None]]


async def events(node: Node, count: int) -> None:
    """Events into the journal, one by one, each answered as to a client."""
    peer = node.registry.plain("192.0.2.9:1")
    for number in range(count):
        node.journal.append(PeerPending(peer=peer.ref, address="192.0.2.9:1"), peer.stream_id)
        encode([RpcReply("2.0", number, List())])
        if number % TURN == 0:
            await node.journal.settled()
    await node.journal.settled()


async def messages(node: Node, count: int) -> None:
    """Messages to a native peer that acknowledges them, and as many from it."""
    peer, link = node.registry.native(node_id("bob"), "bob", "192.0.2.1:7420"), FakeLink()
    node.registry.link_up(peer, link)
    await node.journal.settled()
    assert await node.chat.start_link(peer, link, None, 0) is not None
    for number in range(0, count, TURN):
        node.chat.send_all(peer, ["hello there"] * TURN)
        await node.journal.settled()
        peer.delivery.mark_written(node.journal.committed)
        assert node.chat.acknowledge(peer, node.journal.epoch, node.journal.committed)
        node.chat.inbox.receive_plain(peer, [f"hello {number}"] * TURN)
    node.registry.link_down(peer, link)
    await node.journal.settled()


async def plain_connections(node: Node, count: int) -> None:
    """Plain clients that come from everywhere, say something and go; in memory."""
    listener, wire = node.listener, Wire(Random(1))
    for number in range(count):
        there = (f"2a00:1:{number >> 16:x}:{number & 0xFFFF:x}::1", 5000)
        connection = Connection(wire, there, ("192.0.2.1", 7420))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener._serve, cast(trio.SocketStream, connection.accepted))
            async with aclosing(connection.dialed) as stream:
                await stream.send_all(b"hi\n")
        if number % FEW == 0:
            await node.journal.settled()


async def native_connections(node: Node, count: int) -> None:
    """Native peers that nobody knows, each with another node id, that link, say their rooms and go; without sockets."""
    for number in range(count):
        peer, link = node.registry.native(node_id(f"s{number}"), "stranger", "192.0.2.1:7420"), FakeLink()
        node.links.attach(peer, link)
        node.router.declarations.receive(peer, link, Rooms(1, []))
        node.router.hosted_rooms.intervals.of_node(peer.node or "")
        node.explorer._is_allowed(cast(Any, link))
        node.journal.timings.writes.add(peer.stream_id, 0, node.journal.committed + 1, 0.0)
        await node.links.serve(peer, link, _nothing)
        if number % FEW == 0:
            await node.journal.settled()


async def tls_connections(node: Node, count: int) -> None:
    """One native peer that links and goes, over real sockets and TLS."""
    listener, identity = node.listener, new_identity()
    for _ in range(count):
        ours, theirs = await loopback()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener._serve, ours)
            async with await Handmade.over(theirs, identity) as peer:
                await peer.greet()


async def room_joins(node: Node, count: int) -> None:
    """Plain clients and one node that join a room of this node and leave it."""
    rooms = node.router.hosted_rooms
    room, _ = rooms.host("lobby")
    peer, link = node.registry.native(node_id("carol"), "carol", "192.0.2.3:7420"), FakeLink()
    node.registry.link_up(peer, link)
    await node.journal.settled()
    for number in range(0, count, 2):
        member, _ = rooms.enter_plain(room, f"nick{number}", f"192.0.2.7:{number % 60000 + 1}", lambda reason: None)
        rooms.leave(room, member)
        node.router.declarations.apply(peer, [("lobby", "carol", True)])
        node.router.declarations.apply(peer, [])
        if number % TURN == 0:
            await node.journal.settled()
            peer.delivery.mark_written(node.journal.committed)
            assert node.chat.acknowledge(peer, node.journal.epoch, node.journal.committed)
    await node.journal.settled()
    node.registry.link_down(peer, link)


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


class Kind(NamedTuple):
    """One kind of work: how often it is done first, and then measured; and the same for a quick look, if that tells."""

    work: Work
    first: int
    measured: int = 50_000
    quick: tuple[int, int] | None = None


KINDS: dict[str, Kind] = {
    "events": Kind(events, 20_000, quick=(4_000, 3_000)),
    "messages": Kind(messages, 20_000, quick=(4_000, 3_000)),
    "plain": Kind(plain_connections, 1_500),
    "native": Kind(native_connections, 2_000, quick=(1_000, 1_500)),
    "tls": Kind(tls_connections, 500, 2_000),  # real TLS takes milliseconds
    "joins": Kind(room_joins, 10_000, quick=(2_000, 3_000)),
}


def held() -> tuple[int, int, int]:
    """Objects, blocks, KiB."""
    for _ in range(3):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    return len(gc.get_objects()), sys.getallocatedblocks(), pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def grown(name: str, how: str) -> dict[str, int]:
    """How much more there is after that work."""
    work, first, count, quick = KINDS[name]
    if how == "quick":
        assert quick is not None
        first, count = quick
    async with linking(**SMALL) as node:
        await node.journal.ask(lambda store: store.query("PRAGMA cache_size = -256"))
        await work(node, first)
        await node.journal.settled()
        before = held()
        await work(node, count)
        await node.journal.settled()
        after = held()
    return {"count": count} | {
        word: now - then for word, now, then in zip(("objects", "blocks", "kib"), after, before, strict=True)
    }


def main() -> int:
    """Measure what the command line names; the exit status."""
    declarations.MOST_DECLARED = admission.MOST_HOSTS = 256
    how, *names = sys.argv[1:]
    found = {name: trio.run(grown, name, how) for name in names}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

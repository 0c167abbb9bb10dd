"""Two promises of a link that only show while a disk is slow, or while there are two links."""

from pathlib import Path

import trio

from chatd.net.native.handshake import as_acceptor
from chatd.net.native.link import NativeLink
from chatd.node import Node
from chatd.wire.frames import AckFrame, Frame, Hello, PingFrame, PongFrame, Resume, Text
from tests.harness.connections import loopback
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import FakeLink, World, standing, texts_written

ADDRESS = "127.0.0.1:50000"


async def serve(node: Node, stream: trio.SocketStream) -> None:
    """Accept one link, and run it to its end."""
    established = await as_acceptor(node.handshake_parts, stream, ADDRESS)
    link = NativeLink(node.link_parts, established, direction="in", address=ADDRESS)
    node.links.attach(established.peer, link)
    await node.links.serve(established.peer, link, link.run)
    stream.socket.close()


async def up_to_pong(peer: Handmade, token: int) -> list[Frame]:
    """What comes up to the answer to a Ping."""
    await peer.send(PingFrame(token))
    frames: list[Frame] = []
    while not isinstance(frame := await peer.next(), PongFrame):
        assert frame is not None
        frames.append(frame)
    assert frame.token == token
    return frames


async def test_no_acknowledgement_goes_out_before_the_commit_whatever_else_does() -> None:
    world = World()
    async with linking(world) as node, trio.open_nursery() as nursery:
        ours, theirs = await loopback()
        nursery.start_soon(serve, node, ours)
        async with await Handmade.over(theirs, new_identity()) as peer:
            await peer.send(hello(), Resume("handmade", 0))
            await peer.until(Hello)
            await peer.until(Resume)
            await node.journal.settled()
            world.hold()
            await peer.send(Text("handmade", 1, "one"))
            for token in (1, 2):
                assert [frame for frame in await up_to_pong(peer, token) if isinstance(frame, AckFrame)] == []
            world.let_go()
            assert await peer.until(AckFrame) == AckFrame("handmade", 1)


async def test_each_of_two_links_sends_everything_from_its_own_start(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        core.chat.send(bob, "one")
        core.chat.send(bob, "two")
        await core.commit()
        first, second = core.outgoing(bob), core.outgoing(bob)
        assert await texts_written(first) == ["one", "two"]
        core.registry.link_up(bob, FakeLink("out"))
        start = await core.chat.start_link(bob, FakeLink("out"), None, 0)
        assert start is not None
        second.start(start)
        assert await texts_written(second) == ["one", "two"]

"""Plain peers against a real node: raw sockets as `nc` has them, and seed programs, in both directions."""

import socket
import struct
from contextlib import suppress

import pytest
import trio

from tests.harness.chat_programs import PeerProgram, Variant
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import LiveNode, Network, TwoNodes
from tests.harness.places import dial

VARIANTS: list[Variant] = ["close-text", "100-character", "counting"]


async def nc(node: LiveNode) -> trio.SocketStream:
    """What `nc HOST PORT` does."""
    return await dial(node.address)


async def hung_up_on(stream: trio.SocketStream) -> None:
    """Wait for their FIN, or the RST that unread input makes of it."""
    with suppress(trio.BrokenResourceError):
        assert await stream.receive_some() == b""


async def test_nc_talks_in_lines_and_is_answered_in_lines(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    async with await nc(a) as stream:
        await stream.send_all(b"one\ntwo\r\n\nthr")
        up = await events.until("peer.up")
        assert await events.texts(3) == ["one", "two", "thr"]
        peer = up["peer"]
        assert (peer["slot"], peer["kind"], peer["node"]) == (0, "plain", None)
        assert peer["name"] == f"127.0.0.1:{stream.socket.getsockname()[1]}"
        await stream.send_all(b"\nfour\n")
        assert await events.texts(1) == ["four"]
        await a.send(0, "an answer")
        await a.send(peer["name"], "and another")
        received = b""
        while not received.endswith(b"and another\n"):
            received += await stream.receive_some()
        assert received == b"an answer\nand another\n"
    assert (await events.until("peer.down"))["reason"] == "sent, then closed by peer"
    message = next(event for event in events.seen if event["type"] == "message")
    assert (message["id"], message["global_id"], message["direction"]) == (message["position"], None, "in")


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_peer_program_that_dials_us_gets_each_message_as_one_read(network: Network, variant: Variant) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    async with trio.open_nursery() as nursery:
        peer = await PeerProgram.connect(nursery, "127.0.0.1", a.port, variant)
        await peer.send("hello   there")
        assert await events.texts(1) == ["hello there"]
        await a.client.send_many(0, [f"message {number}" for number in range(10)])
        assert await peer.wait_received(10) == [f"message {number}" for number in range(10)]
        peer.vanish()
        assert (await events.until("peer.down"))["reason"].endswith("closed by peer")


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_peer_program_that_we_dial_is_a_peer_like_any_other(network: Network, variant: Variant) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    listener = await PeerProgram.listen(variant)
    async with trio.open_nursery() as nursery:
        record = await a.connect(f"127.0.0.1:{listener.port}", plain=True)
        peer = await listener.accept(nursery)
        assert (record["kind"], record["state"], record["direction"], record["desired"]) == (
            "plain",
            "up",
            "out",
            False,
        )
        await peer.send("hi")
        assert await events.texts(1) == ["hi"]
        await a.send(record["slot"], "hello   there")
        assert await peer.wait_received(1) == ["hello   there"]
        ended = await a.ask("terminate", peer=record["slot"])
        assert (ended["queued"], ended["peer"]["reason"]) == (0, "terminated")
        assert await peer.wait_over() == "eof"
    await listener.aclose()


async def test_a_peer_program_that_terminates_silently_shows_one_more_and_that_is_told(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    async with trio.open_nursery() as nursery:
        peer = await PeerProgram.connect(nursery, "127.0.0.1", a.port, "counting")
        await peer.send("hi")
        await events.texts(1)
        await peer.terminate()
        await a.send(0, "are you there?")
        assert (await events.until("peer.down"))["reason"] == "sent, then closed by peer"
        assert peer.received == ["are you there?"]
    with pytest.raises(Refused) as refused:
        await a.send(0, "hello?")
    assert refused.value.kind == "peer_offline"


async def test_close_connection_is_a_hang_up(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    async with trio.open_nursery() as nursery:
        peer = await PeerProgram.connect(nursery, "127.0.0.1", a.port, "close-text")
        await peer.send("hi")
        await events.texts(1)
        await peer.terminate()
        assert (await events.until("peer.down"))["reason"] == "closed by peer"
        assert await peer.wait_over() == "eof"
    assert await a.texts() == ["hi"]


async def test_a_reset_is_told_as_a_reset(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    stream = await nc(a)
    await stream.send_all(b"hi\n")
    await events.texts(1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
    assert (await events.until("peer.down"))["reason"] == "reset"


async def test_each_plain_connection_gets_a_slot_of_its_own(network: Network) -> None:
    (a,) = await network.start(1)
    for slot in range(3):
        events = await a.feed()
        async with await nc(a) as stream:
            await stream.send_all(b"hi\n")
            assert (await events.until("peer.up"))["peer"]["slot"] == slot
        await events.until("peer.down")
    assert (await a.ask("list"))["peers"] == []
    assert [peer["state"] for peer in await a.peers()] == ["down"] * 3


@pytest.mark.parametrize(("policy", "welcome"), [("on", True), ("loopback", True), ("off", False)])
async def test_the_policy_decides_who_may_talk_plainly(network: Network, policy: str, *, welcome: bool) -> None:
    (a,) = await network.start(1, plain=policy)
    inbox = await a.feed(types=["message"])
    async with await nc(a) as stream:
        await stream.send_all(b"hi\n")
        if welcome:
            assert await inbox.texts(1) == ["hi"]
        else:
            await hung_up_on(stream)
    assert bool(await a.peers()) is welcome


async def test_from_elsewhere_loopback_is_not_enough(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatd.net.listener.is_loopback", lambda host: False)
    (a,) = await network.start(1, plain="loopback")
    async with await nc(a) as stream:
        await stream.send_all(b"hi\n")
        await hung_up_on(stream)
    assert await a.peers() == []


async def test_a_silent_connection_is_listed_and_may_still_turn_out_to_be_native(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.listener.SILENCE_S", 0.02)
    (a,) = await network.start(1)
    events = await a.feed()
    stream = await nc(a)
    assert (await events.until("peer.up"))["peer"]["kind"] == "plain"
    async with await Handmade.over(stream, new_identity()) as peer:
        assert (await events.until("peer.down"))["reason"] == "native"
        await peer.send(hello())
        up = await events.until("peer.up")
        assert (up["peer"]["kind"], up["peer"]["name"], up["peer"]["slot"]) == ("native", "handmade", 1)


async def test_a_silent_connection_that_we_wrote_to_stays_plain(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.listener.SILENCE_S", 0.02)
    (a,) = await network.start(1)
    events = await a.feed()
    async with await nc(a) as stream:
        await events.until("peer.up")
        await a.send(0, "hi")
        assert await stream.receive_some() == b"hi\n"
        await stream.send_all(b"\x16 no TLS\n")
        assert await events.texts(2) == ["hi", "\x16 no TLS"]


async def test_plain_with_keep_is_redialed_and_keeps_its_slot(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    listener = await PeerProgram.listen("100-character")
    async with trio.open_nursery() as nursery:
        record = await a.connect(f"127.0.0.1:{listener.port}", plain=True, keep=True)
        assert record["desired"]
        for number in range(3):
            peer = await listener.accept(nursery)
            await events.until("peer.up")
            await a.send(0, f"message {number}")
            assert await peer.wait_received(1) == [f"message {number}\n"]  # it has not shown yet that it wants none
            peer.vanish()
            await events.until("peer.down")
        last = await listener.accept(nursery)
        await events.until("peer.up")
        await a.ask("terminate", peer=0)
        assert await last.wait_over() == "eof"
    await listener.aclose()
    assert [(peer["slot"], peer["state"], peer["desired"]) for peer in await a.peers()] == [(0, "down", False)]


async def test_without_keep_a_plain_peer_that_hung_up_is_not_redialed(network: Network) -> None:
    (a,) = await network.start(1)
    events = await a.feed()
    listener = await PeerProgram.listen()
    async with trio.open_nursery() as nursery:
        await a.connect(f"127.0.0.1:{listener.port}", plain=True)
        (await listener.accept(nursery)).vanish()
        await events.until("peer.down")
        assert (await a.peers())[0]["desired"] is False
        again = await a.connect(f"127.0.0.1:{listener.port}", plain=True)
        assert again["slot"] == 1
        (await listener.accept(nursery)).vanish()
    await listener.aclose()


async def test_a_native_connect_to_a_plain_program_fails_with_a_hint(network: Network) -> None:
    (a,) = await network.start(1)
    listener = await PeerProgram.listen("100-character")
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as both:

            async def connect() -> None:
                with pytest.raises(Refused) as refused:
                    await a.connect(f"127.0.0.1:{listener.port}")
                assert refused.value.kind == "connect_failed"
                assert "--plain" in refused.value.data["hint"]

            both.start_soon(connect)
            peer = await listener.accept(nursery)
        await peer.wait_over()
    await listener.aclose()
    assert await a.peers() == []


async def test_a_node_that_stops_says_goodbye_to_plain_peers_without_a_word(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes()
    async with await nc(a) as stream:
        await stream.send_all(b"hi\n")
        await (await a.feed("start", types=["message"])).texts(1)
        await a.send(f"127.0.0.1:{stream.socket.getsockname()[1]}", "last words")
        await a.stop()
        received = b""
        while chunk := await stream.receive_some():
            received += chunk
        assert received == b"last words\n"

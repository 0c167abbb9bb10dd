"""Silence: a ping keeps a link up, and a peer that answers nothing is dead."""

import trio

from chatd.wire.frames import PingFrame, PongFrame
from tests.harness.handmade_peer import Handmade
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.proxy import proxying

BRISK = {"ping_after": 0.05, "dead_after": 0.4}


async def test_a_silent_link_is_kept_up_by_pings(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, **BRISK)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        begun = trio.current_time()
        while trio.current_time() < begun + 3 * BRISK["dead_after"]:
            await proxy.wait_forwarded(1)
        await a.settled(b)
        assert proxy.links == 1
    assert not [event for event in await a.history(types=["peer.down"]) if event["reason"] == "no answer"]


async def test_a_peer_that_answers_nothing_is_dead_on_both_sides(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, **BRISK)
    downs = await a.feed(types=["peer.down"]), await b.feed(types=["peer.down"])
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.up(a)
        proxy.stall()
        for feed in downs:
            assert (await feed.next())["reason"] == "no answer"
        await a.ask("terminate", peer="bob")


async def test_a_peer_that_takes_nothing_is_dead_whatever_waits_for_it(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, **BRISK)
    downs = await a.feed(types=["peer.down"])
    inbox = await b.feed("start", types=["message"])
    texts = [f"{number}" + "x" * 8000 for number in range(1000)]  # more than the sockets between them hold
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        proxy.stall()
        await a.client.send_many("bob", texts)
        assert (await downs.next())["reason"] == "no answer"
        proxy.cut()
        proxy.flow()
        assert await inbox.texts(1000) == texts


async def test_a_ping_is_answered_at_once_and_the_round_trip_is_shown(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    async with await Handmade.linked(a.address) as peer:
        asked = await peer.until(PingFrame)
        await peer.send(PingFrame(7), PingFrame(8), PongFrame(asked.token), PongFrame(12345))
        assert [(await peer.until(PongFrame)).token for _ in range(2)] == [7, 8]
        assert (await a.peer("handmade"))["rtt_ms"] > 0


async def test_a_peer_that_says_nothing_but_pings_is_alive(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False, **BRISK)
    async with await Handmade.linked(a.address) as peer:
        begun = trio.current_time()
        while trio.current_time() < begun + 2 * BRISK["dead_after"]:
            await peer.send(PingFrame(1))
            await peer.until(PongFrame)
            await trio.sleep(BRISK["dead_after"] / 8)
        assert is_up(a)


async def test_a_peer_that_dials_while_it_is_cut_off_is_not_up_until_it_is_healed(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(allow_faults=True, handshake_timeout=0.3, redial_min=0.05, redial_max=0.1, **BRISK)
    await a.ask("link", peer="bob", direction="out", rate=20_000)  # what ends the TLS handshake comes with what follows
    await b.ask("link", peer="alice", cut=True)
    await b.wait_state("alice", "down")
    ups = await b.feed(types=["peer.up"])
    with trio.move_on_after(1.0):
        await ups.next()
    assert ups.seen == []
    await b.ask("link", peer="alice", heal=True)
    await a.up(b)


def is_up(node: LiveNode) -> bool:
    return bool(node.node.registry.find("handmade").is_up)

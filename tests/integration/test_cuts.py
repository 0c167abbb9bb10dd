"""Links that are cut, broken or flap on purpose: nobody is told, heartbeats find it, and all that was said arrives."""

import os
from itertools import pairwise
from typing import Any

import pytest
import trio

from chatd.net.faults import faults
from chatd.net.faults.connection import FaultySocket
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes
from tests.harness.streams import heard, streaming
from tests.integration.test_faults import ALLOWED, link

BRISK = {"ping_after": 0.05, "dead_after": 0.4, **ALLOWED}
LONG = {"ping_after": 60.0, "dead_after": 180.0}


async def redialed(node: LiveNode, peer: str) -> None:
    """Wait until it has found the peer dead, and dials it."""
    await node.wait_state(peer, "dialing")


@pytest.mark.parametrize(
    ("direction", "here", "there"),
    [("both", "no answer", "no answer"), ("in", "no answer", "closed by peer"), ("out", None, "no answer")],
)
async def test_a_cut_is_found_by_heartbeats_and_nothing_is_lost_by_it(
    two_nodes: TwoNodes, direction: str, here: str | None, there: str
) -> None:
    a, b = await two_nodes(**BRISK)
    downs = await a.feed(types=["peer.down"]), await b.feed(types=["peer.down"])
    async with streaming((a, b), (b, a)):
        began = trio.current_time()
        await link(a, "bob", direction=direction, cut=True)
        reasons = [(await feed.next())["reason"] for feed in downs]
        assert trio.current_time() - began >= BRISK["dead_after"] / 2
        assert reasons[0] == here or here is None
        assert reasons[1] == there
        await redialed(a, "bob")
        assert (await a.peer("bob"))["queued"] > 0
        await link(a, "bob", heal=True)
        await a.settled(b)


async def test_who_is_cut_off_is_not_told_however_often_the_other_side_gives_up(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, **ALLOWED)
    await a.restart(**BRISK)
    await b.restart(**LONG)
    await a.connect(b)
    await b.up(a)
    since = (await b.peer("alice"))["since"]
    await a.send("bob", "before", wait="delivered")
    await link(a, "bob", cut=True)
    await a.send("bob", "meanwhile")
    await redialed(a, "bob")
    await b.send("alice", "into the void")
    with trio.move_on_after(1.0):
        await b.wait_state("alice", "down")
    record = await b.peer("alice")
    assert (record["state"], record["since"], record["queued"]) == ("up", since, 1)
    assert await b.texts() == ["before"]
    assert (await a.peer("bob"))["state"] == "dialing"
    await link(a, "bob", heal=True)
    await a.up(b)
    await a.drained("bob")
    await b.drained("alice")
    assert await b.texts() == ["before", "meanwhile"]
    assert await a.texts() == ["into the void"]


async def test_a_cut_of_one_link_leaves_the_others_alone(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes(**BRISK)
    downs = await b.feed(types=["peer.down"])
    async with streaming((a, b), (b, c), (c, b)):
        await link(b, "alice", cut=True)
        assert (await downs.next())["peer"]["name"] == "alice"
        inbox = await c.feed(types=["message"], direction="in")
        assert len(await inbox.texts(50)) == 50
        await link(b, "alice", heal=True)
        await b.settled(a, c)
    assert [event["peer"]["name"] for event in downs.seen] == ["alice"]


async def test_what_is_cut_at_both_ends_is_healed_when_both_are(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**BRISK)
    async with streaming((a, b), (b, a)):
        await link(a, "bob", cut=True)
        await link(b, "alice", cut=True)
        await redialed(a, "bob")
        await link(a, "bob", heal=True)
        with trio.move_on_after(0.8):
            await a.up(b)
            await a.send("bob", "x", wait="delivered", timeout=0.1)
        await link(b, "alice", heal=True)
        await a.settled(b)


async def test_a_short_cut_is_over_before_anybody_notices(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    downs = await a.feed(types=["peer.down"])
    async with streaming((a, b), (b, a)):
        began = trio.current_time()
        await link(a, "bob", cut=True, for_=0.5)
        await a.ask("ping", peer="bob")
        assert trio.current_time() - began >= 0.5 - 0.01
    assert downs.seen == []


async def test_a_reset_is_one_on_both_sides_and_the_link_comes_back(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    downs = await a.feed(types=["peer.down"]), await b.feed(types=["peer.down"])
    async with streaming((a, b), (b, a)):
        for number in range(5):
            await a.settled(b)
            await b.settled(a)
            await link(a, "bob", reset=True, delay=0.001 * number)
            assert (await downs[0].next())["reason"] == "reset"
            assert (await downs[1].next())["reason"] in ("reset", "closed by peer")  # which call meets it is luck
        await a.settled(b)
    assert len(downs[0].seen) == len(downs[1].seen) == 5


async def test_a_cut_link_that_is_reset_is_over_at_once(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    downs = await a.feed(types=["peer.down"]), await b.feed(types=["peer.down"])
    await link(a, "bob", cut=True)
    await a.send("bob", "held")
    await link(a, "bob", reset=True)
    assert [(await feed.next())["reason"] for feed in downs] == ["reset", "reset"]
    await link(a, "bob", heal=True)
    await a.drained("bob")
    assert await b.texts() == ["held"]


async def test_a_flapping_link_lets_everything_through_in_time(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    downs = await a.feed(types=["peer.down"])
    inbox = await b.feed(types=["message"], direction="in")
    await link(a, "bob", flap=0.4)
    times = []
    async with streaming((a, b)):
        with trio.move_on_after(3.0):
            while True:
                await inbox.next()
                times.append(trio.current_time())
        await link(a, "bob", heal=True)
    waits = [after - before for before, after in pairwise(times)]
    assert len([wait for wait in waits if wait >= 0.3]) >= 2  # silent, and not silent, by turns
    assert downs.seen == []


@pytest.mark.long
async def test_a_link_that_flaps_more_slowly_than_hearts_beat_comes_and_goes(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**BRISK)
    downs = await a.feed(types=["peer.down"])
    async with streaming((a, b), (b, a)):
        await link(a, "bob", flap=1.0)
        for _ in range(2):
            await downs.next()
            await a.up(b)
        await link(a, "bob", heal=True)
        await a.settled(b)


# -- the end of a node


@pytest.mark.parametrize(
    "how",
    [
        *({"delay": 30.0}, {"cut": True}),
        *(pytest.param(how, marks=pytest.mark.long) for how in ({"rate": 100}, {"flap": 100.0})),
    ],
    ids=str,
)
async def test_a_node_stops_in_time_over_any_link(two_nodes: TwoNodes, how: dict[str, Any]) -> None:
    a, b = await two_nodes(**ALLOWED)
    await link(a, "bob", **how)
    await link(b, "alice", **how)
    await a.client.send_many("bob", ["x" * 8000] * 200)
    await b.client.send_many("alice", ["x" * 8000] * 200)
    began = trio.current_time()
    await a.stop()  # within the time that checks.py allows
    await b.stop()
    assert trio.current_time() - began < 10
    await a.start()
    await b.start()
    await a.drained("bob")
    await b.drained("alice")
    assert await heard(b, a) == ["x" * 8000] * 200
    assert await heard(a, b) == ["x" * 8000] * 200


async def test_terminate_delivers_over_a_slow_link_what_was_accepted(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.3)
    texts = [str(number) for number in range(20)]
    await a.client.send_many("bob", texts)
    answer = await a.ask("terminate", peer="bob")
    assert (answer["queued"], answer["peer"]["state"], answer["peer"]["reason"]) == (0, "down", "terminated")
    assert await b.texts() == texts
    await b.wait_state("alice", "down", reason="terminated by peer")


async def test_terminate_over_a_cut_ends_in_time_and_the_other_side_hears_of_it_once_healed(
    two_nodes: TwoNodes,
) -> None:
    a, b = await two_nodes(terminate_timeout=0.3, **ALLOWED)
    await link(a, "bob", cut=True)
    await a.client.send_many("bob", ["x"] * 3)
    began = trio.current_time()
    answer = await a.ask("terminate", peer="bob")
    assert trio.current_time() - began < 0.3 + 3.0 + 2.0
    assert (answer["queued"], answer["peer"]["state"]) == (3, "down")
    assert (await b.peer("alice"))["state"] == "up"
    await link(a, "bob", heal=True)
    await b.wait_state("alice", "down")
    assert (await a.peer("bob"))["state"] == "down"


# -- what is bounded


@pytest.mark.long
@pytest.mark.loopback
async def test_reconnect_storms_against_a_cut_link_pile_up_neither_sockets_nor_tasks(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LINGERING", 8)
    storm: dict[str, Any] = {**BRISK, "dead_after": 0.1, "handshake_timeout": 0.3, "redial_max": 0.02}
    (a,) = await network.start(1, **storm)
    b = network.node("bob", peers=[a.address], **storm)
    await b.start()
    await a.up(b)
    await link(a, "bob", cut=True)
    silent, most, before = set[FaultySocket](), 0, sockets()
    with trio.move_on_after(15):
        while len(silent) < 12:
            await trio.sleep(0.05)
            silent |= {sock for sock in a.node.faults._open if sock.lingers}
            most = max(most, sockets())
    assert len(silent) == 12
    assert most <= before + 8 + 6  # those that are kept silent, and some that come and go
    await link(a, "bob", heal=True)
    async with streaming((a, b), (b, a)):
        await a.settled(b)


def sockets() -> int:
    """How many this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue
    return found

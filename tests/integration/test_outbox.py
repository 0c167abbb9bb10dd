"""What is accepted arrives, once and in order: while the peer is away, over restarts, lost and older journals."""

import pytest
import trio

from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes
from tests.harness.proxy import Proxy, proxying
from tests.harness.states import copy, restore, wipe

HOW = pytest.mark.parametrize("how", ["stop", "kill"])


async def end(node: LiveNode, how: str) -> None:
    """Stop it in order, or not."""
    await (node.kill if how == "kill" else node.stop)()


def numbers(first: int, last: int) -> list[str]:
    return [f"{number}" for number in range(first, last)]


async def in_flight(a: LiveNode, proxy: Proxy, *texts: str) -> list[str]:
    """Messages of alice that are written, and held up on their way to bob; their ids."""
    proxy.stall()
    ids = await a.client.send_many("bob", texts)
    for message_id in ids[-1:]:
        while await a.states(message_id) != ["sent"]:
            await a.node.registry.find("bob").delivery.progress.wait()
    return ids


# -- away


@HOW
async def test_what_is_sent_while_the_peer_is_away_arrives_in_order(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    await a.client.send_many("bob", numbers(0, 100))
    await a.drained("bob")
    await end(b, how)
    ids = await a.client.send_many("bob", numbers(100, 3000))
    assert (await a.peer("bob"))["queued"] > 0
    await b.start()
    await a.drained("bob")
    assert await b.texts() == numbers(0, 3000)
    assert set(await a.states(ids[0], ids[-1])) == {"delivered"}


@HOW
async def test_a_backlog_survives_restarts_of_both_sides_at_every_step(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    for step in range(4):
        await end(b, how)
        await a.client.send_many("bob", numbers(step * 100, step * 100 + 50))
        await end(a, how)
        await a.start()
        assert (await a.peer("bob"))["queued"] >= 50
        await a.client.send_many("bob", numbers(step * 100 + 50, step * 100 + 100))
        if step % 2:
            await b.start()
            await a.drained("bob")
            assert await b.texts() == numbers(0, step * 100 + 100)
        else:
            await b.start()
    assert await a.texts("out") == await b.texts()


async def test_both_sides_may_have_a_backlog_for_each_other(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.send("alice", "999")  # who has said nothing, and got nothing, is a stranger after a restart
    await b.drained("alice")
    await b.stop()
    await a.client.send_many("bob", numbers(0, 500))
    await a.stop()
    await b.start()
    await b.client.send_many("alice", numbers(1000, 1500))
    await a.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.drained, "bob")
        nursery.start_soon(b.drained, "alice")
    assert await a.texts() == numbers(999, 1500)
    assert await b.texts() == numbers(0, 500)


async def test_a_peer_that_has_never_dialed_us_back_gets_its_backlog_when_it_dials(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.stop()
    ids = await b.client.send_many("alice", ["1", "2"])
    assert await b.states(*ids) == ["queued", "queued"]
    await a.start()
    await b.drained("alice")
    assert await a.texts() == ["1", "2"]


async def test_without_queue_nothing_waits_for_a_peer_that_is_away(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    with pytest.raises(Refused) as refused:
        await a.send("bob", "now or never", queue=False)
    assert refused.value.kind == "peer_offline"
    await b.start()
    await a.up(b)
    await a.send("bob", "now", queue=False)
    await a.drained("bob")
    assert await b.texts() == ["now"]


async def test_an_outbox_that_is_full_takes_more_once_it_has_room(network: Network) -> None:
    a, b = await network.two_nodes(outbox_messages=100)
    await b.stop()
    await a.wait_state("bob", "dialing")
    await a.client.send_many("bob", numbers(0, 100))
    with pytest.raises(Refused) as refused:
        await a.send("bob", "one too many")
    assert refused.value.kind == "outbox_full"
    assert refused.value.data["retryable"]
    await b.start()
    await a.drained("bob")
    await a.send("bob", "100")
    await a.drained("bob")
    assert await b.texts() == numbers(0, 101)


async def test_a_sender_that_is_faster_than_its_peer_is_slowed_and_not_refused(network: Network) -> None:
    a, b = await network.two_nodes(connected=False, outbox_messages=300)
    async with proxying(b.address) as proxy:
        proxy.delay = 0.002
        await a.connect(proxy.address)
        await a.client.send_many("bob", numbers(0, 6000))
        assert (await a.peer("bob"))["queued"] <= 300
        await a.drained("bob")
        assert await b.texts() == numbers(0, 6000)


# -- cancelled and expired


@HOW
async def test_what_is_cancelled_while_the_peer_is_away_never_arrives(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    ids = await a.client.send_many("bob", numbers(0, 5))
    assert [(await a.ask("cancel", id=ids[number]))["state"] for number in (0, 3)] == ["cancelled"] * 2
    await end(a, how)
    await a.start()
    assert await a.states(*ids) == ["cancelled", "queued", "queued", "cancelled", "queued"]
    assert (await a.ask("cancel", id=ids[4]))["state"] == "cancelled"
    assert (await a.peer("bob"))["queued"] == 2
    await b.start()
    await a.drained("bob")
    assert await b.texts() == ["1", "2"]
    assert await a.states(*ids) == ["cancelled", "delivered", "delivered", "cancelled", "cancelled"]
    assert not await b.history(types=["gap"])


async def test_what_is_cancelled_on_its_way_may_arrive_all_the_same(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        ids = await in_flight(a, proxy, "1", "2")
        assert (await a.ask("cancel", id=ids[0]))["state"] == "sent"
        proxy.flow()
        await a.drained("bob")
        assert await a.states(*ids) == ["delivered", "delivered"]
        with pytest.raises(Refused) as refused:
            await a.ask("cancel", id=ids[0])
        assert (refused.value.kind, refused.value.data["reason"]) == ("conflict", "delivered")
        assert await b.texts() == ["1", "2"]


@HOW
async def test_what_is_cancelled_on_its_way_and_lost_there_is_not_sent_again(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        ids = await in_flight(a, proxy, "1", "2", "3")
        assert (await a.ask("cancel", id=ids[1]))["state"] == "sent"
        await end(a, how)
        proxy.cut()
        proxy.flow()
        await a.start()
        await a.drained("bob")
        assert await b.texts() == ["1", "3"]
        assert await a.states(*ids) == ["delivered", "cancelled", "delivered"]
        told = [(event["state"], event["id"]) for event in await a.history(types=["receipt"]) if event["id"]]
        assert told == [("cancelled", ids[1])]


async def test_a_message_that_nobody_came_for_in_time_expires(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    receipts = await a.feed(types=["receipt"])
    short = await a.send("bob", "short", ttl=0.05)
    long = await a.send("bob", "long", ttl=3600)
    told = await receipts.next()
    assert (told["state"], told["id"], told["peer"]["name"]) == ("expired", short, "bob")
    await a.restart()
    await b.start()
    await a.drained("bob")
    assert await b.texts() == ["long"]
    assert await a.states(short, long) == ["expired", "delivered"]


async def test_a_ttl_ends_while_the_node_is_off(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    ids = [await a.send("bob", "1", ttl=0.3), await a.send("bob", "2")]
    await a.kill()
    await trio.sleep(0.4)
    await b.start()
    await a.start()
    await a.drained("bob")
    assert await b.texts() == ["2"]
    assert await a.states(*ids) == ["expired", "delivered"]


# -- keys


@HOW
async def test_a_key_says_a_message_once_over_restarts(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    ids = set()
    for _ in range(3):
        ids |= {await a.send("bob", "once", key="k"), await a.send("bob", "once", key="k")}
        await end(a, how)
        await a.start()
    await a.drained("bob")
    assert len(ids) == 1
    assert await b.texts() == ["once"]


# -- terminated, forgotten


async def test_what_a_terminate_leaves_behind_waits_for_the_next_connect(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    await a.client.send_many("bob", ["1", "2"])
    assert (await a.ask("terminate", peer="bob"))["queued"] == 2
    with pytest.raises(Refused) as refused:
        await a.send("bob", "3")
    assert (refused.value.kind, str(refused.value)) == ("peer_offline", "bob was terminated")
    await a.restart()
    assert (await a.peer("bob"))["queued"] == 2
    await b.start()
    await a.connect(b)
    await a.drained("bob")
    assert await b.texts() == ["1", "2"]


async def test_what_is_owed_to_a_forgotten_peer_is_not_sent_when_it_comes_back(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.stop()
    ids = await b.client.send_many("alice", ["1", "2"])
    await b.ask("peer.forget", peer="alice")
    assert await b.states(*ids) == ["cancelled", "cancelled"]
    await b.restart()
    await a.start()
    await b.up(a)
    await b.send("alice", "3")
    await b.drained("alice")
    assert await a.texts() == ["3"]
    assert await b.states(*ids) == ["cancelled", "cancelled"]


# -- journals that are gone, or older than what others have of them


async def test_a_wiped_receiver_gets_what_is_still_owed_to_it_and_nothing_twice(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.client.send_many("bob", numbers(0, 10))
    await a.drained("bob")
    await b.stop()
    wipe(b)
    await a.client.send_many("bob", numbers(10, 20))
    await b.start()
    await a.drained("bob")
    assert await b.texts() == numbers(10, 20)
    (gap,) = await b.history(types=["gap"])
    assert (gap["peer"]["name"], gap["after"]) == ("alice", None)


async def test_a_wiped_sender_gets_what_others_owe_it_and_is_heard_again(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.client.send_many("bob", numbers(0, 10))
    await a.drained("bob")
    await b.send("alice", "before")
    await b.drained("alice")
    await a.stop()
    wipe(a)
    await b.client.send_many("alice", ["owed 1", "owed 2"])
    await a.start()
    await a.connect(b)
    await a.client.send_many("bob", numbers(10, 20))
    await a.drained("bob")
    await b.drained("alice")
    assert await b.texts() == numbers(0, 20)
    assert await a.texts() == ["owed 1", "owed 2"]
    (gap,) = await a.history(types=["gap"])
    assert (gap["peer"]["name"], gap["after"]) == ("bob", None)


async def test_both_may_be_wiped_while_they_owe_each_other_something(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.send("bob", "1")
    await b.send("alice", "2")
    await a.drained("bob")
    await b.drained("alice")
    await a.stop()
    await b.stop()
    wipe(a)
    wipe(b)
    await b.start()
    await a.start()
    await a.connect(b)
    await a.send("bob", "3")
    await b.up(a)
    await b.send("alice", "4")
    await a.drained("bob")
    await b.drained("alice")
    assert (await a.texts(), await b.texts()) == (["4"], ["3"])
    assert not await a.history(types=["gap"])


@HOW
async def test_a_sender_restored_from_a_copy_that_owes_more_repeats_nothing(two_nodes: TwoNodes, how: str) -> None:
    """The copy owes 1 to 3; bob has them since, and more of an epoch that the copy does not know."""
    a, b = await two_nodes()
    await b.stop()
    await a.client.send_many("bob", ["1", "2", "3"])
    await a.stop()
    older = await copy(a)
    await b.start()
    await a.start()
    await a.client.send_many("bob", ["4", "5"])
    await a.drained("bob")
    await end(a, how)
    restore(a, older)
    await a.start()
    await a.drained("bob")
    await a.send("bob", "6")
    await a.drained("bob")
    assert await b.texts() == ["1", "2", "3", "4", "5", "6"]


async def test_a_receiver_restored_from_a_copy_gets_what_is_owed_and_tells_of_the_gap(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.client.send_many("bob", ["1", "2"])
    await a.drained("bob")
    await b.stop()
    older = await copy(b)
    await b.start()
    ids = await a.client.send_many("bob", ["3", "4"])
    await a.drained("bob")
    await b.stop()
    await a.client.send_many("bob", ["5", "6"])
    restore(b, older)
    await b.start()
    await a.drained("bob")
    assert await b.texts() == ["1", "2", "5", "6"]
    (gap,) = await b.history(types=["gap"])
    assert gap["through"] == ids[1]


async def test_peers_do_not_wait_for_each_others_backlogs(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await a.stop()
    await b.client.send_many("alice", numbers(0, 200))
    await b.client.send_many("carol", ["1", "2"])
    await b.drained("carol")
    assert await c.texts() == ["1", "2"]
    await a.start()
    await b.drained("alice")
    assert await a.texts() == numbers(0, 200)

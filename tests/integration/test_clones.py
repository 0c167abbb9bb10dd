"""A state directory that was copied and runs twice: its peer and both copies say so, and each copy can still talk."""

import shutil

from tests.harness.client import Feed
from tests.harness.network import LiveNode, Network


async def copied(network: Network) -> tuple[LiveNode, LiveNode, LiveNode]:
    """alice, and two nodes that are bob; both dial her."""
    a, b = await network.two_nodes(connected=False)
    await b.connect(a)
    await b.stop()
    twin = network.node("twin")
    shutil.copytree(b.state, twin.state)
    return a, b, twin


async def until_told(node: LiveNode, feed: Feed) -> str:
    """What `health` says once the node has noticed that bob is there twice."""
    await feed.until("peer.cloned")
    return " ".join((await node.ask("health"))["warnings"])


async def test_the_peer_of_two_copies_notices_and_tells_both(network: Network) -> None:
    a, b, twin = await copied(network)
    feed = await a.feed(types=["peer.cloned"])
    for node in (b, twin):
        await node.start()
    told = await until_told(a, feed)
    epochs = {(await node.ask("status"))["epoch"] for node in (b, twin)}
    assert set(feed.seen[-1]["epochs"]) == epochs
    assert (await a.ask("health"))["healthy"]
    assert "two nodes run with the identity of bob" in told
    assert (await a.peer("bob"))["cloned"]
    for node in (b, twin):
        while not (warnings := (await node.ask("health"))["warnings"]):
            await node.wait_state("alice", "up")
            await node.node.registry.changed.wait()
        assert "reported by alice" in warnings[0]
        assert (await node.ask("health"))["healthy"]


async def test_what_each_copy_sends_still_arrives_once(network: Network) -> None:
    a, b, twin = await copied(network)
    feed = await a.feed(types=["message"], direction="in")
    for node in (b, twin):
        await node.start()
    for number in range(5):
        for node in (b, twin):
            await node.send("alice", f"{number} of {node.directory}")
    wanted = {f"{number} of {node.directory}" for number in range(5) for node in (b, twin)}
    while {str(event["text"]) for event in feed.seen} != wanted:
        await feed.next()
    assert len(feed.seen) == len(wanted)


async def test_after_one_copy_has_stopped_the_other_stays_linked(network: Network) -> None:
    a, b, twin = await copied(network)
    feed = await a.feed(types=["peer.cloned"])
    for node in (b, twin):
        await node.start()
    await until_told(a, feed)
    await twin.stop()
    await b.wait_state("alice", "up")
    await b.send("alice", "alone", wait="delivered", timeout=10)

"""Retention in a whole node: younger history goes, what is owed stays and arrives."""

from typing import Any

import trio

from tests.harness.network import LiveNode, Network

KIB, MIB = 1 << 10, 1 << 20
SMALL: dict[str, Any] = {"retain_bytes": 3 * MIB, "tail_bytes": 64 * KIB}


async def raised(node: LiveNode, above: int) -> None:
    """Wait until the floor is above that seq."""
    journal = node.node.journal
    while journal.floor <= above:
        await journal.responds()


async def deliver(node: LiveNode, peer: str, times: int) -> None:
    """So many thousand messages, each thousand when the one before has arrived."""
    found = node.node.registry.find(peer)
    for _ in range(times):
        await node.client.send_many(peer, ["x" * 300 for _ in range(1000)])
        while found.delivery.outbox.count:
            await found.delivery.progress.wait()
        await trio.sleep(1.0)  # virtual: deleting goes on meanwhile


def below_floor(node: LiveNode) -> int:
    """How many rows there are at or below the floor."""
    journal = node.node.journal
    return int(journal.store.query("SELECT count(*) FROM events WHERE seq <= (SELECT seq FROM floor)")[0][0])


async def test_a_backlog_that_is_owed_survives_while_younger_history_goes(network: Network) -> None:
    a, b, c = await network.start(3, connected=False, **SMALL)
    a.loses_events = c.loses_events = True
    await a.connect(b)
    await a.connect(c)
    await c.up(a)
    await b.stop()
    await a.wait_state("bob", "dialing")
    owed = [f"{number:4} for bob" for number in range(500)]
    await a.client.send_many("bob", owed)
    last = a.node.journal.committed
    await deliver(a, "carol", 8)
    await raised(a, last + 1000)
    assert below_floor(a) == 500
    await a.restart()
    assert (await a.peer("bob"))["queued"] == 500
    await b.start()
    inbox = await b.feed("start", types=["message"], direction="in")
    assert await inbox.texts(500) == owed
    while below_floor(a):
        await a.node.journal.responds()
    assert await b.texts() == owed


async def test_a_node_that_is_written_to_all_the_time_does_not_grow_without_bound(network: Network) -> None:
    a, b = await network.two_nodes(**SMALL)
    a.loses_events = b.loses_events = True
    await deliver(a, "bob", 15)
    for node in (a, b):
        journal = node.node.journal
        await raised(node, 9_000)
        assert journal.store.query("PRAGMA page_count")[0][0] * 8192 < 12 * MIB
        assert journal.store.size() < 36 * MIB


async def test_history_goes_by_its_age_while_the_node_runs(network: Network) -> None:
    (a,) = await network.start(1, connected=False, retain_age=1.0)
    a.loses_events = True
    journal = a.node.journal
    newest = journal.committed
    await raised(a, newest - 1)
    assert below_floor(a) == 0
    assert journal.position(newest).startswith(journal.epoch)

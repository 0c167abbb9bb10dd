"""A state directory that is moved away while the node runs: what is refused, what is delivered, and how it ends."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from chatd import maintenance
from chatd.failures import StorageFailure
from chatd.journal import files
from chatd.journal.journal import LOST
from tests.harness.client import Hung, Refused
from tests.harness.network import LiveNode, Network

TICK_S = 0.05


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are frequent, and a node without its files does not stay for long."""
    monkeypatch.setattr(files, "CHECK_S", TICK_S)
    monkeypatch.setattr(maintenance, "TICK_S", TICK_S)
    monkeypatch.setattr(maintenance, "CHECK_S", TICK_S)
    monkeypatch.setattr(maintenance, "STOP_AFTER_S", 0.5)


def move_away(node: LiveNode) -> str:
    """Where the state directory was. The node finds its files where they are now when it is started again."""
    before = node.state
    node.state = before + ".away"
    os.rename(before, node.state)
    return before


def put_back(node: LiveNode, path: str) -> None:
    os.rename(node.state, path)
    node.state = path


async def lost(node: LiveNode, *, is_lost: bool = True) -> None:
    """Wait until the node has noticed."""
    while (LOST.message in (await node.ask("health"))["problems"]) is not is_lost:
        continue


@asynccontextmanager
async def ending(node: LiveNode) -> AsyncIterator[None]:
    """In the block the node ends, with the exit status of a storage that is not to be trusted."""
    yield
    failure = await node.failed()
    assert isinstance(failure, StorageFailure)
    assert failure.exit_code == 4
    assert "removed or replaced" in str(failure)


async def refusal(node: LiveNode) -> str:
    """The kind of error that a `send` to bob ends with, however often it has to be tried."""
    while True:
        try:
            await node.send("bob", "too late")
        except Refused as refused:
            return refused.kind


async def test_new_messages_are_refused_and_the_node_ends_with_status_4(network: Network) -> None:
    a, b = await network.two_nodes()
    await a.send(b, "before")
    await a.drained("bob")
    async with ending(a):
        move_away(a)
        assert await refusal(a) == "storage_lost"
        assert LOST.message in (await a.ask("health"))["problems"]
        assert "before" in await a.texts("out")
    assert "before" in await b.texts()


async def test_what_was_accepted_for_an_offline_peer_is_delivered_before_the_node_ends(network: Network) -> None:
    a, b = await network.two_nodes()
    await b.stop()
    await a.send(b, "owed")
    async with ending(a):
        move_away(a)
        await lost(a)
        await trio.sleep(2 * maintenance.STOP_AFTER_S)
        assert (await a.peer("bob"))["queued"] == 1
        await b.start()
        inbox = await b.feed("start", types=["message"], direction="in")
        await inbox.until("message", text="owed")
    assert await b.texts() == ["owed"]


async def test_what_is_never_fetched_does_not_keep_it_for_ever(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "DELIVER_S", 1.0)
    a, b = await network.two_nodes()
    await b.stop()
    await a.send(b, "owed")
    move_away(a)
    failure = await a.failed()
    assert "1 undelivered messages are lost" in str(failure)


async def test_what_peers_send_meanwhile_stays_with_them_and_arrives_once_after_the_restart(network: Network) -> None:
    a, b = await network.two_nodes()
    async with ending(a):
        path = move_away(a)
        await lost(a)
        await b.send(a, "1")
        await b.send(a, "2")
        await b.ask("ping", peer="alice")  # both were read before it was answered
        assert (await b.peer("alice"))["queued"] == 2
    put_back(a, path)
    await a.start()
    await b.drained("alice")
    await b.send(a, "3")
    await b.drained("alice")
    assert await a.texts() == ["1", "2", "3"]


async def test_a_directory_that_is_back_in_time_is_as_if_never_gone(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "STOP_AFTER_S", 60.0)
    a, b = await network.two_nodes(ping_after=0.2)
    path = move_away(a)
    assert await refusal(a) == "storage_lost"
    await b.send(a, "1")
    put_back(a, path)
    await lost(a, is_lost=False)
    await b.send(a, "2")
    await b.drained("alice")
    await a.send(b, "3")
    await a.drained("bob")
    assert await a.texts() == ["1", "2"]
    while not (await a.ask("health"))["healthy"]:  # the identity is looked for at another time
        continue
    assert (await b.texts())[-1] == "3"


async def test_asked_to_stop_it_ends_with_status_4_at_once(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "STOP_AFTER_S", 60.0)
    a, _ = await network.two_nodes()
    async with ending(a):
        move_away(a)
        await lost(a)
        try:
            await a.ask("shutdown")
        except Hung:
            assert not a.running


async def test_a_copy_that_was_put_in_its_place_is_not_written_to(network: Network) -> None:
    (a,) = await network.start(1)
    async with ending(a):
        copy = Path(move_away(a))
        restore(copy)
    assert content(copy) == {"journal.db": b"a restored copy", "journal.db-wal": b"a restored copy"}


def restore(directory: Path) -> None:
    directory.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (directory / name).write_bytes(b"a restored copy")


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def test_a_log_that_alone_is_gone_is_noticed_too_and_what_was_in_it_is_kept(network: Network) -> None:
    a, b = await network.two_nodes()
    await a.send(b, "in the log alone")
    await a.drained("bob")
    async with ending(a):
        os.unlink(a.database + "-wal")
        await lost(a)
    await a.start()
    assert "in the log alone" in await a.texts("out")

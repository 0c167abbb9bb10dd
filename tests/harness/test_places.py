"""Whole nodes are in memory unless a test says otherwise, and a run in memory is the same every time."""

from time import monotonic

import pytest
import trio
from trio.testing import MockClock

from tests.harness.network import Network, networking
from tests.harness.places import PLACE, Loopback, Memory, address_of, dial, listen, run_in_memory

WHILE_S = 300.0


async def test_nodes_are_in_memory_by_default(network: Network) -> None:
    assert isinstance(PLACE.get(), Memory)
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    (a,) = await network.start(1)
    with pytest.raises(OSError, match="failed"):
        await trio.open_tcp_stream("127.0.0.1", a.port)


@pytest.mark.loopback
async def test_nodes_of_a_test_that_is_marked_have_real_sockets_and_real_time(network: Network) -> None:
    assert isinstance(PLACE.get(), Loopback)
    assert not isinstance(trio.lowlevel.current_clock(), MockClock)
    (a,) = await network.start(1)
    async with await trio.open_tcp_stream("127.0.0.1", a.port):
        assert (await a.ask("status"))["listen"] == [a.address]


async def talk() -> list[object]:
    """What two nodes have in their journals after some minutes and a restart."""
    async with networking() as network:
        a, b = await network.two_nodes()
        for number in range(3):
            await a.send(b, str(number), wait="delivered")
        await b.restart()
        await a.up(b)
        await trio.sleep(WHILE_S)
        await b.send("alice", "much later", wait="delivered")
        return [a.id, b.id, await a.history(), await b.history()]


def test_a_run_in_memory_is_the_same_every_time_and_does_not_wait() -> None:
    began = monotonic()
    first = run_in_memory(talk)
    assert first == run_in_memory(talk)
    assert monotonic() - began < WHILE_S


async def test_who_listens_in_memory_is_reached_at_its_address(network: Network) -> None:
    async with await listen() as listener:
        ours = await dial(address_of(listener))
        theirs = await listener.accept()
        await ours.send_all(b"hello")
        assert await theirs.receive_some() == b"hello"
        await ours.aclose()
        assert await theirs.receive_some() == b""
    with pytest.raises(OSError, match="refused"):
        await dial(address_of(listener))

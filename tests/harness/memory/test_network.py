"""The simulated network behaves like TCP, as far as chatd can tell."""

import socket
import struct
from random import Random

import pytest
import trio
from trio.testing import MockClock

from tests.harness.memory.network import MemoryNetwork, MemoryStream
from tests.harness.memory.pipes import WINDOW

ONE, OTHER = "10.0.0.1", "10.0.0.2"


async def connected(network: MemoryNetwork) -> tuple[MemoryStream, MemoryStream]:
    listener = network.listen(OTHER, 1)
    dialed = await network.dial(ONE, OTHER, 1)
    return dialed, await listener.accept()


async def test_what_is_written_arrives_in_order_after_the_delay(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    network.wire(ONE, OTHER).latency, network.wire(ONE, OTHER).jitter = 0.5, 2.0
    dialed, accepted = await connected(network)
    began = trio.current_time()
    for number in range(10):
        await dialed.send_all(bytes([number]))
    await dialed.send_eof()
    got = b""
    while data := await accepted.receive_some(100):
        got += data
    assert got == bytes(range(10))
    assert trio.current_time() - began >= 0.5


async def test_nobody_listens(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionRefusedError):
        await MemoryNetwork(Random(1)).dial(ONE, OTHER, 1)


async def test_a_held_wire_delivers_when_it_is_let_go(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    dialed, accepted = await connected(network)
    network.wire(ONE, OTHER).hold(True)
    await dialed.send_all(b"later")
    with trio.move_on_after(100) as scope:
        await accepted.receive_some(100)
    assert scope.cancelled_caught
    network.wire(ONE, OTHER).hold(False)
    assert await accepted.receive_some(100) == b"later"


async def test_a_cut_connection_gives_a_beginning_of_what_was_under_way_then_a_reset(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(Random(5))
    dialed, accepted = await connected(network)
    await dialed.send_all(b"x" * 1000)
    network.connections[0].cut(network.random)
    got = list[bytes]()

    async def receive() -> None:
        while True:
            got.append(await accepted.receive_some(100))

    with pytest.raises(trio.BrokenResourceError):
        await receive()
    assert 0 < len(b"".join(got)) < 1000
    with pytest.raises(trio.BrokenResourceError):
        await dialed.receive_some(100)


async def test_a_lost_connection_is_silent(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    dialed, accepted = await connected(network)
    network.connections[0].lose()
    await dialed.send_all(b"x")
    accepted.socket.close()
    with trio.move_on_after(1000) as scope:
        await dialed.receive_some(100)
    assert scope.cancelled_caught


async def test_a_writer_waits_for_a_reader(autojump_clock: MockClock) -> None:
    dialed, accepted = await connected(MemoryNetwork(Random(1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dialed.send_all, b"x" * (WINDOW + 1))
        await trio.sleep(10)
        assert nursery.child_tasks
        await accepted.receive_some(100)


async def test_closing_with_unread_input_is_a_reset(autojump_clock: MockClock) -> None:
    dialed, accepted = await connected(MemoryNetwork(Random(1)))
    await dialed.send_all(b"never read")
    await trio.sleep(1)
    accepted.socket.close()
    with pytest.raises(trio.BrokenResourceError):
        await dialed.receive_some(100)


async def test_who_may_not_linger_is_reset(autojump_clock: MockClock) -> None:
    dialed, accepted = await connected(MemoryNetwork(Random(1)))
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await accepted.send_all(b"on its way")
    accepted.socket.close()
    with pytest.raises(trio.BrokenResourceError):
        await dialed.receive_some(100)


async def test_closing_after_all_was_read_is_an_end(autojump_clock: MockClock) -> None:
    dialed, accepted = await connected(MemoryNetwork(Random(1)))
    await dialed.send_all(b"x")
    assert await accepted.receive_some(100) == b"x"
    accepted.socket.close()
    assert await dialed.receive_some(100) == b""
    with pytest.raises(trio.BrokenResourceError):
        await dialed.send_all(b"x")

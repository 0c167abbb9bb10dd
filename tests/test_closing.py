"""Parting: what the other side can read at the end of a connection, and what bounds it."""

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from chatd import closing
from chatd.closing import GracefulClose

Pair = tuple[trio.socket.SocketType, trio.socket.SocketType]


async def tcp() -> Pair:
    listener = trio.socket.socket()
    with listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs = trio.socket.socket()
        await theirs.connect(listener.getsockname())
        ours, _ = await listener.accept()
        return ours, theirs


@pytest.fixture(params=["unix", "tcp"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Our end and theirs."""
    ours, theirs = trio.socket.socketpair() if request.param == "unix" else await tcp()
    with ours, theirs:
        yield ours, theirs


async def test_who_has_written_more_than_was_read_gets_the_last_words_and_a_fin(
    pair: Pair, nursery: trio.Nursery
) -> None:
    ours, theirs = pair
    await theirs.send(b"never read")

    async def leave() -> None:
        with ours:
            await GracefulClose().shut_down(ours, b"goodbye\n")

    nursery.start_soon(leave)
    assert await theirs.recv(100) == b"goodbye\n"
    await theirs.send(b"x" * 1000)
    assert await theirs.recv(100) == b""
    assert ours.fileno() != -1
    theirs.shutdown(socket.SHUT_WR)
    while ours.fileno() != -1:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("last_words", [b"", b"x" * 10_000_000])
async def test_who_neither_reads_nor_closes_is_left_in_time(
    pair: Pair, autojump_clock: trio.testing.MockClock, last_words: bytes
) -> None:
    began = trio.current_time()
    await GracefulClose().shut_down(pair[0], last_words, within=5)
    assert trio.current_time() - began == 5


async def test_who_never_stops_to_write_is_left(
    pair: Pair, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(closing, "MOST_BYTES", 1 << 20)

    async def write() -> None:
        try:
            while True:
                await theirs.send(b"x" * 65536)
        except OSError:
            return

    nursery.start_soon(write)
    await GracefulClose().shut_down(ours, within=float("inf"))
    ours.close()


async def test_who_has_gone_already_is_no_error(pair: Pair) -> None:
    ours, theirs = pair
    await theirs.send(b"x")
    theirs.close()
    await GracefulClose().shut_down(ours, b"goodbye")


async def test_of_too_many_the_oldest_is_left_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST", 2)
    leaving, left = GracefulClose(), []
    pairs = [trio.socket.socketpair() for _ in range(3)]

    async def leave(number: int) -> None:
        await leaving.shut_down(pairs[number][0])
        left.append((number, trio.current_time()))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(leave, number)
            await trio.testing.wait_all_tasks_blocked()
    assert left[0] == (0, began)
    assert sorted(left[1:]) == [(1, began + closing.WITHIN_S), (2, began + closing.WITHIN_S)]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()

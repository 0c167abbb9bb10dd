"""Buffered writing to a room client, over loopback sockets, the buffers of which are filled; time is a mock clock's."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.net.roomport.writer import ClientWriter, _end_of_lines
from tests.harness.connections import loopback, reset
from tests.harness.linked_node import config_of

TEXT = b"x" * 99 + b"\n"
CHUNK = b"y" * 65535 + b"\n"


class Rig(msgspec.Struct):
    """A writer and the other end of its connection. `reasons`: the calls of `cut`."""

    writer: ClientWriter
    stream: trio.SocketStream
    nursery: trio.Nursery
    reasons: list[str]
    is_cut: trio.Event

    @property
    def tasks(self) -> int:
        """Number of writing tasks."""
        return len(self.nursery.child_tasks)

    async def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += await self.stream.receive_some(count - len(data))
        return data

    def fill(self) -> bytes:
        """Write until the socket accepts nothing more; return what was written."""
        data = b""
        while not self.writer.buffered:
            self.writer.write(CHUNK)
            data += CHUNK
        return data


@asynccontextmanager
async def client_writer(**settings: Any) -> AsyncIterator[Rig]:
    """A writer with small socket buffers; no task of it is left at the end."""
    ours, theirs = await loopback()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    reasons: list[str] = []
    is_cut = trio.Event()

    def cut(reason: str) -> None:
        reasons.append(reason)
        is_cut.set()

    async with ours, theirs, trio.open_nursery() as nursery:
        writer = ClientWriter(ours.socket.fileno(), config_of(**settings), nursery, cut)
        yield Rig(writer, theirs, nursery, reasons, is_cut)
        writer.close()
        nursery.cancel_scope.cancel()


async def test_what_the_socket_takes_is_written_at_once_by_no_task() -> None:
    async with client_writer() as rig:
        for _ in range(100):
            rig.writer.write(TEXT)
        assert (rig.writer.buffered, rig.tasks) == (0, 0)
        assert await rig.read(100 * len(TEXT)) == 100 * TEXT


async def test_what_it_does_not_take_waits_and_is_written_in_order() -> None:
    async with client_writer() as rig:
        data = rig.fill()
        for number in range(1000):
            rig.writer.write(b"line %d\n" % number)
            data += b"line %d\n" % number
        rig.writer.write(CHUNK)
        assert rig.tasks == 1
        assert await rig.read(len(data) + len(CHUNK)) == data + CHUNK
        await trio.testing.wait_all_tasks_blocked()
        assert (rig.writer.buffered, rig.tasks, rig.reasons) == (0, 0, [])
        rig.writer.write(TEXT)
        assert await rig.read(len(TEXT)) == TEXT


async def test_small_pieces_that_wait_are_put_together_and_large_ones_shared() -> None:
    async with client_writer() as rig:
        rig.fill()
        for _ in range(1000):
            rig.writer.write(TEXT)
        rig.writer.write(CHUNK)
        rig.writer.write(TEXT)
        pieces = rig.writer._ready
        assert len(pieces) < 40
        assert pieces[-2] is CHUNK


async def test_of_one_that_does_not_read_so_much_is_kept_and_then_it_is_cut() -> None:
    async with client_writer(plain_buffer_bytes=262144) as rig:
        rig.fill()
        most = 0
        for _ in range(10):
            rig.writer.write(CHUNK)
            most = max(most, rig.writer.buffered)
        assert rig.reasons == ["too slow"]
        assert most <= 262144
        assert rig.writer.buffered == 0


async def test_one_that_takes_nothing_for_so_long_is_cut(mock_clock: MockClock) -> None:
    async with client_writer(plain_stall=7.0) as rig:
        rig.fill()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(6.9)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.reasons == []
        mock_clock.jump(0.1)
        await rig.is_cut.wait()
        assert rig.reasons == ["stalled"]


async def test_one_that_takes_a_little_now_and_then_is_not_cut(mock_clock: MockClock) -> None:
    async with client_writer(plain_stall=7.0, plain_buffer_bytes=1 << 24) as rig:
        data = rig.fill()
        for _ in range(10):
            rig.writer.write(CHUNK)
            data += CHUNK
        got = b""
        while len(got) < len(data):
            got += await rig.read(min(len(data) - len(got), len(data) // 8))
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(3.4)
        assert got == data
        assert trio.current_time() > 2 * 7.0
        assert rig.reasons == []


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_reset_is_told_as_one(*, waiting: bool) -> None:
    async with client_writer() as rig:
        if waiting:
            rig.fill()
        reset(rig.stream)
        while not rig.reasons:
            rig.writer.write(TEXT)
            await trio.lowlevel.checkpoint()
        assert set(rig.reasons) == {"reset"}


async def test_after_its_end_nothing_is_written_nor_kept() -> None:
    async with client_writer() as rig:
        rig.writer.close()
        rig.writer.write(TEXT)
        rig.writer.set_paced(True)
        rig.writer.write(TEXT)
        assert (rig.writer.buffered, rig.tasks, rig.reasons) == (0, 0, [])


# -- paced


async def test_a_paced_client_gets_each_text_as_one_read_without_its_newline(autojump_clock: MockClock) -> None:
    async with client_writer(plain_pace=2.0) as rig:
        rig.writer.set_paced(True)
        began = trio.current_time()
        for number in range(3):
            rig.writer.write(b"text %d\n" % number)
            assert await rig.stream.receive_some() == b"text %d" % number
            assert trio.current_time() == began + number * 2.0


async def test_texts_that_come_faster_than_the_pace_are_one_read_with_newlines_between(
    autojump_clock: MockClock,
) -> None:
    async with client_writer(plain_pace=2.0) as rig:
        rig.writer.set_paced(True)
        rig.writer.write(b"one\n")
        assert await rig.stream.receive_some() == b"one"
        began = trio.current_time()
        rig.writer.write(b"two\n")
        rig.writer.write(b"three\nfour\n")
        assert await rig.stream.receive_some() == b"two\nthree\nfour"
        assert trio.current_time() == began + 2.0


async def test_a_read_of_a_paced_client_ends_between_two_texts(autojump_clock: MockClock) -> None:
    async with client_writer(plain_pace=0.01) as rig:
        rig.writer.set_paced(True)
        text = "é" * 200
        rig.writer.write(b"first\n")
        assert await rig.stream.receive_some() == b"first"
        for _ in range(5):
            rig.writer.write(text.encode() + b"\n")
        reads = [await rig.stream.receive_some() for _ in range(3)]
        assert [data.decode().split("\n") for data in reads] == [[text] * 2, [text] * 2, [text]]


async def test_where_much_waits_a_paced_client_gets_more_at_once(autojump_clock: MockClock) -> None:
    async with client_writer(plain_pace=0.01) as rig:
        rig.writer.set_paced(True)
        rig.writer.write(TEXT * 4000)
        lines, reads = 0, 0
        while lines < 4000:
            lines += len((await rig.stream.receive_some(65536)).split(b"\n"))
            reads += 1
        assert lines == 4000
        assert reads < 100


async def test_one_that_shows_that_it_knows_lines_gets_what_waits_at_once(autojump_clock: MockClock) -> None:
    async with client_writer(plain_pace=10.0) as rig:
        rig.writer.set_paced(True)
        rig.writer.write(b"one\n")
        assert await rig.stream.receive_some() == b"one"
        rig.writer.write(b"two\n")
        rig.writer.set_paced(False)
        rig.writer.write(b"three\n")
        began = trio.current_time()
        assert await rig.read(10) == b"two\nthree\n"
        assert trio.current_time() == began


@pytest.mark.parametrize(("most", "end"), [(1, 4), (3, 4), (4, 4), (6, 4), (7, 8), (100, 12)])
def test_lines_are_cut_behind_the_last_that_fits(most: int, end: int) -> None:
    assert _end_of_lines(b"one\ntwo\nsix\n", most) == end

"""Faulty connections, on a mock clock: exact delays, silence, and what becomes of one that is closed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from chatd.api.results import Impairment, LinkFaults
from chatd.net.faults.connection import LINGER_S, FaultySocket, FaultyStream
from chatd.net.faults.shaper import Meter
from tests.harness.connections import in_memory

DELAY = Impairment(delay=0.2)
CUT = Impairment(cut=True)


class Ends:
    """A faulty stream, and the plain other end; `told` is who lingered or ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.other, inner = in_memory()
        self.told: list[FaultySocket] = []
        self.meters = Meter(), Meter()

        def start(run: Callable[[], Awaitable[None]]) -> None:
            nursery.start_soon(run)

        self.sock = FaultySocket(inner, start, Random(2), self.told.append)
        self.stream = FaultyStream(inner, self.sock)

    def suffer(self, out: Impairment | None = None, in_: Impairment | None = None) -> None:
        self.sock.impair(LinkFaults(out or Impairment(), in_ or Impairment()), *self.meters)

    async def silent(self, seconds: float) -> bool:
        """Whether the other end is told nothing for so long."""
        with trio.move_on_after(seconds):
            await self.other.receive_some()
            return False
        return True


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    async with trio.open_nursery() as nursery:
        yield Ends(nursery)
        nursery.cancel_scope.cancel()


async def test_without_faults_it_is_the_connection_itself(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        await both.stream.send_all(b"hello")
        assert await both.other.receive_some() == b"hello"
        await both.other.send_all(b"and back")
        assert await both.stream.receive_some() == b"and back"
        await both.stream.send_eof()
        assert await both.other.receive_some() == b""
        await both.other.aclose()
        assert await both.stream.receive_some() == b""
        await both.stream.aclose()
        assert both.told == [both.sock]
        assert not both.sock.shaped


async def test_without_faults_a_write_to_an_end_that_is_gone_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        await both.stream.send_all(b"never read")
        await both.other.aclose()
        await trio.sleep(1)
        with pytest.raises(trio.BrokenResourceError):
            await both.stream.send_all(b"more")


async def test_what_goes_out_is_late_by_the_delay_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(out=DELAY)
        start = trio.current_time()
        await both.stream.send_all(b"a")
        await trio.sleep(0.05)
        await both.stream.send_all(b"b")
        assert trio.current_time() == start + 0.05
        assert await both.other.receive_some() == b"a"
        assert trio.current_time() == pytest.approx(start + 0.2)
        assert await both.other.receive_some() == b"b"
        assert trio.current_time() == pytest.approx(start + 0.25)
        await both.other.send_all(b"not this way")
        before = trio.current_time()
        assert await both.stream.receive_some() == b"not this way"
        assert trio.current_time() == before


async def test_what_comes_in_is_late_although_nobody_read_meanwhile(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(in_=DELAY)
        start = trio.current_time()
        await both.other.send_all(b"a")
        await trio.sleep(0.15)
        await both.other.send_all(b"b")
        assert await both.stream.receive_some() == b"a"
        assert trio.current_time() == pytest.approx(start + 0.2)
        assert await both.stream.receive_some() == b"b"
        assert trio.current_time() == pytest.approx(start + 0.35)


async def test_a_read_that_waits_already_gets_what_comes_late(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both, trio.open_nursery() as nursery:
        found: list[tuple[bytes, float]] = []

        async def read() -> None:
            found.append((await both.stream.receive_some(), trio.current_time()))

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        both.suffer(in_=DELAY)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        await both.other.send_all(b"late")
        await trio.sleep(1)
        ((data, at),) = found
        assert data == b"late"
        assert at == pytest.approx(start + 0.2)


async def test_a_look_at_the_first_byte_takes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(in_=DELAY)
        await both.other.send_all(b"xy")
        assert await both.sock.recv(1, 2) == b"x"
        assert await both.sock.recv(10) == b"xy"


async def test_a_cut_is_silence_and_afterwards_nothing_is_missing(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both, trio.open_nursery() as nursery:
        both.suffer(out=CUT, in_=CUT)
        await both.stream.send_all(b"one")
        await both.other.send_all(b"two")
        await both.other.send_eof()
        heard: list[bytes] = []

        async def read() -> None:
            while data := await both.stream.receive_some():
                heard.append(data)
            heard.append(b"")

        nursery.start_soon(read)
        assert await both.silent(100)
        assert heard == []
        both.suffer()
        assert await both.other.receive_some() == b"one"
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [b"two", b""]


async def test_one_that_is_closed_while_cut_tells_the_other_end_only_when_it_is_healed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ends() as both:
        both.suffer(out=CUT, in_=CUT)
        await both.stream.send_all(b"last words")
        await both.stream.aclose()
        assert both.sock.lingers
        with pytest.raises(trio.ClosedResourceError):
            await both.stream.send_all(b"more")
        with pytest.raises(trio.ClosedResourceError):
            await both.stream.receive_some()
        assert await both.silent(1000)
        both.suffer()
        assert await both.other.receive_some() == b"last words"
        assert await both.other.receive_some() == b""
        assert not both.sock.lingers
        assert both.told == [both.sock, both.sock]


async def test_one_with_nothing_under_way_that_is_closed_while_cut_says_nothing_either(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ends() as both:
        both.suffer(out=CUT)
        await both.stream.aclose()
        assert await both.silent(1000)
        both.suffer()
        assert await both.other.receive_some() == b""


@pytest.mark.parametrize("cut", ["out", "in_"])
async def test_a_cut_of_one_direction_lets_the_other_through(cut: str, autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(**{cut: CUT})
        await both.stream.send_all(b"forth")
        await both.other.send_all(b"back")
        assert await both.silent(10) == (cut == "out")
        with trio.move_on_after(10) as scope:
            await both.stream.receive_some()
        assert scope.cancelled_caught == (cut == "in_")


async def test_a_cut_link_is_not_read_so_its_sender_is_slowed(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(in_=CUT)
        with trio.move_on_after(10) as scope:
            await both.other.send_all(bytes(1 << 20))
        assert scope.cancelled_caught


async def test_what_is_on_its_way_when_it_is_closed_still_arrives_then_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ends() as both:
        both.suffer(out=DELAY)
        start = trio.current_time()
        await both.stream.send_all(b"goodbye")
        await both.stream.aclose()
        assert await both.other.receive_some() == b"goodbye"
        assert trio.current_time() == pytest.approx(start + 0.2)
        assert await both.other.receive_some() == b""
        assert not both.sock.lingers


async def test_what_nobody_takes_is_given_up_in_the_end(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(out=Impairment(delay=0.01))
        await both.stream.send_all(bytes(1 << 20))
        await both.stream.aclose()
        assert both.sock.lingers
        await trio.sleep(LINGER_S + 2)
        assert not both.sock.lingers


async def test_what_nobody_takes_is_given_up_also_where_it_was_closed_while_flapping(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with ends() as both:
        both.suffer(out=Impairment(flap=5.0))
        await both.stream.send_all(bytes(1 << 20))
        await both.stream.aclose()
        await trio.sleep(5 + LINGER_S - 1)
        assert both.sock.lingers
        await trio.sleep(3)
        assert not both.sock.lingers


async def test_when_the_node_stops_what_is_on_its_way_goes_out_at_once() -> None:
    clock_ends: list[Ends] = []
    async with ends() as both:
        clock_ends.append(both)
        both.suffer(out=Impairment(delay=600.0))
        await both.stream.send_all(b"not lost")
        await trio.testing.wait_all_tasks_blocked()
    assert await clock_ends[0].other.receive_some() == b"not lost"
    assert await clock_ends[0].other.receive_some() == b""


async def test_when_the_node_stops_a_cut_link_still_says_nothing() -> None:
    clock_ends: list[Ends] = []
    async with ends() as both:
        clock_ends.append(both)
        both.suffer(out=CUT)
        await both.stream.send_all(b"held")
        await trio.testing.wait_all_tasks_blocked()
    assert await clock_ends[0].other.receive_some() == b""


@pytest.mark.parametrize("impairment", [None, DELAY, CUT])
async def test_a_reset_breaks_reads_and_writes_at_once(
    impairment: Impairment | None, autojump_clock: trio.testing.MockClock
) -> None:
    async with ends() as both, trio.open_nursery() as nursery:
        both.suffer(impairment, impairment)
        broken: list[BaseException | None] = []

        async def read() -> None:
            with pytest.raises(trio.BrokenResourceError) as caught:
                await both.stream.receive_some()
            broken.append(caught.value.__cause__)

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        both.sock.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert [type(cause) for cause in broken] == [ConnectionResetError]
        with pytest.raises(trio.BrokenResourceError):
            await both.stream.send_all(b"x")
        both.sock.reset()
        await both.stream.aclose()


async def test_a_reset_of_the_other_end_comes_late_like_everything(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as both:
        both.suffer(in_=DELAY)
        await both.stream.send_all(b"unread")
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        await both.other.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await both.stream.receive_some()
        assert trio.current_time() == pytest.approx(start + 0.2)
        await both.stream.send_all(b"x")
        await trio.sleep(1)
        with pytest.raises(trio.BrokenResourceError):
            await both.stream.send_all(b"x")


async def test_a_thousand_changes_lose_and_turn_nothing(autojump_clock: trio.testing.MockClock) -> None:
    random = Random(3)
    async with ends() as both, trio.open_nursery() as nursery:
        said, heard, done = random.randbytes(200_000), bytearray(), trio.Event()

        async def write() -> None:
            for start in range(0, len(said), 500):
                await both.stream.send_all(said[start : start + 500])
                await trio.sleep(0.01)
            await both.stream.send_eof()

        async def read() -> None:
            while data := await both.other.receive_some():
                heard.extend(data)
            done.set()

        nursery.start_soon(write)
        nursery.start_soon(read)
        for _ in range(1000):
            both.suffer(
                Impairment(
                    delay=random.choice((0.0, 0.05)),
                    jitter=random.choice((0.0, 0.05)),
                    loss=random.choice((0.0, 0.1)),
                    rate=random.choice((0, 50_000)),
                    cut=random.random() < 0.1,
                    flap=random.choice((0.0, 0.02)),
                )
            )
            await trio.sleep(random.uniform(0, 0.02))
        both.suffer()
        with trio.fail_after(1000):
            await done.wait()
        assert heard == said

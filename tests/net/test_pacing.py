"""Pacer, on a clock that does not run by itself."""

import trio
import trio.testing

from chatd.net.pacing import Pacer


async def test_without_a_burst_units_are_an_interval_apart(autojump_clock: trio.testing.MockClock) -> None:
    pacer, began = Pacer(0.03), trio.current_time()
    times = []
    for _ in range(3):
        await pacer.wait()
        times.append(round(trio.current_time() - began, 6))
        pacer.spend()
    assert times == [0.0, 0.03, 0.06]


async def test_after_a_pause_a_burst_is_free_and_no_more_is_saved_up(autojump_clock: trio.testing.MockClock) -> None:
    pacer = Pacer(0.1, burst_s=1.0)
    for _ in range(2):
        await trio.sleep(100)
        began = trio.current_time()
        for _ in range(10):
            await pacer.wait()
            pacer.spend()
        assert trio.current_time() == began
        pacer.spend(5)
        await pacer.wait()
        assert round(trio.current_time() - began, 6) == 0.5


async def test_the_wait_can_be_limited(autojump_clock: trio.testing.MockClock) -> None:
    pacer, began = Pacer(3600.0), trio.current_time()
    pacer.spend()
    await pacer.wait(at_most_s=0.3)
    assert round(trio.current_time() - began, 6) == 0.3

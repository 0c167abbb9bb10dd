from collections.abc import Callable
from typing import Any

import trio
import trio.testing

from chatd.sync import Broadcast, Waker


async def blocks(function: Callable[[], Any]) -> bool:
    """Whether it still waits when nothing else can run."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function)
        await trio.testing.wait_all_tasks_blocked()
        waiting = bool(nursery.child_tasks)
        nursery.cancel_scope.cancel()
    return waiting


async def test_a_waker_keeps_one_wake_for_the_next_wait() -> None:
    waker = Waker()
    assert await blocks(waker.wait)
    waker.wake()
    waker.wake()
    assert not await blocks(waker.wait)
    assert await blocks(waker.wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waker.wait)
        await trio.testing.wait_all_tasks_blocked()
        waker.wake()


async def test_a_wait_that_was_cancelled_loses_no_wake() -> None:
    waker = Waker()
    with trio.CancelScope() as scope:
        scope.cancel()
        waker.wake()
        await waker.wait()
    assert scope.cancelled_caught
    assert not await blocks(waker.wait)


async def test_a_broadcast_wakes_everybody_who_waits_and_nobody_later() -> None:
    broadcast = Broadcast()
    broadcast.notify()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broadcast.wait)
        nursery.start_soon(broadcast.wait)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 2
        broadcast.notify()
    assert await blocks(broadcast.wait)

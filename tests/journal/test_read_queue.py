from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from chatd.journal.read_queue import ReadQueue


async def at_once(function: Callable[[], Any]) -> Any:
    return function()


async def test_reads_are_served_in_the_order_in_which_they_were_asked_for() -> None:
    reads, done = ReadQueue(), list[int]()

    async def ask(number: int) -> None:
        assert await reads.ask(lambda: number) == number
        done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
        assert reads
        while reads:
            await reads.serve(at_once)
            await trio.testing.wait_all_tasks_blocked()
    assert done == [0, 1, 2]


async def test_a_read_that_nobody_waits_for_any_more_is_not_done() -> None:
    reads, done = ReadQueue(), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.ask, lambda: done.append("done"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await reads.serve(at_once)
    assert (done, bool(reads)) == ([], False)


async def test_what_comes_of_a_read_is_told_though_nobody_waits_for_it_any_more() -> None:
    reads, told = ReadQueue(), list[int]()

    async def slowly(function: Callable[[], Any]) -> Any:
        asking.cancel()
        await trio.testing.wait_all_tasks_blocked()
        return function()

    async def ask() -> None:
        with asking:
            await reads.ask(lambda: 7, told.append)

    asking = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await reads.serve(slowly)
    assert told == [7]


async def test_what_goes_wrong_comes_out_where_it_is_served() -> None:
    reads = ReadQueue()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reads.ask, lambda: 1 // 0)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ZeroDivisionError):
            await reads.serve(at_once)
        nursery.cancel_scope.cancel()

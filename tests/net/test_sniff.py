"""Sniffing: the first byte decides, and stays where it is."""

import pytest
import trio
from trio.testing import MockClock

from chatd.net.sniff import peek_kind, sniff
from tests.harness.connections import in_memory, loopback, reset


@pytest.mark.parametrize(("data", "kind"), [(b"\x16\x03\x01", "native"), (b"hi", "plain"), (b"\0", "plain")])
async def test_the_first_byte_decides_and_is_not_consumed(data: bytes, kind: str) -> None:
    ours, theirs = await loopback()
    async with ours, theirs:
        await theirs.send_all(data)
        assert await sniff(ours, 30) == kind
        assert await ours.receive_some() == data


async def test_silence_is_told_after_the_patience(autojump_clock: MockClock) -> None:
    ours, theirs = in_memory()
    async with ours, theirs:
        began = trio.current_time()
        assert await sniff(ours, 7) == "silent"
        assert trio.current_time() == began + 7
        await theirs.send_all(b"\x16")
        assert await sniff(ours, 30) == "native"


async def test_a_connection_that_ends_before_its_first_byte_is_gone() -> None:
    ours, theirs = await loopback()
    async with ours:
        await theirs.aclose()
        assert await peek_kind(ours) == "gone"


async def test_a_connection_that_is_reset_before_its_first_byte_is_gone() -> None:
    ours, theirs = await loopback()
    async with ours:
        reset(theirs)
        assert await sniff(ours, 30) == "gone"

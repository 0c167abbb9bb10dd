"""Sniffing: the first byte decides, and stays where it is."""

import socket
import struct

import pytest
import trio

from chatd.net.sniff import peek_kind, sniff


async def loopback() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Both ends of one real TCP connection."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), theirs


@pytest.mark.parametrize(("data", "kind"), [(b"\x16\x03\x01", "native"), (b"hi", "plain"), (b"\0", "plain")])
async def test_the_first_byte_decides_and_is_not_consumed(data: bytes, kind: str) -> None:
    ours, theirs = await loopback()
    async with ours, theirs:
        await theirs.send_all(data)
        assert await sniff(ours, 30) == kind
        assert await ours.receive_some() == data


async def test_silence_is_told_after_the_patience() -> None:
    ours, theirs = await loopback()
    async with ours, theirs:
        assert await sniff(ours, 0.01) == "silent"
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
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await theirs.aclose()
        assert await sniff(ours, 30) == "gone"

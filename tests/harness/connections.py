"""Both ends of one TCP connection, for tests of what runs on one end of it.

`in_memory` is the usual one. `loopback` is for tests about the kernel: full socket buffers, descriptors, an RST.
"""

import socket
import struct
from random import Random
from typing import cast

import trio

from tests.harness.memory.network import Connection
from tests.harness.memory.pipes import Wire

HERE, THERE = ("127.0.0.1", 7420), ("127.0.0.1", 50000)
Ends = tuple[trio.SocketStream, trio.SocketStream]


def in_memory() -> Ends:
    """Accepted, dialed. Bytes take no time, so on a mock clock all times are exact."""
    connection = Connection(Wire(Random(1)), THERE, HERE)
    return cast(trio.SocketStream, connection.accepted), cast(trio.SocketStream, connection.dialed)


async def loopback() -> Ends:
    """Accepted, dialed."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        dialed = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), dialed


def reset(stream: trio.SocketStream) -> None:
    """Close with an RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()

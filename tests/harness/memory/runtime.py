"""MemoryRuntime: what `chatd.runtime.Runtime` is for a node on the mock clock and a network in memory."""

from collections.abc import Callable
from random import Random
from typing import TypeVar, cast

import trio

from chatd.acceptor import Descriptors
from chatd.runtime import DialFailed, Runtime
from tests.harness.memory.network import MemoryListener, MemoryNetwork

T = TypeVar("T")
DISK_S = 0.0005  # for one piece of work
WALL = 1_800_000_000.0  # the wall clock when a test begins


class MemoryRuntime(Runtime):
    """The world of one run of one daemon. `door` is where its clients come in, once `served` is set."""

    def __init__(self, host: str, random: Random, network: MemoryNetwork) -> None:
        self.random = random
        self.descriptors = Descriptors()
        self.host = host
        self.door = MemoryListener(("control", 0))
        self.served = trio.Event()
        self._network = network

    def wall(self) -> float:
        """Moves with the virtual clock."""
        return WALL + trio.current_time()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """In line, since the mock clock would take a thread that works for idleness.

        As with a real thread it takes a moment, and a cancelled caller waits for it to end.
        """
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + DISK_S):
            await trio.sleep_forever()
        return function(*args)

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        """Raises DialFailed."""
        try:
            return cast(trio.SocketStream, await self._network.dial(self.host, host, port))
        except OSError as error:
            raise DialFailed([(f"{host}:{port}", (error.strerror or "").lower())]) from None

    async def listen(self, host: str, port: int) -> trio.SocketListener:
        """Raises OSError."""
        await trio.lowlevel.checkpoint()
        return cast(trio.SocketListener, self._network.listen(host, port))

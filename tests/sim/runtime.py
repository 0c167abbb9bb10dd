"""SimRuntime: what `chatd.runtime.Runtime` is in the simulated world, for one run of one daemon."""

import sqlite3
from collections.abc import Callable
from random import Random
from typing import TypeVar, cast

import trio

from chatd.acceptor import Descriptors
from chatd.journal.batch import Batch
from chatd.journal.store import DiskFull, Store
from chatd.node import Node
from chatd.runtime import DialFailed, Runtime
from tests.sim.disk import Disk
from tests.sim.network import Network, SimListener

T = TypeVar("T")
MOST_STALLED_S = 60.0  # that a disk does nothing
WALL = 1_800_000_000.0  # the wall clock when a run begins


class SimRuntime(Runtime):
    """One daemon's world.

    `on_disk` is told the stage, "before" or "after", of every piece of work that goes to the worker thread; it may
    crash the machine, which sets `dead`: nothing of this daemon reaches the disk from then on.
    """

    def __init__(self, host: str, random: Random, network: Network, disk: Disk, on_disk: Callable[[str], None]) -> None:
        self.random = random
        self.descriptors = Descriptors()
        self.host = host
        self.dead = False
        self.fault: str | None = None  # of the next commit: "before" or "after" it, an I/O error
        self.node: Node | None = None
        self.door = SimListener(("control", 0))
        self.served = trio.Event()
        self._network, self._disk, self._on_disk = network, disk, on_disk

    def opened(self, node: Node) -> None:
        """The daemon has built its node."""
        self.node = node

    def wall(self) -> float:
        """Moves with the virtual clock."""
        return WALL + trio.current_time()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """In line, between two waits. As with a real thread, a cancelled caller still waits for it to end."""
        await trio.lowlevel.checkpoint()
        await self._turn("before")
        result = self._do(function, *args)
        if _writes(function):
            await self._turn("after")
        return result

    async def _turn(self, stage: str) -> None:
        if not self.dead:
            wait = self.random.uniform(0, self._disk.slowest)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + wait + MOST_STALLED_S):
                await trio.sleep(wait)
                while self._disk.stalled and not self.dead:
                    await self._disk.moved.wait()
        if not self.dead:
            self._on_disk(stage)
        if self.dead:
            await trio.sleep_forever()  # the scope of the daemon is cancelled already

    def _do(self, function: Callable[..., T], *args: object) -> T:
        if not _writes(function):
            return function(*args)
        if self._disk.full:
            raise DiskFull("simulated")
        fault, self.fault = self.fault, None
        if fault == "before":
            raise sqlite3.OperationalError("simulated")
        result = function(*args)
        self._disk.remember(cast(Batch, args[0]))
        if fault == "after":
            raise sqlite3.OperationalError("simulated")
        return result

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


def _writes(function: Callable[..., object]) -> bool:
    """Whether it is a commit of the journal."""
    return getattr(function, "__func__", None) is Store.write

"""SimRuntime: the world of one run of one daemon whose disk is slow, stalls, fills up, fails and ends with a crash."""

import sqlite3
from collections.abc import Callable
from random import Random
from typing import TypeVar, cast

import trio

from chatd.journal.batch import Batch
from chatd.journal.store import DiskFull, Store
from tests.harness.memory.network import MemoryNetwork
from tests.harness.memory.runtime import MemoryRuntime
from tests.sim.disk import Disk

T = TypeVar("T")
MOST_STALLED_S = 60.0  # that a disk does nothing


class SimRuntime(MemoryRuntime):
    """One daemon's world.

    `on_disk` is told the stage, "before" or "after", of every piece of work that goes to the worker thread; it may
    crash the machine, which sets `dead`: nothing of this daemon reaches the disk from then on.
    """

    def __init__(
        self, host: str, random: Random, network: MemoryNetwork, disk: Disk, on_disk: Callable[[str], None]
    ) -> None:
        super().__init__(host, random, network)
        self.dead = False
        self.fault: str | None = None  # of the next commit: "before" or "after" it, an I/O error
        self._disk, self._on_disk = disk, on_disk

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


def _writes(function: Callable[..., object]) -> bool:
    """Whether it is a commit of the journal."""
    return getattr(function, "__func__", None) is Store.write

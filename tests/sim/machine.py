"""Machine: one whole daemon of the simulation, as `daemon.run` assembles it, and what can happen to it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import trio

from chatd import maintenance
from chatd.config.settings import Config
from chatd.failures import StartupFailure
from chatd.node import Node
from tests.harness.daemons import DaemonRun
from tests.harness.memory import identities
from tests.harness.memory.network import MemoryNetwork, MemoryStream
from tests.harness.memory.world import in_memory, open_session
from tests.sim.disk import Disk
from tests.sim.runtime import SimRuntime
from tests.sim.trace import Trace

PORT = 7420
STOP_S = 5.0
TICK_S = 10.0  # between two rounds of upkeep: most have nothing to do, and a simulated second is short


@contextmanager
def simulated(seed: int) -> Iterator[None]:
    """A simulation runs in the block; the seed is that of trio's scheduler."""
    with (
        in_memory(seed),
        patch("chatd.node.load_or_create", identities.of_directory),
        patch.object(maintenance, "TICK_S", TICK_S),
    ):
        yield


class World(NamedTuple):
    """What the machines of a run share. `problems` is where they tell what must not be."""

    nursery: trio.Nursery
    network: MemoryNetwork
    trace: Trace
    problems: list[str]
    root: str


class Machine:
    """A host with a disk and, most of the time, a daemon."""

    def __init__(self, world: World, seed: int, name: str, host: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.host = host
        self.node_id = identities.identity_of(name).node
        self.disk = Disk(world.root, name)
        self.runtime: SimRuntime
        self.losses: list[tuple[int, int]] = []  # steps between which everything was lost with the journal
        self.troubled = False  # its disk may end this run of the daemon
        self._world, self._settings = world, settings
        self._copied_at = 0
        self._crash_in: tuple[int, str, bool] | None = None  # pieces of work, stage, power
        self._random = Random(f"{seed}:{name}")
        self._run: DaemonRun | None = None

    @property
    def config(self) -> Config:
        """Its settings."""
        given = {"node": self.name, "name": self.name, "socket": "/nowhere", "state": self.disk.directory}
        return msgspec.convert(given | {"listen": [f"{self.host}:{PORT}"], "plain": "off"} | self._settings, Config)

    @property
    def is_running(self) -> bool:
        """A daemon is there, whatever it does."""
        return self._run is not None and self._run.running

    @property
    def node(self) -> Node | None:
        """The parts of its newest daemon, once they are built."""
        return self._run.node if self._run is not None else None

    @property
    def is_serving(self) -> bool:
        """Its clients can connect."""
        return self.is_running and self.runtime.served.is_set() and not self.runtime.door.socket.closed

    async def start(self) -> bool:
        """Start it (again); whether it serves."""
        if self.is_running:
            return True
        random = Random(self._random.getrandbits(64))
        self.runtime = SimRuntime(self.host, random, self._world.network, self.disk, self._at_work)
        self._run = DaemonRun(self.config, self.runtime)
        self._note("start")
        self._world.nursery.start_soon(self._live, self._run, self.runtime)
        await self.runtime.served.wait()
        return self.is_serving

    async def _live(self, run: DaemonRun, runtime: SimRuntime) -> None:
        await run.run()
        runtime.served.set()
        runtime.door.socket.close()
        self._ended(run.failure, runtime)

    def _ended(self, failure: BaseException | None, runtime: SimRuntime) -> None:
        self._note(f"ended {type(failure).__name__ if failure else ''}".strip())
        expected = self.troubled or self.disk.full
        for leaf in _leaves(failure):
            if runtime.dead or (expected and isinstance(leaf, StartupFailure)):
                continue
            self._world.problems.append(f"{self.name} ended with {leaf!r}")
            logging.getLogger("chatd").error("the daemon ended", exc_info=leaf)
        self.troubled = False

    async def exited(self) -> None:
        """Wait until its daemon is gone."""
        if self._run is not None:
            await self._run.exited.wait()

    async def stop(self) -> None:
        """In order; it takes 5 s at most."""
        node = self.node if self.is_serving else None
        if node is None:
            return
        self._note("stop")
        began, stalled = trio.current_time(), self.disk.stalled
        node.request_stop("shutdown")
        await self.exited()
        if trio.current_time() - began > STOP_S and not self.runtime.dead and not stalled:
            self._world.problems.append(f"{self.name} took {trio.current_time() - began:.3f} s to stop")

    def crash(self, *, power: bool = False) -> None:
        """From this moment on nothing of it happens. Its connections are reset, or, without power, just silent."""
        if self._run is None or not self._run.running or self.runtime.dead:
            return
        self._note("power cut" if power else "killed")
        if power and self.node is not None:
            ((synchronous,),) = self.node.journal.store.query("PRAGMA synchronous")
            self.disk.power_cut(synchronous)
        else:
            self.disk.kill()
        self.runtime.dead = True
        self.disk.stall(False)
        for connection in self._world.network.of(self.host):
            if power:
                connection.lose()
            else:
                connection.cut(self._random)
        self.runtime.door.socket.close()
        self._run.kill()

    def crash_at_work(self, count: int, stage: str, *, power: bool) -> None:
        """Crash before or after the `count`th piece of work that its disk does from now on."""
        self._crash_in = count, stage, power

    def _at_work(self, stage: str) -> None:
        if self._crash_in is None or self._crash_in[1] != stage:
            return
        count, _, power = self._crash_in
        self._crash_in = (count - 1, stage, power) if count > 1 else None
        if count <= 1:
            self.crash(power=power)

    def lost(self, step: int) -> bool:
        """What was committed before that step, or a little later, may have gone with its journal since."""
        return any(step < until for _, until in self.losses)

    @property
    def is_broken(self) -> bool:
        """Its disk has failed, and its daemon is about to end."""
        return self.is_running and self.node is not None and self.node.journal.broken

    @property
    def newest(self) -> int:
        """The seq that was committed last."""
        node = self.node
        return node.journal.committed if node is not None else 0

    def spare(self) -> None:
        """What was to come of `crash_at_work` and `break_disk` does not."""
        self._crash_in = None
        if self._run is not None and self.runtime.fault is not None:
            self.runtime.fault, self.troubled = None, False

    def break_disk(self, stage: str) -> None:
        """Its next commit fails with an I/O error, before or after it was done."""
        self.troubled = True
        self.runtime.fault = stage

    def make_copy(self) -> None:
        """A backup of its journal."""
        self.disk.make_copy()
        self._copied_at = self._note("copy of the journal made")

    def lose_journal(self, *, restored: bool) -> None:
        """While it does not run: an empty disk, or the last copy put back."""
        if restored:
            self.disk.put_copy_back()
            self.losses.append((self._copied_at, self._note("copy of the journal put back")))
        else:
            self.disk.wipe()
            self.losses.append((0, self._note("journal wiped")))

    def open_session(self) -> MemoryStream | None:
        """A connection to its control socket; None while nobody listens."""
        if not self.is_serving:
            return None
        return open_session(self.runtime, self._random)

    def _note(self, what: str) -> int:
        return self._world.trace.note(self.name, what)


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    elif error is not None:
        yield error

"""Faults: each kind happens a few times at drawn moments, while the clients work. The end of all of them is `heal`."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random

import trio

from chatd.api.errors import ControlError
from chatd.node import Node
from chatd.peers.peer import Peer
from tests.harness.memory.network import MemoryNetwork
from tests.sim.liars import Liar
from tests.sim.machine import PORT, Machine
from tests.sim.plan import FAULTS, Plan
from tests.sim.trace import Trace

SOON_S = 10.0  # that a fault waits for its moment
LOOK_S = 0.02
# What a daemon may make its links suffer, by the names that it has for it.
IMPAIRMENTS: dict[str, Callable[[Random], float | bool]] = {
    "delay": lambda random: random.choice((0.0, 0.05, 3.0)),
    "jitter": lambda random: random.choice((0.0, 0.5)),
    "loss": lambda random: random.choice((0.0, 0.05, 0.3)),
    "rate": lambda random: random.choice((0, 2_000, 50_000)),
    "cut": lambda random: random.random() < 0.7,
    "flap": lambda random: random.choice((0.0, 0.3, 20.0)),
}


class Faults:
    """The faults of one run; `hurry` makes clients send at once."""

    def __init__(
        self,
        plan: Plan,
        machines: dict[str, Machine],
        network: MemoryNetwork,
        trace: Trace,
        hurry: Callable[[], None],
        liars: Sequence[Liar] = (),
    ) -> None:
        self._hurry = hurry
        self._liars = liars
        self._plan, self._network, self._trace = plan, network, trace
        self._machines = list(machines.values())
        self._kinds: dict[str, Callable[[Random], Awaitable[None]]] = {
            "kill": self._kill,
            "power": self._power,
            "work": self._work,
            "restart": self._restart,
            "ioerror": self._ioerror,
            "full": self._full,
            "stall": self._stall,
            "cut": self._cut,
            "silence": self._silence,
            "partition": self._partition,
            "cross": self._cross,
            "wipe": self._wipe,
            "restore": self._restore,
            "link": self._link,
            "liar": self._lie,
        }

    async def run(self) -> None:
        """All of them, each in its own time."""
        async with trio.open_nursery() as nursery:
            for kind in FAULTS:
                if kind in self._plan.on:
                    random = Random(f"{kind} {self._plan.seed}")
                    nursery.start_soon(self._repeat, self._kinds[kind], random)

    async def _repeat(self, fault: Callable[[Random], Awaitable[None]], random: Random) -> None:
        for at in sorted(random.uniform(0.5, self._plan.seconds) for _ in range(random.randint(1, 3))):
            if at > trio.current_time():
                await trio.sleep_until(at)
                await fault(random)

    async def heal(self) -> None:
        """Nothing fails any more, and everything runs."""
        for wire in self._network.wires:
            wire.hold(False)
        for machine in self._machines:
            machine.disk.full = False
            machine.disk.stall(False)
            machine.spare()
            if machine.is_broken:
                await machine.exited()
            while not await machine.start():
                await machine.exited()
        for machine in self._machines:
            self._impair(machine, None, "both", {}, heal=True, lasting=None)

    def _pick(self, random: Random) -> Machine:
        return random.choice(self._machines)

    async def _come_back(self, machine: Machine, random: Random) -> None:
        await machine.exited()
        await trio.sleep(random.expovariate(0.3))
        await machine.start()

    async def _kill(self, random: Random) -> None:
        machine = self._pick(random)
        machine.crash()
        await self._come_back(machine, random)

    async def _power(self, random: Random) -> None:
        machine = self._pick(random)
        machine.crash(power=True)
        await self._come_back(machine, random)

    async def _work(self, random: Random) -> None:
        machine = self._pick(random)
        stage, power = random.choice(("before", "after")), random.random() < 0.5
        machine.crash_at_work(random.randint(1, 20), stage, power=power)
        with trio.move_on_after(5):
            await machine.exited()
        await self._come_back(machine, random) if not machine.is_running else machine.spare()

    async def _restart(self, random: Random) -> None:
        machine = self._pick(random)
        if machine.is_serving:
            await machine.stop()
            await self._come_back(machine, random)

    async def _ioerror(self, random: Random) -> None:
        machine = self._pick(random)
        if machine.is_serving:
            machine.break_disk(random.choice(("before", "after")))
            with trio.move_on_after(5):
                await machine.exited()
            await self._come_back(machine, random) if not machine.is_running else machine.spare()

    async def _full(self, random: Random) -> None:
        await self._fill_it(self._pick(random), random)

    async def _cut(self, random: Random) -> None:
        self._cut_one(random)

    async def _stall(self, random: Random) -> None:
        """What is appended waits for its commit, while links end and others begin; and may be lost after all."""
        machine = self._pick(random)
        await _soon(lambda: bool(self._network.of(machine.host)))
        self._trace.note(machine.name, "disk stalled")
        machine.disk.stall(True)
        self._hurry()
        await _soon(lambda: self._is_taking(machine))
        await trio.sleep(random.expovariate(5))
        if random.random() < 0.8:
            for connection in self._network.of(machine.host):
                connection.cut(random)
        await _soon(lambda: bool(self._network.of(machine.host)))
        await trio.sleep(random.uniform(0, 4))
        end = random.choice((None, self._kill_it, self._fill_it))
        if end is not self._kill_it:
            machine.disk.full = end is not None
            machine.disk.stall(False)
            self._trace.note(machine.name, "disk goes on")
        if end is not None:
            await end(machine, random)
        machine.disk.stall(False)

    def _is_taking(self, machine: Machine) -> bool:
        """Something that came from another machine is appended and not committed."""
        node = machine.node if machine.is_serving else None
        if node is None:
            return False
        marks = node.journal.watermarks
        for other in self._machines:
            if other is not machine and other.is_serving and other.node is not None:
                key = other.node_id, other.node.journal.epoch
                if marks.appended(*key) > marks.committed_in(*key):
                    return True
        return False

    async def _fill_it(self, machine: Machine, random: Random) -> None:
        self._trace.note(machine.name, "disk full")
        machine.disk.full = True
        await trio.sleep(random.uniform(0.1, 8))
        machine.disk.full = False
        self._trace.note(machine.name, "room on the disk")

    async def _kill_it(self, machine: Machine, random: Random) -> None:
        machine.crash(power=random.random() < 0.5)
        await self._come_back(machine, random)

    def _cut_one(self, random: Random, *hosts: str) -> None:
        connections = self._network.of(*hosts)
        if connections:
            connection = random.choice(connections)
            self._trace.note("network", f"cut {' '.join(sorted(connection.hosts))}")
            connection.cut(random)

    async def _silence(self, random: Random) -> None:
        connections = self._network.of()
        if connections:
            connection = random.choice(connections)
            self._trace.note("network", f"silence {' '.join(sorted(connection.hosts))}")
            connection.lose()

    async def _partition(self, random: Random) -> None:
        one, other = random.sample(self._machines, 2)
        wire = self._network.wire(one.host, other.host)
        self._trace.note("network", f"{one.name} and {other.name} parted")
        wire.hold(True)
        await trio.sleep(random.choice((random.uniform(0.1, 3), random.uniform(3, 60))))
        wire.hold(False)
        self._trace.note("network", f"{one.name} and {other.name} joined")

    async def _cross(self, random: Random) -> None:
        """Two machines dial each other at once while they have much to say; then one of two links breaks."""
        one, other = random.sample(self._machines, 2)
        for connection in self._network.of(one.host, other.host):
            connection.cut(random)
        self._trace.note("network", f"{one.name} and {other.name} cross")
        self._hurry()
        async with trio.open_nursery() as nursery:
            for dialing, dialed in ((one, other), (other, one)):
                nursery.start_soon(self._dial, dialing, dialed)
            await _soon(lambda: len(self._network.of(one.host, other.host)) > 1)
            await trio.sleep(random.expovariate(3))
            self._cut_one(random, one.host, other.host)
            nursery.cancel_scope.cancel()

    async def _dial(self, machine: Machine, other: Machine) -> None:
        """From outside of its daemon, which may end meanwhile: then there is nobody to serve the link."""
        node = machine.node if machine.is_serving else None
        if node is None:
            return
        try:
            with suppress(ControlError):
                await node.dialer.connect(other.host, PORT, plain=False, keep=True, timeout=20)
        except RuntimeError:
            if machine.is_serving and machine.node is node:
                raise

    async def _link(self, random: Random) -> None:
        """A daemon makes links of its own suffer, one thing after the other; in the end they may stay as they are."""
        machine = self._pick(random)
        for _ in range(random.randint(1, 5)):
            node = _heeding(machine)
            peers = list(node.registry) if node is not None else []
            whose = [random.choice(peers)] if peers and random.random() < 0.7 else None
            if random.random() < 0.2:
                self._reset(machine, whose)
            else:
                lasting = random.choice((None, random.uniform(0.1, 60)))
                changes = {kind: draw(random) for kind, draw in IMPAIRMENTS.items() if random.random() < 0.3}
                direction, heal = random.choice(("both", "both", "out", "in")), random.random() < 0.3
                self._impair(machine, whose, direction, changes, heal=heal, lasting=lasting)
            await trio.sleep(random.expovariate(0.3))
        if random.random() < 0.5:
            self._impair(machine, None, "both", {}, heal=True, lasting=None)

    async def _lie(self, random: Random) -> None:
        """All liars at once; what they draw is their own."""
        async with trio.open_nursery() as nursery:
            for liar in self._liars:
                nursery.start_soon(liar.spree, self._plan.seconds)

    def _impair(
        self,
        machine: Machine,
        peers: list[Peer] | None,
        direction: str,
        changes: dict[str, float | bool],
        *,
        heal: bool,
        lasting: float | None,
    ) -> None:
        node = _heeding(machine)
        if node is not None and node.faults.allowed:
            names = [peer.shown for peer in peers] if peers is not None else "all"
            self._trace.note(machine.name, f"links of {names}: {direction} {changes} {heal=} {lasting=}")
            node.faults.change(peers, direction, changes, heal=heal, lasting=lasting)

    def _reset(self, machine: Machine, peers: list[Peer] | None) -> None:
        node = _heeding(machine)
        if node is not None:
            self._trace.note(machine.name, "links broken")
            node.faults.reset(peers)

    async def _wipe(self, random: Random) -> None:
        machine = self._pick(random)
        await self._down(machine, random)
        machine.lose_journal(restored=False)
        await self._come_back(machine, random)

    async def _restore(self, random: Random) -> None:
        machine = self._pick(random)
        machine.make_copy()
        await trio.sleep(random.uniform(0.5, 20))
        await self._down(machine, random)
        machine.lose_journal(restored=True)
        await self._come_back(machine, random)

    async def _down(self, machine: Machine, random: Random) -> None:
        """Nobody may start it before its journal is another one: no await follows in the caller."""
        while machine.is_running:
            if random.random() < 0.5 or not machine.is_serving:
                machine.crash()
            else:
                await machine.stop()
            await machine.exited()


def _heeding(machine: Machine) -> Node | None:
    """Its node, while that does what it is told: not any more when it is about to end."""
    node = machine.node if machine.is_serving and not machine.runtime.dead else None
    return node if node is not None and not node.stop_reason else None


async def _soon(true: Callable[[], bool]) -> None:
    """Until it is so, for a while."""
    with trio.move_on_after(SOON_S):
        while not true():  # noqa: ASYNC110  (simulated time costs nothing)
            await trio.sleep(LOOK_S)

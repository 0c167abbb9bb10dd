"""One run: the machines of a seed, their clients and faults, then peace, and the judgement."""

import gc
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from tests.harness.memory.network import MemoryNetwork
from tests.harness.memory.pipes import WINDOW
from tests.harness.places import directory_for_files
from tests.sim.checker import check
from tests.sim.client import Client, Gone, Refused
from tests.sim.faults import Faults
from tests.sim.liars import Liar
from tests.sim.liechecker import check_lies
from tests.sim.machine import Machine, World, simulated
from tests.sim.plan import Plan, draw
from tests.sim.roomchecker import check_room
from tests.sim.trace import Trace
from tests.sim.truth import read_journal
from tests.sim.workload import Workload

PEACE_S = 240.0  # after the last fault everything has to be delivered by then
SILENT_S = 60.0  # a link that leads nowhere is found out and dialed again
QUIET_S = 10.0
STILL_S = 5.0  # a message needs less from one machine to another
NARROW = 2000  # bytes that may be under way
QUICK_S, SLUGGISH_S = 0.002, 0.3  # what a disk takes for a piece of work, at most
STEP_S = 0.5  # between two looks
EVERYTHING_S = 900.0  # virtual; a run that takes longer hangs
HISTORY_PAGE = 50
COUNT = "SELECT count(*) FROM events WHERE topic = ? AND type = 'message' AND direction = 'in'"
COUNTS_S = 5.0  # that a machine may take to count


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    problems: list[str]
    digest: str
    plan: str
    messages: int


class _Errors(logging.Handler):
    """What the daemons log as an error is a problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._problems.append(f"logged: {record.getMessage()}" + (f" ({_innermost(error)!r})" if error else ""))


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def run(seed: int, show: Callable[[str], object] | None = None) -> Result:
    """One seed. Same seed, same digest."""
    return run_plan(draw(seed), show)


def run_plan(plan: Plan, show: Callable[[str], object] | None = None) -> Result:
    """One run of that plan."""
    problems: list[str] = []
    root = tempfile.mkdtemp(prefix="chatd-sim-", dir=directory_for_files())
    log, errors = logging.getLogger("chatd"), _Errors(problems)
    log.addHandler(errors)
    collecting = gc.isenabled()
    gc.disable()  # so that nothing ends at a moment that no seed has drawn
    trace = Trace(show)
    simulation = None
    try:
        with simulated(plan.seed):
            simulation = _Simulation(plan, root, trace, problems)
            trio.run(simulation.run, clock=MockClock(autojump_threshold=0))
    except* Exception as failure:
        problems.append(f"the simulation failed: {_innermost(failure)!r}")
        if show is not None:
            raise
    finally:
        log.removeHandler(errors)
        shutil.rmtree(root)
        if collecting:
            gc.enable()
    messages = len(simulation.work.attempts) if simulation is not None else 0
    return Result(plan.seed, problems, trace.digest, plan.describe(), messages)


class _Simulation:
    """The parts of one run."""

    def __init__(self, plan: Plan, root: str, trace: Trace, problems: list[str]) -> None:
        self._plan, self._root, self._trace, self._problems = plan, root, trace, problems
        self._machines: dict[str, Machine] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._shown: dict[tuple[str, str], list[str]] = {}
        self._liars: list[Liar] = []
        self.work: Workload

    async def run(self) -> None:
        with trio.move_on_after(EVERYTHING_S) as scope:
            async with trio.open_nursery() as nursery:
                await self._main(nursery)
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            self._problems.append("the run did not come to its end")

    async def _main(self, nursery: trio.Nursery) -> None:
        network = MemoryNetwork(Random(f"network {self._plan.seed}"))
        world = World(nursery, network, self._trace, self._problems, self._root)
        for number, name in enumerate(self._plan.machines, start=1):
            machine = Machine(world, self._plan.seed, name, f"10.0.0.{number}", self._plan.settings)
            machine.disk.slowest = SLUGGISH_S if "sluggish" in self._plan.on else QUICK_S
            self._machines[name] = machine
        self._lay_wires(network)
        self.work = Workload(self._plan, self._machines, self._trace, self._problems)
        self._liars = [
            Liar(self._plan, name, number, self._machines, network, self._trace)
            for number, name in enumerate(self._plan.liars, start=1)
        ]
        faults = Faults(self._plan, self._machines, network, self._trace, self.work.hurry, self._liars)
        for machine in self._machines.values():
            await machine.start()
        async with trio.open_nursery() as clients:
            clients.start_soon(self.work.keep)
            async with trio.open_nursery() as busy:
                busy.start_soon(self.work.send)
                await faults.run()
                await trio.sleep_until(self._plan.seconds)
                await faults.heal()
                self._trace.note("peace", "")
                self.work.be_quiet()
            await self._settle()
            clients.cancel_scope.cancel()
        await self._judge()

    def _lay_wires(self, network: MemoryNetwork) -> None:
        hosts = [machine.host for machine in self._machines.values()]
        for number, one in enumerate(hosts):
            for other in hosts[number + 1 :]:
                wire = network.wire(one, other)
                wire.latency = network.random.choice((0.0002, 0.005, 0.08))
                wire.jitter = network.random.choice((0.01, 0.5)) if "jitter" in self._plan.on else 0.0
                wire.fragments = "fragments" in self._plan.on
                wire.window = NARROW if "narrow" in self._plan.on else WINDOW

    # -- peace

    async def _settle(self) -> None:
        """Everything that is owed is delivered, and read."""
        with trio.move_on_after(PEACE_S) as scope:
            await self._until(lambda: not self._owed())
            await trio.sleep(SILENT_S if self._plan.on & {"silence", "power", "work"} else QUIET_S)
            await self._until(lambda: not self._owed() and not self._unread() and not self._apart())
            await self._until_still()
        if scope.cancelled_caught:
            left = f"not delivered: {self._owed()}, not read: {self._unread()}, not in a room: {self._apart()}"
            self._problems.append(f"in {PEACE_S:g} s of peace {left}")

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():  # noqa: ASYNC110  (simulated time costs nothing)
            await trio.sleep(STEP_S)

    async def _until_still(self) -> None:
        """What happens in rooms is owed to nobody: it has arrived when nothing is committed any more."""
        before = None
        while self.work.stays and before != (now := [machine.newest for machine in self._machines.values()]):
            before = now
            await trio.sleep(STILL_S)

    def _apart(self) -> list[str]:
        """Who is to be in a room and is not."""
        return [f"{stay.machine} ({stay.room})" for stay in self.work.stays.values() if not stay.is_in]

    def _owed(self) -> dict[str, int]:
        owed, liars = {}, {liar.identity.node for liar in self._liars}
        for machine in self._machines.values():
            node = machine.node
            assert node is not None
            for record in node.registry.records():
                if record.node in liars:
                    continue  # what is for a liar may wait for ever
                if record.queued or (record.desired and record.state != "up"):
                    owed[f"{machine.name} to {record.name} ({record.state})"] = record.queued
        return owed

    def _unread(self) -> list[str]:
        """Readers that have neither got the newest message of their machine, nor been told that it is gone."""
        behind = []
        for consumer in self.work.consumers:
            machine = self._machines[consumer.node]
            node = machine.node
            assert node is not None
            inbound = (
                seq for seq, row in machine.disk.written.items() if (row.type, row.direction) == ("message", "in")
            )
            newest = max(inbound, default=0)
            got = {position for session in consumer.sessions for _, position in session}
            told = max((int(through.partition(":")[2]) for _, through in consumer.gaps), default=0)
            if newest and node.journal.position(newest) not in got and told < newest:
                behind.append(f"{consumer.name} of {consumer.node}")
        return behind

    # -- judgement

    async def _judge(self) -> None:
        for machine in self._machines.values():
            await self._look(machine)
        for machine in self._machines.values():
            await machine.stop()
            await machine.exited()
        journals = {
            name: read_journal(machine.disk, name, machine.node_id, machine.losses)
            for name, machine in self._machines.items()
        }
        self._problems += check(journals, self.work.attempts, self.work.consumers, self._states)
        liars = {liar.name: liar.identity.node for liar in self._liars}
        if liars:
            labels = frozenset(room.label for room in self._plan.rooms)
            self._problems += check_lies(journals, liars, labels)
        for room in self._plan.rooms:
            said = [attempt for attempt in self.work.attempts if attempt.receiver == room.label]
            stays = [stay for stay in self.work.stays.values() if stay.room == room.label]
            self._problems += check_room(room, journals, said, stays, self._states, self._shown, liars.values())
        for journal in journals.values():
            for row in journal.rows:
                self._trace.note(journal.name, f"{row.position} {row.type} {row.direction} {row.body.get('text')}")

    async def _look(self, machine: Machine) -> None:
        """What a client sees is what the disk holds."""
        random = self.work.random("look", machine.name)
        try:
            async with self.work.session(machine, random) as (_, client):
                seen = [event["position"] for event in await _history(client)]
                await self._ask_states(machine, client)
                await self._look_at_rooms(machine, client)
                if self._liars and "short" not in self._plan.on:
                    await self._count(machine, client)
        except (Gone, Refused) as error:
            self._problems.append(f"{machine.name} could not be asked in the end: {error!r}")
            return
        node = machine.node
        assert node is not None
        floor = node.journal.floor
        held = [seq for (seq,) in node.journal.store.query("SELECT seq FROM events WHERE seq > ? ORDER BY seq", floor)]
        shown = [seq for position in seen if (seq := int(position.partition(":")[2])) > floor]
        if shown != held[: len(shown)] or (held and not shown):
            self._problems.append(f"{machine.name}: `history` shows other events than the journal has")

    async def _count(self, machine: Machine, client: Client) -> None:
        """What `tally` says of each other machine: as many as lie there, and not what liars sent at these positions."""
        ours = machine.node
        for other in self._machines.values():
            theirs = other.node
            assert ours is not None
            assert theirs is not None
            peer = theirs.registry.by_node(machine.node_id)
            if peer is None or machine.losses or other.losses:
                continue
            ((there,),) = theirs.journal.store.query(COUNT, peer.stream_id)
            first, last = ours.journal.position(1), ours.journal.position(ours.journal.committed)
            try:
                found = await client.call("tally", peer=other.node_id, first=first, last=last, timeout=COUNTS_S)
            except Refused as refused:
                self._trace.note(machine.name, f"tally {other.name}: {refused.kind}")
                continue
            counted = found["messages"], found["distinct"]
            self._trace.note(machine.name, f"tally {other.name}: {counted}")
            if counted != (there, there):
                self._problems.append(f"{machine.name}: {other.name} counts {counted} messages, and has {there}")

    async def _look_at_rooms(self, machine: Machine, client: Client) -> None:
        """What `history ROOM` shows, by the places of what is in the room."""
        for stay in self.work.stays.values():
            if stay.machine == machine.name:
                events = await _history(client, {"room": stay.room, "types": ["message"]})
                places = [event["room_position"] for event in events if event.get("room_position")]
                self._shown[machine.name, stay.room] = places

    async def _ask_states(self, machine: Machine, client: Client) -> None:
        for attempt in self.work.attempts:
            if attempt.sender == machine.name and attempt.id is not None:
                try:
                    message = (await client.call("msg", id=attempt.id))["message"]
                except Refused as refused:
                    if refused.kind != "unknown_message" or not (machine.losses or "short" in self._plan.on):
                        self._problems.append(f"msg {attempt.id}: {refused}")
                    continue
                if (
                    message["direction"] == "out"
                ):  # after a restore it is perhaps known only as it came back from a room
                    self._states[(machine.name, attempt.id)] = message["state"]


async def _history(client: Client, filter_: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """All of it, in pages."""
    events: list[dict[str, Any]] = []
    start: str | dict[str, str] | None = "start"
    while start:
        page = await client.call("history", from_=start, n=HISTORY_PAGE, filter=filter_ or {})
        events += page["events"]
        start = {"position": page["next"]} if page["next"] else None
    return events

"""Workload: what the clients of a run do: keep machines connected, read and acknowledge; and who sends and has rooms.

Every client is a task with sessions of its own, which end with their daemon, and at times by themselves. What they did
and what they were told goes into truth.py's records.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from chatd.sync import Broadcast
from tests.sim.client import Client, Gone, Refused
from tests.sim.liars import Bait
from tests.sim.machine import PORT, Machine
from tests.sim.plan import Plan
from tests.sim.roommates import Guest, Landlord
from tests.sim.senders import Sender, Speaker
from tests.sim.trace import Trace
from tests.sim.truth import Attempt, Consumer, Stay

AGAIN_S = 0.5  # before the next session
TERMINATES = 0.3  # how often an administrator ends a connection, to connect again later
CRASHES = 0.05  # how often a reader ends behind a message, before it acknowledges
LINGERS_S = 5.0  # before it acknowledges what it got last


class Workload:
    """All clients of one run."""

    def __init__(self, plan: Plan, machines: dict[str, Machine], trace: Trace, problems: list[str]) -> None:
        self.attempts: list[Attempt] = []
        self.consumers: list[Consumer] = []
        self.stays = {
            (name, room.label): Stay(name, room.label, name == room.host) for room in plan.rooms for name in room.people
        }
        self.quiet = trio.Event()  # nothing more is sent
        self.hurried = Broadcast()
        self._plan, self._machines, self._trace, self._problems = plan, machines, trace, problems
        self._sessions = 0

    async def send(self) -> None:
        """Until everything was sent, or it is quiet."""
        async with trio.open_nursery() as nursery:
            for one, other in {tuple(sorted(link)): None for link in self._plan.links}:
                for sender, receiver in ((one, other), (other, one)):
                    nursery.start_soon(Sender(self, self._machines[sender], self._machines[receiver]).run)
            for room in self._plan.rooms:
                for name in room.people:
                    stay = self.stays[name, room.label]
                    nursery.start_soon(Speaker(self, self._machines[name], self._machines[room.host], room, stay).run)

    async def keep(self) -> None:
        """Connect and read, until cancelled."""
        async with trio.open_nursery() as nursery:
            for one, other in self._plan.links:
                nursery.start_soon(self._stay_connected, self._machines[one], self._machines[other])
            for room in self._plan.rooms:
                host = self._machines[room.host]
                nursery.start_soon(Landlord(self, host, room, self.stays.get((room.host, room.label))).run)
                for name in room.members:
                    nursery.start_soon(Guest(self, self._machines[name], host, room, self.stays[name, room.label]).run)
            for name in self._plan.liars:
                for machine in self._machines.values():
                    nursery.start_soon(Bait(self, machine, name).run)
            for machine in self._machines.values():
                for name in ("first", "second")[: Random(f"{self._plan.seed} {machine.name}").randint(0, 2)]:
                    nursery.start_soon(_Reader(self, machine, name).run)

    def be_quiet(self) -> None:
        """Nobody begins anything any more."""
        self.quiet.set()
        self.hurry()

    def hurry(self) -> None:
        """Let every sender send now."""
        self.hurried.notify()

    def has(self, trait: str) -> bool:
        """Whether the plan has that trait."""
        return trait in self._plan.on

    def random(self, *who: str) -> Random:
        """The randomness of one client."""
        return Random(f"{self._plan.seed} {' '.join(who)}")

    @property
    def step(self) -> int:
        """How much has happened."""
        return self._trace.step

    @property
    def messages(self) -> int:
        """How many each pair sends."""
        return self._plan.messages

    @property
    def sayings(self) -> int:
        """How many everybody says in a room."""
        return self._plan.sayings

    @property
    def seconds(self) -> float:
        """In about which time."""
        return self._plan.seconds

    def note(self, who: str, what: str) -> int:
        """A line of the trace."""
        return self._trace.note(who, what)

    def problem(self, what: str) -> None:
        """Something that must not be."""
        self._problems.append(what)

    @asynccontextmanager
    async def session(self, machine: Machine, random: Random, **options: Any) -> AsyncIterator[tuple[int, Client]]:
        """A session with its number. Raises Gone when there is none to be had; one that ends is Gone in its calls."""
        stream = machine.open_session()
        if stream is None:
            await trio.sleep(AGAIN_S)
            raise Gone
        self._sessions += 1
        client = Client(stream, **options)
        slow = self.has("slow") and random.random() < 0.5
        failure: Gone | Refused | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run, lambda: random.expovariate(2) if slow else 0.0)
            try:
                yield self._sessions, client
            except (Gone, Refused) as error:
                failure = error  # out of the nursery, which would make a group of it
            client.close()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _stay_connected(self, machine: Machine, other: Machine) -> None:
        """Like an administrator: look now and then, and `connect` where there is no wish. A wish survives restarts."""
        random = self.random("connect", machine.name, other.name)
        address, wished = f"{other.host}:{PORT}", 0
        while True:
            try:
                async with self.session(machine, random) as (_, client):
                    while True:
                        asked = self.step
                        found = [peer for peer in (await client.call("list"))["peers"] if peer["desired"]]
                        if any(peer["node"] == other.node_id or peer["address"] == address for peer in found):
                            wished = wished or max(asked, 1)
                        else:
                            if wished and not machine.lost(wished) and not self.has("terminate"):
                                self.problem(f"{machine.name}: the wish for {other.name} is gone")
                            wished = 0
                            await self._connect(client, machine, other)
                        ending = self.has("terminate") and not self.quiet.is_set()
                        if ending and random.random() < TERMINATES:
                            self.note(machine.name, f"terminates {other.name}")
                            await client.call("terminate", peer=other.node_id)
                        await trio.sleep(random.uniform(4, 20))
            except (Gone, Refused):  # it is stopping
                await trio.sleep(AGAIN_S)

    async def _connect(self, client: Client, machine: Machine, other: Machine) -> None:
        try:
            await client.call("connect", host=other.host, port=PORT, keep=True, timeout=20)
            self.note(machine.name, f"connected to {other.name}")
        except Refused as refused:
            self.note(machine.name, f"connect to {other.name}: {refused.kind}")


class _Reader:
    """Reads the inbound messages of a machine: as a named consumer, or by a position that it remembers itself."""

    def __init__(self, work: Workload, machine: Machine, name: str) -> None:
        self._work, self._machine = work, machine
        self._random = work.random("read", machine.name, name)
        self._named = work.has("consumers") and self._random.random() < 0.7
        self._record = Consumer(name, machine.name)
        self._got: list[dict[str, Any]] = []  # events, not processed yet
        self._more = trio.Event()
        self._position: str | None = None
        work.consumers.append(self._record)

    async def run(self) -> None:
        while True:
            try:
                self._got.clear()
                async with self._work.session(self._machine, self._random, on_note=self._take) as (_, client):
                    self._record.sessions.append([])
                    await self._subscribe(client)
                    await self._process(client)
            except Gone:
                await trio.sleep(AGAIN_S)

    def _take(self, method: str, params: dict[str, Any]) -> None:
        if method == "event":
            self._got.append(params["event"])
        self._more.set()

    async def _subscribe(self, client: Client) -> None:
        params: dict[str, Any] = {"filter": {"types": ["message"], "direction": "in"}, "from": "start"}
        if self._named:
            params |= {"as": self._record.name, "window": self._random.choice((1, 3, 256)), "takeover": True}
        elif self._position is not None:
            params["from"] = {"position": self._position}
        try:
            self._record.starts.append((await client.call("subscribe", **params))["after"])
        except Refused as refused:
            self._work.note(self._machine.name, f"reader {self._record.name}: {refused.kind}")
            if refused.kind == "cursor_gone":
                self._lost()
            raise Gone from None

    def _lost(self) -> None:
        """A position is lost with its journal only."""
        if not self._machine.losses:
            self._work.problem(f"{self._machine.name}: the position {self._position} of a reader is gone")
        self._position = None

    async def _process(self, client: Client) -> None:
        session, last = self._record.sessions[-1], ""
        while not client.over.is_set():
            while self._got:
                event = self._got.pop(0)
                position = event["position"]
                step = self._work.note(self._machine.name, f"reader {self._record.name} got {event['type']} {position}")
                if event["type"] == "message":
                    session.append((step, position))
                elif event["peer"] is None:
                    self._record.gaps.append((event["after"], event["through"]))
                self._position = last = position
                if self._random.random() < CRASHES:
                    raise Gone
                if self._named and self._random.random() < 0.6:
                    await self._acknowledge(client, position)
            self._more = trio.Event()
            with trio.move_on_after(LINGERS_S):
                await self._more.wait()
            if self._named and last and not self._got:  # a gap is acknowledged too: it takes a place in the window
                await self._acknowledge(client, last)
                last = ""

    async def _acknowledge(self, client: Client, position: str) -> None:
        asked = self._work.step
        try:
            await client.call("ack", consumer=self._record.name, position=position)
        except Refused as refused:
            self._work.note(self._machine.name, f"reader {self._record.name}: ack {position}: {refused.kind}")
            raise Gone from None
        step = self._work.note(self._machine.name, f"reader {self._record.name} acknowledged {position}")
        self._record.acknowledged.append((asked, step, position))

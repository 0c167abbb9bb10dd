"""Roommates: clients that keep a room open, or their machine in one; and at times make people go, or go themselves."""

from typing import TYPE_CHECKING, Any

import trio

from tests.sim.client import Client, Gone, Refused
from tests.sim.machine import Machine
from tests.sim.plan import Room, nicks_of
from tests.sim.truth import Stay

if TYPE_CHECKING:
    from tests.sim.workload import Workload

AGAIN_S = 0.5  # before the next session
LOOKS_S = 2.0, 9.0  # between two looks whether all is well
TRIES_S = 0.3, 2.0  # while it is not
JOINS_S = 8.0  # that a host may take to let somebody in
RULES = 0.4  # how often a landlord does something to the room
LEAVES = 0.25  # how often a guest goes
NEVER_IN = frozenset({"unknown_peer", "unknown_room", "conflict", "forbidden"})


class Landlord:
    """Keeps a room open, and its own machine in it if that is to be."""

    def __init__(self, work: "Workload", machine: Machine, room: Room, stay: Stay | None) -> None:
        self._work, self._machine, self._room, self._stay = work, machine, room, stay
        self._random = work.random("host", room.label)
        self._banned = set[str]()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._work.session(self._machine, self._random) as (_, client):
                    while True:
                        await self._keep(client)
                        if self._work.quiet.is_set():
                            await self._forgive(client)
                        elif self._random.random() < RULES:
                            await self._rule(client)
                        await trio.sleep(self._random.uniform(*LOOKS_S))
            except (Gone, Refused):
                await trio.sleep(AGAIN_S)

    async def _keep(self, client: Client) -> None:
        known = await look(client, self._room)
        well = known is not None and (self._stay is None or known["nick"] is not None)
        if self._stay is not None:
            self._stay.is_in = well
        if known is None:
            nick = self._room.host if self._stay is not None else None
            await client.call("room.host", room=self._room.name, join=nick is not None, nick=nick)
            self._work.note(self._machine.name, f"hosts {self._room.label}")
        elif not well:
            await client.call("room.join", room=self._room.name, nick=self._room.host)

    async def _rule(self, client: Client) -> None:
        """Do something to the room or its members."""
        users = (await client.call("room.users", room=self._room.name))["users"]
        others = [user["nick"] for user in users if user["node"] != self._machine.node_id]
        what = self._random.choice(["topic", *self._powers()])
        if what == "topic":
            await self._do(client, "room.topic", text=f"topic {self._random.randint(1, 99)}")
        elif what == "close":
            await self._do(client, "room.close")
        elif what == "unban":
            await self._forgive(client)
        elif others:
            nick = self._random.choice(others)
            if what == "ban":
                self._banned.add(nick)
            await self._do(client, f"room.{what}", nick=nick)

    def _powers(self) -> list[str]:
        kicks = ["kick", "kick", "ban", "unban"] if self._work.has("kick") else []
        return [*kicks, *(["close"] if self._work.has("close") else [])]

    async def _forgive(self, client: Client) -> None:
        """Everybody who was ever banned: a journal that was restored may know bans that were lifted."""
        for nick in sorted(self._banned):
            for who in await self._do(client, "room.unban", nick=nick):
                await self._do(client, "room.unban", nick=who)
        if self._work.quiet.is_set():
            self._banned.clear()

    async def _do(self, client: Client, method: str, **params: Any) -> list[str]:
        """Returns who may be meant, where that is ambiguous."""
        meant = list[str]()
        try:
            await client.call(method, room=self._room.name, **params)
            outcome = "done"
        except Refused as refused:
            outcome, meant = refused.kind, refused.details.get("candidates", [])
        self._work.note(self._machine.name, f"{method} {params} in {self._room.label}: {outcome}")
        return meant


class Guest:
    """Keeps its machine in a room of another one."""

    def __init__(self, work: "Workload", machine: Machine, host: Machine, room: Room, stay: Stay) -> None:
        self._work, self._machine, self._room, self._stay = work, machine, room, stay
        self._random = work.random("guest", machine.name, room.label)
        self._spec = f"{room.name}@{host.node_id}"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._work.session(self._machine, self._random) as (_, client):
                    while True:
                        await self._keep(client)
                        await trio.sleep(self._random.uniform(*(LOOKS_S if self._stay.is_in else TRIES_S)))
            except (Gone, Refused):
                await trio.sleep(AGAIN_S)

    async def _keep(self, client: Client) -> None:
        known = await look(client, self._room)
        self._stay.is_in = known is not None
        going = self._work.has("leave") and not self._work.quiet.is_set()
        if known is None:
            await self._join(client)
        elif going and self._random.random() < LEAVES:
            self._stay.is_in = False
            self._stay.drops += 1
            await client.call("room.leave", room=self._spec)
            self._work.note(self._machine.name, f"left {self._room.label}")

    async def _join(self, client: Client) -> None:
        """One that its host does not answer may have been let in all the same."""
        self._stay.drops += 1
        nick = self._random.choice(nicks_of(self._machine.name))
        try:
            found = (await client.call("room.join", room=self._spec, nick=nick, timeout=JOINS_S))["room"]
        except Refused as refused:
            self._work.note(self._machine.name, f"join {self._room.label} as {nick}: {refused.kind}")
            self._stay.drops -= refused.kind in NEVER_IN or "is not connected" in str(refused)
            return
        self._stay.drops -= 1
        self._stay.is_in = True
        self._work.note(self._machine.name, f"is in {self._room.label} as {found['nick']}")


async def look(client: Client, room: Room) -> dict[str, Any] | None:
    """What `room list` shows of a room."""
    found: list[dict[str, Any]] = (await client.call("room.list"))["rooms"]
    return next((one for one in found if one["room"] == room.label), None)

"""Plan: what a seed draws before the run: machines, who dials whom, rooms, what the clients do, which faults are on."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

NAMES = ("alice", "bob", "carol", "dave")

# Each kind of fault, and how often it is on.
FAULTS = {
    "kill": 0.35,  # a process ends at once; its connections are reset
    "power": 0.25,  # so does a machine; what was not synced is gone, its connections fall silent
    "work": 0.35,  # a kill or power cut right before or after a piece of work of the disk, so also around a commit
    "restart": 0.3,  # in order
    "ioerror": 0.15,  # a commit fails, done or not: the daemon stops
    "full": 0.25,  # no room for a while
    "stall": 0.3,  # a disk does nothing for a while; meanwhile links break, and then it may be full, or all over
    "cut": 0.35,  # a connection is reset in the middle of what is under way
    "silence": 0.25,  # a connection takes and gives nothing any more
    "partition": 0.3,  # so do all between two hosts, for a while
    "cross": 0.2,  # two machines dial each other at once
    "wipe": 0.12,  # a journal is gone
    "restore": 0.15,  # a journal is an older one
    "link": 0.3,  # a daemon makes its links suffer on purpose
    "liar": 0.25,  # nodes that say what is not true link to the machines
}
LIARS = ("mallory", "trudy")
LATER = ("link", "liar")  # drawn from a randomness of its own: a run without it stays what it was
# What makes a run another one, without being a fault of its own.
TRAITS = {
    "jitter": 0.35,  # delays vary
    "fragments": 0.3,  # reads get a part of what there is
    "double": 0.4,  # both sides dial
    "sluggish": 0.3,  # disks take their time
    "narrow": 0.15,  # connections hold little
    "slow": 0.25,  # clients read slowly
    "tiny": 0.3,  # an outbox takes few messages
    "short": 0.2,  # journals forget what is older than some seconds
    "cancel": 0.35,
    "ttl": 0.3,
    "key": 0.35,
    "consumers": 0.7,  # named ones, who acknowledge
    "terminate": 0.15,
    "hasty": 0.3,  # clients that leave without waiting for answers
}
# Rooms, and of runs that have them how many have the rest.
ROOM_TRAITS = {
    "rooms": 0.5,
    "private": 0.5,  # some of it is for one member only
    "leave": 0.4,  # members leave, and come back
    "kick": 0.4,  # hosts kick and ban, and forgive
    "close": 0.15,  # hosts close their rooms, and open them again
}
SAYINGS = 0.8  # of what a pair says in a run without rooms: a member is heard by all


@dataclass(frozen=True)
class Room:
    """A room of one machine, and who else is to be in it."""

    name: str
    host: str
    members: tuple[str, ...]
    is_in: bool  # the host itself is in it

    @property
    def label(self) -> str:
        """How events name it."""
        return f"{self.name}@{self.host}"

    @property
    def people(self) -> tuple[str, ...]:
        """All who are to be in it."""
        return (*((self.host,) if self.is_in else ()), *self.members)


@dataclass
class Plan:
    """One drawn run. `links` are (who dials, whom)."""

    seed: int
    machines: tuple[str, ...]
    links: list[tuple[str, str]]
    on: frozenset[str]
    seconds: float  # of workload and faults
    messages: int  # for each pair that is linked and each direction
    settings: dict[str, Any] = field(default_factory=dict)
    rooms: list[Room] = field(default_factory=list)
    sayings: int = 0  # for everybody in a room
    liars: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line."""
        links = " ".join(f"{one}>{other}" for one, other in self.links)
        rooms = "".join(f" {room.label}" for room in self.rooms)
        much = f"{self.seconds:.0f} s, {self.messages} messages, {self.sayings} in a room"
        return f"seed {self.seed}: {links};{rooms} {much}; {' '.join(sorted(self.on))}"


def nicks_of(machine: str) -> tuple[str, ...]:
    """What a machine may be called in a room; one of them is that of everybody."""
    return machine, machine, machine.upper(), "guest"


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"plan {seed}")
    machines = NAMES[: random.choices((2, 3, 4), (12, 4, 1))[0]]
    on = frozenset(kind for kind, often in (FAULTS | TRAITS).items() if kind not in LATER and random.random() < often)
    on |= {kind for kind in LATER if Random(f"{kind} {seed}").random() < FAULTS[kind]}
    links: list[tuple[str, str]] = []
    for number, one in enumerate(machines):
        for other in machines[number + 1 :]:
            if len(machines) == 2 or random.random() < 0.7 or machines.index(other) == number + 1:
                pair = (one, other) if random.random() < 0.5 else (other, one)
                links += [pair, pair[::-1]] if "double" in on and random.random() < 0.7 else [pair]
    settings: dict[str, Any] = {"redial_max": random.choice((2.0, 8.0, 30.0))}
    if "tiny" in on:
        settings["outbox_messages"] = random.randint(3, 12)
    if "short" in on:
        on -= {"key"}  # a key lives as long as its message
        settings["retain_age"] = random.uniform(5, 25)
    if "link" in on:
        settings["allow_faults"] = True
    if random.random() < 0.3:
        settings["tail_bytes"] = 64 * 1024  # the least: readers go to the disk
    messages = random.randint(5, 32 if len(machines) == 2 else 12)
    plan = Plan(seed, machines, links, on, random.uniform(15, 50), messages, settings)
    if "liar" in on:
        plan.liars = LIARS[: Random(f"liars {seed}").choice((1, 1, 2))]
    _draw_rooms(plan)
    return plan


def _draw_rooms(plan: Plan) -> None:
    """From a randomness of its own: a run without rooms stays what it was. Members have a link with their host."""
    random = Random(f"rooms {plan.seed}")
    drawn = {kind for kind, often in ROOM_TRAITS.items() if random.random() < often}
    if "rooms" not in drawn:
        return
    plan.on |= drawn
    neighbours = {
        one: tuple(other for other in plan.machines if (one, other) in plan.links or (other, one) in plan.links)
        for one in plan.machines
    }
    first = max(plan.machines, key=lambda name: (len(neighbours[name]), random.random()))
    hosts = [first, random.choice(plan.machines)][: random.choices((1, 2), (3, 1))[0]]
    plan.rooms = [
        Room(name, host, neighbours[host], random.random() < 0.7)
        for name, host in zip(("lobby", "den"), hosts, strict=False)
    ]
    plan.sayings = max(6, int(plan.messages * SAYINGS / len(plan.rooms)))
    plan.messages = max(2, plan.messages // 2)

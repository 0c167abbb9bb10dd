"""Liars: nodes that link to the machines of a run and tell them what is not true, while everything else goes on.

A liar speaks the protocol correctly and knows everything: epochs and positions of all machines. What it says in its own
name begins with `lie:` and its name, so that the checker finds it wherever it has come to. What it knows and draws is
the same for the same seed. `Bait` is an honest client that talks to a liar, so that there is something to lie about.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, cast

import trio

from chatd.wire.frames import (
    AckFrame,
    Bye,
    Cloned,
    Count,
    Counted,
    Explore,
    Explored,
    FoundFrame,
    Frame,
    Gone,
    Happened,
    Hello,
    Inquire,
    Missing,
    Refused,
    Resume,
    Rooms,
    Roster,
    Said,
    Say,
    Text,
    TracedFrame,
)
from tests.adversary.liar import Line
from tests.harness.handmade_peer import Handmade, hello
from tests.harness.memory import identities
from tests.harness.memory.network import MemoryNetwork
from tests.sim.client import Client
from tests.sim.client import Gone as SessionGone
from tests.sim.client import Refused as RequestRefused
from tests.sim.machine import PORT, Machine
from tests.sim.plan import Plan
from tests.sim.trace import Trace

if TYPE_CHECKING:
    from tests.sim.workload import Workload

TRAP = "trap"  # the room of every liar
LAST = 2**63 - 1
SHAKES_S = 10.0  # that a handshake may take
SPREE_S = 5.0, 40.0  # that a liar goes on
AGAIN_S = 0.3  # before it dials again
VISIT = 4, 25  # lies over one link
ENDS = 0.03  # how many of them end it
NEAR = 25  # positions around the newest one that it names
BAITS_S = 0.3, 3.0  # between two messages to a liar
JOINS_S = 3.0


class Liar:
    """One of them. `hosts` and `roster` are what a Line asks for."""

    def __init__(
        self, plan: Plan, name: str, number: int, machines: Mapping[str, Machine], network: MemoryNetwork, trace: Trace
    ) -> None:
        self.name = name
        self.identity = identities.identity_of(name)
        self.host = f"10.0.1.{number}"
        self.hosts = {TRAP}
        self.epoch = f"{name:2<8}"[:8]
        self.seq = 0
        self.rooms = [room.name for room in plan.rooms]
        self.random = Random(f"liar {name} {plan.seed}")
        self._machines = list(machines.values())
        self._network, self._trace = network, trace
        self._epochs: dict[str, list[str]] = {machine.name: ["aaaaaaaa"] for machine in self._machines}
        self._texts = 0

    # -- what it knows

    def called(self, machine: Machine) -> str:
        """What it calls itself: often what means another node.

        Not the name of another machine: a name belongs to the first node that has announced it.
        """
        node = self.other(machine).node_id
        return self.random.choice((self.name, self.name, node, node[:8], node[:16], machine.name, "127.0.0.1"))

    def look_around(self) -> None:
        """The epochs that there are by now."""
        for machine in self._machines:
            node, known = machine.node, self._epochs[machine.name]
            if node is not None and known[-1] != node.journal.epoch:
                known.append(node.journal.epoch)

    def present(self, machine: Machine) -> str:
        """The epoch of a machine that it has heard of last."""
        return self._epochs[machine.name][-1]

    def former(self, machine: Machine) -> str:
        """An epoch of a machine, not the present one."""
        return self.random.choice(self._epochs[machine.name][:-1] or ["zzzzzzzz"])

    def other(self, machine: Machine) -> Machine:
        """Another machine than that."""
        return self.random.choice([one for one in self._machines if one is not machine])

    def near(self, machine: Machine) -> int:
        """A seq about where its journal is."""
        newest = machine.newest
        return self.random.randint(max(1, newest - NEAR), newest + NEAR)

    def foreign(self, machine: Machine) -> str:
        """An epoch that a liar may use to that machine: of its own, of another machine, or a former one of that."""
        return self.random.choice((self.epoch, self.present(self.other(machine)), self.former(machine)))

    def position(self, machine: Machine) -> str:
        """A position that may be one of that machine's journal."""
        epoch = self.random.choice((self.present(machine), self.present(machine), self.former(machine)))
        return f"{epoch}:{self.near(machine)}"

    def next(self) -> int:
        """The next seq of its own journal."""
        self.seq += 1
        return self.seq

    def text(self) -> str:
        """What it says, and never said before."""
        self._texts += 1
        return f"lie:{self.name}:{self._texts}"

    def room(self) -> str:
        """Of the machines, or its own."""
        return self.random.choice([TRAP, TRAP, *self.rooms])

    def roster(self, room: str, nick: str) -> Roster:
        """Whoever wants to be in its room is."""
        return Roster(room, nick, "", 1, [(nick, None, True)], False)

    # -- what it does

    async def spree(self, until: float) -> None:
        """Lie to one machine after the other for a while; who cuts the link is dialed again."""
        ends = min(until, trio.current_time() + self.random.uniform(*SPREE_S))
        with trio.move_on_at(ends):
            while True:
                machine = self.random.choice(self._machines)
                with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._visit(machine)
                await trio.sleep(self.random.expovariate(1 / AGAIN_S))

    async def _visit(self, machine: Machine) -> None:
        stream: Any = await self._network.dial(self.host, machine.host, PORT)
        hand: Handmade | None = None
        try:
            with trio.move_on_after(SHAKES_S):
                hand = await Handmade.over(stream, self.identity)
                await self._begin(hand, machine)
            if hand is not None:
                await self._lie(hand, machine)
        finally:
            stream.socket.close()

    async def _begin(self, hand: Handmade, machine: Machine) -> None:
        self.look_around()
        pick, epoch = self.random.random(), self.foreign(machine)
        if pick < 0.05:
            epoch = self.present(machine)  # a protocol error
        mark: tuple[str | None, int] = (None, 0)
        if pick > 0.4:
            marked = self.random.choice((machine, machine, self.other(machine)))
            mark = self.present(marked), self.random.randint(0, marked.newest)
            if pick > 0.8:
                mark = self.former(marked), self.near(marked)
        self._trace.note(self.name, f"dials {machine.name} with {epoch} {mark}")
        said = hello(name=self.called(machine), epoch=epoch, mark_epoch=mark[0], mark_seq=mark[1])
        await hand.send(said)
        while (frame := await hand.next()) is not None and not isinstance(frame, Hello):
            continue
        await hand.send(self._resume(machine))

    def _resume(self, machine: Machine) -> Resume:
        """Where it goes on: what lies before that is a duplicate for that machine, so seldom too far."""
        if self.random.random() < 0.5:
            return Resume(self.epoch, self.random.randint(0, self.seq))
        if self.random.random() < 0.1:
            return Resume("zzzzzzzz", LAST // 2)
        return Resume(self.foreign(machine), self.near(self.other(machine)) // 2)

    async def _lie(self, hand: Handmade, machine: Machine) -> None:
        line = Line(cast(Any, self), hand)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.serve)
            for _ in range(self.random.randint(*VISIT)):
                if line.ended:
                    break
                self.look_around()
                line.acknowledges = self.random.random() < 0.5
                lies = ENDING if self.random.random() < ENDS else LIES
                name = self.random.choice(tuple(lies))
                self._trace.note(self.name, f"to {machine.name}: {name}")
                await line.say(*lies[name](self, machine))
                line.frames.clear()
                await trio.sleep(self.random.expovariate(4))
            nursery.cancel_scope.cancel()


# -- the lies


def _texts(epoch: Callable[[Liar, Machine], str]) -> Callable[[Liar, Machine], list[Frame]]:
    """Messages one after the other from about where the journal of another machine is."""

    def lie(liar: Liar, machine: Machine) -> list[Frame]:
        first = liar.near(liar.other(machine))
        return [Text(epoch(liar, machine), first + number, liar.text()) for number in range(liar.random.randint(1, 8))]

    return lie


def _twice(liar: Liar, machine: Machine) -> list[Frame]:
    said = Text(liar.epoch, liar.next(), liar.text())
    return [said, said]


def _answer(liar: Liar, machine: Machine) -> list[Frame]:
    return [Text(liar.epoch, liar.next(), liar.text(), liar.position(machine)) for _ in range(4)]


def _acks(liar: Liar, machine: Machine) -> list[Frame]:
    other = liar.other(machine)
    return [
        AckFrame(liar.former(machine), liar.near(machine)),
        AckFrame(liar.present(other), liar.near(other)),
    ]


def _say(liar: Liar, machine: Machine) -> list[Frame]:
    """In a room of the machine, in which it may be, at positions of another member."""
    other = liar.other(machine)
    epoch, seq = liar.random.choice(((liar.epoch, liar.next()), (liar.present(other), liar.near(other))))
    room = liar.room()
    to, node = (None, None) if liar.random.random() < 0.7 else (other.name, machine.node_id)
    return [Say(epoch, seq + number, room, liar.text(), to, node) for number in range(3)]


def _joins(liar: Liar, machine: Machine) -> list[Frame]:
    new = liar.random.random() < 0.7
    return [Rooms(liar.next(), [(room, liar.name, new) for room in dict.fromkeys([TRAP, *liar.rooms])])]


def _said(liar: Liar, machine: Machine) -> list[Frame]:
    """In rooms of other hosts and in its own: by others, and as what the machine itself has said."""
    said = [Said(liar.epoch, liar.next(), liar.room(), machine.name, liar.text()) for _ in range(2)]
    claims = [
        Said(liar.epoch, liar.next(), liar.room(), machine.name, liar.text(), liar.position(machine)) for _ in range(3)
    ]
    return [*said, *claims]


def _refused(liar: Liar, machine: Machine) -> list[Frame]:
    return [Refused(liar.epoch, liar.next(), liar.room(), liar.position(machine), "a lie") for _ in range(3)]


def _happened(liar: Liar, machine: Machine) -> list[Frame]:
    other, room = liar.other(machine), liar.room()
    what = liar.random.choice(("join", "leave", "topic", "closed"))
    node = liar.random.choice((machine.node_id, other.node_id))
    return [Happened(liar.epoch, liar.next(), room, cast(Any, what), other.name, node, "a lie")]


def _missing(liar: Liar, machine: Machine) -> list[Frame]:
    other = liar.other(machine)
    return [Missing(liar.epoch, liar.next(), liar.position(other), [(liar.room(), liar.position(other))])]


def _hosts(liar: Liar, machine: Machine) -> list[Frame]:
    room = liar.room()
    if liar.random.random() < 0.5:
        return [Gone(room, "forbidden", "a lie")]
    return [Roster(room, machine.name, "a lie", liar.near(machine), [(machine.name, machine.node_id, True)], False)]


def _asks(liar: Liar, machine: Machine) -> list[Frame]:
    other, token = liar.other(machine), liar.random.getrandbits(40)
    asked = [
        Inquire(token, node.node_id, liar.present(node), liar.near(node)) for node in (machine, other) for _ in range(2)
    ]
    return [*asked, Count(token, liar.present(other), 0, liar.near(other)), Explore(token, 8, 2000)]


def _tells(liar: Liar, machine: Machine) -> list[Frame]:
    token, other = liar.random.getrandbits(40), liar.other(machine)
    links: list[Any] = [(machine.node_id, machine.name, "down", None)]
    return [
        TracedFrame(token, True, [("arrived", 1.0, "")]),
        Counted(token, 9, 9),
        FoundFrame(token, other.node_id, other.name, private=False, plain=0, links=links, more=False),
        Explored(token),
    ]


LIES: Mapping[str, Callable[[Liar, Machine], Sequence[Frame]]] = {
    "at the positions of another machine": _texts(lambda liar, machine: liar.present(liar.other(machine))),
    "at former positions of that machine": _texts(lambda liar, machine: liar.former(machine)),
    "twice": _twice,
    "an answer to what was said to others": _answer,
    "acknowledgements": _acks,
    "into a room": _say,
    "a list of rooms": _joins,
    "into a room again": _say,
    "as a host": _said,
    "as a host again": _said,
    "a refusal": _refused,
    "an event of a room": _happened,
    "something missing": _missing,
    "who is in a room": _hosts,
    "questions": _asks,
    "answers": _tells,
    "that it runs twice": lambda liar, machine: [Cloned(liar.present(liar.other(machine))), Cloned("zzzzzzzz")],
}
ENDING: Mapping[str, Callable[[Liar, Machine], Sequence[Frame]]] = {
    "at the present epoch of that machine": _texts(lambda liar, machine: liar.present(machine)),
    "an acknowledgement of what was not sent to it": lambda liar, machine: [
        AckFrame(liar.present(machine), liar.near(machine))
    ],
    "goodbye": lambda liar, machine: [Bye(liar.random.choice(("terminated", "denied", "duplicate", "protocol")))],
}


class Bait:
    """A client of a machine that sends messages to a liar and talks in its room. Nothing of it is promised."""

    def __init__(self, work: "Workload", machine: Machine, name: str) -> None:
        self._work, self._machine = work, machine
        self._node = identities.identity_of(name).node
        self._random = work.random("bait", machine.name, name)
        self._count = 0

    async def run(self) -> None:
        """Until nothing more is sent."""
        while not self._work.quiet.is_set():
            with suppress(SessionGone):
                async with self._work.session(self._machine, self._random) as (_, client):
                    while not (self._work.quiet.is_set() or client.over.is_set()):
                        with suppress(RequestRefused):
                            await self._talk(client)
                        await trio.sleep(self._random.uniform(*BAITS_S))
            await trio.sleep(AGAIN_S)

    async def _talk(self, client: Client) -> None:
        self._count += 1
        text, room = f"bait:{self._machine.name}:{self._count}", f"{TRAP}@{self._node}"
        if self._count % 4 == 1:
            await client.call("room.join", room=room, timeout=JOINS_S)
        elif self._random.random() < 0.5:
            await client.call("send", peer=self._node, text=text)
        else:
            await client.call("room.say", room=room, text=text)

"""One peer's outbox in a whole node: whatever happens in which order, what is owed arrives, once and in order.

The peer is a list of what arrived, and the wire a list of what was written and has not. Links break and lose some of
it, the disk is full for a commit, and the node is killed. Then all faults stop.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import trio
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from chatd.api.errors import ControlError
from chatd.api.events import Message, Receipt
from chatd.messages.chat import Options
from chatd.net.native.sending import SendCursor
from chatd.peers.peer import Peer
from chatd.sync import Waker
from chatd.wire.frames import Text
from tests.harness.models import NodeMachine, at_two_lengths, play
from tests.harness.parts import BOB, FakeLink


@contextmanager
def refusals() -> Iterator[None]:
    """A full disk may refuse what the block asks for."""
    try:
        yield
    except ControlError as refused:
        if refused.kind not in ("storage_full", "conflict"):
            raise


class OutboxMachine(NodeMachine):
    """Model: what was accepted, what is on the wire, and what has arrived."""

    def __init__(self) -> None:
        self.said: list[str] = []  # ids of what was accepted, in order
        self.taken_back: set[str] = set()  # of those, what was answered to be cancelled for good
        self.arrived: list[Text] = []
        super().__init__()

    def start(self) -> None:
        super().start()
        self.link: FakeLink | None = None
        self.wire: list[Text] = []
        self.full = False

    @property
    def peer(self) -> Peer:
        return self.node.registry.by_node(BOB) or self.node.registry.native(BOB, "bob", "x:1")

    # -- the node's clients

    @rule(count=st.sampled_from([1, 2, 5]), ttl=st.sampled_from([None, None, 1, 5]))
    def send(self, count: int, ttl: int | None) -> None:
        async def step() -> None:
            with refusals():
                for _ in range(count):
                    message, batch = self.node.chat.send(self.peer, f"{len(self.said)}", Options(ttl=ttl))
                    await batch.wait()
                    self.said.append(message.position)

        self.run(step)

    @rule(place=st.sampled_from([0, 1, 3, -1]))
    def cancel(self, place: int) -> None:
        async def step() -> None:
            entry = await self.node.chat.lookup.find(self.said[place])
            with refusals():
                if await self.node.chat.states.cancel(self.peer, entry) == "cancelled":
                    self.taken_back.add(self.said[place])

        if -len(self.said) <= place < len(self.said):
            self.run(step)

    @rule(seconds=st.sampled_from([1, 3]))
    def wait(self, seconds: int) -> None:
        self.clock.jump(seconds)
        self.world.now += seconds

    @rule()
    def expire(self) -> None:
        async def step() -> None:
            self.node.chat.states.expire()
            await self.journal.settled()

        self.run(step)

    # -- the link

    @precondition(lambda self: self.link is None)
    @rule()
    def connect(self) -> None:
        async def step() -> None:
            peer, self.link = self.peer, FakeLink()
            self.node.registry.link_up(peer, self.link)
            epoch, seq = (self.arrived[-1].epoch, self.arrived[-1].seq) if self.arrived else (None, 0)
            start = await self.node.chat.start_link(peer, self.link, epoch, seq)
            assert start is not None
            self.outgoing = SendCursor(
                peer,
                Waker(),
                (self.node.config.text_bytes, 0),
                journal=self.journal,
                states=self.node.chat.states,
                intervals=self.node.hosted_rooms.intervals,
                room_updates=self.node.link_parts.room_updates,
            )
            self.outgoing.start(start)
            await self.journal.settled()

        self.run(step)

    @precondition(lambda self: self.link)
    @rule()
    def write(self) -> None:
        link = self.link
        assert link is not None

        async def step() -> None:
            while link.reason is None and not self.outgoing.at_tail:
                with trio.move_on_after(60):
                    self.wire += cast(list[Text], await self.outgoing.next())

        self.run(step)
        if link.reason is not None:
            self.disconnect()

    @precondition(lambda self: self.wire)
    @rule(count=st.sampled_from([1, 3, 100]))
    def arrive(self, count: int) -> None:
        for text in self.wire[:count]:
            if text.seq > (self.arrived[-1].seq if self.arrived else 0):
                self.arrived.append(text)
        del self.wire[:count]

    @precondition(lambda self: self.link and self.arrived)
    @rule()
    def acknowledge(self) -> None:
        async def step() -> None:
            assert self.node.chat.acknowledge(self.peer, self.arrived[-1].epoch, self.arrived[-1].seq)
            self.journal.flush()

        self.run(step)

    @precondition(lambda self: self.link)
    @rule()
    def disconnect(self) -> None:
        assert self.link is not None
        self.wire = []
        self.node.registry.link_down(self.peer, self.link)
        self.link = None
        self.commit()

    # -- the disk

    @rule()
    def fill_disk(self) -> None:
        """The next commit fails."""
        self.full = True

    @rule()
    def restart(self) -> None:
        if self.link is not None:
            self.disconnect()
        self.journal.flush()
        self.run(self.journal.responds)
        super().restart()

    # -- what must hold

    @invariant()
    def numbers_are_exact(self) -> None:
        outbox, owed = self.peer.delivery.outbox, self.node.registry.outbox_totals
        assert (owed.messages, owed.size) == (outbox.count, outbox.size)
        assert 0 <= outbox.count <= len(self.said)

    @rule()
    def heal(self) -> None:
        """No faults for a while: everything that is owed arrives."""
        self.full = False
        if self.link is not None:
            self.disconnect()
        self.expire()
        self.connect()
        self.write()
        self.arrive(len(self.wire))
        if self.arrived:
            self.acknowledge()
        self.run(self.journal.responds)
        self.run(self.everything_has_an_end)

    finish = heal

    async def everything_has_an_end(self) -> None:
        arrived = [f"{text.epoch}:{text.seq}" for text in self.arrived]
        states = {id_: await self.node.chat.states.state(await self.node.chat.lookup.find(id_)) for id_ in self.said}
        assert arrived == [id_ for id_, state in states.items() if state == "delivered"]
        assert set(states.values()) <= {"delivered", "cancelled", "expired"}
        assert not self.taken_back & set(arrived)
        events = [entry.event for entry in (await self.journal.page(0)).entries]
        ends = [(event.id, event.state) for event in events if isinstance(event, Receipt) and event.id]
        assert sorted(ends) == sorted((id_, state) for id_, state in states.items() if state != "delivered")
        assert [event.text for event in events if isinstance(event, Message)] == [f"{n}" for n in range(len(self.said))]
        delivery = self.peer.delivery
        assert (delivery.outbox.count, delivery.outbox.size, delivery.tentative) == (0, 0, {})


@at_two_lengths(20, 200)
def test_everything_that_is_owed_arrives_once_and_in_order(examples: int) -> None:
    play(OutboxMachine, examples)

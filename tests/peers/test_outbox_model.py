"""One peer's outbox in a whole core: whatever happens in which order, what is owed arrives, once and in order.

The peer is a list of what arrived, and the wire a list of what was written and has not. Links break and lose some of
it, the disk is full for a commit, and the node is killed. Then all faults stop.
"""

import tempfile
from pathlib import Path
from typing import cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.api.events import Message, Receipt
from chatd.journal.batch import Batch
from chatd.journal.store import DiskFull
from chatd.messages.chat import Options
from chatd.peers.peer import Peer
from chatd.wire.frames import Text
from tests.harness.parts import BOB, Core, FakeLink, World, standing

STEPS = st.sampled_from(
    (
        *(("send", number) for number in (1, 1, 2, 5)),
        *(("ttl", seconds) for seconds in (1, 5)),
        *(("cancel", place) for place in (0, 1, 3, -1)),
        *(("pass", seconds) for seconds in (1, 3)),
        *(("arrive", number) for number in (0, 1, 3, 100)),
        *((step, 0) for step in ("up", "up", "write", "write", "down", "ack", "expire", "full", "restart", "kill")),
    )
)


class Play:
    """One example."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.core: Core
        self.link: FakeLink | None = None
        self.said: list[str] = []  # ids of what was accepted, in order
        self.taken_back: set[str] = set()  # of those, what was answered to be cancelled for good
        self.wire: list[Text] = []
        self.arrived: list[Text] = []
        self.restart = False
        self.full = False  # the next commit meets a full disk

    @property
    def peer(self) -> Peer:
        return self.core.registry.by_node(BOB) or self.core.registry.native(BOB, "bob", "x:1")

    async def step(self, name: str, number: int) -> None:
        """Do it; a full disk may refuse it."""
        try:
            await getattr(self, f"do_{name}")(number)
        except ControlError as refused:
            if refused.kind not in ("storage_full", "conflict"):
                raise

    async def do_send(self, number: int, options: Options = Options()) -> None:  # noqa: B008 (it is immutable)
        for _ in range(number):
            message, batch = self.core.chat.send(self.peer, f"{len(self.said)}", options)
            await batch.wait()
            self.said.append(message.position)

    async def do_ttl(self, seconds: int) -> None:
        await self.do_send(1, Options(ttl=seconds))

    async def do_cancel(self, place: int) -> None:
        if -len(self.said) <= place < len(self.said):
            entry = await self.core.chat.lookup.find(self.said[place])
            if await self.core.chat.states.cancel(self.peer, entry) == "cancelled":
                self.taken_back.add(self.said[place])

    async def do_pass(self, seconds: int) -> None:
        self.clock.jump(seconds)
        self.core.world.now += seconds

    async def do_expire(self, _: int) -> None:
        self.core.chat.states.expire()
        await self.core.commit()

    async def do_up(self, _: int) -> None:
        if self.link is None:
            self.link = FakeLink()
            peer = self.peer
            self.core.registry.link_up(peer, self.link)
            epoch, seq = (self.arrived[-1].epoch, self.arrived[-1].seq) if self.arrived else (None, 0)
            start = await self.core.chat.start_link(peer, self.link, epoch, seq)
            assert start is not None
            self.outgoing = self.core.outgoing(peer, start)
            await self.core.commit()

    async def do_write(self, _: int) -> None:
        while self.link is not None and self.link.reason is None and not self.outgoing.at_tail:
            with trio.move_on_after(60):
                self.wire += cast(list[Text], await self.outgoing.next())
        if self.link is not None and self.link.reason is not None:
            await self.do_down(0)

    async def do_arrive(self, number: int) -> None:
        for text in self.wire[:number]:
            mark = self.arrived[-1].seq if self.arrived else 0
            if text.seq > mark:
                self.arrived.append(text)
        del self.wire[:number]

    async def do_ack(self, _: int) -> None:
        if self.link is not None and self.arrived:
            mark = self.arrived[-1]
            assert self.core.chat.acknowledge(self.peer, mark.epoch, mark.seq)
            self.core.journal.flush()

    async def do_down(self, _: int) -> None:
        self.wire.clear()
        if self.link is not None:
            self.core.registry.link_down(self.peer, self.link)
            self.link = None
            await self.core.commit()

    async def do_full(self, _: int) -> None:
        self.full = True

    def begin(self, core: Core) -> None:
        """A run begins."""
        self.core, self.restart, self.full = core, False, False
        write = core.journal.store.write

        def write_or_fail(batch: Batch) -> None:
            if self.full:
                self.full = False
                raise DiskFull("no room")
            write(batch)

        core.journal.store.write = write_or_fail  # type: ignore[method-assign]

    async def do_restart(self, _: int) -> None:
        await self.do_down(0)
        self.core.journal.flush()
        await self.core.journal.responds()
        self.restart = True

    async def do_kill(self, _: int) -> None:
        self.wire.clear()
        self.link = None
        self.restart = True

    def exact(self) -> None:
        outbox, owed = self.peer.delivery.outbox, self.core.registry.outbox_totals
        assert (owed.messages, owed.size) == (outbox.count, outbox.size)
        assert 0 <= outbox.count <= len(self.said)

    async def heal(self) -> None:
        """No faults from now on: everything that is owed arrives."""
        self.full = False
        await self.do_down(0)
        await self.do_expire(0)
        await self.do_up(0)
        await self.do_write(0)
        await self.do_arrive(len(self.wire))
        await self.do_ack(0)
        await self.core.flushed()

    async def check(self) -> None:
        arrived = [f"{text.epoch}:{text.seq}" for text in self.arrived]
        states = {message_id: await self.core.state(message_id) for message_id in self.said}
        assert arrived == [message_id for message_id in self.said if states[message_id] == "delivered"]
        assert set(states.values()) <= {"delivered", "cancelled", "expired"}
        assert not self.taken_back & set(arrived)
        events = [entry.event for entry in (await self.core.journal.page(0)).entries]
        ends = [(event.id, event.state) for event in events if isinstance(event, Receipt) and event.id]
        assert sorted(ends) == sorted((one, state) for one, state in states.items() if state != "delivered")
        assert [event.text for event in events if isinstance(event, Message)] == [f"{n}" for n in range(len(self.said))]
        assert (self.peer.delivery.outbox.count, self.peer.delivery.outbox.size, self.peer.delivery.tentative) == (
            0,
            0,
            {},
        )


async def play(steps: list[tuple[str, int]], clock: MockClock) -> None:
    """Runs of the node, one after the other, until the steps are used up."""
    playing, left, wall = Play(clock), list(steps), World().now
    with tempfile.TemporaryDirectory(prefix="chatd-") as directory:
        while left or playing.restart:
            world = World(inline=True)
            world.now = wall
            async with standing(Path(directory), world) as core:
                playing.begin(core)
                while left and not playing.restart:
                    await playing.step(*left.pop(0))
                    playing.exact()
                if not left and not playing.restart:
                    await playing.heal()
                    await playing.check()
            wall = world.now


@pytest.mark.deadline(100)
@settings(max_examples=60)
@given(steps=st.lists(STEPS, min_size=1, max_size=40))
def test_everything_that_is_owed_arrives_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    clock = MockClock(autojump_threshold=0)
    trio.run(play, steps, clock, clock=clock)

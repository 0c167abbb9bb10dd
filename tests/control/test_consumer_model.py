"""Consumers and their readers against a model: windows, acknowledgements, takeovers, full disks, crashes, in any order.

Each reader gets the matching events after its first cursor, in order and without a hole, never more than its window
beyond the acknowledgements. The cursor never passes an event that was not acknowledged, in memory or on disk, and never
goes back before an acknowledgement that was answered.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast
from unittest import mock

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatd.api.events import Receipt
from chatd.api.params import Filter
from chatd.control import subscription
from chatd.control.selection import Selection
from chatd.control.subscription import Subscription
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from chatd.messages.consumers import Consumer, ConsumerReader, Consumers
from chatd.node import Node
from chatd.peers.registry import Registry
from chatd.sync import Waker
from tests.harness.parts import World, copy_as_crashed, open_journal, said

T = TypeVar("T")
NAME = "bot"
TAIL_BYTES = 9000  # about a dozen entries: many reads go to the disk


class Inline(World):
    """Runs blocking calls without threads: each of a thousand short runs of trio would start one."""

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Reader:
    """A subscription and the events that it returned."""

    def __init__(self, subscription: Subscription, window: int, began: int) -> None:
        self.subscription = subscription
        self.window = window
        self.began = began
        self.got: list[int] = []
        self.lost = False

    @property
    def hold(self) -> ConsumerReader:
        assert self.subscription.reader is not None
        return self.subscription.reader

    async def pull(self) -> None:
        """Pull like the writer of a session; events of a lost reader are discarded."""
        while not self.lost and self.subscription.is_due:
            data = await self.subscription.pull()
            for line in data.splitlines():
                self.got.append(int(json.loads(line)["params"]["event"]["position"].partition(":")[2]))
            if data:
                assert sum(seq > self.hold.consumer.seq for seq in self.got) <= self.window


def no_room(batch: Batch) -> None:
    raise DiskFull("no room")


class ConsumerMachine(RuleBasedStateMachine):
    """Model: the committed seqs that match, and the certain and possible acknowledgements."""

    def __init__(self) -> None:
        super().__init__()
        self.small = mock.patch.multiple(subscription, PAGE_ROWS=8, FEW_ROWS=3)
        self.small.start()
        self.root = Path(tempfile.mkdtemp())
        self.world = Inline()
        self.starts = 0
        self.reader: Reader | None = None
        self.acked = 0  # answered, or where the consumer began
        self.asked = 0  # the newest that was acknowledged at all, in vain or not
        self.waiting: list[tuple[Batch, int]] = []

    @property
    def directory(self) -> Path:
        return self.root / str(self.starts)

    @initialize()
    def first_start(self) -> None:
        self.directory.mkdir()
        self.start()
        self.commit_with(self._create)

    def start(self) -> None:
        self.journal = open_journal(self.directory, self.world, tail_bytes=TAIL_BYTES)
        self.registry = Registry(self.journal, self.world)
        self.consumers = Consumers(self.journal, self.world, 3)
        self.reader, self.waiting = None, []

    def teardown(self) -> None:
        if self.directory.exists():
            self.journal.close()
        shutil.rmtree(self.root)
        self.small.stop()

    def commit_with(self, step: Callable[[Journal], object]) -> None:
        """Run one step together with the journal's task, until everything is committed."""

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.journal.run)
                step(self.journal)
                await self.journal.settled()
                nursery.cancel_scope.cancel()

        trio.run(main)
        self._settle()

    def _settle(self) -> None:
        for batch, seq in self.waiting:
            if batch.done and batch.error is None:
                self.acked = max(self.acked, seq)
        self.waiting = [(batch, seq) for batch, seq in self.waiting if not batch.done]

    def _create(self, journal: Journal) -> None:
        self.consumers.create(NAME, journal.committed, Filter(types=["message"]), None)
        self.acked = self.asked = journal.committed

    @property
    def consumer(self) -> Consumer:
        found = self.consumers.get(NAME)
        assert found is not None
        return found

    def matching(self, after: int, through: int) -> list[int]:
        rows = self.journal.store.query(
            "SELECT seq FROM events WHERE type = 'message' AND seq > ? AND seq <= ?", after, through
        )
        return [row[0] for row in rows]

    # -- the journal

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=30))
    def say(self, kinds: list[bool]) -> None:
        """Append messages, and events that the consumer does not select."""

        def step(journal: Journal) -> None:
            for matches in kinds:
                peer = self.registry.native("b" * 52, "bob", "x:1")
                event = said("x" * 300) if matches else Receipt(peer=peer.ref, state="delivered")
                journal.append(event, peer.stream_id, "out")

        self.commit_with(step)

    @rule()
    def commit(self) -> None:
        self.commit_with(lambda journal: None)

    @rule()
    def disk_full(self) -> None:
        write = self.journal.store.write
        self.journal.store.write = no_room  # type: ignore[method-assign]
        self.commit_with(lambda journal: None)
        self.journal.store.write = write  # type: ignore[method-assign]

    @rule()
    def crash(self) -> None:
        """Restart on the present files; uncommitted data is lost, and the consumer has no reader."""
        old = self.directory
        self.starts += 1
        copy_as_crashed(old, self.directory)
        self.journal.close()
        self.start()

    # -- the consumer

    @rule(window=st.integers(1, 12))
    def take_over(self, window: int) -> None:
        """A new reader takes over; the previous one gets no more events."""
        before = self.reader
        hold = self.consumers.attach_reader(self.consumer, window, takeover=True)
        assert before is None or before.lost
        node = cast("Node", SimpleNamespace(registry=self.registry, joined_rooms=()))
        selection, seq = Selection.of_consumer(node, self.consumer), self.consumer.seq
        subscription = Subscription(self.journal, self.world, 1, selection, seq, self.journal.committed, hold)
        subscription.announced = True
        self.reader = reader = Reader(subscription, window, seq)

        def lose() -> None:
            reader.lost = True

        hold.set_waker(Waker(), lose)

    @precondition(lambda self: self.reader)
    @rule()
    def leave(self) -> None:
        assert self.reader is not None
        self.reader.hold.release()
        self.reader = None

    @precondition(lambda self: self.reader)
    @rule(meanwhile=st.sampled_from(["nothing", "ack", "takeover"]))
    def pull(self, meanwhile: str) -> None:
        """Pull everything that the window allows, while others commit."""
        reader = self.reader
        assert reader is not None

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.journal.run)
                async with trio.open_nursery() as reading:
                    reading.start_soon(reader.pull)
                    await trio.lowlevel.checkpoint()
                    if meanwhile == "ack":
                        self.acknowledge(0)
                    elif meanwhile == "takeover":
                        self.take_over(3)
                await self.journal.settled()
                nursery.cancel_scope.cancel()

        trio.run(main)
        self._settle()

    @rule(ahead=st.integers(-3, 20))
    def acknowledge(self, ahead: int) -> None:
        """Acknowledge any position: also an old one, or one that was never sent."""
        seq = min(max(self.consumer.seq + ahead, 0), self.journal.committed)
        self.waiting.append((self.consumers.ack(self.consumer, seq), seq))
        self.asked = max(self.asked, seq)

    @precondition(lambda self: self.reader and self.reader.got)
    @rule(draw=st.data())
    def acknowledge_what_it_got(self, draw: st.DataObject) -> None:
        assert self.reader is not None
        seq = draw.draw(st.sampled_from(self.reader.got))
        self.waiting.append((self.consumers.ack(self.consumer, seq), seq))
        self.asked = max(self.asked, seq)

    @rule()
    def begin_anew(self) -> None:
        """Remove and create the consumer, if it has no reader."""
        if self.reader is not None:
            self.leave()
        self.commit_with(lambda journal: self.consumers.remove(self.consumer))
        self.waiting = []
        self.commit_with(self._create)

    # -- what must hold

    @invariant()
    def nothing_is_passed_over(self) -> None:
        """No selected event is between the acknowledgement and the cursor."""
        if not self.directory.exists():
            return
        durable = dict(self.journal.store.query("SELECT name, seq FROM consumers"))[NAME]
        perhaps = max([self.acked, *(seq for _, seq in self.waiting)])
        assert self.acked <= durable <= self.journal.committed
        assert self.matching(self.acked, durable) == []
        assert self.matching(perhaps, self.consumer.seq) == []
        assert self.consumer.seq >= self.acked

    @invariant()
    def readers_miss_nothing_and_get_nothing_twice(self) -> None:
        reader = self.reader
        if reader is None:
            return
        skipped = [seq for seq in self.matching(reader.began, reader.subscription.cursor) if seq not in reader.got]
        assert all(seq <= self.asked for seq in skipped)
        assert reader.got == sorted(set(reader.got))
        assert set(reader.got) <= set(self.matching(reader.began, reader.subscription.cursor))

    @invariant()
    def windows_are_kept(self) -> None:
        if self.reader is not None:
            open_ = [seq for seq in self.reader.got if seq > self.consumer.seq]
            assert self.reader.lost or self.reader.hold.capacity == self.reader.window - len(open_)


TestConsumers = ConsumerMachine.TestCase
TestConsumers.settings = settings(max_examples=20, stateful_step_count=40)


@pytest.mark.long
@pytest.mark.deadline(600)
class TestConsumersAtLength(ConsumerMachine.TestCase):  # type: ignore[misc,valid-type]
    """The same with more examples."""

    settings = settings(max_examples=100, stateful_step_count=40)

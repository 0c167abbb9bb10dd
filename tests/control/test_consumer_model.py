"""Consumers and their readers against a model: windows, acknowledgements, takeovers, full disks, crashes, in any order.

Each reader gets the matching events after its first cursor, in order and without a hole, never more than its window
beyond the acknowledgements. The cursor never passes an event that was not acknowledged, in memory or on disk, and never
goes back before an acknowledgement that was answered.
"""

import json
from unittest import mock

import trio
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from chatd.api.events import Receipt
from chatd.api.params import Filter
from chatd.control import subscription
from chatd.control.selection import Selection
from chatd.control.subscription import Subscription
from chatd.journal.batch import Batch
from chatd.messages.consumers import Consumer, ConsumerReader
from chatd.sync import Waker
from tests.harness.models import NodeMachine, at_two_lengths, play
from tests.harness.parts import said

NAME = "bot"


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


class ConsumerMachine(NodeMachine):
    """Model: the committed seqs that match, and the certain and possible acknowledgements."""

    def __init__(self) -> None:
        self.reader: Reader | None = None
        self.acked = 0  # answered, or where the consumer began
        self.asked = 0  # the newest that was acknowledged at all, in vain or not
        self.waiting: list[tuple[Batch, int]] = []
        super().__init__(tail_bytes=9000)  # about a dozen entries: many reads go to the disk
        self.create()

    def start(self) -> None:
        super().start()
        self.consumers = self.node.consumers
        self.reader, self.waiting = None, []

    def saved(self) -> None:
        for batch, seq in self.waiting:
            if batch.done and batch.error is None:
                self.acked = max(self.acked, seq)
        self.waiting = [(batch, seq) for batch, seq in self.waiting if not batch.done]

    lost = saved

    def create(self) -> None:
        self.commit()
        self.consumers.create(NAME, self.journal.committed, Filter(types=["message"]), None)
        self.acked = self.asked = self.journal.committed
        self.commit()

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
        peer = self.node.registry.native("b" * 52, "bob", "x:1")
        for matches in kinds:
            event = said("x" * 300) if matches else Receipt(peer=peer.ref, state="delivered")
            self.journal.append(event, peer.stream_id, "out")
        self.commit()

    # -- the consumer

    @rule(window=st.integers(1, 12))
    def take_over(self, window: int) -> None:
        """A new reader takes over; the previous one gets no more events."""
        before = self.reader
        hold = self.consumers.attach_reader(self.consumer, window, takeover=True)
        assert before is None or before.lost
        selection, seq = Selection.of_consumer(self.node, self.consumer), self.consumer.seq
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

        async def step() -> None:
            async with trio.open_nursery() as reading:
                reading.start_soon(reader.pull)
                await trio.lowlevel.checkpoint()
                if meanwhile == "ack":
                    self.acknowledge(0)
                elif meanwhile == "takeover":
                    self.take_over(3)
            await self.journal.settled()

        self.run(step)
        self.saved()

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
        self.commit()
        self.consumers.remove(self.consumer)
        self.create()

    # -- what must hold

    @invariant()
    def nothing_is_passed_over(self) -> None:
        """No selected event is between the acknowledgement and the cursor."""
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


@at_two_lengths(20, 100)
def test_readers_miss_nothing_and_cursors_pass_nothing_after_any_operations(examples: int) -> None:
    with mock.patch.multiple(subscription, PAGE_ROWS=8, FEW_ROWS=3):
        play(ConsumerMachine, examples)

"""Consumers: named, durable readers of control clients, and the client that reads as each.

Acknowledgements move a consumer's cursor durably. The cursor also moves over events that are not for the consumer,
while no event that was sent waits for an acknowledgement. A write to a client never counts as an acknowledgement. No
method waits: a change that must be on disk first is returned as a batch, and a failed batch changes nothing. Called by
`control/`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from chatd.api.errors import ControlError
from chatd.api.params import Filter
from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.runtime import Runtime
from chatd.sync import Waker

ADD = "INSERT INTO consumers (name, seq, filter, topic, seen) VALUES (?, ?, ?, ?, ?)"
MOVE = "UPDATE consumers SET seq = max(seq, ?), seen = ? WHERE name = ?"
REMOVE = "DELETE FROM consumers WHERE name = ?"
ACK_BYTES = 600  # of memory for an acknowledgement and its response until the commit, approximately


class Consumer:
    """One consumer. Everything up to and including `seq` was acknowledged, or is not for it."""

    __slots__ = (
        "_before",
        "committed_seq",
        "created_at_seq",
        "filter",
        "last_seen_ms",
        "name",
        "reader",
        "seq",
        "stream_id",
    )

    def __init__(self, name: str, seq: int, wanted: Filter, stream_id: int | None, seen: int) -> None:
        self.name = name
        self.seq = self._before = seq
        self.committed_seq = seq  # a failed batch never moves the cursor below this
        self.created_at_seq = 0  # its start, if it was created in this run: earlier events are not for it
        self.filter = wanted
        self.stream_id = stream_id  # of the filter's peer when the consumer was created
        self.last_seen_ms = seen  # wall time in ms
        self.reader: ConsumerReader | None = None

    @property
    def shown_filter(self) -> bytes:
        """The filter as JSON, as `subscribe` gave it."""
        given = {name: getattr(self.filter, name) for name in self.filter.__struct_fields__}
        return msgspec.json.encode({name: value for name, value in given.items() if value is not None})

    def acknowledge(self, seq: int, batch: Batch) -> None:
        """Move the cursor to `seq`, acknowledged with that batch; it never moves back."""
        if batch.if_failed(self, partial(self._put_back, self.seq)):
            self.committed_seq, self._before = self._before, self.seq  # two batches at most are uncommitted
        if not batch.done:
            self.seq = max(self.seq, seq)

    def _put_back(self, seq: int) -> None:
        self.seq = self._before = min(self.seq, seq)
        self.committed_seq = min(self.committed_seq, seq)


class ConsumerReader:
    """A client that reads as a consumer: the events that were sent and not acknowledged, at most `window`."""

    __slots__ = ("_newest", "_on_lost", "_save", "_sent", "_waker", "_window", "consumer")

    def __init__(self, consumer: Consumer, window: int, save: Callable[[Consumer], None]) -> None:
        self.consumer = consumer
        self._window = window
        self._save = save
        self._newest = consumer.seq  # seq up to which events were sent, or acknowledged without being sent
        self._sent: list[int] = []  # seqs without a committed acknowledgement
        self._waker: Waker | None = None
        self._on_lost: Callable[[], None] | None = None

    def set_waker(self, waker: Waker, on_lost: Callable[[], None]) -> None:
        """Wake `waker` when there may be capacity again; call `on_lost` when another client takes the consumer over."""
        self._waker, self._on_lost = waker, on_lost

    @property
    def is_lost(self) -> bool:
        """Whether this client no longer reads as the consumer."""
        return self.consumer.reader is not self

    @property
    def capacity(self) -> int:
        """Number of events that may be sent now; negative after a failed acknowledgement."""
        return self._window - len(self._sent) + bisect_right(self._sent, self.consumer.seq)

    def next_cursor(self, cursor: int) -> int:
        """The seq after which to read: `cursor`, or a later seq that was acknowledged without being sent."""
        if self.consumer.seq > cursor:
            self._newest = cursor = self.consumer.seq
        return cursor

    def add_sent(self, seqs: Sequence[int]) -> None:
        """Record that these events were sent, in order."""
        if seqs:
            del self._sent[: bisect_right(self._sent, self.consumer.committed_seq)]
            self._sent += seqs
            self._newest = seqs[-1]

    def advance(self, through: int) -> None:
        """Everything up to and including `through` was examined, and sent if it is for the consumer."""
        consumer = self.consumer
        if self._newest <= consumer.seq < through and not self.is_lost:
            consumer.seq = through
            self._save(consumer)

    def wake(self) -> None:
        """Wake the waker: there may be capacity again."""
        if self._waker is not None:
            self._waker.wake()

    def report_takeover(self) -> None:
        """Call `on_lost`: another client reads as the consumer now."""
        if self._on_lost is not None:
            self._on_lost()

    def release(self) -> None:
        """Stop reading. Unacknowledged events are sent again to the next client."""
        if not self.is_lost:
            self.consumer.reader = None
            self._save(self.consumer)


class Consumers:
    def __init__(self, journal: Journal, runtime: Runtime, most: int) -> None:
        """Read all consumers (blocking); `most` is how many there may be."""
        self._journal = journal
        self._runtime = runtime
        self._most = most
        rows = journal.store.query("SELECT name, seq, filter, topic, seen FROM consumers")
        self._all = {
            name: Consumer(name, seq, msgspec.json.decode(wanted, type=Filter), stream_id, seen)
            for name, seq, wanted, stream_id, seen in rows
        }
        self._creations: dict[Consumer, Batch] = {}  # new consumers that may not be committed yet

    def __iter__(self) -> Iterator[Consumer]:
        return iter([self._all[name] for name in sorted(self._all)])

    def get(self, name: str) -> Consumer | None:
        return self._all.get(name)

    def create(self, name: str, seq: int, wanted: Filter, stream_id: int | None) -> Batch:
        """Create a consumer with a free name, after `seq`; it exists when the batch is committed.

        Raises ControlError rate_limited.
        """
        if len(self._all) >= self._most:
            hint = "`chatctl consumer remove` one that nobody needs, or raise `consumers`"
            raise ControlError("rate_limited", f"there are {self._most} consumers, as many as may be", hint)
        consumer = Consumer(name, seq, wanted, stream_id, self._now())
        consumer.created_at_seq = seq
        row = (name, seq, consumer.shown_filter.decode(), stream_id, consumer.last_seen_ms)
        self._all[name] = consumer
        batch = self._journal.execute(ADD, *row)
        pending = {new: creation for new, creation in self._creations.items() if not creation.done}
        self._creations = pending | {consumer: batch}
        batch.if_failed(None, partial(self._all.pop, name, None))
        return batch

    def creation(self, consumer: Consumer) -> Batch | None:
        """Batch that must be committed before a client may learn that the consumer exists; None: it is committed."""
        batch = self._creations.get(consumer)
        return None if batch is None or batch.done else batch

    def remove(self, consumer: Consumer) -> Batch:
        """Delete a consumer. Raises ControlError conflict while a client reads as it."""
        if consumer.reader is not None:
            raise _busy(consumer, "end its reader first")
        del self._all[consumer.name]
        self._journal.timings.acknowledgements.drop(consumer)
        batch = self._journal.execute(REMOVE, consumer.name)
        batch.if_failed(None, partial(self._all.__setitem__, consumer.name, consumer))
        return batch

    def attach_reader(self, consumer: Consumer, window: int, *, takeover: bool) -> ConsumerReader:
        """Read as a consumer. Raises ControlError conflict if another client does, unless `takeover`."""
        previous = consumer.reader
        if previous is not None and not takeover:
            raise _busy(consumer, "end its reader, or take it over (--takeover)")
        consumer.reader = ConsumerReader(consumer, window, self._save)
        self._save(consumer)
        if previous is not None:
            previous.report_takeover()
        return consumer.reader

    def ack(self, consumer: Consumer, seq: int) -> Batch:
        """Acknowledge everything up to and including `seq`, durably with the batch. A lower seq changes nothing."""
        consumer.last_seen_ms = self._now()
        batch = self._journal.execute(MOVE, seq, consumer.last_seen_ms, consumer.name)
        batch.size += ACK_BYTES
        if seq > consumer.seq:
            self._journal.timings.acknowledgements.add(consumer, consumer.seq, seq, self._runtime.wall())
        consumer.acknowledge(seq, batch)
        if consumer.reader is not None:
            consumer.reader.wake()
        return batch

    def last_seen(self, consumer: Consumer) -> int:
        """When a client last read as the consumer or acknowledged; wall time in ms."""
        return self._now() if consumer.reader is not None else consumer.last_seen_ms

    def _now(self) -> int:
        return int(self._runtime.wall() * 1000)

    def _save(self, consumer: Consumer) -> None:
        """Save the cursor with the next commit."""
        consumer.last_seen_ms = self._now()
        self._journal.note(("consumer", consumer.name), partial(self._statement, consumer.name))

    def _statement(self, name: str) -> Statement:
        """Statement that saves the cursor; by name, because another consumer may have the name by then."""
        consumer = self._all.get(name)
        return MOVE, (consumer.seq, consumer.last_seen_ms, name) if consumer else (0, 0, name)


def _busy(consumer: Consumer, hint: str) -> ControlError:
    return ControlError("conflict", f"somebody reads as {consumer.name} already", hint, reason="consumer_busy")

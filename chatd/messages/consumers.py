"""Consumers: named, durable readers of control clients, and the client that holds each.

Acknowledgements move a consumer's cursor durably. It also moves by itself over events that are not for it, while no
event that was sent waits for an acknowledgement. A write to a client never counts as one. Everything is synchronous:
what must be on disk first is returned as a batch, and a failed batch changes nothing.
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
ACK_BYTES = 600  # about what an acknowledgement and its response take until the commit


class Consumer:
    """One consumer. Everything up to and including `seq` was acknowledged, or is not for it."""

    __slots__ = (
        "_before",
        "created_at_seq",
        "filter",
        "last_seen_ms",
        "name",
        "reader",
        "seq",
        "stream_id",
        "sure_seq",
    )

    def __init__(self, name: str, seq: int, wanted: Filter, stream_id: int | None, seen: int) -> None:
        self.name = name
        self.seq = self._before = seq
        self.sure_seq = seq  # committed: a failed batch never moves the cursor below this
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
            self.sure_seq, self._before = self._before, self.seq  # two batches at most are under way
        if not batch.done:
            self.seq = max(self.seq, seq)

    def _put_back(self, seq: int) -> None:
        self.seq = self._before = min(self.seq, seq)
        self.sure_seq = min(self.sure_seq, seq)


class ConsumerReader:
    """A consumer that a client reads as: events that were sent and not acknowledged, at most `window`."""

    __slots__ = ("_lost", "_newest", "_save", "_sent", "_waker", "_window", "consumer")

    def __init__(self, consumer: Consumer, window: int, keep: Callable[[Consumer], None]) -> None:
        self.consumer = consumer
        self._window = window
        self._save = keep
        self._newest = consumer.seq  # up to here events were sent, or acknowledged without being sent
        self._sent: list[int] = []  # seqs without a committed acknowledgement
        self._waker: Waker | None = None
        self._lost: Callable[[], None] | None = None

    def set_waker(self, waker: Waker, lost: Callable[[], None]) -> None:
        """Wake `waker` when there may be capacity again; call `lost` when another client takes the consumer over."""
        self._waker, self._lost = waker, lost

    @property
    def is_lost(self) -> bool:
        """Whether another client holds the consumer now, or none."""
        return self.consumer.reader is not self

    @property
    def capacity(self) -> int:
        """Number of events that may be sent now; negative after a failed acknowledgement."""
        return self._window - len(self._sent) + bisect_right(self._sent, self.consumer.seq)

    def next_cursor(self, cursor: int) -> int:
        """Where to read on: `cursor`, or after what was acknowledged without being sent."""
        if self.consumer.seq > cursor:
            self._newest = cursor = self.consumer.seq
        return cursor

    def add_sent(self, seqs: Sequence[int]) -> None:
        """These events were sent, in order."""
        if seqs:
            del self._sent[: bisect_right(self._sent, self.consumer.sure_seq)]
            self._sent += seqs
            self._newest = seqs[-1]

    def advance(self, through: int) -> None:
        """Everything up to `through` was examined, and sent if it is for the consumer."""
        consumer = self.consumer
        if self._newest <= consumer.seq < through and not self.is_lost:
            consumer.seq = through
            self._save(consumer)

    def wake(self) -> None:
        """There may be capacity again."""
        if self._waker is not None:
            self._waker.wake()

    def report_takeover(self) -> None:
        """Another client holds the consumer now."""
        if self._lost is not None:
            self._lost()

    def release(self) -> None:
        """Stop reading. Unacknowledged events are sent again to the next client."""
        if not self.is_lost:
            self.consumer.reader = None
            self._save(self.consumer)


class Consumers:
    """Consumers of one node."""

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
        self._creations: dict[Consumer, Batch] = {}  # created, and perhaps not committed yet

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
        self._creations = {born: birth for born, birth in self._creations.items() if not birth.done} | {consumer: batch}
        batch.if_failed(None, partial(self._all.pop, name, None))
        return batch

    def creation(self, consumer: Consumer) -> Batch | None:
        """Batch that must be committed before a client may be told that the consumer exists; None: it is."""
        batch = self._creations.get(consumer)
        return None if batch is None or batch.done else batch

    def remove(self, consumer: Consumer) -> Batch:
        """Delete a consumer with that batch. Raises ControlError conflict while a client holds it."""
        if consumer.reader is not None:
            raise _busy(consumer, "end its reader first")
        del self._all[consumer.name]
        self._journal.timings.acknowledgements.drop(consumer)
        batch = self._journal.execute(REMOVE, consumer.name)
        batch.if_failed(None, partial(self._all.__setitem__, consumer.name, consumer))
        return batch

    def attach_reader(self, consumer: Consumer, window: int, *, takeover: bool) -> ConsumerReader:
        """Read as a consumer. Raises ControlError conflict if another client does, unless `takeover`."""
        held = consumer.reader
        if held is not None and not takeover:
            raise _busy(consumer, "end its reader, or take it over (--takeover)")
        consumer.reader = ConsumerReader(consumer, window, self._save)
        self._save(consumer)
        if held is not None:
            held.report_takeover()
        return consumer.reader

    def ack(self, consumer: Consumer, seq: int) -> Batch:
        """Acknowledge everything up to `seq`; durable when the batch is committed. A lower seq changes nothing."""
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
        """Write the cursor with the next commit."""
        consumer.last_seen_ms = self._now()
        self._journal.note(("consumer", consumer.name), partial(self._statement, consumer.name))

    def _statement(self, name: str) -> Statement:
        """By name, because the consumer may have been removed since and another one created."""
        consumer = self._all.get(name)
        return MOVE, (consumer.seq, consumer.last_seen_ms, name) if consumer else (0, 0, name)


def _busy(consumer: Consumer, hint: str) -> ControlError:
    return ControlError("conflict", f"somebody reads as {consumer.name} already", hint, reason="consumer_busy")

"""Journal: the node's append-only log. Append with group commit, the live tail, reads from a position.

`append` is synchronous and gives the batch that the event is in; the batch is done after COMMIT, and nobody may be
told "accepted" before that. One task (`run`) owns the store: a waiting commit first, then one bounded read, and so on.
A failed commit takes everything with it that was appended behind it. Knows no peers, sockets or clients.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from chatd.api.errors import ControlError
from chatd.api.events import AnyEvent, Message
from chatd.core.batch import ENTRY_COST, Batch, Entry
from chatd.core.epochs import Epochs
from chatd.core.failures import StorageFailure
from chatd.core.marks import Marks
from chatd.core.reads import Reads
from chatd.core.store import DiskFull, Store
from chatd.core.tail import Tail
from chatd.runtime import Broadcast, Runtime, Waker, stamp

EPOCH_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
PAGE_ROWS = 512  # a read of this many takes well under 10 ms
RECENT_ROWS = 2048

FULL = ControlError(
    "storage_full", "the journal's disk is full: nothing was accepted", "make room; no restart is needed"
)
UNKNOWN = ControlError(
    "outcome_unknown", "the journal could not be written: the message may be in it", "look at `history` after a restart"
)


class Page(NamedTuple):
    """`entries`, and `through`: everything up to that seq was looked at."""

    entries: list[Entry]
    through: int


class Journal:
    """An open journal.

    Resource handling: `run` must be running for anything to be committed or read; `close` after it has ended.
    Error handling: a full disk fails batches with `storage_full` and is tried again; any other error fails them with
    `outcome_unknown` and comes out of `run` as StorageFailure: stop the node then.
    """

    def __init__(self, store: Store, runtime: Runtime, *, pending_bytes: int, tail_bytes: int) -> None:
        """Begin a new epoch in an open store (blocking)."""
        self.store = store
        self._runtime = runtime
        self._pending_bytes = pending_bytes
        self.committed = self.appended = store.last_seq()
        self.epoch = "".join(runtime.random.choices(EPOCH_LETTERS, k=8))
        store.add_epoch(self.epoch, self.committed + 1)
        self._epochs = Epochs(store.query("SELECT first_seq, epoch FROM epochs ORDER BY ord"))
        self.marks = Marks(
            store.query("SELECT node, epoch, seq FROM marks ORDER BY ord"), store.query("SELECT node, seq FROM acks")
        )
        self.full = False
        self.broken = False
        self._prefix = self.epoch + ":"
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._at_ms, self._at = 0, ""
        self._tail = Tail(self.committed, tail_bytes)
        self._filling = Batch()
        self._writing: Batch | None = None
        self._flush = False
        self._reads = Reads()
        self._work = Waker()
        self._roomy = Broadcast()
        self._watchers: dict[int | None, set[Waker]] = {}

    # -- appending

    def append(self, event: AnyEvent, topic: int | None = None, direction: str | None = None) -> Batch:
        """Give the event its position and time, and put it into the next commit. Never blocks."""
        return self.append_all((event,), topic, direction)

    def append_all(self, events: Sequence[AnyEvent], topic: int | None = None, direction: str | None = None) -> Batch:
        """The same for neighbours of one type. A message that goes out gets its id, which is its position."""
        batch = self._batch()
        if batch.done:
            return batch
        now = int(self._runtime.wall() * 1000)
        if now != self._at_ms:
            self._at_ms, self._at = now, stamp(now / 1000)
        at, prefix, first = self._at, self._prefix, self.appended + 1
        for seq, event in enumerate(events, first):
            event.at = at
            event.position = position = prefix + str(seq)
            if direction == "out" and isinstance(event, Message):
                event.id = position
        data = self._encode_lines(events)  # all at once, or none if one cannot be encoded
        tag = str(events[0].__struct_config__.tag)
        batch.entries += [
            Entry(seq, now, tag, direction, topic, raw, event)
            for seq, (raw, event) in enumerate(zip(data.split(b"\n"), events, strict=False), first)
        ]
        self.appended += len(events)
        batch.size += len(data) + ENTRY_COST * len(events)
        return batch

    def execute(self, sql: str, *params: Any) -> Batch:
        """Put a statement into the next commit, with the events around it."""
        batch = self._batch()
        batch.statements.append((sql, params))
        return batch

    def raise_mark(self, node: str, epoch: str, seq: int) -> Batch:
        """We have that node's journal up to there, as soon as the next commit is done."""
        batch = self._batch()
        if not batch.done:
            batch.marks[(node, epoch)] = seq
            self.marks.raise_appended(node, epoch, seq)
        return batch

    def note_ack(self, node: str, seq: int) -> None:
        """The node has got everything up to our `seq`; kept with the next commit, which is not made for it alone."""
        self.marks.acked[node] = seq
        self._filling.acks[node] = seq

    def flush(self) -> None:
        """Commit what waits, also if it is acknowledgements only."""
        if self._filling.acks and not self.broken:
            self._flush = True
            self._work.wake()

    def _batch(self) -> Batch:
        if self.broken:
            failed = Batch()
            failed.settle(UNKNOWN)
            return failed
        self._work.wake()
        return self._filling

    @property
    def is_idle(self) -> bool:
        """No commit is under way: one that is asked for begins as soon as its task may run."""
        return self._writing is None

    @property
    def has_room(self) -> bool:
        """Less waits for its commit than may."""
        waiting = self._filling.size + (self._writing.size if self._writing else 0)
        return waiting < self._pending_bytes

    async def room(self) -> None:
        """Wait until there is room: who reads from a peer or client does so before reading more."""
        while not self.has_room and not self.broken:
            await self._roomy.wait()

    async def settled(self) -> None:
        """Wait until everything that was appended before is committed or has failed."""
        for batch in (self._writing, self._filling):
            if batch and not batch.done:
                try:
                    await batch.wait()
                except ControlError:
                    continue

    # -- the one task that owns the store

    async def run(self) -> None:
        """Commit and read, for ever. Raises StorageFailure when the journal can no longer be trusted."""
        while True:
            await self._work.wait()
            while self._filling or self._flush or self._reads:
                if self._filling or self._flush:
                    await self._commit()
                if self._reads:
                    await self._read()

    async def _commit(self) -> None:
        batch = self._writing = self._filling
        self._filling, self._flush = Batch(), False
        try:
            await self._runtime.in_thread(self.store.write, batch)
        except DiskFull:
            self.full = True
            self._fail(FULL)
        except sqlite3.Error as error:
            self.broken = True
            self._fail(UNKNOWN)
            raise StorageFailure(f"journal {self.store.path}: {error}") from error
        else:
            self.full = False
            self._publish(batch)

    def _publish(self, batch: Batch) -> None:
        """No await in here: what is committed, what readers see and who is woken change together."""
        self._writing = None
        topics: set[int | None] = {None}
        if batch.entries:
            self.committed = batch.entries[-1].seq
            topics |= self._tail.extend(batch.entries)
        self.marks.commit(batch.marks)
        batch.settle(None)
        for topic in topics:
            for waker in self._watchers.get(topic, ()):
                waker.wake()
        self._roomy.notify()

    def _fail(self, error: ControlError) -> None:
        """Everything that is not committed is gone, also what was appended behind the failed batch."""
        failed = [batch for batch in (self._writing, self._filling) if batch is not None]
        self._writing, self._filling = None, Batch()
        self.appended = self.committed
        self.marks.revert()
        for node, seq in [item for batch in failed for item in batch.acks.items()]:
            self._filling.acks[node] = seq
        for batch in failed:
            batch.settle(error)
        self._roomy.notify()

    # -- reading

    async def _read(self) -> None:
        try:
            await self._reads.serve(self._runtime.in_thread)
        except sqlite3.Error as error:
            self.broken = True
            self._fail(UNKNOWN)
            raise StorageFailure(f"journal {self.store.path} cannot be read: {error}") from error

    async def _in_store(self, function: Callable[[], Any]) -> Any:
        self._work.wake()
        return await self._reads.ask(function)

    def recent(self, after: int, topic: int | None = None, limit: int = RECENT_ROWS) -> list[Entry] | None:
        """Committed entries after that seq out of memory; None when memory does not reach back that far.

        With fewer than `limit`, everything up to `committed` was looked at.
        """
        return self._tail.after(after, topic, limit)

    async def page(self, after: int, topic: int | None = None, limit: int = PAGE_ROWS) -> Page:
        """Committed entries after that seq, from disk, at most 1 MiB and `limit` of them."""
        through = self.committed
        return Page(*await self._in_store(lambda: self.store.page(after, through, topic, min(limit, PAGE_ROWS))))

    async def read(self, after: int, topic: int | None = None, limit: int = PAGE_ROWS) -> Page:
        """The same from wherever they are."""
        entries = self.recent(after, topic, limit)
        if entries is None:
            return await self.page(after, topic, limit)
        return Page(entries, self.committed if len(entries) < limit else entries[-1].seq)

    async def seek_time(self, seconds: float) -> int:
        """The seq after which everything is that is not older than that wall time."""
        at_ms, newest = int(seconds * 1000), self.committed
        first: int = await self._in_store(lambda: self.store.first_at_or_after(at_ms, 0, newest))
        return first - 1

    async def seek_last(self, n: int, match: Callable[[Entry], bool], topic: int | None = None) -> int:
        """The seq after which the newest `n` matching entries are. `match` sees the columns, not `raw`."""
        before = self.committed + 1
        while n > 0:
            found: list[Entry] = await self._in_store(partial(self.store.page_back, before, topic, PAGE_ROWS))
            for entry in found:
                n -= match(entry)
                if n <= 0:
                    return entry.seq - 1
            if len(found) < PAGE_ROWS:
                return 0
            before = found[-1].seq
        return self.committed

    async def responds(self) -> None:
        """Return once the store has answered: the journal's task and its disk are alive."""
        await self._in_store(lambda: self.store.query("SELECT 1"))

    def watch(self, waker: Waker, topic: int | None = None) -> None:
        """Wake it once per commit that touched the topic; None is every commit."""
        self._watchers.setdefault(topic, set()).add(waker)

    def unwatch(self, waker: Waker, topic: int | None = None) -> None:
        """End `watch`."""
        watchers = self._watchers.get(topic, set())
        watchers.discard(waker)
        if not watchers:
            self._watchers.pop(topic, None)

    # -- positions

    def position(self, seq: int) -> str:
        """`EPOCH:SEQ`."""
        return f"{self._epochs.of(seq)}:{seq}"

    def epoch_of(self, seq: int) -> str:
        """The epoch in whose range a seq lies."""
        return self._epochs.of(seq)

    def span(self, epoch: str) -> tuple[int, int] | None:
        """First and last committed seq of an epoch of ours (last < first: it is empty); None if it is not ours."""
        return self._epochs.span(epoch, self.committed)

    def resolve(self, position: str) -> int:
        """The seq of a position of this journal. Raises ControlError cursor_gone."""
        return self._epochs.resolve(position, self.committed)

    def close(self) -> None:
        """After `run` has ended (blocking)."""
        self.store.close()

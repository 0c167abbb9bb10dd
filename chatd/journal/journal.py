"""Journal: the node's append-only log. Appends with group commit, and reads from a position.

`append` is synchronous and returns the batch that contains the event. The batch is done after COMMIT; nothing may be
reported as accepted before that. One task (`run`) owns the store and alternates between a waiting commit and one
bounded read. When a commit fails, everything that was appended after it fails too. Knows no peers, sockets or clients.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from chatd.api.errors import ControlError
from chatd.api.events import AnyEvent, Message
from chatd.failures import StorageFailure
from chatd.journal.batch import ENTRY_COST, Batch, Entry, Statement, StreamIds, stream_ids_of
from chatd.journal.cache import EventCache
from chatd.journal.conditions import ANYTHING, Condition
from chatd.journal.epochs import Epochs
from chatd.journal.read_queue import ReadQueue
from chatd.journal.store import DiskFull, Store
from chatd.journal.timings import Timings
from chatd.journal.watermarks import Watermarks
from chatd.runtime import Runtime, stamp
from chatd.sync import Broadcast, Waker

T = TypeVar("T")
E = TypeVar("E", bound=AnyEvent)
EPOCH_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
ACK = "INSERT INTO acks (node, seq) VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET seq = max(seq, excluded.seq)"
STATEMENT_COST = 200  # bytes of memory per statement until it is committed, approximately
PAGE_ROWS = 2048  # rows in one read: about 4 ms
RECENT_ROWS = 2048

FULL = ControlError(
    "storage_full", "the journal's disk is full: nothing was accepted", "make room; no restart is needed"
)
LOST = ControlError(
    "storage_lost",
    "the journal's files were removed or replaced: nothing new is accepted",
    "this node delivers what it can and stops; put its state directory back before the next start",
)
UNKNOWN = ControlError(
    "outcome_unknown", "the journal could not be written: the message may be in it", "look at `history` after a restart"
)


class Page(NamedTuple):
    """Entries of one read, and `through`, the last seq that was examined."""

    entries: list[Entry]
    through: int


class Journal:
    """An open journal.

    Resource handling: nothing is committed or read unless `run` is running; call `close` after it has ended.
    Error handling: a full disk fails a batch with `storage_full`, and the next batch is tried. Any other error fails it
    with `outcome_unknown`, and `run` raises StorageFailure: stop the node then.
    """

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        *,
        pending_bytes: int,
        tail_bytes: int,
        on_commit: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        """Begin a new epoch in an open store (blocking).

        `pending_bytes` bounds the uncommitted batches, `tail_bytes` the event cache. `on_commit` gets the entries of
        each commit; it must not raise or block.
        """
        self.store = store
        self._on_commit = on_commit
        self._runtime = runtime
        self._pending_bytes = pending_bytes
        self.committed = self.appended = store.last_seq()
        self.epoch = "".join(runtime.random.choices(EPOCH_LETTERS, k=8))
        store.add_epoch(self.epoch, self.committed + 1)
        self.epochs = Epochs(store.query("SELECT first_seq, epoch FROM epochs ORDER BY ord"))
        self.watermarks = Watermarks(
            store.query("SELECT node, epoch, seq FROM marks ORDER BY ord"), store.query("SELECT node, seq FROM acks")
        )
        # Events up to and including this seq are deleted, except undelivered ones: see retention.py.
        self.floor: int = store.query("SELECT seq FROM floor")[0][0]
        self.timings = Timings()
        self.full = False
        self.broken = False
        self._prefix = self.epoch + ":"
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._at_ms, self._at = 0, ""
        self._cache = EventCache(self.committed, tail_bytes)
        self._next_batch = Batch()
        self._committing: Batch | None = None
        self._urgent = False  # `_next_batch` is to be committed at once
        self._reads = ReadQueue()
        self._work = Waker()
        self._capacity_freed = Broadcast()
        self._watchers: dict[int | None, set[Waker]] = {}

    # -- appending

    def append(
        self, event: AnyEvent, stream_id: int | None = None, direction: str | None = None, *, urgent: bool = True
    ) -> Batch:
        """Give the event its position and time, and add it to the next batch. Never blocks.

        An event that is not urgent starts no commit: it waits for the next one, or for `flush`.
        """
        return self.append_all([event], stream_id, direction, urgent=urgent)

    def append_all(
        self, events: list[E], stream_id: int | None = None, direction: str | None = None, *, urgent: bool = True
    ) -> Batch:
        """Append consecutive events of one type. A message gets its id, which is its position."""
        batch = self._batch(urgent=urgent)
        if batch.done:
            return batch
        wall = self._runtime.wall()
        now = int(wall * 1000)
        if not batch.entries:
            batch.started_at = wall
        if now != self._at_ms:
            self._at_ms, self._at = now, stamp(now / 1000)
        at, prefix, first = self._at, self._prefix, self.appended + 1
        for seq, event in enumerate(events, first):
            event.at = at
            event.position = position = prefix + str(seq)
            if isinstance(event, Message):
                event.id = position
        # All are encoded, or none if one cannot be. With anything but a list, msgspec before 0.23 leaks an iterator.
        data = self._encode_lines(events)
        tag = str(events[0].__struct_config__.tag)
        batch.entries += [
            Entry(seq, now, tag, direction, stream_id, raw, event)
            for seq, (raw, event) in enumerate(zip(data.split(b"\n"), events, strict=False), first)
        ]
        self.appended += len(events)
        batch.size += len(data) + ENTRY_COST * len(events)
        return batch

    def next_positions(self, count: int) -> list[str]:
        """The positions that the next events get, unless something else is appended before them."""
        prefix, first = self._prefix, self.appended + 1
        return [prefix + str(seq) for seq in range(first, first + count)]

    def execute(self, sql: str, *params: Any) -> Batch:
        """Add a statement to the next batch, in the transaction of the events around it."""
        batch = self._batch()
        batch.statements.append((sql, params))
        batch.size += STATEMENT_COST
        return batch

    def raise_watermark(self, node: str, epoch: str, seq: int) -> Batch:
        """Record with the next batch that the journal of `node` was received up to and including `seq`."""
        batch = self._batch()
        if not batch.done:
            batch.watermarks[(node, epoch)] = seq
            self.watermarks.raise_appended(node, epoch, seq)
        return batch

    def note(self, key: object, make: Callable[[], Statement]) -> None:
        """Save a value with the next commit. A note starts no commit; `make` is called when one begins.

        A key has one note at a time. If the commit fails, the note waits for the next one.
        """
        self._next_batch.notes[key] = make

    def note_ack(self, node: str, seq: int) -> None:
        """Note that the node has everything up to and including our `seq`."""
        self.watermarks.set_acknowledged(node, seq)
        self.note(("ack", node), lambda: (ACK, (node, self.watermarks.acked[node])))

    def flush(self) -> None:
        """Commit everything that waits for a commit, even if it is only notes."""
        if (self._next_batch or self._next_batch.notes) and not self.broken:
            self._urgent = True
            self._work.wake()

    def _batch(self, *, urgent: bool = True) -> Batch:
        if self.broken:
            failed = Batch()
            failed.settle(UNKNOWN)
            return failed
        if urgent:
            self._urgent = True
            self._work.wake()
        return self._next_batch

    @property
    def lost(self) -> bool:
        """Whether the journal's files were removed or replaced. It still uses the open files until the node stops.

        New messages must be rejected, from clients (with `LOST`) and from peers: they would be gone after a restart.
        """
        return self.store.files.lost

    @property
    def next_batch(self) -> Batch:
        return self._next_batch

    @property
    def has_waiting_events(self) -> bool:
        """Whether something waits for a commit, and no commit is in progress."""
        return bool(self._next_batch) and self._committing is None

    @property
    def is_idle(self) -> bool:
        """Whether no commit is in progress: an urgent append is committed as soon as the journal's task runs."""
        return self._committing is None

    @property
    def has_capacity(self) -> bool:
        """Whether less than `pending_bytes` waits for its commit."""
        waiting = self._next_batch.size + (self._committing.size if self._committing else 0)
        return waiting < self._pending_bytes

    async def wait_for_capacity(self) -> None:
        """Wait for capacity. Every task that receives from a peer or client calls this before it receives more."""
        while not self.has_capacity and not self.broken:
            await self._capacity_freed.wait()

    async def settled(self) -> None:
        """Wait until everything that was appended is committed or has failed."""
        if self._next_batch:
            self.flush()
        for batch in (self._committing, self._next_batch):
            if batch and not batch.done:
                try:
                    await batch.wait()
                except ControlError:
                    continue

    # -- the one task that owns the store

    async def run(self) -> None:
        """Commit and read until cancelled. Raises StorageFailure when the journal can no longer be trusted."""
        while True:
            await self._work.wait()
            while self._urgent or self._reads:
                if self._urgent:
                    await self._commit()
                if self._reads:
                    await self._read()

    async def _commit(self) -> None:
        batch = self._committing = self._next_batch
        self._next_batch, self._urgent = Batch(), False
        batch.statements += [make() for make in batch.notes.values()]
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
        """Make a commit visible. No await in here: watermarks, cache and wake-ups change together."""
        self._committing = None
        stream_ids: set[int | None] = {None}
        if batch.entries:
            before, self.committed = self.committed, batch.entries[-1].seq
            self.timings.record_commit(before, self.committed, batch.started_at, self._runtime.wall())
            stream_ids |= self._cache.extend(batch.entries)
            if self._on_commit is not None:
                self._on_commit(batch.entries)
        self.watermarks.commit(batch.watermarks)
        batch.settle(None)
        for stream_id in stream_ids:
            for waker in self._watchers.get(stream_id, ()):
                waker.wake()
        self._capacity_freed.notify()

    def _fail(self, error: ControlError) -> None:
        """Discard everything that is not committed, including events appended after the failed batch."""
        failed = [batch for batch in (self._committing, self._next_batch) if batch is not None]
        self._committing, self._next_batch, self._urgent = None, Batch(), False
        self.appended = self.committed
        self.watermarks.revert()
        for batch in failed:
            self._next_batch.notes |= batch.notes
        for batch in reversed(failed):
            batch.settle(error)
        self._capacity_freed.notify()

    # -- reading

    async def _read(self) -> None:
        try:
            await self._reads.serve(self._runtime.in_thread)
        except sqlite3.Error as error:
            self.broken = True
            self._fail(UNKNOWN)
            raise StorageFailure(f"journal {self.store.path} cannot be read: {error}") from error

    async def ask(self, function: Callable[[Store], T], then: Callable[[T], None] | None = None) -> T:
        """Call a function with the store, in the journal's thread, between commits.

        The function takes 10 ms at most, and opens its own transaction if it writes. `then` gets the result before the
        next read begins.
        """
        self._work.wake()
        result: T = await self._reads.ask(partial(function, self.store), then)
        return result

    def recent(self, after: int, stream_id: StreamIds = None, limit: int = RECENT_ROWS) -> list[Entry] | None:
        """Committed entries after that seq from memory; None if some of them may be on disk only.

        Fewer than `limit` entries: everything up to and including `committed` was examined.
        """
        return self._cache.after(after, stream_id, limit)

    def in_memory(self, seq: int) -> Entry | None:
        """The committed entry of that seq, if it is still in memory."""
        return self._cache.at(seq)

    async def page(
        self, after: int, stream_id: StreamIds = None, limit: int = PAGE_ROWS, where: Condition = ANYTHING
    ) -> Page:
        """Committed entries after that seq from disk, at most `limit` and 1 MiB.

        With `where`, only entries that meet it. The number of rows examined is bounded too: more may follow `through`.
        """
        through, most = self.committed, min(limit, PAGE_ROWS)
        return Page(*await self.ask(lambda store: store.page(after, through, stream_id, most, where)))

    async def entry(self, seq: int) -> Entry | None:
        """The committed entry of that seq; None if there is none, or it was deleted."""
        if seq > self.committed:
            return None
        read = self.read if seq > self.floor else self.page  # memory may still have a deleted one
        entries, _ = await read(seq - 1, limit=1)
        return entries[0] if entries and entries[0].seq == seq else None

    async def entries(self, seqs: Sequence[int]) -> dict[int, Entry]:
        """The committed entries of those seqs, a few dozen at most, by seq. Deleted ones are left out."""
        return {entry.seq: entry for entry in await self.ask(lambda store: store.entries(seqs))}

    async def heads(self, seqs: Sequence[int]) -> list[Entry]:
        """Like `entries`, as a list, and with only the head of each body (journal/rawjson.py)."""
        return await self.ask(lambda store: store.entries(seqs, heads=True))

    async def read(
        self, after: int, stream_id: StreamIds = None, limit: int = PAGE_ROWS, where: Condition = ANYTHING
    ) -> Page:
        """Committed entries after that seq, from memory or disk; from memory also those that do not meet `where`."""
        entries = self.recent(after, stream_id, limit)
        if entries is None:
            return await self.page(after, stream_id, limit, where)
        return Page(entries, self.committed if len(entries) < limit else entries[-1].seq)

    async def responds(self) -> None:
        """Return when a read was served, which proves that the journal's task and its disk work."""
        await self.ask(lambda store: store.query("SELECT 1"))

    async def check_files(self) -> None:
        """Check that the journal's files are still at their paths, as each commit does; see `lost`."""
        await self.ask(lambda store: store.files.check())

    def watch(self, waker: Waker, stream_id: StreamIds = None) -> None:
        """Wake `waker` once per commit with an event of one of the streams; None: once per commit."""
        for each in stream_ids_of(stream_id):
            self._watchers.setdefault(each, set()).add(waker)

    def unwatch(self, waker: Waker, stream_id: StreamIds = None) -> None:
        """End a `watch` with the same arguments."""
        for each in stream_ids_of(stream_id):
            watchers = self._watchers.get(each, set())
            watchers.discard(waker)
            if not watchers:
                self._watchers.pop(each, None)

    def raise_floor(self, seq: int) -> None:
        """Record that events up to and including `seq` are deleted, and wake all readers, so that none stays below."""
        if seq > self.floor:
            self.floor = seq
            for waker in [waker for watchers in self._watchers.values() for waker in watchers]:
                waker.wake()

    # -- positions

    def position(self, seq: int) -> str:
        """`EPOCH:SEQ`."""
        return f"{self.epochs.epoch_of(seq)}:{seq}"

    def epoch_of(self, seq: int) -> str:
        return self.epochs.epoch_of(seq)

    def span(self, epoch: str) -> tuple[int, int] | None:
        """First and last committed seq of an epoch (last < first: it is empty); None if it is not in this journal."""
        return self.epochs.span(epoch, self.committed)

    def holds(self, epoch: str, seq: int) -> bool:
        """Whether that is a committed position of this journal."""
        first, last = self.span(epoch) or (1, 0)
        return first <= seq <= last

    def resolve(self, position: str) -> int:
        """The seq of a position of this journal. Raises ControlError cursor_gone."""
        return self.epochs.resolve(position, self.committed)

    def close(self) -> None:
        """Close the store (blocking), after `run` has ended."""
        self.store.close()

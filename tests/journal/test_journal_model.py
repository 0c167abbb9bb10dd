"""The journal against a model in plain Python: after any sequence of operations both contain the same."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.journal.batch import Batch, Entry
from chatd.journal.journal import Journal
from chatd.journal.search import seek_last, seek_time
from chatd.journal.store import DiskFull
from tests.harness.parts import World, as_on_disk, copy_as_crashed, open_journal, said

T = TypeVar("T")
TOPICS = st.sampled_from([None, 1, 2])
NODES = st.sampled_from(["bob", "carol"])
EPOCHS = st.sampled_from(["aaaaaaaa", "bbbbbbbb"])
TAIL_BYTES = 3000  # about eight entries: most reads go beyond


class Row(NamedTuple):
    """An event in the model."""

    position: str
    at: float
    stream_id: int | None
    direction: str
    text: str


class Inline(World):
    """Runs blocking calls without threads: each of a thousand short runs of trio would start one."""

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


def row_of(position: str, at: float, entry: Entry) -> Row:
    event = entry.event
    assert isinstance(event, Message)
    assert event.position == position
    assert entry.at_ms == int(at * 1000)
    return Row(event.position, at, entry.stream_id, str(entry.direction), event.text)


class JournalMachine(RuleBasedStateMachine):
    """Model: committed and waiting rows, watermarks and acknowledgements."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.world = Inline()
        self.starts = 0
        self.rows: list[Row] = []
        self.waiting: list[Row] = []
        self.batches: set[Batch] = set()
        self.epochs: list[tuple[str, int]] = []
        self.marks: dict[tuple[str, str], int] = {}
        self.marks_waiting: dict[tuple[str, str], int] = {}
        self.newest: dict[str, str] = {}
        self.acks: dict[str, int] = {}
        self.acks_waiting: dict[str, int] = {}

    @property
    def directory(self) -> Path:
        return self.root / str(self.starts)

    @initialize()
    def first_start(self) -> None:
        self.directory.mkdir()
        self.start()

    def start(self) -> None:
        self.journal = open_journal(self.directory, self.world, tail_bytes=TAIL_BYTES)
        assert self.journal.epoch not in dict(self.epochs)
        self.epochs.append((self.journal.epoch, len(self.rows) + 1))
        self.waiting, self.marks_waiting, self.batches = [], {}, set()
        self.acks_waiting = {}
        assert self.journal.watermarks.acked == self.acks

    def teardown(self) -> None:
        if self.starts or self.epochs:
            self.journal.close()
        shutil.rmtree(self.root)

    def with_journal(self, step: Callable[[Journal], Awaitable[T]]) -> T:
        """Run one step together with the journal's task."""

        async def main() -> T:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.journal.run)
                result = await step(self.journal)
                nursery.cancel_scope.cancel()
            return result

        return trio.run(main)

    # -- steps that change something

    @rule(stream_id=TOPICS, direction=st.sampled_from(["in", "out"]), count=st.integers(1, 6), later=st.integers(0, 2))
    def append(self, stream_id: int | None, direction: str, count: int, later: int) -> None:
        self.world.now += later
        for _ in range(count):
            event = said(f"{self.starts}.{self.journal.appended}", direction)
            self.batches.add(self.journal.append(event, stream_id, direction))
            self.waiting.append(Row(event.position, self.world.now, stream_id, direction, event.text))

    @rule(node=NODES, epochs=st.lists(EPOCHS, min_size=1, max_size=4), at_once=st.booleans())
    def take(self, node: str, epochs: list[str], at_once: bool) -> None:
        """Append messages of another node together with its watermark."""
        for epoch in epochs:
            mark = self.journal.watermarks.appended(node, epoch) + 3
            self.append(1, "in", 1, 0)
            self.batches.add(self.journal.raise_watermark(node, epoch, mark))
            self.marks_waiting[(node, epoch)] = mark
            if not at_once:
                self.commit()

    @rule(node=NODES, by=st.integers(1, 3))
    def acknowledge(self, node: str, by: int) -> None:
        known = self.acks | self.acks_waiting
        self.acks_waiting[node] = known.get(node, 0) + by
        self.journal.note_ack(node, self.acks_waiting[node])

    @rule()
    def commit(self) -> None:
        self.with_journal(settle)
        assert all(batch.done and batch.error is None for batch in self.batches)
        if self.waiting:
            self.acks, self.acks_waiting = self.acks | self.acks_waiting, {}
        for (node, epoch), seq in self.marks_waiting.items():
            if (node, epoch) not in self.marks:
                self.newest[node] = epoch
            self.marks[(node, epoch)] = seq
        self.rows += self.waiting
        self.waiting, self.marks_waiting, self.batches = [], {}, set()

    @rule()
    def flush(self) -> None:
        self.commit()
        self.journal.flush()
        self.with_journal(Journal.responds)
        self.acks, self.acks_waiting = self.acks | self.acks_waiting, {}

    @rule()
    def disk_full(self) -> None:
        """Fail everything that waits; acknowledgements go on waiting."""
        write = self.journal.store.write
        self.journal.store.write = no_room  # type: ignore[method-assign]
        self.with_journal(settle)
        self.journal.store.write = write  # type: ignore[method-assign]
        for batch in self.batches:
            assert batch.error is not None
            assert batch.error.kind == "storage_full"
        self.waiting, self.marks_waiting, self.batches = [], {}, set()
        assert self.journal.appended == self.journal.committed

    @rule()
    def restart(self) -> None:
        self.commit()
        self.journal.close()
        self.start()

    @rule()
    def crash(self) -> None:
        """Restart on the present files; uncommitted data is lost."""
        old = self.directory
        self.starts += 1
        copy_as_crashed(old, self.directory)
        self.journal.close()
        self.start()

    # -- what can be seen: the journal commits before it reads

    def numbered(self, after: int, stream_id: int | None) -> list[tuple[int, Row]]:
        rows = enumerate(self.rows, start=1)
        return [(seq, row) for seq, row in rows if seq > after and stream_id in (None, row.stream_id)]

    @rule(back=st.integers(0, 60), stream_id=TOPICS, limit=st.integers(1, 40))
    def read(self, back: int, stream_id: int | None, limit: int) -> None:
        self.commit()
        after = max(len(self.rows) - back, 0)
        expected = self.numbered(after, stream_id)[:limit]
        page = self.with_journal(lambda journal: journal.page(after, stream_id, limit))
        assert [(entry.seq, row_of(self.rows[entry.seq - 1].position, self.rows[entry.seq - 1].at, entry))
                for entry in page.entries] == expected  # fmt: skip
        assert page.through == (expected[-1][0] if len(expected) == limit else len(self.rows))
        entries, through = self.with_journal(lambda journal: journal.read(after, stream_id, limit))
        assert (as_on_disk(entries), through) == page
        recent = self.journal.recent(after, stream_id, limit)
        assert recent is None or as_on_disk(recent) == page.entries
        assert self.journal.recent(len(self.rows), stream_id) == []

    @rule(n=st.integers(0, 12), stream_id=TOPICS, direction=st.sampled_from(["in", "out"]))
    def seek_last(self, n: int, stream_id: int | None, direction: str) -> None:
        self.commit()
        found = self.with_journal(
            lambda journal: seek_last(journal, n, lambda entry: entry.direction == direction, stream_id)
        )
        matching = [seq for seq, row in self.numbered(0, stream_id) if row.direction == direction]
        wanted = matching[-n:] if n else []
        assert found == (wanted[0] - 1 if wanted else len(self.rows))

    @rule(ago=st.integers(0, 20))
    def seek_time(self, ago: int) -> None:
        self.commit()
        moment = self.world.now - ago
        found = self.with_journal(lambda journal: seek_time(journal, moment))
        assert found == sum(row.at < moment for row in self.rows)

    @invariant()
    def agrees(self) -> None:
        if not self.epochs:
            return
        journal = self.journal
        assert journal.committed == len(self.rows)
        assert journal.appended == len(self.rows) + len(self.waiting)
        for seq in range(max(1, len(self.rows) - 20), len(self.rows) + 1):
            assert journal.position(seq) == self.rows[seq - 1].position
            assert journal.resolve(self.rows[seq - 1].position) == seq
        with pytest.raises(ControlError, match="not in this journal"):
            journal.resolve(journal.position(journal.appended + 1) if not self.waiting else self.waiting[0].position)
        for node in ("bob", "carol"):
            epoch = self.newest.get(node)
            assert journal.watermarks.committed(node) == (epoch and (epoch, self.marks[(node, epoch)]))
            for each in ("aaaaaaaa", "bbbbbbbb"):
                assert journal.watermarks.appended(node, each) == (self.marks | self.marks_waiting).get((node, each), 0)


async def settle(journal: Journal) -> None:
    await journal.settled()


def no_room(batch: Batch) -> None:
    raise DiskFull("no room")


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=30, stateful_step_count=40)


@pytest.mark.long
@pytest.mark.deadline(600)
class TestJournalAtLength(JournalMachine.TestCase):  # type: ignore[misc,valid-type]
    """The same with more examples."""

    settings = settings(max_examples=200, stateful_step_count=40)

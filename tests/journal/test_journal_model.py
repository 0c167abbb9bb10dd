"""The journal against a model in plain Python: after any sequence of operations both contain the same."""

from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.journal.batch import Batch, Entry
from chatd.journal.search import seek_last, seek_time
from tests.harness.models import JournalMachine, at_two_lengths, play
from tests.harness.parts import as_on_disk, said

TOPICS = st.sampled_from([None, 1, 2])
NODES = st.sampled_from(["bob", "carol"])
EPOCHS = st.sampled_from(["aaaaaaaa", "bbbbbbbb"])


class Row(NamedTuple):
    """An event in the model."""

    position: str
    at: float
    stream_id: int | None
    direction: str
    text: str


def row_of(position: str, at: float, entry: Entry) -> Row:
    event = entry.event
    assert isinstance(event, Message)
    assert event.position == position
    assert entry.at_ms == int(at * 1000)
    return Row(event.position, at, entry.stream_id, str(entry.direction), event.text)


class Machine(JournalMachine):
    """Model: committed and waiting rows, watermarks and acknowledgements."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.waiting: list[Row] = []
        self.batches: set[Batch] = set()
        self.epochs: set[str] = set()
        self.marks: dict[tuple[str, str], int] = {}
        self.marks_waiting: dict[tuple[str, str], int] = {}
        self.newest: dict[str, str] = {}
        self.acks: dict[str, int] = {}
        self.acks_waiting: dict[str, int] = {}
        super().__init__(tail_bytes=3000)  # about eight entries: most reads go beyond

    def start(self) -> None:
        super().start()
        assert self.journal.epoch not in self.epochs
        self.epochs.add(self.journal.epoch)
        self.waiting, self.marks_waiting, self.batches = [], {}, set()
        self.acks_waiting = {}
        assert self.journal.watermarks.acked == self.acks

    # -- steps that change something

    @rule(stream_id=TOPICS, direction=st.sampled_from(["in", "out"]), count=st.integers(1, 6), later=st.integers(0, 2))
    def append(self, stream_id: int | None, direction: str, count: int, later: int) -> None:
        self.world.now += later
        for _ in range(count):
            event = said(f"{len(self.epochs)}.{self.journal.appended}", direction)
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
    def flush(self) -> None:
        self.commit()
        self.journal.flush()
        self.run(self.journal.responds)
        self.acknowledgements_are_saved()

    def saved(self) -> None:
        assert all(batch.done and batch.error is None for batch in self.batches)
        self.acknowledgements_are_saved()
        for (node, epoch), seq in self.marks_waiting.items():
            if (node, epoch) not in self.marks:
                self.newest[node] = epoch
            self.marks[(node, epoch)] = seq
        self.rows += self.waiting
        self.waiting, self.marks_waiting, self.batches = [], {}, set()

    def acknowledgements_are_saved(self) -> None:
        self.acks, self.acks_waiting = self.acks | self.acks_waiting, {}

    def lost(self) -> None:
        """Acknowledgements go on waiting."""
        for batch in self.batches:
            assert batch.error is not None
            assert batch.error.kind == "storage_full"
        self.waiting, self.marks_waiting, self.batches = [], {}, set()

    # -- what can be seen: the journal commits before it reads

    def numbered(self, after: int, stream_id: int | None) -> list[tuple[int, Row]]:
        rows = enumerate(self.rows, start=1)
        return [(seq, row) for seq, row in rows if seq > after and stream_id in (None, row.stream_id)]

    @rule(back=st.integers(0, 60), stream_id=TOPICS, limit=st.integers(1, 40))
    def read(self, back: int, stream_id: int | None, limit: int) -> None:
        self.commit()
        after = max(len(self.rows) - back, 0)
        expected = self.numbered(after, stream_id)[:limit]
        page = self.run(lambda: self.journal.page(after, stream_id, limit))
        assert [(entry.seq, row_of(self.rows[entry.seq - 1].position, self.rows[entry.seq - 1].at, entry))
                for entry in page.entries] == expected  # fmt: skip
        assert page.through == (expected[-1][0] if len(expected) == limit else len(self.rows))
        entries, through = self.run(lambda: self.journal.read(after, stream_id, limit))
        assert (as_on_disk(entries), through) == page
        recent = self.journal.recent(after, stream_id, limit)
        assert recent is None or as_on_disk(recent) == page.entries
        assert self.journal.recent(len(self.rows), stream_id) == []

    @rule(n=st.integers(0, 12), stream_id=TOPICS, direction=st.sampled_from(["in", "out"]))
    def seek_last(self, n: int, stream_id: int | None, direction: str) -> None:
        self.commit()
        found = self.run(lambda: seek_last(self.journal, n, lambda entry: entry.direction == direction, stream_id))
        matching = [seq for seq, row in self.numbered(0, stream_id) if row.direction == direction]
        wanted = matching[-n:] if n else []
        assert found == (wanted[0] - 1 if wanted else len(self.rows))

    @rule(ago=st.integers(0, 20))
    def seek_time(self, ago: int) -> None:
        self.commit()
        moment = self.world.now - ago
        found = self.run(lambda: seek_time(self.journal, moment))
        assert found == sum(row.at < moment for row in self.rows)

    @invariant()
    def agrees(self) -> None:
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


@at_two_lengths(30, 200)
def test_journal_and_model_contain_the_same_after_any_operations(examples: int) -> None:
    play(Machine, examples)

"""Conditions in SQLite select the same entries as the test of a filter, and examine few rows."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from chatd.api.params import Filter
from chatd.journal import store as store_module
from chatd.journal.batch import Batch, Entry, StreamIds
from chatd.journal.journal import Journal
from chatd.journal.search import seek_last
from chatd.journal.store import Store
from chatd.query import filters
from chatd.query.filters import all_of, condition_of
from tests.harness.parts import World, open_journal, running, said
from tests.harness.sqlite_work import counting_work

TYPES: list[list[str] | None] = [None, ["message"], ["peer.up"], ["receipt", "peer.up"], ["message", "peer.up"], []]
TOPICS: list[StreamIds] = [None, 1, 2, (1, 2), (1, 3)]
KINDS = ["message", "message", "peer.up", "receipt", "message", "gap"]
MANY = 20_000


def event(seq: int) -> Entry:
    kind = KINDS[seq % 6] if seq % 7 else "message"
    direction = ("in", "out", "out")[seq % 3] if kind == "message" else None
    return Entry(seq, 1000 + seq * 10 % 170, kind, direction, (None, 1, 2, 3)[seq // 2 % 4], b"x")


@pytest.fixture
def store(path: Path, stores: Callable[[Path], Store]) -> Store:
    """120 events of several types on several streams, with a clock that jumps."""
    opened, batch = stores(path), Batch()
    batch.entries += map(event, range(1, 121))
    opened.write(batch)
    return opened


def all_pages(store: Store, stream_id: StreamIds, limit: int, wanted: Filter, until: int | None) -> Iterator[Entry]:
    after = 0
    while after < 120:
        entries, through = store.page(after, 120, stream_id, limit, condition_of(wanted, until))
        yield from entries
        assert through > after
        after = through


def all_pages_back(
    store: Store, stream_id: StreamIds, limit: int, wanted: Filter, until: int | None
) -> Iterator[Entry]:
    before = 121
    while before > 1:
        entries, down_to = store.page_back(0, before, stream_id, limit, heads=False, where=condition_of(wanted, until))
        yield from entries
        assert down_to < before - 1 or before == 1
        before = down_to + 1


@pytest.mark.parametrize("looked", [7, 16_384])
@pytest.mark.parametrize("types", TYPES)
def test_the_disk_finds_what_the_test_of_the_filter_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch, types: list[str] | None, looked: int
) -> None:
    monkeypatch.setattr(store_module, "EXAMINED_ROWS", looked)
    for stream_id, direction, until, limit in product(TOPICS, (None, "in", "out"), (None, 1080), (5, 2048)):
        wanted = Filter(types=types, direction=direction)
        matches = all_of(filters.column_tests(wanted)) or (lambda _: True)
        stream_ids = stream_id if isinstance(stream_id, tuple) else (stream_id,)
        expected = [
            seq
            for seq in range(1, 121)
            if matches(event(seq))
            and (stream_id is None or event(seq).stream_id in stream_ids)
            and (until is None or event(seq).at_ms < until)
        ]
        assert [entry.seq for entry in all_pages(store, stream_id, limit, wanted, until)] == expected
        assert [entry.seq for entry in all_pages_back(store, stream_id, limit, wanted, until)] == expected[::-1]


@pytest.fixture
def many(path: Path, stores: Callable[[Path], Store]) -> Store:
    """Many messages, and three events of another type."""
    opened, batch = stores(path), Batch()
    kinds = {1: "peer.up", MANY // 2: "peer.up", MANY: "peer.down"}
    batch.entries += [Entry(seq, seq, kinds.get(seq, "message"), "in", 1, b"x" * 200) for seq in range(1, MANY + 1)]
    opened.write(batch)
    return opened


def steps(store: Store, work: Callable[[], object]) -> int:
    with counting_work(store) as done:
        work()
    return len(done)


@pytest.mark.parametrize("stream_id", [None, 1])
@pytest.mark.parametrize(("types", "count"), [(["peer.up"], 2), (["peer.up", "peer.down"], 3), (["room.topic"], 0)])
def test_events_of_a_rare_type_are_found_without_looking_at_messages(
    many: Store, types: list[str], count: int, stream_id: StreamIds
) -> None:
    found = list[Entry]()

    def look() -> None:
        where, after = condition_of(Filter(types=types), None), 0
        while after < MANY:
            entries, after = many.page(after, MANY, stream_id, 100, where)
            found.extend(entries)
            found.extend(many.page_back(after, MANY + 1, stream_id, 100, heads=False, where=where)[0])

    index_only = MANY * 10 // 100 if stream_id else 0  # the end of each look at a topic is found in its index
    assert steps(many, look) < index_only + 20
    assert len(found) >= count


def test_one_look_never_looks_at_more_rows_than_it_may(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "EXAMINED_ROWS", 500)
    for wanted, stream_id in product((Filter(direction="out"), Filter(types=["message"], direction="out")), (None, 1)):
        where = condition_of(wanted, None)
        assert steps(many, lambda where=where, stream_id=stream_id: many.page(0, MANY, stream_id, 100, where)) < 200  # type: ignore[misc]
        assert many.page(0, MANY, stream_id, 100, where) == ([], 500)
        assert many.page_back(0, MANY + 1, stream_id, 100, heads=False, where=where) == ([], MANY - 500)


async def test_memory_and_disk_give_the_same_page(tmp_path: Path, world: World) -> None:
    wanted, kept = Filter(direction="in"), list[list[int]]()
    matches = all_of(filters.column_tests(wanted)) or (lambda _: True)

    async def found(journal: Journal) -> list[int]:
        after = await seek_last(journal, 20, matches, where=condition_of(wanted, None))
        seqs = list[int]()
        while after < journal.committed:
            page = await journal.read(after, where=condition_of(wanted, None))
            seqs += [entry.seq for entry in page.entries if matches(entry)]
            after = page.through
        return seqs

    async with running(open_journal(tmp_path, world)) as journal:
        for number in range(300):
            journal.append(said(str(number)), 1, ("in", "out", "out")[number % 3])
        await journal.settled()
        kept.append(await found(journal))
    async with running(open_journal(tmp_path, world)) as journal:
        assert journal.recent(0) is None
        kept.append(await found(journal))
    assert kept[0] == kept[1] == list(range(241, 300, 3))

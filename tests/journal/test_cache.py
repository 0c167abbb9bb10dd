from hypothesis import given
from hypothesis import strategies as st

from chatd.journal.batch import ENTRY_COST, Entry
from chatd.journal.cache import EventCache


def entry(seq: int, stream_id: int | None = None, size: int = 50) -> Entry:
    return Entry(seq, 0, "message", "out", stream_id, b"x" * size)


def test_a_new_tail_knows_nothing_before_its_floor() -> None:
    tail = EventCache(10, 1000)
    assert tail.after(10, None, 5) == []
    assert tail.after(10, 1, 5) == []
    assert tail.after(9, None, 5) is None
    assert tail.after(9, 1, 5) is None


def test_a_reader_gets_at_most_what_it_asked_for() -> None:
    tail = EventCache(0, 100_000)
    entries = [entry(seq, seq % 2) for seq in range(1, 11)]
    tail.extend(entries)
    assert tail.after(0, None, 3) == entries[:3]
    assert tail.after(3, None, 3) == entries[3:6]
    assert tail.after(9, None, 3) == entries[9:]
    assert tail.after(10, None, 3) == []
    assert tail.after(2, 1, 2) == [entries[2], entries[4]]
    assert tail.after(9, 1, 2) == []
    assert tail.after(0, 7, 2) == []


def test_the_oldest_go_when_there_are_too_many_bytes() -> None:
    tail = EventCache(0, 10 * (50 + ENTRY_COST))
    entries = [entry(seq, 1 if seq < 3 else 2) for seq in range(1, 12)]
    for each in entries:
        tail.extend([each])
    assert tail.floor == 4  # down to three quarters of the bound
    assert tail.after(3, None, 20) is None
    assert tail.after(4, None, 20) == entries[4:]
    assert tail.after(4, 1, 20) == []
    assert tail.after(4, 2, 20) == entries[4:]


def test_an_entry_that_is_too_large_alone_is_not_kept() -> None:
    tail = EventCache(0, 1000)
    tail.extend([entry(1, 1, size=5000)])
    assert tail.floor == 1
    assert tail.after(1, None, 5) == []
    assert tail.after(1, 1, 5) == []
    tail.extend([entry(2, 1, size=10)])
    assert tail.after(1, 1, 5) == [entry(2, 1, size=10)]


TOPIC = st.sampled_from([None, 1, 2])


@given(st.lists(st.lists(st.tuples(TOPIC, st.integers(0, 900)), max_size=4), max_size=20), st.integers(0, 4000))
def test_what_is_given_is_whole_and_within_the_bound(batches: list[list[tuple[int | None, int]]], bound: int) -> None:
    tail, everything = EventCache(0, bound), list[Entry]()
    for batch in batches:
        fresh = [entry(len(everything) + n, stream_id, size) for n, (stream_id, size) in enumerate(batch, start=1)]
        everything += fresh
        tail.extend(fresh)
        kept = tail.after(tail.floor, None, 1000)
        assert kept == everything[tail.floor :]
        assert sum(len(each.raw) + ENTRY_COST for each in kept) <= bound
        for stream_id in (None, 1, 2):
            for after in range(len(everything) + 1):
                found = tail.after(after, stream_id, 1000)
                expected = [each for each in everything[after:] if stream_id in (None, each.stream_id)]
                assert found == (None if after < tail.floor else expected)

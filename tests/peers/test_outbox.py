"""Counts, sizes and seqs of an outbox are exact, in any order of changes, however much of it was read yet."""

import pytest
import trio
import trio.testing
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatd.peers.outbox import Lane, Outbox, OutboxTotals
from tests.harness.models import at_two_lengths, play

FIRST = 10  # the first seq of the journal that the model has rows in
SIZES = st.integers(1, 500)


def lane_of(*seqs: int) -> Lane:
    lane = Lane()
    lane.add(seqs, [seq * 10 for seq in seqs])
    return lane


def seqs_of(lane: Lane) -> list[int]:
    return list(lane.between(0, 1 << 62))


def test_lanes_share_nothing_but_their_emptiness() -> None:
    idle = Lane()
    inserted = Lane()
    inserted.insert(4, 40)
    assert (idle.cut_head(9), idle.cut_tail(0), idle.remove(4)) == ((0, 0), (0, 0), None)
    assert seqs_of(lane_of(3, 5)) == [3, 5]
    assert (seqs_of(inserted), inserted.cut_head(4)) == ([4], (1, 40))
    assert (seqs_of(idle), seqs_of(Lane()), idle.first) == ([], [], 0)


def test_a_lane_is_cut_at_both_ends() -> None:
    lane = lane_of(3, 5, 8, 9)
    assert lane.cut_head(4) == (1, 30)
    assert lane.cut_head(4) == (0, 0)
    assert lane.cut_tail(8) == (1, 90)
    assert (seqs_of(lane), lane.first) == ([5, 8], 5)
    assert lane.cut_head(100) == (2, 130)
    assert (seqs_of(lane), lane.first) == ([], 0)


def test_one_is_taken_out_of_a_lane_and_put_back_in_its_place() -> None:
    lane = lane_of(3, 5, 8)
    lane.cut_head(3)
    assert (lane.remove(3), lane.remove(4), lane.remove(5)) == (None, None, 50)
    assert (seqs_of(lane), 5 in lane, 3 in lane) == ([8], False, False)
    lane.insert(5, 50)
    assert (seqs_of(lane), lane.first, 5 in lane) == ([5, 8], 5, True)
    assert lane.cut_tail(0) == (2, 130)


def test_a_lane_gives_what_lies_between() -> None:
    lane = lane_of(3, 5, 8, 9)
    assert list(lane.between(3, 8)) == [5, 8]
    assert list(lane.between(9, 100)) == list(lane.between(8, 3)) == []


def test_a_lane_of_a_million_is_cut_in_small_pieces_without_copying_it_each_time() -> None:
    lane = Lane()
    lane.add(range(1, 1_000_001), [1] * 1_000_000)
    assert sum(lane.cut_head(through)[0] for through in range(0, 1_000_001, 50)) == 1_000_000
    assert lane.first == 0


async def test_who_waits_for_room_is_told_when_something_is_not_owed_any_more() -> None:
    totals, told = OutboxTotals(), trio.Event()
    outbox = Outbox(totals)

    async def wait() -> None:
        await totals.changed.wait()
        told.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        outbox.add([1, 2], [10, 20])
        await trio.testing.wait_all_tasks_blocked()
        assert not told.is_set()
        outbox.acknowledge(1)
        await told.wait()
    assert (totals.messages, totals.size) == (1, 20)


def test_all_outboxes_of_a_node_are_counted_together() -> None:
    totals = OutboxTotals()
    one, other = Outbox(totals), Outbox(totals)
    one.add([1, 3], [10, 30])
    other.add([2], [20])
    other.recall(1, 5, 500, 9)
    assert (totals.messages, totals.size) == (8, 560)
    one.clear()
    assert (totals.messages, totals.size, one.count, one.size, one.first) == (6, 520, 0, 0, 0)


def test_what_could_not_be_given_up_of_a_forgotten_peer_is_not_owed_again() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.add([1, 2], [10, 20])
    outbox.remove(1, 10)
    outbox.clear()
    outbox.restore(1, 10)
    assert (outbox.count, outbox.first) == (0, 0)


def test_what_could_not_be_given_up_is_owed_again_also_where_it_was_read_meanwhile() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.recall(10, 3, 33, 100)
    outbox.remove(20, 11)
    outbox.learn(50, [(10, 10), (20, 11)])
    assert (outbox.count, outbox.between(0, 100)) == (2, [10])
    outbox.restore(20, 11)
    assert outbox.contains(20)
    outbox.learn(100, [(70, 12)])
    assert (outbox.count, outbox.size, outbox.between(0, 100)) == (3, 33, [10, 20, 70])


def test_what_could_not_be_given_up_and_was_acknowledged_meanwhile_is_not_owed_again() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.add([1, 2], [10, 20])
    outbox.remove(1, 10)
    outbox.acknowledge(2)
    outbox.restore(1, 10)
    assert (outbox.count, outbox.first) == (0, 0)


@pytest.mark.parametrize("numbers", [(3, 30), (5, 90)], ids=["too high", "too low"])
def test_numbers_that_were_wrong_are_put_right_once_everything_is_read(numbers: tuple[int, int]) -> None:
    totals = OutboxTotals()
    outbox = Outbox(totals)
    outbox.recall(1, *numbers, 100)
    outbox.learn(50, [(10, 11), (20, 12)])
    assert outbox.has_unread
    outbox.learn(100, [(70, 13)])
    assert (outbox.count, outbox.size, outbox.has_unread) == (3, 36, False)
    assert (totals.messages, totals.size) == (3, 36)


class Model(RuleBasedStateMachine):
    """An outbox beside a dict of its messages, over a journal that is a dict of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.all = OutboxTotals()
        self.outbox = Outbox(self.all)
        self.rows: dict[int, int] = {}  # of former runs
        self.waiting: dict[int, int] = {}
        self.given: dict[int, int] = {}  # up, and it may still fail
        self.written_down: set[int] = set()  # of those that were given up: it is on disk
        self.border = self.committed = self.appended = 0

    @initialize(rows=st.dictionaries(st.integers(FIRST, 60), SIZES, max_size=20), more=st.integers(0, 9))
    def begin(self, rows: dict[int, int], more: int) -> None:
        self.rows, self.waiting = rows, dict(rows)
        self.border = self.committed = self.appended = max([FIRST, *rows]) + more
        if rows:
            self.outbox.recall(min(rows), len(rows), sum(rows.values()), self.border)

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=5), skip=st.integers(0, 3))
    def add(self, sizes: list[int], skip: int) -> None:
        start = self.appended + skip + 1
        seqs = range(start, start + len(sizes))
        self.outbox.add(seqs, sizes)
        self.waiting |= dict(zip(seqs, sizes, strict=True))
        self.appended = seqs[-1]

    @rule()
    def commit(self) -> None:
        self.committed = self.appended

    @rule()
    def fail(self) -> None:
        self.outbox.revert(self.committed)
        self.waiting = {seq: size for seq, size in self.waiting.items() if seq <= self.committed}
        self.appended = self.committed

    @precondition(lambda self: self.outbox.has_unread)
    @rule(steps=st.integers(1, 40))
    def learn(self, steps: int) -> None:
        """A page of the journal, this run's too; outcomes that are on disk are left out, others are not."""
        low, through = self.outbox.learned, min(self.outbox.learned + steps, self.committed)
        rows = self.rows | {seq: size for seq, size in (self.waiting | self.given).items() if seq > self.border}
        found = [pair for pair in sorted(rows.items()) if low < pair[0] <= through]
        self.outbox.learn(through, [pair for pair in found if pair[0] not in self.written_down])

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """What is written was read before, so it lies in what is known one by one; or behind everything."""
        known = st.integers(0, self.outbox.learned)
        behind = st.integers(min(self.border, self.committed), self.committed)
        through = data.draw(known | behind if self.outbox.has_unread else st.integers(0, self.committed))
        self.outbox.acknowledge(through)
        self.waiting = {seq: size for seq, size in self.waiting.items() if seq > through}
        self.rows = {seq: size for seq, size in self.rows.items() if seq > through}
        self.given = {seq: size for seq, size in self.given.items() if seq > through}

    @precondition(lambda self: any(seq <= self.committed for seq in self.waiting))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(seq for seq in self.waiting if seq <= self.committed)))
        assert self.outbox.contains(seq)
        self.given[seq] = self.waiting.pop(seq)
        self.outbox.remove(seq, self.given[seq])

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.given)))
        if seq not in self.written_down:
            self.waiting[seq] = self.given.pop(seq)
            self.outbox.restore(seq, self.waiting[seq])

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def write_down(self, data: st.DataObject) -> None:
        self.written_down.add(data.draw(st.sampled_from(sorted(self.given))))

    @invariant()
    def numbers_are_exact(self) -> None:
        assert (self.outbox.count, self.outbox.size) == (len(self.waiting), sum(self.waiting.values()))
        assert (self.all.messages, self.all.size) == (self.outbox.count, self.outbox.size)

    @invariant()
    def first_is_not_behind_what_is_owed(self) -> None:
        assert bool(self.outbox.first) == bool(self.waiting)
        assert self.outbox.first <= min(self.waiting, default=0)
        if self.waiting and not self.outbox.has_unread:
            assert self.outbox.first == min(self.waiting)

    @invariant()
    def each_is_known(self) -> None:
        known = sorted(seq for seq in self.waiting if not self.outbox.is_unread(seq))
        assert self.outbox.between(0, self.appended) == known
        assert all(self.outbox.contains(seq) for seq in self.waiting)
        assert not any(self.outbox.contains(seq) for seq in self.given)


@at_two_lengths(40, 400)
def test_numbers_and_seqs_are_those_of_the_model_after_any_operations(examples: int) -> None:
    play(Model, examples)


def test_an_acknowledgement_says_whether_more_than_talk_in_rooms_was_owed() -> None:
    outbox = Outbox(OutboxTotals())
    outbox.add([1, 2], [10, 10], in_room=True)
    outbox.add([3], [10])
    outbox.add([4], [10], in_room=True)
    outbox.add([5], [10])
    outbox.remove(4, 10)
    assert [outbox.acknowledge(seq) for seq in (1, 3, 3, 4, 5)] == [False, True, False, False, True]

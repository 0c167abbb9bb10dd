"""Timings: what is kept per actor, the bound, and what the journal and the consumers record."""

import random

import pytest

from chatd.api.errors import ControlError
from chatd.api.params import Filter
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from chatd.journal.timings import Times, Timings
from chatd.messages.consumers import Consumers
from tests.harness.parts import Core, World, said

BOT = Filter(types=["message"])


def test_a_time_holds_for_everything_since_the_one_before() -> None:
    times = Times()
    times.add("bob", 10, 12, 1.0)
    times.add("bob", 12, 20, 2.0)
    assert [times.times_of("bob", seq) for seq in (10, 11, 12, 13, 20, 21)] == [[], [1.0], [1.0], [2.0], [2.0], []]
    assert times.times_of("carol", 11) == []


def test_whoever_begins_again_further_back_has_two_times() -> None:
    times = Times()
    times.add("bob", 0, 10, 1.0)
    times.add("bob", 5, 8, 2.0)
    times.add("bob", 8, 20, 3.0)
    assert [times.times_of("bob", seq) for seq in (5, 6, 9, 11)] == [[1.0], [1.0, 2.0], [1.0, 3.0], [3.0]]


def test_who_is_gone_leaves_nothing() -> None:
    times = Times(most=10)
    for seq in range(10):
        times.add("bob", seq, seq + 1, 1.0)
    times.drop("bob")
    times.drop("carol")
    assert times.times_of("bob", 5) == []
    for seq in range(10):
        times.add("dave", seq, seq + 1, 2.0)
    assert all(times.times_of("dave", seq + 1) for seq in range(10))  # all the room was free again


def test_the_oldest_give_way_and_the_newest_stay() -> None:
    times = Times(most=100)
    for seq in range(1000):
        times.add("bob", seq, seq + 1, float(seq))
        assert sum(len(times.times_of("bob", each)) for each in range(seq - 110, seq + 2)) <= 100
    assert times.times_of("bob", 900) == []
    assert [times.times_of("bob", seq) for seq in range(960, 1001)] == [[seq - 1.0] for seq in range(960, 1001)]


def test_who_does_much_does_not_push_out_those_who_do_little() -> None:
    times = Times(most=1000)
    for quiet in range(10):
        times.add(quiet, 0, 1, 1.0)
        times.add(quiet, 0, 1, 2.0)  # again, over another link
    for seq in range(100_000):
        times.add("busy", seq, seq + 1, 3.0)
    assert all(times.times_of(quiet, 1) == [1.0, 2.0] for quiet in range(10))
    assert times.times_of("busy", 100_000) == [3.0]


def test_very_many_who_do_little_are_bounded_too() -> None:
    times = Times(most=1000)
    for who in range(10_000):
        times.add(who, 0, 1, 1.0)
    assert sum(len(times.times_of(who, 1)) for who in range(10_000)) <= 1000
    assert times.times_of(9_999, 1) == [1.0]


def test_what_is_counted_is_what_is_kept() -> None:
    draw = random.Random(7)
    times = Times(most=50)
    for _ in range(5000):
        who, after = draw.randrange(8), draw.randrange(100)
        if draw.random() < 0.02:
            times.drop(who)
        times.add(who, after, after + draw.randrange(1, 9), draw.random())
        tracks = [track for tracks in times._tracks.values() for track in tracks]
        assert times._kept == sum(len(track.seqs) for track in tracks) <= 50
        assert all(list(track.seqs) == sorted(set(track.seqs)) and track.seqs[0] > track.floor for track in tracks)


def test_what_is_appended_is_so_when_its_commit_begins_to_fill_or_later() -> None:
    timeline = Timings()
    timeline.record_commit(0, 3, 5.0004, 5.2)
    assert [timeline.appended_at(seq, 5000) for seq in (1, 3)] == [5.0004, 5.0004]
    assert timeline.appended_at(2, 5100) == 5.1
    assert timeline.appended_at(4, 5000) == 5.0
    assert [timeline.committed_at(seq) for seq in (0, 1, 3, 4)] == [None, 5.2, 5.2, None]


async def test_the_journal_tells_when_it_has_committed_what(journal: Journal, world: World) -> None:
    began = world.now
    world.hold()
    batch = journal.append_all([said("1"), said("2")])
    world.now += 3
    world.let_go()
    await batch.wait()
    await journal.append(said("3")).wait()
    assert [journal.timings.committed_at(seq) for seq in (1, 2, 3)] == [began + 3] * 3
    assert [journal.timings.appended_at(seq, 0) for seq in (1, 2, 3)] == [began, began, began + 3]


async def test_what_could_not_be_committed_has_no_time(journal: Journal, world: World) -> None:
    world.fault = DiskFull("full")
    failed = journal.append(said("1"))
    with pytest.raises(ControlError, match="full"):
        await failed.wait()
    assert journal.timings.committed_at(1) is None
    world.now += 1
    await journal.append(said("1")).wait()
    assert journal.timings.committed_at(1) == world.now


async def test_an_acknowledgement_of_a_consumer_is_its_time(core: Core) -> None:
    consumers, taken = Consumers(core.journal, core.world, 10), core.journal.timings.acknowledgements
    await core.journal.append_all([said("1"), said("2"), said("3")]).wait()
    await consumers.create("bot", 0, BOT, None).wait()
    bot = consumers.get("bot")
    assert bot is not None
    for seq in (2, 1, 3):
        core.world.now += 1
        await consumers.ack(bot, seq).wait()
    now = core.world.now
    assert [taken.times_of(bot, seq) for seq in (1, 2, 3)] == [[now - 2], [now - 2], [now]]
    await consumers.remove(bot).wait()
    assert taken.times_of(bot, 1) == []


async def test_one_that_failed_and_came_again_has_the_later_time_too(core: Core) -> None:
    consumers, taken = Consumers(core.journal, core.world, 10), core.journal.timings.acknowledgements
    await core.journal.append(said("1")).wait()
    await consumers.create("bot", 0, BOT, None).wait()
    bot = consumers.get("bot")
    assert bot is not None
    core.world.fault = DiskFull("full")
    failed = consumers.ack(bot, 1)
    with pytest.raises(ControlError, match="full"):
        await failed.wait()
    core.world.now += 5
    await consumers.ack(bot, 1).wait()
    assert taken.times_of(bot, 1)[-1] == core.world.now

"""Named cursors: what an acknowledgement moves, what it takes to move by itself, and what failures leave."""

from pathlib import Path

import pytest
import trio.testing

from chatd.api.errors import ControlError
from chatd.api.params import Filter
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from chatd.messages.consumers import Consumer, ConsumerReader, Consumers
from chatd.sync import Waker
from tests.harness.parts import World, copy_as_crashed, is_woken, open_journal, running, said


async def say(journal: Journal, count: int) -> None:
    await [journal.append(said(str(number)), 1, "in") for number in range(count)][-1].wait()


async def made(journal: Journal, world: World, *, seq: int = 0, most: int = 10) -> tuple[Consumers, Consumer]:
    """A consumer "bot" that is in the journal, and all of them."""
    consumers = Consumers(journal, world, most)
    await consumers.create("bot", seq, Filter(types=["message"]), None).wait()
    return consumers, found(consumers, "bot")


def found(consumers: Consumers, name: str) -> Consumer:
    consumer = consumers.get(name)
    assert consumer is not None
    return consumer


def failing(journal: Journal) -> None:
    """The disk is full from now on."""

    def no_room(batch: Batch) -> None:
        raise DiskFull("no room")

    journal.store.write = no_room  # type: ignore[method-assign]


def working(journal: Journal) -> None:
    """It has room again."""
    del journal.store.write


def stored(journal: Journal) -> dict[str, int]:
    return dict(journal.store.query("SELECT name, seq FROM consumers"))


async def test_a_consumer_is_there_after_a_crash_as_soon_as_its_batch_is_done(tmp_path: Path, world: World) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    wanted = Filter(types=["message", "gap"], direction="in", peer="bob")
    async with running(open_journal(old, world)) as journal:
        await say(journal, 5)
        consumers = Consumers(journal, world, 10)
        batch = consumers.create("bot", 3, wanted, 7)
        consumer = found(consumers, "bot")
        assert consumers.creation(consumer) is batch
        await batch.wait()
        assert consumers.creation(consumer) is None
        await consumers.ack(consumer, 4).wait()
        copy_as_crashed(old, new)
    async with running(open_journal(new, world)) as journal:
        consumer = found(Consumers(journal, world, 10), "bot")
        assert (consumer.seq, consumer.filter, consumer.stream_id) == (4, wanted, 7)
        assert consumer.last_seen_ms == int(world.now * 1000)
        assert consumer.reader is None


async def test_one_that_could_not_be_written_was_never_made(journal: Journal, world: World) -> None:
    consumers = Consumers(journal, world, 10)
    failing(journal)
    with pytest.raises(ControlError) as caught:
        await consumers.create("bot", 0, Filter(), None).wait()
    assert caught.value.kind == "storage_full"
    assert consumers.get("bot") is None
    working(journal)
    await consumers.create("bot", 0, Filter(), None).wait()
    assert stored(journal) == {"bot": 0}


async def test_there_are_so_many_and_no_more(journal: Journal, world: World) -> None:
    consumers, bot = await made(journal, world, most=2)
    await consumers.create("b", 0, Filter(), None).wait()
    with pytest.raises(ControlError) as caught:
        consumers.create("c", 0, Filter(), None)
    assert caught.value.kind == "rate_limited"
    await consumers.remove(bot).wait()
    await consumers.create("a", 0, Filter(), None).wait()
    assert [consumer.name for consumer in consumers] == ["a", "b"]


async def test_an_acknowledgement_is_cumulative_and_never_goes_back(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    for seq in (3, 7, 5):
        await consumers.ack(bot, seq).wait()
    assert bot.seq == 7
    assert stored(journal) == {"bot": 7}


async def test_pipelined_acknowledgements_are_one_commit(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    world.calls = 0
    batches = {consumers.ack(bot, seq) for seq in range(10)}
    assert len(batches) == 1
    await batches.pop().wait()
    assert world.calls == 1
    assert stored(journal) == {"bot": 9}


async def test_acknowledgements_that_wait_for_the_disk_are_bounded(journal: Journal, world: World) -> None:
    """A client that pipelines them is not read any more, as one that sends."""
    consumers, bot = await made(journal, world)
    world.hold()
    for _ in range(100_000):
        consumers.ack(bot, 0)
        if not journal.has_capacity:
            break
    assert not journal.has_capacity
    world.let_go()


async def test_a_failed_acknowledgement_leaves_the_cursor_where_it_was(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    await consumers.ack(bot, 2).wait()
    failing(journal)
    batch = consumers.ack(bot, 5)
    consumers.ack(bot, 6)
    assert bot.seq == 6
    with pytest.raises(ControlError):
        await batch.wait()
    assert bot.seq == 2
    working(journal)
    await consumers.ack(bot, 3).wait()
    assert (bot.seq, stored(journal)) == (3, {"bot": 3})


async def test_a_failure_takes_what_was_acknowledged_behind_it_too(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    failing(journal)
    world.hold()
    first = consumers.ack(bot, 4)
    await trio.testing.wait_all_tasks_blocked()
    second = consumers.ack(bot, 6)
    assert first is not second
    world.let_go()
    for batch in (first, second):
        with pytest.raises(ControlError):
            await batch.wait()
    assert bot.seq == 0


async def test_a_failed_removal_leaves_it_there_with_all_that_came_behind_undone(
    journal: Journal, world: World
) -> None:
    consumers, bot = await made(journal, world, seq=0)
    failing(journal)
    removal = consumers.remove(bot)
    assert consumers.get("bot") is None
    consumers.create("bot", 0, Filter(), None)
    consumers.remove(found(consumers, "bot"))
    other = consumers.create("other", 0, Filter(), None)
    for batch in (removal, other):
        with pytest.raises(ControlError):
            await batch.wait()
    assert list(consumers) == [bot]
    working(journal)
    await consumers.remove(bot).wait()
    assert stored(journal) == {}


async def test_a_new_one_of_the_name_does_not_get_the_cursor_of_the_old_one(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 10, takeover=False)
    hold.advance(8)
    hold.release()
    consumers.remove(bot)
    await consumers.create("bot", 2, Filter(), None).wait()
    assert stored(journal) == {"bot": 2}


async def test_a_cursor_moves_over_what_was_not_sent_and_is_kept_with_the_next_commit(
    journal: Journal, world: World
) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    consumers.attach_reader(bot, 10, takeover=False).advance(9)
    assert (bot.seq, stored(journal)) == (9, {"bot": 0})
    await say(journal, 1)
    assert stored(journal) == {"bot": 9}


async def test_it_stays_while_something_that_was_sent_is_not_acknowledged(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 10, takeover=False)
    hold.add_sent([3, 5])
    hold.advance(9)
    assert bot.seq == 0
    consumers.ack(bot, 4)
    hold.advance(9)
    assert bot.seq == 4
    consumers.ack(bot, 5)
    hold.advance(9)
    assert bot.seq == 9


async def test_it_does_not_move_over_what_was_acknowledged_in_vain(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 2, takeover=False)
    hold.add_sent([3, 5])
    assert hold.capacity == 0
    failing(journal)
    batch = consumers.ack(bot, 5)
    assert hold.capacity == 2
    with pytest.raises(ControlError):
        await batch.wait()
    hold.advance(9)
    assert (bot.seq, hold.capacity) == (0, 0)


async def test_the_window_is_not_larger_after_acknowledgements_in_vain(journal: Journal, world: World) -> None:
    """Also where more was sent for them."""
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 2, takeover=False)
    hold.add_sent([1, 2])
    failing(journal)
    batch = consumers.ack(bot, 2)
    hold.add_sent([3, 4])
    with pytest.raises(ControlError):
        await batch.wait()
    assert hold.capacity == -2
    working(journal)
    consumers.ack(bot, 3)
    assert hold.capacity == 1


async def test_nor_after_two_commits_that_fail_together(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 2, takeover=False)
    failing(journal)
    world.hold()
    hold.add_sent([1, 2])
    consumers.ack(bot, 2)
    await trio.testing.wait_all_tasks_blocked()
    hold.add_sent([3, 4])
    batch = consumers.ack(bot, 4)
    hold.add_sent([5])
    world.let_go()
    with pytest.raises(ControlError):
        await batch.wait()
    assert hold.capacity == 2 - 5


async def test_what_is_acknowledged_unsent_is_skipped_and_not_passed_over_if_that_fails(
    journal: Journal, world: World
) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 2, takeover=False)
    failing(journal)
    batch = consumers.ack(bot, 6)
    assert hold.next_cursor(1) == 6
    with pytest.raises(ControlError):
        await batch.wait()
    hold.advance(9)
    assert bot.seq == 0
    assert hold.next_cursor(6) == 6


async def test_the_window_is_what_was_sent_beyond_the_last_acknowledgement(journal: Journal, world: World) -> None:
    await say(journal, 9)
    consumers, bot = await made(journal, world)
    hold, waker = consumers.attach_reader(bot, 3, takeover=False), Waker()
    hold.set_waker(waker, lambda: None)
    hold.add_sent([1, 2])
    assert hold.capacity == 1
    hold.add_sent([4])
    assert hold.capacity == 0
    assert not await is_woken(waker)
    consumers.ack(bot, 2)
    assert await is_woken(waker)
    assert hold.capacity == 2


async def test_what_is_known_of_the_sent_ones_does_not_grow(journal: Journal, world: World) -> None:
    consumers, bot = await made(journal, world)
    hold = consumers.attach_reader(bot, 4, takeover=False)
    for _ in range(20):
        await say(journal, 2)
        hold.add_sent([journal.committed - 1, journal.committed])
        await consumers.ack(bot, journal.committed).wait()
    assert len(hold._sent) <= 12


async def test_one_holds_it_at_a_time_until_it_is_taken_over(journal: Journal, world: World) -> None:
    consumers, bot = await made(journal, world)
    lost: list[ConsumerReader] = []
    first = consumers.attach_reader(bot, 10, takeover=False)
    first.set_waker(Waker(), lambda: lost.append(first))
    with pytest.raises(ControlError) as caught:
        consumers.attach_reader(bot, 10, takeover=False)
    assert (caught.value.kind, caught.value.details) == ("conflict", {"reason": "consumer_busy"})
    assert "--takeover" in caught.value.hint
    with pytest.raises(ControlError):
        consumers.remove(bot)
    second = consumers.attach_reader(bot, 10, takeover=True)
    assert lost == [first]
    assert (first.is_lost, second.is_lost) == (True, False)
    first.advance(9)
    first.release()
    assert (bot.reader, bot.seq) == (second, 0)
    second.release()
    assert bot.reader is None
    await consumers.remove(bot).wait()


async def test_last_seen_is_now_while_somebody_reads(journal: Journal, world: World) -> None:
    consumers, bot = await made(journal, world)
    began = int(world.now * 1000)
    world.now += 5
    assert consumers.last_seen(bot) == began
    hold = consumers.attach_reader(bot, 10, takeover=False)
    world.now += 5
    assert consumers.last_seen(bot) == began + 10_000
    hold.release()
    world.now += 5
    assert consumers.last_seen(bot) == began + 10_000
    await consumers.ack(bot, 0).wait()
    assert consumers.last_seen(bot) == began + 15_000


async def test_a_broken_journal_moves_nothing(journal: Journal, world: World) -> None:
    await say(journal, 3)
    consumers, bot = await made(journal, world)
    journal.broken = True
    for batch in (consumers.ack(bot, 2), consumers.create("other", 0, Filter(), None), consumers.remove(bot)):
        with pytest.raises(ControlError):
            await batch.wait()
    assert (list(consumers), bot.seq) == ([bot], 0)

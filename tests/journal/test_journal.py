import sqlite3
from pathlib import Path

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from chatd.runtime import stamp
from chatd.sync import Waker
from tests.harness.parts import World, as_on_disk, is_woken, open_journal, running, said, texts_of


async def fill(journal: Journal, *texts: str, stream_id: int | None = None, direction: str = "out") -> None:
    """Append and commit."""
    for text in texts:
        journal.append(said(text, direction), stream_id, direction)
    await journal.settled()


async def test_an_event_gets_its_position_and_time_when_it_is_appended(journal: Journal, world: World) -> None:
    message = said("hi")
    batch = journal.append(message)
    assert message.position == f"{journal.epoch}:1"
    assert message.at == stamp(world.now)
    assert not batch.done
    await batch.wait()
    assert journal.committed == 1


async def test_positions_follow_each_other_in_the_order_of_the_appends(journal: Journal) -> None:
    messages = [said(str(number)) for number in range(300)]
    for message in messages:
        assert journal.position(journal.appended + 1) == f"{journal.epoch}:{journal.appended + 1}"
        journal.append(message)
    await journal.settled()
    assert [message.position for message in messages] == [f"{journal.epoch}:{seq}" for seq in range(1, 301)]
    assert texts_of(journal.recent(0)) == [str(number) for number in range(300)]


async def test_what_waits_together_is_one_commit(journal: Journal, world: World) -> None:
    first = journal.append(said("1"))
    assert journal.append(said("2")) is first
    await first.wait()
    assert world.calls == 1


async def test_what_comes_during_a_commit_is_in_the_next_one(journal: Journal, world: World) -> None:
    world.hold()
    first = journal.append(said("1"))
    await trio.testing.wait_all_tasks_blocked()
    second = journal.append(said("2"))
    assert second is not first
    assert journal.append(said("3")) is second
    assert journal.recent(0) == []
    world.let_go()
    await second.wait()
    assert first.done
    assert journal.committed == 3
    assert world.calls == 2


async def test_settled_waits_for_the_running_and_the_next_commit(journal: Journal, world: World) -> None:
    await journal.settled()
    world.hold()
    journal.append(said("1"))
    await trio.testing.wait_all_tasks_blocked()
    journal.append(said("2"))
    world.let_go()
    await journal.settled()
    assert journal.committed == journal.appended == 2


async def test_what_cannot_be_encoded_leaves_no_hole(journal: Journal) -> None:
    with pytest.raises(UnicodeEncodeError):
        journal.append(said("\ud800"))
    await fill(journal, "next")
    assert [entry.seq for entry in journal.recent(0) or []] == [1]


async def test_a_reader_is_woken_once_for_each_commit_that_touched_its_topic(journal: Journal) -> None:
    everything, one, other = Waker(), Waker(), Waker()
    journal.watch(everything)
    journal.watch(one, 1)
    journal.watch(other, 2)
    for _ in range(3):
        await fill(journal, "a", "b", stream_id=1)
        assert [await is_woken(waker) for waker in (everything, one, other)] == [True, True, False]
        assert [await is_woken(waker) for waker in (everything, one, other)] == [False, False, False]


async def test_nobody_is_woken_after_unwatch(journal: Journal) -> None:
    stays, goes = Waker(), Waker()
    journal.watch(stays, 1)
    journal.watch(goes, 1)
    journal.unwatch(goes, 1)
    journal.unwatch(goes, 1)
    await fill(journal, "a", stream_id=1)
    assert await is_woken(stays)
    assert not await is_woken(goes)
    journal.unwatch(stays, 1)
    await fill(journal, "b", stream_id=1)


async def test_a_mark_alone_wakes_those_who_watch_everything(journal: Journal) -> None:
    waker = Waker()
    journal.watch(waker)
    await journal.raise_watermark("bob", "aaaaaaaa", 3).wait()
    await waker.wait()
    assert journal.watermarks.committed("bob") == ("aaaaaaaa", 3)
    assert journal.committed == 0


async def test_more_than_may_wait_holds_readers_back_until_the_commit(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world, pending_bytes=1000)) as journal:
        await journal.wait_for_capacity()
        world.hold()
        while journal.has_capacity:
            journal.append(said("x" * 100))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.wait_for_capacity)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            assert journal.committed == 0
            world.let_go()
        assert journal.committed == journal.appended
        assert journal.has_capacity


async def test_memory_and_disk_give_the_same(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path, World(inline=True), tail_bytes=10_000)) as journal:
        for number in range(100):
            await fill(journal, str(number), stream_id=number % 3 or None)
        reached = 0
        for after in range(101):
            for stream_id in (None, 1, 2, 7):
                page = await journal.page(after, stream_id)
                assert page.through == 100
                assert all(entry.known is None for entry in page.entries)
                entries, through = await journal.read(after, stream_id)
                assert (as_on_disk(entries), through) == page
                recent = journal.recent(after, stream_id)
                if recent is not None:
                    reached += 1
                    assert as_on_disk(recent) == page.entries
        assert 0 < reached < 4 * 101


async def test_a_read_with_a_limit_says_up_to_where_it_looked(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world)) as journal:
        await fill(journal, "1", "2", "3", "4", "5", stream_id=1)
        await fill(journal, "6", stream_id=2)
        for read in (journal.read, journal.page):
            entries, through = await read(0, 1, 2)
            assert (texts_of(entries), through) == (["1", "2"], 2)
            entries, through = await read(2, 1, 3)
            assert (texts_of(entries), through) == (["3", "4", "5"], 5)
            assert await read(5, 1, 3) == ([], 6)


async def test_a_page_of_large_entries_ends_early(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world, tail_bytes=1000)) as journal:
        await fill(journal, *["x" * 400_000] * 5)
        entries, through = await journal.read(0)
        assert (len(entries), through) == (3, 3)
        entries, through = await journal.read(3)
        assert (len(entries), through) == (2, 5)


async def test_reading_while_a_commit_waits_lets_the_commit_go_first(journal: Journal, world: World) -> None:
    await fill(journal, "1")
    world.hold()
    order = []

    async def write() -> None:
        await journal.append(said("2")).wait()
        order.append("written")

    async def read() -> None:
        await journal.page(0)
        order.append("read")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(read)
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        world.let_go()
    assert order == ["read", "written", "read"]


async def test_a_reader_that_gave_up_costs_nothing(journal: Journal, world: World) -> None:
    world.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.responds)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(journal.page, 0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    world.let_go()
    await journal.responds()
    assert world.calls == 2


async def test_a_position_is_resolved_only_where_it_exists(journal: Journal) -> None:
    await fill(journal, "1", "2")
    assert journal.position(2) == f"{journal.epoch}:2"
    assert journal.resolve(journal.position(2)) == 2
    assert journal.resolve(journal.position(0)) == 0  # where a reader from the start begins
    for wrong in (
        f"{journal.epoch}:3",
        "aaaaaaaa:1",
        "",
        ":",
        "1",
        f"{journal.epoch}:",
        f"{journal.epoch}:x",
    ):
        with pytest.raises(ControlError) as refused:
            journal.resolve(wrong)
        assert refused.value.kind == "cursor_gone"


async def test_every_start_begins_an_epoch_and_old_positions_stay(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world)) as journal:
        await fill(journal, "1", "2")
        first = journal.epoch
    async with running(open_journal(tmp_path, world)) as journal:
        assert journal.epoch != first
        assert journal.position(journal.appended + 1) == f"{journal.epoch}:3"
        await fill(journal, "3")
        assert [journal.position(seq) for seq in (1, 2, 3)] == [f"{first}:1", f"{first}:2", f"{journal.epoch}:3"]
        assert journal.epoch_of(2) == first
        assert journal.span(first) == (1, 2)
        assert journal.span(journal.epoch) == (3, 3)
        assert journal.span("aaaaaaaa") is None
        assert texts_of((await journal.read(0)).entries) == ["1", "2", "3"]
        assert journal.recent(1) is None
        assert texts_of(journal.recent(2)) == ["3"]


async def test_acknowledgements_alone_wait_for_the_next_commit_or_a_flush(journal: Journal, world: World) -> None:
    journal.flush()
    journal.note_ack("bob", 4)
    await trio.testing.wait_all_tasks_blocked()
    assert world.calls == 0
    journal.flush()
    await journal.responds()
    assert journal.store.query("SELECT node, seq FROM acks") == [("bob", 4)]
    journal.note_ack("bob", 6)
    await fill(journal, "1")
    assert journal.store.query("SELECT node, seq FROM acks") == [("bob", 6)]


async def test_acknowledgements_survive_a_full_disk(journal: Journal, world: World) -> None:
    world.fault = DiskFull("no room")
    journal.note_ack("bob", 4)
    await journal.settled()
    with pytest.raises(ControlError):
        await journal.append(said("lost")).wait()
    assert journal.watermarks.acked == {"bob": 4}
    await fill(journal, "kept")
    assert journal.store.query("SELECT node, seq FROM acks") == [("bob", 4)]


async def test_statements_are_in_the_transaction_of_the_events_around_them(journal: Journal) -> None:
    journal.append(said("1"))
    batch = journal.execute("INSERT INTO acks VALUES (?, ?)", "bob", 9)
    assert [entry.seq for entry in batch.entries] == [1]
    await batch.wait()
    assert journal.store.query("SELECT seq FROM acks") == [(9,)]


def test_an_open_journal_keeps_others_out(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    other = sqlite3.connect(tmp_path / "journal.db", timeout=0)
    try:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM events")
    finally:
        other.close()
        journal.close()

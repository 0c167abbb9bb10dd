"""Failing commits and reads."""

import os
import sqlite3
from pathlib import Path

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.failures import StorageFailure
from chatd.journal.batch import Batch
from chatd.journal.files import CHECK_S, JournalFiles
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from chatd.sync import Waker
from tests.harness.parts import World, is_woken, open_journal, running, said, texts_of

FULL = DiskFull("database or disk is full")
FAULT = sqlite3.OperationalError("disk I/O error")


async def kind_of(batch: Batch) -> str:
    with pytest.raises(ControlError) as refused:
        await batch.wait()
    return refused.value.kind


async def test_a_full_disk_refuses_what_was_appended_and_takes_it_later(journal: Journal, world: World) -> None:
    await journal.append(said("1")).wait()
    world.fault = FULL
    lost = said("lost")
    assert await kind_of(journal.append(lost)) == "storage_full"
    assert journal.full
    assert journal.committed == journal.appended == 1
    again = said("2")
    await journal.append(again).wait()
    assert not journal.full
    assert again.position == lost.position
    assert texts_of(journal.recent(0)) == texts_of((await journal.page(0)).entries) == ["1", "2"]


async def test_a_failed_commit_takes_what_was_appended_behind_it(journal: Journal, world: World) -> None:
    world.hold()
    first = journal.append(said("1"))
    journal.raise_watermark("bob", "aaaaaaaa", 1)
    await trio.testing.wait_all_tasks_blocked()
    second = journal.append(said("2"))
    journal.raise_watermark("bob", "aaaaaaaa", 2)
    assert journal.watermarks.appended("bob", "aaaaaaaa") == 2
    undone: list[int] = []
    first.if_failed("one", lambda: undone.append(1))
    second.if_failed("two", lambda: undone.append(2))
    world.fault = FULL
    world.let_go()
    assert await kind_of(second) == "storage_full"
    assert await kind_of(first) == "storage_full"
    assert undone == [2, 1]  # later changes first
    assert journal.committed == journal.appended == 0
    assert journal.watermarks.appended("bob", "aaaaaaaa") == 0
    assert journal.watermarks.committed("bob") is None
    assert world.calls == 1


async def test_a_full_disk_wakes_those_who_wait_for_room(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world, pending_bytes=100)) as journal:
        world.hold()
        journal.append(said("1"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.wait_for_capacity)
            await trio.testing.wait_all_tasks_blocked()
            world.fault = FULL
            world.let_go()
        assert journal.has_capacity


async def test_nobody_is_told_of_events_that_were_not_committed(journal: Journal, world: World) -> None:
    waker = Waker()
    journal.watch(waker)
    world.fault = FULL
    assert await kind_of(journal.append(said("1"))) == "storage_full"
    assert not await is_woken(waker)
    assert journal.recent(0) == []


async def test_everybody_who_waits_gets_a_refusal_of_their_own(journal: Journal, world: World) -> None:
    world.fault = FULL
    batch = journal.append(said("1"))
    refusals = []
    for _ in range(2):
        with pytest.raises(ControlError) as refused:
            await batch.wait()
        refusals.append(refused.value)
    assert refusals[0] is not refusals[1]
    assert refusals[0].hint


async def test_after_any_other_error_the_outcome_is_unknown_and_the_journal_ends(tmp_path: Path, world: World) -> None:
    journal = open_journal(tmp_path, world, pending_bytes=1)
    world.hold()
    first = journal.append(said("1"))
    kinds: list[str] = []

    async def wait_for(batch: Batch) -> None:
        kinds.append(await kind_of(batch))

    with pytest.RaisesGroup(pytest.RaisesExc(StorageFailure, match=r"journal\.db: disk I/O error")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            await trio.testing.wait_all_tasks_blocked()
            second = journal.append(said("2"))
            nursery.start_soon(wait_for, first)
            nursery.start_soon(wait_for, second)
            nursery.start_soon(journal.wait_for_capacity)
            await trio.testing.wait_all_tasks_blocked()
            world.fault = FAULT
            world.let_go()
    assert first.error is not None
    assert second.error is not None
    assert first.error.kind == second.error.kind == "outcome_unknown"
    assert set(kinds) <= {"outcome_unknown"}
    assert journal.broken
    assert not journal.full
    journal.close()


async def test_a_broken_journal_takes_nothing_more(tmp_path: Path, world: World) -> None:
    journal = open_journal(tmp_path, world)
    world.fault = FAULT
    journal.append(said("1"))
    with pytest.raises(StorageFailure):
        await journal.run()
    message = said("2")
    assert await kind_of(journal.append(message)) == "outcome_unknown"
    assert message.position == ""
    assert await kind_of(journal.raise_watermark("bob", "aaaaaaaa", 1)) == "outcome_unknown"
    assert journal.watermarks.appended("bob", "aaaaaaaa") == 0
    assert await kind_of(journal.execute("DELETE FROM acks")) == "outcome_unknown"
    undone: list[int] = []
    journal.append(message).if_failed("it", lambda: undone.append(1))
    assert undone == [1]
    journal.note_ack("bob", 1)
    journal.flush()
    await journal.wait_for_capacity()
    await journal.settled()
    journal.close()


async def test_what_cannot_be_read_ends_the_journal(tmp_path: Path, world: World) -> None:
    journal = open_journal(tmp_path, world)
    with pytest.RaisesGroup(pytest.RaisesExc(StorageFailure, match=r"journal\.db cannot be read: disk I/O error")):
        async with trio.open_nursery() as nursery:
            world.fault = FAULT
            nursery.start_soon(journal.run)
            nursery.start_soon(journal.page, 0)
    assert journal.broken
    journal.close()


async def test_an_unknown_outcome_is_settled_by_the_next_start(tmp_path: Path, world: World) -> None:
    journal = open_journal(tmp_path, world)
    write = journal.store.write

    def commits_and_fails(batch: Batch) -> None:
        write(batch)
        raise FAULT

    journal.store.write = commits_and_fails  # type: ignore[method-assign]
    batch = journal.append(said("it is there"))
    with pytest.raises(StorageFailure):
        await journal.run()
    assert await kind_of(batch) == "outcome_unknown"
    assert journal.committed == 0
    journal.close()
    async with running(open_journal(tmp_path, world)) as again:
        assert again.committed == 1
        assert texts_of((await again.page(0)).entries) == ["it is there"]


async def test_commits_notice_that_the_file_is_gone_and_go_on_in_what_is_open(tmp_path: Path) -> None:
    now = 0.0
    async with running(open_journal(tmp_path)) as journal:
        journal.store.files = JournalFiles(journal.store.path, clock=lambda: now)
        os.unlink(journal.store.path)
        for number in range(3):
            assert not journal.lost
            now += CHECK_S
            await journal.append(said(str(number))).wait()
        assert journal.lost
        await journal.append(said("after")).wait()  # a receipt, for example
        assert texts_of((await journal.page(0)).entries) == ["0", "1", "2", "after"]
        assert journal.store.size() == os.stat(journal.store.path + "-wal").st_size

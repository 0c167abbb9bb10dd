"""A running journal on disks that become full or read-only."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatd.api.errors import ControlError
from chatd.failures import StorageFailure
from chatd.journal.journal import Journal
from chatd.journal.search import seek_last
from tests.harness import disk
from tests.harness.parts import World, open_journal, running, said, standing, texts_of


async def refusal(journal: Journal, text: str) -> str:
    with pytest.raises(ControlError) as refused:
        await journal.append(said(text)).wait()
    return refused.value.kind


async def write_until_full(journal: Journal) -> list[str]:
    """The texts that were committed before the disk was full."""
    taken: list[str] = []
    while not journal.full:
        text = f"{len(taken)} " + "x" * 3000
        batch = journal.append(said(text))
        await journal.settled()
        if batch.error is None:
            taken.append(text)
        assert len(taken) < 1000
    return taken


async def test_on_a_full_disk_sends_are_refused_and_reading_goes_on(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        async with running(open_journal(small, tail_bytes=20_000)) as journal:
            taken = await write_until_full(journal)
            for _ in range(3):
                assert await refusal(journal, "y" * 3000) == "storage_full"
            assert journal.committed == journal.appended == len(taken) > 10
            assert journal.recent(0) is None
            assert texts_of((await journal.page(0)).entries) == taken
            assert await seek_last(journal, 2, lambda _: True) == len(taken) - 2
            await journal.responds()
        async with running(open_journal_after_room(small)) as again:
            assert again.committed == len(taken)


def open_journal_after_room(small: Path) -> Journal:
    disk.remount(small, "size=4m")
    return open_journal(small)


async def test_after_room_was_made_everything_is_taken_again(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk", "2m") as small:
        ballast = small / "ballast"
        async with running(open_journal(small)) as journal:
            await journal.append(said("before")).wait()
            disk.fill(small)
            taken = await write_until_full(journal)
            ballast.unlink()
            await journal.append(said("after")).wait()
            assert not journal.full
            assert texts_of((await journal.page(0)).entries) == ["before", *taken, "after"]
            assert journal.store.query("PRAGMA integrity_check") == [("ok",)]
        journal = open_journal(small)
        assert journal.committed == len(taken) + 2
        journal.close()


async def test_a_full_disk_takes_nothing_from_a_peer_and_keeps_its_mark(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        async with standing(small) as core:
            await write_until_full(core.journal)
            bob, link = core.up()
            with pytest.raises(ControlError, match="disk is full"):
                await core.chat.send(bob, "z" * 3000)[1].wait()
            assert not bob.delivery.outbox.count
            assert link.reason is None
            with pytest.raises(ControlError, match="disk is full"):
                await core.trust.deny(bob.slot)
            assert core.trust.verdict(bob.node or "") == "denied"


async def test_a_file_system_that_turned_read_only_counts_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(open_journal(tmp_path)) as journal:
        await journal.append(said("before")).wait()
        with disk.no_growth_of(tmp_path / "journal.db-wal"), monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
            assert await refusal(journal, "x" * 9000) == "storage_full"
            assert texts_of((await journal.page(0)).entries) == ["before"]
        await journal.append(said("after")).wait()
        assert texts_of((await journal.page(0)).entries) == ["before", "after"]


async def test_a_database_that_turned_read_only_counts_as_full(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path)) as journal:
        journal.store.query("PRAGMA query_only = 1")
        assert await refusal(journal, "x") == "storage_full"
        journal.store.query("PRAGMA query_only = 0")
        await journal.append(said("after")).wait()


async def test_a_transaction_that_is_still_open_is_rolled_back(tmp_path: Path) -> None:
    async with running(open_journal(tmp_path)) as journal:
        await journal.append(said("before")).wait()
        pages = journal.store.query("PRAGMA page_count")[0][0]
        journal.store.query(f"PRAGMA max_page_count = {pages}")
        assert await refusal(journal, "x" * 100_000) == "storage_full"
        journal.store.query("PRAGMA max_page_count = 1000000")
        await journal.append(said("after")).wait()
        assert texts_of((await journal.page(0)).entries) == ["before", "after"]


@pytest.mark.parametrize("asked", ["it is writable", "it does not answer"])
async def test_any_other_write_error_ends_the_journal(
    tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path, World())
    if asked == "it does not answer":
        monkeypatch.setattr(os, "statvfs", no_answer)
    batch = journal.append(said("x" * 9000))
    with disk.no_growth_of(tmp_path / "journal.db-wal"), pytest.raises(StorageFailure, match=r"journal\.db: disk I/O"):
        await journal.run()
    with pytest.raises(ControlError) as refused:
        await batch.wait()
    assert refused.value.kind == "outcome_unknown"
    journal.close()
    again = open_journal(tmp_path)
    assert again.store.query("PRAGMA integrity_check") == [("ok",)]
    again.close()


def no_answer(path: str) -> os.statvfs_result:
    raise OSError(5, "Input/output error")


async def test_closing_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        async with running(open_journal(small)) as journal:
            taken = await write_until_full(journal)
            disk.fill(small)
        async with running(open_journal_after_room(small)) as again:
            assert texts_of((await again.page(0)).entries) == taken

"""Files that a store rejects and leaves unchanged."""

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatd.failures import StorageFailure, StorageFull
from chatd.journal import store as store_module
from chatd.journal.batch import Batch, Entry
from chatd.journal.schema import MIGRATIONS
from chatd.journal.store import APPLICATION_ID, Store
from tests.harness import disk
from tests.harness.parts import open_journal, running, said


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed store with two hundred entries."""
    write_entries(path, 200)
    return path


def write_entries(path: Path, count: int) -> None:
    store, batch = Store(str(path)), Batch()
    store.add_epoch("aaaaaaaa", 1)
    batch.entries += [Entry(seq, seq, "message", "out", 1, b"x" * 300) for seq in range(1, count + 1)]
    store.write(batch)
    store.close()


def refused(path: Path) -> str:
    """Opening fails with one line that names the file, and no byte of it changes."""
    before = path.read_bytes()
    with pytest.raises(StorageFailure) as failure:
        Store(str(path))
    assert failure.value.exit_code == 4
    line = str(failure.value)
    assert str(path) in line
    assert "\n" not in line
    assert path.read_bytes() == before
    return line


def refused_as_nobody(path: Path) -> str:
    """The same without privileges."""
    before = path.read_bytes() if path.exists() else None
    with disk.as_nobody(), pytest.raises(StorageFailure) as failure:
        Store(str(path))
    line = str(failure.value)
    assert str(path) in line
    assert before == (path.read_bytes() if path.exists() else None)
    return line


def test_a_new_store_is_made_as_the_design_says(path: Path, stores: Callable[[Path], Store]) -> None:
    store = stores(path)
    assert store.query("PRAGMA journal_mode") == [("wal",)]
    assert store.query("PRAGMA synchronous") == [(2,)]
    assert store.query("PRAGMA application_id") == [(APPLICATION_ID,)]
    assert store.query("PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert store.schema == len(MIGRATIONS)
    assert store.last_seq() == 0
    assert store.size() == sum(os.path.getsize(name) for name in (path, f"{path}-wal"))


def test_an_empty_file_is_a_new_store(path: Path, stores: Callable[[Path], Store]) -> None:
    path.touch()
    assert stores(path).last_seq() == 0


def test_an_empty_page_of_a_filled_store_goes_up_to_where_was_asked(
    path: Path, stores: Callable[[Path], Store]
) -> None:
    assert stores(path).page(0, 0, None, 10) == ([], 0)


def test_garbage_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name" * 200)
    line = refused(path)
    assert "damaged" in line
    assert "restore a copy, or move it away" in line


def test_a_garbled_header_is_refused_and_left_alone(filled: Path) -> None:
    damaged = bytearray(filled.read_bytes())
    damaged[:64] = os.urandom(64)
    filled.write_bytes(damaged)
    assert "damaged" in refused(filled)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_flipped_pages_in_the_middle_are_refused_and_left_alone(filled: Path, where: float) -> None:
    damaged = bytearray(filled.read_bytes())
    start = int(len(damaged) * where) // 4096 * 4096
    damaged[start : start + 8192] = bytes(byte ^ 0xFF for byte in damaged[start : start + 8192])
    filled.write_bytes(damaged)
    assert "damaged" in refused(filled)


def test_a_truncated_database_is_refused_and_left_alone(filled: Path) -> None:
    filled.write_bytes(filled.read_bytes()[:40960])
    assert "damaged" in refused(filled)


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.commit()
    other.close()
    assert "it is a database of another program: move it away" in refused(path)


def test_where_a_write_ahead_log_is_not_possible_nothing_is_opened() -> None:
    with pytest.raises(StorageFailure, match="its file system cannot hold a write-ahead log"):
        Store(":memory:")


def test_a_very_large_database_is_not_looked_over_at_the_start(
    filled: Path, stores: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = bytearray(filled.read_bytes())
    middle = len(damaged) // 2 // 4096 * 4096
    damaged[middle : middle + 4096] = bytes(4096)
    filled.write_bytes(damaged)
    monkeypatch.setattr(store_module, "QUICK_CHECK_BYTES", len(damaged) - 1)
    assert stores(filled).last_seq() == 200


def test_a_disk_that_fails_at_the_start_is_told(filled: Path) -> None:
    journal = open_journal(filled.parent)
    wal = filled.with_name("journal.db-wal")
    with disk.no_growth_of(wal), pytest.raises(StorageFailure, match=r"disk I/O error\): check the disk"):
        add_epochs(journal.store)
    journal.close()


def add_epochs(store: Store) -> None:
    for number in range(1000):
        store.add_epoch(f"{number:08}", 201)


def test_a_newer_schema_is_refused_and_left_alone(filled: Path) -> None:
    db = sqlite3.connect(filled)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.commit()
    db.close()
    line = refused(filled)
    assert "newer chatd" in line
    assert f"schema {len(MIGRATIONS) + 1}" in line


def test_a_database_that_another_program_locks_is_refused(
    filled: Path, stores: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, timeout=0))
    first = stores(filled)
    assert "another program has it open" in refused(filled)
    first.close()
    assert stores(filled).last_seq() == 200


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageFailure, match=r"journal\.db: it cannot be opened: check that its directory"):
        Store(str(path))


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="check that its directory exists"):
        Store(str(tmp_path / "nowhere" / "journal.db"))


@pytest.fixture
def public() -> Iterator[Path]:
    with disk.public_directory() as directory:
        yield directory


def test_a_database_that_may_not_be_written_is_refused(public: Path) -> None:
    write_entries(public / "journal.db", 3)
    (public / "journal.db").chmod(0o644)
    assert "check owner and mode" in refused_as_nobody(public / "journal.db")


def test_a_database_in_a_directory_that_may_not_be_written_is_refused(public: Path) -> None:
    write_entries(public / "journal.db", 3)
    (public / "journal.db").chmod(0o666)
    assert "check owner and mode of it and of its directory" in refused_as_nobody(public / "journal.db")


def test_a_directory_that_cannot_be_opened_is_refused(public: Path) -> None:
    closed = public / "closed"
    closed.mkdir(mode=0o700)
    assert "check that its directory" in refused_as_nobody(closed / "journal.db")


async def test_a_read_only_file_system_is_refused(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        async with running(open_journal(small)) as journal:
            await journal.append(said("kept")).wait()
        disk.remount(small, "ro")
        assert "its file system is read-only" in refused(small / "journal.db")
        disk.remount(small, "rw")
        journal = open_journal(small)
        assert journal.committed == 1
        journal.close()


def test_a_full_disk_is_refused_at_the_start(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        disk.fill(small)
        with pytest.raises(StorageFull, match=r"journal\.db: the disk is full .make room"):
            Store(str(small / "journal.db"))


async def test_a_disk_that_is_full_when_the_epoch_begins_is_refused(tmp_path: Path) -> None:
    with disk.small_disk(tmp_path / "disk") as small:
        async with running(open_journal(small)) as journal:
            await journal.append(said("kept")).wait()
        ballast = disk.fill(small)
        with pytest.raises(StorageFull, match=r"journal\.db: the disk is full .make room"):
            open_journal(small)
        ballast.unlink()
        journal = open_journal(small)
        assert journal.committed == 1
        journal.close()


def test_an_epoch_that_is_there_already_is_refused(path: Path, stores: Callable[[Path], Store]) -> None:
    store = stores(path)
    store.add_epoch("aaaaaaaa", 1)
    with pytest.raises(StorageFailure, match="UNIQUE"):
        store.add_epoch("aaaaaaaa", 1)


def test_a_closed_store_can_be_closed_again_and_not_be_written(path: Path) -> None:
    store = Store(str(path))
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.write(Batch())

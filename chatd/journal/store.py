"""Store: the journal's SQLite database. Blocking; used from one thread at a time, and only through the journal.

WAL with `synchronous=FULL`, and one connection that locks the file against all others. Any problem with the file at the
start raises StorageFailure with the path and a remedy; an existing file is never overwritten.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chatd.failures import NO_SPACE, StorageFailure, StorageFull, startup_failure
from chatd.journal.batch import Batch, Entry, StreamIds
from chatd.journal.conditions import ANYTHING, Condition, select
from chatd.journal.files import JournalFiles
from chatd.journal.rawjson import HEAD
from chatd.journal.schema import NewerSchema, migrate

APPLICATION_ID = 0x63686174  # "chat", in the file header of SQLite
ROWS = 1024  # per INSERT, at most: half the cost of one INSERT per row, and fewer waits for Python's lock
QUICK_CHECK_BYTES = 64 << 20  # up to this size the whole file is checked at the start (about 1 s per GiB)
PAGE_BYTES = 1 << 20  # of bodies in one page
EXAMINED_ROWS = 16_384  # examined by one read with conditions: up to 10 ms
PAGE_SIZE = 8192  # less work for a full batch than 4096, and less to write for a single row than 16384
CHECKPOINT_PAGES = 2000
END_OF_TIME = (1 << 63) - 1  # ms
NOT_WRITABLE = "it cannot be written: check owner and mode of it and of its directory"

_ROW = "(?,?,?,?,?,?)"
_COLUMNS = "seq, at, type, direction, topic, body"
NO_BODY = "x''"
_RAISE_WATERMARK = (
    "INSERT INTO marks (node, epoch, seq) VALUES (?, ?, ?) "
    "ON CONFLICT (node, epoch) DO UPDATE SET seq = max(seq, excluded.seq)"
)
_FIRST = "SELECT seq, at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1"
# For 1, 2, 4, … rows: a statement for any other number would be compiled again nearly every time.
_INSERTS = {
    rows: f"INSERT INTO events ({_COLUMNS}) VALUES {','.join([_ROW] * rows)}"
    for rows in (1 << power for power in range(ROWS.bit_length()))
}


class DiskFull(Exception):
    """The disk is full or has become read-only: nothing was written, nothing is damaged."""


class Store:
    """The open database.

    Resource handling: holds one connection until `close`. Error handling: see each method; after a `sqlite3.Error` from
    `write` the outcome is unknown, and the store must not be written again.
    """

    def __init__(self, path: str, node: str = "") -> None:
        """Open or create, check and migrate. `node` is the owner's id, for migrations. Raises StorageFailure."""
        self.path = path
        self._node = node
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        except sqlite3.Error as error:
            raise _startup_failure(path, error) from None
        try:
            self._prepare()
            self.files = JournalFiles(*self._files())
        except NewerSchema as error:
            self._db.close()
            raise StorageFailure(f"{path} was written by a newer chatd ({error}): start that version") from None
        except sqlite3.Error as error:
            self._db.close()
            raise _startup_failure(path, error) from None
        except OSError as error:
            self._db.close()
            raise startup_failure(error, f"journal {path}: {error.strerror}") from None

    def _prepare(self) -> None:
        run = self._db.execute
        run("PRAGMA locking_mode = EXCLUSIVE")  # no shared memory file, and a second program cannot open it
        tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise sqlite3.NotSupportedError("it is a database of another program: move it away")
        run(f"PRAGMA page_size = {PAGE_SIZE}")  # of a new file; an existing one keeps its own
        if run("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise sqlite3.NotSupportedError("its file system cannot hold a write-ahead log: use a local disk")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        run("PRAGMA temp_store = MEMORY")
        if os.path.getsize(self.path) <= QUICK_CHECK_BYTES:
            verdict = run("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict.splitlines()[-1])
        if not tables:
            run(f"PRAGMA application_id = {APPLICATION_ID}")
        before = run("PRAGMA user_version").fetchone()[0]
        self.schema = migrate(self._db, self._node)
        if self.schema != before:  # the log contains the whole rewritten journal, and no later checkpoint shortens it
            run("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def query(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """All rows of a small query. Raises sqlite3.Error."""
        return self._db.execute(sql, params).fetchall()

    def last_seq(self) -> int:
        """The newest seq that was ever used; 0 in a new journal."""
        newest = self.query("SELECT coalesce(max(seq), 0) FROM events")[0][0]
        first = self.query("SELECT coalesce(max(first_seq), 1) FROM epochs")[0][0]
        floor = self.query("SELECT seq FROM floor")[0][0]  # the newest event may be deleted
        return int(max(newest, first - 1, floor))

    def add_epoch(self, epoch: str, first_seq: int) -> None:
        """Begin an epoch. Raises StorageFailure."""
        try:
            self._db.execute("INSERT INTO epochs (first_seq, epoch) VALUES (?, ?)", (first_seq, epoch))
        except sqlite3.Error as error:
            raise _startup_failure(self.path, error) from None

    def write(self, batch: Batch) -> None:
        """Commit a batch. Raises DiskFull (nothing was written) or sqlite3.Error (the outcome is unknown).

        If the files were removed or replaced it still succeeds, in the open files: see `files`.
        """
        self.files.check()
        with self.transaction() as run:
            self._insert(batch.entries)
            for sql, params in batch.statements:
                run(sql, params)
            for (node, epoch), seq in batch.watermarks.items():
                run(_RAISE_WATERMARK, (node, epoch, seq))

    @contextmanager
    def transaction(self) -> Iterator[Callable[[str, tuple[Any, ...]], object]]:
        """Commit what the block executes. Raises DiskFull (nothing was written) or sqlite3.Error (unknown outcome)."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db.execute
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if not self._is_full(error):
                raise
            self._free_log()
            raise DiskFull(str(error)) from None

    def _insert(self, entries: list[Entry]) -> None:
        start, left = 0, len(entries)
        while left:
            rows = min(1 << left.bit_length() - 1, ROWS)
            values: list[Any] = []
            for entry in entries[start : start + rows]:  # sqlite3 asks for adapters of bytes, but not of a bytearray
                values += (entry.seq, entry.at_ms, entry.type, entry.direction, entry.stream_id, bytearray(entry.raw))
            self._db.execute(_INSERTS[rows], values)
            start += rows
            left -= rows

    def _is_full(self, error: sqlite3.Error) -> bool:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
            return True
        return code == sqlite3.SQLITE_IOERR and _is_read_only(self.path)

    def _free_log(self) -> None:
        """Roll back what SQLite has not rolled back itself, and truncate the log, which may fill the disk."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            return  # the disk stays full; the next write retries

    def page(
        self, after: int, through: int, stream_id: StreamIds, limit: int, where: Condition = ANYTHING
    ) -> tuple[list[Entry], int]:
        """At most `limit` entries in (after, through], and the last seq examined. Raises sqlite3.Error.

        With conditions, at most EXAMINED_ROWS rows are examined: after an empty page more entries may follow.
        """
        end = self._last_to_examine(after, through, stream_id, where)
        entries: list[Entry] = []
        size = 0
        for row in self._db.execute(*select(_COLUMNS, after, end, stream_id, limit, where=where)):
            entries.append(Entry(*row))
            size += len(row[5])
            if size >= PAGE_BYTES:
                break
        whole = len(entries) < limit and size < PAGE_BYTES
        return entries, end if whole else entries[-1].seq

    def _last_to_examine(
        self, after: int, through: int, stream_id: StreamIds, where: Condition, *, back: bool = False
    ) -> int:
        """The last seq that a read of (after, through] may examine; with `back`, the seq before the first one."""
        if where == ANYTHING or (where.indexed_types and stream_id is None and where.before_ms is None):
            return after if back else through  # an index finds exactly the requested rows
        if not isinstance(stream_id, int):
            return max(after, through - EXAMINED_ROWS) if back else min(through, after + EXAMINED_ROWS)
        order = "DESC" if back else ""
        sql = f"SELECT seq FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq {order} LIMIT 1 OFFSET ?"
        last = self._db.execute(sql, (stream_id, after, through, EXAMINED_ROWS - 1)).fetchone()
        if last is None:
            return after if back else through
        return int(last[0]) - 1 if back else int(last[0])

    def entries(self, seqs: Sequence[int], *, heads: bool = False) -> list[Entry]:
        """The entries of those seqs that exist; with `heads`, only the heads of their bodies (journal/rawjson.py)."""
        columns = f"seq, at, type, direction, topic, {HEAD}" if heads else _COLUMNS
        sql = f"SELECT {columns} FROM events WHERE seq IN ({','.join('?' * len(seqs))})"
        return [Entry(*row) for row in self._db.execute(sql, seqs)]

    def page_back(
        self, after: int, before: int, stream_id: StreamIds, limit: int, *, heads: bool, where: Condition = ANYTHING
    ) -> tuple[list[Entry], int]:
        """At most `limit` entries between `after` and `before`, newest first, with the `heads` of bodies or without.

        The second value is the seq at which the search ended: all matching entries after it are in the result.
        """
        start = self._last_to_examine(after, before - 1, stream_id, where, back=True)
        columns = f"seq, at, type, direction, topic, {HEAD if heads else NO_BODY}"
        rows = self._db.execute(*select(columns, start, before - 1, stream_id, limit, "DESC", where))
        entries = [Entry(*row) for row in rows]
        return entries, start if len(entries) < limit else entries[-1].seq - 1

    def first_in(self, stream_id: int, after: int, through: int, rows: int) -> tuple[int | None, int, int]:
        """The oldest message received from a peer in (after, through], among the first `rows` rows.

        Returns its seq or None, the last seq examined, and the number of rows examined.
        """
        sql = "SELECT seq, direction FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        examined, seq = 0, after
        for seq, direction in self._db.execute(sql, (stream_id, after, through, rows)):
            examined += 1
            if direction == "in":
                return seq, seq, examined
        return None, seq if examined == rows else through, examined

    def first_at_or_after(self, at_ms: int, low: int, high: int, latest_ms: int = END_OF_TIME) -> int:
        """The first seq in (low, high] that is not older than `at_ms`; high + 1 if all are older. A binary search.

        An event later than `latest_ms` counts as older, because its clock was wrong.
        """
        while low < high:
            middle = (low + high + 1) // 2
            row = self._db.execute(_FIRST, (middle,)).fetchone()
            if row is None or at_ms <= row[1] <= latest_ms:
                high = middle - 1
            else:
                low = min(row[0], high)
        return low + 1

    def size(self) -> int:
        """Bytes on disk, including the write-ahead log."""
        return sum(map(_size, self._files()))

    def _files(self) -> Iterator[str]:
        yield self.path
        yield self.path + "-wal"

    def close(self) -> None:
        """Checkpoint and close. Never raises: committed data is safe in the log."""
        try:
            self._db.close()
        except sqlite3.Error:
            return


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError as error:
        return error.errno == errno.EROFS


def _is_out_of_space(path: str) -> bool:
    """Whether a new file in the same directory cannot be written because the disk is full.

    SQLite does not distinguish a quota from a broken disk, and does not report why it could not create a file.
    """
    from tempfile import TemporaryFile  # heavy, and needed only after an error

    try:
        with TemporaryFile(dir=os.path.dirname(path), buffering=0) as probe:
            probe.write(bytes(PAGE_SIZE))
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in NO_SPACE
    return False


def _io_hint(path: str, error: sqlite3.Error) -> str:
    """The remedy for an I/O error, which SQLite also reports when it cannot create a file beside a read-only one."""
    if _is_read_only(path):
        return "its file system is read-only: check how it is mounted"
    if not os.access(path, os.W_OK):
        return NOT_WRITABLE
    return f"it cannot be read or written ({error}): check the disk"


def _startup_failure(path: str, error: sqlite3.Error) -> StorageFailure:
    """The error for an operator who starts the node, with a remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_unclear = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    if code == sqlite3.SQLITE_FULL or (is_unclear and _is_out_of_space(path)):
        return StorageFull(f"journal {path}: the disk is full (make room, then start again)")
    hints: dict[int, Callable[[], str]] = {
        sqlite3.SQLITE_READONLY: lambda: NOT_WRITABLE,
        sqlite3.SQLITE_CANTOPEN: lambda: "it cannot be opened: check that its directory exists and can be written",
        sqlite3.SQLITE_BUSY: lambda: "another program has it open: stop that first",
        sqlite3.SQLITE_IOERR: lambda: _io_hint(path, error),
    }
    if isinstance(error, sqlite3.NotSupportedError):
        return StorageFailure(f"journal {path}: {error}")
    if code in hints:
        return StorageFailure(f"journal {path}: {hints[code]()}")
    return StorageFailure(
        f"journal {path} is damaged ({error}): restore a copy, or move it away to start with an empty one"
    )

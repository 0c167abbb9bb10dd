"""The journal's tables, as numbered migrations: an indexed list, applied in order, each in a transaction of its own.

`PRAGMA user_version` is the number of migrations a database has had. One from a newer chatd is refused.
"""

import sqlite3

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # One row a start: the epoch's range begins at first_seq and ends before the next one's.
        "CREATE TABLE epochs (first_seq INTEGER NOT NULL, epoch TEXT NOT NULL UNIQUE, ord INTEGER PRIMARY KEY)",
        # `body` is the event as JSON, as `tail` prints it; the other columns are what readers select by.
        # An index entry ends with its row's seq, so a topic is read in order.
        # `topic` is peers.id, or a number of the same sequence for a peer that has no row; never given out twice.
        """CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL,
                                direction TEXT, topic INTEGER, body BLOB NOT NULL)""",
        "CREATE INDEX events_by_topic ON events (topic) WHERE topic IS NOT NULL",
        # Native peers that are remembered. `acked` is our seq up to which the peer has acknowledged: final.
        """CREATE TABLE peers (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, node TEXT NOT NULL UNIQUE,
                               name TEXT NOT NULL, pinned INTEGER NOT NULL, address TEXT, trust TEXT)""",
        "CREATE TABLE acks (node TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
        # The high-water mark of every node and epoch that ever sent us something: for good, whatever is forgotten.
        """CREATE TABLE marks (ord INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, epoch TEXT NOT NULL,
                               seq INTEGER NOT NULL, UNIQUE (node, epoch))""",
    ),
)


class NewerSchema(Exception):
    """The database was written by a newer chatd."""


def migrate(db: sqlite3.Connection) -> int:
    """Bring the database to the newest schema; gives its number. Raises NewerSchema, sqlite3.Error."""
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    if have > len(MIGRATIONS):
        raise NewerSchema(f"schema {have}, this chatd knows {len(MIGRATIONS)}")
    for number, statements in enumerate(MIGRATIONS[have:], start=have + 1):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    return len(MIGRATIONS)

"""The journal's tables, as numbered migrations: an indexed list, applied in order, each in a transaction of its own.

A step is a statement, or a function that is given the database and the node id of the journal's owner.

`PRAGMA user_version` is the number of migrations a database has had. One from a newer chatd is refused.
"""

import sqlite3
from collections.abc import Callable

from chatd.journal.upgrade import name_messages_here

Step = str | Callable[[sqlite3.Connection, str], None]
MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    (
        # One row a start: the epoch's range begins at first_seq and ends before the next one's.
        "CREATE TABLE epochs (first_seq INTEGER NOT NULL, epoch TEXT NOT NULL UNIQUE, ord INTEGER PRIMARY KEY)",
        # `body` is the event as JSON, as `tail` prints it; the other columns are what readers select by.
        # An index entry ends with its row's seq, so a topic is read in order.
        # `topic` is peers.id, or a number of the same sequence for a room or a peer without a row: never given twice.
        """CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL,
                                direction TEXT, topic INTEGER, body BLOB NOT NULL)""",
        "CREATE INDEX events_by_topic ON events (topic) WHERE topic IS NOT NULL",
        # Native peers that are remembered. `acked` is our seq up to which the peer has acknowledged: final.
        """CREATE TABLE peers (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, node TEXT NOT NULL UNIQUE,
                               name TEXT NOT NULL, pinned INTEGER NOT NULL, address TEXT, trust TEXT,
                               terminated INTEGER NOT NULL)""",
        # Addresses that are redialed, with the peer that they stand for: its topic and slot also where it has no row.
        # `kind` is "native", "plain", or the dialect of a room server, which is entered as `nick`.
        """CREATE TABLE wishes (kind TEXT NOT NULL, address TEXT NOT NULL, topic INTEGER NOT NULL,
                                slot INTEGER NOT NULL, nick TEXT NOT NULL,
                                PRIMARY KEY (kind, address)) WITHOUT ROWID""",
        "CREATE TABLE acks (node TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
        # The high-water mark of every node and epoch that ever sent us something: for good, whatever is forgotten.
        """CREATE TABLE marks (ord INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, epoch TEXT NOT NULL,
                               seq INTEGER NOT NULL, UNIQUE (node, epoch))""",
        # What is owed to a native peer (its first seq, 0 for nothing; how many, and the bytes of their bodies), and up
        # to which seq something may have been written to a peer; -1: a link is open, so it may have been everything.
        """CREATE TABLE outboxes (topic INTEGER PRIMARY KEY, first INTEGER NOT NULL, messages INTEGER NOT NULL,
                                  bytes INTEGER NOT NULL, written INTEGER NOT NULL)""",
        # Messages that were given up: "cancelled", "expired", "rejected". Not final: the peer may have it, and its next
        # `Hello` decides.
        """CREATE TABLE outcomes (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, state TEXT NOT NULL,
                                  final INTEGER NOT NULL)""",
        "CREATE INDEX outcomes_open ON outcomes (topic) WHERE final = 0",
        # Messages that have a ttl, with the wall time (ms) of its end and the bytes of their body.
        """CREATE TABLE expiries (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, at INTEGER NOT NULL,
                                  bytes INTEGER NOT NULL)""",
        # `send --key`: a key lives as long as its message. `digest` is of the text.
        """CREATE TABLE keys (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, topic INTEGER NOT NULL,
                              digest BLOB NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX keys_by_seq ON keys (seq)",
        # Named consumers. `filter` is JSON as `subscribe` gave it, `topic` what its peer was resolved to, `seen` in ms.
        """CREATE TABLE consumers (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, filter TEXT NOT NULL, topic INTEGER,
                                   seen INTEGER NOT NULL) WITHOUT ROWID""",
        # Rooms: hosted here (host is empty), or joined, as `nick`, `since` that seq of the host's. `label` is how
        # events name it, `subject` its topic. One that is closed is kept as long as it is owed to somebody.
        """CREATE TABLE rooms (topic INTEGER PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL, label TEXT NOT NULL,
                              nick TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL, closed INTEGER NOT NULL DEFAULT 0,
                              since INTEGER NOT NULL DEFAULT 0)""",
        # Native members of hosted rooms: they are owed what lies in [since, until]; until 0: they are in it.
        """CREATE TABLE members (room INTEGER NOT NULL, node TEXT NOT NULL, nick TEXT NOT NULL, since INTEGER NOT NULL,
                                until INTEGER NOT NULL, PRIMARY KEY (room, node, since)) WITHOUT ROWID""",
        # Who may not be in a hosted room: `who` is a node id or an IP address, `nick` what it was called then.
        """CREATE TABLE bans (room INTEGER NOT NULL, who TEXT NOT NULL, nick TEXT NOT NULL,
                             PRIMARY KEY (room, who)) WITHOUT ROWID""",
        # For each peer that hosts: our seq up to which it has put everything we said in its rooms into its place.
        "CREATE TABLE echoes (topic INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        # One row: events up to and with this seq are gone, except what an outbox owes.
        "CREATE TABLE floor (seq INTEGER NOT NULL)",
        "INSERT INTO floor VALUES (0)",
    ),
    (name_messages_here,),
    (
        # `known`: dialed, accepted, named or configured here, or sent to by a local client. All others are strangers.
        "ALTER TABLE peers ADD COLUMN known INTEGER NOT NULL DEFAULT 0",
        """UPDATE peers SET known = 1 WHERE trust = 'accepted'
               OR EXISTS (SELECT 1 FROM wishes WHERE wishes.topic = peers.id)
               OR EXISTS (SELECT 1 FROM events
                          WHERE events.topic = peers.id AND direction = 'out' AND type = 'message')""",
    ),
    # Few events are no messages: who asks for them by type does not look at the others.
    ("CREATE INDEX events_by_type ON events (type) WHERE type <> 'message'",),
)


class NewerSchema(Exception):
    """The database was written by a newer chatd."""


def migrate(db: sqlite3.Connection, node: str) -> int:
    """Bring the database of that node to the newest schema; gives its number. Raises NewerSchema, sqlite3.Error."""
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    if have > len(MIGRATIONS):
        raise NewerSchema(f"schema {have}, this chatd knows {len(MIGRATIONS)}")
    for number, steps in enumerate(MIGRATIONS[have:], start=have + 1):
        db.execute("BEGIN IMMEDIATE")
        for step in steps:
            if isinstance(step, str):
                db.execute(step)
            else:
                step(db, node)
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    return len(MIGRATIONS)

"""The journal's tables, as numbered migrations that are applied in order, each in a transaction of its own.

A step is a statement, or a function that gets the database and the node id of the journal's owner. `PRAGMA
user_version` is the number of migrations that were applied. A database from a newer chatd is rejected.
"""

import sqlite3
from collections.abc import Callable

from chatd.journal.upgrade import name_messages_here

Step = str | Callable[[sqlite3.Connection, str], None]
MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    (
        # One row per start: the epoch begins at first_seq and ends before the next one's.
        "CREATE TABLE epochs (first_seq INTEGER NOT NULL, epoch TEXT NOT NULL UNIQUE, ord INTEGER PRIMARY KEY)",
        # `body` is the event as JSON, as `tail` prints it; readers select by the other columns.
        # An index entry ends with the seq of its row, so a stream is read in order.
        # `topic` is the stream id: peers.id, or a number of the same sequence for a room or a peer without a row. It
        # is never used twice.
        """CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL,
                                direction TEXT, topic INTEGER, body BLOB NOT NULL)""",
        "CREATE INDEX events_by_topic ON events (topic) WHERE topic IS NOT NULL",
        # Native peers that are remembered across restarts.
        """CREATE TABLE peers (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, node TEXT NOT NULL UNIQUE,
                               name TEXT NOT NULL, pinned INTEGER NOT NULL, address TEXT, trust TEXT,
                               terminated INTEGER NOT NULL)""",
        # Addresses that are redialed, with the stream id and slot of their peer, which may have no row.
        # `kind` is "native", "plain", or the dialect of a room server, which we join as `nick`.
        """CREATE TABLE wishes (kind TEXT NOT NULL, address TEXT NOT NULL, topic INTEGER NOT NULL,
                                slot INTEGER NOT NULL, nick TEXT NOT NULL,
                                PRIMARY KEY (kind, address)) WITHOUT ROWID""",
        # Our seq up to which a node has acknowledged everything: final.
        "CREATE TABLE acks (node TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
        # The watermark of every node and epoch that ever sent us something. Kept for good, also of forgotten peers.
        """CREATE TABLE marks (ord INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, epoch TEXT NOT NULL,
                               seq INTEGER NOT NULL, UNIQUE (node, epoch))""",
        # The outbox of a native peer: its first seq (0 if it is empty), the number of messages and the bytes of their
        # bodies. `written`: up to this seq something may have been written to the peer; -1: a link is open, so it may
        # have been everything.
        """CREATE TABLE outboxes (topic INTEGER PRIMARY KEY, first INTEGER NOT NULL, messages INTEGER NOT NULL,
                                  bytes INTEGER NOT NULL, written INTEGER NOT NULL)""",
        # Messages that were given up: "cancelled", "expired", "rejected". Not final: the peer may have it, and its next
        # `Hello` frame decides.
        """CREATE TABLE outcomes (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, state TEXT NOT NULL,
                                  final INTEGER NOT NULL)""",
        "CREATE INDEX outcomes_open ON outcomes (topic) WHERE final = 0",
        # Messages with a ttl: the wall time (ms) at which it ends, and the bytes of their body.
        """CREATE TABLE expiries (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, at INTEGER NOT NULL,
                                  bytes INTEGER NOT NULL)""",
        # Idempotency keys (`send --key`), kept as long as the message. `digest` is that of the text.
        """CREATE TABLE keys (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, topic INTEGER NOT NULL,
                              digest BLOB NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX keys_by_seq ON keys (seq)",
        # Consumers. `filter` is JSON as given to `subscribe`, `topic` the stream id of its peer or room, `seen` in ms.
        """CREATE TABLE consumers (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, filter TEXT NOT NULL, topic INTEGER,
                                   seen INTEGER NOT NULL) WITHOUT ROWID""",
        # Rooms: hosted (host is empty), or joined as `nick` at the seq `since` of the host's journal. `label` is the
        # name in events, `subject` the topic. A closed room is kept while some outbox contains events of it.
        """CREATE TABLE rooms (topic INTEGER PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL, label TEXT NOT NULL,
                              nick TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL, closed INTEGER NOT NULL DEFAULT 0,
                              since INTEGER NOT NULL DEFAULT 0)""",
        # Native members of hosted rooms: they get the events in [since, until]; until 0: they are still members.
        """CREATE TABLE members (room INTEGER NOT NULL, node TEXT NOT NULL, nick TEXT NOT NULL, since INTEGER NOT NULL,
                                until INTEGER NOT NULL, PRIMARY KEY (room, node, since)) WITHOUT ROWID""",
        # Bans of hosted rooms: `who` is a node id or an IP address, `nick` its nick when it was banned.
        """CREATE TABLE bans (room INTEGER NOT NULL, who TEXT NOT NULL, nick TEXT NOT NULL,
                             PRIMARY KEY (room, who)) WITHOUT ROWID""",
        # For each peer that hosts rooms: our seq up to which it has placed or rejected all our messages in them.
        "CREATE TABLE echoes (topic INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        # One row: events up to and including this seq are deleted, except undelivered ones.
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
    # Most events are messages: a reader that asks for other types does not read these.
    ("CREATE INDEX events_by_type ON events (type) WHERE type <> 'message'",),
)


class NewerSchema(Exception):
    """The database was written by a newer chatd."""


def migrate(db: sqlite3.Connection, node: str) -> int:
    """Bring the database of that node to the newest schema and return its number. Raises NewerSchema, sqlite3.Error."""
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

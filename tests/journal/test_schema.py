import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chatd.failures import StorageFailure
from chatd.journal import schema
from chatd.journal.schema import MIGRATIONS
from chatd.journal.store import Store


def test_every_migration_is_applied_once_and_in_order(
    path: Path, stores: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores(path).close()
    more = (*MIGRATIONS, ("CREATE TABLE one (n)", "INSERT INTO one VALUES (1)"), ("INSERT INTO one VALUES (2)",))
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    for _ in range(2):
        store = stores(path)
        assert store.schema == len(more)
        assert store.query("PRAGMA user_version") == [(len(more),)]
        assert store.query("SELECT n FROM one") == [(1,), (2,)]
        store.close()


def test_peers_of_an_older_journal_are_known_if_they_were_dealt_with_here(
    path: Path, stores: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = next(number for number, steps in enumerate(MIGRATIONS) if "ADD COLUMN known" in str(steps))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", MIGRATIONS[:place])
        stores(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        for number, trust in enumerate((None, "accepted", "denied", None, None)):
            values = (number, number, f"node{number}", f"name{number}", trust)
            db.execute("INSERT INTO peers VALUES (?, ?, ?, ?, 1, NULL, ?, 0)", values)
        db.execute("INSERT INTO wishes VALUES ('native', 'x:1', 3, 3, '')")
        event = "INSERT INTO events (at, type, direction, topic, body) VALUES (0, ?, ?, ?, '')"
        db.executemany(event, [("message", "in", 0), ("peer.up", None, 0), ("message", "out", 4)])
    store = stores(path)
    assert store.query("SELECT id FROM peers WHERE known ORDER BY id") == [(1,), (3,), (4,)]


def test_a_migration_that_fails_changes_nothing(
    path: Path, stores: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores(path).close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE one (n)", "this is no SQL")))
        with pytest.raises(StorageFailure, match="journal"):
            Store(str(path))
    store = stores(path)
    assert store.schema == len(MIGRATIONS)
    assert store.query("SELECT name FROM sqlite_master WHERE name = 'one'") == []

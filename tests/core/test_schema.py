from collections.abc import Callable
from pathlib import Path

import pytest

from chatd.core import schema
from chatd.core.failures import StorageFailure
from chatd.core.schema import MIGRATIONS
from chatd.core.store import Store


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

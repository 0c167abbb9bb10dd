"""The work that SQLite does for a store, counted: what a promise about cost can be tested by on any machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from chatd.journal.store import Store


@contextmanager
def counting_work(store: Store) -> Iterator[list[None]]:
    """One item per hundred instructions of SQLite's virtual machine; to examine a row takes several."""
    done: list[None] = []
    store._db.set_progress_handler(lambda: done.append(None), 100)  # it has no public part that counts
    try:
        yield done
    finally:
        store._db.set_progress_handler(None, 100)

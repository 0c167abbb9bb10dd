"""What every integration test ends with, one function a promise. Each raises AssertionError with what is left."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing

import trio

from chatd.api.results import PeerRecord

EXIT_S = 5.0


class Records(logging.Handler):
    """Everything that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self.records.append(record)


def no_traceback(records: Iterable[logging.LogRecord]) -> None:
    """Nobody logged an error or an exception."""
    bad = [record.getMessage() for record in records if record.exc_info or record.levelno >= logging.ERROR]
    assert not bad, f"logged: {bad}"


def no_socket(path: str) -> None:
    """The control socket's file is gone."""
    assert not os.path.lexists(path), f"{path} is still there"


def no_open_peer(records: Iterable[PeerRecord]) -> None:
    """`list` shows nobody as connected."""
    up = [f"{record.name} ({record.address})" for record in records if record.state == "up"]
    assert not up, f"still up: {up}"


def no_task() -> None:
    """No task of chatd is alive."""
    left = sorted(task.name for task in _tasks(trio.lowlevel.current_root_task()) if task.name.startswith("chatd."))
    assert not left, f"tasks are left: {left}"


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks(child)


def unlocked(path: str) -> None:
    """The state directory may be used by the next daemon."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AssertionError(f"{path} is still locked") from None
    finally:
        os.close(descriptor)


def sound_database(path: str) -> None:
    """The journal passes SQLite's own check."""
    with closing(sqlite3.connect(path)) as database:
        try:
            verdict = [row[0] for row in database.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            verdict = [str(error)]
    assert verdict == ["ok"], f"{path}: {verdict}"


def told_its_end(path: str, *, whole: bool = True) -> None:
    """The last event of the journal is `daemon.stop`, and every peer that came up in the run went down in it.

    Without `whole` events in between may be missing: the disk was full.
    """
    up: set[int] = set()
    last = ""
    with closing(sqlite3.connect(path)) as database:
        for last, topic in database.execute("SELECT type, topic FROM events ORDER BY seq"):
            if last == "daemon.start":
                up.clear()
            elif last == "peer.up":
                assert topic not in up or not whole, f"peer.up twice (topic {topic})"
                up.add(topic)
            elif last == "peer.down":
                assert topic in up or not whole, f"peer.down without peer.up (topic {topic})"
                up.discard(topic)
    assert last == "daemon.stop", f"the last event is {last!r}"
    assert not up, f"no peer.down of topics {sorted(up)}"

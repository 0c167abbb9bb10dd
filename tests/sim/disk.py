"""The disk of one machine: state directories on a file system in memory, and what a crash, a thief or a backup leaves.

A generation is one directory. What is left after a crash becomes the next one, so that a daemon that is still being
cleared away writes where nobody looks. Full disks are those of `SimRuntime`, which asks `full`.
"""

import os

from chatd.journal.batch import Batch, Entry
from chatd.node import JOURNAL_FILE
from chatd.sync import Broadcast

FILES = (JOURNAL_FILE, JOURNAL_FILE + "-wal")
FULL_SYNC = 2  # `PRAGMA synchronous`: a commit is on the disk when it returns


class Disk:
    """Where one machine keeps its state."""

    def __init__(self, root: str, name: str) -> None:
        self.full = False
        self.stalled = False
        self.moved = Broadcast()  # it goes on
        self.slowest = 0.0  # seconds for one piece of work, at most; twice that for a commit
        self._root, self._name = root, name
        self._generation = 0
        self._copy: tuple[dict[str, bytes], dict[int, Entry]] | None = None
        self.written: dict[int, Entry] = {}  # every event that was ever committed to this journal, by seq
        os.mkdir(self.directory)

    @property
    def directory(self) -> str:
        """The state directory of today. Its base name begins with the machine's name and a dot."""
        return os.path.join(self._root, f"{self._name}.{self._generation}")

    @property
    def journal(self) -> str:
        """The path of the journal."""
        return os.path.join(self.directory, JOURNAL_FILE)

    def _read(self) -> dict[str, bytes]:
        content = {}
        for name in FILES:
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                with open(path, "rb") as file:
                    content[name] = file.read()
        return content

    def _begin(self, content: dict[str, bytes]) -> None:
        self._generation += 1
        os.mkdir(self.directory)
        for name, data in content.items():
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(data)

    def stall(self, stalled: bool) -> None:
        """Do nothing from now on, or go on."""
        self.stalled = stalled
        self.moved.notify()

    def remember(self, batch: Batch) -> None:
        """That was just committed: what retention deletes later is known here."""
        self.written |= {entry.seq: entry for entry in batch.entries}

    def kill(self) -> None:
        """The process is gone; the files are as they are."""
        self._begin(self._read())

    def power_cut(self, synchronous: int) -> None:
        """What was not synced is gone: without FULL, all since the last checkpoint."""
        content = self._read()
        if synchronous < FULL_SYNC:
            content.pop(FILES[1], None)
        self._begin(content)

    def wipe(self) -> None:
        """An empty disk. No daemon runs on it."""
        self.written = {}
        self._begin({})

    def make_copy(self) -> None:
        """A backup, also of a running daemon."""
        self._copy = self._read(), dict(self.written)

    def put_copy_back(self) -> None:
        """The backup takes the place of what was there. No daemon runs on it."""
        content, self.written = self._copy or ({}, {})
        self._begin(content)

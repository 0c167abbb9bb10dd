"""JournalFiles: whether the files that a journal has open are still the ones at their paths.

Compares device and inode by `stat` alone: opening and closing a live SQLite file anywhere in the process drops its
lock. Blocking, and used from one thread at a time, like the store that owns it. Knows no SQL and decides nothing: the
journal rejects new events, and maintenance.py stops the node.
"""

import logging
import os
import time
from collections.abc import Callable

CHECK_S = 1.0  # between two checks, however often `check` is called
MISSES = 3  # consecutive. A restore or a slow network mount may hide a file for a moment
WARN_S = 60.0  # between two warnings about a path that cannot be checked
log = logging.getLogger("chatd.journal")

Inode = tuple[int, int]


class JournalFiles:
    """Open files of one journal. `lost`: one of them was not at its path in MISSES consecutive checks."""

    def __init__(self, *paths: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Record device and inode of each file, right after it was opened. Raises OSError."""
        self.lost = False
        self._clock = clock
        self._opened = {path: inode(path) for path in paths}
        self._checked_at = clock()
        self._misses = 0
        self._warn_at = self._checked_at

    @property
    def is_in_doubt(self) -> bool:
        """Whether the latest check found a file missing: then check again soon."""
        return self._misses > 0

    def check(self) -> bool:
        """Check the files, unless that was just done; returns `lost`. A file that is back is no longer lost."""
        now = self._clock()
        if now >= self._checked_at + CHECK_S:
            self._checked_at = now
            self._compare(now)
        return self.lost

    def _compare(self, now: float) -> None:
        try:
            gone = [path for path, opened in self._opened.items() if opened is None or inode(path) != opened]
        except OSError as error:
            self._report_error(error, now)
            return
        self._misses = min(self._misses + 1, MISSES) if gone else 0
        if self.lost != (self._misses == MISSES):
            self.lost = not self.lost
            if self.lost:
                log.warning("journal file removed or replaced while this node runs: %(path)s", {"path": gone[0]})
            else:
                log.warning("journal file is back: %(path)s", {"path": next(iter(self._opened))})

    def _report_error(self, error: OSError, now: float) -> None:
        """Log that a file cannot be checked. It counts neither as present nor as missing."""
        if not self.lost:
            self._misses = 0
        if now >= self._warn_at:
            self._warn_at = now + WARN_S
            fields = {"path": error.filename, "reason": error.strerror}
            log.warning("journal file cannot be checked: %(path)s: %(reason)s (logged once a minute)", fields)


def inode(path: str) -> Inode | None:
    """Device and inode number of the file at a path; None if there is none. Raises OSError if that is unknown."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino

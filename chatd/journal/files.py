"""Location: whether the files that a journal has open are still the ones at their paths.

Compares device and inode by `stat` alone: opening and closing a live SQLite file anywhere in the process drops its
lock. Blocking, and used from one thread at a time, like the store that owns it. Knows no SQL and decides nothing:
the journal refuses and `upkeep` stops the node.
"""

import logging
import os
import time
from collections.abc import Callable

LOOK_S = 1.0  # between two looks, however often it is asked to
MISSES = 3  # in a row. A restore or a slow network mount may hide a file for a moment
WARN_S = 60.0  # between two warnings of a path that cannot be looked at
log = logging.getLogger("chatd.journal")

Inode = tuple[int, int]


class JournalFiles:
    """Of some files, which are open. `lost`: at least one of them was not at its path in MISSES looks in a row."""

    def __init__(self, *paths: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Note which files these are, right after they were opened. Raises OSError."""
        self.lost = False
        self._clock = clock
        self._opened = {path: inode(path) for path in paths}
        self._looked = clock()
        self._missed = 0
        self._warn_at = self._looked

    @property
    def is_in_doubt(self) -> bool:
        """Whether the newest look found a file missing: then it is to be looked again soon."""
        return self._missed > 0

    def check(self) -> bool:
        """Look, unless that was just done; gives `lost`. Files that are back at their paths are as if never gone."""
        now = self._clock()
        if now >= self._looked + LOOK_S:
            self._looked = now
            self._compare(now)
        return self.lost

    def _compare(self, now: float) -> None:
        try:
            gone = [path for path, opened in self._opened.items() if opened is None or inode(path) != opened]
        except OSError as error:
            self._doubt(error, now)
            return
        self._missed = min(self._missed + 1, MISSES) if gone else 0
        if self.lost != (self._missed == MISSES):
            self.lost = not self.lost
            if self.lost:
                log.warning("%s was removed or replaced while this node runs", gone[0])
            else:
                log.warning("%s is back in its place", next(iter(self._opened)))

    def _doubt(self, error: OSError, now: float) -> None:
        """It may be there, and may not be."""
        if not self.lost:
            self._missed = 0
        if now >= self._warn_at:
            self._warn_at = now + WARN_S
            log.warning("%s cannot be looked at: %s", error.filename, error.strerror)


def inode(path: str) -> Inode | None:
    """Device and number of what is at a path; None where nothing is. Raises OSError where that cannot be told."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino

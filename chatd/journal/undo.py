"""Undo: changes of state that were made when they were appended, and are taken back where their commit fails."""

from collections import deque
from collections.abc import Callable

from chatd.journal.batch import Batch


class Undo:
    """What one owner of state has changed and is perhaps not committed, in order."""

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: deque[tuple[Batch, Callable[[], object]]] = deque()

    def add(self, batch: Batch, undo: Callable[[], object]) -> Batch:
        """Something was changed that goes with that batch; gives the batch."""
        while self._changes and self._changes[0][0].done:
            self._changes.popleft()
        self._changes.append((batch, undo))
        batch.if_failed(self, self._revert)
        return batch

    def _revert(self) -> None:
        """A commit has failed, and with it every later one: undo them, newest first."""
        while self._changes:
            batch, undo = self._changes.pop()
            if batch.done and batch.error is None:
                return
            undo()

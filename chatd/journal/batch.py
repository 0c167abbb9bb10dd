"""Entry, one event as the journal stores it; and Batch, the contents of one transaction.

A batch is also the ticket for all tasks that wait for its commit, and owns the undo of every change of state that
depends on the commit. The journal alone fills and settles batches; callers of `Journal.append` get them.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import AnyEvent
from chatd.sync import Waker

Statement = tuple[str, tuple[Any, ...]]
StreamIds = int | tuple[int, ...] | None  # streams to read: one, several (merged in seq order), or None for all events
ENTRY_COST = 600  # bytes of memory for an entry and its event besides the JSON, approximately


class Entry(msgspec.Struct, gc=False):
    """One event: the columns to select by, and `raw`, the JSON that subscribers get (journal/rawjson.py)."""

    seq: int
    at_ms: int
    type: str
    direction: str | None
    stream_id: int | None
    raw: bytes
    known: AnyEvent | None = None  # the event, if it has been in memory since it was appended

    @property
    def event(self) -> AnyEvent:
        """The event. One from disk is decoded at each access: with many entries, select by the columns first."""
        return self.known or _decoder.decode(self.raw)


_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def stream_ids_of(stream_id: StreamIds) -> tuple[int | None, ...]:
    """The stream ids as a tuple; None (all events) becomes (None,)."""
    return stream_id if isinstance(stream_id, tuple) else (stream_id,)


class Batch:
    """The entries and changes of one transaction, and the ticket for all tasks that wait for its commit.

    When `done` is true and `error` is None, the batch is on disk. All its messages share one object: a ticket for each
    message would cost more than the message.
    """

    __slots__ = (
        *("_event", "_undo", "_wakers", "done", "entries", "error"),
        *("notes", "size", "started_at", "statements", "watermarks"),
    )

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.started_at = 0.0  # wall time of its first entry
        self.watermarks: dict[tuple[str, str], int] = {}  # by node and epoch
        self.statements: list[Statement] = []
        self.notes: dict[object, Callable[[], Statement]] = {}  # called for the current values when the commit begins
        self.size = 0  # bytes, approximately
        self.done = False
        self.error: ControlError | None = None
        self._event: trio.Event | None = None
        self._wakers: set[Waker] = set()
        self._undo: dict[object, Callable[[], object]] = {}  # by key, oldest first

    def __bool__(self) -> bool:
        """Whether the batch is worth a commit; notes alone wait for the next one."""
        return bool(self.entries or self.watermarks or self.statements)

    async def wait(self) -> None:
        """Wait for the commit. Raises ControlError: storage_full, or outcome_unknown."""
        if not self.done:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        if self.error is not None:
            raise self.error.again()

    def wake_when_done(self, waker: Waker) -> None:
        """Wake `waker` at the commit or its failure; at once if the batch is done."""
        if self.done:
            waker.wake()
        else:
            self._wakers.add(waker)

    def if_failed(self, key: object, undo: Callable[[], object]) -> bool:
        """Register `undo`, which reverts a change of state if this batch fails. There is no other undo mechanism.

        A failed batch calls every `undo`, newest first, before any task that waits for it runs. The journal fails the
        batches after it too, the newest batch first. So changes are undone in reverse order, and each `undo` finds the
        state that its change had left.

        Of several changes with the same `key` only the first is registered: its `undo` has to restore the state from
        before this batch. With the key None each change is registered. Returns whether `undo` was registered. A batch
        that has failed already calls it at once; a committed one never does.
        """
        if self.error is not None:
            undo()
            return False
        if self.done or key in self._undo:
            return False
        self._undo[undo if key is None else key] = undo
        return True

    def settle(self, error: ControlError | None) -> None:
        """Finish the batch; called by the journal, once.

        A peer keeps a reference to its last batch, so the contents are released here.
        """
        self.done = True
        self.error = error
        self.entries, self.watermarks, self.statements, self.notes = [], {}, [], {}
        if error is not None:
            for undo in reversed(self._undo.values()):
                undo()
        self._undo.clear()
        for waker in self._wakers:
            waker.wake()
        self._wakers.clear()
        if self._event is not None:
            self._event.set()

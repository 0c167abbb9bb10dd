"""Batch: what goes into one transaction of the journal, and the ticket of everybody who waits for it."""

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import AnyEvent
from chatd.runtime import Waker

Statement = tuple[str, tuple[Any, ...]]
StreamIds = int | tuple[int, ...] | None  # what is read: one topic, several together in the order of their seqs, or all
ENTRY_COST = 600  # bytes that an entry and its event take beside its JSON, about


class Entry(msgspec.Struct, gc=False):
    """One event as the journal holds it: columns to select by, and the JSON that subscribers get."""

    seq: int
    at_ms: int
    type: str
    direction: str | None
    stream_id: int | None
    raw: bytes
    known: AnyEvent | None = None  # while it is in memory since it was appended

    @property
    def event(self) -> AnyEvent:
        """The event, decoded if it comes from disk. Select by the columns instead where many are read."""
        return self.known or _decoder.decode(self.raw)


_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def stream_ids_of(stream_id: StreamIds) -> tuple[int | None, ...]:
    """Each of them; None for all stands for itself."""
    return stream_id if isinstance(stream_id, tuple) else (stream_id,)


class Batch:
    """Everything that was appended between two commits. `done` with `error` None: it is on disk.

    One object serves all its messages: a ticket for each would cost more than the message.
    """

    __slots__ = (
        *("_event", "_undo", "_wakers", "began", "done", "entries"),
        *("error", "marks", "notes", "size", "statements"),
    )

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.began = 0.0  # wall time of its first entry
        self.marks: dict[tuple[str, str], int] = {}
        self.statements: list[Statement] = []
        self.notes: dict[object, Callable[[], Statement]] = {}  # values of the moment, asked for when the commit begins
        self.size = 0  # bytes, roughly
        self.done = False
        self.error: ControlError | None = None
        self._event: trio.Event | None = None
        self._wakers: set[Waker] = set()
        self._undo: dict[object, Callable[[], object]] = {}  # by key, oldest first

    def __bool__(self) -> bool:
        """Whether it is worth a commit; notes alone wait for the next one."""
        return bool(self.entries or self.marks or self.statements)

    async def wait(self) -> None:
        """Wait for the commit. Raises ControlError: storage_full, or outcome_unknown."""
        if not self.done:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        if self.error is not None:
            raise self.error.again()

    def when_done(self, waker: Waker) -> None:
        """Wake it once, at the commit or its failure; at once if that was before."""
        if self.done:
            waker.wake()
        else:
            self._wakers.add(waker)

    def if_failed(self, key: object, undo: Callable[[], object]) -> bool:
        """Take back a change of state if this batch fails: the only mechanism for changes that depend on a commit.

        A failed batch calls what was registered, newest first, before any task that waits for it runs. The journal
        fails the batches after it too, the newest batch first. So every change is undone in reverse order, and each
        `undo` finds the state that its change had left.

        Of several changes with the same `key` only the first is registered: its `undo` has to restore the state from
        before this batch. With the key None each change is registered. Returns whether `undo` was registered. A batch
        that has failed already calls it at once; one that is committed never does.
        """
        if self.error is not None:
            undo()
            return False
        if self.done or key in self._undo:
            return False
        self._undo[undo if key is None else key] = undo
        return True

    def settle(self, error: ControlError | None) -> None:
        """Called by the journal, once. Peers keep their last batch for as long as they live: it lets go of the rest."""
        self.done = True
        self.error = error
        self.entries, self.marks, self.statements, self.notes = [], {}, [], {}
        if error is not None:
            for undo in reversed(self._undo.values()):
                undo()
        self._undo.clear()
        for waker in self._wakers:
            waker.wake()
        self._wakers.clear()
        if self._event is not None:
            self._event.set()

"""Answers: what a session has to tell its client, in the order in which it may be told. No I/O.

What waits for the journal keeps the order of its requests; what open requests had to say goes before that as soon as
it is there. Bytes count as unsent from when the client could have them: what waits for a commit is bounded by the
journal's room.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from chatd.control import jsonrpc
from chatd.control.jsonrpc import RpcReply
from chatd.journal.batch import Batch
from chatd.runtime import Waker

REPLY_COST = 320  # bytes of an answer that waits for a batch, about; it is encoded only when it is written


class Responses:
    """One or more that leave together, and the batch that they wait for."""

    __slots__ = ("announces", "batch", "lines", "size")

    def __init__(self, batch: Batch | None) -> None:
        self.batch = batch
        self.lines: list[RpcReply | msgspec.Raw] = []
        self.size = 0  # bytes; for those that are encoded when they are written, about
        self.announces: int | None = None  # the subscription whose number is told

    @property
    def is_due(self) -> bool:
        """They wait for the client only."""
        return self.batch is None or self.batch.done

    def add(self, replies: Sequence[RpcReply]) -> None:
        """More that wait for the same batch."""
        self.lines += replies
        self.size += REPLY_COST * len(replies)

    def outcome(self) -> list[RpcReply | msgspec.Raw]:
        """What they are, now that the batch is done."""
        if self.batch is None or self.batch.error is None:
            return self.lines
        return [jsonrpc.error_line(reply.id, self.batch.error) for reply in self.lines if isinstance(reply, RpcReply)]


class ResponseQueue:
    """All of one session. Its writer's waker is woken by whatever may be written."""

    __slots__ = ("_loose", "_ordered", "_undue", "_unsent", "_waker")

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._ordered: deque[Responses] = deque()
        self._loose: deque[Responses] = deque()
        self._undue: deque[Responses] = deque()  # those in `_ordered` whose batch is not known to be done
        self._unsent = 0

    def __bool__(self) -> bool:
        return bool(self._ordered or self._loose)

    def add_after(self, batch: Batch, replies: Sequence[RpcReply]) -> None:
        """Once the batch is committed. Neighbours wait together."""
        queue = self._ordered
        if not queue or queue[-1].batch is not batch:
            queue.append(Responses(batch))
            self._undue.append(queue[-1])
            batch.wake_when_done(self._waker)
        queue[-1].add(replies)

    def add(self, line: msgspec.Raw, *, loose: bool, announces: int | None = None) -> None:
        """A line in its place in the order, or `loose`: as soon as it can be written."""
        answers = Responses(None)
        answers.lines.append(line)
        answers.size = len(bytes(line))
        answers.announces = announces
        (self._loose if loose else self._ordered).append(answers)
        self._unsent += answers.size
        self._waker.wake()

    @property
    def unsent(self) -> int:
        """Bytes that are the client's to take."""
        while self._undue and self._undue[0].is_due:
            self._unsent += self._undue.popleft().size
        return self._unsent

    def take(self, most: int) -> list[Responses]:
        """What may be written now, about `most` bytes of it. It counts as unsent until `written`."""
        taken: list[Responses] = []
        size = 0
        for queue in (self._loose, self._ordered):
            while queue and size < most and queue[0].is_due:
                taken.append(queue.popleft())
                size += taken[-1].size
        return taken

    def written(self, taken: Sequence[Responses]) -> None:
        """The client has taken them."""
        self._unsent = self.unsent - sum(answers.size for answers in taken)

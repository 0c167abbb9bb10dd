"""ResponseQueue: the responses of a session, in the order in which they may be written. No I/O.

A response that waits for a commit keeps the order of its request; the response of an open request goes before those as
soon as it is there. Bytes count as unsent from the moment at which the client could have them: the pending bytes of the
journal bound what waits for a commit.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from chatd.control import jsonrpc
from chatd.control.jsonrpc import RpcReply
from chatd.journal.batch import Batch
from chatd.sync import Waker

REPLY_COST = 320  # bytes of a response that waits for a batch, approximately; it is encoded when it is written


class Responses:
    """One or more responses that are written together, and the batch that they wait for."""

    __slots__ = ("batch", "lines", "size", "subscription")

    def __init__(self, batch: Batch | None) -> None:
        self.batch = batch
        self.lines: list[RpcReply | msgspec.Raw] = []
        self.size = 0  # bytes; approximately, for those that are encoded when they are written
        self.subscription: int | None = None  # the subscription whose number the response contains

    @property
    def is_due(self) -> bool:
        """Whether they wait for the client only."""
        return self.batch is None or self.batch.done

    def add(self, replies: Sequence[RpcReply]) -> None:
        self.lines += replies
        self.size += REPLY_COST * len(replies)

    def final_lines(self) -> list[RpcReply | msgspec.Raw]:
        """The lines to write, once the batch is done: errors if it has failed."""
        if self.batch is None or self.batch.error is None:
            return self.lines
        return [jsonrpc.error_line(reply.id, self.batch.error) for reply in self.lines if isinstance(reply, RpcReply)]


class ResponseQueue:
    """All responses of one session. Whatever may be written wakes the waker of its writer."""

    __slots__ = ("_immediate", "_ordered", "_undue", "_unsent", "_waker")

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._ordered: deque[Responses] = deque()
        self._immediate: deque[Responses] = deque()
        self._undue: deque[Responses] = deque()  # those in `_ordered` whose batch was not done when last examined
        self._unsent = 0

    def __bool__(self) -> bool:
        return bool(self._ordered or self._immediate)

    def add_after(self, batch: Batch, replies: Sequence[RpcReply]) -> None:
        """Add replies that are due once the batch is committed. Consecutive ones with the same batch wait together."""
        queue = self._ordered
        if not queue or queue[-1].batch is not batch:
            queue.append(Responses(batch))
            self._undue.append(queue[-1])
            batch.wake_when_done(self._waker)
        queue[-1].add(replies)

    def add(self, line: msgspec.Raw, *, out_of_order: bool, subscription: int | None = None) -> None:
        """Add a line after all others, or `out_of_order`: it is written before those that wait for a commit."""
        responses = Responses(None)
        responses.lines.append(line)
        responses.size = len(bytes(line))
        responses.subscription = subscription
        (self._immediate if out_of_order else self._ordered).append(responses)
        self._unsent += responses.size
        self._waker.wake()

    @property
    def unsent(self) -> int:
        """Bytes that are due and not written."""
        while self._undue and self._undue[0].is_due:
            self._unsent += self._undue.popleft().size
        return self._unsent

    def pop_due(self, most: int) -> list[Responses]:
        """Remove and return what is due, about `most` bytes of it. It counts as unsent until `mark_written`."""
        due: list[Responses] = []
        size = 0
        for queue in (self._immediate, self._ordered):
            while queue and size < most and queue[0].is_due:
                due.append(queue.popleft())
                size += due[-1].size
        return due

    def mark_written(self, due: Sequence[Responses]) -> None:
        self._unsent = self.unsent - sum(responses.size for responses in due)

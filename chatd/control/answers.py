"""Answers: one or more that leave together, and the batch of the journal that they wait for."""

from collections.abc import Sequence

import msgspec

from chatd.control import jsonrpc
from chatd.control.jsonrpc import Reply
from chatd.core.batch import Batch

REPLY_COST = 320  # bytes of an answer that waits for a batch, about; it is encoded only when it is written


class Answers:
    """In a queue of a session."""

    __slots__ = ("announces", "batch", "lines", "size")

    def __init__(self, batch: Batch | None) -> None:
        self.batch = batch
        self.lines: list[Reply | msgspec.Raw] = []
        self.size = 0  # bytes; for those that are encoded when they are written, about
        self.announces: int | None = None  # the subscription whose number is told

    @property
    def is_due(self) -> bool:
        """They wait for the client only."""
        return self.batch is None or self.batch.done

    def add(self, replies: Sequence[Reply]) -> None:
        """More that wait for the same batch."""
        self.lines += replies
        self.size += REPLY_COST * len(replies)

    def outcome(self) -> list[Reply | msgspec.Raw]:
        """What they are, now that the batch is done."""
        if self.batch is None or self.batch.error is None:
            return self.lines
        return [jsonrpc.error_line(reply.id, self.batch.error) for reply in self.lines if isinstance(reply, Reply)]

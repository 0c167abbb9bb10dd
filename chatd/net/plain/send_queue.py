"""SendQueue: messages that a plain link has accepted and not written yet.

Plain peers acknowledge nothing, so this queue exists only in memory and ends with the link. Knows no sockets. Owned by
`net/plain/link.py`.
"""

from collections import deque
from collections.abc import Iterator

from chatd.config.settings import Config
from chatd.journal.batch import Batch


class SendQueue:
    """FIFO of (seq, text, batch); a message may be written once its batch is committed."""

    __slots__ = ("_bytes", "_config", "_messages")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._messages: deque[tuple[int, str, Batch]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[tuple[int, str, Batch]]:
        return iter(self._messages)

    @property
    def full(self) -> bool:
        return len(self) >= self._config.plain_queue or self._bytes >= self._config.plain_buffer_bytes

    @property
    def head(self) -> Batch:
        """Batch of the oldest message. The queue must not be empty."""
        return self._messages[0][2]

    def append(self, seq: int, text: str, batch: Batch) -> None:
        self._messages.append((seq, text, batch))
        self._bytes += len(text.encode())

    def pop(self) -> int:
        """Remove the oldest message; return its seq."""
        seq, text, _ = self._messages.popleft()
        self._bytes -= len(text.encode())
        return seq

    def count_unsent(self) -> int:
        """Number of messages in the queue, without those of a failed commit."""
        return sum(1 for _, _, batch in self._messages if batch.error is None)

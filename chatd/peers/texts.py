"""Texts: what one link still has to send, as frames: a cursor in the journal, and the limits of the other side."""

from collections.abc import Sequence
from typing import cast

from chatd.api.events import Message
from chatd.core.batch import Entry
from chatd.core.journal import Journal
from chatd.wire.frames import Text

WRITE_ROWS = 1024  # entries looked at for one write


class Outgoing:
    """The messages for one peer, after where its link starts. `stuck` is the id of one that it would not take."""

    def __init__(self, journal: Journal, topic: int, text_bytes: int, text_chars: int) -> None:
        self.stuck: str | None = None
        self._journal = journal
        self._topic = topic
        self._limits = text_bytes, text_chars
        self._backlog = journal.appended  # what lies before may have been accepted under other limits
        self._cursor = 0

    def start(self, seq: int) -> None:
        """Everything up to that seq is known there."""
        self._cursor = seq

    @property
    def at_tail(self) -> bool:
        """Everything that is committed was looked at."""
        return self._cursor >= self._journal.committed

    async def next(self) -> list[Text]:
        """The next ones, and the cursor moved behind them; those before the one that is stuck."""
        if self.at_tail:
            return []
        entries, through = await self._journal.read(self._cursor, self._topic, WRITE_ROWS)
        texts = texts_of(entries, self._journal)
        if self._cursor < self._backlog:
            over = first_over(texts, *self._limits)
            if over is not None:
                self.stuck = f"{texts[over].epoch}:{texts[over].seq}"
                del texts[over:]
        self._cursor = through
        return texts


def texts_of(entries: Sequence[Entry], journal: Journal) -> list[Text]:
    """The frames of those entries that are ours."""
    ours = [(entry.seq, cast(Message, entry.event)) for entry in entries if entry.direction == "out"]
    epochs = {journal.epoch_of(entry.seq) for entry in (*entries[:1], *entries[-1:])}
    if len(epochs) == 1:  # the usual case: one epoch for all of them, since they are in order
        epoch = epochs.pop()
        return [Text(epoch, seq, message.text, message.re) for seq, message in ours]
    return [Text(journal.epoch_of(seq), seq, message.text, message.re) for seq, message in ours]


def first_over(texts: Sequence[Text], text_bytes: int, text_chars: int) -> int | None:
    """Where the first text is that is over the limits (0 characters: no limit); None if all are within."""
    longest = max([len(text.text) for text in texts], default=0)
    if longest * 4 <= text_bytes and (not text_chars or longest <= text_chars):
        return None  # the usual case
    for number, text in enumerate(texts):
        length = len(text.text)
        if length * 4 > text_bytes and len(text.text.encode()) > text_bytes:
            return number
        if 0 < text_chars < length:
            return number
    return None

"""Texts: the frames that stored messages become, and which of them the other side would not take. Waits for nothing."""

from collections.abc import Sequence
from typing import cast

from chatd.api.events import Message
from chatd.core.batch import Entry
from chatd.core.journal import Journal
from chatd.wire.frames import Text


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
    for number, text in enumerate(texts):
        length = len(text.text)
        if length * 4 > text_bytes and len(text.text.encode()) > text_bytes:
            return number
        if 0 < text_chars < length:
            return number
    return None

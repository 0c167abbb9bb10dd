"""Texts: the frames that stored messages become, and which of them the other side would not take. Waits for nothing."""

from collections.abc import Sequence

import msgspec

from chatd.core.batch import Entry
from chatd.core.journal import Journal
from chatd.wire.frames import Text


class _Out(msgspec.Struct, gc=False):
    """What of a stored message goes over the wire."""

    text: str
    re: str | None = None


_decode_out = msgspec.json.Decoder(_Out).decode


def texts_of(entries: Sequence[Entry], journal: Journal) -> list[Text]:
    """The frames of those entries that are ours."""
    texts: list[Text] = []
    epochs = {journal.epoch_of(entry.seq) for entry in (*entries[:1], *entries[-1:])}
    epoch = epochs.pop() if len(epochs) == 1 else None  # of all of them: they are in order
    for entry in entries:
        if entry.direction == "out":
            seq, out = entry.seq, _decode_out(entry.raw)
            texts.append(Text(epoch or journal.epoch_of(seq), seq, out.text, out.re))
    return texts


def first_over(texts: Sequence[Text], text_bytes: int, text_chars: int) -> int | None:
    """Where the first text is that is over the limits (0 characters: no limit); None if all are within."""
    for number, text in enumerate(texts):
        length = len(text.text)
        if length * 4 > text_bytes and len(text.text.encode()) > text_bytes:
            return number
        if 0 < text_chars < length:
            return number
    return None

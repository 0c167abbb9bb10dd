"""Limits of texts, as a side has announced them in its `Hello`: bytes of UTF-8, and characters (0: any number)."""

from collections.abc import Sequence

from chatd.wire.frames import Text


def any_over(texts: Sequence[Text], text_bytes: int, text_chars: int) -> bool:
    """Whether one of the texts is over the limits."""
    longest = max([len(text.text) for text in texts], default=0)
    if longest * 4 <= text_bytes and (not text_chars or longest <= text_chars):
        return False  # the usual case
    return any(is_over(text.text, text_bytes, text_chars) for text in texts)


def is_over(text: str, text_bytes: int, text_chars: int) -> bool:
    """Whether a text is."""
    length = len(text)
    return (length * 4 > text_bytes and len(text.encode()) > text_bytes) or 0 < text_chars < length

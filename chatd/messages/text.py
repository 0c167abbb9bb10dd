"""Texts of messages: which characters they may have, and how long they may be.

Two kinds of checks: of texts from a client of this node (they raise ControlError), and of frames against the limits
that their receiver has announced in its `Hello`. Texts to plain peers are checked further by wire/lines.py. Pure.
"""

from collections.abc import Sequence

from chatd.api.errors import ControlError
from chatd.wire.frames import Text

# Allowed in a native text besides printable characters. Other controls could manipulate the terminal of a reader.
ALLOWED_CONTROLS = frozenset("\n\t")
CONTROLS = frozenset(map(chr, [*range(32), *range(127, 160)])) - ALLOWED_CONTROLS


def check_texts(texts: Sequence[str]) -> None:
    """Check the characters of several texts, see `check_characters`; fast if all are valid."""
    if not all(texts) or not "".join(texts).isprintable():
        for text in texts:
            check_characters(text)


def check_lengths(texts: Sequence[str], most_bytes: int, most_characters: int) -> None:
    """Check the lengths of several texts, see `check_length`; fast if all are short."""
    longest = len(max(texts, key=len))
    if longest * 4 > most_bytes or 0 < most_characters < longest:
        for text in texts:
            check_length(text, most_bytes, most_characters)


def check_length(text: str, most_bytes: int, most_characters: int) -> None:
    """Raise ControlError too_large if a text has too many bytes of UTF-8, or characters (0: no limit)."""
    if len(text) * 4 > most_bytes and len(text.encode()) > most_bytes:
        raise ControlError("too_large", f"the text is over {most_bytes} bytes of UTF-8", "send it in pieces")
    if 0 < most_characters < len(text):
        raise ControlError("too_large", f"the text is over {most_characters} characters", "send it in pieces")


def check_characters(text: str) -> None:
    """Raise ControlError bad_text if a native text is empty, has control characters or is not Unicode."""
    if not text:
        raise ControlError("bad_text", "the text is empty", "say something")
    bad = next((character for character in text if character in CONTROLS), None)
    if bad is not None:
        hint = "only line breaks and tabs are allowed beside printable characters"
        raise ControlError("bad_text", f"the text has the control character U+{ord(bad):04X}", hint)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ControlError("bad_text", "the text has half a surrogate pair", "send UTF-8") from None


def any_over(texts: Sequence[Text], most_bytes: int, most_characters: int) -> bool:
    """Whether the text of one of the frames is over the limits, see `check_length`."""
    longest = max([len(text.text) for text in texts], default=0)
    if longest * 4 <= most_bytes and (not most_characters or longest <= most_characters):
        return False  # the usual case
    return any(is_over(text.text, most_bytes, most_characters) for text in texts)


def is_over(text: str, most_bytes: int, most_characters: int) -> bool:
    """Whether a text is over one of the limits, see `check_length`."""
    length = len(text)
    return (length * 4 > most_bytes and len(text.encode()) > most_bytes) or 0 < most_characters < length

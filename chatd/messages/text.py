"""Wording: what the text of a message may be, whoever it is for. Plain peers take less: wire/lines.py."""

from collections.abc import Sequence

from chatd.api.errors import ControlError

# What may stand in a native text beside printable characters. The rest would write on somebody's terminal.
ALLOWED_CONTROLS = frozenset("\n\t")
CONTROLS = frozenset(map(chr, [*range(32), *range(127, 160)])) - ALLOWED_CONTROLS


def check_texts(texts: Sequence[str]) -> None:
    """Raise ControlError where one of several is empty or not text; quick where nothing is wrong."""
    if not all(texts) or not "".join(texts).isprintable():
        for text in texts:
            check_characters(text)


def check_lengths(texts: Sequence[str], most_bytes: int, characters: int) -> None:
    """Raise ControlError where one of several is over a limit."""
    longest = len(max(texts, key=len))
    if longest * 4 > most_bytes or 0 < characters < longest:
        for text in texts:
            check_length(text, most_bytes, characters)


def check_length(text: str, most_bytes: int, characters: int) -> None:
    """Raise ControlError where a text is over one of the limits."""
    if len(text) * 4 > most_bytes and len(text.encode()) > most_bytes:
        raise ControlError("too_large", f"the text is over {most_bytes} bytes of UTF-8", "send it in pieces")
    if 0 < characters < len(text):
        raise ControlError("too_large", f"the text is over {characters} characters", "send it in pieces")


def check_characters(text: str) -> None:
    """Raise ControlError where a native text is empty or not text."""
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

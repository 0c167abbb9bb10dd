"""Lines of plain peers: chunks of `nc`, telnet and the peer programs (docs/origins.md) to texts, and a text to bytes.

Knows lines, unfinished chunks and hang-ups. Does not know clocks (the caller reports when the line was quiet long
enough), pacing or sockets. The only error for received bytes is LineTooLong; invalid UTF-8 becomes U+FFFD. Called by
`net/plain/link.py` and `wire/dialects.py`. The rules are in docs/wire.md.
"""

from codecs import utf_8_decode
from typing import Final

from chatd.wire.errors import LocalError, RemoteError

HANG_UP: Final = "Close Connection"  # the close-text peer sends this instead of a FIN
_HANG_UP_CHUNK: Final = HANG_UP.encode()
NOT_TEXT: Final = str.maketrans("", "", "\r\0")  # telnet ends lines with \r\n or \r\0
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


class LineTooLong(RemoteError):
    """A line exceeds the limit. `texts`: the complete texts before it in the same chunk."""

    def __init__(self, limit: int, texts: list[str]) -> None:
        super().__init__(f"a line of more than {limit} bytes")
        self.texts = texts


class TextRefused(LocalError):
    """A text that cannot be sent to a plain peer. `kind` and `hint` are those of a control-socket error."""

    def __init__(self, kind: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


class LineDecoder:
    """Decode the chunks of one plain peer into texts.

    `speaks_lines`: whether the peer's newest text ended with a newline; None before the first one. `hung_up` becomes
    True at a chunk that is exactly `Close Connection`. With `cut`, exceeding the limit is not an error: a long line
    stays whole, and data without a newline becomes a text when it reaches the limit.
    """

    __slots__ = ("_closed", "_limit", "_split_long", "_unfinished", "hung_up", "pending", "speaks_lines")

    def __init__(self, line_bytes: int, *, cut: bool = False) -> None:
        self._limit = line_bytes
        self._split_long = cut
        self._unfinished = b""
        self._closed = False
        self.pending = False  # an unfinished chunk waits for its newline or for `flush`
        self.speaks_lines: bool | None = None
        self.hung_up = False

    def receive(self, chunk: bytes | bytearray) -> list[str]:
        """Return the texts that `chunk` completes: the bytes of one read; `b""` is the end of the stream.

        Raises LineTooLong, and LocalError after the end, a hang-up or an error.
        """
        if self._closed:
            raise LocalError("data after the end of a plain link")
        if not chunk or chunk == _HANG_UP_CHUNK:
            self.hung_up = bool(chunk)
            return self.close()
        pieces = (self._unfinished + chunk).split(b"\n")
        held = pieces.pop()
        texts: list[str] = []
        for piece in pieces:
            self._check_limit(piece, texts)
            _add(texts, piece.decode("utf-8", "replace"))
        self._check_limit(held, texts)
        self._unfinished = held
        self.pending = bool(held)
        if not held:
            self.speaks_lines = True
        return texts + self.flush() if len(held) > self._limit else texts

    def flush(self) -> list[str]:
        """Return the unfinished chunk as a text, because the line is quiet. An incomplete character stays."""
        texts: list[str] = []
        if self.pending:
            self.pending = False
            text, used = utf_8_decode(self._unfinished, "replace", False)  # noqa: FBT003 - the builtin takes no keywords
            self._unfinished = self._unfinished[used:]
            if _add(texts, text):
                self.speaks_lines = False
        return texts

    def close(self) -> list[str]:
        """Return the unfinished chunk as the last text: the stream has ended."""
        held, self._unfinished = self._unfinished, b""
        self._closed = True
        self.pending = False
        texts: list[str] = []
        _add(texts, held.decode("utf-8", "replace"))
        return texts

    def _check_limit(self, piece: bytes, texts: list[str]) -> None:
        if len(piece) > self._limit and not self._split_long:
            self._unfinished = b""
            self._closed = True
            self.pending = False
            raise LineTooLong(self._limit, texts)


def _add(texts: list[str], piece: str) -> bool:
    """Append the text of one line, without \\r and NUL. Return False for an empty line, which adds nothing."""
    text = piece.translate(NOT_TEXT)
    if text:
        texts.append(text)
    return bool(text)


def encode_line(text: str, speaks_lines: bool | None) -> bytes:
    """Encode one message for one write: with a newline, unless the peer's own texts have none."""
    return text.encode() if speaks_lines is False else text.encode() + b"\n"


def check_text(text: str, limit: int) -> None:
    """Raise TextRefused for a text that a plain peer cannot receive as one message of at most `limit` bytes."""
    if not text:
        raise TextRefused("bad_text", "the text is empty", "a plain peer cannot be sent nothing")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise TextRefused("bad_text", "the text holds a lone surrogate", "send valid Unicode") from None
    if not _CONTROLS.isdisjoint(text):
        hint = "a plain peer takes one line without control characters (tabs too): send several messages"
        raise TextRefused("bad_text", "the text holds a line break or control character", hint)
    if text == HANG_UP:
        raise TextRefused("bad_text", f"a plain peer would take {HANG_UP!r} for a hang-up", "say it in other words")
    if size > limit:
        hint = "plain peers read that much at once: send it in parts"
        raise TextRefused("too_large", f"the text has {size} bytes, a plain peer takes {limit}", hint)

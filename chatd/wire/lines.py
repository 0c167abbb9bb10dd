"""Plain text: the chunks of `nc`, telnet and the seed programs -> texts, and a text -> its bytes.

Sans-IO. It knows what a line, an unfinished chunk and a hang-up look like; it does not know clocks (the caller
says when the line has been quiet long enough), pacing or sockets. The only error for what a peer does is
LineTooLong, a RemoteError; invalid UTF-8 becomes U+FFFD. Called by `net/plain/link.py`, and `check_text` by
`messages/chat.py`. The rules are in docs/wire.md.
"""

from codecs import utf_8_decode
from typing import Final

from chatd.wire.frames import LocalError, RemoteError

HANG_UP: Final = "Close Connection"  # what one of the seed programs sends in place of a FIN
_HANG_UP_CHUNK: Final = HANG_UP.encode()
_STRIPPED: Final = str.maketrans("", "", "\r\0")  # telnet ends its lines in \r\n, or \r and NUL
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


class LineTooLong(RemoteError):
    """A line is over the limit. `texts` are the complete ones that stood before it in the same chunk."""

    def __init__(self, limit: int, texts: list[str]) -> None:
        super().__init__(f"a line of more than {limit} bytes")
        self.texts = texts


class TextRefused(LocalError):
    """A text that cannot be sent to a plain peer; `kind` and `hint` are those of the control socket's errors."""

    def __init__(self, kind: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


class LineDecoder:
    """What one plain peer sends -> texts.

    `speaks_lines` is None until it is known; then whether the peer's newest text ended in a newline. `hung_up`
    turns True when a whole chunk is exactly `Close Connection`. With `cut` what is over the limit is no error: a long
    line stays whole, and what has no newline at all is a text once there is so much of it.
    """

    __slots__ = ("_closed", "_limit", "_split_long", "_unfinished", "hung_up", "pending", "speaks_lines")

    def __init__(self, line_bytes: int, *, cut: bool = False) -> None:
        self._limit = line_bytes
        self._split_long = cut
        self._unfinished = b""
        self._closed = False
        self.pending = False  # an unfinished chunk waits for its newline, or for `flush`
        self.speaks_lines: bool | None = None
        self.hung_up = False

    def receive(self, chunk: bytes | bytearray) -> list[str]:
        """The texts that `chunk` (what one read gave; `b""` is the end) completes. Raises LineTooLong.

        Raises LocalError after the end, a hang-up or an error.
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
            self._within_limit(piece, texts)
            _add(texts, piece.decode("utf-8", "replace"))
        self._within_limit(held, texts)
        self._unfinished = held
        self.pending = bool(held)
        if not held:
            self.speaks_lines = True
        return texts + self.flush() if len(held) > self._limit else texts

    def flush(self) -> list[str]:
        """The line has been quiet: what waits is a text by itself. A character that is cut in two waits on."""
        texts: list[str] = []
        if self.pending:
            self.pending = False
            text, used = utf_8_decode(self._unfinished, "replace", False)  # noqa: FBT003 - the builtin takes no keywords
            self._unfinished = self._unfinished[used:]
            if _add(texts, text):
                self.speaks_lines = False
        return texts

    def close(self) -> list[str]:
        """Nothing more comes: what waits is the last text."""
        held, self._unfinished = self._unfinished, b""
        self._closed = True
        self.pending = False
        texts: list[str] = []
        _add(texts, held.decode("utf-8", "replace"))
        return texts

    def _within_limit(self, piece: bytes, texts: list[str]) -> None:
        if len(piece) > self._limit and not self._split_long:
            self._unfinished = b""
            self._closed = True
            self.pending = False
            raise LineTooLong(self._limit, texts)


def _add(texts: list[str], piece: str) -> bool:
    """Strip what is no text; nothing is left of an empty line. Returns whether something was added."""
    text = piece.translate(_STRIPPED)
    if text:
        texts.append(text)
    return bool(text)


def encode_line(text: str, speaks_lines: bool | None) -> bytes:
    """The bytes of one message, for one write: with a newline unless the peer's own texts came without."""
    return text.encode() if speaks_lines is False else text.encode() + b"\n"


def check_text(text: str, limit: int) -> None:
    """Raises TextRefused for what a plain peer could not be sent as one message of at most `limit` bytes."""
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

"""Our side of a link with a room server: this node is a plain client there, in dialect `address` or `name`.

Texts in, bytes out; what the server sends is decoded by `wire/lines.py`. Knows no clocks, pacing or sockets. Called by
`net/plain/room_server.py`; the two servers are described in docs/origins.md.
"""

from typing import Final

from chatd.wire.dialects import EXIT, QUIT, one_line
from chatd.wire.errors import LocalError
from chatd.wire.lines import HANG_UP, TextRefused, check_text


class AddressClient:
    """Client of an address room server. Every text and the farewell must be written alone.

    `waits_for_close`: after the farewell the server closes first. If a client just closes, that server floods all
    others with empty messages.
    """

    __slots__ = ()
    greeting: Final = b""
    farewell: Final = QUIT.encode()
    waits_for_close: Final = True

    def check(self, text: str, limit: int) -> None:
        """Raise TextRefused for a text that cannot be sent there as one message of at most `limit` bytes."""
        _check(text, limit, QUIT)

    def encode(self, text: str) -> bytes:
        """Encode a text that passed `check`."""
        return text.encode()


class NameClient:
    """Client of a name room server, as `nick`. The greeting must be sent at once and alone.

    A text may be a command of the server (`*users`) or a private message (`@name text`). Every text and the farewell
    must be written alone: that server recognises commands only as whole chunks.
    """

    __slots__ = ("greeting",)
    farewell: Final = EXIT.encode() + b"\n"
    waits_for_close: Final = True

    def __init__(self, nick: str) -> None:
        if not nick or nick != one_line(nick).strip():
            raise LocalError("a nick is a part of a line")
        self.greeting = nick.encode()

    def check(self, text: str, limit: int) -> None:
        """Raise TextRefused for a text that cannot be sent there as one message of at most `limit` bytes."""
        _check(text, limit, EXIT)

    def encode(self, text: str) -> bytes:
        """Encode a text that passed `check`."""
        return text.encode() + b"\n"


def _check(text: str, limit: int, farewell: str) -> None:
    if text == farewell:
        raise TextRefused("bad_text", f"{text!r} would leave that room", "`chatctl terminate` does that")
    if text != HANG_UP:  # an ordinary text there
        check_text(text, limit)


DialectClient = AddressClient | NameClient

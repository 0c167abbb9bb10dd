"""The room dialects: how plain clients talk to a room, and how a plain client talks to a foreign room server.

`address`: a chunk or line goes to all others as `('IP', PORT): text`; `QUIT` leaves. `name`: the first chunk is the
client's name; then lines: a text goes to all others as `<name> text`, `@name text` to one alone, and `*users`, `*help`
and `*exit` are commands.

Sans-IO. A server object stands for one client of a room port: bytes in, commands out. A client object is our side of a
link with such a server: texts in, bytes out. Neither knows members, clocks (the caller says when the line has been
quiet), pacing or sockets; nor which nicks are good: rooms/nicks.py. Whatever bytes arrive, in whatever chunks, the only
exception for them is TooLong, a RemoteError. Called by `net/roomport/port.py`, `net/roomport/fanout.py` and
`net/plain/link.py`. The rules are in docs/rooms.md.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from chatd.wire.frames import LocalError
from chatd.wire.lines import HANG_UP, LineDecoder, LineTooLong, TextRefused, check_text

ADDRESS: Final = "address"
NAME: Final = "name"

HELP: Final = (
    "*users: who is here\n@NAME TEXT: say TEXT to NAME alone\n*help: this list\n*exit: leave\n"
    "Everything else is said to all; @@ at the beginning stands for @."
)
UNKNOWN_USER: Final = "User does not exist."

_QUIT: Final = "QUIT"
_EXIT: Final = "*exit"
_PRIVATE: Final = "(Private Message) "
_BLANKS: Final = b" \t\n\v\f\r\0"
_STRIPPED: Final = str.maketrans("", "", "\r\0")
# One text stays one line, for readers that split at whatever Unicode calls a line break too. Format characters stay, as
# in every text: people write with them, and what turns the direction of a line ends with it.
_HARMLESS: Final = (
    dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
    | dict.fromkeys(map(ord, "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"), "␤")
    | {0x09: "\t"}
)
_HARMFUL: Final = frozenset(map(chr, _HARMLESS)) - {"\t"}


class Enter(msgspec.Struct, frozen=True, gc=False):
    """The client wants to be called `name`: some text in one line, without blanks at its ends; not yet a nick."""

    name: str


class Speak(msgspec.Struct, frozen=True, gc=False):
    """It says `text`, which is not empty, to all, or to the member whose nick may be `to`."""

    text: str
    to: str | None = None


class Users(msgspec.Struct, frozen=True, gc=False):
    """It asks who is here."""


class Help(msgspec.Struct, frozen=True, gc=False):
    """It asks what can be said, or has shown that it does not know."""


class Leave(msgspec.Struct, frozen=True, gc=False):
    """It leaves. Always the last command of a client."""


Command = Enter | Speak | Users | Help | Leave


class TooLong(LineTooLong):
    """A line is over the limit: the client has to go. `commands` are those that stood before it in the same chunk."""

    def __init__(self, limit: int, texts: list[str], commands: list[Command]) -> None:
        super().__init__(limit, texts)
        self.commands = commands


# -- one client of a room port


class _Server:
    """What the two dialects have in common: lines, their limit, and an end."""

    __slots__ = ("_decoder", "_limit")

    def __init__(self, line_bytes: int) -> None:
        self._limit = line_bytes
        self._decoder = LineDecoder(line_bytes)

    @property
    def pending(self) -> bool:
        """An unfinished line waits for its newline, or for `flush`."""
        return self._decoder.pending

    def flush(self) -> list[Command]:
        """The line has been quiet: what waits is a line by itself."""
        return self._commands(self._decoder.flush())

    def close(self) -> list[Command]:
        """Nothing more comes: what waits is the last line. After a Leave nothing waits."""
        return self._commands(self._decoder.close())

    def _lines(self, chunk: bytes) -> list[Command]:
        try:
            return self._commands(self._texts(chunk))
        except LineTooLong as error:
            commands = self._commands(error.texts)
            if commands and type(commands[-1]) is Leave:
                return commands
            raise TooLong(self._limit, error.texts, commands) from None

    def _texts(self, chunk: bytes) -> list[str]:
        if chunk != HANG_UP.encode():
            return self._decoder.receive(chunk)
        # To a plain peer this chunk is a hang-up. In a room it is a text, as is every other that is not QUIT.
        return self._decoder.receive(chunk[:1]) + self._decoder.receive(chunk[1:])

    def _commands(self, texts: list[str]) -> list[Command]:
        commands: list[Command] = []
        for text in texts:
            command = self._command(text)
            commands.append(command)
            if type(command) is Leave:
                self._decoder.close()  # what stands behind it is not said any more
                break
        return commands

    def _command(self, text: str) -> Command:
        raise NotImplementedError


class AddressServer(_Server):
    """A client of dialect `address`: it is in the room as soon as it is there, so there is no Enter."""

    __slots__ = ()

    @property
    def ends_lines(self) -> bool | None:
        """Whether the client's newest text ended in a newline; None: not known yet."""
        return self._decoder.speaks_lines

    def receive(self, chunk: bytes) -> list[Command]:
        """The commands that `chunk` (what one read gave; `b""` is the end) completes. Raises TooLong.

        Raises LocalError after the end, a Leave or an error.
        """
        # A client that sends no newlines says it alone in its chunk, and wants to be rid of us now.
        if chunk == _QUIT.encode() and self.ends_lines is not True:
            return [*self.close(), Leave()]
        return self._lines(chunk)

    def _command(self, text: str) -> Command:
        return Leave() if text == _QUIT else Speak(one_line(text))


class NameServer(_Server):
    """A client of dialect `name`. Its first command is Enter.

    `ends_lines`: whether its name came with a newline; None before it.
    """

    __slots__ = ("_named", "ends_lines")

    def __init__(self, line_bytes: int) -> None:
        super().__init__(line_bytes)
        self.ends_lines: bool | None = None
        self._named = False

    def receive(self, chunk: bytes) -> list[Command]:
        """The commands that `chunk` (what one read gave; `b""` is the end) completes. Raises TooLong.

        Raises LocalError after the end, a Leave or an error.
        """
        if self._named:
            return self._lines(chunk)
        return self._enter(chunk) if chunk else self.close()

    def close(self) -> list[Command]:
        """Nothing more comes: what waits is the last line. After a Leave nothing waits."""
        self._named = True  # or never will be
        return super().close()

    def _enter(self, chunk: bytes) -> list[Command]:
        """The first line that has something in it is the name, with or without its newline: nobody waits for that."""
        lines = chunk.lstrip(_BLANKS).split(b"\n")
        for number, line in enumerate(lines, 1):
            name = one_line(line.decode("utf-8", "replace").translate(_STRIPPED)).strip()
            if name:
                self._named = True
                self.ends_lines = number < len(lines)
                return self._enter_then(Enter(name), b"\n".join(lines[number:]))
        return []

    def _enter_then(self, entered: Enter, rest: bytes) -> list[Command]:
        try:
            return [entered, *self._lines(rest)] if rest else [entered]
        except TooLong as error:
            raise TooLong(self._limit, error.texts, [entered, *error.commands]) from None

    def _command(self, text: str) -> Command:
        if text == _EXIT:
            return Leave()
        if text == "*users":
            return Users()
        if text == "*help":
            return Help()
        return _addressed(one_line(text))


def _addressed(text: str) -> Speak | Help:
    """`@name text` is for one. An `@` alone is a text; `@@` is how any other text to all begins with `@`."""
    if text[0] != "@" or not text[1:2].strip():
        return Speak(text)
    if text[1:2] == "@":
        return Speak(text[1:])
    words = text[1:].split(None, 1)
    if len(words) < 2:  # for somebody, and nothing is said: to say it to all would tell them more than was meant
        return Help()
    return Speak(words[1], to=words[0])


Server = AddressServer | NameServer


# -- what a client of a room port is sent


def one_line(text: str) -> str:
    """The text without anything that could look like another line, or write on somebody's terminal."""
    # The first question is quick; some texts without any harm (emoji that are put together) need the second.
    return text if text.isprintable() or _HARMFUL.isdisjoint(text) else text.translate(_HARMLESS)


def line_of(dialect: str, nick: str, text: str, *, private: bool = False) -> bytes:
    """What `nick` says, with its newline, as the others in that dialect see it."""
    said = _PRIVATE + one_line(text) if private else one_line(text)
    if dialect == ADDRESS:
        return f"{_address(nick)}: {said}\n".encode("utf-8", "replace")
    return f"<{nick}> {said}\n".encode("utf-8", "replace")


def _address(nick: str) -> str:
    """Members of an address port are called `IP:PORT` (`[::1]:5`), and no other nick has a colon."""
    host, colon, port = nick.rpartition(":")
    return f"({host.strip('[]')!r}, {port})" if colon else f"({nick!r}, 0)"


def welcome(nick: str, why: str | None = None) -> str:
    """The greeting of a client that is now in the room as `nick`; `why` it could not be what it asked for."""
    because = f"You are {nick}: {why}. " if why else ""
    return f"Welcome to this chatroom, {nick}! {because}Type '*help' to see more options."


def user_list(nicks: Iterable[str]) -> str:
    """The answer to Users. The programs of that kind end it in a newline, as every line of it."""
    return "User List:\n" + "".join(f"[{number}] {nick}\n" for number, nick in enumerate(nicks, 1))


def reply(text: str, *, ends_lines: bool | None) -> bytes:
    """The bytes of a reply to one client: with a newline unless its own texts came without."""
    newline = "" if ends_lines is False or text.endswith("\n") else "\n"
    return (text + newline).encode("utf-8", "replace")


# -- our side of a link with a foreign room server


class AddressClient:
    """We are a client of a server of dialect `address`. Every `encode` and the farewell is a segment of its own.

    `waits_for_close`: the farewell is followed by their close, not by ours; that server floods all others with empty
    lines where a client is just gone.
    """

    __slots__ = ()
    greeting: Final = b""
    farewell: Final = _QUIT.encode()
    waits_for_close: Final = True

    def check(self, text: str, limit: int) -> None:
        """Raises TextRefused for what cannot be said there as one message of at most `limit` bytes."""
        _check(text, limit, _QUIT)

    def encode(self, text: str) -> bytes:
        """The segment that says a text which passed `check`."""
        return text.encode()


class NameClient:
    """We are a client of a server of dialect `name`, as `nick`. The greeting is sent at once, and alone.

    A text may be one of its commands (`*users`) or for one of its members (`@name text`). Every `encode` and the
    farewell is a segment of its own: that server looks for commands in whole chunks.
    """

    __slots__ = ("greeting",)
    farewell: Final = _EXIT.encode() + b"\n"
    waits_for_close: Final = True

    def __init__(self, nick: str) -> None:
        if not nick or nick != one_line(nick).strip():
            raise LocalError("a nick is a part of a line")
        self.greeting = nick.encode()

    def check(self, text: str, limit: int) -> None:
        """Raises TextRefused for what cannot be said there as one message of at most `limit` bytes."""
        _check(text, limit, _EXIT)

    def encode(self, text: str) -> bytes:
        """The segment that says a text which passed `check`."""
        return text.encode() + b"\n"


def _check(text: str, limit: int, farewell: str) -> None:
    if text == farewell:
        raise TextRefused("bad_text", f"{text!r} would leave that room", "`chatctl terminate` does that")
    if text != HANG_UP:  # which is a text like any other there
        check_text(text, limit)


Client = AddressClient | NameClient

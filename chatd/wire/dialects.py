"""The two dialects in which plain clients use a room, on the side of a room port.

`address`: a chunk or line goes to all others as `('IP', PORT): text`; `QUIT` leaves. `name`: the first chunk is the
client's name; then each line goes to all others as `<name> text`, `@name text` goes to one member, and `*users`,
`*help` and `*exit` are commands. They are the protocols of two servers in docs/origins.md.

A server object decodes one client: bytes in, commands out; the functions below render what clients are sent. Knows no
members, clocks (the caller reports when the line is quiet), pacing or sockets, and not which nicks are allowed
(`rooms/nicks.py`). The only error for received bytes is TooLong. Called by `net/roomport/`; the rules are in
docs/rooms.md.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from chatd.wire.lines import HANG_UP, NOT_TEXT, LineDecoder, LineTooLong

ADDRESS: Final = "address"
NAME: Final = "name"

HELP: Final = (
    "*users: who is here\n@NAME TEXT: say TEXT to NAME alone\n*help: this list\n*exit: leave\n"
    "Everything else is said to all; @@ at the beginning stands for @."
)
UNKNOWN_USER: Final = "User does not exist."

QUIT: Final = "QUIT"
EXIT: Final = "*exit"
_PRIVATE: Final = "(Private Message) "
_BLANKS: Final = b" \t\n\v\f\r\0"
# A text must stay one line, also for readers that split at every Unicode line break. Format characters stay, as in all
# texts: people write with them, and a change of direction ends with the line.
_HARMLESS: Final = (
    dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
    | dict.fromkeys(map(ord, "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"), "␤")
    | {0x09: "\t"}
)
_HARMFUL: Final = frozenset(map(chr, _HARMLESS)) - {"\t"}


class Enter(msgspec.Struct, frozen=True, gc=False):
    """The client asks for the nick `name`: one line without blanks at its ends, not yet checked as a nick."""

    name: str


class Speak(msgspec.Struct, frozen=True, gc=False):
    """A non-empty text to all members, or to the member with the nick `to` (which may not exist)."""

    text: str
    to: str | None = None


class Users(msgspec.Struct, frozen=True, gc=False):
    """Request for the list of members."""


class Help(msgspec.Struct, frozen=True, gc=False):
    """Request for help, or a command that cannot be understood."""


class Leave(msgspec.Struct, frozen=True, gc=False):
    """The client leaves. Always its last command."""


Command = Enter | Speak | Users | Help | Leave


class TooLong(LineTooLong):
    """A line exceeds the limit; the client must be disconnected. `commands`: those before it in the same chunk."""

    def __init__(self, limit: int, texts: list[str], commands: list[Command]) -> None:
        super().__init__(limit, texts)
        self.commands = commands


# -- decoding one client


class _Server:
    """Base of both dialects: lines, their limit, and the end."""

    __slots__ = ("_decoder", "_limit")

    def __init__(self, line_bytes: int) -> None:
        self._limit = line_bytes
        self._decoder = LineDecoder(line_bytes)

    @property
    def pending(self) -> bool:
        """Whether an unfinished line waits for its newline or for `flush`."""
        return self._decoder.pending

    def flush(self) -> list[Command]:
        """Return the unfinished line as a command, because the line is quiet."""
        return self._commands(self._decoder.flush())

    def close(self) -> list[Command]:
        """Return the unfinished line as the last command: the stream has ended. Empty after a Leave."""
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
        # As one chunk LineDecoder would read it as a hang-up, but in a room it is a text: split it.
        return self._decoder.receive(chunk[:1]) + self._decoder.receive(chunk[1:])

    def _commands(self, texts: list[str]) -> list[Command]:
        commands: list[Command] = []
        for text in texts:
            command = self._command(text)
            commands.append(command)
            if type(command) is Leave:
                self._decoder.close()  # drop what follows the Leave
                break
        return commands

    def _command(self, text: str) -> Command:
        raise NotImplementedError


class AddressServer(_Server):
    """Decoder of a client of dialect `address`. There is no Enter: the client is in the room once it has connected."""

    __slots__ = ()

    @property
    def ends_lines(self) -> bool | None:
        """Whether the client's newest text ended with a newline; None: not known yet."""
        return self._decoder.speaks_lines

    def receive(self, chunk: bytes) -> list[Command]:
        """Return the commands that `chunk` completes: the bytes of one read; `b""` is the end of the stream.

        Raises TooLong, and LocalError after the end, a Leave or an error.
        """
        # A client that sends no newlines sends QUIT as a chunk of its own. It must not wait for a newline.
        if chunk == QUIT.encode() and self.ends_lines is not True:
            return [*self.close(), Leave()]
        return self._lines(chunk)

    def _command(self, text: str) -> Command:
        return Leave() if text == QUIT else Speak(one_line(text))


class NameServer(_Server):
    """Decoder of a client of dialect `name`. Its first command is Enter.

    `ends_lines`: whether its name came with a newline; None before the name.
    """

    __slots__ = ("_named", "ends_lines")

    def __init__(self, line_bytes: int) -> None:
        super().__init__(line_bytes)
        self.ends_lines: bool | None = None
        self._named = False

    def receive(self, chunk: bytes) -> list[Command]:
        """Return the commands that `chunk` completes: the bytes of one read; `b""` is the end of the stream.

        Raises TooLong, and LocalError after the end, a Leave or an error.
        """
        if self._named:
            return self._lines(chunk)
        return self._enter(chunk) if chunk else self.close()

    def close(self) -> list[Command]:
        """Return the unfinished line as the last command: the stream has ended. Empty after a Leave."""
        self._named = True  # no name can follow
        return super().close()

    def _enter(self, chunk: bytes) -> list[Command]:
        """Use the first non-blank line as the name. Its newline may be missing: some programs send none."""
        lines = chunk.lstrip(_BLANKS).split(b"\n")
        for number, line in enumerate(lines, 1):
            name = one_line(line.decode("utf-8", "replace").translate(NOT_TEXT)).strip()
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
        if text == EXIT:
            return Leave()
        if text == "*users":
            return Users()
        if text == "*help":
            return Help()
        return _addressed(one_line(text))


def _addressed(text: str) -> Speak | Help:
    """Parse a text: `@name text` is for one member. A single `@` is a text, and `@@` escapes a leading `@`."""
    if text[0] != "@" or not text[1:2].strip():
        return Speak(text)
    if text[1:2] == "@":
        return Speak(text[1:])
    words = text[1:].split(None, 1)
    if len(words) < 2:  # a name without a text: sending it to all would publish a private line
        return Help()
    return Speak(words[1], to=words[0])


Server = AddressServer | NameServer


# -- rendering


def one_line(text: str) -> str:
    """Replace everything in `text` that could start another line or control a terminal."""
    # The first check is fast; the second is for harmless texts that it rejects, e.g. combined emoji.
    return text if text.isprintable() or _HARMFUL.isdisjoint(text) else text.translate(_HARMLESS)


def line_of(dialect: str, nick: str, text: str, *, private: bool = False) -> bytes:
    """Render a text of `nick` as clients of that dialect receive it, with a newline."""
    content = _PRIVATE + one_line(text) if private else one_line(text)
    if dialect == ADDRESS:
        return f"{_address(nick)}: {content}\n".encode("utf-8", "replace")
    return f"<{nick}> {content}\n".encode("utf-8", "replace")


def _address(nick: str) -> str:
    """Render a nick as an address. Clients of an address port have the nick `IP:PORT`; no other nick has a colon."""
    host, colon, port = nick.rpartition(":")
    return f"({host.strip('[]')!r}, {port})" if colon else f"({nick!r}, 0)"


def welcome(nick: str, why: str | None = None) -> str:
    """Greeting of a client that is now in the room as `nick`. `why`: reason that it is not the nick it asked for."""
    because = f"You are {nick}: {why}. " if why else ""
    return f"Welcome to this chatroom, {nick}! {because}Type '*help' to see more options."


def user_list(nicks: Iterable[str]) -> str:
    """Answer to Users. Every line ends with a newline, as the name room server sends it."""
    return "User List:\n" + "".join(f"[{number}] {nick}\n" for number, nick in enumerate(nicks, 1))


def reply(text: str, *, ends_lines: bool | None) -> bytes:
    """Encode a reply to one client: with a newline, unless the client's own texts have none."""
    newline = "" if ends_lines is False or text.endswith("\n") else "\n"
    return (text + newline).encode("utf-8", "replace")

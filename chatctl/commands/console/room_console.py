"""The console in a room: what is typed is said there, in the words of the two room servers of the seeds.

Knows the room by what it asks the daemon. It is inside or not: CONNECT, or a membership that there was, is the way in,
`room.gone` or another terminal's `room leave` the way out. A membership that CONNECT made ends with the console. Errors
are shown and end nothing.
"""

import time

from chatctl.cli import sending
from chatctl.commands.console.watcher import Watcher
from chatctl.errors import Failure
from chatctl.text.format import event_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

# What the seeds' programs print, to the letter.
ESTABLISHED = "-Connection Established-"
FAILED = "ERROR: Connection Failed."
WRONG = "ERROR: Please use the CONNECT, SEND <message>, and QUIT commands."
USERS = "User List:"
NO_USER = "User does not exist."
TYPED = {
    "TEXT": "say it to all in the room",
    "@NAME TEXT": "say it to NAME alone (whoever hosts the room can read it)",
    "*users": "who is in the room",
    "*help": "show this",
    "*exit": "leave the console, like QUIT",
    "CONNECT": "join the room",
    "SEND MESSAGE": "say it, even if it is one of these words",
    "QUIT": "leave the console, and the room if CONNECT has joined it",
}
KEYWORDS = ("CONNECT", "SEND", "QUIT")
ALONE = ("CONNECT", "QUIT")  # nothing stands behind them
OUTSIDE = ("unknown_room", "unknown_peer")
LINGER_S = 5.0  # what was said just before the end shall be in the room before we leave it


class Lounge:
    """One console in the room `room`: `begin`, `execute` for each line until it says False, `end`."""

    words = (*(usage for usage in TYPED if usage.startswith("*")), *KEYWORDS)

    def __init__(self, app: "App", room: str) -> None:
        self._app = app
        self._given = room
        self._room = room  # its whole name as soon as it is known: another lobby may come
        self._nick: object = None
        self._inside = False
        self._joined = False  # by our CONNECT
        self._said = ""  # the id of our last message
        self._watcher: Watcher | None = None

    def begin(self) -> None:
        """Be ready if this node is in the room, else say how to get in. Raises what makes it pointless: no daemon."""
        sending.check(self._room, "the room's name")
        self._app.begin()
        room = self._membership()
        if room is None:
            self._tell_outside()
            return
        self._watch("now")
        if room.get("state") == "away":
            self._app.out.note(f"the host of {inline(self._room)} is away: what you say waits for it")

    def execute(self, line: str) -> bool:
        """Do one line; False to leave."""
        text = line.strip()
        if not text:
            return True
        self._app.begin()
        self._app.refresh()
        try:
            return self._do(text)
        except Failure as failure:
            self._fail(failure)
        except KeyboardInterrupt:
            self._app.close()  # the reply may still come, and nobody would wait for it
        return True

    def end(self) -> None:
        """Stop showing, and leave the room if CONNECT has joined it: after what was said."""
        try:
            if self._joined:
                self._linger()
        finally:
            self._unwatch()
        if self._joined:
            try:
                self._app.call("room.leave", {"room": self._room}, time.monotonic() + LINGER_S)
            except Failure as failure:
                self._app.out.failure(failure)

    def _do(self, text: str) -> bool:
        word, *rest = text.split(None, 1)
        if (word in ALONE and rest) or (word == "SEND" and not rest):
            self._app.out.line(WRONG)
        elif word == "QUIT":
            return False
        elif word == "CONNECT":
            self._connect()
        elif not self._inside:
            self._app.out.line(WRONG)
        elif text == "*exit":
            return False
        else:
            self._talk(text, rest[0] if word == "SEND" else None)
        return True

    def _talk(self, text: str, message: str | None) -> None:
        """What is typed inside: a question, or something to be said."""
        if text == "*users":
            self._users()
        elif text == "*help":
            width = max(len(usage) for usage in TYPED)
            self._app.out.line("\n".join(f"{usage.ljust(width)}  {what}" for usage, what in TYPED.items()))
        else:
            self._say(text if message is None else message)

    def _say(self, text: str) -> None:
        sending.check(text, "the text")
        try:
            self._said = str(sending.speak(self._app, "room.say", {"room": self._room, "text": text}).get("id"))
        except Failure as failure:
            if failure.kind != "unknown_peer":
                raise
            self._app.out.line(NO_USER)

    def _users(self) -> None:
        users = self._app.call("room.users", {"room": self._room}).get("users") or []
        names = (inline(str(user.get("nick"))) for user in users)
        self._app.out.line("\n".join([USERS, *(f"[{number}] {name}" for number, name in enumerate(names, 1))]))

    def _connect(self) -> None:
        try:
            self._enter()
        except Failure as failure:
            self._app.out.line(FAILED)
            self._app.out.failure(failure)
        else:
            self._app.out.line(ESTABLISHED)

    def _enter(self) -> None:
        """Join unless we are members, and show what is said from then on."""
        position = (self._app.call("status").get("journal") or {}).get("position")
        if self._membership() is None:
            self._join()
        elif self._inside:
            return
        self._watch({"position": position})

    def _join(self) -> None:
        self._learn(self._app.call_timed("room.join", {"room": self._given}))
        self._joined = True

    def _membership(self) -> "dict[str, Any] | None":
        """The room, if this node is in it by what the daemon says now."""
        try:
            room = self._learn(self._app.call("room.topic", {"room": self._room}))
        except Failure as failure:
            if failure.kind not in OUTSIDE:
                raise
            return None
        return None if self._nick is None else room

    def _learn(self, found: "dict[str, Any]") -> "dict[str, Any]":
        room: dict[str, Any] = found.get("room") or {}
        self._nick, self._room = room.get("nick"), str(room.get("room") or self._room)
        return room

    def _linger(self) -> None:
        """Wait for the last message to be in the room: it would be refused when we are not in it any more."""
        if not self._said or not self._inside:
            return
        params = {"for": "delivered", "id": self._said, "timeout": LINGER_S}
        try:
            self._app.call("wait", params, time.monotonic() + 2 * LINGER_S)
        except Failure as failure:
            if failure.kind != "timeout":
                self._app.out.failure(failure)
                return
            self._app.out.note(f"chatctl: the room's host has not confirmed what was said last: {inline(self._said)}")

    def _watch(self, start: object) -> None:
        self._unwatch()
        self._watcher = Watcher(self._app, self._show, start, {"room": self._room}, self._lost)
        self._inside = True
        self._watcher.start()

    def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def _show(self, events: "list[dict[str, Any]]") -> None:
        """In the watcher's thread."""
        for event in events:
            if self._ends(event):
                self._leave()
            if self._is_news(event):
                self._app.out.entries([event_line(event)])

    def _ends(self, event: "dict[str, Any]") -> bool:
        kind = event.get("type")
        return kind == "room.gone" or (kind == "room.leave" and event.get("nick") == self._nick)

    def _is_news(self, event: "dict[str, Any]") -> bool:
        """Neither ours, nor for somebody else alone: where the room is hosted, that is in the journal too."""
        kind = event.get("type")
        if kind == "receipt":
            return event.get("state") != "delivered"
        if kind == "message":
            return event.get("direction") != "out" and event.get("to") in (None, self._nick)
        return kind != "room.join" or event.get("nick") != self._nick

    def _lost(self) -> None:
        """In the watcher's thread: the daemon, a new one perhaps, does not know the room."""
        self._leave()
        self._tell_outside()

    def _tell_outside(self) -> None:
        self._app.out.note(f"not in {inline(self._room)}: CONNECT joins it, QUIT leaves the console")

    def _leave(self) -> None:
        """We are not in it any more, whoever did it: then it is not ours to leave, either."""
        self._inside = self._joined = False

    def _fail(self, failure: Failure) -> None:
        self._app.out.failure(failure)
        if failure.kind == "unknown_room":
            self._leave()

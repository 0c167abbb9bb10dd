"""The console in a room: posts what is typed, with the commands of the two room servers in docs/origins.md.

Knows the room only through the daemon. The console is inside or outside the room. It enters by CONNECT or by a
membership that exists at the start, and leaves on `room.gone` or on a `room leave` in another terminal. A membership
that CONNECT began ends with the console. Errors are printed and end nothing.
"""

import time

from chatctl.cli import sending
from chatctl.cli.verb import App
from chatctl.commands.console.event_watcher import EventWatcher
from chatctl.errors import Failure
from chatctl.text.format import event_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Exactly what the programs in docs/origins.md print.
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
WITHOUT_ARGUMENT = ("CONNECT", "QUIT")
NOT_JOINED_KINDS = ("unknown_room", "unknown_peer")
POST_TIMEOUT_S = 5.0  # the last message shall be in the room before the console leaves it


class RoomConsole:
    """Use: `open`, `execute` for each line until it returns False, `close`."""

    words = (*(usage for usage in TYPED if usage.startswith("*")), *KEYWORDS)

    def __init__(self, app: App, room: str) -> None:
        self._app = app
        self._given = room
        self._room = room  # its full name once known: a second `lobby` may appear
        self._nick: object = None
        self._inside = False
        self._joined = False  # by CONNECT in this console
        self._last_id = ""  # of our messages
        self._watcher: EventWatcher | None = None

    def open(self) -> None:
        """Print events if this node is in the room, else print how to join. Raises Failure without a daemon."""
        sending.check_utf8(self._room, "the room's name")
        self._app.start_clock()
        room = self._membership()
        if room is None:
            self._print_not_joined()
            return
        self._start_watching("now")
        if room.get("state") == "away":
            self._app.out.note(f"the host of {inline(self._room)} is away: what you say waits for it")

    def execute(self, line: str) -> bool:
        """Execute one line; return False to leave the console."""
        text = line.strip()
        if not text:
            return True
        self._app.start_clock()
        self._app.drop_dead_session()
        try:
            return self._dispatch(text)
        except Failure as failure:
            self._handle_failure(failure)
        except KeyboardInterrupt:
            self._app.close()  # the reply may still come on this session
        return True

    def close(self) -> None:
        """Stop printing events. If CONNECT has joined the room, leave it after the last message is in it."""
        try:
            if self._joined:
                self._wait_for_last_post()
        finally:
            self._stop_watching()
        if self._joined:
            try:
                self._app.call("room.leave", {"room": self._room}, time.monotonic() + POST_TIMEOUT_S)
            except Failure as failure:
                self._app.out.failure(failure)

    def _dispatch(self, text: str) -> bool:
        word, *rest = text.split(None, 1)
        if (word in WITHOUT_ARGUMENT and rest) or (word == "SEND" and not rest):
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
            self._execute_inside(text, rest[0] if word == "SEND" else None)
        return True

    def _execute_inside(self, text: str, message: str | None) -> None:
        if text == "*users":
            self._print_users()
        elif text == "*help":
            width = max(len(usage) for usage in TYPED)
            self._app.out.line("\n".join(f"{usage.ljust(width)}  {what}" for usage, what in TYPED.items()))
        else:
            self._post(text if message is None else message)

    def _post(self, text: str) -> None:
        sending.check_utf8(text, "the text")
        try:
            self._last_id = str(
                sending.call_sending(self._app, "room.say", {"room": self._room, "text": text}).get("id")
            )
        except Failure as failure:
            if failure.kind != "unknown_peer":
                raise
            self._app.out.line(NO_USER)

    def _print_users(self) -> None:
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
        """Join unless this node is a member, and start printing events."""
        position = (self._app.call("status").get("journal") or {}).get("position")
        if self._membership() is None:
            self._join()
        elif self._inside:
            return
        self._start_watching({"position": position})

    def _join(self) -> None:
        self._update_room(self._app.call_with_timeout("room.join", {"room": self._given}))
        self._joined = True

    def _membership(self) -> "dict[str, Any] | None":
        """Ask the daemon for the room; None unless this node is in it."""
        try:
            room = self._update_room(self._app.call("room.topic", {"room": self._room}))
        except Failure as failure:
            if failure.kind not in NOT_JOINED_KINDS:
                raise
            return None
        return None if self._nick is None else room

    def _update_room(self, result: "dict[str, Any]") -> "dict[str, Any]":
        room: dict[str, Any] = result.get("room") or {}
        self._nick, self._room = room.get("nick"), str(room.get("room") or self._room)
        return room

    def _wait_for_last_post(self) -> None:
        """Wait until the host has our last message: it refuses messages from nodes that have left."""
        if not self._last_id or not self._inside:
            return
        params = {"for": "delivered", "id": self._last_id, "timeout": POST_TIMEOUT_S}
        try:
            self._app.call("wait", params, time.monotonic() + 2 * POST_TIMEOUT_S)
        except Failure as failure:
            if failure.kind != "timeout":
                self._app.out.failure(failure)
                return
            self._app.out.note(
                f"chatctl: the room's host has not confirmed what was said last: {inline(self._last_id)}"
            )

    def _start_watching(self, start: object) -> None:
        self._stop_watching()
        self._watcher = EventWatcher(self._app, self._print_events, start, {"room": self._room}, self._room_unknown)
        self._inside = True
        self._watcher.start()

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def _print_events(self, events: "list[dict[str, Any]]") -> None:
        """Runs in the watcher's thread."""
        for event in events:
            if self._ends_membership(event):
                self._mark_outside()
            if self._is_news(event):
                self._app.out.entries([event_line(event)])

    def _ends_membership(self, event: "dict[str, Any]") -> bool:
        kind = event.get("type")
        return kind == "room.gone" or (kind == "room.leave" and event.get("nick") == self._nick)

    def _is_news(self, event: "dict[str, Any]") -> bool:
        """False for our own messages, and for private ones to others, which are in the journal of a hosting node."""
        kind = event.get("type")
        if kind == "receipt":
            return event.get("state") != "delivered"
        if kind == "message":
            return event.get("direction") != "out" and event.get("to") in (None, self._nick)
        return kind != "room.join" or event.get("nick") != self._nick

    def _room_unknown(self) -> None:
        """Runs in the watcher's thread when the daemon does not know the room, e.g. after it was replaced."""
        self._mark_outside()
        self._print_not_joined()

    def _print_not_joined(self) -> None:
        self._app.out.note(f"not in {inline(self._room)}: CONNECT joins it, QUIT leaves the console")

    def _mark_outside(self) -> None:
        """The membership has ended, so `close` must not leave the room either."""
        self._inside = self._joined = False

    def _handle_failure(self, failure: Failure) -> None:
        self._app.out.failure(failure)
        if failure.kind == "unknown_room":
            self._mark_outside()

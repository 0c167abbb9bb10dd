"""MessageLog: one log line for each committed message, sent or received, direct or in a room (`--log-messages`).

Lines are bounded in length and number, because peers decide how much they send. Holds no messages and never waits.
Called by the journal at each commit, and by maintenance at the end of a window.
"""

import logging
from collections.abc import Sequence

import msgspec
import trio

from chatd.api.events import Message
from chatd.journal.batch import Entry

SHOWN = 200  # characters of a text
LINES = 100  # per window
WINDOW_S = 5.0
log = logging.getLogger("chatd.messages")


class MessageLog:
    """The lines of one node: at most LINES in a window, then how many were left out."""

    def __init__(self) -> None:
        self._ends_at = float("-inf")  # trio's clock at the end of the window
        self._written = 0
        self._omitted = 0

    def record(self, entries: Sequence[Entry]) -> None:
        """Write a line for each message among the entries of a commit, or count it as left out."""
        if not log.isEnabledFor(logging.INFO):
            return
        self.end_window()
        for entry in entries:
            if entry.type != "message":
                continue
            if self._written == LINES:
                self._omitted += 1
                continue
            if not self._written:
                self._ends_at = trio.current_time() + WINDOW_S
            self._written += 1
            event = entry.event
            assert isinstance(event, Message)
            _write(event)

    def end_window(self) -> None:
        """End the window if its time is over: the next message starts another one."""
        if self._written and trio.current_time() >= self._ends_at:
            self._written = 0
            self.report_omitted()

    def report_omitted(self) -> None:
        """Write how many messages were left out since the last report, if any."""
        if self._omitted:
            fields = {"messages": self._omitted, "lines": LINES, "seconds": WINDOW_S}
            log.info("messages left out of this log: %(messages)d (more than %(lines)d in %(seconds)g s)", fields)
            self._omitted = 0


def _write(message: Message) -> None:
    fields: dict[str, object] = {
        "direction": message.direction,
        "id": message.id,
        "global_id": message.global_id,
        "text": _shortened(message.text),
        "characters": len(message.text),
    }
    if message.room is not None:
        fields |= {"room": message.room, "nick": message.nick}
        if message.to is msgspec.UNSET:
            log.info("message in %(room)s from %(nick)s: %(text)s", fields)
        else:
            log.info("message in %(room)s from %(nick)s to %(to)s alone: %(text)s", fields | {"to": message.to})
    elif message.direction == "out":
        log.info("message to %(peer)s: %(text)s", fields | {"peer": message.peer.name})
    else:
        log.info("message from %(peer)s: %(text)s", fields | {"peer": message.peer.name})


def _shortened(text: str) -> str:
    """At most SHOWN characters, after a note if there are more."""
    return text if len(text) <= SHOWN else f"(first {SHOWN} of {len(text)} characters) {text[:SHOWN]}"

"""A named consumer as its reader sees it: what it has processed, and what the daemon has confirmed of that.

An acknowledgement is a value, not a queue. One request is open at a time; what is processed meanwhile goes with the
next. Knows requests and replies; the session belongs to the `Follower`.
"""

from chatctl.errors import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from chatctl.rpc.session import ControlSession


class ConsumerCursor:
    """Cursor of the consumer `name`. `filter_given`: the user asked for a filter, so a different one is an error."""

    def __init__(self, name: str, window: int, *, takeover: bool = False, filter_given: bool = False) -> None:
        self.name = name
        self.takeover = takeover
        self.filter_given = filter_given
        self.processed = ""  # the position to acknowledge
        self._window = window
        self._requested = self._confirmed = ""
        self._open_request = 0  # 0: none
        self._refused = False  # by a daemon that is shutting down: the next daemon gets the request

    @property
    def is_confirmed(self) -> bool:
        """Whether the daemon has confirmed everything that is processed."""
        return self._confirmed == self.processed

    def subscribe_params(self) -> "dict[str, object]":
        return {"as": self.name, "window": self._window, **({"takeover": True} if self.takeover else {})}

    def send_ack(self, session: "ControlSession") -> None:
        """Acknowledge what is processed, unless a request is open or nothing is new."""
        if self._open_request or self._refused or self.is_confirmed:
            return
        self._requested = self.processed
        self._open_request = session.send_request("ack", {"consumer": self.name, "position": self.processed})

    def handle_reply(self, message: "Mapping[str, Any]") -> bool:
        """Process the reply to the open request; return False for any other message. Raises Failure if refused."""
        if not self._open_request or message.get("id") != self._open_request:
            return False
        self._open_request = 0
        if "error" in message:
            failure = refusal(message["error"])
            if failure.kind != "shutting_down":
                raise failure
            self._refused = True
        else:
            self._confirmed = self._requested
        return True

    def forget_request(self) -> None:
        """The session has ended: the open request may or may not have been read."""
        self._open_request = 0
        self._refused = False

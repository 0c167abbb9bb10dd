"""A named consumer as its holder sees it: what it has done, and what of that the daemon has confirmed.

An acknowledgement is a value, not a queue: one request is under way at a time, and what is done meanwhile goes with the
next. Knows requests and replies; the session is its follower's.
"""

from chatctl.errors import refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from chatctl.rpc.session import Session


class Consumer:
    """The cursor `name`. `chosen`: its filter was asked for, so that another one is an error."""

    def __init__(self, name: str, window: int, *, takeover: bool = False, chosen: bool = False) -> None:
        self.name = name
        self.takeover = takeover
        self.chosen = chosen
        self.done = ""  # the position to acknowledge
        self._window = window
        self._asked = self._confirmed = ""
        self._number = 0  # of the request under way; 0: none
        self._refused = False  # by a daemon that stops: the next one is told

    @property
    def settled(self) -> bool:
        """Whether the daemon has confirmed all that is done."""
        return self._confirmed == self.done

    def params(self) -> "dict[str, object]":
        """What `subscribe` has to know."""
        return {"as": self.name, "window": self._window, **({"takeover": True} if self.takeover else {})}

    def say(self, session: "Session") -> None:
        """Acknowledge what is done, unless a request is under way. Raises SessionEnded."""
        if self._number or self._refused or self.settled:
            return
        self._asked = self.done
        self._number = session.ask("ack", {"consumer": self.name, "position": self.done})

    def heard(self, message: "Mapping[str, Any]") -> bool:
        """Take in the reply to the request under way; False if this is another message. Raises its refusal."""
        if not self._number or message.get("id") != self._number:
            return False
        self._number = 0
        if "error" in message:
            failure = refusal(message["error"])
            if failure.kind != "shutting_down":
                raise failure
            self._refused = True
        else:
            self._confirmed = self._asked
        return True

    def lost(self) -> None:
        """The session has ended: whether the request under way was heard, nobody knows."""
        self._number = 0
        self._refused = False

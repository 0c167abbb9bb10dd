"""Extracts the events from the lines that the daemon sends, without decoding them.

Knows the shape of a notification; knows no event. Used by `Follower`.
"""

import json

from chatctl.rpc.session import parse_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SHAPES = 16  # a session has two: replayed events and new ones
_EVENT_KEY = b'"event":'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class EventSplitter:
    """Returns the JSON of events as the daemon wrote it.

    The first line of each shape is decoded, to check that the part between its head and `}}` is exactly the event.
    Later lines with that head are cut without decoding. A daemon with another shape has every line decoded.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, bool] = {}

    def split(self, lines: list[bytes]) -> "tuple[list[bytes], list[dict[str, Any]]]":
        """Return the events in `lines`, and the other messages."""
        events: list[bytes] = []
        others: list[dict[str, Any]] = []
        for line in lines:
            head, _, rest = line.partition(_EVENT_KEY)
            if self._heads.get(head) and rest.endswith(b"}}"):
                events.append(rest[:-2])
                continue
            message = parse_message(line)
            if message.get("method") == "event":
                events.append(self._learn_shape(head, rest, message["params"]["event"]))
            else:
                others.append(message)
        return events, others

    def _learn_shape(self, head: bytes, rest: bytes, event: object) -> bytes:
        if len(self._heads) >= MAX_SHAPES:
            self._heads.clear()
        try:
            self._heads[head] = bool(json.loads(rest[:-2]) == event)
        except ValueError:
            self._heads[head] = False
        return _encode(event).encode(errors="backslashreplace")

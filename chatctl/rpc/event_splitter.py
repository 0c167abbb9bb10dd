"""Cuts the events out of what the daemon sends, at the price of no decoding.

Knows the shape of a notification; knows no event.
"""

import json

from chatctl.rpc.session import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHAPES = 16  # a session has two: replayed events and new ones
_MARK = b'"event":'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Cutter:
    """Gives the JSON of events as the daemon wrote it.

    The first line of each shape is decoded, to see whether what follows its head up to `}}` is the event and nothing
    else; lines with that head are then cut without decoding. Any other daemon's shape is decoded every time.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, bool] = {}

    def cut(self, lines: list[bytes]) -> "tuple[list[bytes], list[dict[str, Any]]]":
        """The events among `lines`, and the other messages."""
        events: list[bytes] = []
        others: list[dict[str, Any]] = []
        for line in lines:
            head, _, rest = line.partition(_MARK)
            if self._heads.get(head) and rest.endswith(b"}}"):
                events.append(rest[:-2])
                continue
            message = parse(line)
            if message.get("method") == "event":
                events.append(self._learned(head, rest, message["params"]["event"]))
            else:
                others.append(message)
        return events, others

    def _learned(self, head: bytes, rest: bytes, event: object) -> bytes:
        if len(self._heads) >= SHAPES:
            self._heads.clear()
        try:
            self._heads[head] = bool(json.loads(rest[:-2]) == event)
        except ValueError:
            self._heads[head] = False
        return _encode(event).encode(errors="backslashreplace")

r"""`--format TEMPLATE`: replaces `{field}`; `{{` and `}}` are braces; `\t`, `\n` and `\\` are escapes as usual.

No expressions, attributes or conversions: a template can reach these fields only. Every value is escaped to one line.
A field that an event does not have is empty. Used by `tail` and `history`.
"""

import re

from chatctl.text.format import local_time
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from re import Match
    from typing import Any

PEER_FIELDS = {"peer": "name", "slot": "slot", "node": "node", "kind": "kind"}
_MESSAGE_FIELDS = ("at", "type", "direction", "text", "position", "id", "global_id", "re", "state")
EVENT_FIELDS = (*_MESSAGE_FIELDS, "room", "nick", "to", "address", "reason")
FIELDS = (*EVENT_FIELDS, "time", *PEER_FIELDS)
_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\\(.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "\\": "\\"}


class Template:
    """A template. Raises ValueError for an unknown field or a lone brace."""

    def __init__(self, text: str) -> None:
        for match in _PARTS.finditer(text):
            if match[0] in "{}":
                raise ValueError(f"a lone {match[0]} at character {match.start() + 1}; write it twice for a brace")
            if match[1] is not None and match[1] not in FIELDS:
                raise ValueError(f"no field {match[0]}; there are {' '.join(FIELDS)}")
        self._text = text

    def line(self, event: "Mapping[str, Any]") -> str:
        def replacement(match: "Match[str]") -> str:
            if match[1] is not None:
                return _value(event, match[1])
            if match[2] is not None:
                return _ESCAPES.get(match[2], match[0])
            return match[0][0]

        return _PARTS.sub(replacement, self._text)


def _value(event: "Mapping[str, Any]", field: str) -> str:
    if field == "time":
        return local_time(event.get("at"))
    if field in PEER_FIELDS:
        peer = event.get("peer")
        value = peer.get(PEER_FIELDS[field]) if isinstance(peer, dict) else None
    else:
        value = event.get(field)
    return "" if value is None else inline(str(value))

"""What chatctl has to know of an event before somebody reads it: its place, and whether it is a gap."""

import json


def position_of(event: bytes) -> str:
    """The position of an event that is still JSON."""
    return str(json.loads(event)["position"])


def seq(position: object) -> int:
    """The number in a position: it rises for a journal's whole life, whatever the epoch."""
    try:
        return int(str(position).rpartition(":")[2])
    except ValueError:
        return 0


def is_gap(event: bytes) -> bool:
    """Whether an event says that others are missing."""
    return b'"gap"' in event and json.loads(event).get("type") == "gap"

"""The position of an event, and whether it is a gap, from the event as the daemon wrote it."""

import json


def position_of(event: bytes) -> str:
    return str(json.loads(event)["position"])


def seq(position: object) -> int:
    """Sequence number in a position: 42 for `7kq2m4xa:42`, 0 for anything else. It rises across epochs."""
    try:
        return int(str(position).rpartition(":")[2])
    except ValueError:
        return 0


def is_gap(event: bytes) -> bool:
    return b'"gap"' in event and json.loads(event).get("type") == "gap"

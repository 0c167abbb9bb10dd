"""Reasons why links end, as `list`, `tail` and the log show them."""

import errno
import os
from typing import Final

# How connections with plain programs end.
CLOSED: Final = "closed by peer"
SENT_THEN_CLOSED: Final = "sent, then closed by peer"
RESET: Final = "reset"
STALLED: Final = "stalled"
TOO_SLOW: Final = "too slow"
SILENT: Final = "silent"
SHUTDOWN: Final = "shutdown"
STORAGE_FULL: Final = "storage_full"
STORAGE_LOST: Final = "storage_lost"
LINE_TOO_LONG: Final = "line too long"

# Our reasons that a Bye carries unchanged; every other reason is sent as `protocol`.
SENT_IN_BYE: Final = frozenset(
    {"terminated", "shutdown", "storage_full", "storage_lost", "denied", "duplicate", "protocol"}
)

# What a peer's Bye means: for a link that was up, and for a handshake.
_MEANINGS: Final = {
    "shutdown": ("peer stopped", "it is stopping"),
    "storage_full": ("peer's disk is full", "its disk is full"),
    "storage_lost": ("peer's storage was lost for a while", "its storage was lost for a while"),
    "terminated": ("terminated by peer", "it has terminated this connection"),
    "duplicate": ("duplicate", "it is connected to this node already"),
    "denied": ("denied by peer", "it does not let this node talk to it"),
    "pending": ("peer waits for `peer accept`", "it waits for `chatctl peer accept {node}` there"),
}
_PROTOCOL: Final = ("peer reports a protocol error", "it reports a protocol error")


def ended(bye: str) -> str:
    """Why a link ended: text for the reason in the peer's Bye."""
    return _MEANINGS.get(bye, _PROTOCOL)[0]


def refused(bye: str, node: str = "ID") -> str:
    """Why a handshake failed: text for the reason in the peer's Bye; `node`: the prefix of our id for `peer accept`."""
    return _MEANINGS.get(bye, _PROTOCOL)[1].format(node=node)


def is_reset(error: object) -> bool:
    """Whether an exception of a socket means that the other end reset the connection."""
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def broken(error: OSError) -> str:
    """Why a link ended: text for the error of a socket call."""
    if is_reset(error):
        return RESET
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]

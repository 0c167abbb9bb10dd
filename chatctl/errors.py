"""Failures of chatctl and their exit statuses.

`Failure` is the only exception for expected errors: `__main__` prints it and exits, the console prints it and
continues. Knows the error objects of JSON-RPC; imports nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DONE, FAILED, USAGE, NO_DAEMON, UNKNOWN, REFUSED, CONFLICT, GAP, TIMED_OUT, INTERRUPTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    124,
    130,
)

# Kinds from the daemon's error table, then those of chatctl itself and of JSON-RPC.
EXIT_STATUS = {
    "unknown_peer": UNKNOWN,
    "ambiguous_peer": UNKNOWN,
    "unknown_room": UNKNOWN,
    "unknown_message": UNKNOWN,
    "peer_offline": FAILED,
    "outbox_full": REFUSED,
    "too_large": REFUSED,
    "expired": FAILED,
    "rejected": REFUSED,
    "bad_text": USAGE,
    "forbidden": REFUSED,
    "rate_limited": REFUSED,
    "conflict": CONFLICT,
    "timeout": TIMED_OUT,
    "shutting_down": NO_DAEMON,
    "cursor_gone": GAP,
    "connect_failed": FAILED,
    "storage_full": REFUSED,
    "outcome_unknown": FAILED,
    "storage_lost": REFUSED,
    "session_evicted": NO_DAEMON,
    "usage": USAGE,
    "no_daemon": NO_DAEMON,
    "invalid_params": USAGE,
}
PROTOCOL_KINDS = {
    -32700: "parse_error",
    -32600: "invalid_request",
    -32601: "unknown_method",
    -32602: "invalid_params",
    -32603: "internal_error",
}


class Failure(Exception):
    """An error of a verb: `kind` decides the exit status, `hint` is the remedy.

    `details` are further fields of the daemon's error, e.g. the `id` of a message that was accepted before a timeout.
    """

    def __init__(self, kind: str, message: str, hint: str = "", details: "Mapping[str, object] | None" = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.details = details or {}

    @property
    def exit_status(self) -> int:
        """1 for a kind that this version does not know."""
        return EXIT_STATUS.get(self.kind, FAILED)


class SessionEnded(Failure):
    """The daemon closed the session or died. Unanswered requests may or may not have been executed."""

    def __init__(self, message: str = "the daemon ended the session") -> None:
        super().__init__("no_daemon", message, "it was stopped, or restarted: chatctl wait ready")


class SessionEvicted(SessionEnded):
    """The daemon closed the session because it was idle. It has read no unanswered request."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.kind, self.hint = "session_evicted", hint


def refusal(error: "Mapping[str, object]") -> Failure:
    """Convert a JSON-RPC error object."""
    data = error.get("data")
    known = data if isinstance(data, dict) else {}
    code = error.get("code")
    kind = known.get("kind") or (PROTOCOL_KINDS.get(code) if isinstance(code, int) else None) or "internal_error"
    hint = known.get("hint") or ("is the daemon another version? chatctl status" if kind == "unknown_method" else "")
    details = {name: value for name, value in known.items() if name not in ("kind", "hint", "retryable")}
    message = str(error.get("message") or kind)
    if kind == "session_evicted":
        return SessionEvicted(message, str(hint))
    return Failure(str(kind), message, str(hint), details)

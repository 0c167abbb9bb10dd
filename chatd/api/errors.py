"""The error table: every error that a client can get, with its code and the exit status of chatctl.

Clients rely on `kind`. Code below control/ that serves a request may raise a `ControlError`: the session puts it into
the response.
"""

# kind -> (code, chatctl's exit status, retryable)
TABLE: dict[str, tuple[int, int, bool]] = {
    "unknown_peer": (201, 4, False),
    "ambiguous_peer": (202, 4, False),
    "unknown_room": (203, 4, False),
    "unknown_message": (204, 4, False),
    "peer_offline": (301, 1, True),
    "outbox_full": (302, 5, True),
    "too_large": (303, 5, False),
    "expired": (304, 1, False),
    "rejected": (305, 5, False),
    "bad_text": (306, 2, False),
    "forbidden": (401, 5, False),
    "rate_limited": (402, 5, True),
    "conflict": (501, 6, False),
    "timeout": (502, 124, True),
    "shutting_down": (503, 3, True),
    "cursor_gone": (504, 7, False),
    "connect_failed": (505, 1, True),
    "storage_full": (506, 5, True),
    "outcome_unknown": (507, 1, False),
    "storage_lost": (508, 5, False),
    "session_evicted": (509, 3, True),
}

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class ControlError(Exception):
    """An error with its `kind` from TABLE, one sentence, a hint with the remedy, and further data fields."""

    def __init__(self, kind: str, message: str, hint: str = "", **details: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.code, self.exit_status, self.retryable = TABLE[kind]
        self.message = message
        self.hint = hint
        self.details = details

    def again(self) -> "ControlError":
        """A copy to raise: a shared exception would collect the tracebacks of all tasks that raise it."""
        return ControlError(self.kind, self.message, self.hint, **self.details)

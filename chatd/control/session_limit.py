"""SessionLimit: the bound on sessions, and which client gets one when all places are taken.

The setting `sessions` bounds ordinary sessions. RESERVED more places are for an operator: a session there may call
OPERATOR_METHODS only. A client that connects when all ordinary places are taken starts in the reserve, and its first
request decides: any other method needs an ordinary place, which the longest idle session gives up, if there is one.
No I/O: a session that is dismissed ends itself.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import trio

from chatd.api.errors import ControlError

RESERVED = 8
OPERATOR_METHODS = frozenset({"health", "status", "shutdown"})
EVICT_AFTER_S = 600.0  # idle
EVICTED = ("this session was idle and another client needs its place", "connect again: nothing was lost")
ONLY_OPERATORS = "close one, or raise `sessions`; health, status and shutdown are still answered"


class LimitedSession(Protocol):
    """The part of a session that this module knows."""

    @property
    def reserved(self) -> bool: ...  # in the reserve
    @property
    def has_requested(self) -> bool: ...  # has sent a valid request
    @property
    def idle_since(self) -> float | None: ...  # None: it has a subscription, an open request or unwritten responses

    def dismiss(self, error: ControlError) -> None: ...
    def treat_as_ordinary(self) -> None: ...


S = TypeVar("S", bound=LimitedSession)


class SessionLimit(Generic[S]):
    """All sessions of one control socket, oldest first. `has_descriptors`: whether the process has free descriptors."""

    def __init__(self, most: int, has_descriptors: Callable[[], bool]) -> None:
        self._most = most
        self._has_descriptors = has_descriptors
        self._ordinary: dict[S, None] = {}
        self._reserve: dict[S, None] = {}

    def __len__(self) -> int:
        return len(self._ordinary) + len(self._reserve)

    def __iter__(self) -> Iterator[S]:
        return iter([*self._ordinary, *self._reserve])

    @property
    def is_full(self) -> bool:
        """Whether all ordinary places are taken."""
        return len(self._ordinary) >= self._most

    def free_reserve(self) -> bool:
        """Free a place in the reserve: that of the oldest silent session, else of an idle one. Whether one is free."""
        if len(self._reserve) < RESERVED:
            return True
        silent = next((session for session in self._reserve if not session.has_requested), None)
        idle = next((session for session in self._reserve if session.idle_since is not None), None)
        if silent is not None:
            silent.treat_as_ordinary()
            self._reserve.pop(silent, None)
        elif idle is not None:
            self._evict(idle)
        return len(self._reserve) < RESERVED

    def add(self, session: S) -> None:
        """Add a new session; call `free_reserve` before, for one in the reserve."""
        (self._reserve if session.reserved else self._ordinary)[session] = None

    def remove(self, session: S) -> None:
        self._ordinary.pop(session, None)
        self._reserve.pop(session, None)

    def promote(self, session: S) -> ControlError | None:
        """Move a session from the reserve to an ordinary place; or return why there is none."""
        if not self._has_descriptors():
            hint = "health, status and shutdown are still answered"
            return ControlError("rate_limited", "this node is out of file descriptors", hint)
        if self.is_full and not self._evict_longest_idle():
            return ControlError("rate_limited", f"all {self._most} sessions are taken", ONLY_OPERATORS)
        self._reserve.pop(session, None)
        self._ordinary[session] = None
        return None

    def _evict_longest_idle(self) -> bool:
        idle = [session for session in self._ordinary if session.idle_since is not None]
        session = min(idle, key=lambda idle_session: idle_session.idle_since or 0.0, default=None)
        if session is None or trio.current_time() - (session.idle_since or 0.0) < EVICT_AFTER_S:
            return False
        self._evict(session)
        return True

    def _evict(self, session: S) -> None:
        session.dismiss(ControlError("session_evicted", *EVICTED))
        self.remove(session)

"""Places: how many sessions there may be, and which client gets in when all places are taken.

Ordinary sessions are bounded by the setting `sessions`. RESERVED more places are for an operator: a session there may
call OPERATOR_METHODS only. A client that comes when all ordinary places are taken starts in the reserve, and its first
request decides: any other method needs an ordinary place, which an idle session has to give up, if there is one.
No I/O; sessions end themselves when they are told.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import trio

from chatd.api.errors import ControlError

RESERVED = 8
OPERATOR_METHODS = frozenset({"health", "status", "shutdown"})
EVICT_AFTER_S = 600.0  # of idleness
EVICTED = ("this session was idle and another client needs its place", "connect again: nothing was lost")
ONLY_OPERATORS = "close one, or raise `sessions`; health, status and shutdown are still answered"


class Seat(Protocol):
    """What places know about a session."""

    @property
    def reserved(self) -> bool: ...  # it is in the reserve
    @property
    def asked(self) -> bool: ...  # its first request was understood
    @property
    def idle_since(self) -> float | None: ...  # None: it has a subscription, an open request or unwritten answers

    def dismiss(self, error: ControlError) -> None: ...
    def give_way(self) -> None: ...


S = TypeVar("S", bound=Seat)


class SessionLimit(Generic[S]):
    """All sessions of one control socket, oldest first. `has_descriptors`: whether the process has free ones."""

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
    def full(self) -> bool:
        """All ordinary places are taken."""
        return len(self._ordinary) >= self._most

    def make_way(self) -> bool:
        """Have a place in the reserve free: the oldest session that has said nothing yet gives way, or is idle."""
        if len(self._reserve) < RESERVED:
            return True
        silent = next((seat for seat in self._reserve if not seat.asked), None)
        idle = next((seat for seat in self._reserve if seat.idle_since is not None), None)
        if silent is not None:
            silent.give_way()
            self._reserve.pop(silent, None)
        elif idle is not None:
            self._evict(idle)
        return len(self._reserve) < RESERVED

    def add(self, seat: S) -> None:
        """A session begins. For one in the reserve, `make_way` was asked."""
        (self._reserve if seat.reserved else self._ordinary)[seat] = None

    def leave(self, seat: S) -> None:
        """A session has ended, or ends and counts no longer."""
        self._ordinary.pop(seat, None)
        self._reserve.pop(seat, None)

    def promote(self, seat: S) -> ControlError | None:
        """Give a session of the reserve an ordinary place; else why there is none."""
        if not self._has_descriptors():
            hint = "health, status and shutdown are still answered"
            return ControlError("rate_limited", "this node is out of file descriptors", hint)
        if self.full and not self._evict_longest_idle():
            return ControlError("rate_limited", f"all {self._most} sessions are taken", ONLY_OPERATORS)
        self._reserve.pop(seat, None)
        self._ordinary[seat] = None
        return None

    def _evict_longest_idle(self) -> bool:
        idle = [seat for seat in self._ordinary if seat.idle_since is not None]
        seat = min(idle, key=lambda one: one.idle_since or 0.0, default=None)
        if seat is None or trio.current_time() - (seat.idle_since or 0.0) < EVICT_AFTER_S:
            return False
        self._evict(seat)
        return True

    def _evict(self, seat: S) -> None:
        seat.dismiss(ControlError("session_evicted", *EVICTED))
        self.leave(seat)

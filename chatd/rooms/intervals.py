"""Membership intervals: the parts of hosted rooms that each member node must receive.

An interval exists until the node has acknowledged its end, so a node that was offline gets everything up to its leave.
State only: `hosted.py` decides and writes the rows; the senders of the links read.
"""

from collections.abc import Iterable, Iterator

from chatd.peers.outbox import NEVER
from chatd.rooms.room import HostedRoom


class MembershipInterval:
    """The events of a room from `since` to `until`, both included. `until` is NEVER while the node is a member."""

    __slots__ = ("room", "since", "until")

    def __init__(self, room: HostedRoom, since: int, until: int = NEVER) -> None:
        self.room = room
        self.since = since
        self.until = until

    def contains(self, seq: int) -> bool:
        return self.since <= seq <= self.until


class MembershipIntervals:
    """Intervals of all nodes. `of_node` returns the same tuple until an interval of the node changes."""

    __slots__ = ("_by_node", "_cached")

    def __init__(self) -> None:
        self._by_node: dict[str, list[MembershipInterval]] = {}
        self._cached: dict[str, tuple[MembershipInterval, ...]] = {}

    def __iter__(self) -> Iterator[tuple[str, MembershipInterval]]:
        return ((node, interval) for node, intervals in self._by_node.items() for interval in intervals)

    def of_node(self, node: str) -> tuple[MembershipInterval, ...]:
        cached = self._cached.get(node)
        if cached is None:
            if node not in self._by_node:
                return ()  # not cached: this is called for strangers too
            cached = self._cached[node] = tuple(self._by_node[node])
        return cached

    def add(self, node: str, interval: MembershipInterval) -> None:
        self._by_node.setdefault(node, []).append(interval)
        self._cached.pop(node, None)

    def remove(self, node: str, interval: MembershipInterval) -> None:
        intervals = self._by_node.get(node, [])
        if interval in intervals:
            intervals.remove(interval)
        if not intervals:
            self._by_node.pop(node, None)
        self._cached.pop(node, None)

    def set_end(self, node: str, interval: MembershipInterval, until: int) -> None:
        """Set the last seq of an interval; NEVER reopens it."""
        interval.until = until
        self._cached.pop(node, None)

    def current(self, node: str, room: HostedRoom) -> MembershipInterval | None:
        intervals = self.of_node(node)
        return next((interval for interval in intervals if interval.room is room and interval.until == NEVER), None)

    def has_past(self, node: str, name: str) -> bool:
        """Whether the node has an unacknowledged past interval in a room with that name."""
        return any(interval.room.name == name and interval.until != NEVER for interval in self.of_node(node))

    def count_past(self, node: str) -> int:
        """Number of unacknowledged past intervals of a node."""
        return sum(interval.until != NEVER for interval in self.of_node(node))

    def ended_by(self, node: str, through: int) -> Iterable[MembershipInterval]:
        """Intervals of a node that end at or before `through`."""
        return [interval for interval in self.of_node(node) if interval.until <= through]

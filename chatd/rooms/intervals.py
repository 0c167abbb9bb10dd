"""Feeds: which parts of which hosted rooms a member node is owed: what lies in the intervals in which it was in them.

An interval is there until the node has acknowledged its end, so that who was away gets everything up to its leaving.
Only state: rooms.py decides, and writes the rows.
"""

from collections.abc import Iterable, Iterator

from chatd.peers.outbox import NEVER
from chatd.rooms.room import HostedRoom


class MembershipInterval:
    """What lies in [since, until] of a room's topic. `until` is NEVER while the node is in the room."""

    __slots__ = ("room", "since", "until")

    def __init__(self, room: HostedRoom, since: int, until: int = NEVER) -> None:
        self.room = room
        self.since = since
        self.until = until

    def contains(self, seq: int) -> bool:
        """Whether the node is owed what is there."""
        return self.since <= seq <= self.until


class MembershipIntervals:
    """Those of all nodes. What `of` gives is the same object until it changes."""

    __slots__ = ("_by_node", "_tuples")

    def __init__(self) -> None:
        self._by_node: dict[str, list[MembershipInterval]] = {}
        self._tuples: dict[str, tuple[MembershipInterval, ...]] = {}

    def __iter__(self) -> Iterator[tuple[str, MembershipInterval]]:
        return ((node, interval) for node, intervals in self._by_node.items() for interval in intervals)

    def of_node(self, node: str) -> tuple[MembershipInterval, ...]:
        """What that node is owed."""
        shown = self._tuples.get(node)
        if shown is None:
            if node not in self._by_node:
                return ()  # not remembered: strangers ask for theirs
            shown = self._tuples[node] = tuple(self._by_node[node])
        return shown

    def add(self, node: str, interval: MembershipInterval) -> None:
        """One more."""
        self._by_node.setdefault(node, []).append(interval)
        self._tuples.pop(node, None)

    def remove(self, node: str, interval: MembershipInterval) -> None:
        """One less."""
        intervals = self._by_node.get(node, [])
        if interval in intervals:
            intervals.remove(interval)
        if not intervals:
            self._by_node.pop(node, None)
        self._tuples.pop(node, None)

    def set_end(self, node: str, interval: MembershipInterval, until: int) -> None:
        """It ends there; with NEVER it goes on after all."""
        interval.until = until
        self._tuples.pop(node, None)

    def current(self, node: str, room: HostedRoom) -> MembershipInterval | None:
        """The one of a room that the node is in."""
        return next(
            (interval for interval in self.of_node(node) if interval.room is room and interval.until == NEVER), None
        )

    def has_past(self, node: str, name: str) -> bool:
        """Whether the node has not got to the end of a former time in a room of that name."""
        return any(interval.room.name == name and interval.until != NEVER for interval in self.of_node(node))

    def count_past(self, node: str) -> int:
        """How many former times of the node in rooms are not acknowledged to their end."""
        return sum(interval.until != NEVER for interval in self.of_node(node))

    def ended_by(self, node: str, through: int) -> Iterable[MembershipInterval]:
        """Those that lie before a position."""
        return [interval for interval in self.of_node(node) if interval.until <= through]

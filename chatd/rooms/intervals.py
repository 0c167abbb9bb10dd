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

    __slots__ = ("_by_node", "_shown")

    def __init__(self) -> None:
        self._by_node: dict[str, list[MembershipInterval]] = {}
        self._shown: dict[str, tuple[MembershipInterval, ...]] = {}

    def __iter__(self) -> Iterator[tuple[str, MembershipInterval]]:
        return ((node, feed) for node, feeds in self._by_node.items() for feed in feeds)

    def of(self, node: str) -> tuple[MembershipInterval, ...]:
        """What that node is owed."""
        shown = self._shown.get(node)
        if shown is None:
            if node not in self._by_node:
                return ()  # not remembered: strangers ask for theirs
            shown = self._shown[node] = tuple(self._by_node[node])
        return shown

    def add(self, node: str, feed: MembershipInterval) -> None:
        """One more."""
        self._by_node.setdefault(node, []).append(feed)
        self._shown.pop(node, None)

    def drop(self, node: str, feed: MembershipInterval) -> None:
        """One less."""
        feeds = self._by_node.get(node, [])
        if feed in feeds:
            feeds.remove(feed)
        if not feeds:
            self._by_node.pop(node, None)
        self._shown.pop(node, None)

    def end(self, node: str, feed: MembershipInterval, until: int) -> None:
        """It ends there; with NEVER it goes on after all."""
        feed.until = until
        self._shown.pop(node, None)

    def open(self, node: str, room: HostedRoom) -> MembershipInterval | None:
        """The one of a room that the node is in."""
        return next((feed for feed in self.of(node) if feed.room is room and feed.until == NEVER), None)

    def ending(self, node: str, name: str) -> bool:
        """Whether the node has not got to the end of a former time in a room of that name."""
        return any(feed.room.name == name and feed.until != NEVER for feed in self.of(node))

    def past(self, node: str) -> int:
        """How many former times of the node in rooms are not acknowledged to their end."""
        return sum(feed.until != NEVER for feed in self.of(node))

    def ended(self, node: str, through: int) -> Iterable[MembershipInterval]:
        """Those that lie before a position."""
        return [feed for feed in self.of(node) if feed.until <= through]

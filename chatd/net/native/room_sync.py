"""Room talk: what the two ends of a native link tell each other of rooms that is true now, and not at a position.

As a member: the rooms of the peer that we are in. As a host: for each room that the peer declares, who is in it, or
that it cannot be. Values, not queues: however often something changes, it is told once, at the next write.
"""

from chatd.peers.peer import NativeLink, Peer
from chatd.rooms.declarations import DeclarationAnswer
from chatd.rooms.room import HostedRoom
from chatd.rooms.router import RoomRouter
from chatd.wire.frames import Frame, Gone, Rooms, Roster


class RoomSync:
    """That of one link."""

    __slots__ = ("_declare", "_gone", "_peer", "_rosters", "_router", "_unanswered")

    def __init__(self, router: RoomRouter, peer: Peer) -> None:
        self._router = router
        self._peer = peer
        self._declare = False  # tell in which rooms we are
        self._gone: list[Gone] = []
        self._rosters: list[HostedRoom] = []  # that are to be told
        self._unanswered: list[str] = []  # rooms of which the peer is to learn in its feed that it is not in them

    def declare(self) -> None:
        """In which rooms of the peer we are has changed, or is not known there."""
        self._declare = True

    @property
    def is_waiting(self) -> bool:
        """Something may be due as soon as the peer has acknowledged more."""
        return bool(self._unanswered)

    def receive(self, frame: Rooms | Roster | Gone, link: NativeLink) -> None:
        """One that came."""
        memberships = self._router.joined_rooms
        if isinstance(frame, Roster):
            memberships.receive_roster(self._peer, frame)
        elif isinstance(frame, Gone):
            memberships.receive_gone(self._peer, frame)
        else:
            answer = self._router.declarations.receive(self._peer, link, frame)
            if answer is not None:
                self._answer(answer, frame)

    def _answer(self, answer: DeclarationAnswer, frame: Rooms) -> None:
        self._gone, self._rosters = answer
        answered = {one.room for one in self._gone} | {room.name for room in self._rosters}
        self._unanswered = [name for name, _, _ in frame.rooms if name not in answered]

    def take_frames(self) -> list[Frame]:
        """What is to be told now. A room that the peer has come to, only once that is committed."""
        frames: list[Frame] = []
        node = self._peer.node or ""
        if self._declare:
            self._declare = False
            frames.append(Rooms(self._router.joined_rooms.version, self._router.joined_rooms.declaration(node)))
        frames += self._gone + self._ended(node)
        self._gone = []
        waiting: list[HostedRoom] = []
        for room in self._rosters:
            if self._router.declarations.is_committed_member(node, room):
                frames += self._router.declarations.rosters(node, room)
            elif node in room.by_node:
                waiting.append(room)
        self._rosters = waiting
        return frames

    def _ended(self, node: str) -> list[Gone]:
        """Of the rooms that were not answered those whose feed the peer has got to the end of.

        It knows by then that it is not in them, unless it took that end for a duplicate: our journal was restored.
        """
        feeds, rooms = self._router.hosted_rooms.intervals, self._router.hosted_rooms
        over = [name for name in self._unanswered if not feeds.has_past(node, name)]
        if not over:
            return []
        self._unanswered = [name for name in self._unanswered if name not in over]
        known = {name: rooms.get(name) for name in over}
        return [
            Gone(name, "unknown_room", "it ended long ago")
            for name, room in known.items()
            if room is None or node not in room.by_node
        ]

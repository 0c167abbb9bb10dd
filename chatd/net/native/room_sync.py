"""Room state that both ends of a native link exchange: current values, not events at positions.

As a member: the rooms of the peer that we are in. As a host: for each room that the peer declares, its members, or that
the peer is not in it. A value that changes several times before the next write is sent once. Called by `link.py`.
"""

from chatd.peers.peer import NativeLink, Peer
from chatd.rooms.declarations import DeclarationAnswer
from chatd.rooms.room import HostedRoom
from chatd.rooms.router import RoomRouter
from chatd.wire.frames import Frame, Gone, Rooms, Roster


class RoomSync:
    """Room state of one link."""

    __slots__ = ("_declare", "_gone", "_peer", "_rosters", "_router", "_unanswered")

    def __init__(self, router: RoomRouter, peer: Peer) -> None:
        self._router = router
        self._peer = peer
        self._declare = False  # send our rooms with the next write
        self._gone: list[Gone] = []
        self._rosters: list[HostedRoom] = []  # to send
        self._unanswered: list[str] = []  # declared rooms whose end the peer must read first

    def declare(self) -> None:
        """Send the rooms of the peer that we are in, with the next write."""
        self._declare = True

    @property
    def is_waiting(self) -> bool:
        """Whether frames may follow once the peer has acknowledged more."""
        return bool(self._unanswered)

    def receive(self, frame: Rooms | Roster | Gone, link: NativeLink) -> None:
        """Handle a frame from the peer."""
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
        """Take the frames to send now. The roster of a room follows once the peer's membership is committed."""
        frames: list[Frame] = []
        node = self._peer.node or ""
        if self._declare:
            self._declare = False
            frames.append(
                Rooms(self._router.joined_rooms.declaration_number, self._router.joined_rooms.declaration(node))
            )
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
        """Gone frames for unanswered rooms in which the peer has read the end of its membership.

        It knows then that it is not in them, unless it ignored that end as a duplicate: our journal was restored.
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

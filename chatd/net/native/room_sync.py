"""Room state that both ends of a native link exchange: current values, not events at positions.

As a member, a node declares the rooms of the peer that it is in. As a host, it answers for each declared room with the
members, or that the peer is not in it. A value that changes several times before the next write is sent once. Called by
`link.py` (in) and `writer.py` (out).
"""

from chatd.peers.peer import NativeLink, Peer
from chatd.rooms.declarations import DeclarationAnswer
from chatd.rooms.room import HostedRoom
from chatd.rooms.router import RoomRouter
from chatd.wire.frames import Frame, Gone, Rooms, Roster


class RoomSync:
    """Room state of one link."""

    __slots__ = ("_gone", "_must_declare", "_peer", "_rosters", "_router", "_unanswered")

    def __init__(self, router: RoomRouter, peer: Peer) -> None:
        self._router = router
        self._peer = peer
        self._must_declare = False  # with the next write
        self._gone: list[Gone] = []
        self._rosters: list[HostedRoom] = []  # their rosters are still to be sent
        self._unanswered: list[str] = []  # declared rooms: the peer must first read the end of its membership

    def declare(self) -> None:
        """Send the rooms of the peer that we are in, with the next write."""
        self._must_declare = True

    @property
    def is_waiting(self) -> bool:
        """Whether frames may follow once the peer has acknowledged more."""
        return bool(self._unanswered)

    def receive(self, frame: Rooms | Roster | Gone, link: NativeLink) -> None:
        joined = self._router.joined_rooms
        if isinstance(frame, Roster):
            joined.receive_roster(self._peer, frame)
        elif isinstance(frame, Gone):
            joined.receive_gone(self._peer, frame)
        else:
            answer = self._router.declarations.receive(self._peer, link, frame)
            if answer is not None:
                self._keep_answer(answer, frame)

    def _keep_answer(self, answer: DeclarationAnswer, frame: Rooms) -> None:
        self._gone, self._rosters = answer
        answered = {gone.room for gone in self._gone} | {room.name for room in self._rosters}
        self._unanswered = [name for name, _, _ in frame.rooms if name not in answered]

    def take_frames(self) -> list[Frame]:
        """Take the frames to send now. The roster of a room follows once the peer's membership is committed."""
        frames: list[Frame] = []
        node = self._peer.node or ""
        if self._must_declare:
            self._must_declare = False
            frames.append(
                Rooms(self._router.joined_rooms.declaration_number, self._router.joined_rooms.declaration(node))
            )
        frames += self._gone + self._gone_after_end(node)
        self._gone = []
        waiting: list[HostedRoom] = []
        for room in self._rosters:
            if self._router.declarations.is_committed_member(node, room):
                frames += self._router.declarations.rosters(node, room)
            elif node in room.by_node:
                waiting.append(room)
        self._rosters = waiting
        return frames

    def _gone_after_end(self, node: str) -> list[Gone]:
        """Gone frames for unanswered rooms, once the peer has acknowledged the end of its membership.

        Usually the peer knows from that end that it is not a member. It has ignored the end as a duplicate if our
        journal was restored from an older copy.
        """
        intervals, rooms = self._router.hosted_rooms.intervals, self._router.hosted_rooms
        ended = [name for name in self._unanswered if not intervals.has_past(node, name)]
        if not ended:
            return []
        self._unanswered = [name for name in self._unanswered if name not in ended]
        hosted = {name: rooms.get(name) for name in ended}
        return [
            Gone(name, "unknown_room", "it ended long ago")
            for name, room in hosted.items()
            if room is None or node not in room.by_node
        ]

"""Declarations: member nodes declare in which hosted rooms they are, and get an answer.

A node declares all its rooms at once, at the start of each link and after every change. Declarations turn the
difference into joins and leaves of `HostedRooms`, and compose the rosters that answer them. No method waits. Called by
`net/native/room_sync.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from chatd.api.errors import ControlError
from chatd.journal.journal import Journal
from chatd.messages.inbox import close_if_failed
from chatd.peers.peer import NativeLink, Peer
from chatd.peers.registry import Registry
from chatd.rooms.hosted import HostedRooms
from chatd.rooms.room import HostedRoom
from chatd.wire.frames import Gone, Rooms, Roster
from chatd.wire.room_frames import USERS_MOST

MOST_DECLARED = 4096  # nodes with a remembered declaration number
MOST_PAST = 256  # past intervals in rooms that one node has not acknowledged to their end


class DeclarationAnswer(NamedTuple):
    """Answer to a declaration: the rooms that the peer cannot be in, and the rooms that it is in."""

    gone: list[Gone]
    rooms: list[HostedRoom]


class Declarations:
    """The declarations of all member nodes of one host."""

    def __init__(self, journal: Journal, registry: Registry, hosted_rooms: HostedRooms) -> None:
        self._journal = journal
        self._registry = registry
        self._hosted_rooms = hosted_rooms
        self._newest: dict[str, tuple[str, int]] = {}  # per node: its epoch and the number of its newest declaration

    def receive(self, peer: Peer, link: NativeLink, frame: Rooms) -> DeclarationAnswer | None:
        """Apply a declaration. It takes effect when the current batch is committed.

        None: the declaration is older than one that was received on another link. A repeated one is applied again,
        but joins no room a second time.
        """
        node, before = peer.node or "", self._journal.appended
        epoch, number = self._newest.get(node, ("", 0))
        if epoch == link.epoch and frame.number < number:
            return None
        is_repeated = (epoch, number) == (link.epoch, frame.number)
        self._newest[node] = link.epoch, frame.number
        if len(self._newest) > MOST_DECLARED:
            del self._newest[next(iter(self._newest))]
        wanted = [(name, nick, is_join and not is_repeated) for name, nick, is_join in frame.rooms]
        answer = self.apply(peer, wanted)
        if self._journal.appended != before:
            close_if_failed(self._journal.next_batch, peer, link)
            self._registry.remembered.ensure(peer)
        return answer

    def apply(self, peer: Peer, wanted: Sequence[tuple[str, str, bool]]) -> DeclarationAnswer:
        """Make the peer a member of the `wanted` rooms and of no others. `wanted`: (room, nick, is it a join)."""
        hosted_rooms, node = self._hosted_rooms, peer.node or ""
        names = {name for name, _, _ in wanted}
        for room in [room for room in hosted_rooms.joined_by(node) if room.name not in names]:
            hosted_rooms.leave(room, room.by_node[node])
        answer = DeclarationAnswer([], [])
        for name, nick, is_join in wanted:
            known = hosted_rooms.get(name)
            is_member = known is not None and node in known.by_node
            if not is_join and not is_member and hosted_rooms.intervals.has_past(node, name):
                continue  # the node was removed and does not know it yet: it will receive the end of the interval
            try:
                room = self._admit(name, node)
                if node not in room.by_node:
                    hosted_rooms.enter_node(room, nick, node)
                answer.rooms.append(room)
            except ControlError as error:
                answer.gone.append(Gone(name, error.kind, error.message))
        return answer

    def _admit(self, name: str, node: str) -> HostedRoom:
        """Return the open room that the node may be in. Raises ControlError."""
        room, hosted_rooms = self._hosted_rooms.get(name), self._hosted_rooms
        if room is None:
            raise ControlError("unknown_room", f"{hosted_rooms.host_settings.name} hosts no room {name[:64]!r}")
        if node in room.bans:
            raise ControlError("forbidden", f"this node is banned from {room.label}")
        if node not in room.by_node and hosted_rooms.intervals.count_past(node) >= MOST_PAST:
            hint = "try again once the node has received what was said before it left"
            raise ControlError("rate_limited", f"this node has left {MOST_PAST} times without acknowledging it", hint)
        return room

    def is_committed_member(self, node: str, room: HostedRoom) -> bool:
        member = room.by_node.get(node)
        return member is not None and member.since <= self._journal.committed

    def rosters(self, node: str, room: HostedRoom) -> list[Roster]:
        """Compose the pages of the room's member list for a node that is in it."""
        member, records = room.by_node[node], room.user_records(self._registry.is_up)
        users = [(user.nick, user.node, user.here) for user in records]
        pages = [users[start : start + USERS_MOST] for start in range(0, len(users), USERS_MOST)]
        return [
            Roster(room.name, member.nick, room.topic, member.since, page, number < len(pages))
            for number, page in enumerate(pages, start=1)
        ]

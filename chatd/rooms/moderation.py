"""Moderation: who has to leave a room that this node hosts, and who may not come back.

A ban is of a node, or of the IP address of a plain client. It is appended at once, and undone if its commit fails.
"""

from functools import partial

from chatd.api.errors import ControlError
from chatd.config.values import parse_address
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.undo import Undo
from chatd.rooms import nicks
from chatd.rooms.hosted import HostedRooms
from chatd.rooms.room import OWN, HostedRoom

BAN = "INSERT OR REPLACE INTO bans (room, who, nick) VALUES (?, ?, ?)"
UNBAN = "DELETE FROM bans WHERE room = ? AND who = ?"
CANDIDATES_MOST = 8  # in a hint
KICKED, BANNED = "kicked", "banned"


class Moderation:
    """What the host may do to members."""

    def __init__(self, journal: Journal, rooms: HostedRooms) -> None:
        self._journal = journal
        self._hosted_rooms = rooms
        self._undo = Undo()

    def kick(self, room: HostedRoom, nick: str, reason: str = KICKED) -> Batch:
        """Somebody has to go. Raises ControlError unknown_peer."""
        member = self._hosted_rooms.find_member(room, nick)
        batch = self._hosted_rooms.leave(room, member, reason)
        if member.hang_up is not None:
            member.hang_up(reason)
        assert batch is not None
        return batch

    def ban(self, room: HostedRoom, nick: str) -> Batch:
        """The same, and for good: the node, or the IP address. Raises ControlError unknown_peer, conflict."""
        member = self._hosted_rooms.find_member(room, nick)
        if member.kind == OWN:
            raise ControlError("conflict", "a host cannot ban itself", "leave the room", reason="self")
        who = member.node or parse_address(member.address or "", lowest_port=0)[0]
        room.bans[who] = member.nick
        self._undo.add(self._journal.execute(BAN, room.stream_id, who, member.nick), partial(_lift, room, who))
        for other in room.users():
            if other is not member and other.address and parse_address(other.address, lowest_port=0)[0] == who:
                self.kick(room, other.nick, BANNED)
        return self.kick(room, nick, BANNED)

    def unban(self, room: HostedRoom, nick: str) -> Batch:
        """Lift the ban of that node id or IP address, else that of the only member with that nick.

        Raises ControlError unknown_peer, ambiguous_peer.
        """
        wanted = nicks.fold(nick)
        named = [who for who, name in room.bans.items() if nicks.fold(name) == wanted]
        found = [nick] if nick in room.bans else named
        if not found:
            hint = f"banned are: {', '.join(sorted(room.bans.values())) or 'nobody'}"
            raise ControlError("unknown_peer", f"nobody called {nick[:64]!r} is banned from {room.label}", hint)
        if len(found) > 1:
            raise _ambiguous(room, nick, found)
        return self._unban(room, found[0])

    def _unban(self, room: HostedRoom, who: str) -> Batch:
        name = room.bans.pop(who)
        return self._undo.add(
            self._journal.execute(UNBAN, room.stream_id, who), partial(room.bans.__setitem__, who, name)
        )


def _ambiguous(room: HostedRoom, nick: str, found: list[str]) -> ControlError:
    """Several were banned under that nick: a nick that a ban has freed is anyone's."""
    hint = " or ".join(f"`chatctl room unban {room.name} {who}`" for who in found[:CANDIDATES_MOST])
    message = f"{len(found)} members called {nick[:64]!r} are banned from {room.label}"
    return ControlError("ambiguous_peer", message, f"say {hint}", candidates=found)


def _lift(room: HostedRoom, who: str) -> None:
    room.bans.pop(who, None)

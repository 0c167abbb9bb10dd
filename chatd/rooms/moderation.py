"""Moderation: kick, ban and unban in hosted rooms.

A ban is for a node id, or for the IP address of a plain client. It takes effect when it is appended and is undone if
its commit fails. Called by `control/methods/rooms.py`.
"""

from functools import partial

from chatd.api.errors import ControlError
from chatd.config.values import parse_address
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.rooms import nicks
from chatd.rooms.hosted import HostedRooms
from chatd.rooms.room import OWN, HostedRoom, Member

SAVE_BAN = "INSERT OR REPLACE INTO bans (room, who, nick) VALUES (?, ?, ?)"
DELETE_BAN = "DELETE FROM bans WHERE room = ? AND who = ?"
CANDIDATES_MOST = 8  # in a hint
KICKED, BANNED = "kicked", "banned"


class Moderation:
    """Kicks and bans of all hosted rooms."""

    def __init__(self, journal: Journal, hosted_rooms: HostedRooms) -> None:
        self._journal = journal
        self._hosted_rooms = hosted_rooms

    def kick(self, room: HostedRoom, nick: str) -> Batch:
        """Remove a member, which may rejoin. Raises ControlError unknown_peer."""
        return self._remove(room, self._hosted_rooms.find_member(room, nick), KICKED)

    def ban(self, room: HostedRoom, nick: str) -> Batch:
        """Remove a member and every client of the same IP address, and reject them from then on.

        Raises ControlError unknown_peer, conflict.
        """
        member = self._hosted_rooms.find_member(room, nick)
        if member.kind == OWN:
            raise ControlError("conflict", "a host cannot ban itself", "leave the room", reason="self")
        who = _ban_key(member)
        room.ban(who, member.nick)
        saved = self._journal.execute(SAVE_BAN, room.stream_id, who, member.nick)
        saved.if_failed(None, partial(room.unban, who))
        for other in room.users():
            if other is not member and other.address and _ban_key(other) == who:
                self._remove(room, other, BANNED)
        return self._remove(room, member, BANNED)

    def unban(self, room: HostedRoom, who: str) -> Batch:
        """Lift the ban of a node id or IP address, or else of the only banned member with that nick.

        Raises ControlError unknown_peer, ambiguous_peer.
        """
        banned = _find_ban(room, who)
        nick = room.bans[banned]
        room.unban(banned)
        deleted = self._journal.execute(DELETE_BAN, room.stream_id, banned)
        deleted.if_failed(None, partial(room.ban, banned, nick))
        return deleted

    def _remove(self, room: HostedRoom, member: Member, reason: str) -> Batch:
        batch = self._hosted_rooms.leave(room, member, reason)
        if member.hang_up is not None:
            member.hang_up(reason)
        assert batch is not None
        return batch


def _ban_key(member: Member) -> str:
    """The node id, or the IP address of a plain client."""
    return member.node or parse_address(member.address or "", lowest_port=0)[0]


def _find_ban(room: HostedRoom, who: str) -> str:
    """Return the banned node id or IP address that `who` means: itself, or a nick at the time of the ban."""
    if who in room.bans:
        return who
    wanted = nicks.fold(who)
    found = [banned for banned, nick in room.bans.items() if nicks.fold(nick) == wanted]
    if not found:
        hint = f"banned are: {', '.join(sorted(room.bans.values())) or 'nobody'}"
        raise ControlError("unknown_peer", f"nobody called {who[:64]!r} is banned from {room.label}", hint)
    if len(found) > 1:
        raise _ambiguous(room, who, found)
    return found[0]


def _ambiguous(room: HostedRoom, nick: str, found: list[str]) -> ControlError:
    """Error for several bans with that nick: after a ban, another member can use the nick."""
    hint = " or ".join(f"`chatctl room unban {room.name} {who}`" for who in found[:CANDIDATES_MOST])
    message = f"{len(found)} members called {nick[:64]!r} are banned from {room.label}"
    return ControlError("ambiguous_peer", message, f"say {hint}", candidates=found)

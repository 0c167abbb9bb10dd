"""HostedRooms: opening, closing, topic and members of the rooms that this node hosts.

The journal gives all events of a room one order, on the room's stream id. Members read them from there: other nodes
through `net/room_updates.py`, plain clients through the fan-out of their room port. A change takes effect when it is
appended and is undone if its commit fails. Messages are in `posting.py`, kicks and bans in `moderation.py`. Called by
`control/`, room ports and the other parts of `rooms/`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from chatd.api.errors import ControlError
from chatd.api.events import RoomGone, RoomJoin, RoomLeave, RoomTopic
from chatd.config.values import parse_address
from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.messages.text import check_characters, check_length
from chatd.peers.outbox import NEVER
from chatd.peers.registry import Registry
from chatd.rooms import nicks
from chatd.rooms.intervals import MembershipInterval, MembershipIntervals
from chatd.rooms.room import NATIVE, OWN, PLAIN, HostedRoom, Member
from chatd.wire.fields import valid_name

SAVE_ROOM = "INSERT OR REPLACE INTO rooms (topic, name, host, label, subject, closed) VALUES (?, ?, '', ?, ?, ?)"
# Only if the room is closed: this runs with a later commit, and the closing may have failed and been undone.
DELETE_CLOSED = (
    "DELETE FROM bans WHERE room IN (SELECT topic FROM rooms WHERE topic = ? AND closed)",
    "DELETE FROM rooms WHERE topic = ? AND closed",
)
SAVE_INTERVAL = "INSERT OR REPLACE INTO members (room, node, nick, since, until) VALUES (?, ?, ?, ?, ?)"
DELETE_INTERVAL = "DELETE FROM members WHERE room = ? AND node = ? AND since = ?"
TOPIC_BYTES = 1024
MOST_ROOMS = 1024
LEFT, CLOSED = "left", "closed"


class HostSettings(NamedTuple):
    """Identity of the host, and limits of its rooms."""

    node: str
    name: str
    text_bytes: int
    text_chars: int
    room_members: int  # per room, at most
    outbox_messages: int  # per peer, at most


class HostedRooms:
    """All rooms of one host, open and closed."""

    def __init__(self, journal: Journal, registry: Registry, host_settings: HostSettings) -> None:
        """Load what the last run left (blocking)."""
        self.intervals = MembershipIntervals()
        self._journal = journal
        self._registry = registry
        self.host_settings = host_settings
        self._by_name: dict[str, HostedRoom] = {}
        self._by_stream_id: dict[int, HostedRoom] = {}
        self._load()

    def _load(self) -> None:
        query = self._journal.store.query
        for stream_id, name, label, topic, closed in query(
            "SELECT topic, name, label, subject, closed FROM rooms WHERE host = ''"
        ):
            room = HostedRoom(stream_id, name, label, self.host_settings.node, topic)
            self._by_stream_id[stream_id] = room
            room.record_append(query("SELECT coalesce(max(seq), 0) FROM events WHERE topic = ?", stream_id)[0][0])
            if not closed:
                self._by_name[name] = room
        for stream_id, who, nick in query("SELECT room, who, nick FROM bans"):
            self._by_stream_id[stream_id].ban(who, nick)
        for stream_id, node, nick, since, until in query("SELECT room, node, nick, since, until FROM members"):
            room = self._by_stream_id[stream_id]
            self.intervals.add(node, MembershipInterval(room, since, until or NEVER))
            if not until:
                room.add(Member(nick, OWN if node == self.host_settings.node else NATIVE, since, node=node))

    # -- finding

    def __iter__(self) -> Iterator[HostedRoom]:
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def get(self, name: str) -> HostedRoom | None:
        """The open room with that name."""
        return self._by_name.get(name)

    def joined_by(self, node: str) -> list[HostedRoom]:
        """The open rooms that a node is in."""
        return [room for room in self._by_name.values() if node in room.by_node]

    def by_stream_id(self, stream_id: int) -> HostedRoom | None:
        """The room with that stream id, open or closed."""
        return self._by_stream_id.get(stream_id)

    # -- hosting

    def host(self, name: str) -> tuple[HostedRoom, Batch | None]:
        """Open a room, or return the open one with that name.

        The batch commits a new room; None: it exists. Raises ControlError bad_text, rate_limited.
        """
        room = self._by_name.get(name)
        if room is not None:
            return room, None
        if not valid_name(name):
            hint = "1 to 63 of a-z 0-9 . _ -, and not digits only"
            raise ControlError("bad_text", f"{name[:64]!r} is no name for a room", hint)
        if len(self._by_name) >= MOST_ROOMS:
            hint = "`chatctl room close` one that nobody needs"
            raise ControlError("rate_limited", f"{MOST_ROOMS} rooms are hosted here, as many as may be", hint)
        settings = self.host_settings
        room = HostedRoom(self._registry.new_stream_id(), name, f"{name}@{settings.name}", settings.node)
        self._by_name[name] = self._by_stream_id[room.stream_id] = room
        batch = self._save(room)
        batch.if_failed(None, partial(self._undo_host, room))
        return room, batch

    def close(self, room: HostedRoom) -> Batch:
        """Close a room; its members still get everything before. Raises ControlError conflict if a port serves it."""
        if room.ports:
            hint = "start chatd without that --room-port"
            raise ControlError("conflict", f"a room port serves {room.label}", hint, reason="room_port")
        del self._by_name[room.name]
        batch = self._append(room, [RoomGone(room=room.label, reason=CLOSED)])
        before, seq = dict(room.by_fold), self._journal.appended
        for member in room.users():
            room.remove(member)
            self._end_interval(room, member, seq)
        self._journal.execute(SAVE_ROOM, room.stream_id, room.name, room.label, room.topic, 1)
        batch.if_failed(None, partial(self._undo_close, room, before))
        self._forget_if_delivered(room)
        return batch

    def _save(self, room: HostedRoom) -> Batch:
        return self._journal.execute(SAVE_ROOM, room.stream_id, room.name, room.label, room.topic, 0)

    def _undo_host(self, room: HostedRoom) -> None:
        del self._by_name[room.name], self._by_stream_id[room.stream_id]

    def _undo_close(self, room: HostedRoom, members: dict[str, Member]) -> None:
        self._by_name[room.name] = self._by_stream_id[room.stream_id] = room
        for member in members.values():
            self._undo_leave(room, member)

    def set_topic(self, room: HostedRoom, text: str) -> Batch:
        """Set or (with an empty text) remove the topic. Raises ControlError bad_text, too_large."""
        if text:
            check_characters(text)
        if "\n" in text:
            raise ControlError("bad_text", "a topic is one line", "leave the line break out")
        check_length(text, TOPIC_BYTES, 0)
        before = room.topic
        room.set_topic(text)
        batch = self._append(room, [RoomTopic(room=room.label, text=text, room_position="")])
        self._save(room)
        batch.if_failed(None, partial(room.set_topic, before))
        return batch

    # -- joining

    def enter_own(self, room: HostedRoom, nick: str | None) -> tuple[Member, Batch | None]:
        """Add this node itself. The batch is None if it is a member.

        Raises ControlError bad_text, conflict, rate_limited.
        """
        own = room.own_member
        if own is not None:
            if nick not in (None, own.nick):
                raise _already_joined(room, own)
            return own, None
        settings = self.host_settings
        return self._enter(room, nicks.for_node(settings.name) if nick is None else nick, OWN, node=settings.node)

    def enter_plain(
        self, room: HostedRoom, nick: str | None, address: str, hang_up: Callable[[str], None]
    ) -> tuple[Member, str | None]:
        """Add a plain client. Return the member, and a reason if it has another nick than `nick`.

        `nick` None: the address becomes its nick. `hang_up` disconnects the client, with a reason. Raises ControlError
        forbidden, rate_limited.
        """
        host = parse_address(address, lowest_port=0)[0]
        if host in room.bans:
            raise ControlError("forbidden", f"{host} is banned from {room.label}")
        self._check_capacity(room)
        reason = None
        if nick is not None:
            nick, reason = nicks.suggest(nick, room.by_fold)
        member, _ = self._enter(room, nick or address, PLAIN, address=address, hang_up=hang_up, check=False)
        return member, reason

    def enter_node(self, room: HostedRoom, nick: str, node: str) -> None:
        """Add another node. Raises ControlError bad_text, conflict, rate_limited."""
        self._enter(room, nick, NATIVE, node=node)

    def _enter(
        self,
        room: HostedRoom,
        nick: str,
        kind: str,
        *,
        node: str | None = None,
        address: str | None = None,
        hang_up: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> tuple[Member, Batch]:
        if check:
            self._check_capacity(room)
            nicks.check(nick)
        if (other := room.named(nick)) is not None:
            hint = "choose another one with --nick"
            raise ControlError("conflict", f"{other.nick} is taken in {room.label}", hint, reason="nick_in_use")
        batch = self._append(room, [RoomJoin(room=room.label, nick=nick, node=node, address=address, room_position="")])
        member = Member(nick, kind, self._journal.appended, node=node, address=address, hang_up=hang_up)
        room.add(member)
        if node is not None:
            self.intervals.add(node, MembershipInterval(room, member.since))
            self._journal.execute(SAVE_INTERVAL, room.stream_id, node, nick, member.since, 0)
        batch.if_failed(None, partial(self._undo_enter, room, member))
        return member, batch

    def _undo_enter(self, room: HostedRoom, member: Member) -> None:
        room.remove(member)
        if member.node is not None and (interval := self.intervals.current(member.node, room)) is not None:
            self.intervals.remove(member.node, interval)
        if member.hang_up is not None:
            member.hang_up("storage_full")

    def _check_capacity(self, room: HostedRoom) -> None:
        most = self.host_settings.room_members
        if len(room.by_fold) >= most:
            hint = "raise --room-members there"
            raise ControlError("rate_limited", f"{most} are in {room.label}, as many as may be", hint)

    # -- leaving

    def leave(self, room: HostedRoom, member: Member, reason: str = LEFT) -> Batch | None:
        """Remove a member. A node still gets everything up to its leave. None: it is not a member."""
        if room.by_fold.get(member.fold) is not member:
            return None
        event = RoomLeave(room=room.label, nick=member.nick, node=member.node, reason=reason, room_position="")
        batch = self._append(room, [event])
        room.remove(member)
        if member.kind == PLAIN:
            return batch
        self._end_interval(room, member, self._journal.appended)
        batch.if_failed(None, partial(self._undo_leave, room, member))
        return batch

    def _end_interval(self, room: HostedRoom, member: Member, seq: int) -> None:
        interval = self.intervals.current(member.node or "", room)
        if member.node is None or interval is None:
            return
        if member.kind == OWN:
            self.intervals.remove(member.node, interval)
            self._journal.execute(DELETE_INTERVAL, room.stream_id, member.node, interval.since)
        else:
            self.intervals.set_end(member.node, interval, seq)
            self._journal.execute(SAVE_INTERVAL, room.stream_id, member.node, member.nick, interval.since, seq)

    def _undo_leave(self, room: HostedRoom, member: Member) -> None:
        room.add(member)
        if member.node is None:
            return
        for interval in self.intervals.of_node(member.node):
            if interval.room is room and interval.since == member.since:
                self.intervals.set_end(member.node, interval, NEVER)
                return
        self.intervals.add(member.node, MembershipInterval(room, member.since))

    def find_member(self, room: HostedRoom, nick: str) -> Member:
        """The member with that nick. Raises ControlError unknown_peer."""
        member = room.named(nick)
        if member is None:
            hint = f"`chatctl room users {room.name}` shows who is there"
            raise ControlError("unknown_peer", f"there is no {nick[:64]!r} in {room.label}", hint)
        return member

    # -- acknowledgements

    def release_intervals(self, node: str, through: int) -> None:
        """Drop the intervals of a node that end at or before `through`, because it has acknowledged all of them."""
        for interval in self.intervals.ended_by(node, through):
            stream_id = interval.room.stream_id
            self.intervals.remove(node, interval)
            statement = partial(_delete_interval, stream_id, node, interval.since)
            self._journal.note(("past", stream_id, node, interval.since), statement)
            self._forget_if_delivered(interval.room)

    def _forget_if_delivered(self, room: HostedRoom) -> None:
        """Delete a closed room once no node has anything undelivered in it."""
        is_open = self._by_name.get(room.name) is room
        if not is_open and all(interval.room is not room for _, interval in self.intervals):
            self._by_stream_id.pop(room.stream_id, None)
            for sql in DELETE_CLOSED:
                self._journal.note((sql, room.stream_id), partial(_delete_room, sql, room.stream_id))

    # -- the journal

    def _append(self, room: HostedRoom, events: list[RoomJoin | RoomLeave | RoomTopic | RoomGone]) -> Batch:
        for position, event in zip(self._journal.next_positions(len(events)), events, strict=True):
            if not isinstance(event, RoomGone):
                event.room_position = position
        batch = self._journal.append_all(events, room.stream_id)
        self.track_append(room, batch)
        return batch

    def track_append(self, room: HostedRoom, batch: Batch) -> None:
        """Record that the newest event of the journal is on the room's stream."""
        if not batch.done:
            room.record_append(self._journal.appended)
            batch.if_failed(("newest", room.stream_id), partial(self._undo_append, room))

    def _undo_append(self, room: HostedRoom) -> None:
        room.undo_append(self._journal.committed)


def _delete_interval(room: int, node: str, since: int) -> Statement:
    return DELETE_INTERVAL, (room, node, since)


def _delete_room(sql: str, room: int) -> Statement:
    return sql, (room,)


def _already_joined(room: HostedRoom, own: Member) -> ControlError:
    hint = f"`chatctl room leave {room.name}` first"
    return ControlError("conflict", f"this node is in {room.label} as {own.nick}", hint, reason="already_in")

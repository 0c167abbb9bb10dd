"""Rooms: those that this node hosts. Its journal puts what is said in a room into one order for everybody.

Here is decided who is in a room; what is said in it is the business of talk.py. Everything that happens in a room is an
event on its topic, stored once; members read it from there: other nodes through their intervals, plain clients through
the fan-out of their port. Whatever is decided is appended at once, and undone if its commit fails.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from chatd.api.errors import ControlError
from chatd.api.events import RoomGone, RoomJoin, RoomLeave, RoomTopic
from chatd.config.values import parse_address
from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.journal.undo import Undo
from chatd.messages.text import check_characters, check_length
from chatd.peers.outbox import NEVER
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.rooms import nicks
from chatd.rooms.intervals import MembershipInterval, MembershipIntervals
from chatd.rooms.room import NATIVE, OWN, PLAIN, HostedRoom, Member
from chatd.wire.frames import Gone, valid_name

ROOM = "INSERT OR REPLACE INTO rooms (topic, name, host, label, subject, closed) VALUES (?, ?, '', ?, ?, ?)"
# Of a closed room; a note that outlives a commit that fails must not take the room away after all.
FORGET = (
    "DELETE FROM bans WHERE room IN (SELECT topic FROM rooms WHERE topic = ? AND closed)",
    "DELETE FROM rooms WHERE topic = ? AND closed",
)
MEMBER = "INSERT OR REPLACE INTO members (room, node, nick, since, until) VALUES (?, ?, ?, ?, ?)"
PAST = "DELETE FROM members WHERE room = ? AND node = ? AND since = ?"
SUBJECT_BYTES = 1024
MOST_ROOMS = 1024
MOST_PAST = 256  # former times in rooms that one node has not acknowledged the end of
LEFT, CLOSED = "left", "closed"


class HostSettings(NamedTuple):
    """Who hosts: this node, and how large rooms may be."""

    node: str
    name: str
    text_bytes: int
    text_chars: int
    room_members: int  # of one room, at most
    outbox_messages: int  # to one peer, at most: messages


class HostedRooms:
    """All rooms of one host."""

    def __init__(self, journal: Journal, registry: Registry, host_settings: HostSettings) -> None:
        """Read what the last run left (blocking)."""
        self.intervals = MembershipIntervals()
        self._journal = journal
        self._registry = registry
        self.host_settings = host_settings
        self._by_name: dict[str, HostedRoom] = {}
        self._by_stream_id: dict[int, HostedRoom] = {}
        self._undo = Undo()
        self._load()

    def _load(self) -> None:
        query = self._journal.store.query
        for key, name, label, subject, closed in query(
            "SELECT topic, name, label, subject, closed FROM rooms WHERE host = ''"
        ):
            room = self._by_stream_id[key] = HostedRoom(key, name, label, self.host_settings.node, subject)
            room.newest = query("SELECT coalesce(max(seq), 0) FROM events WHERE topic = ?", key)[0][0]
            if not closed:
                self._by_name[name] = room
        for key, who, nick in query("SELECT room, who, nick FROM bans"):
            self._by_stream_id[key].bans[who] = nick
        for key, node, nick, since, until in query("SELECT room, node, nick, since, until FROM members"):
            room = self._by_stream_id[key]
            self.intervals.add(node, MembershipInterval(room, since, until or NEVER))
            if not until:
                room.add(Member(nick, OWN if node == self.host_settings.node else NATIVE, since, node=node))

    # -- finding

    def __iter__(self) -> Iterator[HostedRoom]:
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def get(self, name: str) -> HostedRoom | None:
        """The open room of that name."""
        return self._by_name.get(name)

    def by_stream_id(self, key: int) -> HostedRoom | None:
        """The room, open or closed, with that topic in the journal."""
        return self._by_stream_id.get(key)

    # -- hosting

    def host(self, name: str) -> tuple[HostedRoom, Batch | None]:
        """The room of that name; a new one is there when the batch is committed. Raises ControlError."""
        room = self._by_name.get(name)
        if room is not None:
            return room, None
        if not valid_name(name):
            hint = "1 to 63 of a-z 0-9 . _ -, and not digits only"
            raise ControlError("bad_text", f"{name[:64]!r} is no name for a room", hint)
        if len(self._by_name) >= MOST_ROOMS:
            hint = "`chatctl room close` one that nobody needs"
            raise ControlError("rate_limited", f"{MOST_ROOMS} rooms are hosted here, as many as may be", hint)
        room = HostedRoom(
            self._registry.new_stream_id(), name, f"{name}@{self.host_settings.name}", self.host_settings.node
        )
        self._by_name[name] = self._by_stream_id[room.stream_id] = room
        return room, self._undo.add(self._save(room), partial(self._undo_host, room))

    def close(self, room: HostedRoom) -> Batch:
        """End the room: who is in it is told, and gets everything up to the end. Raises ControlError conflict."""
        if room.ports:
            hint = "start chatd without that --room-port"
            raise ControlError("conflict", f"a room port serves {room.label}", hint, reason="room_port")
        del self._by_name[room.name]
        batch = self._append(room, [RoomGone(room=room.label, reason=CLOSED)])
        before, seq = dict(room.by_fold), self._journal.appended
        for member in room.users():
            room.remove(member)
            self._end_interval(room, member, seq)
        self._journal.execute(ROOM, room.stream_id, room.name, room.label, room.topic, 1)
        self._undo.add(batch, partial(self._undo_close, room, before))
        self._forget_if_delivered(room)
        return batch

    def _save(self, room: HostedRoom) -> Batch:
        return self._journal.execute(ROOM, room.stream_id, room.name, room.label, room.topic, 0)

    def _undo_host(self, room: HostedRoom) -> None:
        del self._by_name[room.name], self._by_stream_id[room.stream_id]

    def _undo_close(self, room: HostedRoom, members: dict[str, Member]) -> None:
        self._by_name[room.name] = self._by_stream_id[room.stream_id] = room
        for member in members.values():
            self._undo_leave(room, member)

    def set_topic(self, room: HostedRoom, text: str) -> Batch:
        """The room has that topic from now on; empty: none. Raises ControlError."""
        if text:
            check_characters(text)
        if "\n" in text:
            raise ControlError("bad_text", "a topic is one line", "leave the line break out")
        check_length(text, SUBJECT_BYTES, 0)
        before, room.topic = room.topic, text
        room.changed.notify()
        batch = self._append(room, [RoomTopic(room=room.label, text=text, room_position="")])
        self._save(room)
        return self._undo.add(batch, partial(setattr, room, "topic", before))

    # -- coming

    def enter_own(self, room: HostedRoom, nick: str | None) -> tuple[Member, Batch | None]:
        """This node is in its own room from now on. Raises ControlError bad_text, conflict."""
        own = room.own_member
        if own is not None:
            if nick not in (None, own.nick):
                raise _already(room, own)
            return own, None
        return self._enter(
            room, nicks.for_node(self.host_settings.name) if nick is None else nick, OWN, node=self.host_settings.node
        )

    def enter_plain(
        self, room: HostedRoom, nick: str | None, address: str, hang_up: Callable[[str], None]
    ) -> tuple[Member, str | None]:
        """A plain client is in the room; and why it has another nick than it wished. None: it goes by its address.

        Raises ControlError forbidden, rate_limited.
        """
        host = parse_address(address, lowest_port=0)[0]
        if host in room.bans:
            raise ControlError("forbidden", f"{host} is banned from {room.label}")
        self._check_capacity(room)
        why = None
        if nick is not None:
            nick, why = nicks.suggest(nick, room.by_fold)
        member, _ = self._enter(room, nick or address, PLAIN, address=address, hang_up=hang_up, check=False)
        return member, why

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
            self._journal.execute(MEMBER, room.stream_id, node, nick, member.since, 0)
        return member, self._undo.add(batch, partial(self._undo_enter, room, member))

    def _undo_enter(self, room: HostedRoom, member: Member) -> None:
        room.remove(member)
        if member.node is not None and (interval := self.intervals.current(member.node, room)) is not None:
            self.intervals.remove(member.node, interval)
        if member.hang_up is not None:
            member.hang_up("storage_full")

    def _check_capacity(self, room: HostedRoom) -> None:
        if len(room.by_fold) >= self.host_settings.room_members:
            hint = "raise --room-members there"
            raise ControlError(
                "rate_limited", f"{self.host_settings.room_members} are in {room.label}, as many as may be", hint
            )

    # -- going

    def leave(self, room: HostedRoom, member: Member, reason: str = LEFT) -> Batch | None:
        """It is not in the room any more; a node gets what was said before. None: it was gone already."""
        if room.by_fold.get(member.fold) is not member:
            return None
        event = RoomLeave(room=room.label, nick=member.nick, node=member.node, reason=reason, room_position="")
        batch = self._append(room, [event])
        room.remove(member)
        if member.kind == PLAIN:
            return batch
        self._end_interval(room, member, self._journal.appended)
        return self._undo.add(batch, partial(self._undo_leave, room, member))

    def _end_interval(self, room: HostedRoom, member: Member, seq: int) -> None:
        interval = self.intervals.current(member.node or "", room)
        if member.node is None or interval is None:
            return
        if member.kind == OWN:
            self.intervals.remove(member.node, interval)
            self._journal.execute(PAST, room.stream_id, member.node, interval.since)
        else:
            self.intervals.set_end(member.node, interval, seq)
            self._journal.execute(MEMBER, room.stream_id, member.node, member.nick, interval.since, seq)

    def _undo_leave(self, room: HostedRoom, member: Member) -> None:
        """Its leaving could not be written down."""
        room.add(member)
        if member.node is None:
            return
        for interval in self.intervals.of_node(member.node):
            if interval.room is room and interval.since == member.since:
                self.intervals.set_end(member.node, interval, NEVER)
                return
        self.intervals.add(member.node, MembershipInterval(room, member.since))

    def find_member(self, room: HostedRoom, nick: str) -> Member:
        """Who is called that. Raises ControlError unknown_peer."""
        member = room.named(nick)
        if member is None:
            hint = f"`chatctl room users {room.name}` shows who is there"
            raise ControlError("unknown_peer", f"there is no {nick[:64]!r} in {room.label}", hint)
        return member

    # -- what member nodes say of themselves

    def declare(self, peer: Peer, wanted: Sequence[tuple[str, str, bool]]) -> tuple[list[Gone], list[HostedRoom]]:
        """The rooms that a node is in, or wants to be in: all of them. Those that it cannot be in, and the others.

        Its joining and leaving are appended, and not committed yet.
        """
        node, names = peer.node or "", {name for name, _, _ in wanted}
        for room in [room for room in self._by_name.values() if node in room.by_node and room.name not in names]:
            self.leave(room, room.by_node[node])
        gone, rooms = list[Gone](), list[HostedRoom]()
        for name, nick, new in wanted:
            known = self._by_name.get(name)
            if not new and (known is None or node not in known.by_node) and self.intervals.has_past(node, name):
                continue  # it does not know yet that it had to go
            try:
                room = self._wanted(name, node)
                if node not in room.by_node:
                    self._enter(room, nick, NATIVE, node=node)
                rooms.append(room)
            except ControlError as error:
                gone.append(Gone(name, error.kind, error.message))
        return gone, rooms

    def _wanted(self, name: str, node: str) -> HostedRoom:
        room = self._by_name.get(name)
        if room is None:
            raise ControlError("unknown_room", f"{self.host_settings.name} hosts no room {name[:64]!r}")
        if node in room.bans:
            raise ControlError("forbidden", f"this node is banned from {room.label}")
        if node not in room.by_node and self.intervals.count_past(node) >= MOST_PAST:
            hint = "try again once the node has received what was said before it left"
            raise ControlError("rate_limited", f"this node has left {MOST_PAST} times without acknowledging it", hint)
        return room

    def release_intervals(self, node: str, through: int) -> None:
        """The node has everything up to there: former times in rooms that end before are over."""
        for interval in self.intervals.ended_by(node, through):
            key = interval.room.stream_id
            self.intervals.remove(node, interval)
            self._journal.note(("past", key, node, interval.since), partial(_past, key, node, interval.since))
            self._forget_if_delivered(interval.room)

    def _forget_if_delivered(self, room: HostedRoom) -> None:
        """A closed room of which nothing is owed to anybody is gone."""
        if self._by_name.get(room.name) is not room and all(
            interval.room is not room for _, interval in self.intervals
        ):
            self._by_stream_id.pop(room.stream_id, None)
            for sql in FORGET:
                self._journal.note((sql, room.stream_id), partial(_forget, sql, room.stream_id))

    # -- the journal

    def _append(self, room: HostedRoom, events: list[RoomJoin | RoomLeave | RoomTopic | RoomGone]) -> Batch:
        for position, event in zip(self._journal.next_positions(len(events)), events, strict=True):
            if not isinstance(event, RoomGone):
                event.room_position = position
        batch = self._journal.append_all(events, room.stream_id)
        self.track_append(room, batch)
        return batch

    def track_append(self, room: HostedRoom, batch: Batch) -> None:
        """Something was put on the room's topic."""
        if not batch.done:
            room.newest = self._journal.appended
            batch.if_failed(("newest", room.stream_id), partial(self._undo_append, room))

    def _undo_append(self, room: HostedRoom) -> None:
        room.newest = min(room.newest, self._journal.committed)


def _past(room: int, node: str, since: int) -> Statement:
    return PAST, (room, node, since)


def _forget(sql: str, room: int) -> Statement:
    return sql, (room,)


def _already(room: HostedRoom, own: Member) -> ControlError:
    hint = f"`chatctl room leave {room.name}` first"
    return ControlError("conflict", f"this node is in {room.label} as {own.nick}", hint, reason="already_in")

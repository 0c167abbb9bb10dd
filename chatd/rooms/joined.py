"""JoinedRooms: the rooms of other nodes that this node is in, or has asked to join.

This node declares to a host all rooms of that host that it is in, whenever a link starts or one of them changes. The
host answers with a roster or a refusal for each. Events of these rooms are applied by `following.py`. No method waits.
Called by `control/`, `net/native/` and `router.py`.
"""

from collections.abc import Iterator
from functools import partial
from typing import cast

from chatd.api.errors import TABLE, ControlError
from chatd.api.events import RoomGone
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.peers.delivery import ECHOES
from chatd.peers.names import STRANGER_PREFIX
from chatd.peers.peer import NativeLink, Peer
from chatd.peers.registry import Registry
from chatd.rooms import nicks
from chatd.rooms.hosted import CLOSED, LEFT, HostedRooms, HostSettings
from chatd.rooms.joined_room import IN, JOINING, JoinedRoom
from chatd.rooms.room import HostedRoom
from chatd.wire.fields import valid_name
from chatd.wire.frames import Gone, Roster

SAVE = "INSERT OR REPLACE INTO rooms (topic, name, host, label, nick, subject, since) VALUES (?, ?, ?, ?, ?, ?, ?)"
CLOSE = "UPDATE rooms SET closed = 1 WHERE topic = ?"
DELETE = "DELETE FROM rooms WHERE topic = ?"
MOST_JOINED = 256  # per host


class JoinedRooms:
    """All joined rooms of this node, by host and name."""

    def __init__(
        self, journal: Journal, registry: Registry, hosted_rooms: HostedRooms, host_settings: HostSettings
    ) -> None:
        """Load what the last run left (blocking)."""
        self._journal = journal
        self._registry = registry
        self._hosted_rooms = hosted_rooms
        self._host_settings = host_settings
        self._by_host_and_name: dict[tuple[str, str], JoinedRoom] = {}
        # By host and name. A room that we have left keeps its stream id, so that a rejoin finds the history.
        self._stream_ids: dict[tuple[str, str], int] = {}
        self.declaration_number = 0  # of the newest declaration: hosts ignore older ones
        query = journal.store.query
        for stream_id, name, host, closed, *rest in query(
            "SELECT topic, name, host, closed, label, nick, subject, since FROM rooms WHERE host <> '' ORDER BY topic"
        ):
            self._stream_ids[host, name] = stream_id
            if closed:
                continue
            joined_room = self._by_host_and_name[host, name] = JoinedRoom(stream_id, name, host, *rest)
            joined_room.enter()
        for stream_id, seq in query(ECHOES):
            if (peer := registry.by_stream_id(stream_id)) is not None:
                peer.delivery.recall_echo(seq)

    def __iter__(self) -> Iterator[JoinedRoom]:
        return iter(sorted(self._by_host_and_name.values(), key=lambda room: (room.label, room.stream_id)))

    # -- finding

    def find(self, spec: str) -> HostedRoom | JoinedRoom:
        """Find the hosted or joined room that `lobby` or `lobby@alice` names.

        The host is looked up like every peer. Labels, which keep the name that the host had at the join, count only if
        no node has that name. Raises ControlError unknown_room, ambiguous_peer.
        """
        name, at, host = spec.partition("@")
        found: list[HostedRoom | JoinedRoom] = [room for room in self._hosted_rooms if room.name == name]
        found += [room for room in self if room.name == name and room.state == IN]
        labelled = [room for room in found if at and room.label == spec]
        if at:
            node = self._registry.naming.resolve(host)
            found = labelled if node is None else [room for room in found if room.host == node]
        if len(found) == 1:
            return found[0]
        if not found:
            hint = "`chatctl room list` shows all"
            if labelled:  # the host has another name now
                hint = f"the room of that label is {name}@{labelled[0].host[:STRANGER_PREFIX]}"
            raise ControlError("unknown_room", f"there is no room {spec[:128]!r} here", hint)
        labels = ", ".join(room.label for room in found[:8])
        raise ControlError("unknown_room", f"{spec[:128]!r} may be {labels}", "say which, with its @HOST")

    def get(self, node: str, name: str) -> JoinedRoom | None:
        """The room of a host, also while the host has not answered the join."""
        return self._by_host_and_name.get((node, name))

    def hosted_by(self, node: str) -> list[JoinedRoom]:
        return [room for (host, _), room in self._by_host_and_name.items() if host == node]

    # -- joining and leaving

    def join(self, peer: Peer, name: str, nick: str | None) -> JoinedRoom:
        """Ask a connected host to add this node to a room. `settled` is set at its answer. Raises ControlError."""
        if not valid_name(name):
            raise ControlError("unknown_room", f"{name[:64]!r} is no name of a room", "as in lobby@alice")
        node = peer.node or ""
        known = self._by_host_and_name.get((node, name))
        if known is not None:
            if nick not in (None, known.nick):
                hint = f"`chatctl room leave {known.label}` first"
                raise ControlError(
                    "conflict", f"this node is in {known.label} as {known.nick}", hint, reason="already_in"
                )
            return known
        if peer.link is None:
            hint = f"`chatctl wait peer {peer.name}`, then join"
            raise ControlError("peer_offline", f"{peer.name}, the host of {name}, is not connected", hint)
        if len(self.hosted_by(node)) >= MOST_JOINED:
            raise ControlError("rate_limited", f"this node is in {MOST_JOINED} rooms of {peer.name}", "leave one")
        nick = nicks.for_node(self._host_settings.name) if nick is None else nick
        nicks.check(nick)
        self._registry.remembered.set_known(peer)
        stream_id = self._stream_ids.get((node, name)) or self._registry.new_stream_id()
        self._stream_ids[node, name] = stream_id
        joined_room = self._by_host_and_name[node, name] = JoinedRoom(
            stream_id, name, node, f"{name}@{peer.name}", nick
        )
        self._declare(peer)
        return joined_room

    def abandon_join(self, joined_room: JoinedRoom) -> None:
        """Cancel a join that the host has not answered."""
        if joined_room.state == JOINING:
            self._discard(
                joined_room, ControlError("peer_offline", f"the host of {joined_room.label} has not answered")
            )
            self._declare(self._registry.by_node(joined_room.host))

    def leave(self, joined_room: JoinedRoom, reason: str = LEFT) -> Batch:
        """Leave a room. The host gets a declaration at once, or when it connects."""
        batch = self.remove(joined_room, reason)
        self._declare(self._registry.by_node(joined_room.host))
        return batch

    def forget_host(self, peer: Peer) -> None:
        """Leave all rooms of a host and delete their rows."""
        node = peer.node or ""
        for joined_room in self.hosted_by(node):
            self.remove(joined_room, "forgotten")
        for key in [key for key in self._stream_ids if key[0] == node]:
            self._journal.execute(DELETE, self._stream_ids.pop(key))

    def host_disconnected(self, peer: Peer) -> None:
        """The last link with a host has ended: cancel the joins that it has not answered."""
        for joined_room in self.hosted_by(peer.node or ""):
            if joined_room.state == JOINING:
                message = f"the link with the host of {joined_room.label} went down"
                self._discard(joined_room, ControlError("peer_offline", message, "join again once it is up"))

    def declaration(self, node: str) -> list[tuple[str, str, bool]]:
        """All rooms of a host, for a `Rooms` frame: (room, nick, is it a join)."""
        return [(room.name, room.nick, room.state == JOINING) for room in self.hosted_by(node)]

    def request_roster(self, joined_room: JoinedRoom) -> bool:
        """Ask the host for the members of a room. False: the host is offline."""
        return self._declare(self._registry.by_node(joined_room.host))

    def _declare(self, peer: Peer | None) -> bool:
        """Send the host a new declaration on each link. False: it is offline, and gets one when a link starts."""
        self.declaration_number += 1
        links = [link for link in (peer.links if peer else []) if link.reason is None]
        for link in cast(list[NativeLink], links):
            link.declare()
        return bool(links)

    def _discard(self, joined_room: JoinedRoom, error: ControlError) -> None:
        """Forget a room, and wake the tasks that wait for it; `error` is the reason."""
        self.declaration_number += 1
        self._by_host_and_name.pop((joined_room.host, joined_room.name), None)
        joined_room.end(error)

    def remove(self, joined_room: JoinedRoom, reason: str) -> Batch:
        """End the membership in a room and append its `room.gone` event."""
        before = joined_room.state
        self._discard(joined_room, ControlError("unknown_room", f"this node is not in {joined_room.label}: {reason}"))
        batch = self._journal.append(RoomGone(room=joined_room.label, reason=reason), joined_room.stream_id)
        if reason == CLOSED:  # a later room with that name is another room
            self._stream_ids.pop((joined_room.host, joined_room.name), None)
        self._journal.execute(DELETE if reason == CLOSED else CLOSE, joined_room.stream_id)
        batch.if_failed(None, partial(self._undo_remove, joined_room, before))
        return batch

    def _undo_remove(self, joined_room: JoinedRoom, state: str) -> None:
        key = joined_room.host, joined_room.name
        if key not in self._by_host_and_name:
            joined_room.undo_end(state)
            self._by_host_and_name[key], self._stream_ids[key] = joined_room, joined_room.stream_id

    # -- answers of the host

    def receive_roster(self, peer: Peer, roster: Roster) -> Batch | None:
        """Apply a page of a roster: this node is in the room. Return the batch that saves a change, if any."""
        joined_room = self._by_host_and_name.get((peer.node or "", roster.room))
        if joined_room is None:
            return None
        if not joined_room.receive_page(roster.users, more=roster.more):
            return None
        reported = (roster.nick, roster.topic, roster.since)
        if joined_room.state == IN and (joined_room.nick, joined_room.topic, joined_room.since) == reported:
            return None
        joined_room.set_membership(*reported)
        self.declaration_number += 1
        batch = self.save(joined_room)
        if joined_room.state == JOINING:
            batch.if_failed(("joined", joined_room), partial(self._discard, joined_room, _storage_full(joined_room)))
        joined_room.enter()
        return batch

    def save(self, joined_room: JoinedRoom) -> Batch:
        """Write the room's row with the returned batch."""
        room = joined_room
        values = (room.stream_id, room.name, room.host, room.label, room.nick, room.topic, room.since)
        return self._journal.execute(SAVE, *values)

    def receive_gone(self, peer: Peer, gone: Gone) -> None:
        """The host reports that this node is not in the room."""
        joined_room = self._by_host_and_name.get((peer.node or "", gone.room))
        if joined_room is None:
            return
        if joined_room.state == IN:
            self.remove(joined_room, gone.reason)
        else:
            kind = gone.kind if gone.kind in TABLE else "rejected"
            self._discard(joined_room, ControlError(kind, f"{peer.name} does not let us in: {gone.reason}"))


def _storage_full(joined_room: JoinedRoom) -> ControlError:
    return ControlError("storage_full", f"that this node is in {joined_room.label} could not be written down")

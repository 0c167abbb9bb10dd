"""The `room` methods, except `room.say`: hosted rooms and joined rooms."""

from collections.abc import Coroutine
from typing import Any

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.params import ByRoom, Join, Nothing, RoomHost, RoomMember, RoomUsers, Topic
from chatd.api.results import RoomList, RoomRecord, RoomResult, UserList
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.journal.batch import Batch
from chatd.node import Node
from chatd.rooms import nicks
from chatd.rooms.joined_room import IN, OVER, JoinedRoom
from chatd.rooms.room import HostedRoom, Member

JOIN_S = 10.0  # for the host to answer: the default timeout
ASK_S = 2.0  # for the host to send its members; after that the result contains the last known ones
Changed = tuple[RoomResult, Batch] | RoomResult


def host(node: Node, _session: Session, params: RoomHost) -> Changed:
    """Host a room, and join it unless `join` is false."""
    if params.nick is not None:
        if not params.join:
            raise RpcError(INVALID_PARAMS, "a nick is for who joins: leave it out, or join")
        nicks.check(params.nick)  # before the room is created
    room, batch = node.hosted_rooms.host(params.room)
    if params.join:
        _, entered = node.hosted_rooms.enter_own(room, params.nick)
        batch = entered or batch
    return _changed(room, batch)


async def join(node: Node, _session: Session, params: Join) -> RoomResult:
    """Join a room; returns when the host has accepted us, and that is on disk."""
    check_timeout(params.timeout)
    name, _, owner = params.room.partition("@")
    if not owner or node.registry.naming.resolve(owner) == node.identity.node:
        return await _enter(node, name, params.nick)
    peer = node.registry.find(owner)
    if peer.kind == "plain":
        raise ControlError("conflict", f"{peer.name} is a plain peer: it hosts no rooms", reason="plain")
    joined = node.joined_rooms.join(peer, name, params.nick)
    with trio.move_on_after(JOIN_S if params.timeout is None else params.timeout):
        await joined.settled.wait()
    if not joined.settled.is_set():
        node.joined_rooms.abandon_join(joined)
        raise ControlError("timeout", f"{peer.name} has not answered", "`chatctl list` shows whether it is up")
    await node.journal.settled()
    if joined.error is not None:
        raise joined.error.again()
    return RoomResult(joined.record(up=peer.is_up))


async def _enter(node: Node, name: str, nick: str | None) -> RoomResult:
    room = node.hosted_rooms.get(name)
    if room is None:
        hint = f"`chatctl room host {name[:64]}` makes it; one of another node is NAME@PEER"
        raise ControlError("unknown_room", f"this node hosts no room {name[:64]!r}", hint)
    _, batch = node.hosted_rooms.enter_own(room, nick)
    if batch is not None:
        await batch.wait()
    return RoomResult(room.record())


def leave(node: Node, _session: Session, params: ByRoom) -> Changed:
    room = node.joined_rooms.find(params.room)
    if isinstance(room, HostedRoom):
        return _changed(room, node.hosted_rooms.leave(room, own_member_of(room)))
    record = _record(node, room)
    return RoomResult(msgspec.structs.replace(record, nick=None)), node.joined_rooms.leave(room)


def users(node: Node, _session: Session, params: RoomUsers) -> UserList | Coroutine[Any, Any, UserList]:
    """The members of a room. Asks the host of a joined room, if it is connected."""
    room = node.joined_rooms.find(params.room)
    if isinstance(room, HostedRoom):
        records = room.user_records(node.registry.is_up)
        return UserList(room.label, room.topic, records, fresh=True)
    return _users_from_host(node, room)


async def _users_from_host(node: Node, room: JoinedRoom) -> UserList:
    before = room.rosters_received
    if node.joined_rooms.request_roster(room):
        with trio.move_on_after(ASK_S):
            while room.rosters_received == before and room.state != OVER:
                await room.changed.wait()
    if room.error is not None:
        raise room.error.again()
    return UserList(room.label, room.topic, room.user_records(), fresh=room.rosters_received != before)


def topic(node: Node, _session: Session, params: Topic) -> Changed:
    """Return the topic of a room, or set it."""
    if params.text is None:
        return RoomResult(_record(node, node.joined_rooms.find(params.room)))
    room = _hosted(node, params.room)
    return _changed(room, node.hosted_rooms.set_topic(room, params.text))


def kick(node: Node, _session: Session, params: RoomMember) -> Changed:
    """Remove a member from a hosted room; they may rejoin."""
    room = _hosted(node, params.room)
    return _changed(room, node.moderation.kick(room, params.nick))


def ban(node: Node, _session: Session, params: RoomMember) -> Changed:
    """Remove a member from a hosted room; they may not rejoin."""
    room = _hosted(node, params.room)
    return _changed(room, node.moderation.ban(room, params.nick))


def unban(node: Node, _session: Session, params: RoomMember) -> Changed:
    room = _hosted(node, params.room)
    return _changed(room, node.moderation.unban(room, params.nick))


def close(node: Node, _session: Session, params: ByRoom) -> Changed:
    room = _hosted(node, params.room)
    return _changed(room, node.hosted_rooms.close(room))


def list_rooms(node: Node, _session: Session, _params: Nothing) -> RoomList:
    """Hosted and joined rooms, by name."""
    joined = [room for room in node.joined_rooms if room.state == IN]
    records = [_record(node, room) for room in (*node.hosted_rooms, *joined)]
    return RoomList(sorted(records, key=lambda record: (record.room, record.host)))


# -- shared


def own_member_of(room: HostedRoom) -> Member:
    """This node as a member of a hosted room. Raises ControlError conflict if it is not a member."""
    if room.own_member is None:
        hint = f"`chatctl room join {room.name}` first"
        raise ControlError("conflict", f"this node hosts {room.label}, and is not in it", hint, reason="not_in")
    return room.own_member


def _hosted(node: Node, spec: str) -> HostedRoom:
    """A hosted room. Raises ControlError unknown_room; forbidden for a joined room."""
    room = node.joined_rooms.find(spec)
    if isinstance(room, HostedRoom):
        return room
    owner = node.registry.by_node(room.host)
    hint = f"its host is {owner.shown if owner is not None else room.host}"
    raise ControlError("forbidden", f"only the host of {room.label} can do that", hint)


def _changed(room: HostedRoom, batch: Batch | None) -> Changed:
    """The room as it is now, and the batch with the change, if there is one."""
    result = RoomResult(room.record())
    return result if batch is None else (result, batch)


def _record(node: Node, room: HostedRoom | JoinedRoom) -> RoomRecord:
    if isinstance(room, HostedRoom):
        return room.record()
    return room.record(up=node.registry.is_up(room.host))

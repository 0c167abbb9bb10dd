"""The `room` verbs, but for `room.say`: rooms that this node hosts, and rooms of other nodes that it is in."""

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

JOIN_S = 10.0  # for the host to answer, unless a request says otherwise
ASK_S = 2.0  # for the host to say who is there; then it is told as it was known
Changed = tuple[RoomResult, Batch] | RoomResult


def host(node: Node, _session: Session, params: RoomHost) -> Changed:
    """A room of this node, which is in it unless it is told not to be."""
    if params.nick is not None:
        if not params.join:
            raise RpcError(INVALID_PARAMS, "a nick is for who joins: leave it out, or join")
        nicks.check(params.nick)  # before there is a room
    room, batch = node.hosted_rooms.host(params.room)
    if params.join:
        _, entered = node.hosted_rooms.enter_own(room, params.nick)
        batch = entered or batch
    return _told(room, batch)


async def join(node: Node, _session: Session, params: Join) -> RoomResult:
    """Answered when the host has let us in, and that is on disk."""
    check_timeout(params.timeout)
    name, _, owner = params.room.partition("@")
    if not owner or node.registry.naming.node_of(owner) == node.identity.node:
        return await _enter(node, name, params.nick)
    peer = node.registry.find(owner)
    if peer.kind == "plain":
        raise ControlError("conflict", f"{peer.name} is a plain peer: it hosts no rooms", reason="plain")
    membership = node.joined_rooms.join(peer, name, params.nick)
    with trio.move_on_after(JOIN_S if params.timeout is None else params.timeout):
        await membership.settled.wait()
    if not membership.settled.is_set():
        node.joined_rooms.abandon_join(membership)
        raise ControlError("timeout", f"{peer.name} has not answered", "`chatctl list` shows whether it is up")
    await node.journal.settled()
    if membership.error is not None:
        raise membership.error.again()
    return RoomResult(membership.record(up=peer.is_up))


async def _enter(node: Node, name: str, nick: str | None) -> RoomResult:
    """This node is in a room of its own."""
    room = node.hosted_rooms.get(name)
    if room is None:
        hint = f"`chatctl room host {name[:64]}` makes it; one of another node is NAME@PEER"
        raise ControlError("unknown_room", f"this node hosts no room {name[:64]!r}", hint)
    _, batch = node.hosted_rooms.enter_own(room, nick)
    if batch is not None:
        await batch.wait()
    return RoomResult(room.record())


def leave(node: Node, _session: Session, params: ByRoom) -> Changed:
    """This node is not in the room any more."""
    room = node.joined_rooms.find(params.room)
    if isinstance(room, HostedRoom):
        return _told(room, node.hosted_rooms.leave(room, own_in(room)))
    record = _record(node, room)
    return RoomResult(msgspec.structs.replace(record, nick=None)), node.joined_rooms.leave(room)


def users(node: Node, _session: Session, params: RoomUsers) -> UserList | Coroutine[Any, Any, UserList]:
    """Who is in a room; its host is asked, where it is there to answer."""
    room = node.joined_rooms.find(params.room)
    if isinstance(room, HostedRoom):
        records = room.user_records(node.registry.is_up)
        return UserList(room.label, room.topic, records, fresh=True)
    return _asked_users(node, room)


async def _asked_users(node: Node, room: JoinedRoom) -> UserList:
    heard = room.rosters_received
    if node.joined_rooms.request_roster(room):
        with trio.move_on_after(ASK_S):
            while room.rosters_received == heard and room.state != OVER:
                await room.changed.wait()
    if room.error is not None:
        raise room.error.again()
    return UserList(room.label, room.topic, room.user_records(), fresh=room.rosters_received != heard)


def topic(node: Node, _session: Session, params: Topic) -> Changed:
    """What the room is about, or what it is to be about."""
    if params.text is None:
        return RoomResult(_record(node, node.joined_rooms.find(params.room)))
    room = _hosted(node, params.room)
    return _told(room, node.hosted_rooms.set_topic(room, params.text))


def kick(node: Node, _session: Session, params: RoomMember) -> Changed:
    """Somebody has to go, and may come back."""
    room = _hosted(node, params.room)
    return _told(room, node.moderation.kick(room, params.nick))


def ban(node: Node, _session: Session, params: RoomMember) -> Changed:
    """Somebody has to go, and may not come back."""
    room = _hosted(node, params.room)
    return _told(room, node.moderation.ban(room, params.nick))


def unban(node: Node, _session: Session, params: RoomMember) -> Changed:
    """Who was banned may come back."""
    room = _hosted(node, params.room)
    return _told(room, node.moderation.unban(room, params.nick))


def close(node: Node, _session: Session, params: ByRoom) -> Changed:
    """End a room of this node."""
    room = _hosted(node, params.room)
    return _told(room, node.hosted_rooms.close(room))


def list_rooms(node: Node, _session: Session, _params: Nothing) -> RoomList:
    """Those that are hosted here, and those of others that this node is in."""
    joined = [one for one in node.joined_rooms if one.state == IN]
    records = [_record(node, room) for room in (*node.hosted_rooms, *joined)]
    return RoomList(sorted(records, key=lambda record: (record.room, record.host)))


# -- what they share


def own_in(room: HostedRoom) -> Member:
    """This node, in a room that it hosts. Raises ControlError conflict if it is not in it."""
    if room.own_member is None:
        hint = f"`chatctl room join {room.name}` first"
        raise ControlError("conflict", f"this node hosts {room.label}, and is not in it", hint, reason="not_in")
    return room.own_member


def _hosted(node: Node, spec: str) -> HostedRoom:
    """One that we may change. Raises ControlError unknown_room, forbidden."""
    room = node.joined_rooms.find(spec)
    if isinstance(room, HostedRoom):
        return room
    owner = node.registry.by_node(room.host)
    hint = f"its host is {owner.shown if owner is not None else room.host}"
    raise ControlError("forbidden", f"only the host of {room.label} can do that", hint)


def _told(room: HostedRoom, batch: Batch | None) -> Changed:
    """How it is now, once that is on disk."""
    result = RoomResult(room.record())
    return result if batch is None else (result, batch)


def _record(node: Node, room: HostedRoom | JoinedRoom) -> RoomRecord:
    if isinstance(room, HostedRoom):
        return room.record()
    return room.record(up=node.registry.is_up(room.host))

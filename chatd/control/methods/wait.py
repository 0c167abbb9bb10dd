"""`wait`: block until a condition holds: a peer is up, enough peers or members are present, a message is delivered, an
outbox is empty, or links between nodes are up.
"""

from collections.abc import Callable
from typing import cast

import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import Message
from chatd.api.params import PeerSpec, Wait
from chatd.api.results import Waited
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.message_state import MessageStateWatch
from chatd.control.methods.peers import check_timeout
from chatd.control.methods.topology import wait_for_links
from chatd.control.session import Session
from chatd.journal.rawjson import is_settled
from chatd.node import Node
from chatd.peers.directory import SHORT_PREFIX
from chatd.peers.peer import Peer
from chatd.rooms.joined_room import JoinedRoom
from chatd.rooms.room import HostedRoom
from chatd.sync import Broadcast

FOR = (
    'for is "ready", "peer" (with peer), "peers" (with count), "users" (with room and count), "delivered" (with id), '
    '"outbox-empty" or "topo" (with links)'
)


async def wait(node: Node, _session: Session, params: Wait) -> Waited:
    """The peers that meet the condition, as soon as it holds. Without a timeout it waits forever."""
    check_timeout(params.timeout)
    if params.for_ == "delivered" and params.id is not None:
        return await _delivered(node, params.id, params.timeout)
    if params.for_ == "topo" and params.links is not None:
        await wait_for_links(node, params.links, params.timeout)
        return Waited([])
    condition = _condition(node, params)
    changed = _changes(node, params)
    with trio.move_on_after(float("inf") if params.timeout is None else params.timeout):
        while (peers := condition()) is None:
            await changed.wait()
        return Waited([peer.record() for peer in peers])
    raise ControlError("timeout", f"not within {params.timeout:g} s", _hint(node, params))


def _hint(node: Node, params: Wait) -> str:
    """The remedy after a timeout: more characters of an id, if a stranger was named by too few."""
    if params.for_ == "peer" and params.peer is not None:
        try:
            node.registry.find(params.peer)
        except ControlError as error:
            if error.details.get("reason") == SHORT_PREFIX:
                return error.hint
    return "`chatctl list` shows what is there"


async def _delivered(node: Node, message_id: str, timeout: float | None) -> Waited:
    entry = await node.chat.lookup.find(message_id)
    if is_settled(entry.raw):
        return Waited([])
    peer = node.chat.lookup.peer_of(entry) if entry.direction == "out" else None
    if peer is None or peer.kind == "plain":
        hint = "it takes the id of a message to another chatd, as `send` prints it"
        raise ControlError("conflict", f"nobody acknowledges message {message_id[:64]}", hint, reason="not_ours")
    await MessageStateWatch(node, peer, entry.seq, cast(Message, entry.event).room).wait("delivered", timeout)
    return Waited([peer.record()])


def _changes(node: Node, params: Wait) -> Broadcast:
    """The broadcast to wait for before the condition is tested again."""
    if params.for_ == "users":
        return node.joined_rooms.find(params.room or "").changed
    if params.for_ != "outbox-empty":
        return node.registry.changed
    if params.peer is None:
        return node.registry.outbox_totals.changed
    return node.registry.find(params.peer).delivery.progress


def _condition(node: Node, params: Wait) -> Callable[[], list[Peer] | None]:
    spec = params.peer
    if params.for_ == "ready":
        return list
    if params.for_ == "peer" and spec is not None:
        return lambda: _up(node, spec)
    if params.for_ == "peers" and params.count is not None:
        count = params.count
        return lambda: up if len(up := node.registry.up()) >= count else None
    if params.for_ == "users" and params.room is not None and params.count is not None:
        room, least = node.joined_rooms.find(params.room), params.count
        return lambda: [] if _count_users(node, room) >= least else None
    if params.for_ == "outbox-empty":
        if spec is None:
            return lambda: None if node.registry.outbox_totals.messages else []
        peer = node.registry.find(spec)
        return lambda: None if peer.record().queued else [peer]
    raise RpcError(INVALID_PARAMS, f"wait: {params.for_[:64]!r} is nothing to wait for, or misses its parameter", FOR)


def _count_users(node: Node, room: HostedRoom | JoinedRoom) -> int:
    """The number of members. Raises ControlError unknown_room once the room is closed."""
    if isinstance(room, JoinedRoom) and room.error is not None:
        raise room.error.again()
    if isinstance(room, HostedRoom) and node.hosted_rooms.get(room.name) is not room:
        raise ControlError("unknown_room", f"{room.label} was closed")
    return len(room.users())


def _up(node: Node, spec: PeerSpec) -> list[Peer] | None:
    """The peer, if it is up; None also for an unknown one, which may still connect."""
    try:
        peer = node.registry.find(spec)
    except ControlError as error:
        if error.kind != "unknown_peer":
            raise
        return None
    return [peer] if peer.is_up else None

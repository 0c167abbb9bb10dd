"""`room.say`: a message to a hosted room or a joined room."""

from collections.abc import Coroutine, Sequence
from typing import Any

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import Message
from chatd.api.params import RoomSay
from chatd.api.results import Sent
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.message_state import MessageStateWatch
from chatd.control.methods.peers import check_timeout
from chatd.control.methods.rooms import own_member_of
from chatd.control.session import Session
from chatd.journal.batch import Batch
from chatd.messages.chat import Options, RoomTarget
from chatd.node import Node
from chatd.peers.peer import Peer
from chatd.rooms.joined_room import JoinedRoom
from chatd.rooms.room import HostedRoom

Posting = tuple[Sent, Batch] | Coroutine[Any, Any, Sent]


def say(node: Node, _session: Session, params: RoomSay) -> Posting:
    """Append a message to a room, or to one member of it; its commit accepts it."""
    check_timeout(params.timeout)
    if params.wait not in (None, "sent", "delivered"):
        raise RpcError(INVALID_PARAMS, f"wait: {params.wait[:64]!r} is neither sent nor delivered")
    room = node.joined_rooms.find(params.room)
    to, text = _addressed(params)
    (message,), batch = _append(node, room, [text], to)
    sent = _sent(room, message)
    if params.wait is None or isinstance(room, HostedRoom):
        return sent, batch
    return _wait(MessageStateWatch(node, _host(node, room), node.journal.appended, room.label), batch, params)


def say_many(node: Node, params: Sequence[RoomSay]) -> tuple[list[Sent], Batch] | None:
    """Send consecutive messages, if all go to one room, without options, and are valid. Raises NoCapacity."""
    specs = {request.room for request in params}
    try:
        room = node.joined_rooms.find(specs.pop())
        if specs or any(map(_has_options, params)):
            return None
        messages, batch = _append(node, room, [request.text for request in params], None)
    except ControlError:
        return None
    return [_sent(room, message) for message in messages], batch


def _has_options(params: RoomSay) -> bool:
    return params.text[:1] == "@" or params.to is not None or params.wait is not None or params.timeout is not None


def _addressed(params: RoomSay) -> tuple[str | None, str]:
    """The nick of the only recipient (None: all members), and the text."""
    text = params.text
    if params.to is not None or text[:1] != "@":
        return params.to, text
    if text[:2] == "@@":
        return None, text[1:]
    nick, _, rest = text[1:].partition(" ")
    return (nick, rest) if nick else (None, text)


def _append(
    node: Node, room: HostedRoom | JoinedRoom, texts: Sequence[str], to: str | None
) -> tuple[list[Message], Batch]:
    """Append the messages. Raises ControlError, NoCapacity."""
    if isinstance(room, HostedRoom):
        member = None if to is None else node.hosted_rooms.find_member(room, to)
        return node.posting.post(room, own_member_of(room), texts, member)
    target = RoomTarget(room.label, room.nick, None if to is None else _find_member(room, to))
    return node.chat.send_all(_host(node, room), texts, Options(room_target=target))


def _find_member(room: JoinedRoom, nick: str) -> tuple[str, str | None]:
    """The nick and node id of the member with that nick. Raises ControlError unknown_peer, peer_offline."""
    user = room.named(nick)
    if user is not None:
        return user[0], user[1]
    if not room.rosters_received:
        hint = "say it to all, or wait for the host: `chatctl room list`"
        raise ControlError("peer_offline", f"the host of {room.label} has not said yet who is in it", hint)
    hint = f"`chatctl room users {room.label}` shows who is there"
    raise ControlError("unknown_peer", f"there is no {nick[:64]!r} in {room.label}", hint)


def _host(node: Node, room: JoinedRoom) -> Peer:
    peer = node.registry.by_node(room.host)
    if peer is None:
        raise ControlError("peer_offline", f"the host of {room.label} is not known any more", "leave the room")
    return peer


def _sent(room: HostedRoom | JoinedRoom, message: Message) -> Sent:
    """The result. In a hosted room a message has its position at once, so it is delivered."""
    return Sent(message.position, "delivered" if isinstance(room, HostedRoom) else "queued", message.peer, room.label)


async def _wait(watch: MessageStateWatch, batch: Batch, params: RoomSay) -> Sent:
    await batch.wait()
    return watch.result(await watch.wait(params.wait or "", params.timeout))

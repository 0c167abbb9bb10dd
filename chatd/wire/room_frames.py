"""Native frames about rooms, between a host and the nodes that are members.

`Rooms` goes from a member to the host, `Roster` and `Gone` back; they carry current values. The others have a position
in the sender's journal and are acknowledged like `Text`. Exported by `wire/frames.py`; the layout is specified in
docs/wire.md.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from chatd.wire.fields import Seq, valid_epoch, valid_id, valid_kind, valid_name, valid_nick, valid_node, valid_note

ROOMS_MOST: Final = 256  # in one frame; that many fit into FRAME_BYTES even with the longest names
USERS_MOST: Final = 256  # in one page of a Roster


class Rooms(msgspec.Struct, array_like=True, tag=8, frozen=True, gc=False):
    """Declaration: all rooms of the receiver that the sender is in or wants to join, as (room, nick, is it a join).

    Sent as a whole at the start of a link and after every change. `number` increases with every change within a run of
    the sender; a list that is older than another one received on any link is ignored. The receiver answers each room
    with a Roster or a Gone.
    """

    number: Seq
    rooms: list[tuple[str, str, bool]]


class Roster(msgspec.Struct, array_like=True, tag=9, frozen=True, gc=False):
    """The receiver is in this room of the sender, as `nick`, since the seq `since`.

    `users`: all members, as (nick, node or None, online). In pages: `more` is true for all but the last one.
    """

    room: str
    nick: str
    topic: str
    since: Seq
    users: list[tuple[str, str | None, bool]]
    more: bool


class Gone(msgspec.Struct, array_like=True, tag=10, frozen=True, gc=False):
    """The receiver is not in this room of the sender. `kind` is an error kind of the control socket."""

    room: str
    kind: str
    reason: str


class Say(msgspec.Struct, array_like=True, tag=11, frozen=True, gc=False):
    """Message to a room of the receiver, at its position in the sender's journal. `to`: for this member only.

    `to_node`: the node that had the nick `to` when the message was sent; None: a plain client.
    """

    epoch: str
    seq: Seq
    room: str
    text: str
    to: str | None = None
    to_node: str | None = None


class Said(msgspec.Struct, array_like=True, tag=12, frozen=True, gc=False):
    """Message in a room of the sender, at its position in the sender's journal.

    The receiver's own messages come back like this; then `id` is their position in the receiver's journal, else None.
    """

    epoch: str
    seq: Seq
    room: str
    nick: str
    text: str
    id: str | None = None
    to: str | None = None


class Happened(msgspec.Struct, array_like=True, tag=13, frozen=True, gc=False):
    """Any other event in a room of the sender: "join", "leave" (`text`: reason), "topic" (`text`) or "closed".

    After a "leave" of the receiver itself, or "closed", the receiver gets nothing more from the room.
    """

    epoch: str
    seq: Seq
    room: str
    what: Literal["join", "leave", "topic", "closed"]
    nick: str = ""
    node: str | None = None
    text: str = ""


class Refused(msgspec.Struct, array_like=True, tag=14, frozen=True, gc=False):
    """The sender rejected the receiver's message `id` to a room."""

    epoch: str
    seq: Seq
    room: str
    id: str
    reason: str


class Missing(msgspec.Struct, array_like=True, tag=15, frozen=True, gc=False):
    """Events of rooms are missing: those after (room, `EPOCH:SEQ`), up to and including `through`.

    Its own position is that of a missing event, or of one for other members.
    """

    epoch: str
    seq: Seq
    through: str
    rooms: list[tuple[str, str]]


RoomFrame = Rooms | Roster | Gone | Say | Said | Happened | Refused | Missing


def _rooms_problem(frame: Rooms) -> str:
    if len(frame.rooms) > ROOMS_MOST:
        return f"more than {ROOMS_MOST} rooms"
    if len({room for room, _, _ in frame.rooms}) < len(frame.rooms):
        return "a room twice"
    return next((problem for room, nick, _ in frame.rooms if (problem := _room(room) or _nick(nick))), "")


def _roster_problem(frame: Roster) -> str:
    if len(frame.users) > USERS_MOST:
        return f"more than {USERS_MOST} users"
    if problem := _room(frame.room) or _nick(frame.nick) or _note(frame.topic):
        return problem
    return next((problem for nick, node, _ in frame.users if (problem := _nick(nick) or _node(node))), "")


def _gone_problem(frame: Gone) -> str:
    return _room(frame.room) or _note(frame.reason) or ("" if valid_kind(frame.kind) else "no such kind")


def _say_problem(frame: Say) -> str:
    problem = _at(frame.epoch, frame.room)
    if frame.to is None:
        return problem or ("" if frame.to_node is None else "a node without a nick")
    return problem or _nick(frame.to) or _node(frame.to_node)


def _said_problem(frame: Said) -> str:
    problem = _at(frame.epoch, frame.room) or _nick(frame.nick) or ("" if frame.id is None else _id(frame.id))
    return problem or ("" if frame.to is None else _nick(frame.to))


def _happened_problem(frame: Happened) -> str:
    nameless = not frame.nick and frame.what in ("topic", "closed")
    problem = _at(frame.epoch, frame.room) or ("" if nameless else _nick(frame.nick))
    return problem or _node(frame.node) or _note(frame.text)


def _refused_problem(frame: Refused) -> str:
    return _at(frame.epoch, frame.room) or _id(frame.id) or _note(frame.reason)


def _missing_problem(frame: Missing) -> str:
    if not valid_epoch(frame.epoch):
        return "no such epoch"
    if not valid_id(frame.through):
        return "no such position"
    return next((problem for room, after in frame.rooms if (problem := _room(room) or _id(after))), "")


def _at(epoch: str, room: str) -> str:
    return _room(room) if valid_epoch(epoch) else "no such epoch"


def _room(room: str) -> str:
    return "" if valid_name(room) else "no such room name"


def _nick(nick: str) -> str:
    return "" if valid_nick(nick) else "no such nick"


def _node(node: str | None) -> str:
    return "" if node is None or valid_node(node) else "no such node id"


def _id(message_id: str) -> str:
    return "" if valid_id(message_id) else "no such id"


def _note(text: str) -> str:
    return "" if valid_note(text) else "no such note"


# Checks beyond the types: the syntax of strings, and the length of lists. Each returns the problem; empty: none.
ROOM_CHECKS: Final[Mapping[type, Callable[[Any], str]]] = {
    Rooms: _rooms_problem,
    Roster: _roster_problem,
    Gone: _gone_problem,
    Say: _say_problem,
    Said: _said_problem,
    Happened: _happened_problem,
    Refused: _refused_problem,
    Missing: _missing_problem,
}

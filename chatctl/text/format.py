"""Records and events as lines for people: escaped, in local time.

Knows the records of the control socket by their fields. An unknown field or type is printed or left out, never an
error. Used by most verbs.
"""

import time
from calendar import timegm

from chatctl.text.output import short
from chatctl.text.sanitize import block, inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LINES = {
    "peer.up": "{name} is connected ({address})",
    "peer.down": "{name} is gone: {reason}",
    "peer.pending": "{name} at {address} asks to talk: chatctl peer accept {slot}",
    "peer.diverged": "{name} has more of our messages than we do: {theirs}, we have {ours}",
    "peer.cloned": "two nodes run with the identity of {name}: stop one of them",
    "daemon.start": "the daemon has started (version {version})",
    "daemon.stop": "the daemon stops ({reason})",
    "room.join": "[{room}] {nick} has joined",
    "room.leave": "[{room}] {nick} is gone: {reason}",
    "room.topic": "[{room}] topic: {text}",
    "room.gone": "[{room}] we are not in it any more: {reason}",
    "room.refused": "[{room}] {global_id} of {name} was refused: {reason}",
}
_PLAIN_FINAL_STATE = "sent"  # plain peers acknowledge nothing
_converted: dict[str, str] = {}  # only the last second: events come in bursts


def local_time(at: object) -> str:
    """Convert a time of the daemon to local time, e.g. `2026-11-21 04:00:00`."""
    second = str(at)[:19]
    known = _converted.get(second)
    if known is None:
        _converted.clear()
        try:
            moment = time.localtime(timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S")))
            known = time.strftime("%Y-%m-%d %H:%M:%S", moment)
        except ValueError:
            known = inline(second)
        _converted[second] = known
    return known


def event_line(event: "Mapping[str, Any]", states: str = "none") -> str:
    """Return one line for an event, and further indented lines for a message of several lines.

    `states`: which message states to show for our own messages: "none", "open" (all but the final success) or "all".
    """
    at = local_time(event.get("at"))
    if event.get("type") == "message":
        return f"{at} {_author(event)} {block(str(event.get('text')))}{_state_mark(event, states)}"
    return f"{at} * {_event_text(event)}"


def history_line(event: "Mapping[str, Any]") -> str:
    """Like `event_line`, with the state of messages that have not arrived."""
    return event_line(event, "open")


def peer_line(peer: "Mapping[str, Any]") -> str:
    """`slot 0, bob, node k3v9abcd (10.0.0.2:7420)`."""
    node = peer.get("node")
    dialect = peer.get("dialect")
    what = f"node {short(node)}" if node else f"room server, dialect {dialect}" if dialect else "plain"
    address = peer.get("address")
    where = f" ({address})" if address else ""
    return inline(f"slot {peer.get('slot')}, {peer.get('name')}, {what}{where}")


def room_line(room: "Mapping[str, Any]") -> str:
    """`lobby@alice as bob, 3 users, topic: all things`."""
    nick, users, topic = (room.get(field) for field in ("nick", "users", "topic"))
    called = f" as {nick}" if nick is not None else ""
    about = f", topic: {topic}" if topic else ""
    return inline(f"{room.get('room')}{called}, {users} user{'' if users == 1 else 's'}{about}")


def _author(event: "Mapping[str, Any]") -> str:
    """`bob:`, `-> bob:` for our own, in a room `[lobby@alice] <jane>`, or `<jane -> bob>` for a private one."""
    room, to = event.get("room"), event.get("to")
    if room is not None:
        who = f"{event.get('nick')} -> {to}" if to is not None else event.get("nick")
        return inline(f"[{room}] <{who}>")
    return f"-> {_name(event)}:" if event.get("direction") == "out" else f"{_name(event)}:"


def _state_mark(event: "Mapping[str, Any]", states: str) -> str:
    state, peer = event.get("state"), event.get("peer")
    if states == "none" or state is None:
        return ""
    plain = isinstance(peer, dict) and peer.get("kind") == "plain"
    if states == "open" and state == (_PLAIN_FINAL_STATE if plain else "delivered"):
        return ""
    return f"  [{inline(str(state))}]"


def _name(event: "Mapping[str, Any]") -> str:
    peer = event.get("peer")
    return inline(str(peer.get("name"))) if isinstance(peer, dict) else "?"


def _event_text(event: "Mapping[str, Any]") -> str:
    kind = str(event.get("type"))
    if kind == "gap":
        room = event.get("room")
        where = f" in {inline(str(room))}" if room else f" of {_name(event)}" if event.get("peer") else ""
        after = inline(str(event.get("after") or "the beginning"))
        return f"gap: messages{where} after {after} through {inline(str(event.get('through')))} are missing"
    if kind == "receipt":
        return _receipt(event)
    values = {field: inline(str(value)) for field, value in event.items()}
    peer = event.get("peer")
    values["name"] = _name(event)
    values["slot"] = inline(str(peer.get("slot"))) if isinstance(peer, dict) else "?"
    values["text"] = values.get("text") or "(none)"
    try:
        line = _LINES[kind].format_map(values)
    except KeyError:  # of a newer daemon
        return inline(kind) + (f" {values['name']}" if peer else "")
    unsent = event.get("unsent")
    return f"{line}, {inline(str(unsent))} not written" if unsent else line


def _receipt(event: "Mapping[str, Any]") -> str:
    """A receipt with `through` covers all messages up to and including it; one with `id` covers that message."""
    state, through = inline(str(event.get("state"))), event.get("through")
    room, reason = event.get("room"), event.get("reason")
    if room is not None:
        why = f": {reason}" if reason else ""
        return inline(f"[{room}] {event.get('id')} is {state}{why}")
    if through is not None:
        return f"{state} to {_name(event)}: everything through {inline(str(through))}"
    return f"{inline(str(event.get('id')))} to {_name(event)} is {state}"

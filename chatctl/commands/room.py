"""`chatctl room`: hosted and joined rooms, their members and moderation."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import App, Family, Verb
from chatctl.commands.say import say_verb
from chatctl.errors import Failure
from chatctl.text.format import room_line
from chatctl.text.output import short
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM_HEAD = ("ROOM", "HOST", "STATE", "NICK", "USERS", "TOPIC")
USER_HEAD = ("NICK", "KIND", "NODE", "HERE", "ADDRESS")


def host(app: App, name: str, nick: str | None, no_join: bool) -> None:
    if no_join and nick is not None:
        raise Failure("usage", "--nick and --no-join exclude each other")
    params: dict[str, object] = {"room": name, **_nick_param(nick), **({"join": False} if no_join else {})}
    _print_room(app, app.call("room.host", params), "hosting")


def join(app: App, room: str, nick: str | None) -> None:
    _print_room(app, app.call_with_timeout("room.join", {"room": room, **_nick_param(nick)}), "joined")


def topic(app: App, room: str, text: tuple[str, ...], literal: bool) -> None:
    "Print the topic of a room. With TEXT, set it first (host only). An empty TEXT removes it."
    sending.check_utf8(room, "the room's name")
    given = {"text": sending.message_text(text, literal)} if text else {}
    result = app.call("room.topic", {"room": room, **given})
    words = (result.get("room") or {}).get("topic")
    if app.out.json:
        app.out.result(result)
    elif words:
        app.out.line(inline(str(words)))
    else:
        app.out.note("no topic")


def users(app: App, room: str) -> None:
    result = app.call("room.users", {"room": room})
    if app.out.json:
        app.out.result(result)
        return
    _print_table(app, USER_HEAD, [_user_row(user) for user in result.get("users") or []], "nobody is in it")
    if not result.get("fresh", True):
        app.out.note("chatctl: this is what was known when the room's host was last heard of")


def rooms(app: App) -> None:
    result = app.call("room.list")
    if app.out.json:
        app.out.result(result)
        return
    _print_table(app, ROOM_HEAD, [_room_row(room) for room in result.get("rooms") or []], "no rooms")


def _nick_param(nick: str | None) -> dict[str, object]:
    return {} if nick is None else {"nick": nick}


def _print_room(app: App, result: "dict[str, Any]", done: str) -> None:
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line(f"{done}: {room_line(result.get('room') or {})}")


def _print_table(app: App, head: tuple[str, ...], rows: list[list[object]], nothing: str) -> None:
    if rows:
        app.out.table(head, rows)
    else:
        app.out.note(nothing)


def _room_row(room: "dict[str, Any]") -> list[object]:
    host = "here" if room.get("hosted") else short(room.get("host"))
    return [
        room.get("room"),
        host,
        *(room.get(field) for field in ("state", "nick", "users")),
        room.get("topic") or None,
    ]


def _user_row(user: "dict[str, Any]") -> list[object]:
    node = user.get("node")
    return [
        *(user.get(field) for field in ("nick", "kind")),
        node and short(node),
        "yes" if user.get("here") else "no",
        user.get("address"),
    ]


def _verb(name: str, done: str, help: str) -> Verb:  # noqa: A002 - click's name
    """A verb that calls the method `room.NAME` and prints the room after `done`.

    If `done` contains `{nick}`, the verb has that argument too.
    """

    def run(app: App, **params: str) -> None:
        result = app.call(f"room.{name}", params)
        if app.out.json:
            app.out.result(result)
        else:
            app.out.line(inline(f"{done.format_map(params)}: {(result.get('room') or {}).get('room')}"))

    return Verb(name, run, [_ROOM, _NICK] if "{nick}" in done else [_ROOM], help=help)


_ROOM = click.Argument(["room"])
_NICK = click.Argument(["nick"])
_NICK_OPTION = click.Option(
    ["--nick"], metavar="NICK", help="Name of this node's user in the room (default: the node's name)."
)

command = Family(
    "room",
    help="Host, join and manage rooms. ROOM is e.g. lobby, or lobby@alice for the one that alice "
    "hosts. `tail ROOM` and `history ROOM` print its messages, and `console --room ROOM` opens "
    "a prompt.",
    commands={
        "host": Verb(
            "host",
            host,
            [
                click.Argument(["name"]),
                _NICK_OPTION,
                click.Option(["--no-join"], is_flag=True, help="Host the room without joining it."),
            ],
            help="Host a room on this node and join it. It is kept across restarts, until `close`. The host "
            "can read all messages in it, private ones too.",
        ),
        "join": Verb(
            "join",
            join,
            [_ROOM, _NICK_OPTION],
            help="Join a room. Membership is kept across restarts, until `leave`. Returns when the host has accepted.",
        ),
        "leave": _verb("leave", "left", "Leave a room."),
        "say": say_verb("say"),
        "users": Verb("users", users, [_ROOM], help="List the members of a room, in the order in which they joined."),
        "topic": sending.TextVerb(
            "topic",
            topic,
            [_ROOM, click.Argument(["text"], nargs=-1)],
            help="Print the topic of a room. With TEXT, set it first (host only). An empty TEXT removes it.",
        ),
        "kick": _verb("kick", "kicked {nick}", "Remove a member from a hosted room; they may rejoin."),
        "ban": _verb("ban", "banned {nick}", "Remove a member from a hosted room and refuse them until `unban`."),
        "unban": _verb("unban", "unbanned {nick}", "Let a banned member join again."),
        "list": Verb(
            "list",
            rooms,
            help="List hosted and joined rooms. Shows the host, whether it is connected, the nick of this node, "
            "the number of members, and the topic.",
        ),
        "close": _verb("close", "closed", "Close a hosted room for all its members."),
    },
)

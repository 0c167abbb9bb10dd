"""`chatctl room`: rooms of this node and of others, and who is in them."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import Verb, common
from chatctl.commands.say import speaker
from chatctl.errors import Failure
from chatctl.text.format import room_line
from chatctl.text.output import short, table
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

ROOMS = ("ROOM", "HOST", "STATE", "NICK", "USERS", "TOPIC")
USERS = ("NICK", "KIND", "NODE", "HERE", "ADDRESS")


def host(app: "App", name: str, nick: str | None, no_join: bool) -> None:
    """Host a room, and be in it."""
    if no_join and nick is not None:
        raise Failure("usage", "--nick and --no-join exclude each other")
    params: dict[str, object] = {"room": name, **_nick(nick), **({"join": False} if no_join else {})}
    _tell(app, app.call("room.host", params), "hosting")


def join(app: "App", room: str, nick: str | None) -> None:
    """Join a room."""
    _tell(app, app.call_timed("room.join", {"room": room, **_nick(nick)}), "joined")


def leave(app: "App", room: str) -> None:
    """Leave a room."""
    _change(app, "leave", "left", {"room": room})


def close(app: "App", room: str) -> None:
    """End a room of this node."""
    _change(app, "close", "closed", {"room": room})


def kick(app: "App", room: str, nick: str) -> None:
    """Put somebody out."""
    _change(app, "kick", f"kicked {nick}", {"room": room, "nick": nick})


def ban(app: "App", room: str, nick: str) -> None:
    """Put somebody out, for good."""
    _change(app, "ban", f"banned {nick}", {"room": room, "nick": nick})


def unban(app: "App", room: str, nick: str) -> None:
    """Let somebody in again."""
    _change(app, "unban", f"unbanned {nick}", {"room": room, "nick": nick})


def topic(app: "App", room: str, text: tuple[str, ...], literal: bool) -> None:
    """Tell the topic, after it was set if there is a text."""
    sending.check(room, "the room's name")
    given = {"text": sending.text_of(text, literal)} if text else {}
    found = app.call("room.topic", {"room": room, **given})
    words = (found.get("room") or {}).get("topic")
    if app.out.json:
        app.out.result(found)
    elif words:
        app.out.line(inline(str(words)))
    else:
        app.out.note("no topic")


def users(app: "App", room: str) -> None:
    """Show who is in it."""
    found = app.call("room.users", {"room": room})
    if app.out.json:
        app.out.result(found)
        return
    _show(app, USERS, [_user(user) for user in found.get("users") or []], "nobody is in it")
    if not found.get("fresh", True):
        app.out.note("chatctl: this is what was known when the room's host was last heard of")


def rooms(app: "App") -> None:
    """Show the rooms."""
    found = app.call("room.list")
    if app.out.json:
        app.out.result(found)
        return
    _show(app, ROOMS, [_room(room) for room in found.get("rooms") or []], "no rooms")


def _nick(nick: str | None) -> dict[str, object]:
    return {} if nick is None else {"nick": nick}


def _change(app: "App", method: str, done: str, params: dict[str, object]) -> None:
    found = app.call(f"room.{method}", params)
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(f"{done}: {(found.get('room') or {}).get('room')}"))


def _tell(app: "App", found: "dict[str, Any]", done: str) -> None:
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(f"{done}: {room_line(found.get('room') or {})}")


def _show(app: "App", head: tuple[str, ...], rows: list[list[object]], nothing: str) -> None:
    if not rows:
        app.out.note(nothing)
        return
    first, *lines = table(head, rows)
    app.out.line("\n".join([app.out.paint(first, "bold"), *lines]))


def _room(room: "dict[str, Any]") -> list[object]:
    whose = "here" if room.get("hosted") else short(room.get("host"))
    return [
        room.get("room"),
        whose,
        *(room.get(field) for field in ("state", "nick", "users")),
        room.get("topic") or None,
    ]


def _user(user: "dict[str, Any]") -> list[object]:
    node = user.get("node")
    return [
        *(user.get(field) for field in ("nick", "kind")),
        node and short(node),
        "yes" if user.get("here") else "no",
        user.get("address"),
    ]


_ROOM = click.Argument(["room"])
_NICK = click.Argument(["nick"])
_CALLED = click.Option(["--nick"], metavar="NICK", help="How we are called in it; else by this node's name.")

command = click.Group(
    "room",
    params=common(),
    add_help_option=False,
    no_args_is_help=False,
    help="Rooms: of this node, and of others. ROOM is lobby, or lobby@alice for the one that alice hosts. What is said "
    "in a room is shown by tail ROOM and history ROOM, and console --room ROOM talks in it.",
    commands={
        "host": Verb(
            "host",
            host,
            [
                click.Argument(["name"]),
                _CALLED,
                click.Option(["--no-join"], is_flag=True, help="Host it without being in it."),
            ],
            help="Host a room on this node, and be in it. It is there over restarts, until close. Its host can read "
            "all that is said in it, to one alone too.",
        ),
        "join": Verb(
            "join",
            join,
            [_ROOM, _CALLED],
            help="Be in a room, over restarts, until leave. Done when its host has let us in.",
        ),
        "leave": Verb("leave", leave, [_ROOM], help="Be in a room no more."),
        "say": speaker("say"),
        "users": Verb("users", users, [_ROOM], help="Who is in a room, in the order in which they came."),
        "topic": sending.Speech(
            "topic",
            topic,
            [_ROOM, click.Argument(["text"], nargs=-1)],
            help="Print the topic of a room. With TEXT, set it first, which only its host can. An empty TEXT takes it "
            "away.",
        ),
        "kick": Verb("kick", kick, [_ROOM, _NICK], help="Put somebody out of a room of this node; who may come back."),
        "ban": Verb("ban", ban, [_ROOM, _NICK], help="Put somebody out of a room of this node, until unban."),
        "unban": Verb("unban", unban, [_ROOM, _NICK], help="Let somebody join again who was banned."),
        "list": Verb(
            "list",
            rooms,
            help="The rooms of this node, and those it is in. With whose they are, whether that node is up or away, "
            "our nick, how many are in it, and the topic.",
        ),
        "close": Verb("close", close, [_ROOM], help="End a room of this node, for all who are in it."),
    },
)

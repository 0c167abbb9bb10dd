"""`chatctl wait`: until the daemon is ready, a peer is up, so many are, or in a room; what was sent has arrived, links
between nodes are up.
"""

import time

import click

from chatctl.cli.verb import Verb, common
from chatctl.errors import Failure
from chatctl.text.format import peer_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

FOREVER = float("inf")
PAUSE_S = 0.1
STARTING = ("no_daemon", "shutting_down")  # a daemon that stops may be one that restarts


def ready(app: "App") -> None:
    """Wait for the daemon, whether or not it has been started yet."""
    while True:
        left = app.left()
        try:
            app.reach(FOREVER if left is None else left)
            _show(app, app.call_timed("wait", {"for": "ready"}), "ready")
            return
        except Failure as failure:
            app.close()
            if failure.kind not in STARTING:
                raise
            if app.left() == 0:
                raise Failure("timeout", f"not ready in time: {failure.message}", failure.hint) from None
        time.sleep(PAUSE_S)


def peer(app: "App", name: str) -> None:
    """Wait until a peer is up."""
    _show(app, app.call_timed("wait", {"for": "peer", "peer": name}), "up")


def peers(app: "App", count: int) -> None:
    """Wait until so many peers, or more, are up."""
    _show(app, app.call_timed("wait", {"for": "peers", "count": count}), "up")


def users(app: "App", room: str, count: int) -> None:
    """Wait until so many, or more, are in a room."""
    found = app.call_timed("wait", {"for": "users", "room": room, "count": count})
    _show(app, found, inline(f"{count} or more are in {room}"))


def delivered(app: "App", number: str) -> None:
    """Wait until a message is in the peer's journal."""
    _show(app, app.call_timed("wait", {"for": "delivered", "id": number}), "delivered")


def outbox_empty(app: "App", name: str | None) -> None:
    """Wait until nothing is owed to a peer, or to anybody."""
    whose: dict[str, object] = {} if name is None else {"peer": name}
    _show(app, app.call_timed("wait", {"for": "outbox-empty", **whose}), "nothing is owed")


def topo(app: "App", links: str) -> None:
    """Wait until links between nodes are up, or not."""
    _show(app, app.call_timed("wait", {"for": "topo", "links": links}), inline(links))


class Wait(Verb):
    """A verb that waits: when the reader of stdout has gone, nothing waits for it."""

    def invoke(self, ctx: click.Context) -> "int | None":
        """As every verb, but attended."""
        app: App = ctx.obj
        app.attend()
        return super().invoke(ctx)


def _show(app: "App", found: "dict[str, Any]", what: str) -> None:
    if app.out.json:
        app.out.result(found)
        return
    lines = [f"{what}: {peer_line(one)}" for one in found.get("peers") or []]
    app.out.line("\n".join(lines) or what)


command = click.Group(
    "wait",
    params=common(),
    add_help_option=False,
    no_args_is_help=False,
    help="Wait until something is so; --timeout DURATION says how long (exit 124).",
    commands={
        "ready": Wait("ready", ready, help="Until the daemon answers; it need not have been started yet."),
        "peer": Wait("peer", peer, [click.Argument(["name"], metavar="PEER")], help="Until a peer is up."),
        "peers": Wait(
            "peers",
            peers,
            [click.Argument(["count"], type=click.IntRange(0), metavar="N")],
            help="Until N peers are up.",
        ),
        "users": Wait(
            "users",
            users,
            [click.Argument(["room"]), click.Argument(["count"], type=click.IntRange(0), metavar="N")],
            help="Until N, or more, are in a room.",
        ),
        "delivered": Wait(
            "delivered",
            delivered,
            [click.Argument(["number"], metavar="ID")],
            help="Until the message ID is in the peer's journal; a message that never gets there is an error.",
        ),
        "outbox-empty": Wait(
            "outbox-empty",
            outbox_empty,
            [click.Argument(["name"], metavar="[PEER]", required=False)],
            help="Until PEER, or everybody, has acknowledged all that was sent to it.",
        ),
        "topo": Wait(
            "topo",
            topo,
            [click.Argument(["links"], metavar="LINKS")],
            help="Until these links between nodes of the network are up, as both ends say: 'alice-bob,bob-carol'. "
            "A ! before one: until it is not, '!alice-bob'. In doubt a-1--b-2 says where to split. A node is a name "
            "that `topo` shows, a node id, or NAME~ID with the beginning of its id.",
        ),
    },
)

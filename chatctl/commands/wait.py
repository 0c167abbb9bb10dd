"""`chatctl wait`: blocks until a condition holds.

Conditions: the daemon is ready, a peer or N peers are up, N users are in a room, a message is delivered, an outbox is
empty, links between nodes are up.
"""

import time

import click

from chatctl.cli.verb import App, Family, Verb
from chatctl.errors import Failure
from chatctl.text.format import peer_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOREVER = float("inf")
PAUSE_S = 0.1
RETRIED_KINDS = ("no_daemon", "shutting_down")  # a daemon that stops may be restarting


def ready(app: App) -> None:
    """The daemon need not have been started yet."""
    while True:
        left = app.time_left()
        try:
            app.connect(FOREVER if left is None else left)
            _print_done(app, app.call_with_timeout("wait", {"for": "ready"}), "ready")
            return
        except Failure as failure:
            app.close()
            if failure.kind not in RETRIED_KINDS:
                raise
            if app.time_left() == 0:
                raise Failure("timeout", f"not ready in time: {failure.message}", failure.hint) from None
        time.sleep(PAUSE_S)


def peer(app: App, name: str) -> None:
    _print_done(app, app.call_with_timeout("wait", {"for": "peer", "peer": name}), "up")


def peers(app: App, count: int) -> None:
    _print_done(app, app.call_with_timeout("wait", {"for": "peers", "count": count}), "up")


def users(app: App, room: str, count: int) -> None:
    result = app.call_with_timeout("wait", {"for": "users", "room": room, "count": count})
    _print_done(app, result, inline(f"{count} or more are in {room}"))


def delivered(app: App, number: str) -> None:
    _print_done(app, app.call_with_timeout("wait", {"for": "delivered", "id": number}), "delivered")


def outbox_empty(app: App, name: str | None) -> None:
    params: dict[str, object] = {} if name is None else {"peer": name}
    _print_done(app, app.call_with_timeout("wait", {"for": "outbox-empty", **params}), "nothing is owed")


def topo(app: App, links: str) -> None:
    _print_done(app, app.call_with_timeout("wait", {"for": "topo", "links": links}), inline(links))


class WaitVerb(Verb):
    """Ends when the reader of stdout has gone."""

    def invoke(self, ctx: click.Context) -> "int | None":
        app: App = ctx.obj
        app.watch_stdout()
        return super().invoke(ctx)


def _print_done(app: App, result: "dict[str, Any]", condition: str) -> None:
    if app.out.json:
        app.out.result(result)
        return
    lines = [f"{condition}: {peer_line(peer)}" for peer in result.get("peers") or []]
    app.out.line("\n".join(lines) or condition)


command = Family(
    "wait",
    help="Wait until a condition holds. Exit 124 after --timeout.",
    commands={
        "ready": WaitVerb("ready", ready, help="Wait until the daemon answers. It need not be running yet."),
        "peer": WaitVerb(
            "peer", peer, [click.Argument(["name"], metavar="PEER")], help="Wait until a peer is connected."
        ),
        "peers": WaitVerb(
            "peers",
            peers,
            [click.Argument(["count"], type=click.IntRange(0), metavar="N")],
            help="Wait until N peers are connected.",
        ),
        "users": WaitVerb(
            "users",
            users,
            [click.Argument(["room"]), click.Argument(["count"], type=click.IntRange(0), metavar="N")],
            help="Wait until a room has N or more members.",
        ),
        "delivered": WaitVerb(
            "delivered",
            delivered,
            [click.Argument(["number"], metavar="ID")],
            help="Wait until the message ID is in the peer's journal. A message that can no longer be "
            "delivered is an error.",
        ),
        "outbox-empty": WaitVerb(
            "outbox-empty",
            outbox_empty,
            [click.Argument(["name"], metavar="[PEER]", required=False)],
            help="Wait until the outbox is empty: PEER, or every peer, has acknowledged all messages sent to it.",
            short_help="Wait until the outbox is empty.",
        ),
        "topo": WaitVerb(
            "topo",
            topo,
            [click.Argument(["links"], metavar="LINKS")],
            help="Wait until links between nodes are up. Both ends must agree. LINKS is e.g. 'alice-bob,bob-carol'. "
            "A ! before a link waits until it is down, e.g. '!alice-bob'. Use -- if names contain a dash, e.g. "
            "a-1--b-2. A node is a name that `topo` shows, a node id, or NAME~ID with the beginning of its id.",
        ),
    },
)

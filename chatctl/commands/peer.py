"""`chatctl peer`: who may talk with us, and what we call them."""

import click

from chatctl.cli.verb import Verb, common
from chatctl.text.format import peer_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def accept(app: "App", peer: str) -> None:
    """Let a peer talk."""
    _decide(app, "accept", "accepted", {"peer": peer})


def deny(app: "App", peer: str) -> None:
    """Keep a peer out."""
    _decide(app, "deny", "denied", {"peer": peer})


def forget(app: "App", peer: str) -> None:
    """Drop what is known about a peer."""
    _decide(app, "forget", "forgotten", {"peer": peer})


def rename(app: "App", peer: str, name: str) -> None:
    """Call a peer something else."""
    _decide(app, "rename", "renamed", {"peer": peer, "name": name})


def _decide(app: "App", method: str, done: str, params: dict[str, object]) -> None:
    found = app.call(f"peer.{method}", params)
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(f"{done}: {peer_line(found.get('peer') or {})}")


_PEER = click.Argument(["peer"])
_EXACT = click.Argument(["peer"], metavar="SLOT|ID")
_EXACTLY = (
    "SLOT is what `list` shows, ID a node id or its first 16 characters or more. No name: a stranger chooses its own."
)
_NAME = click.Argument(["name"])

command = click.Group(
    "peer",
    params=common(),
    add_help_option=False,
    no_args_is_help=False,
    help="Decide who may talk, and what we call them.",
    commands={
        "accept": Verb(
            "accept", accept, [_EXACT], help="Let a peer talk that asks to, or was denied.", epilog=_EXACTLY
        ),
        "deny": Verb("deny", deny, [_EXACT], help="Close the connection to a peer and refuse it.", epilog=_EXACTLY),
        "forget": Verb("forget", forget, [_PEER], help="Drop its name, slot, and the wish to be connected."),
        "rename": Verb("rename", rename, [_PEER, _NAME], help="Call a peer NAME here."),
    },
)

"""`chatctl peer`: trust in peers, and their names on this node."""

import click

from chatctl.cli.verb import App, Family, Verb
from chatctl.text.format import peer_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _verb(name: str, done: str, arguments: list[click.Parameter], **attrs: "Any") -> Verb:
    """A verb that calls the method `peer.NAME` with its arguments and prints the peer after the word `done`."""

    def run(app: App, **params: str) -> None:
        result = app.call(f"peer.{name}", params)
        if app.out.json:
            app.out.result(result)
        else:
            app.out.line(f"{done}: {peer_line(result.get('peer') or {})}")

    return Verb(name, run, arguments, **attrs)


_PEER = click.Argument(["peer"])
_EXACT = click.Argument(["peer"], metavar="SLOT|ID")
_EXACTLY = (
    "SLOT is what `list` shows, ID a node id or its first 16 characters or more. No name: a stranger chooses its own."
)
_NAME = click.Argument(["name"])

command = Family(
    "peer",
    help="Decide who may talk, and what we call them.",
    commands={
        "accept": _verb(
            "accept", "accepted", [_EXACT], help="Let a peer talk that asks to, or was denied.", epilog=_EXACTLY
        ),
        "deny": _verb(
            "deny", "denied", [_EXACT], help="Close the connection to a peer and refuse it.", epilog=_EXACTLY
        ),
        "forget": _verb("forget", "forgotten", [_PEER], help="Drop its name, slot, and the wish to be connected."),
        "rename": _verb("rename", "renamed", [_PEER, _NAME], help="Call a peer NAME here."),
    },
)

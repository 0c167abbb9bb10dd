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
    "SLOT is the number that `list` shows. ID is a node id, or its first 16 characters or more."
    " Names are not accepted: a peer chooses its own name."
)
_NAME = click.Argument(["name"])

command = Family(
    "peer",
    help="Accept, deny, rename or forget a peer.",
    commands={
        "accept": _verb(
            "accept", "accepted", [_EXACT], help="Accept a peer that is pending or was denied.", epilog=_EXACTLY
        ),
        "deny": _verb(
            "deny", "denied", [_EXACT], help="Close the connection to a peer and refuse it.", epilog=_EXACTLY
        ),
        "forget": _verb(
            "forget", "forgotten", [_PEER], help="Delete the name and slot of a peer, and do not redial it."
        ),
        "rename": _verb("rename", "renamed", [_PEER, _NAME], help="Set the name of a peer on this node."),
    },
)

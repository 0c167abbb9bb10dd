"""`chatctl send`: one message, or one for each line of stdin."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import App

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(app: App, peer: str, text: tuple[str, ...], literal: bool, **options: "Any") -> None:
    sending.check_utf8(peer, "the peer's name")
    sending.send_text_or_stdin(app, "send", {"peer": peer, **sending.send_params(**options)}, text, literal)


command = sending.TextVerb(
    "send",
    run,
    [click.Argument(["peer"]), sending.wait_option(), *sending.send_options()],
    help="Send a message. The words of the text are joined with one space; - sends each line of "
    "stdin. Messages for an offline peer are queued.",
    epilog=f"PEER is a slot, HOST:PORT, a name, or a node id or its beginning. {sending.EPILOG} Prints the id of the "
    "message when stdout is not a terminal.",
)

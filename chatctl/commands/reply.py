"""`chatctl reply`: a message that replies to another one and goes to its sender."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import App

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(app: App, number: str, text: tuple[str, ...], literal: bool, **options: "Any") -> None:
    sending.check_utf8(number, "the id")
    params = sending.send_params(**options)
    sending.send_and_report(app, "reply", {"id": number, "text": sending.message_text(text, literal), **params})


command = sending.TextVerb(
    "reply",
    run,
    [click.Argument(["number"], metavar="ID"), sending.wait_option(), *sending.send_options()],
    help="Send a reply to the message ID, to the peer that sent it. The `chatctl ask` that waits for it prints it.",
    epilog=f"ID is the id of the message on this node: MSG_ID in `tail --exec`, or `id` in chatctl --json tail. "
    f"{sending.EPILOG}",
)

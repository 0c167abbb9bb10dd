"""`chatctl ask`: sends a message and prints the reply to exactly that message."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import App

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(app: App, peer: str, text: tuple[str, ...], literal: bool, **options: "Any") -> None:
    """Print the text of the reply: escaped on a terminal, unchanged for a program."""
    sending.check_utf8(peer, "the peer's name")
    params = sending.send_params(**options)
    app.watch_stdout()
    result = sending.call_sending(app, "ask", {"peer": peer, "text": sending.message_text(text, literal), **params})
    answer = result.get("answer") or {}
    if app.out.json:
        app.out.result(answer)
    elif app.out.on_terminal:
        from chatctl.text.sanitize import block

        app.out.entries([block(str(answer.get("text")))])
    else:
        app.out.line(str(answer.get("text")))


command = sending.TextVerb(
    "ask",
    run,
    [click.Argument(["peer"]), *sending.send_options()],
    help="Send a message and print the text of the reply; --json prints the whole reply. Exit 124 if"
    " no reply arrives within --timeout.",
    epilog=f"The peer answers with: chatctl reply ID TEXT. {sending.EPILOG}",
)

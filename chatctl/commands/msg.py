"""`chatctl msg`: one message, with the state that it has now."""

import click

from chatctl.cli.verb import Verb
from chatctl.text.format import event_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App


def run(app: "App", number: str) -> None:
    """Show it."""
    message = app.call("msg", {"id": number}).get("message") or {}
    if app.out.json:
        app.out.result(message)
    else:
        app.out.entries([f"{event_line(message, states='all')}\n{_names(message)}"])


def _names(message: "dict[str, Any]") -> str:
    """What the message is called: here, and on every node."""
    everywhere = message.get("global_id")
    return inline(f"  id {message.get('id')}" + (f", global id {everywhere}" if everywhere else ""))


command = Verb(
    "msg",
    run,
    [click.Argument(["number"], metavar="ID")],
    help="Show a message by its id or its global id, with both; for one of ours what became of it: queued, "
    "sent, delivered, cancelled, expired, rejected or failed.",
)

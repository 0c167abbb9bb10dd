"""`chatctl msg`: one message with its present state and its ids."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text.format import event_line
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(app: App, number: str) -> None:
    message = app.call("msg", {"id": number}).get("message") or {}
    if app.out.json:
        app.out.result(message)
    else:
        app.out.entries([f"{event_line(message, states='all')}\n{_ids_line(message)}"])


def _ids_line(message: "dict[str, Any]") -> str:
    global_id = message.get("global_id")
    return inline(f"  id {message.get('id')}" + (f", global id {global_id}" if global_id else ""))


command = Verb(
    "msg",
    run,
    [click.Argument(["number"], metavar="ID")],
    help="Show a message by its id or global id, with both ids. A message that this node sent has a state: queued, "
    "sent, delivered, cancelled, expired, rejected or failed.",
)

"""`chatctl msg`: one message, with the state that it has now."""

import click

from chatctl.people import event_line
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(app: "App", number: str) -> None:
    """Show it."""
    message = app.call("msg", {"id": number}).get("message") or {}
    if app.out.json:
        app.out.result(message)
    else:
        app.out.entries([event_line(message, states="all")])


command = Verb(
    "msg",
    run,
    [click.Argument(["number"], metavar="ID")],
    help="Show a message by its id, or by its position in our journal; for one of ours what became of it: queued, "
    "sent, delivered, cancelled, expired, rejected or failed.",
)

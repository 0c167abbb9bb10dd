"""`chatctl cancel`: takes back a message that has not been delivered."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.errors import DONE, FAILED
from chatctl.text.sanitize import inline


def run(app: App, number: str) -> int:
    result = app.call("cancel", {"id": number})
    certain = result.get("state") == "cancelled"
    if app.out.json:
        app.out.result(result)
    elif certain:
        app.out.line("cancelled")
    if not certain:
        app.out.note(
            f"chatctl: the peer may have it; it is not sent again (chatctl msg {inline(number)} says what became of it)"
        )
    return DONE if certain else FAILED


command = Verb(
    "cancel",
    run,
    [click.Argument(["number"], metavar="ID")],
    help="Cancel a message. Exit 0 if the peer will not receive it, 1 if the peer may have it "
    "already and it is not sent again, 6 if it was delivered.",
)

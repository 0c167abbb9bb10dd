"""`chatctl ack`: acknowledges everything up to and including a position for a consumer."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text.sanitize import inline


def run(app: App, name: str, position: str) -> None:
    result = app.call("ack", {"consumer": name, "position": position})
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line(inline(f"{result.get('consumer')} is at {result.get('position')}"))


command = Verb(
    "ack",
    run,
    [click.Argument(["name"]), click.Argument(["position"])],
    help="Set the position of a named reader: it has processed everything up to and including "
    "POSITION. `tail --as NAME` resumes after it. The position never moves back.",
)

"""`chatctl terminate`: delivers the outbox of a peer, then closes the connection for good."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text.format import peer_line


def run(app: App, peer: str) -> None:
    result = app.call("terminate", {"peer": peer})
    if app.out.json:
        app.out.result(result)
        return
    queued = result.get("queued") or 0
    left = f"; not delivered: {queued}" if queued else ""
    app.out.line(f"terminated: {peer_line(result.get('peer') or {})}{left}")


command = Verb(
    "terminate",
    run,
    [click.Argument(["peer"])],
    help="Deliver the messages queued for a peer, then close the connection. The peer is not redialed.",
)

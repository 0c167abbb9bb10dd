"""`chatctl send`: one message, or one for each line of stdin."""

import click

from chatctl.cli import sending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def run(
    app: "App",
    peer: str,
    text: tuple[str, ...],
    literal: bool,
    wait: str | None,
    ttl: float | None,
    key: str | None,
    no_queue: bool,
) -> None:
    """Send."""
    sending.check(peer, "the peer's name")
    params = sending.wishes(wait, ttl, key, no_queue)
    sending.send_text(app, "send", {"peer": peer, **params}, text, literal)


command = sending.Speech(
    "send",
    run,
    [click.Argument(["peer"]), sending.wait_option(), *sending.options()],
    help="Send a message. The words of the text are joined with one space; - sends each line of stdin. To a node that "
    "is away it is queued.",
    epilog=f"PEER is a slot, HOST:PORT, a name, or a node id or its beginning. {sending.EPILOG} Prints the id of the "
    "message when stdout is not a terminal.",
)

"""`chatctl send`: one message, or one for each line of stdin."""

import click

from chatctl import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


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
    speech.check(peer, "the peer's name")
    params = speech.wishes(wait, ttl, key, no_queue)
    speech.send_text(app, "send", {"peer": peer, **params}, text, literal)


command = speech.Speech(
    "send",
    run,
    [click.Argument(["peer"]), speech.wait_option(), *speech.options()],
    help="Send a message. The words of the text are joined with one space; - sends each line of stdin. To a node that "
    "is away it is queued.",
    epilog=f"PEER is a slot, HOST:PORT, a name, or a node id or its beginning. {speech.EPILOG} Prints the id of the "
    "message when stdout is not a terminal.",
)

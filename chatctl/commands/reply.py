"""`chatctl reply`: a message that answers another one, to whoever said that."""

import click

from chatctl import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(
    app: "App",
    number: str,
    text: tuple[str, ...],
    literal: bool,
    wait: str | None,
    ttl: float | None,
    key: str | None,
    no_queue: bool,
) -> None:
    """Send it."""
    speech.check(number, "the id")
    params = speech.wishes(wait, ttl, key, no_queue)
    speech.send(app, "reply", {"id": number, "text": speech.text_of(text, literal), **params})


command = speech.Speech(
    "reply",
    run,
    [click.Argument(["number"], metavar="ID"), speech.wait_option(), *speech.options()],
    help="Answer the message ID: sends TEXT to whoever said it, as the answer to just that message. chatctl ask prints "
    "it over there.",
    epilog=f"ID is that of the message on this node: MSG_ID, or `id` in chatctl --json tail. {speech.EPILOG}",
)

"""`chatctl reply`: a message that answers another one, to whoever said that."""

import click

from chatctl.cli import sending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


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
    sending.check(number, "the id")
    params = sending.wishes(wait, ttl, key, no_queue)
    sending.send(app, "reply", {"id": number, "text": sending.text_of(text, literal), **params})


command = sending.Speech(
    "reply",
    run,
    [click.Argument(["number"], metavar="ID"), sending.wait_option(), *sending.options()],
    help="Answer the message ID: sends TEXT to whoever said it, as the answer to just that message. chatctl ask prints "
    "it over there.",
    epilog=f"ID is that of the message on this node: MSG_ID, or `id` in chatctl --json tail. {sending.EPILOG}",
)

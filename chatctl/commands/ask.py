"""`chatctl ask`: a message, and the answer to exactly that message."""

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
    ttl: float | None,
    key: str | None,
    no_queue: bool,
) -> None:
    """Ask, and print what was answered: to a terminal harmlessly, to a program as it was said."""
    sending.check(peer, "the peer's name")
    params = sending.wishes(None, ttl, key, no_queue)
    app.attend()
    found = sending.speak(app, "ask", {"peer": peer, "text": sending.text_of(text, literal), **params})
    answer = found.get("answer") or {}
    if app.out.json:
        app.out.result(answer)
    elif app.out.on_terminal:
        from chatctl.text.sanitize import block

        app.out.entries([block(str(answer.get("text")))])
    else:
        app.out.line(str(answer.get("text")))


command = sending.Speech(
    "ask",
    run,
    [click.Argument(["peer"]), *sending.options()],
    help="Send a message and print the text of the reply to it; --json prints the whole reply. Without one in "
    "--timeout DURATION the exit status is 124.",
    epilog=f"The peer answers with: chatctl reply ID TEXT. {sending.EPILOG}",
)

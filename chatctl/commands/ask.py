"""`chatctl ask`: a message, and the answer to exactly that message."""

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
    ttl: float | None,
    key: str | None,
    no_queue: bool,
) -> None:
    """Ask, and print what was answered: to a terminal harmlessly, to a program as it was said."""
    speech.check(peer, "the peer's name")
    params = speech.wishes(None, ttl, key, no_queue)
    app.attend()
    found = speech.speak(app, "ask", {"peer": peer, "text": speech.text_of(text, literal), **params})
    answer = found.get("answer") or {}
    if app.out.json:
        app.out.result(answer)
    elif app.out.on_terminal:
        from chatctl.sanitize import block

        app.out.entries([block(str(answer.get("text")))])
    else:
        app.out.line(str(answer.get("text")))


command = speech.Speech(
    "ask",
    run,
    [click.Argument(["peer"]), *speech.options()],
    help="Send a message and print the text of the reply to it; --json prints the whole reply. Without one in "
    "--timeout DURATION the exit status is 124.",
    epilog=f"The peer answers with: chatctl reply ID TEXT. {speech.EPILOG}",
)

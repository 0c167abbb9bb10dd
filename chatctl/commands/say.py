"""`chatctl say`, also `chatctl room say`: one message to a room, or one for each line of stdin."""

import click

from chatctl.cli import sending
from chatctl.cli.verb import App


def run(app: App, room: str, text: tuple[str, ...], literal: bool, wait: str | None) -> None:
    sending.check_utf8(room, "the room's name")
    sending.send_text_or_stdin(app, "room.say", {"room": room, **sending.send_params(wait)}, text, literal)


def say_verb(name: str) -> sending.TextVerb:
    return sending.TextVerb(
        name,
        run,
        [
            click.Argument(["room"]),
            sending.wait_option("Return when it is written to the link, or has its place in the room; see --timeout."),
            sending.text_argument(),
        ],
        help="Send a message to a room that this node has joined. The words of the text are joined with one space; - "
        "sends each line of stdin. A text that begins with @NICK and a space is private to that member (the host of "
        "the room can read it). One that begins with @@ goes to all members and begins with @. While the host is "
        "offline, messages are queued.",
        epilog="ROOM is e.g. lobby, or lobby@alice. Put -- before a text that begins with a dash. Prints the id of the "
        "message when stdout is not a terminal.",
    )


command = say_verb("say")

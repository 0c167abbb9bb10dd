"""`chatctl send`: one message, or one for each line of stdin.

Options stand up to the first word of the text; from there on every word is text, so `send 0 it is -5 C` works.
"""

import click

from chatctl.client import SessionEnded
from chatctl.errors import Failure
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App

STDIN = "-"


class SendVerb(Verb):
    """Puts `--` before the second argument, which is where click stops to look for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, on the marked arguments."""
        marked, literal = self._mark(args)
        rest = super().parse_args(ctx, marked)
        ctx.params["literal"] = literal
        return rest

    def _mark(self, args: list[str]) -> tuple[list[str], bool]:
        """The arguments with the mark, and whether it was there: then a lone dash is text too."""
        with_value = {name for param in self.params if not _is_flag(param) for name in param.opts}
        peers = index = 0
        while index < len(args):
            word = args[index]
            if word == "--":
                return args, peers > 0
            if word.startswith("-") and word != STDIN:
                index += word in with_value
            elif peers:
                return [*args[:index], "--", *args[index:]], False
            else:
                peers = 1
            index += 1
        return args, False


def _is_flag(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.is_flag


def run(app: "App", peer: str, text: tuple[str, ...], literal: bool) -> None:
    """Send, and say the id to whoever is not a terminal."""
    _check(peer, "the peer's name")
    if text == (STDIN,) and not literal:
        from chatctl.pipeline import Pipeline

        Pipeline(app, peer).run()
        return
    whole = " ".join(text)
    _check(whole, "the text")
    try:
        sent = app.call("send", {"peer": peer, "text": whole})
    except SessionEnded:
        raise Failure(
            "outcome_unknown", "the daemon ended before it answered", "chatctl history shows what it has"
        ) from None
    _show(app, sent)


def _check(text: str, what: str) -> None:
    """Refuse what was not UTF-8 on the command line: Python hands such bytes on as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise Failure(
            "bad_text", f"{what} is not valid UTF-8 (byte 0x{byte:02x} at character {error.start + 1})"
        ) from None


def _show(app: "App", sent: "dict[str, object]") -> None:
    """What became of one message."""
    if app.out.json:
        app.out.result(sent)
    elif app.out.on_terminal:
        from chatctl import sanitize

        peer = sent.get("peer")
        name = peer.get("name") if isinstance(peer, dict) else None
        app.out.line(f"sent to {sanitize.inline(str(name))}")
    else:
        app.out.line(str(sent.get("id")))


command = SendVerb(
    "send",
    run,
    [
        click.Argument(["peer"]),
        click.Argument(["text"], nargs=-1, required=True),
    ],
    help="Send a message. The words of the text are joined with one space; - sends each line of stdin. "
    "A text that begins with a dash comes after --.",
    epilog="PEER is a slot, HOST:PORT, a name, or the beginning of a node id. Prints the id of the message when stdout "
    "is not a terminal.",
)

"""What the verbs that speak have in common: options that end where the text begins, and what became of the text.

Options stand up to the first word of the text; from there on every word is text, so `send 0 it is -5 C` works.
"""

import click

from chatctl.cli.verb import Verb
from chatctl.errors import Failure, SessionEnded
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

STDIN = "-"
GLANCE_S = 0.3  # a person at a terminal is told what became of a message, if it becomes something so soon
ARRIVES = ("sent", "delivered")
WAIT_HELP = "Done when it is written to the link, or in the peer's journal; --timeout says how long."
EPILOG = "A text that begins with a dash comes after --. --key K: the same key again is the same message, sent once."


class Speech(Verb):
    """A verb of one word and a text. Puts `--` before the text, which is where click stops to look for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, on the marked arguments."""
        marked, literal = self._mark(args)
        rest = super().parse_args(ctx, marked)
        ctx.params["literal"] = literal
        if not literal:
            self._warn(ctx)
        return rest

    def _warn(self, ctx: click.Context) -> None:
        """An option behind the text is text; who meant it as one shall know."""
        known = {name for param in self.params for name in param.opts if name.startswith("--")}
        late = next((word for word in ctx.params.get("text") or () if word.partition("=")[0] in known), None)
        if late is not None:
            ctx.obj.out.note(f"{late} stands behind the text and is part of it: options come before the text")

    def _mark(self, args: list[str]) -> tuple[list[str], bool]:
        """The arguments with the mark, and whether it was there: then a lone dash is text too."""
        with_value = {name for param in self.params if not _is_flag(param) for name in param.opts}
        words = index = 0
        while index < len(args):
            word = args[index]
            if word == "--":
                return args, words > 0
            if word.startswith("-") and word != STDIN:
                index += word in with_value
            elif words:
                return [*args[:index], "--", *args[index:]], False
            else:
                words = 1
            index += 1
        return args, False


def _is_flag(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.is_flag


def options() -> list[click.Parameter]:
    """What all that speak to a peer take."""
    return [
        click.Option(
            ["--ttl"], type=duration_option, metavar="DURATION", help="If it was not sent by then, do not send it."
        ),
        click.Option(["--key"], metavar="K", help="The same key again is the same message."),
        click.Option(["--no-queue"], is_flag=True, help="Refuse when the peer is away, instead of queueing."),
        text_argument(),
    ]


def text_argument() -> click.Argument:
    """The text: all words that are left."""
    return click.Argument(["text"], nargs=-1, required=True)


def wait_option(help: str = WAIT_HELP) -> click.Option:  # noqa: A002 - click's name
    """For those that do not wait for an answer anyway."""
    return click.Option(
        ["--wait"],
        type=click.Choice(("sent", "delivered")),
        help=help,
    )


def wishes(
    wait: str | None = None, ttl: float | None = None, key: str | None = None, no_queue: bool = False
) -> "dict[str, object]":
    """The parameters of the daemon for the options that were given."""
    check(key or "", "the key")
    given = {"wait": wait, "ttl": ttl, "key": key, "queue": False if no_queue else None}
    return {name: value for name, value in given.items() if value is not None}


def text_of(words: tuple[str, ...], literal: bool) -> str:
    """The text, which is not stdin."""
    if words == (STDIN,) and not literal:
        raise Failure("usage", "only send and say read stdin", "write -- - to say a dash")
    text = " ".join(words)
    check(text, "the text")
    return text


def check(text: str, what: str) -> None:
    """Refuse what was not UTF-8 on the command line: Python hands such bytes on as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise Failure(
            "bad_text", f"{what} is not valid UTF-8 (byte 0x{byte:02x} at character {error.start + 1})"
        ) from None


def speak(app: "App", method: str, params: "dict[str, object]") -> "dict[str, Any]":
    """Say it, for a daemon that may answer late. A refusal tells what is left of the message."""
    try:
        return app.call_timed(method, params) if "wait" in params or method == "ask" else app.call(method, params)
    except SessionEnded:
        hint = "with the same --key it is safe to try again" if "key" in params else "chatctl history shows what it has"
        raise Failure("outcome_unknown", "the daemon ended before it answered", hint) from None
    except Failure as failure:
        number = failure.details.get("id")
        if failure.kind == "timeout" and number is not None:
            failure.hint = f"it stays queued: chatctl msg {number} shows it, chatctl cancel {number} gives it up"
        raise


def send_text(app: "App", method: str, params: "dict[str, object]", words: tuple[str, ...], literal: bool) -> None:
    """`send` the text; a lone dash stands for the lines of stdin, each a message."""
    if words != (STDIN,) or literal:
        send(app, method, {**params, "text": text_of(words, literal)})
        return
    if "wait" in params or "key" in params:
        raise Failure("usage", "--wait and --key are for one message", "chatctl wait outbox-empty waits for all")
    from chatctl.rpc.pipeline import Pipeline

    Pipeline(app, method, params).run()


def send(app: "App", method: str, params: "dict[str, object]") -> None:
    """Say it and tell what became of it: to a program its id, even if it did not get as far as it should."""
    try:
        sent = speak(app, method, params)
    except Failure as failure:
        if "id" in failure.details and not app.out.json:
            app.out.line(str(failure.details["id"]))
        raise
    if app.out.json:
        app.out.result(sent)
    elif app.out.on_terminal:
        app.out.line(_fate(app, sent))
    else:
        app.out.line(str(sent.get("id")))


def addressee(sent: "dict[str, Any]") -> str:
    """Where it went: a room, or a peer."""
    peer = sent.get("peer")
    return str(sent.get("room") or (peer.get("name") if isinstance(peer, dict) else "?"))


def _fate(app: "App", sent: "dict[str, Any]") -> str:
    """`delivered to bob`: for a person."""
    from chatctl.text.sanitize import inline

    state, number, name = sent.get("state"), inline(str(sent.get("id"))), inline(addressee(sent))
    if state == "queued":
        state = _at_a_glance(app, number)
    return f"{state} to {name}" if state in ARRIVES else f"{inline(str(state))} for {name}: {number}"


def _at_a_glance(app: "App", number: str) -> str:
    """What a message is that was queued a moment ago."""
    try:
        app.call("wait", {"for": "delivered", "id": number, "timeout": GLANCE_S})
    except Failure:
        try:
            return str(app.call("msg", {"id": number})["message"]["state"])
        except (Failure, KeyError):  # it is accepted, whatever came then
            return "queued"
    return "delivered"

"""Options, UTF-8 checks, the request and the report of its result, shared by the verbs that send text.

Options end at the first word of the text. Every later word is text, so `send 0 it is -5 C` works. Used by send, ask,
reply, say, room and the console.
"""

import click

from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure, SessionEnded
from chatctl.text.output import recipient_name
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN = "-"
REPORT_WAIT_S = 0.3  # on a terminal, report "delivered" instead of "queued" if it happens within this time
ARRIVED = ("sent", "delivered")
WAIT_HELP = (
    "Return when the message is written to the link (sent) or is in the peer's journal "
    "(delivered); --timeout limits the wait."
)
EPILOG = "Put -- before a text that begins with a dash."


class TextVerb(Verb):
    """A verb with one argument and a text. Inserts `--` before the text, where click stops to look for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        separated, literal = self._insert_separator(args)
        rest = super().parse_args(ctx, separated)
        ctx.params["literal"] = literal
        if not literal:
            self._note_late_option(ctx)
        return rest

    def _note_late_option(self, ctx: click.Context) -> None:
        """Tell the user that an option after the text has become part of it, e.g. in `send 0 hi --ttl 5s`."""
        known = {name for param in self.params for name in param.opts if name.startswith("--")}
        late = next((word for word in ctx.params.get("text") or () if word.partition("=")[0] in known), None)
        if late is not None:
            ctx.obj.out.note(f"{late} stands behind the text and is part of it: options come before the text")

    def _insert_separator(self, args: list[str]) -> tuple[list[str], bool]:
        """Return `args` with `--` before the text, and whether the user gave it: then a lone dash is text."""
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


def send_options() -> list[click.Parameter]:
    """Options and text of the verbs that send to a peer."""
    return [
        click.Option(
            ["--ttl"],
            type=duration_option,
            metavar="DURATION",
            help="Drop the message if it was not sent within DURATION.",
        ),
        click.Option(["--key"], metavar="K", help="Idempotency key: repeating it does not send a second message."),
        click.Option(["--no-queue"], is_flag=True, help="Fail if the peer is offline, instead of queueing."),
        text_argument(),
    ]


def text_argument() -> click.Argument:
    return click.Argument(["text"], nargs=-1, required=True)


def wait_option(help: str = WAIT_HELP) -> click.Option:  # noqa: A002 - click's name
    return click.Option(["--wait"], type=click.Choice(ARRIVED), help=help)


def send_params(
    wait: str | None = None, ttl: float | None = None, key: str | None = None, no_queue: bool = False
) -> "dict[str, object]":
    """Convert options to parameters of the daemon's method. Options that were not given are left out."""
    check_utf8(key or "", "the key")
    given = {"wait": wait, "ttl": ttl, "key": key, "queue": False if no_queue else None}
    return {name: value for name, value in given.items() if value is not None}


def message_text(words: tuple[str, ...], literal: bool) -> str:
    """Join the words with spaces. Raises Failure for `-`, which means stdin."""
    if words == (STDIN,) and not literal:
        raise Failure("usage", "only send and say read stdin", "write -- - to say a dash")
    text = " ".join(words)
    check_utf8(text, "the text")
    return text


def check_utf8(text: str, what: str) -> None:
    """Raise Failure for lone surrogates: Python decodes bytes in argv that are not UTF-8 to them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise Failure(
            "bad_text", f"{what} is not valid UTF-8 (byte 0x{byte:02x} at character {error.start + 1})"
        ) from None


def call_sending(app: App, method: str, params: "dict[str, object]") -> "dict[str, Any]":
    """Call a method that sends a message. A failure gets a hint that says how to find out about the message."""
    try:
        timed = "wait" in params or method == "ask"
        return app.call_with_timeout(method, params) if timed else app.call(method, params)
    except SessionEnded:
        hint = "with the same --key it is safe to try again" if "key" in params else "chatctl history shows what it has"
        raise Failure("outcome_unknown", "the daemon ended before it answered", hint) from None
    except Failure as failure:
        number = failure.details.get("id")
        if failure.kind == "timeout" and number is not None:
            failure.hint = f"it stays queued: chatctl msg {number} shows it, chatctl cancel {number} gives it up"
        raise


def send_text_or_stdin(
    app: App, method: str, params: "dict[str, object]", words: tuple[str, ...], literal: bool
) -> None:
    """Send the text as one message, or for a lone dash each line of stdin as one."""
    if words != (STDIN,) or literal:
        send_and_report(app, method, {**params, "text": message_text(words, literal)})
        return
    if "wait" in params or "key" in params:
        raise Failure("usage", "--wait and --key are for one message", "chatctl wait outbox-empty waits for all")
    from chatctl.cli.pipeline import Pipeline

    Pipeline(app, method, params).send_all()


def send_and_report(app: App, method: str, params: "dict[str, object]") -> None:
    """Send a message and print its id, or its state on a terminal. After a failure print the id if there is one."""
    try:
        sent = call_sending(app, method, params)
    except Failure as failure:
        if "id" in failure.details and not app.out.json:
            app.out.line(str(failure.details["id"]))
        raise
    if app.out.json:
        app.out.result(sent)
    elif app.out.on_terminal:
        app.out.line(_outcome_line(app, sent))
    else:
        app.out.line(str(sent.get("id")))


def _outcome_line(app: App, sent: "dict[str, Any]") -> str:
    """`delivered to bob`, or `queued for bob: 7kq2m4xa:42`."""
    from chatctl.text.sanitize import inline

    state, number, name = sent.get("state"), inline(str(sent.get("id"))), inline(recipient_name(sent))
    if state == "queued":
        state = _state_after_wait(app, number)
    return f"{state} to {name}" if state in ARRIVED else f"{inline(str(state))} for {name}: {number}"


def _state_after_wait(app: App, number: str) -> str:
    """State of a queued message REPORT_WAIT_S later."""
    try:
        app.call("wait", {"for": "delivered", "id": number, "timeout": REPORT_WAIT_S})
    except Failure:
        try:
            return str(app.call("msg", {"id": number})["message"]["state"])
        except (Failure, KeyError):  # the message was accepted all the same
            return "queued"
    return "delivered"

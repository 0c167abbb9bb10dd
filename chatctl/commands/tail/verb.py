"""`chatctl tail`: prints past messages and new ones as they arrive, or runs a command for each.

With `--as NAME` the daemon remembers what was processed: what was written to stdout, the messages for which the command
exited 0, or what `chatctl ack` confirmed.
"""

import json

import click

from chatctl.cli.events import EPILOG, EventPrinter, event_filter, event_options, start_position
from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure
from chatctl.rpc.consumer import ConsumerCursor
from chatctl.rpc.follower import Follower
from chatctl.rpc.pages import history_pages, newest_seq
from chatctl.rpc.positions import position_of, seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from chatctl.commands.tail.command_runner import CommandRunner

PRINT_WINDOW = 4096
EXEC_WINDOW = 16  # must fit into the socket while a slow command runs: unread events end the session
MANUAL_WINDOW = 256


def run(app: App, **given: "Any") -> None:
    _check_options(given)
    processor = _processor(app, given)
    app.watch_stdout()
    try:
        _process(app, processor, given)
    except Failure as failure:
        if failure.kind != "timeout":
            raise
        wanted = f" of {given['count']}" if given["count"] is not None else ""
        done = "shown" if isinstance(processor, EventPrinter) else "done"
        raise Failure("timeout", f"{processor.count}{wanted} {done} in time") from None
    if processor.stopped_at_gap:
        raise Failure("cursor_gone", "messages are missing: the gap says which")


def _check_options(given: "Mapping[str, Any]") -> None:
    """Raises Failure for options that exclude each other."""
    unnamed, runs = given["name"] is None, given["command"] is not None
    shown = given["everything"] or given["template"] is not None
    for wrong, message in (
        (unnamed and (given["ack"] or given["takeover"]), "--ack and --takeover need --as NAME"),
        (unnamed and given["count"] == 0, "--count 0 only makes a consumer: it needs --as NAME"),
        (runs and shown, "--exec shows nothing: --events and --format do not go with it"),
        (runs and given["ack"] == "manual", "--exec acknowledges what the command ended well for: no --ack manual"),
    ):
        if wrong:
            raise Failure("usage", message, "see chatctl tail --help")


def _processor(app: App, given: "Mapping[str, Any]") -> "EventPrinter | CommandRunner":
    if given["command"] is None:
        return EventPrinter(app, given["template"], given["count"], strict=given["strict"])
    from chatctl.commands.tail.command_runner import CommandRunner

    return CommandRunner(app.out, given["command"], given["count"], strict=given["strict"])


def _process(app: App, processor: "EventPrinter | CommandRunner", given: "Mapping[str, Any]") -> None:
    own = given["name"] is not None or given["command"] is not None
    start = start_position(given["since"], given["position"], given["last"])
    match = event_filter(given["peer"], given["everything"], inbound=own and not given["out"])
    if isinstance(processor, EventPrinter) and not own and not given["follow"]:
        _print_past(app, processor, start, match)
        return
    end = None if given["follow"] else _newest_seq(app, given["name"], match)
    start = None if start == {"last": 0} else start
    follower = Follower(app, start or "now", match, _consumer(given), end=end)
    if given["count"] == 0:
        return
    if isinstance(processor, EventPrinter):
        printer = processor
        _confirming_acks(follower, lambda: _print_new(follower, printer, manual=given["ack"] == "manual"))
    else:
        runner = processor
        _confirming_acks(follower, lambda: _run_for_each(follower, runner))


def _consumer(given: "Mapping[str, Any]") -> ConsumerCursor | None:
    if given["name"] is None:
        return None
    window = MANUAL_WINDOW if given["ack"] == "manual" else PRINT_WINDOW if given["command"] is None else EXEC_WINDOW
    filter_given = given["peer"] is not None or given["everything"] or given["out"]
    return ConsumerCursor(given["name"], window, takeover=given["takeover"], filter_given=filter_given)


def _print_new(follower: Follower, printer: EventPrinter, *, manual: bool) -> None:
    for events in follower.batches():
        printed = printer.print_encoded(events)
        if printed and not manual:
            follower.acknowledge(position_of(printed[-1]))
        if printer.is_finished:
            return


def _run_for_each(follower: Follower, runner: "CommandRunner") -> None:
    for events in follower.batches():
        for event in events:
            message = json.loads(event)
            runner.process(event, message, follower.path, follower.pause)
            follower.acknowledge(message["position"])
            if runner.signalled:
                follower.confirm_acks()
                runner.raise_signal()
            if runner.is_finished:
                return


def _confirming_acks(follower: Follower, process: "Callable[[], None]") -> None:
    """Call `process`. However it ends, let the daemon confirm what was acknowledged."""
    try:
        process()
    except BrokenPipeError:
        follower.confirm_acks()
        raise
    except (Failure, KeyboardInterrupt):
        follower.try_confirm_acks()
        raise
    follower.confirm_acks()


def _print_past(app: App, printer: EventPrinter, start: "dict[str, object] | None", match: "dict[str, object]") -> None:
    """Print events up to the newest one at the start, an end that does not move while others write."""
    last = seq((app.call("status").get("journal") or {}).get("position"))
    if start is None:
        return
    limit = start.get("last")
    for page in history_pages(app, start, match, n=limit if isinstance(limit, int) else None):
        printer.print_decoded([event for event in page if seq(event.get("position")) <= last])
        if printer.is_finished or seq(page[-1].get("position")) >= last:
            return


def _newest_seq(app: App, name: str | None, match: "dict[str, object]") -> int:
    """Sequence number at which `--no-follow` ends. A consumer that exists has a filter of its own."""
    consumers = app.call("consumers").get("consumers") or [] if name is not None else []
    filters = (consumer.get("filter") or {} for consumer in consumers if consumer.get("name") == name)
    return newest_seq(app, next(filters, match))


command = Verb(
    "tail",
    run,
    [
        *event_options(),
        click.Option(["-n", "last"], type=click.IntRange(0), metavar="N", help="Start with the last N events."),
        click.Option(["--count"], type=click.IntRange(0), metavar="N", help="Stop after N events and exit 0."),
        click.Option(["--follow/--no-follow"], default=True, help="Keep printing new events after the newest one now."),
        click.Option(["--as", "name"], metavar="NAME", help="Resume where the consumer NAME stopped; see above."),
        click.Option(
            ["--ack"],
            type=click.Choice(("auto", "manual")),
            help="How printed messages are acknowledged (default: auto).",
        ),
        click.Option(["--takeover"], is_flag=True, help="Take NAME over from its present reader."),
        click.Option(["--out"], is_flag=True, help="With --as or --exec: include outbound messages."),
        click.Option(["--strict"], is_flag=True, help="Exit 7 when messages are missing (a gap)."),
        click.Option(["--exec", "command"], metavar="CMD", help="Run CMD for each message instead of printing it."),
    ],
    help="""Print messages in both directions as they arrive: with PEER, in ROOM (e.g. lobby or lobby@alice), or all.
    Starts with new messages unless -n, --since or --from is given. Continues after a restart of the daemon. Exits 124
    after --timeout. Stops when stdout is closed, with --exec after the present command.

    --as NAME creates a named reader (a consumer) at that start, or resumes after the last message that NAME has
    acknowledged. It reads inbound messages only, unless --out is given. --count 0 creates it and exits. Printed
    messages are acknowledged. A program that reads from a pipe should use --ack manual and chatctl ack NAME POSITION,
    or --exec.

    --exec CMD runs CMD with /bin/sh for each inbound message, one at a time and in order. The message is a line of
    JSON on stdin, and in the variables MSG_ID, MSG_TEXT, MSG_PEER, MSG_SLOT, MSG_AT, MSG_POSITION, MSG_RE (the id of
    the message that it answers) and MSG_GLOBAL_ID. In a room there are also MSG_ROOM, MSG_NICK (the sender) and MSG_TO
    (the recipient of a private message). CHATD_SOCKET is set to this daemon, so chatctl reply "$MSG_ID" TEXT and
    chatctl say "$MSG_ROOM" TEXT work. A text over 100 KiB is on stdin only. A message counts as processed when CMD
    exits 0. Otherwise CMD is retried after 0.5 s, then less often, up to every 30 s. Without --as the position is not
    kept.""",
    epilog=EPILOG,
)

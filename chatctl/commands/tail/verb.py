"""`chatctl tail`: messages as they come, after those that were asked for of the past; to show, or to run a command for.

With a name the daemon remembers what was done: what stdout took, what the command ended well for, or what `ack` says.
"""

import json

import click

from chatctl.cli.events import EPILOG, Show, beginning, matching, options
from chatctl.cli.verb import Verb
from chatctl.errors import Failure
from chatctl.rpc.consumer import Consumer
from chatctl.rpc.follower import Follower
from chatctl.rpc.pages import newest, pages
from chatctl.rpc.positions import position_of, seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from chatctl.cli.app import App
    from chatctl.commands.tail.runner import Runner

SHOWN_WINDOW = 4096
RUN_WINDOW = 16  # what waits behind a slow command shall fit into the socket: unread for long, it ends the session
MANUAL_WINDOW = 256


def run(app: "App", **given: "Any") -> None:
    """Show, or run the command, until the end that was asked for."""
    _check(given)
    work = _work(app, given)
    app.attend()
    try:
        _do(app, work, given)
    except Failure as failure:
        if failure.kind != "timeout":
            raise
        wanted = f" of {given['count']}" if given["count"] is not None else ""
        done = "shown" if isinstance(work, Show) else "done"
        raise Failure("timeout", f"{work.count}{wanted} {done} in time") from None
    if work.gap:
        raise Failure("cursor_gone", "messages are missing: the gap says which")


def _check(given: "Mapping[str, Any]") -> None:
    """Options that do not go together."""
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


def _work(app: "App", given: "Mapping[str, Any]") -> "Show | Runner":
    if given["command"] is None:
        return Show(app, given["template"], given["count"], strict=given["strict"])
    from chatctl.commands.tail.runner import Runner

    return Runner(app.out, given["command"], given["count"], strict=given["strict"])


def _do(app: "App", work: "Show | Runner", given: "Mapping[str, Any]") -> None:
    own = given["name"] is not None or given["command"] is not None
    start = beginning(given["since"], given["position"], given["last"])
    match = matching(given["peer"], given["everything"], inbound=own and not given["out"])
    if isinstance(work, Show) and not own and not given["follow"]:
        _catch_up(app, work, start, match)
        return
    end = None if given["follow"] else _newest(app, given["name"], match)
    start = None if start == {"last": 0} else start
    follower = Follower(app, start or "now", match, _consumer(given), end=end)
    if given["count"] == 0:
        return
    if isinstance(work, Show):
        shown = work
        _parting(follower, lambda: _show(follower, shown, manual=given["ack"] == "manual"))
    else:
        runner = work
        _parting(follower, lambda: _each(follower, runner))


def _consumer(given: "Mapping[str, Any]") -> Consumer | None:
    if given["name"] is None:
        return None
    window = MANUAL_WINDOW if given["ack"] == "manual" else SHOWN_WINDOW if given["command"] is None else RUN_WINDOW
    chosen = given["peer"] is not None or given["everything"] or given["out"]
    return Consumer(given["name"], window, takeover=given["takeover"], chosen=chosen)


def _show(follower: Follower, show: Show, *, manual: bool) -> None:
    for events in follower.batches():
        shown = show.raw(events)
        if shown and not manual:
            follower.acknowledge(position_of(shown[-1]))
        if show.full:
            return


def _each(follower: Follower, runner: "Runner") -> None:
    for events in follower.batches():
        for event in events:
            message = json.loads(event)
            runner.do(event, message, follower.path, follower.pause)
            follower.acknowledge(message["position"])
            if runner.leaving:
                follower.settle()
                runner.leave()
            if runner.full:
                return


def _parting(follower: Follower, work: "Callable[[], None]") -> None:
    """Work, and have acknowledged what was done, whatever ended it."""
    try:
        work()
    except BrokenPipeError:
        follower.settle()
        raise
    except (Failure, KeyboardInterrupt):
        follower.part()
        raise
    follower.settle()


def _catch_up(app: "App", show: Show, start: "dict[str, object] | None", match: "dict[str, object]") -> None:
    """Up to what is newest now: an end that does not move while others write."""
    last = seq((app.call("status").get("journal") or {}).get("position"))
    if start is None:
        return
    limit = start.get("last")
    for page in pages(app, start, match, n=limit if isinstance(limit, int) else None):
        show.decoded([event for event in page if seq(event.get("position")) <= last])
        if show.full or seq(page[-1].get("position")) >= last:
            return


def _newest(app: "App", name: str | None, match: "dict[str, object]") -> int:
    """The seq of what is the newest to be done now. A consumer has a filter of its own."""
    consumers = app.call("consumers").get("consumers") or [] if name is not None else []
    return newest(app, next((one.get("filter") or {} for one in consumers if one.get("name") == name), match))


command = Verb(
    "tail",
    run,
    [
        *options(),
        click.Option(["-n", "last"], type=click.IntRange(0), metavar="N", help="Start with the last N."),
        click.Option(["--count"], type=click.IntRange(0), metavar="N", help="End after N; exit 0."),
        click.Option(["--follow/--no-follow"], default=True, help="Whether to go on after what is newest now."),
        click.Option(["--as", "name"], metavar="NAME", help="Go on where the consumer NAME stopped; see below."),
        click.Option(
            ["--ack"],
            type=click.Choice(("auto", "manual")),
            help="Whether what was shown is acknowledged.",
        ),
        click.Option(["--takeover"], is_flag=True, help="Take NAME from whoever reads as it."),
        click.Option(["--out"], is_flag=True, help="With --as or --exec: our own messages, too."),
        click.Option(["--strict"], is_flag=True, help="End with 7 when messages are missing (a gap)."),
        click.Option(["--exec", "command"], metavar="CMD", help="Run CMD for each message instead of showing it."),
    ],
    help="""Show messages of both directions as they come: with PEER, in ROOM (lobby, or lobby@alice), or all there are.
    Starts now, unless -n, --since or --from says otherwise, and goes on when the daemon was restarted. With --timeout
    it ends then, exit 124. It ends when the reader of its stdout has gone, with --exec after the command.

    --as NAME makes a named reader (a consumer) at that start, or goes on behind what the one of that name has
    acknowledged, wherever it was stopped. Only inbound messages, unless --out. --count 0 makes it and ends. What was
    shown is acknowledged; for a program behind a pipe, use --ack manual and chatctl ack NAME POSITION, or --exec.

    --exec CMD runs CMD with /bin/sh for each inbound message, one at a time and in order: the message as a line of
    JSON on stdin, and in MSG_ID, MSG_TEXT, MSG_PEER, MSG_SLOT, MSG_AT, MSG_POSITION, MSG_RE (the id of our message that
    it answers) and MSG_GLOBAL_ID, in a room MSG_ROOM, MSG_NICK (who said it) and MSG_TO (who alone it is for);
    CHATD_SOCKET is this daemon, so that chatctl reply "$MSG_ID" TEXT works, and in a room chatctl say "$MSG_ROOM" TEXT.
    A text over 100 KiB is on stdin only. When CMD ends with 0, the message is acknowledged; else CMD is run again,
    after 0.5 s and then ever longer up to 30 s. Without --as nothing is remembered.""",
    epilog=EPILOG,
)

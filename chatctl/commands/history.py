"""`chatctl history`: past messages, oldest first."""

import click

from chatctl.cli.events import EPILOG, EventPrinter, event_filter, event_options, start_position
from chatctl.cli.verb import App, Verb
from chatctl.rpc.pages import history_pages
from chatctl.text.format import history_line
from chatctl.text.values import moment_option


def run(
    app: App,
    peer: str | None,
    n: int,
    since: str | None,
    until: str | None,
    position: str | None,
    everything: bool,
    template: str | None,
) -> None:
    """Print the first `n` events after the start position if one was given, else the last `n`."""
    start = start_position(since, position, None)
    printer = EventPrinter(app, template, n, history_line)
    for page in history_pages(app, start, event_filter(peer, everything), until, n):
        printer.print_decoded(page)


command = Verb(
    "history",
    run,
    [
        *event_options(),
        click.Option(["-n"], type=click.IntRange(1), default=100, metavar="N", help="Print at most N messages (100)."),
        click.Option(["--until"], type=moment_option, metavar="TIME", help="Stop before TIME."),
    ],
    help="Print past messages in both directions, oldest first: with PEER, in ROOM (e.g. lobby or "
    "lobby@alice), or all. Prints the last N, or the first N after --since or --from. A message"
    " that is not delivered yet is marked, e.g. [queued].",
    epilog=EPILOG,
)

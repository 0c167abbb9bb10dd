"""`chatctl history`: messages of the past, oldest first."""

import click

from chatctl.cli.events import EPILOG, Show, beginning, matching, options
from chatctl.cli.verb import Verb
from chatctl.rpc.pages import pages
from chatctl.text.format import history_line
from chatctl.text.values import moment_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def run(
    app: "App",
    peer: str | None,
    n: int,
    since: str | None,
    until: str | None,
    position: str | None,
    everything: bool,
    template: str | None,
) -> None:
    """Show the first `n` after the beginning that was given, else the last `n`."""
    start = beginning(since, position, None)
    show = Show(app, template, n, history_line)
    for page in pages(app, start, matching(peer, everything), until, n):
        show.decoded(page)


command = Verb(
    "history",
    run,
    [
        *options(),
        click.Option(["-n"], type=click.IntRange(1), default=100, metavar="N", help="At most N (100)."),
        click.Option(["--until"], type=moment_option, metavar="TIME", help="End before it."),
    ],
    help="Show messages of both directions, oldest first: with PEER, in ROOM (lobby, or lobby@alice), or all there "
    "are; the last N, or the first N after --since or --from. What has not arrived is marked, [queued] for instance.",
    epilog=EPILOG,
)

"""`chatctl tail`: messages as they come, after those that were asked for of the past."""

import click

from chatctl.errors import Failure
from chatctl.show import EPILOG, Show, beginning, matching, options
from chatctl.stream import Follower, pages, seq
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(
    app: "App",
    peer: str | None,
    last: int | None,
    since: str | None,
    position: str | None,
    count: int | None,
    follow: bool,
    everything: bool,
    template: str | None,
) -> None:
    """Show until the end that was asked for."""
    start = beginning(since, position, last)
    show = Show(app, template, count)
    match = matching(peer, everything)
    try:
        if follow:
            _follow(app, show, start, match)
        else:
            _catch_up(app, show, start, match)
    except Failure as failure:
        if failure.kind != "timeout":
            raise
        wanted = f" of {count}" if count is not None else ""
        raise Failure("timeout", f"{show.count}{wanted} shown in time") from None


def _follow(app: "App", show: Show, start: "dict[str, object] | None", match: "dict[str, object]") -> None:
    if start == {"last": 0}:
        start = None
    for events in Follower(app, start or "now", match).batches():
        show.raw(events)
        if show.full:
            return


def _catch_up(app: "App", show: Show, start: "dict[str, object] | None", match: "dict[str, object]") -> None:
    """Up to what is newest now: an end that does not move while others write."""
    newest = seq((app.call("status").get("journal") or {}).get("position"))
    if start is None:
        return
    limit = start.get("last")
    for page in pages(app, start, match, n=limit if isinstance(limit, int) else None):
        show.decoded([event for event in page if seq(event.get("position")) <= newest])
        if show.full or seq(page[-1].get("position")) >= newest:
            return


command = Verb(
    "tail",
    run,
    [
        *options(),
        click.Option(["-n", "last"], type=click.IntRange(0), metavar="N", help="Start with the last N."),
        click.Option(["--count"], type=click.IntRange(1), metavar="N", help="End after N; exit 0."),
        click.Option(["--follow/--no-follow"], default=True, help="Whether to go on after what is newest now."),
    ],
    help="Show messages of both directions as they come, with PEER or with everybody. Starts now, unless -n, --since "
    "or --from says otherwise, and goes on when the daemon was restarted. With --timeout it ends then, exit 124.",
    epilog=EPILOG,
)

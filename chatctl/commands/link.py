"""`chatctl link`: shows and changes the faults of links: delay, loss, a rate limit, a cut."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text import link_faults
from chatctl.text.format import local_time
from chatctl.text.sanitize import inline
from chatctl.text.values import duration_option, rate_option, share_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HEAD = ("PEER", "STATE", "WAY", "FAULTS", "MEASURED", "UNTIL")
DIRECTIONS = ("out", "in")
OTHERS = "*"  # as in the configuration: all peers without faults of their own


def run(app: App, **given: "Any") -> None:
    """Apply the options that were given; without any, print the links."""
    params = {name: value for name, value in given.items() if value is not None and value is not False}
    directions = [name for name in DIRECTIONS if params.pop(name, False)]
    if len(directions) == 1:
        params["direction"] = directions[0]
    result = app.call("link", params)
    if app.out.json:
        app.out.result(result)
    elif params.keys() - {"peer"}:
        app.out.line("\n".join(_changed_lines(params, result)))
    else:
        _print_links(app, result)


def _changed_lines(params: "dict[str, Any]", result: "dict[str, Any]") -> "Iterator[str]":
    """Faults after the change: one line for the peer, or with `--all` one for the default and for each exception."""
    default = link_faults.faults_text(result.get("default"))
    if params.get("all"):
        yield f"everybody: {_change_text(params, result.get('default'))}"
    for link in result.get("links") or []:
        if not params.get("all") or link_faults.faults_text(link.get("faults")) != default:
            state = "" if link.get("state") == "up" else f" ({link.get('state')})"
            yield inline(f"{_peer_name(link)}: {_change_text(params, link.get('faults'))}{state}")


def _change_text(params: "dict[str, Any]", now: "dict[str, Any] | None") -> str:
    """`delay 200ms both ways, for 30s`, `reset; out: cut`, `healed`."""
    out, in_ = link_faults.texts_by_direction(now)
    both_ways = " both ways" if out and out == in_ else ""
    words = ["reset"] if params.get("reset") else []
    if out or in_:
        words.append(f"{link_faults.faults_text(now)}{both_ways}")
    elif params.keys() - {"peer", "all", "reset"}:
        words.append("healed" if params.get("heal") else "no faults")
    lasting = f", for {link_faults.duration_text(params['for'])}" if params.get("for") else ""
    return "; ".join(words) + lasting


def _print_links(app: App, result: "dict[str, Any]") -> None:
    """Print a table: a row for each direction with requested or measured faults."""
    default = result.get("default")
    others = {"peer": {"name": OTHERS}, "faults": default} if link_faults.faults_text(default) else None
    links = [*([others] if others else []), *(result.get("links") or [])]
    if links:
        app.out.table(HEAD, [row for link in links for row in _rows(link)])
    else:
        app.out.note("nobody is connected")
    if not result.get("allowed"):
        app.out.note("faults are not allowed here; chatd --allow-faults (or CHATD_ALLOW_FAULTS=1) allows them")


def _rows(link: "dict[str, Any]") -> "list[list[object]]":
    now = link.get("faults") or {}
    until = local_time(now["until"]) if now.get("until") else None
    rows: list[list[object]] = [
        [
            _peer_name(link),
            link.get("state"),
            direction,
            requested or None,
            measured or None,
            until if requested else None,
        ]
        for direction, requested in zip(DIRECTIONS, link_faults.texts_by_direction(now), strict=True)
        if (measured := link_faults.measured_text(link.get(direction))) or requested
    ]
    return rows or [[_peer_name(link), link.get("state"), None, None, None, until]]


def _peer_name(link: "dict[str, Any]") -> str:
    peer = link.get("peer") or {}
    return str(peer.get("name"))


_HELP = """Make the links to a PEER (or to --all) bad on purpose, for tests; without anything to change, show them.

Faults work inside the daemon, between link and socket, in both directions unless --out or --in says which:
--delay 200ms alone delays each direction by 200 ms, so a round trip grows by 400. What is named changes, what is not
named stays; --heal ends what is there first. They are gone when the daemon stops, unless its configuration has them.
The daemon refuses all of it unless it was started with --allow-faults.

\b
  chatctl link bob --delay 200ms --jitter 50ms --loss 1%
  chatctl link bob --cut --in --for 20s
  chatctl link --all --rate 64k
  chatctl link bob --heal
"""
_EPILOG = (
    "The table shows for each direction what was asked for, and what was measured since then: the mean delay, the "
    "share of segments that were lost, the rate while something was on its way, and the bytes. `*` is who comes."
)

command = Verb(
    "link",
    run,
    [
        click.Argument(["peer"], required=False, metavar="[PEER]"),
        click.Option(["--all", "all"], is_flag=True, help="All peers that there are, and all that come."),
        click.Option(
            ["--delay"], type=duration_option, metavar="DURATION", help="Everything takes longer by so much, each way."
        ),
        click.Option(
            ["--jitter"],
            type=duration_option,
            metavar="DURATION",
            help="The delay varies by up to so much, up and down. Nothing overtakes.",
        ),
        click.Option(
            ["--loss"],
            type=share_option,
            metavar="SHARE",
            help="So many segments are lost (5%, 0.05), as TCP shows it: they are sent again, so that they and all "
            "behind them come later. Nothing is ever missing.",
        ),
        click.Option(
            ["--rate"],
            type=rate_option,
            metavar="RATE",
            help="At most so many bytes a second (64k, 64KiB, 1M), or bits (512kbit); 0: no limit.",
        ),
        click.Option(
            ["--cut"],
            is_flag=True,
            default=None,
            help="Silence, like a pulled cable: nothing gets through, neither FIN nor RST tells, and dialing gets no "
            "answer. Heartbeats find it after 45 s (dead_after).",
        ),
        click.Option(
            ["--flap"],
            type=duration_option,
            metavar="DURATION",
            help="Cut for so long, open for so long, and so on from now; 0: not.",
        ),
        click.Option(["--reset"], is_flag=True, help="Break the connection at once; who wishes for it redials."),
        click.Option(["--heal"], is_flag=True, help="End the faults; what else is named is set after that."),
        click.Option(
            ["--for", "for"],
            type=duration_option,
            metavar="DURATION",
            help="The change ends by itself after so long, and what was before comes back.",
        ),
        click.Option(["--out"], is_flag=True, help="Only what we send."),
        click.Option(["--in"], is_flag=True, help="Only what we receive."),
    ],
    help=_HELP,
    epilog=_EPILOG,
)

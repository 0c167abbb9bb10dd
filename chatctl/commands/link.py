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


_HELP = """Show the links, or make the links to a PEER (or with --all to every peer) worse, for tests.

Faults work inside the daemon and in both directions, unless --out or --in is given. --delay 200ms delays each
direction by 200 ms, so a round trip takes 400 ms longer. Options that are not given keep their value; --heal clears
all faults first. Faults end when the daemon stops, except those in its configuration. The daemon must have been
started with --allow-faults.
"""
_EPILOG = (
    "The table shows, for each direction, the faults and what was measured since they were set: mean delay, share "
    "of lost segments, rate while data was in transit, and bytes. `*` is for all peers without faults of their own."
)

command = Verb(
    "link",
    run,
    [
        click.Argument(["peer"], required=False, metavar="[PEER]"),
        click.Option(["--all", "all"], is_flag=True, help="Apply to all peers, present and future."),
        click.Option(
            ["--delay"],
            type=duration_option,
            metavar="DURATION",
            help="Delay all traffic by DURATION, in each direction.",
        ),
        click.Option(
            ["--jitter"],
            type=duration_option,
            metavar="DURATION",
            help="Vary the delay by up to DURATION, up and down. The order is kept.",
        ),
        click.Option(
            ["--loss"],
            type=share_option,
            metavar="SHARE",
            help="Lose this share of the segments, e.g. 5% or 0.05. TCP sends them again, so data arrives "
            "later but is never missing.",
        ),
        click.Option(
            ["--rate"],
            type=rate_option,
            metavar="RATE",
            help="Limit the rate, in bytes a second (e.g. 64k, 64KiB, 1M) or bits (512kbit). 0: no limit.",
        ),
        click.Option(
            ["--cut"],
            is_flag=True,
            default=None,
            help="Drop all traffic silently, like a pulled cable: no FIN, no RST, and dialing gets no "
            "answer. Heartbeats detect it after 45 s (dead_after).",
        ),
        click.Option(
            ["--flap"],
            type=duration_option,
            metavar="DURATION",
            help="Alternate: cut for DURATION, then open for DURATION. 0: off.",
        ),
        click.Option(["--reset"], is_flag=True, help="Break the connection now; the side that keeps it redials."),
        click.Option(["--heal"], is_flag=True, help="Remove the faults, then set those given with it."),
        click.Option(
            ["--for", "for"],
            type=duration_option,
            metavar="DURATION",
            help="Undo the change after DURATION.",
        ),
        click.Option(["--out"], is_flag=True, help="Only outbound traffic."),
        click.Option(["--in"], is_flag=True, help="Only inbound traffic."),
    ],
    help=_HELP,
    epilog=_EPILOG,
)

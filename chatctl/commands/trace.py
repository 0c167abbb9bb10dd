"""`chatctl trace`: the steps of one message at both ends, with times."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text.format import local_time
from chatctl.text.output import table
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HEAD = ("TIME", "AFTER", "NODE", "STEP")
NOT_KEPT, NOT_YET = "time not kept", "not yet"


def run(app: App, number: str) -> None:
    result = app.call_with_timeout("trace", {"id": number})
    if app.out.json:
        app.out.result(result)
        return
    steps = result.get("steps") or []
    afters = [_after(step) for step in steps]
    width = max(map(len, afters), default=0)
    rows = [_row(step, after.rjust(width)) for step, after in zip(steps, afters, strict=True)]
    head, *lines = table(HEAD, rows)
    app.out.line("\n".join([_title(result), app.out.paint(head, "bold"), *lines, *_remote_clock_lines(result)]))


def _title(result: "dict[str, Any]") -> str:
    """`7kq2m4xa:42 to bob`."""
    name, room, room_position = _peer_name(result), result.get("room"), result.get("room_position")
    preposition = "to" if result.get("direction") == "out" else "from"
    where = f" in {room}" if room else ""
    position_there = f", there at {room_position}" if room_position else ""
    return inline(f"{result.get('id')} {preposition} {name}{where}{position_there}")


def _peer_name(result: "dict[str, Any]") -> str:
    peer = result.get("peer")
    return str(peer.get("name")) if isinstance(peer, dict) else "?"


def _row(step: "dict[str, Any]", after: str) -> list[object]:
    what, consumer = step.get("step"), step.get("consumer")
    if consumer is not None:
        what = f"{what} by {consumer}"
    at = step.get("at_here") or step.get("at")
    if at is None:
        return [NOT_KEPT if step.get("done") else NOT_YET, after, step.get("node"), what]
    if not step.get("at_here"):
        what = f"{what} (by its own clock)"
    return [f"{local_time(at)}{str(at)[19:23]}", after, step.get("node"), what]


def _after(step: "dict[str, Any]") -> str:
    """Time since the first step, e.g. `+3.2 ms`."""
    after = step.get("after_ms")
    if not isinstance(after, int | float):
        return ""
    return f"{after:+.1f} ms" if abs(after) < 1000 else f"{after / 1000:+,.2f} s"


def _remote_clock_lines(result: "dict[str, Any]") -> "Iterator[str]":
    """Clock difference to the other end, and the reason if it has not answered."""
    clock, error, silent = (result.get(field) for field in ("clock_ms", "clock_error_ms", "silent"))
    label = inline(f"clock of {_peer_name(result)}")
    if isinstance(clock, int | float) and isinstance(error, int | float):
        yield f"{label}: {abs(clock):,.1f} ms {'behind' if clock < 0 else 'ahead of'} ours, ±{error:,.1f} ms"
    elif any(not step.get("here") for step in result.get("steps") or []):
        yield f"{label}: not known"
    if silent:
        yield inline(str(silent))


command = Verb(
    "trace",
    run,
    [click.Argument(["number"], metavar="ID")],
    help="Show the steps of a message, with times: accepted, committed, sent, then committed and acknowledged at the "
    "other end, and processed by each named reader. ID is the id that send prints, or a global id, which is the same "
    "on all nodes (chatctl msg ID shows both). If the other end does not answer within --timeout (5s), only the steps "
    "known here are shown. Times of the other end are converted to the clock of this node as far as possible.",
    epilog="Times of commits, writes and acknowledgements are kept in memory for the newest tens of thousands of each. "
    "They are lost when the daemon stops.",
)

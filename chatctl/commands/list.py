"""`chatctl list`: the peers, in slot order."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.text import link_faults
from chatctl.text.format import local_time
from chatctl.text.output import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEAD = ("SLOT", "NAME", "ADDRESS", "DIR", "STATE", "SINCE", "QUEUED", "WISH")
COLOURS = {"up": "green", "dialing": "yellow", "pending": "yellow", "down": "red"}


def run(app: App, everyone: bool) -> None:
    result = app.call("list", {"all": everyone})
    if app.out.json:
        app.out.result(result)
        return
    peers = result.get("peers") or []
    if not peers:
        app.out.note("no peers")
        return
    head, *lines = _table(peers)
    app.out.line(app.out.paint(head, "bold"))
    for peer, line in zip(peers, lines, strict=True):
        state = str(peer.get("state"))
        coloured = app.out.paint(state, COLOURS[state]) if state in COLOURS else state
        at = head.index(HEAD[4])
        app.out.line(line[:at] + coloured + line[at + len(state) :] if line.startswith(state, at) else line)


def _table(peers: "list[dict[str, Any]]") -> list[str]:
    """Faults are rare, so their column is left out when no peer has any."""
    rows, faults = [_row(peer) for peer in peers], [link_faults.faults_text(peer.get("faults")) for peer in peers]
    if not any(faults):
        return table(HEAD, rows)
    return table([*HEAD, "FAULTS"], [[*row, words or None] for row, words in zip(rows, faults, strict=True)])


def _row(peer: "dict[str, Any]") -> list[object]:
    state, reason = peer.get("state"), peer.get("reason")
    shown = f"{state} ({reason})" if reason and state != "up" else state
    if peer.get("cloned"):
        shown = f"{shown} (cloned)"
    since = peer.get("since")
    return [
        *(peer.get(field) for field in ("slot", "name", "address", "direction")),
        shown,
        since and local_time(since),
        peer.get("queued") or None,
        "yes" if peer.get("desired") else None,
    ]


command = Verb(
    "list",
    run,
    [click.Option(["--all", "everyone"], is_flag=True, help="Include plain peers that have disconnected.")],
    help="List peers: slot, name, address, which side dialed, state, time of the last change, number"
    " of queued messages, and whether this node redials the peer (until `terminate`). (cloned):"
    " two nodes use the same identity, because its state directory was copied. FAULTS shows the"
    " faults set with `chatctl link`, if any.",
)

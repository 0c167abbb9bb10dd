"""`chatctl status`: the state of the daemon, one labelled line per item."""

from chatctl.cli.verb import App, Verb
from chatctl.text.output import short
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def run(app: App) -> None:
    status = app.call("status")
    if app.out.json:
        app.out.result(status)
        return
    lines = _lines(status)
    width = max(len(label) for label, _ in lines)
    for label, value in lines:
        app.out.line(f"{app.out.paint(label.ljust(width), 'bold')}  {inline(value)}")


def _lines(status: "dict[str, Any]") -> list[tuple[str, str]]:
    peers, journal = status.get("peers") or {}, status.get("journal") or {}
    counts = ", ".join(f"{count} {state}" for state, count in peers.items())
    full = " — FULL, new messages are refused" if journal.get("full") else ""
    return [
        ("node", f"{status.get('name')} ({short(status.get('node'))})"),
        ("version", f"{status.get('version')}, process {status.get('pid')}, up {_duration(status.get('uptime_s'))}"),
        ("listen", ", ".join(str(address) for address in status.get("listen") or []) or "nowhere"),
        ("security", f"{status.get('security')}"),
        ("peers", counts),
        *_faults(status.get("faults") or {}),
        ("sessions", f"{status.get('sessions')}"),
        ("socket", f"{status.get('socket')}"),
        ("state", f"{status.get('state')}"),
        ("journal", f"{journal.get('position')}, {_size(journal.get('bytes'))}{full}"),
        ("history", f"everything behind {journal['oldest']}" if journal.get("oldest") else "complete"),
        ("owed", f"{_messages(journal.get('owed'))}, {_size(journal.get('owed_bytes'))}"),
    ]


def _faults(faults: "dict[str, Any]") -> list[tuple[str, str]]:
    """Empty for a node that has no faults and does not allow any."""
    peers = faults.get("peers") or 0
    if not faults.get("allowed") and not peers:
        return []
    return [("faults", f"allowed, {peers or 'no'} peer{'' if peers == 1 else 's'}")]


def _messages(count: object) -> str:
    return "1 message" if count == 1 else f"{count or 0} messages"


def _duration(seconds: object) -> str:
    """`2h 5m`: the two largest units that are not zero."""
    left = int(seconds) if isinstance(seconds, int | float) else 0
    parts = []
    for size, unit in _STEPS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2]) or "0s"


def _size(count: object) -> str:
    size = float(count) if isinstance(count, int | float) else 0.0
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


command = Verb(
    "status", run, help="Show the state of the daemon: node, version, listeners, security, peers and journal."
)

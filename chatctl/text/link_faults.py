"""Faults of links as text, e.g. `delay 200ms, loss 5%`. Requested and measured faults have the same form.

Knows the records `LinkFaults` and `Measured` of the control socket by their fields. A missing field means no fault.
Used by `link` and `list`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SPANS = ((3600.0, "h"), (60.0, "m"), (1.0, "s"))
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def requested_text(direction: "Mapping[str, Any] | None") -> str:
    """Faults of one direction; empty if it has none."""
    given = direction or {}
    words = [f"{name} {to_text(given[name])}" for name, to_text in _FORMATS if given.get(name)]
    return ", ".join([*words, *(["cut"] if given.get("cut") else [])])


def faults_text(faults: "Mapping[str, Any] | None") -> str:
    """Faults of a peer: `delay 200ms`, or if the directions differ `out: cut; in: delay 200ms`."""
    out, in_ = texts_by_direction(faults)
    if out == in_:
        return out
    return "; ".join(f"{name}: {words}" for name, words in (("out", out), ("in", in_)) if words)


def texts_by_direction(faults: "Mapping[str, Any] | None") -> tuple[str, str]:
    """Return the faults of the direction out, and of in."""
    given = faults or {}
    return requested_text(given.get("out")), requested_text(given.get("in"))


def measured_text(measured: "Mapping[str, Any] | None") -> str:
    """Measured delay, loss and rate of one direction; empty if no segment passed."""
    if not measured or not measured.get("segments"):
        return ""
    words = []
    if measured.get("delay_s") is not None:
        words.append(f"delay {duration_text(measured['delay_s'])}")
    words.append(f"loss {share_text((measured.get('resent') or 0) / measured['segments'])}")
    if measured.get("rate") is not None:
        words.append(f"rate {bytes_text(measured['rate'])}")
    return ", ".join([*words, f"bytes {bytes_text(measured.get('bytes') or 0)}"])


def duration_text(seconds: float) -> str:
    """`200ms`, `1.5s`, `2m`."""
    for size, unit in _SPANS:
        if seconds >= size and (size == 1.0 or seconds % size == 0):
            return f"{seconds / size:.4g}{unit}"
    return f"{seconds * 1000:.4g}ms"


def share_text(part: float) -> str:
    """`5%`."""
    return f"{part * 100:.4g}%"


def bytes_text(count: float) -> str:
    """Bytes, or bytes per second, in the form of `--rate`: `64k`, `1.5M`."""
    for size, unit in _STEPS:
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:.4g}"


_FORMATS = (
    ("delay", duration_text),
    ("jitter", duration_text),
    ("loss", share_text),
    ("rate", bytes_text),
    ("flap", duration_text),
)

"""Faults as a person reads them: `delay 200ms, loss 5%`. Asked and measured are written alike, to stand side by side.

Knows the records `LinkFaults` and `Measured` of the control socket by their fields. What is not told is no fault.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SPANS = ((3600.0, "h"), (60.0, "m"), (1.0, "s"))
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def asked(impairment: "Mapping[str, Any] | None") -> str:
    """The faults of one direction; empty where it has none."""
    found = impairment or {}
    words = [f"{name} {show(found[name])}" for name, show in _SHOWN if found.get(name)]
    return ", ".join([*words, *(["cut"] if found.get("cut") else [])])


def both(faults: "Mapping[str, Any] | None") -> str:
    """The faults of a peer: `delay 200ms`, or where the directions differ `out: cut; in: delay 200ms`."""
    out, in_ = directions(faults)
    if out == in_:
        return out
    return "; ".join(f"{name}: {words}" for name, words in (("out", out), ("in", in_)) if words)


def directions(faults: "Mapping[str, Any] | None") -> tuple[str, str]:
    """The faults out and in."""
    found = faults or {}
    return asked(found.get("out")), asked(found.get("in"))


def measured(found: "Mapping[str, Any] | None") -> str:
    """What one direction really did; empty where nothing went through it."""
    if not found or not found.get("segments"):
        return ""
    words = []
    if found.get("delay_s") is not None:
        words.append(f"delay {span(found['delay_s'])}")
    words.append(f"loss {share((found.get('resent') or 0) / found['segments'])}")
    if found.get("rate") is not None:
        words.append(f"rate {amount(found['rate'])}")
    return ", ".join([*words, f"bytes {amount(found.get('bytes') or 0)}"])


def span(seconds: float) -> str:
    """`200ms`, `1.5s`, `2m`."""
    for size, unit in _SPANS:
        if seconds >= size and (size == 1.0 or seconds % size == 0):
            return f"{seconds / size:.4g}{unit}"
    return f"{seconds * 1000:.4g}ms"


def share(part: float) -> str:
    """`5%`."""
    return f"{part * 100:.4g}%"


def amount(count: float) -> str:
    """Bytes, or bytes a second, as `--rate` has them: `64k`, `1.5M`."""
    for size, unit in _STEPS:
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:.4g}"


_SHOWN = (("delay", span), ("jitter", span), ("loss", share), ("rate", amount), ("flap", span))

"""Measured numbers: how long things took, however many they were, and how they are said to people.

Knows no verb, and asks no clock.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = 11  # binary ones that a duration is kept with: 0.1 %
BAR = 30  # columns of the bar in a line of progress


class Durations:
    """So many of each length, to three digits: a thousand cost as much memory as ten million.

    The shortest and the longest are exact. Percentiles are by nearest rank: durations that there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._least = self._most = 0  # nanoseconds
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        """That many more of that length."""
        nanos = max(round(seconds * 1e9), 0)
        self._least = min(self._least, nanos) if self.count else nanos
        self._most = max(self._most, nanos)
        shift = max(nanos.bit_length() - DIGITS, 0)
        kept = nanos >> shift << shift
        self._counts[kept] = self._counts.get(kept, 0) + count
        self.count += count

    def percentile(self, percent: float) -> float | None:
        """The shortest that so many percent are not longer than, in seconds; None without any."""
        if not self.count:
            return None
        rank = max(-int(-self.count * percent // 100), 1)
        if rank in (1, self.count):
            return (self._least if rank == 1 else self._most) / 1e9
        for kept in sorted(self._counts):
            rank -= self._counts[kept]
            if rank <= 0:
                break
        return max(kept, self._least) / 1e9

    def record(self) -> "dict[str, float | None]":
        """For `--json`."""
        shares = {"min_ms": 0, "median_ms": 50, "p99_ms": 99, "max_ms": 100}
        found = {name: self.percentile(share) for name, share in shares.items()}
        return {name: None if value is None else round(value * 1000, 3) for name, value in found.items()}


def millis(value: float) -> str:
    """Milliseconds for people: `0.41`, `12.5`, `120`."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(record: "Mapping[str, float | None]") -> str:
    """`min/median/p99/max 0.31/0.40/0.52/0.52 ms`; empty where nothing was measured."""
    known = {name.removesuffix("_ms"): millis(value) for name, value in record.items() if value is not None}
    return f"{'/'.join(known)} {'/'.join(known.values())} ms" if known else ""


def size_of(count: float) -> str:
    """Bytes for people, as rates are said: `820 B`, `3.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def progress(done: int, whole: int, rate: float) -> str:
    """`[######........]  45%  4,500 of 10,000  32,258/s`: one line, for a terminal."""
    share = min(done / whole, 1.0)
    filled = int(share * BAR)
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {share:4.0%}  {done:,} of {whole:,}  {rate:,.0f}/s"

"""Measurements of `ping` and `bench`: a histogram of durations, and numbers as text for people.

Knows no verb and reads no clock.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PRECISION_BITS = 11  # of a duration: 0.1 %
BAR_COLUMNS = 30


class DurationHistogram:
    """Counts durations rounded to three digits, so that ten million need no more memory than a thousand.

    Minimum and maximum are exact. Percentiles are by nearest rank, so each is a duration that occurred.
    """

    def __init__(self) -> None:
        self.count = 0
        self._least = self._most = 0  # nanoseconds
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        nanos = max(round(seconds * 1e9), 0)
        self._least = min(self._least, nanos) if self.count else nanos
        self._most = max(self._most, nanos)
        shift = max(nanos.bit_length() - PRECISION_BITS, 0)
        kept = nanos >> shift << shift
        self._counts[kept] = self._counts.get(kept, 0) + count
        self.count += count

    def percentile(self, percent: float) -> float | None:
        """Percentile in seconds, e.g. the median for 50; None without durations."""
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
        """Minimum, median, 99th percentile and maximum in milliseconds, for `--json`."""
        shares = {"min_ms": 0, "median_ms": 50, "p99_ms": 99, "max_ms": 100}
        percentiles = {name: self.percentile(share) for name, share in shares.items()}
        return {name: None if value is None else round(value * 1000, 3) for name, value in percentiles.items()}


def millis_text(value: float) -> str:
    """Milliseconds for people: `0.41`, `12.5`, `120`."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread_text(record: "Mapping[str, float | None]") -> str:
    """`min/median/p99/max 0.31/0.40/0.52/0.52 ms`; empty if nothing was measured."""
    known = {name.removesuffix("_ms"): millis_text(value) for name, value in record.items() if value is not None}
    return f"{'/'.join(known)} {'/'.join(known.values())} ms" if known else ""


def size_text(count: float) -> str:
    """Bytes in decimal units: `820 B`, `3.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def progress_line(done: int, total: int, rate: float) -> str:
    """`[######........]  45%  4,500 of 10,000  32,258/s`."""
    share = min(done / total, 1.0)
    filled = int(share * BAR_COLUMNS)
    return f"[{'#' * filled}{'.' * (BAR_COLUMNS - filled)}] {share:4.0%}  {done:,} of {total:,}  {rate:,.0f}/s"

"""Shaper: one direction of a link with faults, as a queue of bytes with the times at which they come out.

Sans-IO: `write` adds bytes, `read` returns those that have come out by now, `next_at` is when to call again. No byte is
lost or reordered, as on any TCP connection: a "lost" segment comes out later and delays everything after it. Times are
seconds of one clock, which the caller reads. Called by `net/faults/connection.py`.
"""

from collections import deque
from random import Random
from typing import Final

from chatd.api.network import Measured
from chatd.api.results import Impairment

SEGMENT: Final = 1448  # bytes that TCP puts into one Ethernet frame, with timestamps
RTO_S: Final = 0.2  # minimum retransmission timeout of Linux (RFC 6298: 1 s), added to a round trip
FAST: Final = 3  # segments after a lost one that trigger fast retransmit (RFC 5681)
TRIES: Final = 8  # a segment is lost at most this many times in a row
WINDOW: Final = 4 << 20  # bytes in transit in one direction
LEAST_WINDOW: Final = 4096
PIECES: Final = 65536  # pieces in transit in one direction, of any size
QUEUE_S: Final = 0.25  # seconds' worth of the rate that may be queued, as in a router
ROUNDING: Final = 1e-6  # of a flap's period: a time this close before a change counts as after it
NOTHING: Final = Impairment()


class Meter:
    """Traffic in one direction of one or more connections, since the faults were set."""

    __slots__ = ("_busy_s", "_held_s", "bytes", "resent", "segments")

    def __init__(self) -> None:
        self.bytes = self.segments = self.resent = 0
        self._held_s = self._busy_s = 0.0

    def count(self, size: int, held_s: float) -> None:
        """`size` bytes came out, `held_s` seconds after they went in."""
        self.bytes += size
        self._held_s += size * held_s

    def add_busy(self, seconds: float) -> None:
        """Add seconds in which bytes were in transit."""
        self._busy_s += seconds

    def measured(self) -> Measured:
        return Measured(
            bytes=self.bytes,
            segments=self.segments,
            resent=self.resent,
            delay_s=round(self._held_s / self.bytes, 6) if self.bytes else None,
            rate=round(self.bytes / self._busy_s, 1) if self._busy_s else None,
        )


class Shaper:
    """One direction. `at_end`: the end of the stream has come out. `size`: bytes in transit or unread."""

    __slots__ = (
        "_arrived",
        "_busy_since",
        "_ends",
        "_free_at",
        "_impairment",
        "_meter",
        "_out_at",
        "_queue",
        "_random",
        "_set_at",
        "at_end",
        "size",
    )

    def __init__(self, random: Random) -> None:
        self.at_end = False
        self.size = 0
        self._random = random
        self._impairment = NOTHING
        self._meter = Meter()
        self._set_at = 0.0
        self._queue: deque[tuple[float, float, bytes]] = deque()  # written at, may come out at, data; b"" is the end
        self._arrived = bytearray()  # has come out, not read yet
        self._out_at = 0.0  # when the last piece came out
        self._free_at = 0.0  # when it would have come out without a rate limit
        self._busy_since: float | None = None
        self._ends = False

    def set(self, impairment: Impairment, meter: Meter, now: float) -> None:
        """Change the impairment; bytes in transit keep their times, unless they are cut."""
        self._advance(now)
        if self.is_cut(now):
            self._out_at = self._free_at = now
        if self._busy_since is not None:  # each meter covers its own time only
            self._meter.add_busy(now - self._busy_since)
            self._busy_since = now
        self._impairment, self._meter, self._set_at = impairment, meter, now

    # -- in

    @property
    def capacity(self) -> int:
        """Bytes that may be written now."""
        if len(self._queue) >= PIECES:
            return 0
        rate, delay = self._impairment.rate, self._impairment.delay
        window = min(WINDOW, max(LEAST_WINDOW, int(rate * (2 * delay + QUEUE_S)))) if rate else WINDOW
        return max(0, window - self.size)

    def write(self, data: bytes, now: float) -> None:
        """Add bytes; at most `capacity`."""
        if not data:
            return
        if self._busy_since is None:
            self._busy_since = now
        self.size += len(data)
        self._meter.segments += -(-len(data) // SEGMENT)
        step = SEGMENT if self._impairment.loss or self._impairment.rate else len(data)
        travel = self._travel()
        for start in range(0, len(data), step):
            following = (len(data) - start - 1) // SEGMENT
            self._queue.append((now, now + travel + self._retransmission(following), data[start : start + step]))

    def finish(self, now: float) -> None:
        """Add the end of the stream."""
        if not self._ends:
            self._ends = True
            self._queue.append((now, now + self._travel(), b""))

    def _travel(self) -> float:
        """Seconds in transit without losses; one draw for each write."""
        delay, jitter = self._impairment.delay, self._impairment.jitter
        return max(0.0, delay + (self._random.uniform(-jitter, jitter) if jitter else 0.0))

    def _retransmission(self, following: int) -> float:
        """Extra delay of a segment that may be lost, with `following` segments after it in the same write."""
        loss, round_trip = self._impairment.loss, 2 * self._impairment.delay
        if not loss or self._random.random() >= loss:
            return 0.0
        self._meter.resent += 1
        wait, later = RTO_S + round_trip, round_trip if following >= FAST else RTO_S + round_trip
        for _ in range(1, TRIES):
            if self._random.random() >= loss:
                break
            later += wait
            wait *= 2
        return later

    # -- out

    def read(self, now: float, most: int, *, peek: bool = False) -> bytes:
        """At most `most` bytes that have come out by now; `peek` leaves them."""
        self._advance(now)
        data = bytes(self._arrived[:most])
        if not peek:
            del self._arrived[: len(data)]
            self.size -= len(data)
        return data

    def _advance(self, now: float) -> None:
        if self.is_cut(now):
            return
        opened = self._opened_at(now)
        self._out_at, self._free_at = max(self._out_at, opened), max(self._free_at, opened)
        while self._queue and (due := self._due()) <= now:
            written_at, at, data = self._queue.popleft()
            self._out_at, self._free_at = due, max(self._free_at, at)
            self._arrived += data
            self.at_end = not data
            self._meter.count(len(data), now - written_at - (due - self._free_at))
        if not self._queue and self._busy_since is not None:
            self._meter.add_busy(max(self._out_at, self._busy_since) - self._busy_since)
            self._busy_since = None

    def _due(self) -> float:
        """When the next piece comes out, apart from cuts."""
        _, at, data = self._queue[0]
        rate = self._impairment.rate
        return max(at, self._out_at) + (len(data) / rate if rate else 0.0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in transit or unread."""
        return not self._queue and not self._arrived

    def next_at(self, now: float) -> float:
        """When more bytes come out without another call; inf for never."""
        if not self._queue:
            return float("inf")
        return self.opens_at(now) if self.is_cut(now) else self._due()

    def rest(self) -> bytes:
        """Take all bytes, whatever their times."""
        data = bytes(self._arrived) + b"".join(data for _, _, data in self._queue)
        self._arrived.clear()
        self._queue.clear()
        self.size = 0
        return data

    # -- cuts

    def is_cut(self, now: float) -> bool:
        """Whether nothing passes at that moment."""
        return self._impairment.cut or (self._impairment.flap > 0 and self._flap_changes(now) % 2 == 0)

    def opens_at(self, now: float) -> float:
        """When the current cut ends: inf for a permanent one, `now` without cut, the next change for an open flap."""
        impairment = self._impairment
        if impairment.cut or not impairment.flap:
            return float("inf") if impairment.cut else now
        return self._set_at + (self._flap_changes(now) + 1) * impairment.flap

    def _flap_changes(self, now: float) -> int:
        """How often a flapping link has changed. It starts cut, so an even number means cut."""
        return int((now - self._set_at) / self._impairment.flap + ROUNDING)

    def _opened_at(self, now: float) -> float:
        """When the last cut of an open flapping link ended."""
        flap = self._impairment.flap
        return self._set_at + self._flap_changes(now) * flap if flap else 0.0

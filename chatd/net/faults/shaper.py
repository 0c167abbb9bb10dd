"""Shaper: one direction of a link that suffers on purpose, as a queue of bytes with the times at which they come out.

Sans-IO: `put` what goes in, `take` what has come out by now, `next_at` says when to look again. Nothing is lost or
overtaken, as on any TCP connection: a lost segment is one that comes later, and holds up what is behind it. Times are
seconds of one clock, which the caller reads. Called by `net/faults/connection.py`.
"""

from collections import deque
from random import Random
from typing import Final

from chatd.api.network import Measured
from chatd.api.results import Impairment

SEGMENT: Final = 1448  # bytes that TCP puts into one Ethernet frame, with timestamps
RTO_S: Final = 0.2  # the least retransmission timeout of Linux (RFC 6298 says 1 s), beside a round trip
FAST: Final = 3  # segments behind a lost one that tell its sender, so that it need not wait for that (RFC 5681)
TRIES: Final = 8  # a segment is lost so many times in a row at most
WINDOW: Final = 4 << 20  # bytes under way in one direction
LEAST_WINDOW: Final = 4096
PIECES: Final = 65536  # under way in one direction, however small
QUEUE_S: Final = 0.25  # of the rate that may wait: a router's queue
ROUNDING: Final = 1e-6
NOTHING: Final = Impairment()


class Meter:
    """What one direction of one or more connections did."""

    __slots__ = ("_busy_s", "_held_s", "bytes", "resent", "segments")

    def __init__(self) -> None:
        self.bytes = self.segments = self.resent = 0
        self._held_s = self._busy_s = 0.0

    def count(self, size: int, held_s: float) -> None:
        """So many bytes came out, after so long."""
        self.bytes += size
        self._held_s += size * held_s

    def add_busy(self, seconds: float) -> None:
        """Something was under way for so long."""
        self._busy_s += seconds

    def measured(self) -> Measured:
        """The record of it."""
        return Measured(
            bytes=self.bytes,
            segments=self.segments,
            resent=self.resent,
            delay_s=round(self._held_s / self.bytes, 6) if self.bytes else None,
            rate=round(self.bytes / self._busy_s, 1) if self._busy_s else None,
        )


class Shaper:
    """One direction. `over`: the end of the stream has come out."""

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
        self.size = 0  # bytes in here
        self._random = random
        self._impairment = NOTHING
        self._meter = Meter()
        self._set_at = 0.0
        self._queue: deque[tuple[float, float, bytes]] = deque()  # when put, when it may come out, what; b"": the end
        self._arrived = bytearray()  # has come out, and was not taken
        self._out_at = 0.0  # when the last of it came out
        self._free_at = 0.0  # when it would have, had there been no limit to the rate
        self._busy_since: float | None = None
        self._ends = False

    def set(self, impairment: Impairment, meter: Meter, now: float) -> None:
        """It suffers that from now on; what is under way already comes when it would have, unless it is cut."""
        self._advance(now)
        if self.is_cut(now):
            self._out_at = self._free_at = now
        if self._busy_since is not None:  # a meter tells of its own time only
            self._meter.add_busy(now - self._busy_since)
            self._busy_since = now
        self._impairment, self._meter, self._set_at = impairment, meter, now

    # -- in

    @property
    def capacity(self) -> int:
        """How many bytes may go in."""
        if len(self._queue) >= PIECES:
            return 0
        rate, delay = self._impairment.rate, self._impairment.delay
        window = min(WINDOW, max(LEAST_WINDOW, int(rate * (2 * delay + QUEUE_S)))) if rate else WINDOW
        return max(0, window - self.size)

    def write(self, data: bytes, now: float) -> None:
        """It goes in; the caller has looked whether there is room."""
        if not data:
            return
        if self._busy_since is None:
            self._busy_since = now
        self.size += len(data)
        self._meter.segments += -(-len(data) // SEGMENT)
        step = SEGMENT if self._impairment.loss or self._impairment.rate else len(data)
        travel = self._travel()
        for start in range(0, len(data), step):
            behind = (len(data) - start - 1) // SEGMENT
            self._queue.append((now, now + travel + self._resending(behind), data[start : start + step]))

    def finish(self, now: float) -> None:
        """Nothing follows."""
        if not self._ends:
            self._ends = True
            self._queue.append((now, now + self._travel(), b""))

    def _travel(self) -> float:
        """How long it takes without losses; one draw for all that is written together."""
        what = self._impairment
        return max(0.0, what.delay + (self._random.uniform(-what.jitter, what.jitter) if what.jitter else 0.0))

    def _resending(self, behind: int) -> float:
        """How much later a segment comes because it was lost, with so many behind it."""
        loss, round_trip = self._impairment.loss, 2 * self._impairment.delay
        if not loss or self._random.random() >= loss:
            return 0.0
        self._meter.resent += 1
        wait, later = RTO_S + round_trip, round_trip if behind >= FAST else RTO_S + round_trip
        for _ in range(1, TRIES):
            if self._random.random() >= loss:
                break
            later += wait
            wait *= 2
        return later

    # -- out

    def read(self, now: float, most: int, *, peek: bool = False) -> bytes:
        """What has come out by now, at most so many bytes; with `peek` it stays."""
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
            put_at, at, data = self._queue.popleft()
            self._out_at, self._free_at = due, max(self._free_at, at)
            self._arrived += data
            self.at_end = not data
            self._meter.count(len(data), now - put_at - (due - self._free_at))
        if not self._queue and self._busy_since is not None:
            self._meter.add_busy(max(self._out_at, self._busy_since) - self._busy_since)
            self._busy_since = None

    def _due(self) -> float:
        """When the next piece comes out, unless a cut holds it."""
        _, at, data = self._queue[0]
        rate = self._impairment.rate
        return max(at, self._out_at) + (len(data) / rate if rate else 0.0)

    @property
    def is_empty(self) -> bool:
        """Nothing is in here."""
        return not self._queue and not self._arrived

    def next_at(self, now: float) -> float:
        """When time alone brings something more."""
        if not self._queue:
            return float("inf")
        return self.opens_at(now) if self.is_cut(now) else self._due()

    def rest(self) -> bytes:
        """Everything that is in here, whenever it would come out."""
        data = bytes(self._arrived) + b"".join(data for _, _, data in self._queue)
        self._arrived.clear()
        self._queue.clear()
        self.size = 0
        return data

    # -- cuts

    def is_cut(self, now: float) -> bool:
        """Nothing gets through at that moment."""
        return self._impairment.cut or (self._impairment.flap > 0 and self._turn(now) % 2 == 0)

    def opens_at(self, now: float) -> float:
        """When a cut ends by itself; now, or at a later change, where there is none."""
        what = self._impairment
        if what.cut or not what.flap:
            return float("inf") if what.cut else now
        return self._set_at + (self._turn(now) + 1) * what.flap

    def _turn(self, now: float) -> int:
        """How often a flapping link has changed. What lies within rounding of a change is behind it."""
        return int((now - self._set_at) / self._impairment.flap + ROUNDING)

    def _opened_at(self, now: float) -> float:
        """When the last cut of a flapping link has ended; it is open."""
        flap = self._impairment.flap
        return self._set_at + self._turn(now) * flap if flap else 0.0

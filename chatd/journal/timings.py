"""Timeline: when what was committed, written to peers, and acknowledged by consumers, as far back as memory goes.

Seqs that somebody goes through in order, each with the wall time when that somebody had got so far: what is told of a
message follows from it, and no message costs anything. Bounded; who does much gives way to those who do little.
"""

from array import array
from bisect import bisect_left
from collections.abc import Hashable
from typing import Final

MOST: Final = 65_536  # times of one kind that are kept: 16 bytes each


class Track:
    """One way through the journal: everything behind `floor` up to each of the seqs was done by the time beside it."""

    __slots__ = ("_times", "floor", "seqs")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.seqs = array("q")
        self._times = array("d")

    def add(self, seq: int, time: float) -> None:
        """Further now."""
        self.seqs.append(seq)
        self._times.append(time)

    def at(self, seq: int) -> float | None:
        """When that one was done; None where it was not, or that is not known."""
        index = bisect_left(self.seqs, seq)
        return self._times[index] if self.floor < seq and index < len(self.seqs) else None

    def forget(self, count: int) -> None:
        """Let go of the oldest times."""
        if count > 0:
            self.floor = self.seqs[count - 1]
            del self.seqs[:count], self._times[:count]


class Times:
    """Those of one kind of doing, for each who does it. Whoever begins again further back has two times for a seq."""

    __slots__ = ("_kept", "_most", "_tracks")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = 0
        self._tracks: dict[Hashable, list[Track]] = {}

    def add(self, who: Hashable, after: int, through: int, time: float) -> None:
        """What lies in (after, through] was done now."""
        tracks = self._tracks.get(who)
        if tracks is None:
            tracks = self._tracks[who] = [Track(after)]
        elif tracks[-1].seqs[-1] > after:
            tracks.append(Track(after))
        tracks[-1].add(through, time)
        self._kept += 1
        if self._kept > self._most:
            self._trim()

    def times_of(self, who: Hashable, seq: int) -> list[float]:
        """Every time when that seq was done, in the order in which it was; none where that is not known (any more)."""
        found = [track.at(seq) for track in self._tracks.get(who, ())]
        return [time for time in found if time is not None]

    def drop(self, who: Hashable) -> None:
        """There is no such one any more."""
        self._kept -= sum(len(track.seqs) for track in self._tracks.pop(who, ()))

    def _trim(self) -> None:
        """Down to half, so that this is done rarely; everybody keeps the same number at most."""
        for who in list(self._tracks)[: max(0, len(self._tracks) - self._most // 2)]:
            self.drop(who)
        share = max(1, self._most // 2 // len(self._tracks))
        for tracks in self._tracks.values():
            over = sum(len(track.seqs) for track in tracks) - share
            self._kept -= max(0, over)
            while over > 0:
                count = min(over, len(tracks[0].seqs))
                tracks[0].forget(count)
                over -= count
                if not tracks[0].seqs:
                    del tracks[0]


class Timings:
    """That of one node, in this run."""

    __slots__ = ("_began", "_committed", "taken", "writes")

    def __init__(self) -> None:
        self._began, self._committed = Times(), Times()  # of commits: their first event, and their end
        self.writes = Times()  # to peers, by their topics
        self.taken = Times()  # by consumers

    def record_commit(self, before: int, through: int, began: float, time: float) -> None:
        """What lies in (before, through] is in the journal now; it was appended from `began` on."""
        self._began.add(None, before, through, began)
        self._committed.add(None, before, through, time)

    def appended_at(self, seq: int, at_ms: int) -> float:
        """When, given what the journal keeps of it: nothing is appended before its commit has begun to fill."""
        return max([at_ms / 1000, *self._began.times_of(None, seq)])

    def committed_at(self, seq: int) -> float | None:
        """When; None where that was not kept."""
        return next(iter(self._committed.times_of(None, seq)), None)

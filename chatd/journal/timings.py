"""Timings: when events were committed, written to peers and acknowledged by consumers, for `trace`.

Kept in memory only, and bounded. Each commit, write or acknowledgement adds one pair of seq and wall time, so a single
message needs no entry of its own. At the bound, the busiest peers and consumers lose their oldest times first.
"""

from array import array
from bisect import bisect_left
from collections.abc import Hashable
from typing import Final

MOST: Final = 65_536  # times in one `Times`: 16 bytes each


class Track:
    """Times of one pass through the journal.

    The events after the previous seq (at first: `floor`), up to and including `seqs[i]`, were done at time `i`.
    """

    __slots__ = ("_times", "floor", "seqs")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.seqs = array("q")
        self._times = array("d")

    def add(self, seq: int, time: float) -> None:
        self.seqs.append(seq)
        self._times.append(time)

    def at(self, seq: int) -> float | None:
        """When that event was done; None if it was not, or its time is not known."""
        index = bisect_left(self.seqs, seq)
        return self._times[index] if self.floor < seq and index < len(self.seqs) else None

    def drop_oldest(self, count: int) -> None:
        if count > 0:
            self.floor = self.seqs[count - 1]
            del self.seqs[:count], self._times[:count]


class Times:
    """Times of one step (commit, write or acknowledgement), per actor: None, a stream id or a consumer.

    An actor that starts again at an earlier seq begins another track, so a seq may have several times.
    """

    __slots__ = ("_kept", "_most", "_tracks")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = 0
        self._tracks: dict[Hashable, list[Track]] = {}

    def add(self, actor: Hashable, after: int, through: int, time: float) -> None:
        """Record that the events in (after, through] were done at that wall time."""
        tracks = self._tracks.get(actor)
        if tracks is None:
            tracks = self._tracks[actor] = [Track(after)]
        elif tracks[-1].seqs[-1] > after:
            tracks.append(Track(after))
        tracks[-1].add(through, time)
        self._kept += 1
        if self._kept > self._most:
            self._trim()

    def times_of(self, actor: Hashable, seq: int) -> list[float]:
        """All known times of that seq, oldest first."""
        times = [track.at(seq) for track in self._tracks.get(actor, ())]
        return [time for time in times if time is not None]

    def drop(self, actor: Hashable) -> None:
        self._kept -= sum(len(track.seqs) for track in self._tracks.pop(actor, ()))

    def _trim(self) -> None:
        """Shrink to half, so that this happens rarely. Every actor may keep the same number of times."""
        for actor in list(self._tracks)[: max(0, len(self._tracks) - self._most // 2)]:
            self.drop(actor)
        share = max(1, self._most // 2 // len(self._tracks))
        for tracks in self._tracks.values():
            over = sum(len(track.seqs) for track in tracks) - share
            self._kept -= max(0, over)
            while over > 0:
                count = min(over, len(tracks[0].seqs))
                tracks[0].drop_oldest(count)
                over -= count
                if not tracks[0].seqs:
                    del tracks[0]


class Timings:
    """The times of one node since its start."""

    __slots__ = ("_began", "_committed", "acknowledgements", "writes")

    def __init__(self) -> None:
        self._began, self._committed = Times(), Times()  # when a batch got its first event, and when it was committed
        self.writes = Times()  # to peers, by stream id
        self.acknowledgements = Times()  # by consumer

    def record_commit(self, before: int, through: int, began: float, time: float) -> None:
        """Record the commit of the events in (before, through], the first one appended at `began`."""
        self._began.add(None, before, through, began)
        self._committed.add(None, before, through, time)

    def appended_at(self, seq: int, at_ms: int) -> float:
        """When an event was appended: its stored time, but not before its batch got the first event."""
        return max([at_ms / 1000, *self._began.times_of(None, seq)])

    def committed_at(self, seq: int) -> float | None:
        """When an event was committed; None if that time was not kept."""
        return next(iter(self._committed.times_of(None, seq)), None)

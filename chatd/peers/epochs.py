"""PeerEpochs: the epochs that a peer has announced in this run, and whether two of them alternate.

A node draws a new epoch at every start. An epoch that returns after a newer one belongs to a second node that runs with
the same identity. `peers/clones.py` reports that.
"""

from typing import Final

import trio

EPOCHS_KEPT: Final = 8  # of one peer, in this run
# Returns of an older epoch that prove a clone. A single one may be a Hello that was in flight when its node was killed.
RETURNS: Final = 2
CLONED_FOR_S: Final = 600.0  # after the last return


class PeerEpochs:
    """Epochs that a peer has announced in its `Hello` in this run, newest last."""

    __slots__ = ("_known", "_last", "_returns")

    def __init__(self) -> None:
        self._known: list[str] = []
        self._returns = 0
        self._last = float("-inf")  # trio's clock: when an older epoch came back

    def add(self, epoch: str) -> None:
        """Make this epoch the newest one."""
        if epoch == self.newest:
            return
        if epoch in self._known:
            self._returns = self._returns + 1 if self._is_recent else 1
            self._last = trio.current_time()
            self._known.remove(epoch)
        self._known = [*self._known[1 - EPOCHS_KEPT :], epoch]

    @property
    def alternate(self) -> bool:
        """Whether older epochs come back, because several nodes run with the peer's identity."""
        return self._returns >= RETURNS and self._is_recent

    @property
    def _is_recent(self) -> bool:
        return trio.current_time() - self._last < CLONED_FOR_S

    @property
    def newest(self) -> str:
        """Epoch of the newest `Hello`; empty before the first."""
        return self._known[-1] if self._known else ""

    @property
    def previous(self) -> str:
        """Epoch before the newest; empty if there is none."""
        return self._known[-2] if len(self._known) > 1 else ""

"""Watermarks: up to where each node's journal was received (per node and epoch), and what other nodes acknowledged.

Both are kept for good, also those of forgotten peers. A watermark has two values: *appended* decides what is a
duplicate; *committed* is sent in `Hello` and `Ack` frames, and only the journal raises it.
"""

from collections.abc import Iterable


class Watermarks:
    """The watermarks and acknowledgements of all nodes. A position in another node's journal is (epoch, seq)."""

    __slots__ = ("_appended", "_committed", "_newest", "acked")

    def __init__(self, rows: Iterable[tuple[str, str, int]], acked: Iterable[tuple[str, int]]) -> None:
        """`rows` are (node, epoch, seq), each node's newest epoch last; `acked` are (node, our seq)."""
        self._committed = {(node, epoch): seq for node, epoch, seq in rows}
        self._appended = dict(self._committed)
        self._newest = dict(self._committed.keys())
        self.acked = dict(acked)  # by node: our seq up to which it has acknowledged everything

    def appended(self, node: str, epoch: str) -> int:
        """The newest appended seq of that epoch; 0 without one."""
        return self._appended.get((node, epoch), 0)

    def raise_appended(self, node: str, epoch: str, seq: int) -> None:
        """Make every seq of that epoch up to and including `seq` a duplicate."""
        self._appended[(node, epoch)] = seq

    def committed(self, node: str) -> tuple[str, int] | None:
        """The newest committed position of that node's journal."""
        epoch = self._newest.get(node)
        return None if epoch is None else (epoch, self._committed[(node, epoch)])

    def earlier_epochs(self, node: str, epoch: str) -> frozenset[str] | None:
        """The epochs of that node that appeared before this one; None if nothing was received from this one."""
        epochs = [known for owner, known in self._committed if owner == node]
        return frozenset(epochs[: epochs.index(epoch)]) if epoch in epochs else None

    def committed_in(self, node: str, epoch: str) -> int:
        """The newest committed seq of that epoch; 0 without one."""
        return self._committed.get((node, epoch), 0)

    def commit(self, raised: dict[tuple[str, str], int]) -> None:
        """Raise the committed watermarks. A node's newest epoch is the one that appeared last."""
        for key, seq in raised.items():
            if key not in self._committed:
                self._newest[key[0]] = key[1]
            self._committed[key] = max(seq, self._committed.get(key, 0))

    def revert(self) -> None:
        """Drop what was appended and not committed: a watermark never passes a message that is not on disk."""
        self._appended = dict(self._committed)

    def acknowledged_by(self, node: str | None) -> int:
        """Our seq up to which that node has acknowledged everything; 0 for none, and for a plain peer (None)."""
        return 0 if node is None else self.acked.get(node, 0)

    def set_acknowledged(self, node: str, seq: int) -> None:
        self.acked[node] = seq

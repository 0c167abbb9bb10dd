"""How far we have got everything of whom: one high-water mark per node and epoch, and what others acknowledged.

Marks and acknowledgements are kept for good, whatever is forgotten. A mark is known twice: as *appended*, by which
duplicates are judged, and as *committed*, which is what `Hello` and `Ack` say. The journal moves the second.
"""

from collections.abc import Iterable


class Watermarks:
    """The marks of all nodes. Positions of other nodes are (epoch, seq)."""

    __slots__ = ("_appended", "_committed", "_newest", "acked")

    def __init__(self, rows: Iterable[tuple[str, str, int]], acked: Iterable[tuple[str, int]]) -> None:
        """`rows` are (node, epoch, seq), each node's newest epoch last; `acked` are (node, our seq)."""
        self._committed = {(node, epoch): seq for node, epoch, seq in rows}
        self._appended = dict(self._committed)
        self._newest = dict(self._committed.keys())
        self.acked = dict(acked)

    def appended(self, node: str, epoch: str) -> int:
        """The newest seq of that epoch that was appended; 0 if none was."""
        return self._appended.get((node, epoch), 0)

    def raise_appended(self, node: str, epoch: str, seq: int) -> None:
        """What lies at or below is a duplicate from now on."""
        self._appended[(node, epoch)] = seq

    def committed(self, node: str) -> tuple[str, int] | None:
        """The newest committed position of that node's journal."""
        epoch = self._newest.get(node)
        return None if epoch is None else (epoch, self._committed[(node, epoch)])

    def earlier_epochs(self, node: str, epoch: str) -> frozenset[str] | None:
        """The epochs of that node that appeared before this one; None if nothing came of this one."""
        epochs = [known for whose, known in self._committed if whose == node]
        return frozenset(epochs[: epochs.index(epoch)]) if epoch in epochs else None

    def committed_in(self, node: str, epoch: str) -> int:
        """The newest committed seq of that epoch; 0 if none is."""
        return self._committed.get((node, epoch), 0)

    def commit(self, raised: dict[tuple[str, str], int]) -> None:
        """These are in the journal now. A node's newest epoch is the one that appeared last."""
        for key, seq in raised.items():
            if key not in self._committed:
                self._newest[key[0]] = key[1]
            self._committed[key] = max(seq, self._committed.get(key, 0))

    def revert(self) -> None:
        """Everything that was appended and not committed is lost: a mark never passes a message we don't have."""
        self._appended = dict(self._committed)

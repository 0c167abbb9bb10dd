"""Remembered peers: the native peers that are kept across restarts, as rows of the journal's table `peers`.

A native peer is remembered once it is known, was decided about, or has sent something that is in the journal. A row
that a full disk rejected is written with the next commit that succeeds. Knows neither links nor addresses to dial.
Called by the registry, and where a peer becomes known or sends its first message.
"""

from functools import partial
from typing import Final, NamedTuple

from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.peers.peer import Peer

ROW: Final = "id, slot, node, name, pinned, address, trust, terminated, known"
# Replaces by node too: a row whose deletion met a full disk may still be there.
PEER: Final = f"INSERT OR REPLACE INTO peers ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class PeerRow(NamedTuple):
    """A row of the table, in the order of ROW."""

    stream_id: int
    slot: int
    node: str
    name: str
    pinned: int
    address: str | None
    trust: str | None
    terminated: int
    known: int


class RememberedPeers:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def rows(self) -> list[PeerRow]:
        """All rows in slot order (blocking)."""
        return [PeerRow(*row) for row in self._journal.store.query(f"SELECT {ROW} FROM peers ORDER BY slot")]

    def add(self, peer: Peer) -> Batch:
        """Write a native peer's row with the next commit, or with the first one after a full disk."""
        peer.set_remembered(remembered=True)
        return self._save(peer)

    def ensure(self, peer: Peer) -> None:
        """Add a native peer unless that was done before: what it has sent goes into the journal."""
        if not peer.remembered:
            self.add(peer)

    def remove(self, peer: Peer) -> Batch:
        """Delete a peer's row."""
        peer.set_remembered(remembered=False)
        return self._save(peer)

    def set_known(self, peer: Peer) -> Batch | None:
        """Make a peer known: it was dialed, accepted, named or sent to here. None: without a node id it has no row."""
        peer.set_known()
        return self.add(peer) if peer.node is not None else None

    def ensure_known(self, peer: Peer) -> None:
        """The same, unless it was done before: a client of this node has sent to the peer."""
        if not peer.known or not (peer.remembered or peer.node is None):
            self.set_known(peer)

    def set_terminated(self, peer: Peer) -> Batch:
        peer.set_terminated(terminated=True)
        return self.add(peer)

    def clear_terminated(self, peer: Peer) -> None:
        """Record that there was a `connect` since the peer was terminated."""
        if peer.terminated:
            peer.set_terminated(terminated=False)
            self.add(peer)

    def _save(self, peer: Peer) -> Batch:
        sql, params = _statement(peer)
        batch = self._journal.execute(sql, *params)
        key = ("peer", peer.stream_id)
        batch.if_failed(key, partial(self._journal.note, key, partial(_statement, peer)))
        return batch


def _statement(peer: Peer) -> Statement:
    """Write the row of a remembered peer; delete that of another one."""
    if not peer.remembered:
        return "DELETE FROM peers WHERE id = ?", (peer.stream_id,)
    values = (peer.stream_id, peer.slot, peer.node, peer.name, peer.pinned, peer.address)
    return PEER, (*values, peer.trust, peer.terminated, peer.known)

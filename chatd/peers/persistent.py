"""Wishes: the addresses that are redialed, and for whom; they outlast the node's run.

A wish is for an address; who answers there is known later, and may change. A peer may have several: the one that
answered last is dialed first. Those of the configuration are not written down, since they are there at every start.
A wish for a room server also says in which dialect it is entered, and as whom.
What a full disk did not take is written with the next commit that it takes. Knows no sockets: dialing is peers/'.
"""

import logging
from functools import partial

from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.peers.peer import Peer
from chatd.runtime import Broadcast

MOST_ADDRESSES = 8  # of one peer: somebody who moves all the time must not fill the list
WISHES = "SELECT kind, address, topic, slot, nick FROM wishes ORDER BY slot, address"
WISH = "INSERT OR REPLACE INTO wishes (kind, address, topic, slot, nick) VALUES (?, ?, ?, ?, ?)"
log = logging.getLogger("chatd.wishes")


class PersistentPeers:
    """All wishes of one node. Every change is told to `changed`; batches are None where nothing is to be written."""

    def __init__(self, journal: Journal, changed: Broadcast) -> None:
        self._journal = journal
        self._changed = changed
        self._saved: dict[tuple[str, str], Peer] = {}  # (kind, address): what the table has, or is about to
        self._fresh: set[tuple[str, str]] = set()  # asked for with `connect`, and nobody has answered there since

    def recall(self, peer: Peer, address: str, kind: str, nick: str) -> None:
        """A row of the table, at the start."""
        if kind not in ("native", "plain"):
            peer.set_dialect(kind, nick)
        peer.dial_last(address)
        self._saved[(kind, address)] = peer
        if peer.node is None:
            self._fresh.add((kind, address))

    def add(self, peer: Peer, address: str, *, lasting: bool = True, fresh: bool = False) -> Batch | None:
        """That address is redialed for the peer from now on, and first. Not `lasting`: only in this run.

        A `fresh` one is of a `connect` that found nobody: the first dial that does still says `connect`.
        """
        peer.dial_first(address)
        for worst in peer.persistent_addresses[MOST_ADDRESSES:]:
            self._remove(peer, worst)
        self._notify(peer)
        key = _key(peer, address)
        (self._fresh.add if fresh else self._fresh.discard)(key)
        if not lasting or self._saved.get(key) is peer:
            return None
        self._saved[key] = peer
        return self._save(key)

    def remove(self, peer: Peer, address: str | None = None) -> Batch | None:
        """That address is not redialed for the peer any more; without one, none is."""
        batch = None
        for ended in [known for known in peer.persistent_addresses if address in (None, known)]:
            batch = self._remove(peer, ended) or batch
        self._notify(peer)
        return batch

    def move(self, peer: Peer, to: Peer, address: str | None = None) -> None:
        """Somebody else answers at that address, or at all of them: redialed for that one from now on."""
        for moved in [known for known in peer.persistent_addresses if address in (None, known)]:
            lasting = self._saved.get(_key(peer, moved)) is peer
            peer.stop_dialing(moved)
            self.add(to, moved, lasting=lasting)
        self._notify(peer)

    def is_fresh(self, peer: Peer, address: str) -> bool:
        """Nobody has answered there since the `connect`."""
        return _key(peer, address) in self._fresh

    def put_last(self, peer: Peer, address: str) -> None:
        """Nobody answered there: its other addresses are next."""
        peer.dial_last(address)

    def set_dialect(self, peer: Peer, dialect: str | None, nick: str) -> None:
        """The plain peer is met in that dialect from now on, and as that nick; by its wishes too."""
        if (peer.dialect, peer.nick) == (dialect, nick):
            return
        wished, lasting = (
            list(peer.persistent_addresses),
            [known for known in peer.persistent_addresses if self._saved.get(_key(peer, known)) is peer],
        )
        self.remove(peer)
        peer.set_dialect(dialect, nick)
        for address in reversed(wished):  # the last one that is added is dialed first
            self.add(peer, address, lasting=address in lasting)

    def _notify(self, peer: Peer) -> None:
        peer.changed.notify()
        self._changed.notify()

    def _remove(self, peer: Peer, address: str) -> Batch | None:
        peer.stop_dialing(address)
        key = _key(peer, address)
        self._fresh.discard(key)
        if self._saved.get(key) is not peer:
            return None
        del self._saved[key]
        return self._save(key)

    def _save(self, key: tuple[str, str]) -> Batch:
        sql, params = self._statement(key)
        batch = self._journal.execute(sql, *params)
        batch.if_failed(("wish", key), partial(self._postpone, key))
        return batch

    def _postpone(self, key: tuple[str, str]) -> None:
        if not self._journal.broken:
            log.warning("the journal's disk is full: whether %s is redialed is written once there is room", key[1])
        self._journal.note(("wish", key), partial(self._statement, key))

    def _statement(self, key: tuple[str, str]) -> Statement:
        """What makes the table agree with what is wished for now."""
        peer = self._saved.get(key)
        if peer is None:
            return "DELETE FROM wishes WHERE kind = ? AND address = ?", key
        return WISH, (*key, peer.stream_id, peer.slot, peer.nick)


def _key(peer: Peer, address: str) -> tuple[str, str]:
    """A wish is for one way of talking to whoever is at the address."""
    return peer.dialect or peer.kind, address

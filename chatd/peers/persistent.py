"""Persistent peers: the addresses that the node keeps dialing, across restarts, and the peer of each.

The node that answers at an address is known only later, and may change. A peer may have several addresses; the one
that answered last is dialed first. Addresses of the configuration are not stored, because they are read at every start.
For a room server, dialect and nick are stored too. What a full disk rejected is written with the next commit that
succeeds. Knows no sockets: `net/dialer.py` dials.
"""

import logging
from functools import partial

from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.peers.peer import Peer
from chatd.sync import Broadcast

MOST_ADDRESSES = 8  # per peer: one that moves all the time must not fill the list
ROWS = "SELECT kind, address, topic, slot, nick FROM wishes ORDER BY slot, address"
_SAVE = "INSERT OR REPLACE INTO wishes (kind, address, topic, slot, nick) VALUES (?, ?, ?, ?, ?)"
log = logging.getLogger("chatd.wishes")


class PersistentPeers:
    """Persistent peers of one node. Every change notifies `changed`. A method returns None if nothing is written."""

    def __init__(self, journal: Journal, changed: Broadcast) -> None:
        self._journal = journal
        self._changed = changed
        self._saved: dict[tuple[str, str], Peer] = {}  # (kind, address) -> peer: the rows of the table
        self._fresh: set[tuple[str, str]] = set()  # added by `connect` and not answered since

    def recall(self, peer: Peer, address: str, kind: str, nick: str) -> None:
        """Restore a row of the table at the start."""
        if kind not in ("native", "plain"):
            peer.set_dialect(kind, nick)
        peer.dial_last(address)
        self._saved[(kind, address)] = peer
        if peer.node is None:
            self._fresh.add((kind, address))

    def add(self, peer: Peer, address: str, *, lasting: bool = True, fresh: bool = False) -> Batch | None:
        """Keep dialing that address for the peer, before its other ones. Not `lasting`: in this run only.

        `fresh`: it comes from a `connect` that was not answered yet, so a dial announces `connect` instead of `redial`.
        """
        peer.dial_first(address)
        for excess in peer.persistent_addresses[MOST_ADDRESSES:]:
            self._remove(peer, excess)
        self._notify(peer)
        key = _key(peer, address)
        (self._fresh.add if fresh else self._fresh.discard)(key)
        if not lasting or self._saved.get(key) is peer:
            return None
        self._saved[key] = peer
        return self._save(key)

    def remove(self, peer: Peer, address: str | None = None) -> Batch | None:
        """Stop dialing an address of the peer; without `address`, all of them."""
        batch = None
        for removed in [known for known in peer.persistent_addresses if address in (None, known)]:
            batch = self._remove(peer, removed) or batch
        self._notify(peer)
        return batch

    def move(self, peer: Peer, to: Peer, address: str | None = None) -> None:
        """Move an address of the peer, or all of them, to the peer that answers there."""
        for moved in [known for known in peer.persistent_addresses if address in (None, known)]:
            lasting = self._saved.get(_key(peer, moved)) is peer
            peer.stop_dialing(moved)
            self.add(to, moved, lasting=lasting)
        self._notify(peer)

    def is_fresh(self, peer: Peer, address: str) -> bool:
        """Whether no dial was answered since the `connect`."""
        return _key(peer, address) in self._fresh

    def put_last(self, peer: Peer, address: str) -> None:
        """Dial the peer's other addresses first, because this one did not answer."""
        peer.dial_last(address)

    def set_dialect(self, peer: Peer, dialect: str | None, nick: str) -> None:
        """Set dialect and nick of a room server, also in its rows."""
        if (peer.dialect, peer.nick) == (dialect, nick):
            return
        addresses = list(peer.persistent_addresses)
        lasting = [known for known in addresses if self._saved.get(_key(peer, known)) is peer]
        self.remove(peer)
        peer.set_dialect(dialect, nick)
        for address in reversed(addresses):  # the last one that is added is dialed first
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
        batch.if_failed(("persistent", key), partial(self._postpone, key))
        return batch

    def _postpone(self, key: tuple[str, str]) -> None:
        """Write the row with the next commit that succeeds."""
        if not self._journal.broken:
            text = "disk is full: the change of persistent peer %(address)s will be saved when there is space"
            log.warning(text, {"address": key[1]})
        self._journal.note(("persistent", key), partial(self._statement, key))

    def _statement(self, key: tuple[str, str]) -> Statement:
        """Statement that writes or deletes the row, according to the current state."""
        peer = self._saved.get(key)
        if peer is None:
            return "DELETE FROM wishes WHERE kind = ? AND address = ?", key
        return _SAVE, (*key, peer.stream_id, peer.slot, peer.nick)


def _key(peer: Peer, address: str) -> tuple[str, str]:
    """Key of a row: an address may be dialed natively, as plain text and in each dialect."""
    return peer.dialect or peer.kind, address

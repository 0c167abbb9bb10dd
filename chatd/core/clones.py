"""Clones: a state directory that was copied and runs twice, so that two nodes prove the same id.

A node draws its epoch at every start: an epoch that comes back after another one means that both are running. A peer of
the two sees that; the copies cannot notice it themselves, so each is told. Both stay linked: a failover must not be
refused. Knows no links.
"""

import logging
from typing import Final

from chatd.api.events import PeerCloned
from chatd.core.journal import Journal
from chatd.core.peer import Peer
from chatd.core.registry import Registry

REPORTERS: Final = 16  # peers that are remembered to have reported this node
log = logging.getLogger("chatd.clones")


class Clones:
    """What one node has seen of copies of its peers, and was told about itself."""

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry
        self._reports: dict[str, str] = {}  # about this node: name of the peer, by node id

    def met(self, peer: Peer, epoch: str) -> None:
        """The peer has said Hello with that epoch. The first time that two are seen to alternate is an event."""
        before = peer.is_cloned
        peer.epochs.met(epoch)
        if before or not peer.is_cloned:
            return
        newest, other = peer.epochs.newest, peer.epochs.other
        self._journal.append(PeerCloned(peer=peer.ref, epochs=[newest, other]), peer.key)
        log.warning("two nodes run with the identity of %s (epochs %s, %s): stop one", peer.shown, newest, other)
        self._registry.changed.notify()

    def told(self, peer: Peer, epoch: str) -> None:
        """The peer says that another node runs with our identity, in that epoch."""
        node = peer.node or ""
        if epoch == self._journal.epoch or node in self._reports or len(self._reports) >= REPORTERS:
            return
        self._reports[node] = peer.name
        shown = peer.shown
        log.warning("another node runs with a copy of this state directory (epoch %s, reported by %s)", epoch, shown)

    def warnings(self) -> list[str]:
        """What `health` says about it."""
        found = [
            f"two nodes run with the identity of {peer.shown}: stop one of them, or give it an identity of its own"
            for peer in self._registry
            if peer.is_cloned
        ]
        if self._reports:
            names = ", ".join(self._reports.values())
            found.append(
                f"another node runs with a copy of this state directory, reported by {names}: stop one of them"
            )
        return found

"""Clones: a state directory that was copied and runs twice, so that two nodes prove the same id.

A node draws its epoch at every start: an epoch that comes back after another one means that both are running. A peer of
the two sees that; the copies cannot notice it themselves, so each is told. Both stay linked: a failover must not be
refused. Knows no links.
"""

import logging
from typing import Final

import trio

from chatd.api.events import PeerCloned
from chatd.journal.journal import Journal
from chatd.peers.peer import CLONED_FOR_S, Peer
from chatd.peers.registry import Registry

REPORTERS: Final = 16  # peers that are remembered to have reported this node
REPORT_FOR_S: Final = CLONED_FOR_S  # without a repetition
log = logging.getLogger("chatd.clones")


class Clones:
    """What one node has seen of copies of its peers, and was told about itself."""

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry
        # About this node, by node id, in the order of the first reports: who, and when last by trio's clock.
        self._reports: dict[str, tuple[Peer, float]] = {}

    def record_epoch(self, peer: Peer, epoch: str) -> None:
        """The peer has said Hello with that epoch. The first time that two are seen to alternate is an event."""
        before = peer.is_cloned
        peer.epochs.add(epoch)
        if before or not peer.is_cloned:
            return
        newest, other = peer.epochs.newest, peer.epochs.previous
        self._journal.append(PeerCloned(peer=peer.ref, epochs=[newest, other]), peer.stream_id)
        log.warning("two nodes run with the identity of %s (epochs %s, %s): stop one", peer.shown, newest, other)
        self._registry.changed.notify()

    def record_report(self, peer: Peer, epoch: str) -> None:
        """The peer says that another node runs with our identity, in that epoch. Repetitions are not logged.

        With REPORTERS reports, a known peer displaces the newest stranger, and a stranger is ignored.
        """
        if epoch == self._journal.epoch:
            return
        self._expire()
        node = peer.node or ""
        is_new = node not in self._reports
        if is_new and len(self._reports) >= REPORTERS and not self._displace(peer):
            return
        self._reports[node] = peer, trio.current_time()
        if is_new:
            shown = peer.shown
            log.warning(
                "another node runs with a copy of this state directory (epoch %s, reported by %s)", epoch, shown
            )

    def _expire(self) -> None:
        """Forget the reports that were not repeated for REPORT_FOR_S."""
        oldest = trio.current_time() - REPORT_FOR_S
        self._reports = {node: report for node, report in self._reports.items() if report[1] > oldest}

    def _displace(self, peer: Peer) -> bool:
        """Forget the newest stranger's report if the peer is known; whether one was forgotten."""
        strangers = [node for node, (other, _) in self._reports.items() if not other.known]
        if not peer.known or not strangers:
            return False
        del self._reports[strangers[-1]]
        return True

    def warnings(self) -> list[str]:
        """What `health` says about it."""
        found = [
            f"two nodes run with the identity of {peer.shown}: stop one of them, or give it an identity of its own"
            for peer in self._registry
            if peer.is_cloned
        ]
        self._expire()
        if self._reports:
            names = ", ".join(peer.name for peer, _ in self._reports.values())
            found.append(
                f"another node runs with a copy of this state directory, reported by {names}: stop one of them"
            )
        return found

"""Clones: two running nodes with copies of one state directory, which prove the same node id.

A node draws a new epoch at every start. An epoch that comes back after another one means that both nodes are running.
Only a peer of both nodes can detect that, so it reports it to each of them. Both stay linked, because a failover must
not be refused. Knows no links; called by the native links.
"""

import logging
from typing import Final

import trio

from chatd.api.events import PeerCloned
from chatd.journal.journal import Journal
from chatd.peers.epochs import CLONED_FOR_S
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry

REPORTERS: Final = 16  # reports about this node that are kept, one per peer
REPORT_FOR_S: Final = CLONED_FOR_S  # seconds that a report is kept without a repetition
log = logging.getLogger("chatd.clones")


class Clones:
    """Clones of peers that this node has detected, and reports of peers about clones of this node."""

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry
        # By node id, in the order of the first reports: the reporting peer, and trio's clock at its last report.
        self._reports: dict[str, tuple[Peer, float]] = {}

    def record_epoch(self, peer: Peer, epoch: str) -> None:
        """Record the epoch of a `Hello`. When two epochs first alternate, an event is appended."""
        before = peer.is_cloned
        peer.epochs.add(epoch)
        if before or not peer.is_cloned:
            return
        newest, other = peer.epochs.newest, peer.epochs.previous
        self._journal.append(PeerCloned(peer=peer.ref, epochs=[newest, other]), peer.stream_id)
        fields = peer.log_fields | {"epoch": newest, "other": other}
        log.warning("two nodes run as peer %(peer)s (epochs %(epoch)s, %(other)s; stop one of them)", fields)
        self._registry.changed.notify()

    def record_report(self, peer: Peer, epoch: str) -> None:
        """Record that a peer reports another node with this node's identity and that epoch. Repetitions are not logged.

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
            log.warning(
                "another node runs with a copy of this state directory"
                " (epoch %(epoch)s, reported by peer %(peer)s; stop one of them)",
                peer.log_fields | {"epoch": epoch},
            )

    def _expire(self) -> None:
        """Forget reports that were not repeated within REPORT_FOR_S."""
        oldest = trio.current_time() - REPORT_FOR_S
        self._reports = {node: report for node, report in self._reports.items() if report[1] > oldest}

    def _displace(self, peer: Peer) -> bool:
        """Forget the newest stranger's report if the peer is known; returns whether one was forgotten."""
        strangers = [node for node, (other, _) in self._reports.items() if not other.known]
        if not peer.known or not strangers:
            return False
        del self._reports[strangers[-1]]
        return True

    def warnings(self) -> list[str]:
        """Warnings for `chatctl health`."""
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

"""Registry: creates, finds and forgets the peers of a node, and records their states and live links.

A stream id is never given to another peer; a slot is not within one run. Remembered peers (`remembered.py`) keep their
slots across restarts. Other peers exist in this run only, up to a bound, so that strangers cannot fill the memory; a
later run may reuse their slots. A peer's state, the event about it and the notice to `changed` happen with no await in
between. Knows no sockets. Called by `messages/`, `rooms/`, `net/` and `control/`.

A peer is known if it was dialed, accepted, named or configured here, or sent to by a local client. Every other peer
that identified itself is a stranger. `naming.py` decides under which name it is shown.
"""

import logging
from collections.abc import Iterable, Iterator

from chatd.api.events import PeerDown, PeerPending, PeerUp
from chatd.api.results import PeerRecord
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.peers.delivery import Delivery
from chatd.peers.directory import Directory
from chatd.peers.names import SHORTEST_PREFIX, unmet, with_id
from chatd.peers.naming import NodeNames
from chatd.peers.outbox import OutboxTotals
from chatd.peers.peer import Peer, PeerLink
from chatd.peers.persistent import ROWS as PERSISTENT_ROWS
from chatd.peers.persistent import PersistentPeers
from chatd.peers.remembered import PeerRow, RememberedPeers
from chatd.runtime import Runtime
from chatd.sync import Broadcast

GONE_PEERS = 256  # strangers and plain peers without a link that are kept
PENDING_PEERS = 256  # strangers in the state pending that are kept
NEWEST_STREAM_ID = (
    "SELECT max(topic) FROM (SELECT max(topic) AS topic FROM events WHERE topic IS NOT NULL "
    "UNION ALL SELECT max(topic) FROM outboxes UNION ALL SELECT max(topic) FROM wishes "
    "UNION ALL SELECT max(topic) FROM consumers UNION ALL SELECT max(topic) FROM rooms)"
)
SWEEP_EVERY = 64  # new peers between two evictions
log = logging.getLogger("chatd.peers")


class Registry:
    def __init__(
        self, journal: Journal, runtime: Runtime, node: str = "", name: str = "", listed: Iterable[str] = ()
    ) -> None:
        """Read the remembered peers (blocking). `node` and `name` are this node's, `listed` is the setting `known`."""
        self.node = node
        self.changed = Broadcast()
        self.outbox_totals = OutboxTotals()
        self.persistent = PersistentPeers(journal, self.changed)
        self.remembered = RememberedPeers(journal)
        self._journal = journal
        self._runtime = runtime
        self._listed = tuple(listed)
        self._directory = Directory()
        self.naming = NodeNames(self._directory, node, name)
        query = journal.store.query
        for row in self.remembered.rows():
            self._recall(row)
        for values in query(PERSISTENT_ROWS):
            self._recall_persistent(*values)
        newest = query(NEWEST_STREAM_ID)[0][0] or 0
        self._next_stream_id = max([newest, *(peer.stream_id for peer in self)]) + 1
        self._next_slot = max([-1, *(peer.slot for peer in self)]) + 1

    def _recall(self, row: PeerRow) -> None:
        peer = self._make(row.stream_id, row.slot, "native", row.name, row.node, row.address)
        known = bool(row.known) or row.node.startswith(self._listed)
        peer.recall(pinned=bool(row.pinned), trust=row.trust, terminated=bool(row.terminated), known=known)

    def _recall_persistent(self, kind: str, address: str, stream_id: int, slot: int, nick: str) -> None:
        peer = self._directory.by_slot(slot)
        if peer is None:  # plain, or no node has ever answered there
            peer = self._make(stream_id, slot, "native" if kind == "native" else "plain", address, None, address)
            peer.set_known()
        self.persistent.recall(peer, address, kind, nick)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._directory)

    # -- finding

    def find(self, spec: int | str) -> Peer:
        """Peer of a slot, `HOST:PORT`, node id, name or prefix of a node id.

        Raises ControlError unknown_peer, ambiguous_peer.
        """
        return self._directory.find(spec)

    def with_prefix(self, start: str) -> list[Peer]:
        """Peers with a node id that starts with `start`, including strangers."""
        return self._directory.with_prefix(start)

    def candidates(self, spec: str) -> list[Peer]:
        """Peers that a name, an address or the prefix of a node id could mean, including strangers."""
        by_id = self.with_prefix(spec) if len(spec) >= SHORTEST_PREFIX else []
        others = self._directory.by_name(spec) or self._directory.by_address(spec)
        return [*by_id, *(peer for peer in others if peer not in by_id)]

    def by_stream_id(self, stream_id: int) -> Peer | None:
        return self._directory.by_stream_id(stream_id)

    def by_node(self, node: str) -> Peer | None:
        return self._directory.by_node(node)

    def is_up(self, node: str) -> bool:
        peer = self.by_node(node)
        return peer is not None and peer.is_up

    def records(self, *, gone: bool = True) -> list[PeerRecord]:
        """Records of all peers in slot order; plain peers without a link only if `gone`."""
        shown = (peer for peer in self if gone or peer.kind == "native" or peer.is_up)
        return [peer.record() for peer in sorted(shown, key=lambda peer: peer.slot)]

    def up(self) -> list[Peer]:
        """Peers with a live link, in slot order."""
        return sorted((peer for peer in self if peer.is_up), key=lambda peer: peer.slot)

    # -- creating and forgetting

    def plain(self, address: str) -> Peer:
        """Create a plain peer; its name is its address."""
        return self._add("plain", address, None, address)

    def at_address(self, address: str, kind: str = "native") -> Peer:
        """Peer to dial at an address, created if there is none; a native one may have no node id yet.

        A known native peer is also found by the address of its last dial. A plain peer is found only while it has a
        link or is persistent.
        """
        candidates = [
            peer
            for peer in self
            if peer.kind == kind
            and (
                address in peer.persistent_addresses
                or (peer.known and peer.address == address and (kind == "native" or peer.is_up))
            )
        ]
        peer = max(candidates, key=lambda peer: (address in peer.persistent_addresses, peer.is_up), default=None)
        if peer is None:
            peer = self._add(kind, address, None, address)
            peer.set_known()
        return peer

    def native(self, node: str, name: str, address: str, *, dialed: Peer | None = None) -> Peer:
        """Peer with that node id, which has just announced that name; `dialed` is the peer whose address was dialed.

        A name is pinned to the first node that announces it. A stranger that announces it too is shown under another
        name. A peer that was dialed here shares it, and the bare name is ambiguous until the operator renames one of
        the two. A node that answers where another one was expected stays a stranger.
        """
        peer = self._directory.by_node(node)
        if dialed is not None and dialed not in self._directory:
            dialed = None  # it was forgotten during the dial
        expected = dialed is not None and dialed.known and dialed.node in (None, node)
        if peer is None:
            peer = dialed if dialed is not None and dialed.node is None else self._add("native", name, node, address)
            self._pin(peer, node, name, stranger=not expected)
            if node.startswith(self._listed):
                peer.set_known()
        elif not peer.pinned and node.startswith(peer.name):  # unmet
            self._pin(peer, node, name, stranger=not expected)
            self.remembered.add(peer)
        if dialed is not None:
            peer.set_address(dialed.address)
            self.merge(dialed, peer)
            if expected:
                self.remembered.set_known(peer)
        elif not peer.persistent_addresses and not peer.remembered:
            peer.set_address(address)
        return peer

    def unmet(self, node: str) -> Peer:
        """Create a peer for a node id that was never connected; its first `Hello` announces the name."""
        return self._add("native", unmet(node, self.naming.is_taken), node, None)

    def _pin(self, peer: Peer, node: str, name: str, *, stranger: bool) -> None:
        """Set the name that a peer announces; with a part of its id if the name could mean another node."""
        shared = any(other.pinned for other in self._directory.by_name(name) if other is not peer)
        pinned = not (shared and stranger) and not self.naming.misleads(name, node)
        peer.rename(name if pinned else with_id(name, node, self.naming.is_taken), node, pinned=pinned)
        self._directory.add(peer)
        if shared and peer.pinned:
            log.warning(
                "two peers are called %(peer)s (rename one of them: chatctl peer rename %(slot)d NAME)",
                peer.log_fields | {"slot": peer.slot},
            )

    def merge(self, dialed: Peer, peer: Peer) -> None:
        """Move persistent addresses to `peer`, which has answered where `dialed` was expected.

        `peer` is remembered. It becomes known only if no other node was expected at the address.
        """
        if dialed is peer:
            return
        peer.set_faults(peer.faults or dialed.faults)
        if peer.trust != "denied":
            if dialed.node is None:
                peer.set_known()
            self.remembered.add(peer)
        if dialed.node is None:
            self.persistent.move(dialed, peer)
            self._directory.remove(dialed)
            self.changed.notify()
            return
        self.persistent.move(dialed, peer, dialed.address)
        if not dialed.is_up and not dialed.persistent_addresses:
            self.set_state(dialed, "down", "another node answers at its address")

    def _add(self, kind: str, name: str, node: str | None, address: str | None) -> Peer:
        if self._next_slot % SWEEP_EVERY == 0:
            self._evict()
        peer = self._make(self.new_stream_id(), self._next_slot, kind, name, node, address)
        self._next_slot += 1
        return peer

    def _make(self, stream_id: int, slot: int, kind: str, name: str, node: str | None, address: str | None) -> Peer:
        delivery = Delivery(self._journal, stream_id, self.outbox_totals)
        peer = Peer(stream_id, slot, kind, name, node, address, delivery, since=self._runtime.wall())
        self._directory.add(peer)
        return peer

    def new_stream_id(self) -> int:
        """A stream id that was never used."""
        self._next_stream_id += 1
        return self._next_stream_id - 1

    def _evict(self) -> None:
        """Drop the oldest peers beyond the bounds that have no link, no persistent address and no row."""
        temporary = [peer for peer in self if not (peer.is_up or peer.persistent_addresses or peer.remembered)]
        for state, bound in (("pending", PENDING_PEERS), ("down", GONE_PEERS)):
            for peer in [peer for peer in temporary if peer.state == state][: -bound or None]:
                self._directory.remove(peer)
                self._journal.timings.writes.drop(peer.stream_id)

    def rename(self, peer: Peer, name: str) -> Batch:
        """Pin a name to a native peer. Raises ControlError conflict if the name means another node."""
        self.naming.check(peer, name)
        peer.rename(name, peer.node, pinned=True)
        self._directory.add(peer)
        self.changed.notify()
        batch = self.remembered.set_known(peer)
        assert batch is not None  # it has a node id
        return batch

    def forget(self, peer: Peer) -> Batch | None:
        """Drop name, slot, persistent addresses and outbox. Received messages and watermarks stay in the journal."""
        batch = self.persistent.remove(peer)
        self._directory.remove(peer)
        self.changed.notify()
        if not peer.remembered:
            return batch
        peer.delivery.forget(self._journal.watermarks.acknowledged_by(peer.node))
        return self.remembered.remove(peer)

    def terminate(self, peer: Peer) -> Batch | None:
        """Stop redialing a peer. A native peer stays terminated until a `connect` from either side."""
        batch = self.persistent.remove(peer)
        if peer.node is None:
            return batch
        return self.remembered.set_terminated(peer)

    # -- states

    def set_state(self, peer: Peer, state: str, reason: str | None = None) -> None:
        """Set the state of a peer without a link: down, dialing or pending. A peer with a link stays up."""
        if peer.is_up and state != "up":
            return
        peer.set_state(state, reason, self._runtime.wall())
        self._notify(peer)

    def _notify(self, peer: Peer) -> None:
        peer.changed.notify()
        self.changed.notify()

    def set_pending(self, peer: Peer, address: str, reason: str) -> None:
        """Make a peer pending; the event is appended once per run."""
        self.set_state(peer, "pending", reason)
        if not peer.pending_reported:
            peer.set_pending_reported()
            self._journal.append(PeerPending(peer=peer.ref, address=address), peer.stream_id)

    def link_up(self, peer: Peer, link: PeerLink) -> None:
        """Attach a live link; with the first one the peer is up."""
        peer.attach(link)
        if len(peer.links) == 1:
            self.set_state(peer, "up")
            up = PeerUp(peer=peer.ref, address=link.address, direction=link.direction)
            peer.set_opening(self._journal.append(up, peer.stream_id))
            self._save_delivery(peer)
            fields = {"address": link.address, "direction": f"{link.direction}bound"}
            log.info("peer %(peer)s connected (%(address)s, %(direction)s)", peer.log_fields | fields)
        if peer not in self._directory:
            link.close("terminated")  # it was forgotten during the handshake

    def link_down(self, peer: Peer, link: PeerLink) -> None:
        """Detach a link that has ended; with the last one the peer is down."""
        if link not in peer.links:
            return
        peer.detach(link)
        if not peer.links:
            reason = link.reason or "closed"
            self.set_state(peer, "down", reason)
            down = PeerDown(peer=peer.ref, address=link.address, reason=reason, unsent=link.unsent)
            self._journal.append(down, peer.stream_id)
            self._save_delivery(peer)
            fields = {"address": link.address, "reason": reason}
            log.info("peer %(peer)s disconnected (%(address)s): %(reason)s", peer.log_fields | fields)
        peer.delivery.progress.notify()
        self._notify(peer)

    def _save_delivery(self, peer: Peer) -> None:
        """Save up to where links may have written. Skipped if they wrote nothing, e.g. to strangers."""
        if peer.remembered or peer.delivery.written or peer.delivery.forgotten:
            peer.delivery.save()

    def all_links(self) -> Iterable[tuple[Peer, PeerLink]]:
        return [(peer, link) for peer in self for link in peer.links]

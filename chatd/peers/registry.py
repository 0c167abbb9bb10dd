"""Registry: all peers, by slot, node id, name and address; which of them are up.

A journal topic is never given to another peer, and a slot is not within one run. Native peers that we dialed, decided
about or got a message from are remembered in the journal's `peers` table and keep their slots across restarts. Others
live as long as this run, and only so many of them that strangers cannot fill the memory; a later run may give their
slots to other peers. Every change of a peer's state is told to `changed` and written to the journal with no await
between. Knows no sockets: links are what `peers/peer.py` says.

A peer is known when it was dialed, accepted, named or configured here, or sent to by a local client. Every other one
that identified itself is a stranger. What a name may be is written in `peers/names.py`.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from chatd.api.events import PeerDown, PeerPending, PeerUp
from chatd.api.results import PeerRecord
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.peers.delivery import Delivery
from chatd.peers.directory import Directory
from chatd.peers.names import SHORTEST_PREFIX, unmet, with_id
from chatd.peers.naming import NodeNames
from chatd.peers.outbox import OutboxTotals
from chatd.peers.peer import ROW, Peer, PeerLink
from chatd.peers.persistent import WISHES, PersistentPeers
from chatd.runtime import Broadcast, Runtime

GONE_PEERS = 256  # strangers and plain peers that are gone and still listed
PENDING_PEERS = 256
NEWEST_TOPIC = (
    "SELECT max(topic) FROM (SELECT max(topic) AS topic FROM events WHERE topic IS NOT NULL "
    "UNION ALL SELECT max(topic) FROM outboxes UNION ALL SELECT max(topic) FROM wishes "
    "UNION ALL SELECT max(topic) FROM consumers UNION ALL SELECT max(topic) FROM rooms)"
)
SWEEP_EVERY = 64  # new peers
log = logging.getLogger("chatd.peers")


class Registry:
    """All peers of one node."""

    def __init__(
        self, journal: Journal, runtime: Runtime, node: str = "", name: str = "", listed: Iterable[str] = ()
    ) -> None:
        """Read what is remembered (blocking). `node` and `name` are our own, `listed` is the setting `known`."""
        self.node = node
        self.changed = Broadcast()
        self.outbox_totals = OutboxTotals()
        self.persistent = PersistentPeers(journal, self.changed)
        self._journal = journal
        self._runtime = runtime
        self._listed = tuple(listed)
        self._directory = Directory()
        self.naming = NodeNames(self._directory, node, name)
        query = journal.store.query
        for row in query(f"SELECT {ROW} FROM peers ORDER BY slot"):
            self._recall(*row)
        for row in query(WISHES):
            self._recall_persistent(*row)
        newest_topic = query(NEWEST_TOPIC)[0][0] or 0
        self._next_key = max([newest_topic, *(peer.stream_id for peer in self)]) + 1
        self._next_slot = max([-1, *(peer.slot for peer in self)]) + 1

    def _recall(
        self,
        key: int,
        slot: int,
        node: str,
        name: str,
        pinned: int,
        address: str,
        trust: str,
        terminated: int,
        known: int,
    ) -> None:
        peer = self._make(key, slot, "native", name, node, address)
        is_known = bool(known) or node.startswith(self._listed)
        peer.recall(pinned=bool(pinned), trust=trust, terminated=bool(terminated), known=is_known)

    def _recall_persistent(self, kind: str, address: str, key: int, slot: int, nick: str) -> None:
        peer = self._directory.by_slot(slot)
        if peer is None:  # plain, or nobody has ever answered there
            peer = self._make(key, slot, "native" if kind == "native" else "plain", address, None, address)
            peer.set_known()
        self.persistent.recall(peer, address, kind, nick)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._directory)

    # -- finding

    def find(self, spec: int | str) -> Peer:
        """The peer of a slot, `HOST:PORT`, node id, name or beginning of a node id.

        Raises ControlError unknown_peer, ambiguous_peer.
        """
        return self._directory.find(spec)

    def with_prefix(self, start: str) -> list[Peer]:
        """All peers with a node id that begins so, strangers too."""
        return self._directory.with_prefix(start)

    def candidates(self, spec: str) -> list[Peer]:
        """All peers that could be meant by a name, an address or the beginning of a node id, strangers too."""
        begun = self.with_prefix(spec) if len(spec) >= SHORTEST_PREFIX else []
        called = self._directory.by_name(spec) or self._directory.by_address(spec)
        return [*begun, *(peer for peer in called if peer not in begun)]

    def by_stream_id(self, key: int) -> Peer | None:
        """The peer with that topic in the journal."""
        return self._directory.by_stream_id(key)

    def by_node(self, node: str) -> Peer | None:
        """The peer with that node id."""
        return self._directory.by_node(node)

    def is_up(self, node: str) -> bool:
        """Whether the node has a live link with us."""
        peer = self.by_node(node)
        return peer is not None and peer.is_up

    def records(self, *, gone: bool = True) -> list[PeerRecord]:
        """All peers in slot order; plain ones that are gone only with `gone`."""
        shown = (peer for peer in self if gone or peer.kind == "native" or peer.is_up)
        return [peer.record() for peer in sorted(shown, key=lambda peer: peer.slot)]

    def up(self) -> list[Peer]:
        """The peers with a live link, in slot order."""
        return sorted((peer for peer in self if peer.is_up), key=lambda peer: peer.slot)

    # -- making and forgetting

    def plain(self, address: str) -> Peer:
        """A new plain peer; its name is its address."""
        return self._add("plain", address, None, address)

    def at_address(self, address: str, kind: str = "native") -> Peer:
        """The peer that is dialed at an address; who a native one is may not be known yet.

        A known native peer is also found by where it was dialed last; a plain one only while it is up or wished for.
        """
        found = [
            peer
            for peer in self
            if peer.kind == kind
            and (
                address in peer.persistent_addresses
                or (peer.known and peer.address == address and (kind == "native" or peer.is_up))
            )
        ]
        peer = max(found, key=lambda peer: (address in peer.persistent_addresses, peer.is_up), default=None)
        if peer is None:
            peer = self._add(kind, address, None, address)
            peer.set_known()
        return peer

    def native(self, node: str, name: str, address: str, *, dialed: Peer | None = None) -> Peer:
        """The peer with that node id, met just now under that name; `dialed` is the one whose address we dialed.

        A name is pinned to the first id that had it. A stranger that claims it gets another one; a peer that we dialed
        ourselves shares it, and the bare name is ambiguous until that is settled. A node that answers where another one
        is dialed stays a stranger.
        """
        peer = self._directory.by_node(node)
        if dialed is not None and dialed not in self._directory:
            dialed = None  # forgotten while it was dialed
        expected = dialed is not None and dialed.known and dialed.node in (None, node)
        if peer is None:
            if dialed is not None and dialed.node is None:
                peer = dialed
            else:
                peer = self._add("native", name, node, address)
            self._pin(peer, node, name, stranger=not expected)
            if node.startswith(self._listed):
                peer.set_known()
        elif not peer.pinned and node.startswith(peer.name):  # unmet
            self._pin(peer, node, name, stranger=not expected)
            self.remember(peer)
        if dialed is not None:
            peer.set_address(dialed.address)
            self.merge(dialed, peer)
            if expected:
                self.set_known(peer)
        elif not peer.persistent_addresses and not peer.remembered:
            peer.set_address(address)
        return peer

    def unmet(self, node: str) -> Peer:
        """A peer of which only the id is known; it gets its name when it is met."""
        return self._add("native", unmet(node, self.naming.is_taken), node, None)

    def _pin(self, peer: Peer, node: str, name: str, *, stranger: bool) -> None:
        """Name a peer as it announces itself, where that misleads no one."""
        shared = any(other.pinned for other in self._directory.by_name(name) if other is not peer)
        pinned = not (shared and stranger) and not self.naming.misleads(name, node)
        peer.rename(name if pinned else with_id(name, node, self.naming.is_taken), node, pinned=pinned)
        self._directory.add(peer)
        if shared and peer.pinned:
            log.warning("%s is also the name of another node: settle it with `chatctl peer rename`", name)

    def merge(self, dialed: Peer, peer: Peer) -> None:
        """The address that was dialed turned out to be a peer that has a slot already: its wish goes there.

        That peer is remembered with its wish. It is known by it only if no other node was expected at the address.
        """
        if dialed is peer:
            return
        peer.set_faults(peer.faults or dialed.faults)
        if peer.trust != "denied":
            if dialed.node is None:
                peer.set_known()
            self.remember(peer)
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
        """A topic of the journal that nobody had, and nobody else gets."""
        self._next_key += 1
        return self._next_key - 1

    def _evict(self) -> None:
        """Let go of the oldest of too many that are neither up, wanted nor remembered."""
        passing = [peer for peer in self if not (peer.is_up or peer.persistent_addresses or peer.remembered)]
        for state, bound in (("pending", PENDING_PEERS), ("down", GONE_PEERS)):
            for peer in [peer for peer in passing if peer.state == state][: -bound or None]:
                self._directory.remove(peer)
                self._journal.timings.writes.drop(peer.stream_id)

    def set_known(self, peer: Peer) -> Batch | None:
        """The peer was dialed, accepted or named here, or sent to by a local client: it is known, and remembered."""
        peer.set_known()
        return self.remember(peer) if peer.node is not None else None

    def ensure_known(self, peer: Peer) -> None:
        """Acquaint a peer unless that was done before: a client here has sent to it."""
        if not peer.known or not (peer.remembered or peer.node is None):
            self.set_known(peer)

    def ensure_remembered(self, peer: Peer) -> None:
        """Remember a native peer unless that was done before: something of it goes into the journal."""
        if not peer.remembered:
            self.remember(peer)

    def remember(self, peer: Peer) -> Batch:
        """Write the native peer's row, with the next commit; on a full disk, with the first that there is room for."""
        peer.set_remembered(remembered=True)
        return self._save(peer)

    def _save(self, peer: Peer) -> Batch:
        sql, params = peer.row()
        batch = self._journal.execute(sql, *params)
        batch.if_failed(("peer", peer.stream_id), partial(self._journal.note, ("peer", peer.stream_id), peer.row))
        return batch

    def rename(self, peer: Peer, name: str) -> Batch:
        """Give the peer that name. Raises ControlError conflict where it means another node already."""
        self.naming.check(peer, name)
        peer.rename(name, peer.node, pinned=True)
        self._directory.add(peer)
        self.changed.notify()
        batch = self.set_known(peer)
        assert batch is not None  # it has a node id
        return batch

    def forget(self, peer: Peer) -> Batch | None:
        """End name, slot, wish and what is owed; what was got from it stays in the journal, and so do its marks."""
        batch = self.persistent.remove(peer)
        self._directory.remove(peer)
        self.changed.notify()
        if not peer.remembered:
            return batch
        peer.set_remembered(remembered=False)
        peer.delivery.forget(self._journal.watermarks.acked.get(peer.node or "", 0))
        return self._save(peer)

    def terminate(self, peer: Peer) -> Batch | None:
        """No wish for it any more; for a native peer that is remembered until a `connect` from either side."""
        batch = self.persistent.remove(peer)
        if peer.node is None:
            return batch
        peer.set_terminated(terminated=True)
        return self.remember(peer)

    def clear_terminated(self, peer: Peer) -> None:
        """There was a `connect`: forget that it was terminated."""
        if peer.terminated:
            peer.set_terminated(terminated=False)
            self.remember(peer)

    # -- states

    def set_state(self, peer: Peer, state: str, reason: str | None = None) -> None:
        """Move a peer that has no link between down, dialing and pending. One that has is up, whoever fails to dial."""
        if peer.is_up and state != "up":
            return
        peer.set_state(state, reason, self._runtime.wall())
        self._notify(peer)

    def _notify(self, peer: Peer) -> None:
        peer.changed.notify()
        self.changed.notify()

    def set_pending(self, peer: Peer, address: str, reason: str) -> None:
        """The peer is pending; told once a run."""
        self.set_state(peer, "pending", reason)
        if not peer.pending_reported:
            peer.set_pending_reported()
            self._journal.append(PeerPending(peer=peer.ref, address=address), peer.stream_id)

    def link_up(self, peer: Peer, link: PeerLink) -> None:
        """The peer has one more live link."""
        peer.attach(link)
        if len(peer.links) == 1:
            self.set_state(peer, "up")
            up = PeerUp(peer=peer.ref, address=link.address, direction=link.direction)
            peer.set_opening(self._journal.append(up, peer.stream_id))
            self._save_delivery(peer)
            log.info("%s is up (%s, %s)", peer.shown, link.address, link.direction)
        if peer not in self._directory:
            link.close("terminated")  # forgotten while it shook hands

    def link_down(self, peer: Peer, link: PeerLink) -> None:
        """A link has ended; the peer is down with its last one."""
        if link not in peer.links:
            return
        peer.detach(link)
        if not peer.links:
            reason = link.reason or "closed"
            self.set_state(peer, "down", reason)
            down = PeerDown(peer=peer.ref, address=link.address, reason=reason, unsent=link.unsent)
            self._journal.append(down, peer.stream_id)
            self._save_delivery(peer)
            log.info("%s is down: %s", peer.shown, reason)
        peer.delivery.progress.notify()
        self._notify(peer)

    def _save_delivery(self, peer: Peer) -> None:
        """Save how far links may have written; to strangers and silent connections nothing was."""
        if peer.remembered or peer.delivery.written or peer.delivery.forgotten:
            peer.delivery.save()

    def all_links(self) -> Iterable[tuple[Peer, PeerLink]]:
        """Every live link with its peer."""
        return [(peer, link) for peer in self for link in peer.links]

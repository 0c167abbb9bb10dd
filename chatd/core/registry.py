"""Registry: all peers, by slot, node id, name and address; which of them are up.

A peer's slot and journal topic are never given to another one. Native peers that we dialed, decided about or got a
message from are remembered in the journal's `peers` table; others live as long as this run, and only so many of them
that strangers cannot fill the memory. Every change of a peer's state is told to `changed` and written to the journal
with no await between. Knows no sockets: links are what `core/peer.py` says.
"""

import logging
from collections.abc import Iterable, Iterator

from chatd.api.errors import ControlError
from chatd.api.events import PeerDown, PeerPending, PeerUp
from chatd.api.records import PeerRecord
from chatd.core.batch import Batch
from chatd.core.journal import Journal
from chatd.core.peer import SHORT_ID, Link, Peer
from chatd.runtime import Broadcast, Runtime

GONE_PEERS = 256  # strangers and plain peers that are gone and still listed
PENDING_PEERS = 256
SHORTEST_PREFIX = 4
SLOT_DIGITS = 19  # nobody has more slots, and Python does not read numbers of any length
SWEEP_EVERY = 64  # new peers
OWED = "SELECT seq FROM events WHERE topic = ? AND seq > ? AND type = 'message' AND direction = 'out' ORDER BY seq"
log = logging.getLogger("chatd.peers")


class Registry:
    """All peers of one node."""

    def __init__(self, journal: Journal, runtime: Runtime) -> None:
        """Read what is remembered (blocking)."""
        self.changed = Broadcast()
        self._journal = journal
        self._runtime = runtime
        self._by_slot: dict[int, Peer] = {}
        self._by_node: dict[str, Peer] = {}
        self._by_name: dict[str, list[Peer]] | None = None  # made when it is needed, gone with every change
        query = journal.store.query
        for row in query("SELECT id, slot, node, name, pinned, address, trust FROM peers ORDER BY slot"):
            self._recall(*row)
        newest_topic = query("SELECT max(topic) FROM events WHERE topic IS NOT NULL")[0][0] or 0
        self._next_key = max([newest_topic, *(peer.key for peer in self)]) + 1
        self._next_slot = max([-1, *self._by_slot]) + 1

    def _recall(self, key: int, slot: int, node: str, name: str, pinned: int, address: str, trust: str) -> None:
        peer = Peer(key, slot, "native", name, node, address)
        peer.pinned, peer.trust, peer.remembered = bool(pinned), trust, True
        peer.since = self._runtime.wall()
        acked = self._journal.marks.acked.get(node, 0)
        peer.unacked.extend(seq for (seq,) in self._journal.store.query(OWED, key, acked))
        self._by_slot[slot] = self._by_node[node] = peer

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._by_slot.values())

    # -- finding

    def find(self, spec: int | str) -> Peer:
        """The peer of a slot number, `HOST:PORT`, name or prefix of a node id. Raises unknown_peer, ambiguous_peer."""
        if isinstance(spec, str) and spec.isascii() and spec.isdigit():
            spec = int(spec[:SLOT_DIGITS])
        if isinstance(spec, int):
            return self._by_slot.get(spec) or self._one(spec, [])
        for look in (self._at_address, self._named, self._with_prefix):
            if found := look(spec):
                return self._one(spec, [peer for peer in found if peer.is_up and peer.kind == "plain"] or found)
        return self._one(spec, [])

    def _at_address(self, spec: str) -> list[Peer]:
        if ":" not in spec:
            return []
        return [peer for peer in self if spec in (peer.address, *(link.address for link in peer.links))]

    def _named(self, name: str) -> list[Peer]:
        if self._by_name is None:
            self._by_name = {}
            for peer in self:
                self._by_name.setdefault(peer.name, []).append(peer)
        return self._by_name.get(name, [])

    def _with_prefix(self, spec: str) -> list[Peer]:
        if len(spec) < SHORTEST_PREFIX:
            return []
        return [peer for node, peer in self._by_node.items() if node.startswith(spec)]

    def _one(self, spec: int | str, found: list[Peer]) -> Peer:
        if len(found) == 1:
            return found[0]
        if not found:
            raise ControlError("unknown_peer", f"there is no peer {spec!r}", "`chatctl list --all` shows all peers")
        candidates = [f"slot {peer.slot}: {peer.shown}" for peer in found[:8]]
        hint = "say the slot or the node id, or settle it with `chatctl peer rename` or `chatctl peer forget`"
        raise ControlError(
            "ambiguous_peer", f"{spec!r} may be {', '.join(candidates)}", hint, candidates=[peer.slot for peer in found]
        )

    def by_node(self, node: str) -> Peer | None:
        """The peer with that node id."""
        return self._by_node.get(node)

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

    def wanted(self, address: str, kind: str = "native") -> Peer:
        """The peer that is dialed at an address; who a native one is may not be known yet.

        A native peer is also known by where it was dialed last; a plain one only while it is up or wished for.
        """
        found = [
            peer
            for peer in self
            if peer.kind == kind
            and (peer.wish == address or (peer.address == address and (kind == "native" or peer.is_up)))
        ]
        known = max(found, key=lambda peer: (peer.wish == address, peer.is_up), default=None)
        return known or self._add(kind, address, None, address)

    def native(self, node: str, name: str, address: str, *, dialed: Peer | None = None) -> Peer:
        """The peer with that node id, met just now under that name; `dialed` is the one whose address we dialed.

        A name is pinned to the first id that had it. A stranger that claims it gets another one; somebody that we
        dialed ourselves shares it, and the bare name is ambiguous until that is settled.
        """
        peer = self._by_node.get(node)
        if peer is None:
            if dialed is not None and dialed.node is None:
                peer = dialed
            else:
                peer = self._add("native", name, node, address)
            self._by_node[node] = peer
            self._pin(peer, node, name, stranger=dialed is None)
        elif not peer.pinned and peer.name == node[:SHORT_ID]:
            self._pin(peer, node, name, stranger=dialed is None)
            self.remember(peer)
        if dialed is not None:
            peer.address = dialed.address
            self.merge(dialed, peer)
            self.remember(peer)
        elif not peer.wish and not peer.remembered:
            peer.address = address
        return peer

    def unmet(self, node: str) -> Peer:
        """A peer that is known by its id only; it gets its name when it is met."""
        peer = self._by_node[node] = self._add("native", node[:SHORT_ID], node, None)
        return peer

    def _pin(self, peer: Peer, node: str, name: str, *, stranger: bool) -> None:
        taken = any(other.pinned for other in self._named(name) if other is not peer)
        peer.rename(f"{name}~{node[:SHORT_ID]}" if taken and stranger else name, node)
        peer.pinned = not (taken and stranger)
        self._by_name = None
        if taken and not stranger:
            log.warning("%s is also the name of another node: settle it with `chatctl peer rename`", name)

    def merge(self, dialed: Peer, peer: Peer) -> None:
        """The address that was dialed turned out to be a peer that has a slot already."""
        if dialed is peer:
            return
        peer.wish = peer.wish or dialed.wish
        dialed.wish = None
        if dialed.node is None:
            self._drop(dialed)
            self.changed.notify()
        elif not dialed.is_up:
            self.set_state(dialed, "down", "another node answers at its address")

    def _add(self, kind: str, name: str, node: str | None, address: str | None) -> Peer:
        if self._next_slot % SWEEP_EVERY == 0:
            self._make_room()
        peer = Peer(self._next_key, self._next_slot, kind, name, node, address)
        self._next_key += 1
        self._next_slot += 1
        peer.since = self._runtime.wall()
        self._by_slot[peer.slot] = peer
        self._by_name = None
        return peer

    def _make_room(self) -> None:
        """Let go of the oldest of too many that are neither up, wanted nor remembered."""
        passing = [peer for peer in self if not (peer.is_up or peer.wish or peer.remembered)]
        for state, bound in (("pending", PENDING_PEERS), ("down", GONE_PEERS)):
            for peer in [peer for peer in passing if peer.state == state][: -bound or None]:
                self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        self._by_name = None
        self._by_slot.pop(peer.slot, None)
        if peer.node is not None:
            self._by_node.pop(peer.node, None)

    def remember(self, peer: Peer) -> Batch:
        """Write the native peer's row, with the next commit."""
        batch = self._journal.execute(
            # Replaces by node too: a row whose deletion met a full disk may still be there.
            "INSERT OR REPLACE INTO peers (id, slot, node, name, pinned, address, trust) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(peer.key, peer.slot, peer.node, peer.name, peer.pinned, peer.address, peer.trust),
        )
        if not peer.remembered:
            peer.remembered = True
            batch.if_failed(("remember", peer.key), lambda: setattr(peer, "remembered", False))
        return batch

    def rename(self, peer: Peer, name: str) -> Batch:
        """The peer has that name from now on. Raises conflict when another one has it."""
        for other in self._named(name):
            if other is not peer:
                raise ControlError("conflict", f"{name!r} is the name of slot {other.slot}", "choose another name")
        peer.rename(name, peer.node)
        peer.pinned = True
        self._by_name = None
        self.changed.notify()
        return self.remember(peer)

    def forget(self, peer: Peer) -> Batch | None:
        """End name, slot and what is owed; what was got from it stays in the journal, and so do its marks."""
        self._drop(peer)
        self.changed.notify()
        if not peer.remembered:
            return None
        peer.remembered = False
        return self._journal.execute("DELETE FROM peers WHERE id = ?", peer.key)

    # -- states

    def set_state(self, peer: Peer, state: str, reason: str | None = None) -> None:
        """Move a peer that has no link between down, dialing and pending."""
        if state != peer.state:
            peer.state, peer.since = state, self._runtime.wall()
        peer.reason = reason
        self.changed.notify()

    def ask(self, peer: Peer, address: str, reason: str) -> None:
        """The peer is pending; told once a run."""
        self.set_state(peer, "pending", reason)
        if not peer.asked:
            peer.asked = True
            self._journal.append(PeerPending(peer=peer.ref, address=address), peer.key)

    def link_up(self, peer: Peer, link: Link) -> None:
        """The peer has one more live link."""
        peer.links.append(link)
        if len(peer.links) == 1:
            self.set_state(peer, "up")
            self._journal.append(PeerUp(peer=peer.ref, address=link.address, direction=link.direction), peer.key)
            log.info("%s is up (%s, %s)", peer.shown, link.address, link.direction)

    def link_down(self, peer: Peer, link: Link) -> None:
        """A link has ended; the peer is down with its last one."""
        if link not in peer.links:
            return
        peer.links.remove(link)
        if not peer.links:
            reason = link.reason or "closed"
            self.set_state(peer, "down", reason)
            down = PeerDown(peer=peer.ref, address=link.address, reason=reason, unsent=link.unsent)
            self._journal.append(down, peer.key)
            log.info("%s is down: %s", peer.shown, reason)
        self.changed.notify()

    def all_links(self) -> Iterable[tuple[Peer, Link]]:
        """Every live link with its peer."""
        return [(peer, link) for peer in self for link in peer.links]

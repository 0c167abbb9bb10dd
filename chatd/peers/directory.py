"""Directory: finds the peer that a slot, an address, a name or a node id means. Knows nothing of links and messages.

Order of a look-up: slot, HOST:PORT, whole node id, exact name, prefix of a node id. A whole node id is never a name,
and a name precedes the prefix of an id, so a new node cannot change what an existing name means.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from chatd.api.errors import ControlError
from chatd.peers.names import SHORTEST_PREFIX, STRANGER_PREFIX, is_node_id, starting
from chatd.peers.peer import Peer

SLOT_DIGITS = 19  # the longest slot; Python refuses to convert numbers of any length
SHORT_PREFIX = "short_prefix"  # reason of unknown_peer: the prefix is too short to find a stranger


class Directory:
    """Peers of one node, by slot, stream id, node id and name."""

    def __init__(self) -> None:
        self._by_slot: dict[int, Peer] = {}
        self._by_node: dict[str, Peer] = {}
        self._by_stream_id: dict[int, Peer] = {}
        self._ids: list[str] = []  # the node ids, sorted
        self._by_name: dict[str, list[Peer]] | None = None  # built on demand, dropped by every change

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._by_slot.values())

    def __contains__(self, peer: Peer) -> bool:
        return self._by_slot.get(peer.slot) is peer

    def add(self, peer: Peer) -> None:
        """Add a peer, or register its new name or node id."""
        self._by_slot[peer.slot] = self._by_stream_id[peer.stream_id] = peer
        if peer.node is not None:
            if peer.node not in self._by_node:
                insort(self._ids, peer.node)
            self._by_node[peer.node] = peer
        self._by_name = None

    def remove(self, peer: Peer) -> None:
        self._by_slot.pop(peer.slot, None)
        self._by_stream_id.pop(peer.stream_id, None)
        if peer.node is not None and self._by_node.pop(peer.node, None) is not None:
            del self._ids[bisect_left(self._ids, peer.node)]
        self._by_name = None

    def by_slot(self, slot: int) -> Peer | None:
        return self._by_slot.get(slot)

    def by_stream_id(self, stream_id: int) -> Peer | None:
        return self._by_stream_id.get(stream_id)

    def by_node(self, node: str) -> Peer | None:
        return self._by_node.get(node)

    @property
    def ids(self) -> Sequence[str]:
        """Node ids, sorted."""
        return self._ids

    def find(self, spec: int | str) -> Peer:
        """Peer of a slot, `HOST:PORT`, node id, name or prefix of a node id.

        Raises ControlError unknown_peer, ambiguous_peer.
        """
        if isinstance(spec, str) and is_node_id(spec):
            return self._by_node.get(spec) or self._only(spec, [])
        if isinstance(spec, str) and spec.isascii() and spec.isdigit():
            if len(spec) > SLOT_DIGITS:
                return self._only(spec, [])
            spec = int(spec)
        if isinstance(spec, int):
            return self._by_slot.get(spec) or self._only(spec, [])
        return self._only(spec, self.by_address(spec) or self.by_name(spec) or self.by_prefix(spec))

    def by_address(self, spec: str) -> list[Peer]:
        """Peers that the address fits best; of several, the plain ones with a link."""
        if ":" not in spec:
            return []
        by_closeness: dict[int, list[Peer]] = {}
        for peer in self:
            by_closeness.setdefault(_closeness(peer, spec), []).append(peer)
        by_closeness.pop(0, None)
        closest = by_closeness[max(by_closeness)] if by_closeness else []
        return [peer for peer in closest if peer.is_up and peer.kind == "plain"] or closest

    def by_name(self, name: str) -> list[Peer]:
        """Peers with exactly that name."""
        if self._by_name is None:
            self._by_name = {}
            for peer in self:
                self._by_name.setdefault(peer.name, []).append(peer)
        return self._by_name.get(name, [])

    def with_prefix(self, start: str) -> list[Peer]:
        """Peers with a node id that starts with `start`, including strangers."""
        return [self._by_node[node] for node in starting(self._ids, start)]

    def by_prefix(self, start: str) -> list[Peer]:
        """Peers that may be looked up by that prefix: strangers only by a long one."""
        if len(start) < SHORTEST_PREFIX:
            return []
        return [peer for peer in self.with_prefix(start) if peer.known or len(start) >= STRANGER_PREFIX]

    def _only(self, spec: int | str, found: list[Peer]) -> Peer:
        """The only peer that was found for `spec`. Raises ControlError for none or several."""
        if len(found) == 1:
            return found[0]
        if not found:
            raise self._unknown(spec)
        candidates = [f"slot {peer.slot}: {peer.shown}" for peer in found[:8]]
        hint = "say the slot or the node id, or settle it with `chatctl peer rename` or `chatctl peer forget`"
        raise ControlError(
            "ambiguous_peer", f"{spec!r} may be {', '.join(candidates)}", hint, candidates=[peer.slot for peer in found]
        )

    def _unknown(self, spec: int | str) -> ControlError:
        if isinstance(spec, str) and len(spec) >= SHORTEST_PREFIX and (strangers := self.with_prefix(spec)):
            slots = ", ".join(str(peer.slot) for peer in strangers[:8])
            hint = f"the id of a stranger takes {STRANGER_PREFIX} characters or more; or say its slot: {slots}"
            return ControlError("unknown_peer", f"no known peer is called {spec!r}", hint, reason=SHORT_PREFIX)
        return ControlError("unknown_peer", f"there is no peer {spec!r}", "`chatctl list --all` shows all peers")


def _closeness(peer: Peer, address: str) -> int:
    """How well the address fits: 3 if it is dialed for the peer, 2 or 1 if it is the peer's address, 0 if it is not."""
    if address in peer.persistent_addresses or any(
        link.direction == "out" and link.address == address for link in peer.links
    ):
        return 3
    if peer.address == address and peer.known:
        return 2
    return int(peer.address == address or any(link.address == address for link in peer.links))

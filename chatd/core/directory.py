"""Directory: which peer is meant by a slot, an address, a name or a node id. Knows nothing of what peers do."""

from collections.abc import Iterator

from chatd.api.errors import ControlError
from chatd.core.peer import Peer

SHORTEST_PREFIX = 4
SLOT_DIGITS = 19  # nobody has more slots, and Python does not read numbers of any length


class Directory:
    """All peers of one node, by what people call them."""

    def __init__(self) -> None:
        self._by_slot: dict[int, Peer] = {}
        self._by_node: dict[str, Peer] = {}
        self._by_key: dict[int, Peer] = {}
        self._by_name: dict[str, list[Peer]] | None = None  # made when it is needed, gone with every change

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._by_slot.values())

    def __contains__(self, peer: Peer) -> bool:
        return self._by_slot.get(peer.slot) is peer

    def put(self, peer: Peer) -> None:
        """It is there from now on, or has another name or node id."""
        self._by_slot[peer.slot] = self._by_key[peer.key] = peer
        if peer.node is not None:
            self._by_node[peer.node] = peer
        self._by_name = None

    def drop(self, peer: Peer) -> None:
        """It is not there any more."""
        self._by_slot.pop(peer.slot, None)
        self._by_key.pop(peer.key, None)
        if peer.node is not None:
            self._by_node.pop(peer.node, None)
        self._by_name = None

    def in_slot(self, slot: int) -> Peer | None:
        """The peer in that slot."""
        return self._by_slot.get(slot)

    def with_key(self, key: int) -> Peer | None:
        """The peer with that topic in the journal."""
        return self._by_key.get(key)

    def with_node(self, node: str) -> Peer | None:
        """The peer with that node id."""
        return self._by_node.get(node)

    def find(self, spec: int | str) -> Peer:
        """The peer of a slot number, `HOST:PORT`, name or prefix of a node id. Raises unknown_peer, ambiguous_peer."""
        if isinstance(spec, str) and spec.isascii() and spec.isdigit():
            spec = int(spec[:SLOT_DIGITS])
        if isinstance(spec, int):
            return self._by_slot.get(spec) or self._one(spec, [])
        for look in (self._at_address, self.named, self._with_prefix):
            if found := look(spec):
                return self._one(spec, [peer for peer in found if peer.is_up and peer.kind == "plain"] or found)
        return self._one(spec, [])

    def _at_address(self, spec: str) -> list[Peer]:
        if ":" not in spec:
            return []
        return [peer for peer in self if spec in (peer.address, *peer.wishes, *(link.address for link in peer.links))]

    def named(self, name: str) -> list[Peer]:
        """All peers with exactly that name."""
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

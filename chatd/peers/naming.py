"""NodeNames: the names under which this node shows other nodes, and which node a name or an id means.

Holds no state besides id and name of this node: peers are in the directory. Called by the registry for its peers, and
by the explorer and `wait topo` for nodes that only other nodes have reported.
"""

from collections import Counter
from collections.abc import Mapping

from chatd.api.errors import ControlError
from chatd.paths import valid_name
from chatd.peers.directory import Directory
from chatd.peers.names import begins_an_id, reads_as_other, unmet, with_id
from chatd.peers.peer import Peer


class NodeNames:
    """Names of the nodes in one network, as one node shows them."""

    def __init__(self, directory: Directory, node: str, name: str) -> None:
        self._directory = directory
        self._node = node
        self._name = name

    def resolve(self, spec: str) -> str | None:
        """Id of the peer or this node that `spec` means. Empty for a peer without a node id, None if there is none.

        Raises ControlError ambiguous_peer.
        """
        if spec in (self._name, self._node):
            return self._node
        begins_ours = not spec.isdigit() and begins_an_id(spec, [self._node])  # digits are a slot
        try:
            peer = self._directory.find(spec)
        except ControlError as error:
            if error.kind != "unknown_peer":
                raise
            return self._node if begins_ours else None
        if begins_ours and peer.name != spec:
            hint = "say the name or the whole node id, as `chatctl whoami` and `chatctl list` show them"
            message = f"{spec!r} may be this node, slot {peer.slot}: {peer.shown}"
            raise ControlError("ambiguous_peer", message, hint, candidates=[peer.slot])
        return peer.node or ""

    def is_taken(self, name: str) -> bool:
        return bool(self._directory.by_name(name))

    def misleads(self, name: str, node: str) -> bool:
        """Whether a name that `node` announces reads as a slot, an address, this node or the prefix of an id.

        Every id counts, even if the prefix is too short to look it up: a person who types it means that id.
        """
        means_us = name == self._name or begins_an_id(name, [self._node]) or begins_an_id(name, [node])
        return means_us or reads_as_other(name) or begins_an_id(name, self._directory.ids)

    def check(self, peer: Peer, name: str) -> None:
        """Raise ControlError conflict if the peer cannot have that name because it means another node."""
        hint = "choose another name"
        if name == self._name:
            raise ControlError("conflict", f"{name!r} is the name of this node", hint)
        for other in self._directory.by_name(name):
            if other is not peer:
                raise ControlError("conflict", f"{name!r} is the name of slot {other.slot}", hint)
        for other in self._directory.by_prefix(name):
            if other is not peer:
                raise ControlError("conflict", f"the node id of slot {other.slot} begins with {name!r}", hint)

    def names_of(self, claims: Mapping[str, str]) -> dict[str, str]:
        """Names of nodes of the network, by node id: a peer's name here, otherwise the claimed one.

        A claimed name that misleads, is a peer's name, or is claimed by two nodes, is shown with the first characters
        of the id.
        """
        names = {node: name for node in claims if (name := self._own_name(node)) is not None}
        claimed = {node: claim.partition("~")[0] for node, claim in claims.items() if node not in names}
        ids, count, used = sorted(claims), Counter(claimed.values()), set(names.values())

        def is_taken(name: str) -> bool:
            return name in used or self.is_taken(name)

        for node, claim in claimed.items():
            if not valid_name(claim):
                names[node] = unmet(node, is_taken)
            elif count[claim] > 1 or is_taken(claim) or self.misleads(claim, node) or begins_an_id(claim, ids):
                names[node] = with_id(claim, node, is_taken)
            else:
                names[node] = claim
            used.add(names[node])
        return names

    def _own_name(self, node: str) -> str | None:
        peer = self._directory.by_node(node)
        return self._name if node == self._node else peer.name if peer is not None else None

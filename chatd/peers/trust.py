"""Trust: which nodes may talk to this one, and the decisions of its operator about peers.

The TLS handshake only proves a node id, so links ask for a verdict before they receive any frame. The decisions of
`peer accept` and `peer deny` are kept and override the node's mode. A decision is about a node id, never about a name,
because a stranger chooses its name itself. Called by `control/` and by the handshake of native links.
"""

from collections.abc import Iterable

from chatd import paths
from chatd.api.errors import ControlError
from chatd.config.values import ID_PREFIX
from chatd.formats import DECIDING_PREFIX
from chatd.peers.names import is_node_id, reads_as_other
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry

CANDIDATES_MOST = 8  # peers that a hint lists
SENTENCES = {
    "open": "open: whoever reaches the port may talk",
    "known": "known: only the listed node ids may talk",
    "pending": "pending: strangers wait for `chatctl peer accept SLOT`",
}


class Trust:
    """Mode and decisions of one node.

    The asynchronous methods return when the decision is on disk. On a full disk they raise ControlError storage_full,
    and the decision holds until the node ends.
    """

    def __init__(self, mode: str, known: Iterable[str], registry: Registry) -> None:
        self.mode = mode
        self._known = tuple(known)
        self._registry = registry

    @property
    def sentence(self) -> str:
        """The mode as `chatctl status` shows it."""
        return SENTENCES[self.mode]

    def verdict(self, node: str) -> str:
        """`accepted`, `pending` or `denied`."""
        peer = self._registry.by_node(node)
        decided = peer.trust if peer else None
        if decided is not None:
            return decided
        if self.mode == "open" or node.startswith(self._known):
            return "accepted"
        return "denied" if self.mode == "known" else "pending"

    async def accept(self, spec: int | str) -> Peer:
        """Accept a node, given by slot or id. A pending one gets a link at the next dial from either side."""
        peer = self._find(spec, "accept")
        peer.set_trust("accepted")
        if peer.state == "pending":
            self._registry.set_state(peer, "down", "accepted")
        self._registry.remembered.set_known(peer)
        await self._save(peer)
        return peer

    async def deny(self, spec: int | str) -> Peer:
        """Refuse a node, given by slot or id, and close its links."""
        peer = self._find(spec, "deny")
        peer.set_trust("denied")
        self._registry.persistent.remove(peer)
        self._close_links(peer, "denied")
        if not peer.is_up:
            self._registry.set_state(peer, "down", "denied")
        await self._save(peer)
        return peer

    async def forget(self, spec: int | str) -> Peer:
        """Close a peer's links, and drop its name, slot, persistent addresses and outbox; it may come back."""
        peer = self._registry.find(spec)
        self._close_links(peer, "terminated")
        batch = self._registry.forget(peer)
        if batch is not None:
            await batch.wait()
        return peer

    async def rename(self, spec: int | str, name: str) -> Peer:
        """Pin another name to a peer. Raises ControlError conflict."""
        if not paths.valid_name(name) or reads_as_other(name):
            hint = f"{paths.NAME_RULE}, an IP address or a node id"
            raise ControlError("conflict", f"{name!r} is not a name", hint, reason="bad_name")
        peer = self._require_node_id(self._registry.find(spec))
        await self._registry.rename(peer, name).wait()
        return peer

    def _find(self, spec: int | str, verb: str) -> Peer:
        """Peer of a slot, of a node id (created if it is new here), or of the first 16 or more characters of one.

        Raises ControlError conflict for this node itself.
        """
        if isinstance(spec, str) and ID_PREFIX.fullmatch(spec) and self._registry.node.startswith(spec):
            raise _own_id_error(verb)
        if isinstance(spec, str) and is_node_id(spec):
            return self._registry.by_node(spec) or self._registry.unmet(spec)
        if isinstance(spec, int) or (spec.isascii() and spec.isdigit()):
            return self._require_node_id(self._registry.find(spec))
        matching = self._registry.with_prefix(spec) if ID_PREFIX.fullmatch(spec) else []
        if len(matching) == 1:
            return matching[0]
        raise self._not_exact(spec, verb)

    def _not_exact(self, spec: str, verb: str) -> ControlError:
        """Error for a name or a prefix that is too short; its hint names valid arguments."""
        candidates = [peer for peer in self._registry.candidates(spec) if peer.node is not None]
        if not candidates:
            hint = "`chatctl list --all` shows all peers; a node that was never met is given by its whole id"
            return ControlError("unknown_peer", f"there is no peer {spec[:128]!r}", hint)
        forms = " or ".join(
            f"`chatctl peer {verb} {peer.slot}` ({(peer.node or '')[:DECIDING_PREFIX]})"
            for peer in candidates[:CANDIDATES_MOST]
        )
        message = f"a decision takes a slot, or {DECIDING_PREFIX} characters or more of a node id, not {spec[:128]!r}"
        return ControlError(
            "conflict", message, f"say {forms}", reason="not_exact", candidates=[peer.slot for peer in candidates]
        )

    def _require_node_id(self, peer: Peer) -> Peer:
        if peer.node is None:
            hint = "a plain peer has no identity; `chatctl terminate` ends its connection"
            if peer.kind == "native":
                hint = "nobody has answered at its address yet"
            raise ControlError("conflict", f"{peer.name} has no node id", hint, reason="no_identity")
        return peer

    def _close_links(self, peer: Peer, reason: str) -> None:
        for link in list(peer.links):
            link.close(reason)

    async def _save(self, peer: Peer) -> None:
        self._registry.changed.notify()
        await self._registry.remembered.add(peer).wait()


def _own_id_error(verb: str) -> ControlError:
    hint = f"`chatctl peer {verb}` takes another node: `chatctl list --all` shows all"
    return ControlError("conflict", f"that is this node itself: it cannot {verb} itself", hint, reason="self")

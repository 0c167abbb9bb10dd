"""Trust: who may talk to this node, and what people decided about peers.

The TLS handshake proves an id and says nothing about trust; a verdict is asked for before any frame is taken. What
was decided with `peer accept` and `peer deny` is remembered and beats the node's mode; `deny` beats everything.
"""

import re
from collections.abc import Iterable

from chatd import paths
from chatd.api.errors import ControlError
from chatd.core.peer import Peer
from chatd.core.registry import Registry

NODE_ID = re.compile(r"[a-z2-7]{52}")
SENTENCES = {
    "open": "open: whoever reaches the port may talk",
    "known": "known: only the listed node ids may talk",
    "pending": "pending: strangers wait for `chatctl peer accept`",
}


class Trust:
    """The node's mode and its decisions.

    The verbs return when the decision is on disk. On a full disk they raise ControlError storage_full, and it holds
    until the node ends.
    """

    def __init__(self, mode: str, known: Iterable[str], registry: Registry) -> None:
        self.mode = mode
        self._known = frozenset(known)
        self._registry = registry

    @property
    def sentence(self) -> str:
        """What `status` says about it."""
        return SENTENCES[self.mode]

    def verdict(self, node: str) -> str:
        """`accepted`, `pending` or `denied`."""
        peer = self._registry.by_node(node)
        decided = peer.trust if peer else None
        if decided is not None:
            return decided
        if self.mode == "open" or node in self._known:
            return "accepted"
        return "denied" if self.mode == "known" else "pending"

    async def accept(self, spec: int | str) -> Peer:
        """It may talk from now on; one that waits is let in when it dials again, or we do."""
        peer = self._find(spec)
        peer.trust = "accepted"
        if peer.state == "pending":
            self._registry.set_state(peer, "down", "accepted")
        await self._keep(peer)
        return peer

    async def deny(self, spec: int | str) -> Peer:
        """It may not talk, and what is connected is cut."""
        peer = self._find(spec)
        peer.trust = "denied"
        self._registry.wishes.end(peer)
        self._cut(peer, "denied")
        if not peer.is_up:
            self._registry.set_state(peer, "down", "denied")
        await self._keep(peer)
        return peer

    async def forget(self, spec: int | str) -> Peer:
        """End name, slot, wish and what is owed to it; it may come back as a stranger."""
        peer = self._registry.find(spec)
        self._cut(peer, "terminated")
        batch = self._registry.forget(peer)
        if batch is not None:
            await batch.wait()
        return peer

    async def rename(self, spec: int | str, name: str) -> Peer:
        """Pin another name to it."""
        if not paths.valid_name(name):
            hint = "1 to 63 of a-z 0-9 . _ -, not digits only"
            raise ControlError("conflict", f"{name!r} is not a name", hint, reason="bad_name")
        peer = self._native(self._registry.find(spec))
        await self._registry.rename(peer, name).wait()
        return peer

    def _find(self, spec: int | str) -> Peer:
        """The peer; for a whole node id also one that was never met."""
        try:
            return self._native(self._registry.find(spec))
        except ControlError as error:
            if error.kind != "unknown_peer" or not isinstance(spec, str) or not NODE_ID.fullmatch(spec):
                raise
        return self._registry.unmet(spec)

    def _native(self, peer: Peer) -> Peer:
        if peer.node is None:
            hint = "a plain peer has no identity; `chatctl terminate` ends its connection"
            if peer.kind == "native":
                hint = "nobody has answered at its address yet"
            raise ControlError("conflict", f"{peer.name} has no node id", hint, reason="no_identity")
        return peer

    def _cut(self, peer: Peer, reason: str) -> None:
        for link in list(peer.links):
            link.close(reason)

    async def _keep(self, peer: Peer) -> None:
        self._registry.changed.notify()
        await self._registry.remember(peer).wait()

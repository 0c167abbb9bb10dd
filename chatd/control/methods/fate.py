"""Fate: what becomes of one message that goes out, for those who wait for it."""

import trio

from chatd.api.errors import ControlError
from chatd.api.records import Sent
from chatd.core.peer import Peer
from chatd.node import Node


class Fate:
    """That of the message to `peer` with that seq."""

    def __init__(self, node: Node, peer: Peer, seq: int) -> None:
        self._node = node
        self._peer = peer
        self._seq = seq
        self._outcomes = node.chat.outcomes

    @classmethod
    def of(cls, node: Node, peer: Peer, message_id: str) -> "Fate":
        """By the id that `send` gave."""
        return cls(node, peer, node.journal.resolve(message_id))

    @property
    def id(self) -> str:
        """The message's."""
        return self._node.journal.position(self._seq)

    def sent(self, state: str) -> Sent:
        """The answer for it in that state."""
        return Sent(self.id, state, self._peer.ref)

    async def state(self) -> str:
        """The one it has now; it is committed."""
        entry = await self._node.journal.entry(self._seq)
        if entry is None:  # deleted, as nobody owes it any more
            return self._outcomes.state_now(self._peer, self._seq)
        return await self._outcomes.state(entry)

    async def wait(self, wanted: str, timeout: float | None) -> str:
        """Until it is "sent" or "delivered", as wanted. Raises ControlError: timeout, or what became of it instead."""
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            while (state := await self.state()) not in (wanted, "delivered"):
                if state not in ("sent", "queued"):
                    raise self.ended(state)
                while not self._is_over(wanted):
                    await self._peer.progress.wait()
            return state
        state = await self.state()
        if state in (wanted, "delivered"):
            return state
        hint = f"it stays {state}: `chatctl msg {self.id}` says what becomes of it"
        raise ControlError("timeout", f"not {wanted} within {timeout:g} s", hint, id=self.id, state=state)

    def _is_over(self, wanted: str) -> bool:
        """Whether it is as wanted or will never be, unless its end cannot be written down."""
        peer, now = self._peer, self._outcomes.state_now(self._peer, self._seq)
        if now in (wanted, "delivered", "failed"):
            return True
        return peer.kind == "native" and not peer.outbox.owes(self._seq)

    def ended(self, state: str) -> ControlError:
        """What to tell who waits for something else."""
        message = f"message {self.id} is {state}"
        if state == "expired":
            return ControlError("expired", message, "give it a longer --ttl", id=self.id)
        if state == "rejected":
            hint = f"it is over what {self._peer.name} takes by now: send it in pieces"
            return ControlError("rejected", message, hint, id=self.id)
        if state == "failed":
            hint = f"{self._peer.name} went before it was written"
            return ControlError("peer_offline", message, hint, id=self.id)
        return ControlError("conflict", message, reason=state, id=self.id)

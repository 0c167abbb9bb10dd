"""MessageStateWatch: the state of one outgoing message, for requests that wait for it.

Used by `send`, `ask`, `room.say` and `wait`; messages/states.py derives the states.
"""

from typing import cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import Receipt
from chatd.api.results import Sent
from chatd.node import Node
from chatd.peers.peer import Peer


class MessageStateWatch:
    """The message `seq` to `peer`; with `room`, in the room of the peer that has this label."""

    def __init__(self, node: Node, peer: Peer, seq: int, room: str | None = None) -> None:
        self._node = node
        self._peer = peer
        self._seq = seq
        self._room = room
        self._states = node.chat.states

    @classmethod
    def of_id(cls, node: Node, peer: Peer, message_id: str) -> "MessageStateWatch":
        return cls(node, peer, node.journal.resolve(message_id))

    @property
    def id(self) -> str:
        return self._node.journal.position(self._seq)

    def result(self, state: str) -> Sent:
        return Sent(self.id, state, self._peer.ref, msgspec.UNSET if self._room is None else self._room)

    async def state(self) -> str:
        """The present state; the message must be committed."""
        state = await self._stored()
        if state == "delivered" and self._room is not None:  # or rejected, and the receipt waits for its commit
            await self._node.journal.settled()
            state = await self._stored()
        return state

    async def _stored(self) -> str:
        entry = await self._node.journal.entry(self._seq)
        if entry is None:  # deleted: it is in no outbox
            return self._state_by_position()
        return await self._states.state(entry)

    def _state_by_position(self) -> str:
        """The state if the message was neither given up nor rejected."""
        return self._states.state_now(self._peer, self._seq, in_room=self._room is not None)

    async def wait(self, wanted: str, timeout: float | None) -> str:
        """Wait until it is "sent" or "delivered". Raises ControlError: timeout, or its other final state."""
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            while (state := await self.state()) not in (wanted, "delivered"):
                if state not in ("sent", "queued"):
                    raise self.error(state, await self._reason(state))
                while not self._is_final(wanted):
                    await self._peer.delivery.progress.wait()
            return state
        state = await self.state()
        if state in (wanted, "delivered"):
            return state
        hint = f"it stays {state}: `chatctl msg {self.id}` says what becomes of it"
        raise ControlError("timeout", f"not {wanted} within {timeout:g} s", hint, id=self.id, state=state)

    def _is_final(self, wanted: str) -> bool:
        """Whether it has the state `wanted` or another final one (unless the commit of that fails)."""
        peer = self._peer
        if self._state_by_position() in (wanted, "delivered", "failed"):
            return True
        if peer.kind == "plain" or peer.delivery.outbox.contains(self._seq):
            return False
        if self._room is None or peer.delivery.forgotten:
            return True
        # Otherwise the host has not answered yet.
        return self._seq > self._node.journal.watermarks.acknowledged_by(peer.node)

    async def _reason(self, state: str) -> str:
        """The reason with which the host of a room has rejected it; empty if it has not."""
        if self._room is None or state != "rejected":
            return ""
        journal, cursor = self._node.journal, self._seq
        room_streams = [room.stream_id for room in self._node.joined_rooms if room.label == self._room]
        while cursor < journal.committed:
            entries, cursor = await journal.read(cursor, (self._peer.stream_id, *room_streams))
            for entry in entries:
                if entry.type == "receipt" and (receipt := cast(Receipt, entry.event)).id == self.id:
                    return receipt.reason or ""
        return ""

    def error(self, state: str, reason: str = "") -> ControlError:
        """The error for a client that waits for another state."""
        message = f"message {self.id} is {state}"
        if state == "expired":
            return ControlError("expired", message, "give it a longer --ttl", id=self.id)
        if reason:
            hint = f"`chatctl room users {self._room}` shows who is there"
            return ControlError("rejected", f"{self._room} does not take it: {reason}", hint, id=self.id)
        if state == "rejected":
            hint = f"it is over what {self._peer.name} takes by now: send it in pieces"
            return ControlError("rejected", message, hint, id=self.id)
        if state == "failed":
            hint = f"{self._peer.name} went before it was written"
            return ControlError("peer_offline", message, hint, id=self.id)
        return ControlError("conflict", message, reason=state, id=self.id)

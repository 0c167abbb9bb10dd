"""MessageStates: the states of outgoing messages: queued, sent and delivered, or cancelled, expired and rejected.

The first three follow from positions (committed, written, acknowledged). Only the others are stored: how a message
ended. An end is final if no link can have written the message. Otherwise it is tentative: the message stays "sent", and
if the peer's next `Hello` shows that the peer lacks it, it is not sent again. An end is committed before anything after
its message is written (`Delivery.uncommitted_end`). Called by `chat.py`, `control/` and `query/`.
"""

from collections.abc import Sequence
from functools import partial
from heapq import heapify, heappop, heappush
from typing import NamedTuple, cast

import trio

from chatd.api.errors import ControlError
from chatd.api.events import Message, Receipt
from chatd.journal.batch import Batch, Entry, Statement
from chatd.journal.journal import Journal
from chatd.journal.rawjson import is_settled, names_room
from chatd.journal.store import Store
from chatd.peers.delivery import OUTBOXES, TENTATIVE, written_to
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry

UNEXPIRE = "DELETE FROM expiries WHERE seq = ?"
EXPIRIES = "SELECT topic, seq, at, bytes FROM expiries WHERE seq NOT IN (SELECT seq FROM outcomes) ORDER BY at"
CANCELLED, EXPIRED, REJECTED, DELIVERED = "cancelled", "expired", "rejected", "delivered"


class Expiry(NamedTuple):
    """End of a message's ttl on trio's clock, and the values that are needed to end the message."""

    deadline: float
    seq: int
    size: int
    stream_id: int


class MessageStates:
    """States of all messages that one node sends."""

    def __init__(self, journal: Journal, registry: Registry, *, now: float, wall: float) -> None:
        """Read what the last run left: outboxes, tentative ends and expiries (blocking)."""
        self._journal = journal
        self._registry = registry
        self._expiries: list[Expiry] = []
        query, newest = journal.store.query, journal.committed
        peers = {peer.stream_id: peer for peer in registry if peer.kind == "native"}
        for stream_id, first, messages, size, written in query(OUTBOXES):
            peers[stream_id].delivery.recall(first, messages, size, written, newest)
        for stream_id, seq, state in query(TENTATIVE):
            if stream_id in peers:
                peers[stream_id].delivery.set_tentative(seq, state)
        for stream_id, seq, at_ms, size in query(EXPIRIES):
            heappush(self._expiries, Expiry(now + at_ms / 1000 - wall, seq, size, stream_id))

    # -- ending messages

    def give_up(self, peer: Peer, seq: int, size: int, state: str) -> tuple[str, Batch]:
        """Never send a message, or never again. Returns its new state: "sent" if the peer may have it."""
        if not peer.delivery.may_have_written(seq):
            return state, self.end(peer, seq, size, state)
        return "sent", peer.delivery.end_tentatively(seq, state)

    def end(self, peer: Peer, seq: int, size: int, state: str) -> Batch:
        """End a message for good: remove it from the outbox and append the receipt."""
        receipt = Receipt(peer=peer.ref, state=state, id=self._journal.position(seq))
        batch = self._journal.append(receipt, peer.stream_id)
        peer.delivery.end(seq, size, state, batch)
        return batch

    async def cancel(self, peer: Peer, entry: Entry) -> str:
        """Cancel a message; returns its state once that is on disk. Raises ControlError if it is too late."""
        seq = entry.seq
        state = (await self.states([entry])).get(seq, "")
        if state in ("queued", "sent") and self._can_end(peer, seq):
            state, batch = self.give_up(peer, seq, len(entry.raw), CANCELLED)
            await batch.wait()
            return state
        if state == "queued":
            state = await self.state(entry)  # it has changed meanwhile
        if state != CANCELLED and seq not in peer.delivery.tentative:
            raise _too_late(entry, state)
        return state

    def decide(self, peer: Peer, through: int) -> None:
        """Decide about tentative ends: the peer's `Hello` shows that it has everything up to `through`, and no more."""
        for seq, state in peer.delivery.pop_tentative():
            if seq > through:
                batch = self.end(peer, seq, 0, state)
                batch.if_failed(("undecided", seq), partial(_undecide, peer, seq, state))

    # -- ttl

    def expire_after(self, peer: Peer, seq: int, size: int, ttl: float, at_ms: int, batch: Batch) -> None:
        """End an appended message `ttl` seconds from now; `at_ms` is the same on the wall clock."""
        self._schedule(Expiry(trio.current_time() + ttl, seq, size, peer.stream_id))
        sql = "INSERT INTO expiries (seq, topic, at, bytes) VALUES (?, ?, ?, ?)"
        self._journal.execute(sql, seq, peer.stream_id, at_ms, size)
        batch.if_failed(self._drop_uncommitted, self._drop_uncommitted)

    def _schedule(self, expiry: Expiry) -> None:
        heappush(self._expiries, expiry)

    def _drop_uncommitted(self) -> None:
        """Drop the expiries of messages that were not committed."""
        self._expiries = [expiry for expiry in self._expiries if expiry.seq <= self._journal.committed]
        heapify(self._expiries)

    @property
    def next_expiry(self) -> float:
        """Time of the next expiry on trio's clock."""
        return self._expiries[0].deadline if self._expiries else float("inf")

    def expire(self) -> None:
        """End every unacknowledged message that is past its ttl."""
        due: list[Expiry] = []  # collected first, because some are scheduled again
        while self._expiries and self._expiries[0].deadline <= trio.current_time():
            due.append(heappop(self._expiries))
        for expiry in due:
            peer = self._registry.by_stream_id(expiry.stream_id)
            if expiry.seq > self._journal.committed:
                self._schedule(expiry)  # an uncommitted message cannot end yet
            elif peer is not None and self._can_end(peer, expiry.seq):
                self.give_up(peer, expiry.seq, expiry.size, EXPIRED)
                # If the end cannot be committed, it is retried, and nothing after the message is sent meanwhile.
                batch = self._journal.execute(UNEXPIRE, expiry.seq)
                batch.if_failed(("expiry", expiry.seq), partial(self._schedule, expiry))
            else:
                self._journal.note(("unexpire", expiry.seq), partial(_unexpire, expiry.seq))

    def _can_end(self, peer: Peer, seq: int) -> bool:
        return seq > self._journal.watermarks.acknowledged_by(peer.node) and peer.delivery.can_end(seq)

    # -- messages of previous runs

    async def load_outbox(self, peer: Peer, through: int) -> None:
        """Read the outbox up to that seq from the disk; at the start only number and size are known."""
        outbox = peer.delivery.outbox
        while outbox.has_unread and outbox.learned < through:
            await self.load_page(peer, *await self._journal.page(outbox.learned, peer.stream_id))

    async def load_page(self, peer: Peer, entries: Sequence[Entry], through: int) -> None:
        """Add messages to the peer's outbox: `entries` are the next ones that were not read, up to `through`."""
        outbox = peer.delivery.outbox
        ours = [entry for entry in entries if entry.direction == "out"]
        ended = await self._journal.ask(partial(_outcomes, seqs=[entry.seq for entry in ours]))
        if outbox.has_unread and outbox.learned < through:  # no other link has done it meanwhile
            # A message that is in neither table was given up and has been deleted since.
            queued = [entry for entry in ours if entry.seq > outbox.learned and not ended.get(entry.seq, ("", 1))[1]]
            outbox.learn(through, [(entry.seq, len(entry.raw)) for entry in queued])

    # -- current states

    async def states(self, entries: Sequence[Entry]) -> dict[int, str]:
        """Current states of the outgoing entries among these, by seq."""
        ours = [entry for entry in entries if entry.direction == "out"]
        if not ours:
            return {}
        ended = await self._journal.ask(partial(_outcomes, seqs=[entry.seq for entry in ours]))
        unlisted = [
            stream_id
            for stream_id in {entry.stream_id or 0 for entry in ours}
            if self._registry.by_stream_id(stream_id) is None
        ]
        written = await self._journal.ask(partial(written_to, stream_ids=unlisted)) if unlisted else {}
        return {entry.seq: self._state(entry, ended, written) for entry in ours}

    async def state(self, entry: Entry) -> str:
        return (await self.states([entry]))[entry.seq]

    def _state(self, entry: Entry, ended: dict[int, tuple[str, int]], written: dict[int, int]) -> str:
        state, final = ended.get(entry.seq, ("", 0))
        if final:
            return state
        if is_settled(entry.raw):
            return DELIVERED
        stream_id = entry.stream_id or 0
        peer = self._registry.by_stream_id(stream_id)
        if peer is not None:
            return self.state_now(peer, entry.seq, in_room=names_room(entry.raw))
        arrived = entry.seq <= written.get(stream_id, 0)
        if cast(Message, entry.event).peer.kind == "native":  # the peer was forgotten, and its outbox too
            return DELIVERED if arrived else CANCELLED
        return "sent" if arrived else "failed"

    def state_now(self, peer: Peer, seq: int, *, in_room: bool = False) -> str:
        """State of a message that has no final end. In a room of the peer it is delivered once the host confirms it."""
        if seq <= self._journal.watermarks.acknowledged_by(peer.node):
            return DELIVERED if not in_room or seq <= peer.delivery.echoed else "sent"
        if peer.delivery.may_have_written(seq):
            return "sent"
        return "queued" if peer.kind == "native" or peer.is_up else "failed"


def _undecide(peer: Peer, seq: int, state: str) -> None:
    """Make an end tentative again, after a full disk. Nothing after the message may be sent: the links close."""
    peer.delivery.set_tentative(seq, state)
    for link in peer.links:
        link.close("storage_full")


def _too_late(entry: Entry, state: str) -> ControlError:
    message = cast(Message, entry.event)
    if entry.direction != "out":
        return ControlError("conflict", f"message {message.id} came in", reason="not_ours")
    if message.peer.kind == "plain":
        return ControlError("conflict", f"what goes to {message.peer.name}, a plain peer, stays said", reason="plain")
    return ControlError("conflict", f"message {message.id} is {state}", "it is too late to take it back", reason=state)


def _unexpire(seq: int) -> Statement:
    return UNEXPIRE, (seq,)


def _outcomes(store: Store, *, seqs: Sequence[int]) -> dict[int, tuple[str, int]]:
    """(state, is it final) by seq, for events that still exist; ("", 0) without a row in `outcomes`."""
    sql = (
        "SELECT events.seq, coalesce(state, ''), coalesce(final, 0) FROM events LEFT JOIN outcomes USING (seq) "
        f"WHERE events.seq IN ({','.join('?' * len(seqs))})"
    )
    return {seq: (state, final) for seq, state, final in store.query(sql, *seqs)}

"""MessageLookup: finds one message in the journal, by its id or its global id.

An id is the message's position in this journal, so one row is read. A global id is the sender's node id and a position
in the sender's journal. Within the stream of one peer those positions rise with the seqs here, so a binary search finds
it without an index, which every message would pay for. In rooms they do not rise: pages of rows are searched, the
newest first. Called by `control/` and `query/`.
"""

from functools import partial
from typing import cast

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.journal.batch import Entry
from chatd.journal.epochs import GlobalId, position_part, split_position
from chatd.journal.journal import Journal
from chatd.journal.rawjson import HEAD, global_id_field
from chatd.journal.store import Store
from chatd.peers.outbox import NoCapacity
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.wire.fields import valid_id

_LOOK_BACK = f"""SELECT seq, instr({HEAD}, ?) FROM events
    WHERE topic = ? AND seq < ? AND type = 'message' ORDER BY seq DESC LIMIT ?"""
LOOKED_UP = 256  # results kept at a time
ROWS = 8192  # rows searched in one turn at the store: a few milliseconds
STEP = 16  # cost of one step of a binary search, in rows


class MessageLookup:
    """Messages in the journal of one node."""

    def __init__(self, journal: Journal, registry: Registry, node: str) -> None:
        """`node` is this node's id."""
        self._journal = journal
        self._registry = registry
        self._node = node
        self._looked_up: dict[str, Entry | None] = {}  # results for the next `find_now`

    def find_now(self, message_id: str) -> Entry:
        """`find` for callers that must not wait. Raises NoCapacity until the look-up is done, and ControlError."""
        if message_id not in self._looked_up:
            raise NoCapacity(partial(self._look_up, message_id))
        entry = self._looked_up.pop(message_id)
        if entry is None:
            raise _unknown(message_id)
        return entry

    async def _look_up(self, message_id: str) -> None:
        try:
            self._looked_up[message_id] = await self.find(message_id)
        except ControlError:
            self._looked_up[message_id] = None
        if len(self._looked_up) > LOOKED_UP:  # the oldest caller was cancelled
            del self._looked_up[next(iter(self._looked_up))]

    async def find(self, message_id: str) -> Entry:
        """Message with that id. Raises ControlError unknown_message."""
        epoch, seq = split_position(message_id) if valid_id(message_id) else ("", 0)
        entry = await self._journal.entry(seq) if self._journal.holds(epoch, seq) else None
        if entry is None or entry.type != "message":
            raise _unknown(message_id)
        return entry

    async def find_any(self, message_id: str) -> Entry:
        """Message with that id or global id. Raises ControlError unknown_message."""
        wanted = GlobalId.parse(message_id)
        if wanted is None:
            return await self.find(message_id)
        peer, entry = self._registry.by_node(wanted.node), await self._own(wanted)
        if entry is None and peer is not None:
            entry = await self.received_from(peer, wanted.epoch, wanted.seq)
        entry = entry or await self._in_joined_rooms(message_id)
        if entry is None:
            hint = "only the nodes that have sent or received a message know it"
            raise ControlError("unknown_message", f"there is no message {message_id} on this node", hint)
        return entry

    async def _own(self, wanted: GlobalId) -> Entry | None:
        """Message of this node with that global id, or message in a room that is hosted here.

        A message that was accepted under a former key of this node is found by the former node id, and by the current
        one, under which it may have been sent.
        """
        if not self._journal.holds(wanted.epoch, wanted.seq):
            return None
        entry = await self._journal.entry(wanted.seq)
        if entry is None or entry.type != "message":
            return None
        message = cast(Message, entry.event)
        is_ours = entry.direction == "out" or message.room_position == message.position
        return entry if (is_ours and wanted.node == self._node) or message.global_id == str(wanted) else None

    def peer_of(self, entry: Entry) -> Peer:
        """The peer that sent or got a message, not another one with the same slot or name. Raises unknown_peer."""
        ref = cast(Message, entry.event).peer
        peer = self._registry.by_stream_id(entry.stream_id or 0) or (
            self._registry.by_node(ref.node) if ref.node else None
        )
        if peer is None:
            hint = "`chatctl list --all` shows who is there"
            raise ControlError("unknown_peer", f"{ref.name}, the other end of that message, is no longer known", hint)
        return peer

    async def received_from(self, peer: Peer, epoch: str, seq: int) -> Entry | None:
        """Direct message that a native peer sent at that position of its journal; None if there is none."""
        after, newest = await self.position_before(peer, epoch, seq), self._journal.committed
        while after < newest:
            read = partial(_first_received, stream_id=peer.stream_id, after=after, through=newest)
            entry, after = await self._journal.ask(read)
            if entry is not None:
                return entry if _sent_at(entry) == (epoch, seq) else None
        return None

    async def position_before(self, peer: Peer, epoch: str, seq: int) -> int:
        """The seq here after which all messages are that the peer sent at or after that position of its journal."""
        older = self._journal.watermarks.earlier_epochs(peer.node or "", epoch)
        if older is None:
            return self._journal.committed
        search = _Search(peer.stream_id, epoch, seq, older, self._journal.committed)
        while not await self._journal.ask(search.advance):
            continue
        return search.low

    async def _in_joined_rooms(self, global_id: str) -> Entry | None:
        """Message with that global id in a room of another node."""
        field = global_id_field(global_id)
        stream_ids = await self._journal.ask(lambda store: store.query("SELECT topic FROM rooms"))
        for (stream_id,) in stream_ids:
            before: int | None = self._journal.committed + 1
            while before is not None:
                seq, before = await self._journal.ask(
                    partial(_look_back, stream_id=stream_id, before=before, field=field)
                )
                if seq is not None:
                    return await self._journal.entry(seq)
        return None


def _look_back(store: Store, *, stream_id: int, before: int, field: bytes) -> tuple[int | None, int | None]:
    """Seq of the message with these bytes in its JSON, in a page of rows before `before`; and the next `before`."""
    rows = store.query(_LOOK_BACK, field, stream_id, before, ROWS)
    wanted = next((seq for seq, offset in rows if offset), None)
    return wanted, rows[-1][0] if len(rows) == ROWS else None


def _unknown(message_id: str) -> ControlError:
    """Error for an id that is not here, with another hint for a global id."""
    if GlobalId.parse(message_id) is not None:
        hint = f"take the id that it has on this node: `chatctl msg {message_id}` shows it"
        return ControlError("unknown_message", f"{message_id} is a global id", hint)
    hint = "an id is EPOCH:SEQ, as `chatctl send` prints it and `chatctl history --json` shows it"
    return ControlError("unknown_message", f"there is no message {message_id[:64]!r} on this node", hint)


def _first_received(store: Store, *, stream_id: int, after: int, through: int) -> tuple[Entry | None, int]:
    """First message received in (after, through], None if a page of rows had none; and the end of that page."""
    seq, examined_through, _ = store.first_in(stream_id, after, through, ROWS)
    return (None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]), examined_through


def _sent_at(entry: Entry) -> tuple[str, int]:
    """Position of a native peer's message in the journal of the sender."""
    return split_position(position_part(cast(Message, entry.event).global_id or "/:0"))


class _Search:
    """Binary search in a peer's stream for the first message at or after a position of the peer's journal.

    `older` are the epochs of the peer before the epoch of that position.
    """

    def __init__(self, stream_id: int, epoch: str, seq: int, older: frozenset[str], newest: int) -> None:
        self.low = 0  # everything up to this seq is older
        self._high = newest  # nothing after this seq is older
        self._stream_id = stream_id
        self._wanted = epoch, seq
        self._older = older
        self._examined = newest // 2  # no message was received after the middle, up to and including this seq

    def advance(self, store: Store) -> bool:
        """Do some steps; returns whether the search is over."""
        rows = ROWS
        while self.low < self._high and rows > 0:
            seq, self._examined, count = store.first_in(self._stream_id, self._examined, self._high, rows)
            rows -= count + STEP
            if seq is not None or self._examined >= self._high:
                self._halve(store, seq)
        return rows > 0

    def _halve(self, store: Store, seq: int | None) -> None:
        """Halve the range, given the first message after its middle."""
        middle = (self.low + self._high) // 2
        entry = None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]
        if entry is not None and self._is_before(*_sent_at(entry)):
            self.low = entry.seq
        else:
            self._high = middle
        self._examined = (self.low + self._high) // 2

    def _is_before(self, epoch: str, seq: int) -> bool:
        """Whether that position is older than the wanted one."""
        return epoch in self._older or (epoch == self._wanted[0] and seq < self._wanted[1])

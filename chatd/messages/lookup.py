"""Archive: finds one message in the journal, by its id or its global id.

An id is the message's position in this journal, so only a read of that row is needed. A global id is the sender's node
id and the position in the sender's journal. Among the messages of one peer those positions rise with ours: a binary
search on the topic, so that no message pays for an index. In rooms they do not: the newest rows are looked at first,
step by step.
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
LOOKED_UP = 256  # ids at a time
ROWS = 8192  # looked at in one turn at the store: a few milliseconds
STEP = 16  # rows that a step of a search costs besides


class MessageLookup:
    """The messages of one node."""

    def __init__(self, journal: Journal, registry: Registry, node: str) -> None:
        """`node` is our id."""
        self._journal = journal
        self._registry = registry
        self._node = node
        self._looked_up: dict[str, Entry | None] = {}  # for `found`, until it is asked for again

    def find_now(self, message_id: str) -> Entry:
        """`find` for those who must keep their turn. Raises NoCapacity before it was looked up, and ControlError."""
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
        if len(self._looked_up) > LOOKED_UP:  # whoever asked has gone
            del self._looked_up[next(iter(self._looked_up))]

    async def find(self, message_id: str) -> Entry:
        """The message with that id. Raises ControlError unknown_message."""
        epoch, seq = split_position(message_id) if valid_id(message_id) else ("", 0)
        entry = await self._journal.entry(seq) if self._journal.holds(epoch, seq) else None
        if entry is None or entry.type != "message":
            raise _unknown(message_id)
        return entry

    async def find_any(self, message_id: str) -> Entry:
        """The message with that id or global id. Raises ControlError unknown_message."""
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
        """The message of ours with that global id, or what was said in a room that is hosted here, by its place in it.

        One that was accepted under a former key has the node id of then, and that of today where it was sent later.
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
        """The peer that sent or got a message, never one that only has its slot or name now. Raises unknown_peer."""
        ref = cast(Message, entry.event).peer
        peer = self._registry.by_stream_id(entry.stream_id or 0) or (
            self._registry.by_node(ref.node) if ref.node else None
        )
        if peer is None:
            hint = "`chatctl list --all` shows who is there"
            raise ControlError("unknown_peer", f"{ref.name}, the other end of that message, is no longer known", hint)
        return peer

    async def received_from(self, peer: Peer, epoch: str, seq: int) -> Entry | None:
        """The message that was taken from a native peer at that position of its journal, and not in a room."""
        after, newest = await self.position_before(peer, epoch, seq), self._journal.committed
        while after < newest:
            look = partial(_first_taken, stream_id=peer.stream_id, after=after, through=newest)
            entry, after = await self._journal.ask(look)
            if entry is not None:
                return entry if _sent_at(entry) == (epoch, seq) else None
        return None

    async def position_before(self, peer: Peer, epoch: str, seq: int) -> int:
        """The seq of ours behind which all is that was taken from the peer from that position of its journal on."""
        older = self._journal.watermarks.earlier_epochs(peer.node or "", epoch)
        if older is None:
            return self._journal.committed
        search = _Search(peer.stream_id, epoch, seq, older, self._journal.committed)
        while not await self._journal.ask(search.advance):
            continue
        return search.low

    async def _in_joined_rooms(self, global_id: str) -> Entry | None:
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
    """The seq of the message with these bytes in its JSON, among some before that seq; and where to look on."""
    rows = store.query(_LOOK_BACK, field, stream_id, before, ROWS)
    found = next((seq for seq, is_it in rows if is_it), None)
    return found, rows[-1][0] if len(rows) == ROWS else None


def _unknown(message_id: str) -> ControlError:
    """There is no message with that id here; a global id is not one."""
    if GlobalId.parse(message_id) is not None:
        hint = f"take the id that it has on this node: `chatctl msg {message_id}` shows it"
        return ControlError("unknown_message", f"{message_id} is a global id", hint)
    hint = "an id is EPOCH:SEQ, as `chatctl send` prints it and `chatctl history --json` shows it"
    return ControlError("unknown_message", f"there is no message {message_id[:64]!r} on this node", hint)


def _first_taken(store: Store, *, stream_id: int, after: int, through: int) -> tuple[Entry | None, int]:
    """The first message taken from a peer behind that seq, None if some rows had none; and up to where they go."""
    seq, looked, _ = store.first_in(stream_id, after, through, ROWS)
    return (None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]), looked


def _sent_at(entry: Entry) -> tuple[str, int]:
    """Where in its sender's journal a message from a native peer is."""
    return split_position(position_part(cast(Message, entry.event).global_id or "/:0"))


class _Search:
    """A binary search in a topic for the place of a message; `older` are its node's epochs before its own."""

    def __init__(self, stream_id: int, epoch: str, seq: int, older: frozenset[str], newest: int) -> None:
        self.low = 0  # everything up to there is older
        self._high = newest  # and what lies behind that is not
        self._stream_id = stream_id
        self._wanted = epoch, seq
        self._older = older
        self._looked = newest // 2  # nothing came in between the middle and here

    def advance(self, store: Store) -> bool:
        """Some steps; whether it is over."""
        rows = ROWS
        while self.low < self._high and rows > 0:
            seq, self._looked, looked = store.first_in(self._stream_id, self._looked, self._high, rows)
            rows -= looked + STEP
            if seq is not None or self._looked >= self._high:
                self._halve(store, seq)
        return rows > 0

    def _halve(self, store: Store, seq: int | None) -> None:
        """Where to look next, now that the first one behind the middle is known."""
        middle = (self.low + self._high) // 2
        entry = None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]
        if entry is not None and self._is_before(*_sent_at(entry)):
            self.low = entry.seq
        else:
            self._high = middle
        self._looked = (self.low + self._high) // 2

    def _is_before(self, epoch: str, seq: int) -> bool:
        """Whether that id is older than the wanted one."""
        return epoch in self._older or (epoch == self._wanted[0] and seq < self._wanted[1])

"""Archive: finds one message in the journal by its id.

An id is the position in its sender's journal. Ours is a seq of our own. That of another node lies among what we took
from it, where its positions rise with ours: a binary search on the topic, so that no message pays for an index. Those
of others in rooms are in no such order: there the newest are looked at first, step by step.
"""

from functools import partial
from typing import cast

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.core.batch import Entry
from chatd.core.journal import Journal
from chatd.core.outbox import NotYet
from chatd.core.peer import Peer
from chatd.core.registry import Registry
from chatd.core.store import Store

# The id stands before the text, and so within the first bytes.
_LOOK_BACK = """SELECT seq, instr(substr(body, 1, 1024), ?) FROM events
    WHERE topic = ? AND seq < ? AND type = 'message' ORDER BY seq DESC LIMIT ?"""
LOOKED_UP = 256  # ids at a time
ROWS = 8192  # looked at in one turn at the store: a few milliseconds
STEP = 16  # rows that a step of a search costs besides


class Archive:
    """The messages of one node."""

    def __init__(self, journal: Journal, registry: Registry) -> None:
        self._journal = journal
        self._registry = registry
        self._looked_up: dict[str, Entry | None] = {}  # for `found`, until it is asked for again

    def found(self, message_id: str) -> Entry:
        """`find` for those who must keep their turn. Raises NotYet before it was looked up, and ControlError."""
        if message_id not in self._looked_up:
            raise NotYet(partial(self._look_up, message_id))
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
        """The message with that id, or that position in this journal. Raises ControlError unknown_message."""
        epoch, _, digits = message_id.partition(":")
        if len(digits) < 19 and digits.isascii() and digits.isdigit():
            seq = int(digits)
            ours = self._journal.span(epoch) is not None
            entry = await (self._ours(epoch, seq) if ours else self._theirs(epoch, seq))
            if entry is None and not ours:
                entry = await self._in_rooms(message_id)
            if entry is not None and entry.type == "message":
                return entry
        raise _unknown(message_id)

    def peer_of(self, entry: Entry) -> Peer:
        """Who said a message, or got it. Raises ControlError unknown_peer."""
        peer, ref = self._registry.by_key(entry.topic or 0), cast(Message, entry.event).peer
        return peer or self._registry.find(ref.node or (-1 if ref.slot is None else ref.slot))

    async def _ours(self, epoch: str, seq: int) -> Entry | None:
        first, last = self._journal.span(epoch) or (1, 0)
        return await self._journal.entry(seq) if first <= seq <= last else None

    async def _theirs(self, epoch: str, seq: int) -> Entry | None:
        node = self._journal.marks.node_of(epoch)
        peer = self._registry.by_node(node) if node else None
        return await self.taken(peer, epoch, seq) if peer is not None else None

    async def taken(self, peer: Peer, epoch: str, seq: int) -> Entry | None:
        """The message that was taken from a native peer at that position of its journal, and not in a room."""
        after, newest = await self.place(peer, epoch, seq), self._journal.committed
        while after < newest:
            look = partial(_first_taken, topic=peer.key, after=after, through=newest)
            entry, after = await self._journal.ask(look)
            if entry is not None:
                return entry if cast(Message, entry.event).id == f"{epoch}:{seq}" else None
        return None

    async def place(self, peer: Peer, epoch: str, seq: int) -> int:
        """The seq of ours behind which all is that was taken from the peer from that position of its journal on."""
        node, marks = peer.node or "", self._journal.marks
        if marks.node_of(epoch) != node:
            return self._journal.committed
        search = _Search(peer.key, epoch, seq, marks.before(node, epoch), self._journal.committed)
        while not await self._journal.ask(search.go_on):
            continue
        return search.low

    async def _in_rooms(self, message_id: str) -> Entry | None:
        said = b'"id":"%s"' % message_id.encode()
        topics = await self._journal.ask(lambda store: store.query("SELECT topic FROM rooms"))
        for (topic,) in topics:
            before: int | None = self._journal.committed + 1
            while before is not None:
                seq, before = await self._journal.ask(partial(_look_back, topic=topic, before=before, said=said))
                if seq is not None:
                    return await self._journal.entry(seq)
        return None


def _look_back(store: Store, *, topic: int, before: int, said: bytes) -> tuple[int | None, int | None]:
    """The seq of the message with these bytes in its JSON, among some before that seq; and where to look on."""
    rows = store.query(_LOOK_BACK, said, topic, before, ROWS)
    found = next((seq for seq, is_it in rows if is_it), None)
    return found, rows[-1][0] if len(rows) == ROWS else None


def _unknown(message_id: str) -> ControlError:
    hint = "an id is EPOCH:SEQ, as `send` prints it and `chatctl history --json` shows it"
    return ControlError("unknown_message", f"there is no message {message_id[:64]!r}", hint)


def _first_taken(store: Store, *, topic: int, after: int, through: int) -> tuple[Entry | None, int]:
    """The first message taken from a peer behind that seq, None if some rows had none; and up to where they go."""
    seq, looked, _ = store.first_in(topic, after, through, ROWS)
    return (None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]), looked


class _Search:
    """A binary search in a topic for the place of a message; `older` are its node's epochs before its own."""

    def __init__(self, topic: int, epoch: str, seq: int, older: frozenset[str], newest: int) -> None:
        self.low = 0  # everything up to there is older
        self._high = newest  # and what lies behind that is not
        self._topic = topic
        self._wanted = epoch, seq
        self._older = older
        self._looked = newest // 2  # nothing came in between the middle and here

    def go_on(self, store: Store) -> bool:
        """Some steps; whether it is over."""
        rows = ROWS
        while self.low < self._high and rows > 0:
            seq, self._looked, looked = store.first_in(self._topic, self._looked, self._high, rows)
            rows -= looked + STEP
            if seq is not None or self._looked >= self._high:
                self._halve(store, seq)
        return rows > 0

    def _halve(self, store: Store, seq: int | None) -> None:
        """Where to look next, now that the first one behind the middle is known."""
        middle = (self.low + self._high) // 2
        entry = None if seq is None else store.page(seq - 1, seq, None, 1)[0][0]
        epoch, _, digits = ((entry and cast(Message, entry.event).id) or ":0").partition(":")
        if entry is not None and self._is_before(epoch, int(digits)):
            self.low = entry.seq
        else:
            self._high = middle
        self._looked = (self.low + self._high) // 2

    def _is_before(self, epoch: str, seq: int) -> bool:
        """Whether that id is older than the wanted one."""
        return epoch in self._older or (epoch == self._wanted[0] and seq < self._wanted[1])

"""Conversation: a room of another node as `history` tells it, in the order of its host.

Our journal has what we said where we said it, and a receipt where the host has put it or refused it. Here a message
stands in the place of its receipt; what has none yet stands at the end. Receipts are not told for themselves.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from chatd.api.events import Receipt
from chatd.api.params import Filter
from chatd.control.selection import Selection
from chatd.journal.batch import Entry
from chatd.journal.journal import PAGE_ROWS
from chatd.journal.rawjson import HEAD, IS_RECEIPT_FOR_ONE, receipt_seq, room_field, with_state
from chatd.journal.store import Store
from chatd.node import Node
from chatd.rooms.joined_room import JoinedRoom

SKIP = "SELECT seq FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT 1 OFFSET ?"
HEADS = f"SELECT seq, at, type, direction, topic, {HEAD} FROM events WHERE topic = ? AND seq > ? AND seq <= ?"
OWN = f"{HEADS} AND direction = 'out' AND type = 'message' AND instr({HEAD}, ?) ORDER BY seq"
ENDED = f"{HEADS} AND (type = 'gap' OR {IS_RECEIPT_FOR_ONE}) ORDER BY seq"
FEW = 64  # messages that are read at a time: 1 MiB, if they are long


def has_own(wanted: Filter | None) -> bool:
    """Whether a filter asks for what we said, and does not ask for receipts as they are."""
    types = wanted.types if wanted is not None else None
    if types is not None and ("message" not in types or "receipt" in types):
        return False
    return wanted is None or wanted.direction != "in"


class RoomHistory:
    """That of one membership, on its way to one reader."""

    def __init__(self, node: Node, membership: JoinedRoom, selection: Selection, shown: int) -> None:
        """`shown`: what we said up to that seq the reader has got already, in its place or at the end."""
        self.shown = shown
        self._node = node
        self._journal = node.journal
        self._selection = selection
        self._stream_id = membership.stream_id
        self._room_field = room_field(membership.label)
        self._host = node.registry.by_node(membership.host)
        self._told: set[int] = set()  # what we said that this reader got in its place

    # -- what has a place

    async def pick(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What stands in the places of these neighbours, a few dozen at most, and was asked for."""
        own = await self._own([receipt_seq(entry.raw) for entry in entries if entry.type == "receipt"])
        placed = (self._placed(entry, own) if entry.type == "receipt" else entry for entry in entries)
        return [one for one in placed if one is not None and not self._is_own(one) and self._selection.matches(one)]

    def _placed(self, receipt: Entry, own: Mapping[int, Entry]) -> Entry | None:
        """The message that a receipt is for, with what the host says of it. None: there is none, or it was shown."""
        seq, event = receipt_seq(receipt.raw), cast(Receipt, receipt.event)
        if seq <= self.shown or seq not in own:
            return None
        self._told.add(seq)
        raw = with_state(own[seq].raw, event.state, event.room_position)
        return Entry(receipt.seq, receipt.at_ms, "message", "out", self._stream_id, raw)

    async def _own(self, seqs: Sequence[int]) -> dict[int, Entry]:
        """What we said in the room, of those seqs, as far as it is not deleted."""
        wanted = [seq for seq in seqs if seq]
        found = await self._journal.entries(wanted) if wanted else {}
        return {seq: entry for seq, entry in found.items() if self._is_own(entry) and self._room_field in entry.raw}

    def _is_own(self, entry: Entry) -> bool:
        return entry.type == "message" and entry.direction == "out" and entry.stream_id != self._stream_id

    async def seek(self, n: int) -> int:
        """The seq after which the newest `n` are that have a place. Nothing below the floor is found."""
        floor, end = self._journal.floor, self._journal.committed
        if n <= 0:
            return end
        places = await self._places(n, floor, end)
        if self._host is not None:
            places += await self._ended(self._host.stream_id, places[-1] if len(places) == n else floor, end)
        places.sort(reverse=True)
        return places[n - 1] - 1 if len(places) >= n else floor

    async def _places(self, n: int, floor: int, end: int) -> list[int]:
        """The newest `n` on the topic of the room, newest first. Every receipt there is for a message of ours."""
        found: list[int] = []
        before = end + 1
        while len(found) < n:
            look = partial(_page_back, after=floor, before=before, stream_id=self._stream_id)
            entries = await self._journal.ask(look)
            found += [entry.seq for entry in entries if self._selection.matches(self._as_shown(entry))]
            if len(entries) < PAGE_ROWS:
                break
            before = entries[-1].seq
        return found[:n]

    async def _ended(self, stream_id: int, after: int, end: int) -> list[int]:
        """Those where it is told on the host's topic that something was taken back, or that there is a gap."""
        found: list[int] = []
        while after < end:
            told, after = await self._journal.ask(
                partial(_page_of_ended, stream_id=stream_id, after=after, through=end)
            )
            for start in range(0, len(told), FEW):
                few = told[start : start + FEW]
                own = await self._own([receipt_seq(entry.raw) for entry in few])
                shown = [entry for entry in few if entry.type != "receipt" or receipt_seq(entry.raw) in own]
                found += [entry.seq for entry in shown if self._selection.matches(self._as_shown(entry))]
        return found

    def _as_shown(self, entry: Entry) -> Entry:
        """What stands in its place, as far as a filter looks at it."""
        if entry.type != "receipt":
            return entry
        return Entry(entry.seq, entry.at_ms, "message", "out", self._stream_id, b"")

    # -- what has none yet

    async def waiting(self) -> list[int]:
        """The seqs of what we said up to now that has not come back, and was asked for.

        Whatever is not in it has its receipt in the journal when this returns.
        """
        if self._host is None:
            return []
        found: list[int] = []
        after, end = max(self._host.echoed, self.shown), self._journal.committed
        while after < end:
            look = partial(
                _page_of_own, stream_id=self._host.stream_id, after=after, through=end, mark=self._room_field
            )
            own, after = await self._journal.ask(look)
            states = await self._node.chat.states.states([entry for entry in own if self._selection.matches(entry)])
            found += [seq for seq, state in states.items() if state in ("queued", "sent")]
        await self._journal.settled()
        return found

    async def rest(self, waiting: Sequence[int], n: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """At most `n` of them, except what got a place meanwhile; and whether that is all."""
        found: list[Entry] = []
        left = [seq for seq in waiting if seq not in self._told]
        for start in range(0, len(left), FEW):
            few = left[start : start + FEW]
            own = await self._own(few)
            for seq in few:
                if len(found) >= n or most_bytes <= 0:
                    return found, False
                self.shown = seq
                if seq in own:
                    found.append(own[seq])
                    most_bytes -= len(own[seq].raw)
        return found, True


def _page_of_own(store: Store, *, stream_id: int, after: int, through: int, mark: bytes) -> tuple[list[Entry], int]:
    """The heads of what we said, among the next rows of the host's topic; and up to where was looked."""
    through = _bound(store, stream_id, after, through)
    return [Entry(*row) for row in store.query(OWN, stream_id, after, through, mark)], through


def _page_of_ended(store: Store, *, stream_id: int, after: int, through: int) -> tuple[list[Entry], int]:
    """The heads of receipts for one message, and of gaps; as above."""
    through = _bound(store, stream_id, after, through)
    return [Entry(*row) for row in store.query(ENDED, stream_id, after, through)], through


def _bound(store: Store, stream_id: int, after: int, through: int) -> int:
    """Up to where a page of rows goes."""
    last = store.query(SKIP, stream_id, after, through, PAGE_ROWS - 1)
    return int(last[0][0]) if last else through


def _page_back(store: Store, *, after: int, before: int, stream_id: int) -> list[Entry]:
    return store.page_back(after, before, stream_id, PAGE_ROWS, heads=False)[0]

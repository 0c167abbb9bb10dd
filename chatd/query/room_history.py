"""RoomHistory: the history of a room that another node hosts, in the order of its host.

This journal contains our own messages where they were sent, and a receipt where the host placed or rejected them. In
the history a message appears in the place of its receipt. Messages without a receipt come last. Receipts themselves are
not shown. Called by control/methods/history.py; knows no requests and result pages.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from chatd.api.events import Receipt
from chatd.api.params import Filter
from chatd.journal.batch import Entry
from chatd.journal.journal import PAGE_ROWS, Journal
from chatd.journal.rawjson import HEAD, IS_RECEIPT_FOR_ONE, receipt_seq, room_field, with_state
from chatd.journal.store import Store
from chatd.messages.states import MessageStates
from chatd.peers.peer import Peer
from chatd.query.filters import Match
from chatd.rooms.joined_room import JoinedRoom

SKIP = "SELECT seq FROM events WHERE topic = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT 1 OFFSET ?"
HEADS = f"SELECT seq, at, type, direction, topic, {HEAD} FROM events WHERE topic = ? AND seq > ? AND seq <= ?"
OWN = f"{HEADS} AND direction = 'out' AND type = 'message' AND instr({HEAD}, ?) ORDER BY seq"
RECEIPTS_AND_GAPS = f"{HEADS} AND (type = 'gap' OR {IS_RECEIPT_FOR_ONE}) ORDER BY seq"
MESSAGES_PER_READ = 64  # 1 MiB, if they are long


def shows_own_messages(wanted: Filter | None) -> bool:
    """Whether a filter selects our own messages, and does not ask for the receipts themselves."""
    types = wanted.types if wanted is not None else None
    if types is not None and ("message" not in types or "receipt" in types):
        return False
    return wanted is None or wanted.direction != "in"


class RoomHistory:
    """The history of one joined room, as one reader gets it.

    `shown`: the reader has already got our own messages up to and including that seq.
    """

    def __init__(
        self,
        journal: Journal,
        states: MessageStates,
        room: JoinedRoom,
        host: Peer | None,
        matches: Match,
        shown: int,
    ) -> None:
        self.shown = shown
        self._journal = journal
        self._states = states
        self._matches = matches
        self._stream_id = room.stream_id
        self._room_field = room_field(room.label)
        self._host = host
        self._shown_in_place: set[int] = set()  # seqs of our messages

    # -- messages that the host has placed

    async def arrange(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The matching entries, with our messages in the places of their receipts; for a few dozen entries at most."""
        own = await self._own([receipt_seq(entry.raw) for entry in entries if entry.type == "receipt"])
        placed = (self._placed(entry, own) if entry.type == "receipt" else entry for entry in entries)
        return [entry for entry in placed if entry is not None and not self._is_own(entry) and self._matches(entry)]

    def _placed(self, receipt: Entry, own: Mapping[int, Entry]) -> Entry | None:
        """The message of a receipt, with the state and position from the host; None without one, or if it was shown."""
        seq, event = receipt_seq(receipt.raw), cast(Receipt, receipt.event)
        if seq <= self.shown or seq not in own:
            return None
        self._shown_in_place.add(seq)
        raw = with_state(own[seq].raw, event.state, event.room_position)
        return Entry(receipt.seq, receipt.at_ms, "message", "out", self._stream_id, raw)

    async def _own(self, seqs: Sequence[int]) -> dict[int, Entry]:
        """Our messages in the room among those seqs; deleted ones are left out."""
        present = [seq for seq in seqs if seq]
        found = await self._journal.entries(present) if present else {}
        return {seq: entry for seq, entry in found.items() if self._is_own(entry) and self._room_field in entry.raw}

    def _is_own(self, entry: Entry) -> bool:
        return entry.type == "message" and entry.direction == "out" and entry.stream_id != self._stream_id

    async def seek_last(self, n: int) -> int:
        """The seq after which the newest `n` placed events follow. Does not go below the floor of the journal."""
        floor, end = self._journal.floor, self._journal.committed
        if n <= 0:
            return end
        places = await self._places_in_room(n, floor, end)
        if self._host is not None:
            places += await self._places_at_host(self._host.stream_id, places[-1] if len(places) == n else floor, end)
        places.sort(reverse=True)
        return places[n - 1] - 1 if len(places) >= n else floor

    async def _places_in_room(self, n: int, floor: int, end: int) -> list[int]:
        """The newest `n` seqs on the stream of the room, newest first. Each receipt there is for a message of ours."""
        found: list[int] = []
        before = end + 1
        while len(found) < n:
            read = partial(_page_back, after=floor, before=before, stream_id=self._stream_id)
            entries = await self._journal.ask(read)
            found += [entry.seq for entry in entries if self._matches(self._as_shown(entry))]
            if len(entries) < PAGE_ROWS:
                break
            before = entries[-1].seq
        return found[:n]

    async def _places_at_host(self, stream_id: int, after: int, end: int) -> list[int]:
        """The seqs of gaps, and of receipts for our messages, on the stream of the host, e.g. for cancelled ones."""
        found: list[int] = []
        while after < end:
            read = partial(_page_of_receipts_and_gaps, stream_id=stream_id, after=after, through=end)
            entries, after = await self._journal.ask(read)
            for start in range(0, len(entries), MESSAGES_PER_READ):
                some = entries[start : start + MESSAGES_PER_READ]
                own = await self._own([receipt_seq(entry.raw) for entry in some])
                shown = [entry for entry in some if entry.type != "receipt" or receipt_seq(entry.raw) in own]
                found += [entry.seq for entry in shown if self._matches(self._as_shown(entry))]
        return found

    def _as_shown(self, entry: Entry) -> Entry:
        """The entry that appears in this place, with the columns that a filter tests."""
        if entry.type != "receipt":
            return entry
        return Entry(entry.seq, entry.at_ms, "message", "out", self._stream_id, b"")

    # -- messages without a receipt

    async def unplaced(self) -> list[int]:
        """The seqs of our matching messages that the host has not placed yet.

        Every other message of ours has its receipt in the journal when this returns.
        """
        if self._host is None:
            return []
        found: list[int] = []
        after, end = max(self._host.delivery.echoed, self.shown), self._journal.committed
        while after < end:
            read = partial(
                _page_of_own, stream_id=self._host.stream_id, after=after, through=end, room_field=self._room_field
            )
            own, after = await self._journal.ask(read)
            states = await self._states.states([entry for entry in own if self._matches(entry)])
            found += [seq for seq, state in states.items() if state in ("queued", "sent")]
        await self._journal.settled()
        return found

    async def read_unplaced(self, seqs: Sequence[int], n: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """At most `n` of these messages, except those shown in their place meanwhile; and whether these are all."""
        found: list[Entry] = []
        left = [seq for seq in seqs if seq not in self._shown_in_place]
        for start in range(0, len(left), MESSAGES_PER_READ):
            some = left[start : start + MESSAGES_PER_READ]
            own = await self._own(some)
            for seq in some:
                if len(found) >= n or most_bytes <= 0:
                    return found, False
                self.shown = seq
                if seq in own:
                    found.append(own[seq])
                    most_bytes -= len(own[seq].raw)
        return found, True


def _page_of_own(
    store: Store, *, stream_id: int, after: int, through: int, room_field: bytes
) -> tuple[list[Entry], int]:
    """The heads of our messages in the room, among the next rows of the host's stream; and the last seq examined."""
    through = _page_end(store, stream_id, after, through)
    return [Entry(*row) for row in store.query(OWN, stream_id, after, through, room_field)], through


def _page_of_receipts_and_gaps(store: Store, *, stream_id: int, after: int, through: int) -> tuple[list[Entry], int]:
    """The heads of receipts for one message, and of gaps, among the next rows; and the last seq examined."""
    through = _page_end(store, stream_id, after, through)
    return [Entry(*row) for row in store.query(RECEIPTS_AND_GAPS, stream_id, after, through)], through


def _page_end(store: Store, stream_id: int, after: int, through: int) -> int:
    """The seq of the last of the next PAGE_ROWS rows."""
    last = store.query(SKIP, stream_id, after, through, PAGE_ROWS - 1)
    return int(last[0][0]) if last else through


def _page_back(store: Store, *, after: int, before: int, stream_id: int) -> list[Entry]:
    return store.page_back(after, before, stream_id, PAGE_ROWS, heads=False)[0]

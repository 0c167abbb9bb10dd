"""Delivery: the state of the messages to one peer, and how the journal keeps it.

Owns the outbox, up to where links have written, messages that were given up while the peer may have them, and up to
where the peer has confirmed messages to its rooms. Saves its own rows (tables `outboxes`, `outcomes`, `echoes`) and
undoes changes that a failed commit loses. Knows neither links nor texts. Called by `messages/`, `rooms/` and the
writers of the links.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from chatd.journal.batch import Batch, Statement
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.peers.outbox import Lane, Outbox, OutboxTotals
from chatd.sync import Broadcast

OUTBOXES: Final = "SELECT topic, first, messages, bytes, written FROM outboxes WHERE topic IN (SELECT id FROM peers)"
TENTATIVE: Final = "SELECT topic, seq, state FROM outcomes WHERE final = 0"
ECHOES: Final = "SELECT topic, seq FROM echoes"
_SAVE: Final = "INSERT OR REPLACE INTO outboxes (topic, first, messages, bytes, written) VALUES (?, ?, ?, ?, ?)"
_SAVE_OUTCOME: Final = "INSERT OR REPLACE INTO outcomes (seq, topic, state, final) VALUES (?, ?, ?, ?)"
_DELETE_OUTCOME: Final = "DELETE FROM outcomes WHERE seq = ? AND final = 0"
_SAVE_ECHO: Final = (
    "INSERT INTO echoes (topic, seq) VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET seq = max(seq, excluded.seq)"
)
_FORGET: Final = ("DELETE FROM outcomes WHERE topic = ? AND NOT final", "DELETE FROM expiries WHERE topic = ?")
_OPEN: Final = -1  # stored as `written` while a native link is open: everything committed may have been written


class Delivery:
    """Delivery to one peer. Other modules read the attributes and change them by calling methods."""

    __slots__ = (
        *("_echoed_before", "_is_open", "_journal", "_stream_id"),
        *("echoed", "forgotten", "outbox", "progress", "progressed_at", "sent"),
        *("tentative", "uncommitted_end", "unechoed", "written", "written_before"),
    )

    def __init__(self, journal: Journal, stream_id: int, totals: OutboxTotals) -> None:
        self.outbox = Outbox(totals)  # native: messages that the peer has not acknowledged
        self.tentative: dict[int, str] = {}  # seq -> state; given up, but its peer may have it: a `Hello` decides
        self.uncommitted_end: Batch | None = None  # with the newest end of a message; commits before more is written
        self.progressed_at = 0.0  # trio's clock: newest acknowledgement, link, or message in an empty outbox
        self.written_before = 0  # seq up to which links of former runs may have written
        self.written = 0  # seq up to which links of this run may have written, or after which one started
        self.sent = 0  # messages written in this run
        self.unechoed = Lane()  # messages of this run to rooms of the peer that are not confirmed; sizes are 0
        self.echoed = 0  # seq up to which the peer has placed or refused all our messages to its rooms
        self.forgotten = False  # its row was deleted; the peer exists only as long as its links
        self.progress = Broadcast()  # something was written, acknowledged or given up, or a link has ended
        self._journal = journal
        self._stream_id = stream_id
        self._is_open = False  # a native link is open
        self._echoed_before = 0, 0  # `echoed` before each of the last two batches, which may be uncommitted

    # -- rows of the journal

    def recall(self, first: int, messages: int, size: int, written: int, newest: int) -> None:
        """Restore a row of OUTBOXES at the start. `newest`: the last seq of the journal then."""
        self.written_before = newest if written == _OPEN else written
        if messages > 0:
            self.outbox.recall(first, messages, size, newest)

    def recall_echo(self, seq: int) -> None:
        """Restore a row of ECHOES at the start."""
        self.echoed = seq

    def save(self) -> None:
        """Write the outbox's row with the next commit."""
        self._journal.note(("outbox", self._stream_id), self._row)

    def _row(self) -> Statement:
        """The outbox's row. For a forgotten peer it has only the seq up to which the peer has acknowledged."""
        if self.forgotten:
            return _SAVE, (self._stream_id, 0, 0, 0, self.written_before)
        outbox = self.outbox
        written = _OPEN if self._is_open else max(self.written_before, self.written)
        return _SAVE, (self._stream_id, outbox.first, outbox.count, outbox.size, written)

    def save_outcome(self, seq: int, state: str, *, final: bool) -> Batch:
        """Save the state in which a message ended. Not `final`: it ends unless the peer turns out to have it."""
        return self._journal.execute(_SAVE_OUTCOME, seq, self._stream_id, state, int(final))

    # -- messages that were appended

    def add(self, batch: Batch, count: int, *, in_room: bool) -> None:
        """Queue the last `count` messages of an open batch; `in_room`: they go to a room of the peer."""
        if not self.outbox.count:
            self.progressed_at = trio.current_time()
        seqs = self._queue(batch, count, in_room=in_room)
        if in_room:
            self.unechoed.add(seqs, [0] * count)

    def add_refusal(self, batch: Batch) -> None:
        """Queue the last event of an open batch: it refuses a message of the peer to a room of this node."""
        self._queue(batch, 1, in_room=True)

    def _queue(self, batch: Batch, count: int, *, in_room: bool) -> range:
        """Add the last `count` events to the outbox; returns their seqs. `in_room`: no receipt when acknowledged."""
        newest = self._journal.appended
        seqs = range(newest - count + 1, newest + 1)
        self.outbox.add(seqs, [len(entry.raw) for entry in batch.entries[-count:]], in_room=in_room)
        batch.if_failed(self, self._revert)
        self.save()
        return seqs

    def _revert(self) -> None:
        """Drop messages that were appended and not committed."""
        committed = self._journal.committed
        self.outbox.revert(committed)
        self.unechoed.cut_tail(committed)

    # -- links

    def set_open(self, *, is_open: bool) -> None:
        """Record whether a native link is open: then a killed node may have written everything committed."""
        self._is_open = is_open

    def start_link(self, seq: int, *, only: bool) -> None:
        """A link starts after `seq`. `only`: there is no other link, so later messages of former links are lost."""
        self.mark_written(seq)
        if only:
            self.written_before, self.written = 0, seq
        self.progressed_at = trio.current_time()

    def mark_written(self, seq: int) -> None:
        """A link has written, or is about to write, everything up to and including `seq`."""
        if seq > self.written:
            self.written = seq

    def may_have_written(self, seq: int) -> bool:
        """Whether a link of any run may have written that message."""
        return seq <= self.written or seq <= self.written_before

    def record_write(self, after: int, through: int, at: float, messages: int) -> None:
        """A native link has written the seqs in (after, through], among them `messages` messages; wall time `at`."""
        self.sent += messages
        self._journal.timings.writes.add(self._stream_id, after, through, at)
        self.progress.notify()

    def record_plain_write(self, seq: int, at: float) -> None:
        """A plain link has written everything up to and including `seq`. No acknowledgement follows: save the row."""
        self._journal.timings.writes.add(self._stream_id, self.written, seq, at)
        self.written = seq
        self.save()
        self.progress.notify()

    def count_sent(self, messages: int) -> None:
        """Add messages that a plain link has written."""
        self.sent += messages

    # -- acknowledgement

    def acknowledge(self, through: int) -> bool:
        """The peer has everything up to and including `through`; returns whether a direct message left the outbox."""
        count = self.outbox.count
        direct = self.outbox.acknowledge(through)
        if self.tentative:
            for seq in [seq for seq in self.tentative if seq <= through]:
                del self.tentative[seq]
                self._journal.execute(_DELETE_OUTCOME, seq)
        if self.outbox.count != count:
            self.save()
        self.progressed_at = trio.current_time()
        self.progress.notify()
        return direct

    # -- giving up

    def can_end(self, seq: int) -> bool:
        """Whether the message is in the outbox, and was not given up tentatively."""
        return seq not in self.tentative and self.outbox.contains(seq)

    def end(self, seq: int, size: int, state: str, batch: Batch) -> None:
        """End a message in that state, finally once `batch` is committed. `size`: bytes of its JSON in the journal."""
        size = self.outbox.remove(seq, size)
        self.tentative.pop(seq, None)
        self.save_outcome(seq, state, final=True)
        self.save()
        self.uncommitted_end = batch
        batch.if_failed(("outcome", seq), partial(self.outbox.restore, seq, size))
        self.progress.notify()

    def end_tentatively(self, seq: int, state: str) -> Batch:
        """Give up a message that the peer may have."""
        self.set_tentative(seq, state)
        batch = self.save_outcome(seq, state, final=False)
        batch.if_failed(("tentative", seq), partial(self._drop_tentative, seq))
        return batch

    def set_tentative(self, seq: int, state: str) -> None:
        """The message ends in that state unless the peer's next `Hello` shows that the peer has it."""
        self.tentative[seq] = state

    def _drop_tentative(self, seq: int) -> None:
        self.tentative.pop(seq, None)

    def pop_tentative(self) -> list[tuple[int, str]]:
        """Remove and return (seq, state) of all messages that were given up tentatively, in order."""
        given_up = sorted(self.tentative.items())
        self.tentative.clear()
        return given_up

    def settle_end(self, batch: Batch) -> None:
        """That batch is committed or has failed: writing may continue, unless a later end waits for its commit."""
        if self.uncommitted_end is batch:
            self.uncommitted_end = None

    def forget(self, acknowledged: int) -> None:
        """Drop everything that is queued. `acknowledged`, the seq up to which the peer has everything, is kept."""
        self.outbox.clear()
        self.tentative.clear()
        self.forgotten, self.written_before = True, acknowledged
        self.progress.notify()
        self.save()
        for sql in _FORGET:
            self._journal.note((sql, self._stream_id), partial(_statement, sql, self._stream_id))

    # -- rooms of the peer

    def echo(self, seq: int) -> None:
        """The host has placed or refused our messages up to `seq`. If that is not committed, the host repeats it."""
        batch, key = self._journal.next_batch, ("echo", self._stream_id)
        if batch.if_failed(key, partial(self._revert_echo, self.echoed)):
            committed, before = self._echoed_before  # two batches at most are uncommitted
            self.unechoed.cut_head(committed)
            self._echoed_before = before, self.echoed
        self.echoed = seq
        self._journal.note(key, self._echo_row)
        self.progress.notify()

    def _revert_echo(self, seq: int) -> None:
        self.echoed = min(self.echoed, seq)

    def _echo_row(self) -> Statement:
        return _SAVE_ECHO, (self._stream_id, self.echoed)


def written_to(store: Store, *, stream_ids: Sequence[int]) -> dict[int, int]:
    """Seqs up to which messages were written, by stream id; also for peers that are no longer in the registry."""
    sql = f"SELECT topic, written FROM outboxes WHERE topic IN ({','.join('?' * len(stream_ids))})"
    return dict(store.query(sql, *stream_ids))


def _statement(sql: str, stream_id: int) -> Statement:
    return sql, (stream_id,)

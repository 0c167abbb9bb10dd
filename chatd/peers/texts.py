"""Texts: what one link still has to send, as frames: a cursor in the journal, and the limits of the other side."""

from collections.abc import Sequence
from typing import cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.core.batch import Entry
from chatd.core.chat import Chat
from chatd.core.journal import Journal
from chatd.core.outcomes import REJECTED
from chatd.core.peer import Peer
from chatd.wire.frames import Text

WRITE_ROWS = 2048  # entries looked at for one write
AGAIN_S = 1.0  # until an outcome that could not be written down is tried again


class Outgoing:
    """The messages for one peer, after where its link starts.

    What is past its ttl, or over what the peer takes, is ended instead of sent; that is on disk before anything behind
    it is sent, because the peer would take it for a duplicate ever after.
    """

    def __init__(self, journal: Journal, chat: Chat, peer: Peer, text_bytes: int, text_chars: int) -> None:
        self._journal = journal
        self._outcomes = chat.outcomes
        self._peer = peer
        self._limits = text_bytes, text_chars
        self._backlog = journal.appended  # what lies before may have been accepted under other limits
        self._cursor = 0

    def start(self, seq: int) -> None:
        """Everything up to that seq is known there."""
        self._cursor = seq

    @property
    def at_tail(self) -> bool:
        """Everything that is committed was looked at."""
        return self._cursor >= self._journal.committed

    async def next(self) -> list[Text]:
        """The next ones, with the cursor moved behind them; may be none while not `at_tail`."""
        if not await self._decided() or self.at_tail:
            return []
        peer, outbox = self._peer, self._peer.outbox
        entries, through = await self._journal.read(self._cursor, peer.key, WRITE_ROWS)
        if outbox.has_unread and outbox.learned < through:
            await self._outcomes.read(peer, entries, through)
        # Nothing is awaited from here on: what is owed now is written.
        self._outcomes.expire()
        ours = self._owed(entries, through)
        if self._cursor < self._backlog:
            self._reject(ours)
        if outbox.deciding is not None:
            return []
        self._cursor = through
        if ours:
            peer.reached = max(peer.reached, ours[-1].seq)
        return texts_of(ours, self._journal)

    async def _decided(self) -> bool:
        """Wait until everything that was given up is so on disk. False where that is full: then try again."""
        outbox, failed = self._peer.outbox, False
        while (batch := outbox.deciding) is not None and not failed:
            try:
                await batch.wait()
            except ControlError:
                failed = True
                await trio.sleep(AGAIN_S)
            if outbox.deciding is batch:
                outbox.deciding = None
        if failed:
            self._outcomes.expire()
        return not failed

    def _owed(self, entries: Sequence[Entry], through: int) -> list[Entry]:
        """Those of the entries that the peer is to get.

        With one that is given up tentatively: another link may have written it, and behind it nothing may be missing.
        """
        ours = [entry for entry in entries if entry.direction == "out"]
        if not ours:
            return ours
        outbox = self._peer.outbox
        owed = outbox.between(ours[0].seq - 1, through)
        if len(owed) == len(ours):
            return ours
        wanted = set(owed)
        return [entry for entry in ours if entry.seq in wanted]

    def _reject(self, entries: Sequence[Entry]) -> None:
        """End what is over the limits that the peer has by now."""
        for entry in entries:
            if is_over(cast(Message, entry.event).text, *self._limits):
                self._outcomes.end(self._peer, entry.seq, len(entry.raw), REJECTED)


class _Said(msgspec.Struct, gc=False):
    """What a frame needs of a message: most of what is read from disk is a backlog."""

    text: str
    re: str | None


_said = msgspec.json.Decoder(_Said).decode


def texts_of(entries: Sequence[Entry], journal: Journal) -> list[Text]:
    """The frames of messages of ours."""
    ours = [(entry.seq, cast(Message, entry.known) if entry.known else _said(entry.raw)) for entry in entries]
    epochs = {journal.epoch_of(entry.seq) for entry in (*entries[:1], *entries[-1:])}
    if len(epochs) == 1:  # the usual case: one epoch for all of them, since they are in order
        epoch = epochs.pop()
        return [Text(epoch, seq, message.text, message.re) for seq, message in ours]
    return [Text(journal.epoch_of(seq), seq, message.text, message.re) for seq, message in ours]


def any_over(texts: Sequence[Text], text_bytes: int, text_chars: int) -> bool:
    """Whether one of the texts is over the limits (0 characters: no limit)."""
    longest = max([len(text.text) for text in texts], default=0)
    if longest * 4 <= text_bytes and (not text_chars or longest <= text_chars):
        return False  # the usual case
    return any(is_over(text.text, text_bytes, text_chars) for text in texts)


def is_over(text: str, text_bytes: int, text_chars: int) -> bool:
    """Whether a text is."""
    length = len(text)
    return (length * 4 > text_bytes and len(text.encode()) > text_bytes) or 0 < text_chars < length

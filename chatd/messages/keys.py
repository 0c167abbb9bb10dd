"""Idempotency keys: repeating `send --key K` does not send a second message.

A key lives as long as its message. The newest keys are in memory. Any other key is looked up on disk before the message
is appended; the caller waits for that (`NoCapacity`), so that its requests stay in order.
"""

from collections.abc import Iterable, Sequence, Set
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from chatd.api.errors import ControlError
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.peers.outbox import NoCapacity

KNOWN = 32_768  # keys in memory: more than all sessions together look up at a time
LONGEST = 256  # characters of a key
INSERT = "INSERT OR REPLACE INTO keys (key, seq, topic, digest) VALUES (?, ?, ?, ?)"


class KeyedMessage(NamedTuple):
    """A message that was sent with a key; `digest` is the SHA-256 of its text."""

    seq: int
    stream_id: int
    digest: bytes


class Keys:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # The message of a key (None: none), and the journal's floor at the look-up: below a later floor it may be gone.
        self._known: dict[str, tuple[KeyedMessage | None, int]] = {}

    def find(self, key: str, stream_id: int, text: str) -> int | None:
        """Seq of the message with that key, or None. Raises NoCapacity, and ControlError for another peer or text."""
        if not _is_key(key):
            raise ControlError("bad_text", "the key is no key", f"1 to {LONGEST} printable characters")
        message, floor = self._known.pop(key, (None, -1))
        if floor < 0 or (message is not None and floor < message.seq <= self._journal.floor):
            raise NoCapacity(partial(self._look_up, {key}))
        # A message below the floor is kept only while it is in an outbox, so its key is looked up every time.
        if message is None or message.seq > self._journal.floor:
            self._known[key] = message, floor  # now the newest
        if message is None:
            return None
        if (message.stream_id, message.digest) != (stream_id, _digest(text)):
            hint = "a key is for one message: take another one"
            raise ControlError("conflict", f"key {key!r} has another peer or text", hint, reason="key")
        if message.seq > self._journal.committed:  # if it fails, its seq becomes another message's
            raise NoCapacity(self._journal.settled)
        return message.seq

    def add(self, key: str, seq: int, stream_id: int, text: str, batch: Batch) -> None:
        """Store the key of an appended message."""
        message = KeyedMessage(seq, stream_id, _digest(text))
        self._remember(key, message)
        self._journal.execute(INSERT, key, *message)
        batch.if_failed(("key", key), partial(self._forget, key))

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)

    def prefetch(self, keys: Iterable[str]) -> None:
        """Look up all keys that are not in memory at once. Raises NoCapacity until that is done."""
        missing = {key for key in keys if key not in self._known and _is_key(key)}
        if missing:
            raise NoCapacity(partial(self._look_up, missing))

    async def _look_up(self, keys: Set[str]) -> None:
        found = await self._journal.ask(partial(_rows, keys=[*keys]))
        for key in keys - self._known.keys():  # the others were used meanwhile
            self._remember(key, found.get(key))

    def _remember(self, key: str, message: KeyedMessage | None) -> None:
        self._known.pop(key, None)
        self._known[key] = message, self._journal.floor
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]


def _is_key(key: str) -> bool:
    return 0 < len(key) <= LONGEST and key.isprintable()


def _rows(store: Store, *, keys: Sequence[str]) -> dict[str, KeyedMessage]:
    sql = f"SELECT key, seq, topic, digest FROM keys WHERE key IN ({','.join('?' * len(keys))})"
    return {key: KeyedMessage(*message) for key, *message in store.query(sql, *keys)}


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()

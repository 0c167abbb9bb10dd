"""What a plain link stands on, for tests: a node that collects its texts."""

import trio

from chatd.journal.batch import Batch
from chatd.peers.peer import Peer


class FakeNode:
    """The parts of chat and journal that a plain link uses: texts are collected, room is a gate."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.told: list[int] = []  # seqs up to which everything is written
        self.batch = Batch()
        self.gate = trio.Event()
        self.gate.set()
        self._changed = trio.Event()

    @property
    def inbox(self) -> "FakeNode":
        return self

    def receive_plain(self, peer: Peer, texts: list[str]) -> Batch:
        self.texts += texts
        self._changed.set()
        self._changed = trio.Event()
        self.batch = Batch()
        return self.batch

    def record_written(self, peer: Peer, seq: int) -> None:
        self.told.append(seq)

    lost = False

    async def wait_for_capacity(self) -> None:
        await self.gate.wait()

    async def wait_texts(self, count: int) -> list[str]:
        while len(self.texts) < count:
            await self._changed.wait()
        return self.texts


def committed() -> Batch:
    """A batch that is on disk."""
    batch = Batch()
    batch.settle(None)
    return batch

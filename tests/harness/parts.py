"""The core without its shells: a journal on disk and what stands on it, with a clock and faults of our own."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import trio
import trio.testing

from chatd.api.events import Message
from chatd.api.results import PeerRef
from chatd.journal.batch import Batch, Entry
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.messages.references import References, look_up
from chatd.net.native.sending import SendCursor
from chatd.node import Node
from chatd.peers.delivery import Delivery
from chatd.peers.outbox import OutboxTotals
from chatd.peers.peer import Peer
from chatd.runtime import Runtime
from chatd.sync import Waker
from chatd.wire.frames import Text
from chatd.wire.lines import check_text
from tests.harness.linked_node import build_node, config_of

T = TypeVar("T")
BOB = "k3v7abcd" + "b" * 44
CAROL = "c" * 52
SELF = "s" * 52
ELSEWHERE = PeerRef(0, "bob", "native", BOB)
FILE = "journal.db"


class World(Runtime):
    """Time stands still, and the journal's thread can be held up or made to fail.

    `inline`: there is no thread, for tests on a mock clock, which takes one that works for idle.
    """

    def __init__(self, *, inline: bool = False) -> None:
        super().__init__()
        self._inline = inline
        self.now = 1_800_000_000.0
        self.calls = 0
        self.fault: Exception | None = None  # what the next call raises, instead of being made
        self.fault_after = 0  # so many calls that go well before that
        self._held: trio.Event | None = None

    def wall(self) -> float:
        return self.now

    def hold(self) -> None:
        """Calls wait until `let_go`."""
        self._held = trio.Event()

    def let_go(self) -> None:
        assert self._held is not None
        self._held.set()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        self.calls += 1
        if self._held is not None:
            await self._held.wait()
        if self.fault_after:
            self.fault_after -= 1
        elif self.fault is not None:
            fault, self.fault = self.fault, None
            await trio.lowlevel.checkpoint()
            raise fault
        if self._inline:
            await trio.lowlevel.checkpoint()
            return function(*args)
        return await super().in_thread(function, *args)


class FakeLink:
    """A connection that leads nowhere, of either kind."""

    def __init__(self, direction: str = "in", address: str = "10.0.0.2:5000", epoch: str = "aaaaaaaa") -> None:
        self.direction = direction
        self.address = address
        self.epoch = epoch
        self.lost = False
        self.reason: str | None = None
        self.unsent = 0
        self.waiting = 0
        self.full = False
        self.enqueued: list[tuple[int, str, Batch]] = []
        self.send_bytes = 1024
        self.declared = 0

    def declare(self) -> None:
        self.declared += 1

    def drop(self, reason: str) -> None:
        self.lost = True
        self.close(reason)

    def close(self, reason: str) -> None:
        self.reason = self.reason or reason

    def check(self, text: str) -> None:
        check_text(text, self.send_bytes)

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        self.enqueued.append((seq, text, batch))


def lone_peer(stream_id: int, slot: int, kind: str, name: str, node: str | None, address: str | None) -> Peer:
    """A peer outside of any registry and journal: nothing can be sent to it."""
    return Peer(stream_id, slot, kind, name, node, address, Delivery(cast(Journal, None), stream_id, OutboxTotals()))


def open_journal(
    directory: Path, world: Runtime | None = None, *, pending_bytes: int = 8 << 20, tail_bytes: int = 8 << 20
) -> Journal:
    """The journal of a directory; the caller closes it."""
    store = Store(str(directory / FILE))
    try:
        return Journal(store, world or World(), pending_bytes=pending_bytes, tail_bytes=tail_bytes)
    except BaseException:
        store.close()
        raise


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[Journal]:
    """Its task, for as long as the block; then it is closed."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            yield journal
            nursery.cancel_scope.cancel()
    finally:
        journal.close()


def copy_as_crashed(old: Path, new: Path) -> None:
    """What a killed process would leave behind: the files as they are, without a checkpoint."""
    new.mkdir()
    for path in old.glob(FILE + "*"):
        shutil.copy(path, new / path.name)


def said(text: str, direction: str = "out") -> Message:
    """A message of which only the text matters."""
    return Message(direction=direction, peer=ELSEWHERE, text=text)


def as_on_disk(entries: list[Entry]) -> list[Entry]:
    """The same as they come back from the disk: without the events that memory keeps."""
    assert all(entry.known in (None, entry.event) for entry in entries)
    return [msgspec.structs.replace(entry, known=None) for entry in entries]


def texts_of(entries: list[Entry] | None) -> list[str]:
    assert entries is not None
    return [entry.event.text for entry in entries if isinstance(entry.event, Message)]


async def texts_written(outgoing: SendCursor) -> list[str]:
    """What a link writes until it has looked at everything."""
    written: list[str] = []
    while True:
        written += [text.text for text in cast(list[Text], await outgoing.next())]
        if outgoing.at_tail:
            return written


async def is_woken(waker: Waker) -> bool:
    """Whether it was woken since the last wait."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waker.wait)
        await trio.testing.wait_all_tasks_blocked()
        woken = not nursery.child_tasks
        nursery.cancel_scope.cancel()
    return woken


class Core:
    """A node's decisions, over a journal that is running."""

    def __init__(self, node: Node, world: World) -> None:
        self.config = node.config
        self.journal = node.journal
        self.world = world
        self.registry = node.registry
        self.trust = node.trust
        self.router = node.router
        self.room_updates = node.link_parts.room_updates
        self.chat = node.chat

    def up(self, node: str = BOB, name: str = "bob") -> tuple[Peer, FakeLink]:
        """A native peer with a live link."""
        peer = self.registry.native(node, name, "10.0.0.2:5000")
        link = FakeLink()
        self.registry.link_up(peer, link)
        return peer, link

    async def linked(
        self, node: str = BOB, name: str = "bob", *, epoch: str | None = None, mark: int = 0
    ) -> tuple[Peer, FakeLink]:
        """The same, and its link has begun: the peer's `Hello` had that mark of our journal."""
        peer, link = self.up(node, name)
        await self.commit()
        assert await self.chat.start_link(peer, link, epoch or (self.journal.epoch if mark else None), mark) is not None
        return peer, link

    def away(self, node: str = BOB, name: str = "bob") -> Peer:
        """A native peer that was there, and is not."""
        peer, link = self.up(node, name)
        self.registry.link_down(peer, link)
        return peer

    def outgoing(self, peer: Peer, start: int = 0) -> SendCursor:
        """What a link would write."""
        made = self.outgoing_within(peer, peer.text_bytes or self.config.text_bytes, peer.text_chars)
        made.start(start)
        return made

    def outgoing_within(self, peer: Peer, text_bytes: int, text_chars: int = 0) -> SendCursor:
        """The same, to a side that takes texts up to there."""
        return SendCursor(
            peer,
            Waker(),
            (text_bytes, text_chars),
            journal=self.journal,
            states=self.chat.states,
            intervals=self.router.hosted_rooms.intervals,
            room_updates=self.room_updates,
        )

    async def write(self, peer: Peer) -> list[str]:
        """What a link that starts behind the last acknowledgement writes now, as texts."""
        return await texts_written(self.outgoing(peer, self.journal.watermarks.acknowledged_by(peer.node)))

    def plain_up(self, address: str = "10.0.0.9:6000") -> tuple[Peer, FakeLink]:
        """A plain peer with a live link."""
        peer, link = self.registry.plain(address), FakeLink(address=address)
        link.send_bytes = self.config.plain_send_bytes
        self.registry.link_up(peer, link)
        return peer, link

    async def references(self, peer: Peer, *positions: str) -> References:
        """What a link finds of our messages that the peer's frames name."""
        return await look_up(self.journal, peer, positions)

    def newest(self) -> str:
        """The id of the newest event."""
        return self.journal.position(self.journal.committed)

    async def commit(self) -> None:
        """Everything that was appended is on disk."""
        await self.journal.settled()

    async def flushed(self) -> None:
        """What would ride with the next commit is on disk too."""
        self.journal.flush()
        await self.journal.responds()

    async def state(self, message: Message | str) -> str:
        """That which a message has now."""
        entry = await self.chat.lookup.find(message if isinstance(message, str) else message.position)
        return await self.chat.states.state(entry)

    async def types(self) -> list[str]:
        """The types of all events, oldest first."""
        return [entry.type for entry in (await self.journal.page(0)).entries]


@asynccontextmanager
async def standing(directory: Path, world: World | None = None, us: str = SELF, **settings: Any) -> AsyncIterator[Core]:
    """A core over the journal of that directory."""
    world = world or World()
    node = build_node(config_of(str(directory), **settings), world, us)
    async with running(node.journal):
        yield Core(node, world)

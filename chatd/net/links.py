"""Links: what all connections share, and the one supervisor of each.

Owns the nursery in which links live, so that they outlast whoever made them: the intake may stop while they still say
goodbye. Whatever goes wrong on a link ends in here: it is logged once, that link is closed, nothing else is touched.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.messages.chat import Chat
from chatd.messages.consumers import Consumers
from chatd.net.faults.faults import Faults
from chatd.net.room_updates import RoomUpdates
from chatd.net.topology.explorer import Explorer
from chatd.peers.clones import Clones
from chatd.peers.identity import Identity
from chatd.peers.peer import Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.peers.trust import Trust
from chatd.query.trace import MessageTraces
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime

GOODBYE_S = 2.0  # all links together, when the node stops
log = logging.getLogger("chatd.links")


class Links:
    """The parts that links need, and their nursery.

    Resource handling: `run` opens the nursery; it ends when it is cancelled. Error handling: nothing comes out.
    """

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        identity: Identity,
        journal: Journal,
        registry: Registry,
        trust: Trust,
        chat: Chat,
        exchange: RoomRouter,
        consumers: Consumers,
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.identity = identity
        self.journal = journal
        self.registry = registry
        self.trust = trust
        self.chat = chat
        self.router = exchange
        self.traces = MessageTraces(journal, registry, chat, exchange, consumers)
        self.clones = Clones(journal, registry)
        self.room_updates = RoomUpdates(journal)
        self.explorer = Explorer(config, identity.node, registry, runtime.random)
        self.faults = Faults(config, runtime, registry)
        self.nursery: trio.Nursery
        self.stopping = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Give links a place to live, until cancelled."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            self.faults.begin(partial(self._start, "a fault on purpose"))
            self.explorer.begin(partial(self._start, "an exploration"))
            task_status.started()
            await trio.sleep_forever()

    def _start(self, what: str, run: Callable[[], Awaitable[object]]) -> None:
        self.nursery.start_soon(supervised, what, run)

    def attach(self, peer: Peer, link: PeerLink) -> None:
        """The link is up from now on; `serve` has to follow. Nothing is awaited in here."""
        self.registry.link_up(peer, link)
        if self.stopping:
            link.close("shutdown")

    async def serve(self, peer: Peer, link: PeerLink, run: Callable[[], Awaitable[object]]) -> None:
        """Run an attached link; it is down when that has ended."""
        try:
            await supervised(f"the link to {peer.shown}", run)
        finally:
            self.registry.link_down(peer, link)
            self.explorer.lost(link)
            if not peer.links:
                self.router.joined_rooms.host_disconnected(peer)

    async def goodbye(self) -> None:
        """Close all links, and wait until they are, for GOODBYE_S at most."""
        self.stopping = True
        for _, link in self.registry.all_links():
            link.close("shutdown")
        with trio.move_on_after(GOODBYE_S):
            while self.registry.all_links():
                await self.registry.changed.wait()


async def supervised(what: str, run: Callable[[], Awaitable[object]]) -> None:
    """Run it; an exception, or a group of them, is logged once and ends only this."""
    try:
        await run()
    except* Exception as group:
        log.error("%s failed: this is a bug in chatd", what, exc_info=group)

"""Links: the nursery in which all links live, and the one supervisor of each.

Links outlast the listener or dialer that made them: the intake may stop while they still say goodbye. An exception on
a link ends here: it is logged once and ends only that link. Knows neither kind of link, and no room, fault or topology.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from chatd.peers.peer import Peer, PeerLink
from chatd.peers.registry import Registry

GOODBYE_S = 2.0  # all links together, when the node stops
log = logging.getLogger("chatd.links")
Run = Callable[[], Awaitable[object]]


class Links:
    """The nursery of the links of one node.

    Resource handling: `run` opens the nursery; it ends when it is cancelled. Error handling: nothing comes out.
    """

    def __init__(self, registry: Registry, down: Callable[[Peer, PeerLink], None]) -> None:
        """`down` is called when a link has ended, after the registry has recorded that."""
        self._registry = registry
        self._down = down
        self._stopping = False
        self.nursery: trio.Nursery

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Hold the nursery open until cancelled."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def start(self, what: str, run: Run) -> None:
        """Run a task beside the links. `what` names it in the log if it fails."""
        self.nursery.start_soon(supervised, what, run)

    def attach(self, peer: Peer, link: PeerLink) -> None:
        """Record that the link is up; the caller starts `serve` next, with no await in between."""
        self._registry.link_up(peer, link)
        if self._stopping:
            link.close("shutdown")

    async def serve(self, peer: Peer, link: PeerLink, run: Run) -> None:
        """Run an attached link; record that it is down when `run` has ended."""
        try:
            await supervised(f"the link to {peer.shown}", run)
        finally:
            self._registry.link_down(peer, link)
            self._down(peer, link)

    async def goodbye(self) -> None:
        """Close all links and wait until they have ended, for GOODBYE_S at most."""
        self._stopping = True
        for _, link in self._registry.all_links():
            link.close("shutdown")
        with trio.move_on_after(GOODBYE_S):
            while self._registry.all_links():
                await self._registry.changed.wait()


async def supervised(what: str, run: Run) -> None:
    """Run it. An exception, or a group of them, is logged once and ends only this."""
    try:
        await run()
    except* Exception as group:
        log.error("%s failed: this is a bug in chatd", what, exc_info=group)

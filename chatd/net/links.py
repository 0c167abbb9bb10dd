"""Links: the nursery in which all links live, and the one supervisor of each.

Links outlast the listener and the dialer that made them: when the node stops, links still send their Bye. An exception
in a link is caught and logged here and ends only that link. Knows no concrete link, no rooms, faults or topology.
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

    Resource handling: `run` opens the nursery and ends when it is cancelled. Error handling: raises nothing.
    """

    def __init__(self, registry: Registry, on_link_down: Callable[[Peer, PeerLink], None]) -> None:
        """`on_link_down` is called when a link has ended, after the registry has recorded that."""
        self._registry = registry
        self._on_link_down = on_link_down
        self._stopping = False
        self.nursery: trio.Nursery

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Hold the nursery open until cancelled."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def start(self, label: str, run: Run) -> None:
        """Start a task in the nursery of the links. `label` names it in the log if it fails."""
        self.nursery.start_soon(supervised, label, run)

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
            self._on_link_down(peer, link)

    async def goodbye(self) -> None:
        """Close all links and wait until they have ended, for GOODBYE_S at most."""
        self._stopping = True
        for _, link in self._registry.all_links():
            link.close("shutdown")
        with trio.move_on_after(GOODBYE_S):
            while self._registry.all_links():
                await self._registry.changed.wait()


async def supervised(label: str, run: Run) -> None:
    """Run a task. An exception, or a group of them, is logged once and not raised."""
    try:
        await run()
    except* Exception as group:
        log.error("task failed: %(task)s (this is a bug in chatd)", {"task": label}, exc_info=group)

"""Node: the assembled parts that `control/` may reach. No logic."""

import trio

from chatd.core.consumers import Consumers
from chatd.peers.dialer import Dialer
from chatd.peers.links import Links
from chatd.peers.listener import Listener


class Node:
    """One running chatd."""

    def __init__(self, links: Links, dialer: Dialer, listener: Listener, consumers: Consumers, version: str) -> None:
        self.config = links.config
        self.runtime = links.runtime
        self.identity = links.identity
        self.journal = links.journal
        self.registry = links.registry
        self.trust = links.trust
        self.chat = links.chat
        self.consumers = consumers
        self.dialer = dialer
        self.version = version
        self.started = 0.0  # trio's clock
        self.socket = links.config.socket
        self._listener = listener
        self._stop = trio.Event()
        self.stop_reason = ""

    @property
    def listen(self) -> list[str]:
        """The bound addresses of the peer port, `HOST:PORT`; empty before and after the intake."""
        return self._listener.addresses

    def request_stop(self, reason: str) -> None:
        """Have the daemon stop in order; the first reason stays."""
        self.stop_reason = self.stop_reason or reason
        self._stop.set()

    async def stopped(self) -> None:
        """Wait for `request_stop`."""
        await self._stop.wait()

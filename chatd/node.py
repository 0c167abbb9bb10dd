"""Node: the assembled parts that `control/` may reach. No logic."""

import trio

from chatd.config import Config
from chatd.core.chat import Chat
from chatd.core.identity import Identity
from chatd.core.journal import Journal
from chatd.core.registry import Registry
from chatd.core.trust import Trust
from chatd.peers.dialer import Dialer
from chatd.peers.listener import Listener
from chatd.runtime import Runtime


class Node:
    """One running chatd."""

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        identity: Identity,
        journal: Journal,
        registry: Registry,
        trust: Trust,
        chat: Chat,
        dialer: Dialer,
        listener: Listener,
        version: str,
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.identity = identity
        self.journal = journal
        self.registry = registry
        self.trust = trust
        self.chat = chat
        self.dialer = dialer
        self.version = version
        self.started = 0.0  # trio's clock
        self.socket = config.socket
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

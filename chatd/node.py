"""Node: the assembled parts that `control/` may reach. No logic."""

import trio

from chatd.messages.consumers import Consumers
from chatd.net.dialer import Dialer
from chatd.net.links import Links
from chatd.net.listener import Listener
from chatd.net.roomport.port import RoomPorts


class Node:
    """One running chatd."""

    def __init__(
        self,
        links: Links,
        dialer: Dialer,
        listener: Listener,
        room_ports: RoomPorts,
        consumers: Consumers,
        version: str,
    ) -> None:
        self.config = links.config
        self.runtime = links.runtime
        self.identity = links.identity
        self.journal = links.journal
        self.registry = links.registry
        self.trust = links.trust
        self.chat = links.chat
        self.hosted_rooms = links.router.hosted_rooms
        self.moderation = links.router.moderation
        self.posting = links.router.posting
        self.joined_rooms = links.router.joined_rooms
        self.traces = links.traces
        self.clones = links.clones
        self.faults = links.faults
        self.explorer = links.explorer
        self.consumers = consumers
        self.dialer = dialer
        self.version = version
        self.started = 0.0  # trio's clock
        self.socket = links.config.socket
        self._listener = listener
        self._room_ports = room_ports
        self._stop = trio.Event()
        self.stop_reason = ""
        self.complaints: dict[str, str] = {}  # what upkeep has found wrong, by where; `health` tells it

    @property
    def listen(self) -> list[str]:
        """The bound addresses of the peer port, `HOST:PORT`; empty before and after the intake."""
        return self._listener.addresses

    @property
    def links_full(self) -> bool:
        """The peer port has as many links as it may have."""
        return self._listener.is_full

    @property
    def room_ports(self) -> list[str]:
        """The bound addresses of the room ports, in the order of the settings."""
        return self._room_ports.addresses

    def request_stop(self, reason: str) -> None:
        """Have the daemon stop in order; the first reason stays."""
        self.stop_reason = self.stop_reason or reason
        self._stop.set()

    async def stopped(self) -> None:
        """Wait for `request_stop`."""
        await self._stop.wait()

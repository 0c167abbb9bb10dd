"""Room ports: the listeners through which plain clients enter hosted rooms.

Each port belongs to one room and has one dialect; several ports may belong to the same room. Accepted connections are
limited and become a `RoomClient` in the nursery of the links, so that they outlive the listeners when the node stops. A
client that has not sent its name is not a member yet: if the room is full, the oldest of these is disconnected. Run by
`daemon.py`.
"""

import contextlib
import logging
import socket
from functools import partial

import trio

from chatd.acceptor import Acceptor
from chatd.api.errors import ControlError
from chatd.closing import GracefulClose
from chatd.config.settings import Config
from chatd.config.values import RoomPort, format_address, parse_room_port
from chatd.journal.journal import Journal
from chatd.net.admission import SourceLimits
from chatd.net.links import Links, supervised
from chatd.net.listener import REFUSE_WITHIN_S, SPARES, in_use
from chatd.net.reasons import SHUTDOWN, SILENT
from chatd.net.roomport.client import LINGER_RESET, RoomAccess, RoomClient
from chatd.net.roomport.fanout import Fanout
from chatd.rooms.hosted import HostedRooms
from chatd.rooms.posting import RoomPosting
from chatd.rooms.room import HostedRoom
from chatd.runtime import Runtime, enable_keepalive

GOODBYE_S = 0.5  # for all clients together, when the node stops
log = logging.getLogger("chatd.rooms")


class RoomPorts:
    """The bound room ports and their clients.

    Resource handling: `bind` opens the listeners, `run` closes them when it is cancelled; clients run in the
    nursery of `links`. Error handling: `bind` raises AddressInUse; `run` raises nothing.
    """

    def __init__(
        self,
        config: Config,
        runtime: Runtime,
        journal: Journal,
        rooms: HostedRooms,
        posting: RoomPosting,
        links: Links,
    ) -> None:
        self.addresses: list[str] = []  # as bound, in the order of the settings
        self._links = links
        self._config = config
        self._runtime = runtime
        self._journal = journal
        self._hosted_rooms = rooms
        self._posting = posting
        self._ports = [parse_room_port(text) for text in config.room_port]
        self._listeners: list[trio.SocketListener] = []
        self._sources = SourceLimits(config)
        self._acceptor = Acceptor(runtime.descriptors, SPARES if self._ports else 0)
        self._closing = GracefulClose()
        self._fanouts: dict[HostedRoom, Fanout] = {}
        self._clients: dict[str, dict[RoomClient, None]] = {port.room: {} for port in self._ports}  # oldest first
        self._client_left = trio.Event()
        self._stopping = False

    async def bind(self) -> None:
        """Bind all addresses. Raises AddressInUse."""
        try:
            for port in self._ports:
                await self._bind(port)
        except BaseException:
            self.close()
            raise

    async def _bind(self, port: RoomPort) -> None:
        try:
            listener = await self._runtime.listen(port.host, port.port)
        except OSError as error:
            raise in_use(port.host, port.port, error, "--room-port") from None
        self._listeners.append(listener)
        self.addresses.append(format_address(*listener.socket.getsockname()[:2]))

    def close(self) -> None:
        """Free the addresses."""
        for listener in self._listeners:
            listener.socket.close()

    async def run(self) -> None:
        """Host the rooms, and accept until cancelled."""
        try:
            with self._acceptor:
                async with trio.open_nursery() as nursery:
                    for port, listener, address in zip(self._ports, self._listeners, self.addresses, strict=True):
                        if (room := self._host(port)) is not None:
                            fields = {"room": room.label, "address": address, "dialect": port.dialect}
                            log.info("room port of %(room)s listening on %(address)s (dialect %(dialect)s)", fields)
                        nursery.start_soon(self._acceptor.run, listener, partial(self._accept, port))
        finally:
            self.close()

    def _host(self, port: RoomPort) -> HostedRoom | None:
        """Host the room of the port, without joining it. None: that failed and was logged."""
        try:
            room, _ = self._hosted_rooms.host(port.room)
        except ControlError as error:
            log.warning(
                "room port of %(room)s rejects all clients, its room cannot be hosted: %(reason)s",
                {"room": port.room, "reason": error},
            )
            return None
        room.set_ports(len([other for other in self._ports if other.room == port.room]))
        return room

    # -- one connection

    def _accept(self, port: RoomPort, stream: trio.SocketStream, *, short: bool) -> None:
        self._links.start("a client of a room port", partial(self._serve, port, stream, short))

    async def _serve(self, port: RoomPort, stream: trio.SocketStream, short: bool) -> None:
        with stream.socket:
            if short:
                await self._refuse(stream)
            else:
                await supervised("a client of a room port", partial(self._admit, port, stream))
        self._acceptor.refill()

    async def _refuse(self, stream: trio.SocketStream) -> None:
        """Send a FIN without data, and a moment later an RST for the programs that loop on a FIN."""
        await self._closing.shut_down(stream.socket, within=REFUSE_WITHIN_S)
        with contextlib.suppress(OSError):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)

    async def _admit(self, port: RoomPort, stream: trio.SocketStream) -> None:
        try:
            host, number = stream.socket.getpeername()[:2]
            enable_keepalive(stream)
        except OSError:
            return  # already closed
        if self._stopping:
            return
        if not self._make_capacity(port) or not self._sources.enter(host, trio.current_time()):
            self._sources.log_refusal(host)
            await self._refuse(stream)
            return
        try:
            await self._serve_client(port, stream, format_address(host, number))
        finally:
            self._sources.leave(host)

    def _make_capacity(self, port: RoomPort) -> bool:
        """Whether there is capacity for a client; if not, make some by closing the oldest client without a name."""
        clients = self._clients[port.room]
        if len(clients) < self._config.room_members:
            return True
        silent = next((client for client in clients if client.member is None and client.reason is None), None)
        if silent is None:
            return False
        silent.close(SILENT)
        return True

    async def _serve_client(self, port: RoomPort, stream: trio.SocketStream, address: str) -> None:
        room = self._host(port)
        if room is None:
            await self._refuse(stream)
            return
        clients = self._clients[port.room]
        fanout = self._fanouts.get(room)
        if fanout is None:
            fanout = self._fanouts[room] = Fanout(room, self._journal, self._links.nursery)
        access = RoomAccess(room, port.dialect, fanout, self._hosted_rooms, self._posting, self._journal, self._config)
        client = RoomClient(access, stream, address)
        clients[client] = None
        try:
            await client.run()
        finally:
            del clients[client]
            self._client_left.set()

    # -- the end

    def hang_up(self) -> None:
        """Disconnect all clients: the node stops."""
        self._stopping = True
        for clients in self._clients.values():
            for client in clients:
                client.close(SHUTDOWN)

    async def wait_closed(self) -> None:
        """Wait until all clients have left, at most GOODBYE_S."""
        with trio.move_on_after(GOODBYE_S):
            while any(self._clients.values()):
                self._client_left = trio.Event()
                await self._client_left.wait()

"""Node: one running chatd. `Node.open` builds every part exactly once and the node owns them; it decides nothing.

`open` reads the state directory and opens no socket and no task: `daemon.py` binds and runs the parts, `control/` calls
them.
"""

import os
from functools import partial

import trio

from chatd import __version__
from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.messages.chat import Chat
from chatd.messages.consumers import Consumers
from chatd.messages.message_log import MessageLog
from chatd.net.dialer import Dialer
from chatd.net.faults.faults import Faults
from chatd.net.links import Links
from chatd.net.listener import Listener
from chatd.net.native.handshake import HandshakeParts
from chatd.net.native.parts import LinkParts
from chatd.net.room_updates import RoomUpdates
from chatd.net.roomport.port import RoomPorts
from chatd.net.topology.explorer import Explorer
from chatd.peers.clones import Clones
from chatd.peers.identity import Identity, load_or_create
from chatd.peers.peer import Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.peers.trust import Trust
from chatd.query.trace import MessageTraces
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime

JOURNAL_FILE = "journal.db"


class Node:
    """The parts of one node.

    Resource handling: owns the journal and the bound sockets; `close` releases them. Error handling: `open` raises
    StartupFailure if the state directory cannot be used.
    """

    def __init__(self, config: Config, runtime: Runtime, identity: Identity, store: Store, now: float) -> None:
        """Blocking: reads the journal. `now` is trio's clock, which a worker thread cannot read."""
        self.version = __version__
        self.config = config
        self.runtime = runtime
        self.identity = identity
        self.message_log = MessageLog()
        self.journal = Journal(
            store,
            runtime,
            pending_bytes=config.journal_pending_bytes,
            tail_bytes=config.tail_bytes,
            on_commit=self.message_log.record if config.log_messages else None,
        )
        self.registry = Registry(self.journal, runtime, identity.node, config.name, config.known)
        self.trust = Trust(config.trust, config.known, self.registry)
        self.clones = Clones(self.journal, self.registry)
        self.router = RoomRouter(config, identity.node, self.journal, self.registry)
        self.hosted_rooms = self.router.hosted_rooms
        self.moderation = self.router.moderation
        self.joined_rooms = self.router.joined_rooms
        self.posting = self.router.posting
        acknowledged = self.hosted_rooms.release_intervals
        self.chat = Chat(config, identity.node, self.journal, self.registry, runtime, now, acknowledged)
        self.consumers = Consumers(self.journal, runtime, config.consumers)
        self.traces = MessageTraces(self.journal, self.registry, self.chat, self.router, self.consumers)
        self._build_net()
        self.started = now  # trio's clock
        self.scope = trio.CancelScope()  # around the whole node; `stop_at_once` cancels it
        self.stop_reason = ""
        self.problems: dict[str, str] = {}  # problems found by maintenance, by subject; `health` reports them
        self._stop = trio.Event()

    def _build_net(self) -> None:
        """Build the parts that own streams."""
        config, runtime, registry = self.config, self.runtime, self.registry
        self.links = Links(registry, self._link_down)
        self.faults = Faults(config, runtime, registry, partial(self.links.start, "a fault on purpose"))
        self.explorer = Explorer(
            config, self.identity.node, registry, runtime.random, partial(self.links.start, "an exploration")
        )
        self.handshake_parts = HandshakeParts(
            config, self.identity, self.journal, registry, self.trust, clones=self.clones, faults=self.faults
        )
        self.link_parts = LinkParts(
            config=config,
            runtime=runtime,
            node=self.identity.node,
            journal=self.journal,
            registry=registry,
            chat=self.chat,
            router=self.router,
            room_updates=RoomUpdates(self.journal),
            traces=self.traces,
            clones=self.clones,
            explorer=self.explorer,
            links=self.links,
        )
        self.listener = Listener(self.handshake_parts, self.link_parts)
        self.dialer = Dialer(self.handshake_parts, self.link_parts)
        self.room_ports = RoomPorts(config, runtime, self.journal, self.hosted_rooms, self.posting, self.links)

    def _link_down(self, peer: Peer, link: PeerLink) -> None:
        """Notify the parts that remember links and connected peers that a link has ended."""
        self.explorer.link_down(link)
        if not peer.links:
            self.joined_rooms.host_disconnected(peer)

    @classmethod
    async def open(cls, config: Config, runtime: Runtime) -> "Node":
        """Open the state directory and build the node; the caller closes it. Raises StartupFailure."""
        node = await runtime.in_thread(cls._open, config, runtime, trio.current_time())
        node.started = trio.current_time()
        return node

    @classmethod
    def _open(cls, config: Config, runtime: Runtime, now: float) -> "Node":
        path = os.path.join(config.state, JOURNAL_FILE)
        identity = load_or_create(config.state, used=os.path.lexists(path))
        store = Store(path, identity.node)
        try:
            return cls(config, runtime, identity, store, now)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Free the addresses and close the journal."""
        self.message_log.report_omitted()
        self.listener.close()
        self.room_ports.close()
        self.journal.close()

    def set_problem(self, subject: str, text: str) -> bool:
        """Record a problem for `health`, or its end with an empty text; return whether it has changed."""
        before = self.problems.pop(subject, "")
        if text:
            self.problems[subject] = text
        return text != before

    # -- stopping

    def request_stop(self, reason: str) -> None:
        """Stop in order. The first reason stays."""
        self.stop_reason = self.stop_reason or reason
        self._stop.set()

    def stop_at_once(self) -> None:
        """Cancel everything: no goodbye, no last event."""
        self.scope.cancel()

    async def stopped(self) -> None:
        """Wait for `request_stop`."""
        await self._stop.wait()

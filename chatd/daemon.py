"""The nursery tree of the daemon: open the journal, bind, run, drain. Its indentation is the shutdown order.

The journal is outermost, then the sessions of the control socket, then the links, then the intake: listeners, dialer,
upkeep and signals. Stopping ends the intake; links say goodbye; `daemon.stop` is the last event; sessions get what they
have not got yet; the journal closes last. From SIGTERM to the end it takes 5 s at most, whatever peers and clients do.
"""

import fcntl
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from chatd import __version__, maintenance
from chatd.api.errors import ControlError
from chatd.api.events import DaemonStart, DaemonStop
from chatd.config.settings import Config
from chatd.control import unix
from chatd.control.server import ControlServer
from chatd.failures import AlreadyRunning, StorageFailure, StorageFull, because_of
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.messages.chat import Chat
from chatd.messages.consumers import Consumers
from chatd.net.dialer import Dialer
from chatd.net.links import Links
from chatd.net.listener import Listener
from chatd.net.roomport.port import RoomPorts
from chatd.node import Node
from chatd.peers.identity import KEY_FILE, Identity, load_or_create, prepare_state_dir
from chatd.peers.registry import Registry
from chatd.peers.trust import Trust
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime

JOURNAL_FILE = "journal.db"
LOCK_FILE = "chatd.lock"
LOCK_S = 1.0
LOCK_STEP_S = 0.02
LAST_COMMIT_S = 1.0
GARBAGE_AFTER = 20_000  # objects; messages make none, and what has to be collected at all comes from links and clients
SESSIONS_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger("chatd")


async def run(config: Config, runtime: Runtime) -> None:
    """Run a node until it is told to stop. Raises StartupFailure (in groups) when it cannot start or go on."""
    _ask_before_a_first_start(config)
    prepare_state_dir(config.state)
    async with _locked(config.state):
        node, links, listener, room_ports = await runtime.in_thread(_assemble, config, runtime, trio.current_time())
        node.started = trio.current_time()
        server = ControlServer(node)
        failures: list[StorageFailure] = []
        try:
            await listener.bind()
            await room_ports.bind()
            async with trio.open_nursery() as everything:
                everything.start_soon(_heed_signals, node, everything.cancel_scope)
                await _live(node, links, listener, room_ports, server, failures)
                everything.cancel_scope.cancel()
        finally:
            listener.close()
            room_ports.close()
            node.journal.close()
    if node.journal.lost and not failures:
        failures.append(_lost(node))
    if failures:
        raise failures[0]


def _ask_before_a_first_start(config: Config) -> None:
    """Raise AlreadyRunning where a node answers and the state directory has no key: it may be that node's, moved away.

    A new identity there would be in the way of the directory when it is put back.
    """
    if not os.path.lexists(os.path.join(config.state, KEY_FILE)):
        unix.refuse_if_answered(config.socket)


def _assemble(config: Config, runtime: Runtime, now: float) -> tuple[Node, Links, Listener, RoomPorts]:
    """Open what is on disk, and read it (blocking)."""
    path = os.path.join(config.state, JOURNAL_FILE)
    identity = load_or_create(config.state, used=os.path.lexists(path))
    store = Store(path, identity.node)
    try:
        return _put_together(config, runtime, identity, store, now)
    except BaseException:
        store.close()
        raise


def _put_together(
    config: Config, runtime: Runtime, identity: Identity, store: Store, now: float
) -> tuple[Node, Links, Listener, RoomPorts]:
    """Every part of the node, over its open journal (blocking)."""
    journal = Journal(store, runtime, pending_bytes=config.journal_pending_bytes, tail_bytes=config.tail_bytes)
    registry = Registry(journal, runtime, identity.node, config.name, config.known)
    trust = Trust(config.trust, config.known, registry)
    exchange = RoomRouter(config, identity.node, journal, registry)
    chat = Chat(config, identity.node, journal, registry, runtime, now, exchange.hosted_rooms.release_intervals)
    consumers = Consumers(journal, runtime, config.consumers)
    links = Links(config, runtime, identity, journal, registry, trust, chat, exchange, consumers)
    listener, room_ports, dialer = Listener(config, links), RoomPorts(links), Dialer(links)
    return Node(links, dialer, listener, room_ports, consumers, __version__), links, listener, room_ports


async def _live(
    node: Node,
    links: Links,
    listener: Listener,
    room_ports: RoomPorts,
    server: ControlServer,
    failures: list[StorageFailure],
) -> None:
    """From the first event to the last."""
    journal = node.journal
    start = journal.append(DaemonStart(version=node.version))
    async with _nursery() as keeping:
        keeping.start_soon(_keep_journal, node, failures)
        await _begun(start, journal)
        async with _nursery() as sessions:
            await server.bind()
            async with _nursery() as linking:
                await linking.start(links.run)
                async with _nursery() as intake:
                    await intake.start(node.dialer.run)
                    intake.start_soon(listener.run)
                    intake.start_soon(room_ports.run)
                    intake.start_soon(maintenance.run, node, server.bind_again)
                    await sessions.start(server.serve)
                    _announce(node)
                    await node.stopped()
                log.info("stopping: %s", node.stop_reason)
                server.begin_stop()
                room_ports.hang_up()
                await links.goodbye()
                await room_ports.wait_closed()
            await _commit_last(journal, node.stop_reason)
            await server.drain(SESSIONS_S)
    log.info("stopped")


@asynccontextmanager
async def _nursery() -> AsyncIterator[trio.Nursery]:
    """One level of the tree: when its body has ended in order, whatever still runs in it is cancelled."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def _keep_journal(node: Node, failures: list[StorageFailure]) -> None:
    """Run the journal; when it can no longer be trusted, stop in order, so that clients are told."""
    try:
        await node.journal.run()
    except StorageFailure as failure:
        failures.append(failure)
        node.request_stop("storage")


async def _begun(start: Batch, journal: Journal) -> None:
    """The epoch's first position is there before anybody can ask for it."""
    try:
        await start.wait()
    except ControlError as error:
        failure = StorageFull if error.kind == "storage_full" else StorageFailure
        raise failure(f"journal {journal.store.path}: {error}") from None


def _lost(node: Node) -> StorageFailure:
    """The journal's files are gone, and with them what was not delivered."""
    owed = node.registry.outbox_totals.messages
    text = f"journal {node.journal.store.path} was removed or replaced while the node ran"
    if owed:
        text += f"; {owed} undelivered messages are lost with it"
    return StorageFailure(f"{text} (put the state directory back before the next start, or this is a new node then)")


async def _commit_last(journal: Journal, reason: str) -> None:
    """`daemon.stop`, with the acknowledgements that waited for a commit; in vain on a full or broken disk."""
    with trio.move_on_after(LAST_COMMIT_S):
        try:
            await journal.append(DaemonStop(reason=reason)).wait()
        except ControlError as error:
            log.warning("the last event could not be written: %s", error)


async def _heed_signals(node: Node, everything: trio.CancelScope) -> None:
    """The first signal stops in order, a second one at once."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for number in signals:
            if node.stop_reason == "signal":
                log.warning("stopping at once: %s", signal.Signals(number).name)
                everything.cancel()
            node.request_stop("signal")


def _announce(node: Node) -> None:
    gc.freeze()  # what is here now stays: no collection needs to look at it again
    gc.set_threshold(GARBAGE_AFTER, 20, 50)
    listen = ", ".join(node.listen)
    log.info("%s (%s) runs on %s; control socket %s", node.config.name, node.identity.node, listen, node.socket)


@asynccontextmanager
async def _locked(state: str) -> AsyncIterator[None]:
    """One daemon for each state directory: a lock on a file of its own, held for the daemon's life.

    Asked for more than once, because `chatctl exit` returns a moment before the old daemon has let go of it.
    """
    path = os.path.join(state, LOCK_FILE)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise because_of(error, f"{path} cannot be opened: {error.strerror}") from None
    try:
        deadline = trio.current_time() + LOCK_S
        while not _lock(descriptor):
            if trio.current_time() > deadline:
                pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise AlreadyRunning(f"chatd is running already on {state} (process {pid})")
            await trio.sleep(LOCK_STEP_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    with suppress(OSError):  # the number is for people only, and the disk may be full
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
    return True

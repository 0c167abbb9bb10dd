"""The nursery tree of the daemon: open the journal, bind, run, drain. Its indentation is the shutdown order.

The journal is outermost, then the sessions of the control socket, then the links, then the intake: listeners, dialer
and maintenance. A stop ends the intake; links send their Bye; `daemon.stop` is the last event; sessions get the
remaining events; the journal closes last. A stop takes at most 5 s, whatever peers and clients do. Knows nothing of the
process (signals, umask, garbage collection), so that several nodes may run in one. Called by `__main__`.
"""

import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio

from chatd import maintenance
from chatd.api.errors import ControlError
from chatd.api.events import DaemonStart, DaemonStop
from chatd.config.settings import Config
from chatd.control import unix
from chatd.control.server import ControlServer
from chatd.failures import AlreadyRunning, StorageFailure, StorageFull, startup_failure
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.node import Node
from chatd.peers.identity import KEY_FILE, prepare_state_dir
from chatd.runtime import Runtime

LOCK_FILE = "chatd.lock"
LOCK_S = 1.0  # to wait for the lock of a node that is stopping
LOCK_STEP_S = 0.02  # between two attempts
LAST_COMMIT_S = 1.0  # to commit `daemon.stop`
SESSIONS_S = 1.0  # for sessions to read the remaining events
log = logging.getLogger("chatd")


async def run(config: Config, runtime: Runtime, opened: Callable[[Node], None] | None = None) -> None:
    """Run a node until a stop is requested. Raises StartupFailure (may be in groups) if it cannot start or continue.

    `opened` is called with the node once its parts are built, before it binds an address: the caller can stop it.
    """
    _refuse_moved_state_directory(config)
    prepare_state_dir(config.state)
    async with _locked(config.state):
        node = await Node.open(config, runtime)
        server = ControlServer(node)
        failures: list[StorageFailure] = []
        try:
            if opened is not None:
                opened(node)
            await node.listener.bind()
            await node.room_ports.bind()
            with node.scope:
                await _live(node, server, failures)
        finally:
            node.close()
    if node.journal.lost and not failures:
        failures.append(_journal_lost(node))
    if failures:
        raise failures[0]


def _refuse_moved_state_directory(config: Config) -> None:
    """Raise AlreadyRunning if a node answers on the socket while the state directory has no key.

    The directory may have been moved away while that node runs. A new identity would prevent moving it back.
    """
    if not os.path.lexists(os.path.join(config.state, KEY_FILE)):
        unix.refuse_if_answered(config.socket)


async def _live(node: Node, server: ControlServer, failures: list[StorageFailure]) -> None:
    """Run the node from its first event to its last."""
    journal, links, room_ports = node.journal, node.links, node.room_ports
    start = journal.append(DaemonStart(version=node.version))
    async with _nursery() as keeping:
        keeping.start_soon(_run_journal, node, failures)
        await _wait_for_first_commit(start, journal)
        async with _nursery() as sessions:
            await server.bind()
            async with _nursery() as linking:
                await linking.start(links.run)
                async with _nursery() as intake:
                    await intake.start(node.dialer.run)
                    intake.start_soon(node.listener.run)
                    intake.start_soon(room_ports.run)
                    intake.start_soon(maintenance.run, node, server.bind_again)
                    await sessions.start(server.serve)
                    _announce(node)
                    await node.stopped()
                log.info("stopping: %(reason)s", {"reason": node.stop_reason})
                server.begin_stop()
                room_ports.hang_up()
                await links.goodbye()
                await room_ports.wait_closed()
            await _commit_last(journal, node.stop_reason)
            await server.drain(SESSIONS_S)
    log.info("stopped")


@asynccontextmanager
async def _nursery() -> AsyncIterator[trio.Nursery]:
    """One level of the tree: when its body ends without an error, the tasks that still run in it are cancelled."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


async def _run_journal(node: Node, failures: list[StorageFailure]) -> None:
    """Run the journal; on a storage failure stop in order, so that clients get the reason."""
    try:
        await node.journal.run()
    except StorageFailure as failure:
        failures.append(failure)
        node.request_stop("storage")


async def _wait_for_first_commit(start: Batch, journal: Journal) -> None:
    """Wait for the first event's commit: clients may then ask for its position. Raises StorageFailure."""
    try:
        await start.wait()
    except ControlError as error:
        failure = StorageFull if error.kind == "storage_full" else StorageFailure
        raise failure(f"journal {journal.store.path}: {error}") from None


def _journal_lost(node: Node) -> StorageFailure:
    """The failure to report after the journal files were removed, with the number of lost messages."""
    undelivered = node.registry.outbox_totals.messages
    text = f"journal {node.journal.store.path} was removed or replaced while the node ran"
    if undelivered:
        text += f"; {undelivered} undelivered messages are lost with it"
    return StorageFailure(f"{text} (put the state directory back before the next start, or this is a new node then)")


async def _commit_last(journal: Journal, reason: str) -> None:
    """Append `daemon.stop`, with the acknowledgements that waited for a commit. A failure is only logged."""
    with trio.move_on_after(LAST_COMMIT_S):
        try:
            await journal.append(DaemonStop(reason=reason)).wait()
        except ControlError as error:
            log.warning("last event not written to the journal: %(reason)s", {"reason": error})


def _announce(node: Node) -> None:
    config, listen = node.config, ", ".join(node.listener.addresses)
    fields = {"name": config.name, "address": listen, "socket": config.socket, "node": node.identity.node}
    log.info("node %(name)s (%(node).8s) listening on %(address)s (control socket %(socket)s)", fields)


@asynccontextmanager
async def _locked(state: str) -> AsyncIterator[None]:
    """Hold the lock file of the state directory: one daemon at a time. Raises AlreadyRunning.

    Retries for LOCK_S, because `chatctl exit` returns a moment before the old daemon has released the lock.
    """
    path = os.path.join(state, LOCK_FILE)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise startup_failure(error, f"{path} cannot be opened: {error.strerror}") from None
    try:
        deadline = trio.current_time() + LOCK_S
        while not _lock(descriptor):
            if trio.current_time() > deadline:
                pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise AlreadyRunning(
                    f"already running on {state} (process {pid};"
                    " stop it with chatctl shutdown, or start another node with -n NAME)"
                )
            await trio.sleep(LOCK_STEP_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    with suppress(OSError):  # the process number is only information, and the disk may be full
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
    return True

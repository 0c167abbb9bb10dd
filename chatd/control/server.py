"""ControlServer: the listener on the control socket, and one supervisor per session.

The daemon ends every session by `GracefulClose`: the client can read the reason, even if it has written more than was
read. Called by daemon.py; knows no methods but the table.
"""

import logging
from functools import partial

import msgspec
import trio

from chatd.acceptor import Acceptor
from chatd.api.errors import INTERNAL_ERROR, ControlError
from chatd.closing import GracefulClose
from chatd.control import jsonrpc, unix
from chatd.control.jsonrpc import Id, RpcError
from chatd.control.methods.table import METHODS
from chatd.control.session import Session
from chatd.control.session_limit import ONLY_OPERATORS, RESERVED, SessionLimit
from chatd.node import Node
from chatd.sync import Broadcast

SPARES = RESERVED + 1  # descriptors for the reserve and for one refusal, when no others are left
WARN_EVERY_S = 60.0
log = logging.getLogger("chatd.control")


class ControlServer:
    """The control socket of a node: `bind`, then `serve`; at the end `begin_stop`, `drain`, and cancel `serve`.

    Resource handling: `serve` always closes the listener and removes the socket file at its end.
    Error handling: an exception in a session is logged and ends that session.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._acceptor = Acceptor(node.runtime.descriptors, SPARES)
        self._sessions: SessionLimit[Session] = SessionLimit(node.config.sessions, self._acceptor.refill)
        self._hangups = unix.Hangups()
        self._closing = GracefulClose()
        self._warned_at = float("-inf")  # when a rejected client was last logged
        self._ended = Broadcast()
        self._bound: unix.BoundSocket | None = None
        self._listener: trio.SocketListener | None = None
        self._nursery: trio.Nursery | None = None  # while it serves
        self._gid: int | None = None
        self._stopping = False
        self._closed = trio.Event()

    async def bind(self) -> str:
        """Create the socket under the state lock; return its path. Raises PathError, StartupFailure, AlreadyRunning."""
        config = self._node.config
        self._gid = unix.group_id(config.socket_group)
        self._bound = await self._node.runtime.in_thread(unix.bind, config.socket, self._gid)
        return self._bound.path

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept clients until `drain`, and serve them until they have gone. `task_status` gets the path."""
        bound = self._bound
        if bound is None:
            raise RuntimeError("bind() comes first")
        self._listener = _listener_of(bound)
        try:
            await self._serve(bound.path, task_status)
        finally:
            self._nursery = None
            self._listener.socket.close()
            (self._bound or bound).unlink()

    async def bind_again(self) -> None:
        """Create the socket again if its file was removed; sessions continue. Raises PathError, StartupFailure."""
        in_thread, bound = self._node.runtime.in_thread, self._bound
        if bound is None or self._nursery is None or not await in_thread(bound.is_missing):
            return
        self._acceptor.lend_spare()
        try:
            self._bound = await in_thread(unix.bind, bound.path, self._gid)
            former, self._listener = self._listener, _listener_of(self._bound)
            self._nursery.start_soon(partial(self._acceptor.run, self._listener, self._accept))
            if former is not None:
                former.socket.close()
        finally:
            self._acceptor.refill()
        log.warning("control socket created again after it was removed: %(path)s", {"path": bound.path})

    def begin_stop(self) -> None:
        """Answer requests with `shutting_down`, open ones too; nothing more is appended for a client."""
        self._stopping = True
        for session in self._sessions:
            session.refuse_requests()

    async def drain(self, seconds: float) -> None:
        """Write all responses, and all events up to the newest, to every client; then end the sessions.

        Returns when they have ended, or after `seconds`: cancel `serve` then.
        """
        self.begin_stop()
        if self._listener is not None:
            self._listener.socket.close()
        for session in self._sessions:
            session.finish()
        with trio.move_on_after(seconds):
            while self._sessions:
                await self._ended.wait()
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()  # sessions still being closed have written everything
                await self._closed.wait()

    async def _serve(self, path: str, task_status: trio.TaskStatus[str]) -> None:
        """Run until all listeners are closed and all sessions have ended."""
        assert self._listener is not None
        try:
            async with trio.open_nursery() as watching:
                await watching.start(self._hangups.run)
                with self._acceptor:
                    async with trio.open_nursery() as self._nursery:
                        task_status.started(path)
                        await self._acceptor.run(self._listener, self._accept)
                watching.cancel_scope.cancel()
        finally:
            self._closed.set()

    def _accept(self, stream: trio.SocketStream, *, short: bool) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._supervise, stream.socket, short)

    async def _supervise(self, sock: trio.socket.SocketType, short: bool) -> None:
        with sock:
            farewell = await self._serve_client(sock, short)
            await self._closing.shut_down(sock, farewell)
        self._acceptor.refill()

    async def _serve_client(self, sock: trio.socket.SocketType, short: bool) -> bytes:
        """Run its session; returns the last line for the client, empty unless the daemon ended the session."""
        refusal = self._refusal(sock, short)
        if refusal is not None:
            return _line(None, refusal)
        reserved = short or self._sessions.is_full
        session = Session(self._node, METHODS, sock, self._sessions, self._hangups, reserved=reserved)
        if self._stopping:
            session.refuse_requests()
        self._sessions.add(session)
        failed = False
        try:
            await session.run()
        except* Exception:
            log.exception("control session failed (this is a bug in chatd)")
            failed = True
        finally:
            self._sessions.remove(session)
            self._ended.notify()
        if session.mid_line:
            return b""
        if failed:
            return _line(None, RpcError(INTERNAL_ERROR, "this is a bug in chatd; its log says more"))
        if session.farewell is None:
            return b""
        if self._sessions.is_full and self._may_warn():  # if not full, the acceptor has logged why
            log.warning(
                "control client disconnected: all %(sessions)d sessions are in use"
                " (raise --sessions; logged once a minute)",
                {"sessions": self._node.config.sessions},
            )
        return _line(*session.farewell)

    def _refusal(self, sock: trio.socket.SocketType, short: bool) -> ControlError | None:
        credentials = unix.Credentials(sock)
        if not credentials.may_enter(self._gid):
            if self._may_warn():
                log.warning(
                    "control client rejected: user %(uid)d has no access (process %(pid)d;"
                    " see --socket-group; logged once a minute)",
                    {"uid": credentials.uid, "pid": credentials.pid},
                )
            return ControlError("forbidden", "this socket is for another user", "see `socket_group` in the documents")
        if (short or self._sessions.is_full) and not self._sessions.free_reserve():
            if self._may_warn():
                log.warning(
                    "control client rejected: all %(sessions)d sessions are in use, the reserve too"
                    " (raise --sessions; logged once a minute)",
                    {"sessions": self._node.config.sessions},
                )
            return ControlError("rate_limited", "all sessions are taken, those in reserve too", ONLY_OPERATORS)
        return None

    def _may_warn(self) -> bool:
        """Whether to log that a client was rejected: once a minute, because clients decide how often that happens."""
        if trio.current_time() - self._warned_at < WARN_EVERY_S:
            return False
        self._warned_at = trio.current_time()
        return True


def _listener_of(bound: unix.BoundSocket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound.sock))


def _line(id_: Id | msgspec.Raw, error: ControlError | RpcError) -> bytes:
    return jsonrpc.encode([jsonrpc.error_line(id_, error)])

"""ControlServer: the listener on the control socket, and one supervisor for each session."""

import contextlib
import logging

import trio

from chatd.api.errors import INTERNAL_ERROR, ControlError
from chatd.control import jsonrpc, unix
from chatd.control.jsonrpc import Fault
from chatd.control.methods.table import METHODS
from chatd.control.session import Session
from chatd.node import Node
from chatd.runtime import Broadcast

RETRY_AFTER = 0.1  # s; out of files or memory, clients wait in the backlog meanwhile
TELL_WITHIN = 1.0  # s
log = logging.getLogger("chatd.control")


class ControlServer:
    """The control socket of a node: `bind`, then `serve`; at the end `begin_stop`, `drain`, and cancel `serve`.

    Resource handling: `serve` closes the listener and removes the socket file when it ends, however it ends.
    Error handling: an exception in a session is logged and ends that session.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sessions: set[Session] = set()
        self._ended = Broadcast()
        self._bound: unix.BoundSocket | None = None
        self._listener: trio.SocketListener | None = None
        self._nursery: trio.Nursery | None = None  # while it serves
        self._gid: int | None = None
        self._stopping = False

    async def bind(self) -> str:
        """Make the socket, under the state lock; gives its path. Raises PathError, StartupFailure, AlreadyRunning."""
        config = self._node.config
        self._gid = unix.group_id(config.socket_group)
        self._bound = await self._node.runtime.in_thread(unix.bind, config.socket, self._gid)
        return self._bound.path

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept clients until `drain`, and serve them until they have gone; started with the path."""
        bound = self._bound
        if bound is None:
            raise RuntimeError("bind() comes first")
        self._listener = _listener_of(bound)
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started(bound.path)
                await self._accept(self._listener, self._nursery)
        finally:
            self._nursery = None
            self._listener.socket.close()
            (self._bound or bound).unlink()

    async def bind_again(self) -> None:
        """Where nothing is at the socket's path, make it anew; sessions stay. Raises PathError, StartupFailure."""
        in_thread, bound = self._node.runtime.in_thread, self._bound
        if bound is None or self._nursery is None or not await in_thread(bound.is_missing):
            return
        self._bound = await in_thread(unix.bind, bound.path, self._gid)
        former, self._listener = self._listener, _listener_of(self._bound)
        self._nursery.start_soon(self._accept, self._listener, self._nursery)
        if former is not None:
            former.socket.close()
        log.warning("the control socket %s was removed, and is there again", bound.path)

    def begin_stop(self) -> None:
        """From now on requests are answered `shutting_down`, open ones too; nothing more is appended for a client."""
        self._stopping = True
        for session in self._sessions:
            session.refuse_requests()

    async def drain(self, seconds: float) -> None:
        """Let every client have its answers and all events up to the newest, then end the sessions.

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

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        pressed = False
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if not pressed:
                    log.warning("clients have to wait: %s", error.strerror)
                pressed = True
                await trio.sleep(RETRY_AFTER)
                continue
            pressed = False
            nursery.start_soon(self._supervise, stream.socket)

    async def _supervise(self, sock: trio.socket.SocketType) -> None:
        with sock:
            refusal = self._refusal(sock)
            if refusal is not None:
                await _tell(sock, refusal)
                return
            session = Session(self._node, METHODS, sock, self._sessions)
            if self._stopping:
                session.refuse_requests()
            self._sessions.add(session)
            try:
                await session.run()
            except* Exception:
                log.exception("a session has failed and is closed")
                if not session.mid_line:
                    await _tell(sock, Fault(INTERNAL_ERROR, "this is a bug in chatd; its log says more"))
            finally:
                self._sessions.discard(session)
                self._ended.notify()

    def _refusal(self, sock: trio.socket.SocketType) -> ControlError | None:
        who = unix.Credentials(sock)
        if not who.may_enter(self._gid):
            log.warning("a client of user %d was refused (process %d)", who.uid, who.pid)
            return ControlError("forbidden", "this socket is for another user", "see `socket_group` in the documents")
        limit = self._node.config.sessions
        if len(self._sessions) >= limit:
            log.warning("a client was refused: there are %d sessions", limit)
            return ControlError("rate_limited", f"there are {limit} sessions, as many as may be", "end one of them")
        return None


def _listener_of(bound: unix.BoundSocket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound.sock))


async def _tell(sock: trio.socket.SocketType, error: ControlError | Fault) -> None:
    """One last line, if the client takes it."""
    with trio.move_on_after(TELL_WITHIN), contextlib.suppress(OSError):
        await sock.send(jsonrpc.encode([jsonrpc.error_line(None, error)]))

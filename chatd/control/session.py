"""Session: one client. One task reads requests, one writes responses and events, one serves each open request.

Everything that can grow has a bound here, and at a bound the client is not read. control/dispatch.py starts requests,
control/session_limit.py decides whether the session has an ordinary place or one in the reserve. Knows no particular
method: it gets the table. Started by control/server.py.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from operator import attrgetter

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.control import jsonrpc, unix
from chatd.control.dispatch import Dispatcher
from chatd.control.jsonrpc import BadLine, Id, LineBuffer, Request
from chatd.control.methods.method import Method
from chatd.control.responses import ResponseQueue, Responses
from chatd.control.session_limit import OPERATOR_METHODS, SessionLimit
from chatd.control.subscription import CHUNK_BYTES, Subscriptions
from chatd.node import Node
from chatd.sync import Broadcast, Waker

READ_BYTES = 64 * 1024
SILENCE_S = 2.0  # without a first request; then a session in the reserve is treated as an ordinary one
RESERVE_STALL_S = 5.0  # instead of `session_stall`: an operator reads its responses, and another one may wait
TURN = 256  # requests handled before other tasks get their turn
log = logging.getLogger("chatd.control")


class Session:
    """One client on the control socket.

    `reserved`: it is in the reserve, and may call OPERATOR_METHODS only. `farewell`: why the daemon has ended it, and
    the id of the request that this answers.
    Resource handling: when `run` has returned, only the socket is left, which the supervisor closes.
    Error handling: a misbehaving client is answered or closed; an exception from `run` is a bug.
    """

    def __init__(
        self,
        node: Node,
        methods: Mapping[str, Method],
        sock: trio.socket.SocketType,
        limit: "SessionLimit[Session]",
        hangups: unix.Hangups,
        *,
        reserved: bool = False,
    ) -> None:
        self.node = node
        self.methods = methods
        self.limit = limit
        self.reserved = reserved
        self.has_requested = False
        self.farewell: tuple[Id | msgspec.Raw, ControlError] | None = None
        self.mid_line = False  # a write has begun and not ended
        self._sock = sock
        self._hangups = hangups
        self._reading = trio.CancelScope()
        self._starting = False  # requests that were read are being started
        self._active_at = trio.current_time()  # when something was last read or written
        self._lines = LineBuffer(node.config.control_line_bytes)
        self._waker = Waker()  # of the writer
        self._responses = ResponseQueue(self._waker)
        self.subscriptions = Subscriptions(node.journal, node.runtime, self._waker, self._responses)
        self._capacity_freed = Broadcast()  # wakes the reader
        self._requests = Dispatcher(
            node, self, methods, self._responses, self.subscriptions, self._waker, self._capacity_freed
        )
        self._eof = False
        self._gone = False  # the client has closed its socket: writing is useless
        self._finishing = False

    async def run(self) -> None:
        """Serve the client until it has gone, or everything is written after `finish`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, nursery)
                nursery.start_soon(self._watch_hangup)
                if self.reserved:
                    nursery.start_soon(self._watch_silence)
                try:
                    await self._write()
                except _Stalled:
                    text = "control client disconnected: it read nothing for %(seconds)g s"
                    log.warning(text, {"seconds": self._stall})
                nursery.cancel_scope.cancel()
        finally:
            self.subscriptions.clear()

    def refuse_requests(self) -> None:
        """Answer every request with `shutting_down`, open ones too."""
        self._requests.stop()

    def finish(self) -> None:
        """Write all responses, and all events up to the newest; then end."""
        self._finishing = True
        self._waker.wake()

    def dismiss(self, error: ControlError, id_: Id | msgspec.Raw = None) -> None:
        """End the session with an error. No further request is started; the client gets `error` as the last line."""
        self.farewell = self.farewell or (id_, error)
        self._reading.cancel()
        self.finish()

    # -- the reserve

    def treat_as_ordinary(self) -> None:
        """Decide about a silent session in the reserve: give it an ordinary place or dismiss it."""
        refusal = self._refusal_of("")
        if refusal is not None:
            self.dismiss(refusal)

    @property
    def idle_since(self) -> float | None:
        """When something was last read or written; None while anything is open, unwritten or subscribed."""
        is_busy = self._starting or self._requests.open_count or self._responses or self.subscriptions
        return None if is_busy or self.mid_line or self._finishing else self._active_at

    def _refusal_of(self, method: str) -> ControlError | None:
        """Why the client may not call a method. From the reserve, most methods need an ordinary place."""
        if self.reserved and method not in OPERATOR_METHODS:
            refusal = self.limit.promote(self)
            if refusal is not None:
                return refusal
            self.reserved = False
        self.has_requested = True
        return None

    def _admit(self, request: Request | BadLine | None) -> bool:
        """Whether a session in the reserve may continue with this request. If not, the request is its last one."""
        if isinstance(request, BadLine) and request.blank:
            return True
        refusal = self._refusal_of(request.method if isinstance(request, Request) else "")
        if refusal is None:
            return True
        self.dismiss(refusal, None if request is None or request.id is msgspec.UNSET else request.id)
        return False

    async def _watch_silence(self) -> None:
        await trio.sleep(SILENCE_S)
        if not self.has_requested:
            self.treat_as_ordinary()

    # -- reading

    async def _read(self, nursery: trio.Nursery) -> None:
        with self._reading:
            while not self._eof:
                try:
                    data = await self._sock.recv(READ_BYTES)
                except OSError:  # reset: the client closed with responses unread
                    data = b""
                if self.farewell is not None:  # decided while the data was on its way into this task
                    break
                self._starting = True
                await self._start_requests(self._lines.receive(data) if data else self._lines.close(), nursery)
                self._starting = False
                self._active_at = trio.current_time()
                self._eof = not data
        self._waker.wake()

    async def _start_requests(self, lines: list[bytes | None], nursery: trio.Nursery) -> None:
        """Start requests in order, TURN at a time: consecutive requests of one method together, if it can do that."""
        requests, started = jsonrpc.parse_all(lines), 0
        runs = groupby(requests, attrgetter("method")) if requests is not None else [("", map(_parse, lines))]
        for name, run in runs:
            method = self.methods.get(name)
            while turn := [*islice(run, TURN)]:
                await self._wait_for_capacity()
                if method is None or self.reserved or not await self._requests.start_many(method, turn):
                    await self._start_each(turn, nursery)
                started += len(turn)
                if started >= TURN:
                    started = 0
                    await trio.lowlevel.checkpoint()

    async def _start_each(self, requests: Iterable[Request | BadLine | None], nursery: trio.Nursery) -> None:
        for request in requests:
            if self.reserved and not self._admit(request):
                await trio.lowlevel.checkpoint()  # `_reading` is cancelled
            await self._wait_for_capacity()
            await self._requests.start(request, nursery)

    async def _wait_for_capacity(self) -> None:
        """Wait until enough responses are read, enough requests are done, and the journal has capacity.

        In the reserve no method writes, so it does not wait for the journal: an operator must get
        answers while the disk is stuck.
        """
        most_bytes, most_open = self.node.config.control_buffer_bytes, self.node.config.requests_per_session
        while self._responses.unsent >= most_bytes or self._requests.open_count >= most_open:
            await self._capacity_freed.wait()
        if not self.reserved:
            await self.node.journal.wait_for_capacity()

    # -- writing

    async def _write(self) -> None:
        while True:
            due = self._responses.pop_due(CHUNK_BYTES)
            parts = self._parts_of(due)
            moved = await self.subscriptions.pull(parts)
            if parts:
                await self._send(b"".join(parts))
                self._active_at = trio.current_time()
                self._responses.mark_written(due)
                self._capacity_freed.notify()
            elif moved:
                await trio.lowlevel.checkpoint()
            elif self._is_over():
                return
            else:
                await self._waker.wait()

    def _is_over(self) -> bool:
        """Whether the session ends, given that nothing can be written now."""
        if self._responses or self._requests.open_count:
            return False
        return self._finishing or (self._eof and not self.subscriptions)

    def _parts_of(self, due: Sequence[Responses]) -> list[bytes]:
        """The bytes of responses. Events of a subscription may follow the response that contains its number."""
        for responses in due:
            if responses.subscription is not None:
                self.subscriptions.announce(responses.subscription)
        ready = [line for responses in due for line in responses.final_lines()]
        return [jsonrpc.encode(ready)] if ready else []

    async def _send(self, data: bytes) -> None:
        """Write all of it. Raises _Stalled if the client reads nothing for too long."""
        rest = memoryview(data)
        self.mid_line = True
        while rest and not self._gone:
            with trio.move_on_after(self._stall) as scope:
                try:
                    rest = rest[await self._sock.send(rest) :]
                except OSError:
                    self._hang_up()
            if scope.cancelled_caught:
                raise _Stalled
        self.mid_line = False

    @property
    def _stall(self) -> float:
        longest = self.node.config.session_stall
        return min(longest, RESERVE_STALL_S) if self.reserved else longest

    # -- the end of the client

    async def _watch_hangup(self) -> None:
        await self._hangups.wait(self._sock)
        self._hang_up()

    def _hang_up(self) -> None:
        """Write nothing more. Requests that the client had sent before are still executed."""
        self._gone = True
        self.subscriptions.clear()
        self._requests.abandon()
        self._waker.wake()


def _parse(line: bytes | None) -> Request | BadLine | None:
    """A request, or why it is none; None for a line that was too long."""
    try:
        return None if line is None else jsonrpc.parse(line)
    except BadLine as error:
        return error


class _Stalled(Exception):
    """The client has not read a byte for too long."""

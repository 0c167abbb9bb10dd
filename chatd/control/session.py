"""Session: one client. A task that reads requests, one that writes answers and events, one for each open request.

Requests start in the order they came; in which order they are answered is the business of answers.py. Everything that
can grow has a bound here, and at a bound the client is not read. Whether a session has an ordinary place, or one in the
reserve, is decided in places.py.
Knows no methods: it is given the table.
"""

import difflib
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, NoReturn

import msgspec
import trio

from chatd.api.errors import METHOD_NOT_FOUND, ControlError
from chatd.api.results import Subscribed
from chatd.control import jsonrpc, unix
from chatd.control.jsonrpc import BadLine, Id, LineBuffer, Request, RpcError, RpcReply
from chatd.control.methods.method import Method, patience
from chatd.control.responses import ResponseQueue, Responses
from chatd.control.session_limit import OPERATOR_METHODS, SessionLimit
from chatd.control.subscription import CHUNK_BYTES, Subscriptions
from chatd.journal.journal import LOST
from chatd.node import Node
from chatd.peers.outbox import NoCapacity
from chatd.runtime import Broadcast, Waker

READ_BYTES = 64 * 1024
SILENCE_S = 2.0  # a client may keep its first request to itself for so long, where places are scarce
RESERVE_STALL_S = 5.0  # instead of `session_stall`: an operator reads its answers, and another one may wait
TURN = 256  # requests handled before others get their turn
SHUTTING_DOWN = ("this node is shutting down", "start it again")
UNSET = msgspec.UNSET
_Begun = tuple[Id | msgspec.UnsetType, Coroutine[Any, Any, msgspec.Struct]] | None
log = logging.getLogger("chatd.control")


class Session:
    """One client on the control socket.

    `reserved`: it is in the reserve, and may call OPERATOR_METHODS only. `farewell`: why the daemon has ended it, and
    the id of the request that this answers.
    Resource handling: `run` leaves nothing of the session but the socket, which its supervisor closes.
    Error handling: a client that does anything odd is answered or closed; an exception out of `run` is a bug.
    """

    def __init__(
        self,
        node: Node,
        methods: Mapping[str, Method],
        sock: trio.socket.SocketType,
        places: "SessionLimit[Session]",
        hangups: unix.Hangups,
        *,
        reserved: bool = False,
    ) -> None:
        self.node = node
        self.methods = methods
        self.places = places
        self.reserved = reserved
        self.asked = False
        self.farewell: tuple[Id | msgspec.Raw, ControlError] | None = None
        self.mid_line = False  # a write has begun and not ended
        self._sock = sock
        self._hangups = hangups
        self._reading = trio.CancelScope()
        self._taking = False  # requests that were read are being started
        self._active = trio.current_time()  # when something was last read or written
        self._lines = LineBuffer(node.config.control_line_bytes)
        self._open: set[trio.CancelScope] = set()  # requests that are answered when they are done
        self._waker = Waker()  # of the writer
        self._answers = ResponseQueue(self._waker)
        self.subscriptions = Subscriptions(node.journal, node.runtime, self._waker, self._answers)
        self._room = Broadcast()  # of the reader
        self._eof = False
        self._gone = False  # the client cannot get anything any more
        self._stopping = False
        self._ending = False

    async def run(self) -> None:
        """Serve the client until it has gone, or `finish` was said and everything is written."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, nursery)
                nursery.start_soon(self._watch_hangup)
                if self.reserved:
                    nursery.start_soon(self._watch_silence)
                try:
                    await self._write()
                except _Stalled:
                    log.warning("a client that reads nothing for %g s was cut off", self._stall)
                nursery.cancel_scope.cancel()
        finally:
            self.subscriptions.clear()

    def refuse_requests(self) -> None:
        """Answer every request with `shutting_down` from now on, and those that are open."""
        self._stopping = True
        self._cancel_open()

    def finish(self) -> None:
        """Write every answer, and every event up to the newest; then end."""
        self._ending = True
        self._waker.wake()

    def dismiss(self, error: ControlError, id_: Id | msgspec.Raw = None) -> None:
        """End the session: no request that was not started by now will be, which is what `error` tells the client."""
        self.farewell = self.farewell or (id_, error)
        self._reading.cancel()
        self.finish()

    def give_way(self) -> None:
        """Decide about a session in the reserve that has not said what it wants: as if it were an ordinary client."""
        refusal = self._judge("")
        if refusal is not None:
            self.dismiss(refusal)

    @property
    def idle_since(self) -> float | None:
        """Since when nothing was asked or told; None while something is under way, or a subscription waits."""
        busy = self._taking or self._open or self._answers or self.subscriptions or self.mid_line or self._ending
        return None if busy else self._active

    def _judge(self, method: str) -> ControlError | None:
        """Why the client may not call a method. In the reserve an ordinary place is needed for most of them."""
        if self.reserved and method not in OPERATOR_METHODS:
            refusal = self.places.promote(self)
            if refusal is not None:
                return refusal
            self.reserved = False
        self.asked = True
        return None

    async def _watch_silence(self) -> None:
        await trio.sleep(SILENCE_S)
        if not self.asked:
            self.give_way()

    def _cancel_open(self) -> None:
        for scope in self._open:
            scope.cancel()

    # -- reading

    async def _read(self, nursery: trio.Nursery) -> None:
        with self._reading:
            while not self._eof:
                try:
                    data = await self._sock.recv(READ_BYTES)
                except OSError:  # reset: the client closed with answers unread
                    data = b""
                if self.farewell is not None:  # decided while the data was on its way into this task
                    break
                self._taking = True
                await self._take(self._lines.receive(data) if data else self._lines.close(), nursery)
                self._taking = False
                self._active = trio.current_time()
                self._eof = not data
        self._waker.wake()

    async def _take(self, lines: list[bytes | None], nursery: trio.Nursery) -> None:
        """Handle lines in order, TURN at a time: neighbours of one method together, where it has a way."""
        requests, done = jsonrpc.parse_all(lines), 0
        runs = groupby(requests, attrgetter("method")) if requests is not None else [("", map(_parsed, lines))]
        for name, neighbours in runs:
            method = self.methods.get(name)
            while turn := [*islice(neighbours, TURN)]:
                await self._bounds()
                if method is None or self.reserved or not await self._begin_many(method, turn):
                    await self._start_each(turn, nursery)
                done += len(turn)
                if done >= TURN:
                    done = 0
                    await trio.lowlevel.checkpoint()

    async def _bounds(self) -> None:
        """Wait until the client has taken enough of its answers, and open requests are done.

        And until the journal takes more; but in the reserve nothing is asked that writes, and a stuck disk is told of.
        """
        most_bytes, most_open = self.node.config.control_buffer_bytes, self.node.config.requests_per_session
        while self._answers.unsent >= most_bytes or len(self._open) >= most_open:
            await self._room.wait()
        if not self.reserved:
            await self.node.journal.wait_for_capacity()

    async def _begin_many(self, method: Method, requests: Sequence[Any]) -> bool:
        """`_start_many`, as soon as there is room for them."""
        while True:
            try:
                return self._start_many(method, requests)
            except NoCapacity as notyet:
                await patience(notyet)

    async def _begin(self, request: Request | BadLine | None) -> _Begun:
        """`_start`, as soon as there is room for it: nothing behind it is read meanwhile."""
        while True:
            try:
                return self._start(request)
            except NoCapacity as notyet:
                await patience(notyet)

    def _start_many(self, method: Method, requests: Sequence[Any]) -> bool:
        """Do neighbours at once, or nothing at all."""
        if method.many is None or self._stopping or self.node.journal.lost or len(requests) == 1:
            return False
        try:
            params = method.decoder.decode_lines(b"\n".join([one.params for one in requests]))
            outcomes = method.many(self.node, params)
        except (ValueError, RecursionError):  # parameters: one of them has to be told
            return False
        if outcomes is None:
            return False
        results, batch = outcomes
        pairs = zip(requests, results, strict=True)
        self._answers.add_after(
            batch, [RpcReply("2.0", one.id, result) for one, result in pairs if one.id is not UNSET]
        )
        return True

    async def _start_each(self, requests: Iterable[Request | BadLine | None], nursery: trio.Nursery) -> None:
        for request in requests:
            if self.reserved and not self._may(request):
                await trio.lowlevel.checkpoint()  # the reading ends here
            await self._bounds()
            begun = await self._begin(request)
            if begun is not None:
                await nursery.start(self._serve, *begun)

    def _may(self, request: Request | BadLine | None) -> bool:
        """Whether a session in the reserve may go on with a request. If not, this is the last one."""
        if isinstance(request, BadLine) and request.blank:
            return True
        refusal = self._judge(request.method if isinstance(request, Request) else "")
        if refusal is None:
            return True
        self.dismiss(refusal, None if request is None or request.id is UNSET else request.id)
        return False

    def _start(self, request: Request | BadLine | None) -> _Begun:
        """Do what a line asks for; what takes longer is given back, begun by nobody yet. Raises NoCapacity."""
        if request is None:
            limit = self.node.config.control_line_bytes
            self._refuse(None, ControlError("too_large", f"the line is over {limit} bytes and was skipped"))
            return None
        if isinstance(request, BadLine):
            if not request.blank:
                self._refuse(request.id, request)
            return None
        try:
            method = self.methods.get(request.method) or self._unknown(request.method)
            if self._stopping:
                raise ControlError("shutting_down", *SHUTTING_DOWN)
            params = jsonrpc.decode_params(method.decoder, request)
            if self.node.journal.lost and method.writes(params):
                raise LOST.again()
            outcome = method.handler(self.node, self, params)
        except (ControlError, RpcError) as error:
            self._refuse(request.id, error)
            return None
        if type(outcome) is tuple:
            if request.id is not UNSET:
                self._answers.add_after(outcome[1], [RpcReply("2.0", request.id, outcome[0])])
        elif isinstance(outcome, msgspec.Struct):
            self._answer(request.id, outcome)
        else:
            return request.id, outcome  # type: ignore[return-value]  # (mypy takes `is tuple` for no proof)
        return None

    def _unknown(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name[:64], self.methods, n=1)
        hint = f"did you mean {near[0]}?" if near else "rpc.discover lists all methods"
        raise RpcError(METHOD_NOT_FOUND, f"there is no method {name[:64]!r}", hint)

    async def _serve(
        self,
        id_: Id | msgspec.UnsetType,
        work: Coroutine[Any, Any, msgspec.Struct],
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Do one open request. It runs up to its first wait before the next one starts: hence `started` in here."""
        with trio.CancelScope() as scope:
            self._open.add(scope)
            if self._gone or self._stopping:
                scope.cancel()
            task_status.started()
            try:
                self._answer(id_, await work, loose=True)
            except (ControlError, RpcError) as error:
                self._refuse(id_, error, loose=True)
        self._open.discard(scope)
        if scope.cancelled_caught:
            self._refuse(id_, ControlError("shutting_down", *SHUTTING_DOWN), loose=True)
        self._room.notify()
        self._waker.wake()

    # -- answers

    def _answer(self, id_: Id | msgspec.UnsetType, result: msgspec.Struct, *, loose: bool = False) -> None:
        number = result.subscription if type(result) is Subscribed else None
        if id_ is not UNSET:
            self._answers.add(jsonrpc.result_line(RpcReply("2.0", id_, result)), loose=loose, announces=number)
        elif number is not None:
            self.subscriptions.announce(number)
            self._waker.wake()

    def _refuse(
        self, id_: Id | msgspec.Raw | msgspec.UnsetType, error: ControlError | RpcError, *, loose: bool = False
    ) -> None:
        if id_ is not UNSET:
            self._answers.add(jsonrpc.error_line(id_, error), loose=loose)

    # -- writing

    async def _write(self) -> None:
        while True:
            taken = self._answers.take(CHUNK_BYTES)
            parts = self._parts_of(taken)
            moved = await self.subscriptions.pull(parts)
            if parts:
                await self._send(b"".join(parts))
                self._active = trio.current_time()
                self._answers.written(taken)
                self._room.notify()
            elif moved:
                await trio.lowlevel.checkpoint()
            elif self._is_over():
                return
            else:
                await self._waker.wait()

    def _is_over(self) -> bool:
        """Asked when there is nothing to write."""
        if self._answers or self._open:
            return False
        return self._ending or (self._eof and not self.subscriptions)

    def _parts_of(self, taken: Sequence[Responses]) -> list[bytes]:
        """Answers as they are written; events of a subscription may follow once its number is told."""
        for answers in taken:
            if answers.announces is not None:
                self.subscriptions.announce(answers.announces)
        ready = [line for answers in taken for line in answers.outcome()]
        return [jsonrpc.encode(ready)] if ready else []

    async def _send(self, data: bytes) -> None:
        """Write it all, while the client takes some of it in time. Raises _Stalled."""
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
        """Nobody gets answers any more. What the client had sent before is still done."""
        self._gone = True
        self.subscriptions.clear()
        self._cancel_open()
        self._waker.wake()


def _parsed(line: bytes | None) -> Request | BadLine | None:
    """None: too long."""
    try:
        return None if line is None else jsonrpc.parse(line)
    except BadLine as fault:
        return fault


class _Stalled(Exception):
    """The client has not taken a byte for too long."""

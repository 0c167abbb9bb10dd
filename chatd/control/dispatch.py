"""Dispatcher: starts the requests of one session, and puts their results and errors into its response queue.

Requests start in the order in which they arrived; control/responses.py decides in which order they are answered. A
handler either finishes at once or returns work, which runs as a task: an open request. Knows no socket and no methods:
the session passes requests and the table of methods.
"""

import difflib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import trio

from chatd.api.errors import METHOD_NOT_FOUND, ControlError
from chatd.api.results import Subscribed
from chatd.control import jsonrpc
from chatd.control.jsonrpc import BadLine, Id, Request, RpcError, RpcReply
from chatd.control.methods.method import Method, wait_for_capacity
from chatd.control.responses import ResponseQueue
from chatd.control.subscription import Subscriptions
from chatd.journal.journal import LOST
from chatd.node import Node
from chatd.peers.outbox import NoCapacity
from chatd.sync import Broadcast, Waker

SHUTTING_DOWN = ("this node is shutting down", "start it again")
UNSET = msgspec.UNSET
OpenRequest = tuple[Id | msgspec.UnsetType, Coroutine[Any, Any, msgspec.Struct]]


class Dispatcher:
    """The requests of one session.

    `session` is passed to the handlers. `waker` wakes the session's writer. `changed` is notified when an open request
    has finished.
    """

    def __init__(
        self,
        node: Node,
        session: object,
        methods: Mapping[str, Method],
        responses: ResponseQueue,
        subscriptions: Subscriptions,
        waker: Waker,
        changed: Broadcast,
    ) -> None:
        self._node = node
        self._session = session
        self._methods = methods
        self._responses = responses
        self._subscriptions = subscriptions
        self._waker = waker
        self._changed = changed
        self._open: set[trio.CancelScope] = set()
        self._stopping = False
        self._abandoned = False

    @property
    def open_count(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Answer every request with `shutting_down`, open ones too."""
        self._stopping = True
        self._cancel_open()

    def abandon(self) -> None:
        """Cancel open requests, also future ones: the client reads no answers. Other requests are still executed."""
        self._abandoned = True
        self._cancel_open()

    def _cancel_open(self) -> None:
        for scope in self._open:
            scope.cancel()

    # -- starting

    async def start_many(self, method: Method, requests: Sequence[Any]) -> bool:
        """Execute consecutive requests of one method together. False: none was executed, so start each by itself.

        Waits while there is no capacity for them.
        """
        while True:
            try:
                return self._start_many(method, requests)
            except NoCapacity as error:
                await wait_for_capacity(error)

    async def start(self, request: Request | BadLine | None, nursery: trio.Nursery) -> None:
        """Start a request; None: a line that was too long. Waits while there is no capacity for it."""
        while True:
            try:
                open_request = self._start(request)
            except NoCapacity as error:
                await wait_for_capacity(error)
                continue
            if open_request is not None:
                await nursery.start(self._serve, *open_request)
            return

    def _start_many(self, method: Method, requests: Sequence[Any]) -> bool:
        if method.many is None or self._stopping or self._node.journal.lost or len(requests) == 1:
            return False
        try:
            params = method.decoder.decode_lines(b"\n".join([request.params for request in requests]))
            outcomes = method.many(self._node, params)
        except jsonrpc.UNDECODABLE:  # parameters: one of the requests gets an error
            return False
        if outcomes is None:
            return False
        results, batch = outcomes
        pairs = zip(requests, results, strict=True)
        self._responses.add_after(
            batch, [RpcReply("2.0", request.id, result) for request, result in pairs if request.id is not UNSET]
        )
        return True

    def _start(self, request: Request | BadLine | None) -> OpenRequest | None:
        """Execute a request, or return its work, which has not started. Raises NoCapacity."""
        if request is None:
            limit = self._node.config.control_line_bytes
            self._refuse(None, ControlError("too_large", f"the line is over {limit} bytes and was skipped"))
            return None
        if isinstance(request, BadLine):
            if not request.blank:
                self._refuse(request.id, request)
            return None
        try:
            method = self._methods.get(request.method) or self._unknown(request.method)
            if self._stopping:
                raise ControlError("shutting_down", *SHUTTING_DOWN)
            params = jsonrpc.decode_params(method.decoder, request)
            if self._node.journal.lost and method.writes(params):
                raise LOST.again()
            outcome = method.handler(self._node, self._session, params)
        except (ControlError, RpcError) as error:
            self._refuse(request.id, error)
            return None
        if type(outcome) is tuple:
            if request.id is not UNSET:
                self._responses.add_after(outcome[1], [RpcReply("2.0", request.id, outcome[0])])
        elif isinstance(outcome, msgspec.Struct):
            self._answer(request.id, outcome)
        else:
            return request.id, outcome  # type: ignore[return-value]  # (mypy does not narrow by `is tuple`)
        return None

    def _unknown(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name[:64], self._methods, n=1)
        hint = f"did you mean {near[0]}?" if near else "rpc.discover lists all methods"
        raise RpcError(METHOD_NOT_FOUND, f"there is no method {name[:64]!r}", hint)

    async def _serve(
        self,
        id_: Id | msgspec.UnsetType,
        work: Coroutine[Any, Any, msgspec.Struct],
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Do one open request. It runs up to its first wait before the next request starts."""
        with trio.CancelScope() as scope:
            self._open.add(scope)
            if self._abandoned or self._stopping:
                scope.cancel()
            task_status.started()
            try:
                self._answer(id_, await work, out_of_order=True)
            except (ControlError, RpcError) as error:
                self._refuse(id_, error, out_of_order=True)
        self._open.discard(scope)
        if scope.cancelled_caught:
            self._refuse(id_, ControlError("shutting_down", *SHUTTING_DOWN), out_of_order=True)
        self._changed.notify()
        self._waker.wake()

    # -- responses

    def _answer(self, id_: Id | msgspec.UnsetType, result: msgspec.Struct, *, out_of_order: bool = False) -> None:
        number = result.subscription if type(result) is Subscribed else None
        if id_ is not UNSET:
            line = jsonrpc.result_line(RpcReply("2.0", id_, result))
            self._responses.add(line, out_of_order=out_of_order, subscription=number)
        elif number is not None:
            self._subscriptions.announce(number)
            self._waker.wake()

    def _refuse(
        self, id_: Id | msgspec.Raw | msgspec.UnsetType, error: ControlError | RpcError, *, out_of_order: bool = False
    ) -> None:
        if id_ is not UNSET:
            self._responses.add(jsonrpc.error_line(id_, error), out_of_order=out_of_order)

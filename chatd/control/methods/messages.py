"""`send`, `reply`, `ask`, `msg` and `cancel`."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import Message, Receipt
from chatd.api.params import Ask, ById, Reply, Send
from chatd.api.results import Answer, Cancelled, Found, Sent
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.message_state import MessageStateWatch
from chatd.control.methods.method import wait_for_capacity
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.journal.batch import Batch, Entry
from chatd.journal.rawjson import is_queued, is_settled, names_room, with_state
from chatd.messages.chat import Answered, Options
from chatd.node import Node
from chatd.peers.outbox import NoCapacity
from chatd.peers.peer import Peer
from chatd.sync import Waker

MOST_TTL_S = 10 * 366 * 86400.0
Sending = tuple[Sent, Batch] | Coroutine[Any, Any, Sent]


def send(node: Node, _session: Session, params: Send) -> Sending:
    """Append a message to a peer; its commit accepts it."""
    return _send(node, node.registry.find(params.peer), params, None)


def send_many(node: Node, params: Sequence[Send]) -> tuple[list[Sent], Batch] | None:
    """Send consecutive messages, if all go to one native peer, without options, and are valid. Raises NoCapacity."""
    node.chat.keys.prefetch([request.key for request in params if request.key is not None])
    specs = {request.peer for request in params}
    try:
        peer = node.registry.find(specs.pop())
        if specs or peer.kind == "plain" or any(map(_has_options, params)):
            return None
        messages, batch = node.chat.send_all(peer, [request.text for request in params])
    except ControlError:
        return None
    return [Sent(message.position, "queued", message.peer) for message in messages], batch


def _has_options(params: Send) -> bool:
    return params.wait is not None or params.ttl is not None or params.key is not None or not params.queue


def _send(node: Node, peer: Peer, params: Send | Reply, re: Answered | None) -> Sending:
    if type(params) is Send and not _has_options(params):
        message, batch = node.chat.send(peer, params.text)
        return Sent(message.position, "queued", message.peer), batch
    _check(peer, params)
    if params.key is not None and (seq := node.chat.find_keyed(peer, params.text, params.key)) is not None:
        return _repeated(MessageStateWatch(node, peer, seq), params)
    options = Options(ttl=params.ttl, key=params.key, queue=params.queue, re=re)
    message, batch = node.chat.send(peer, params.text, options)
    if params.wait is None:
        return Sent(message.position, "queued", message.peer), batch
    return _wait(MessageStateWatch(node, peer, node.journal.appended), batch, params.wait, params.timeout)


def _check(peer: Peer, params: Send | Reply | Ask) -> None:
    """Raise RpcError, or ControlError for options that a plain peer does not support."""
    check_timeout(params.timeout)
    if params.ttl is not None and not 0 < params.ttl <= MOST_TTL_S:
        raise RpcError(INVALID_PARAMS, "ttl is not within 0 s to 10 years")
    wait = getattr(params, "wait", None)
    if wait not in (None, "sent", "delivered"):
        raise RpcError(INVALID_PARAMS, f"wait: {str(wait)[:64]!r} is neither sent nor delivered")
    if wait == "delivered" and peer.kind == "plain":
        hint = "sent is all that can be known there: wait for that"
        raise ControlError("conflict", f"{peer.name} is a plain peer: it acknowledges nothing", hint, reason="plain")


async def _wait(watch: MessageStateWatch, batch: Batch, state: str, timeout: float | None) -> Sent:
    await batch.wait()
    return watch.result(await watch.wait(state, timeout))


async def _repeated(watch: MessageStateWatch, params: Send | Reply) -> Sent:
    """The result for an idempotency key that was used before, with the message's present state."""
    if params.wait is not None:
        return watch.result(await watch.wait(params.wait, params.timeout))
    return watch.result(await watch.state())


async def _send_and_wait(start: Callable[[], Sending]) -> Sent:
    """Send as soon as there is capacity, and wait for the result."""
    while True:
        try:
            sending = start()
        except NoCapacity as error:
            await wait_for_capacity(error)
            continue
        if not isinstance(sending, tuple):
            return await sending
        sent, batch = sending
        await batch.wait()
        return sent


def reply(node: Node, _session: Session, params: Reply) -> Sending:
    """Send an answer to the sender of a received message."""
    entry = node.chat.lookup.find_now(params.id)
    if entry.direction != "in":
        hint = "answer a message that came in"
        raise ControlError("conflict", f"message {params.id} is of this node itself", hint, reason="own")
    message = cast(Message, entry.event)
    if (room := message.room) is not None:
        hint = f"say it there: `chatctl say {room} TEXT`"
        raise ControlError("conflict", f"message {params.id} was said in {room}", hint, reason="room")
    peer = node.chat.lookup.peer_of(entry)
    return _send(node, peer, params, Answered(message.id, message.global_id))


async def ask(node: Node, _session: Session, params: Ask) -> Answer:
    """Send a message and wait for the peer's answer to exactly this one."""
    peer = node.registry.find(params.peer)
    _check(peer, params)
    if peer.kind == "plain":
        hint = "send, and look at what comes"
        message = f"{peer.name} is a plain peer: it cannot say what it answers"
        raise ControlError("conflict", message, hint, reason="plain")
    request = Send(params.peer, params.text, ttl=params.ttl, key=params.key, queue=params.queue)
    question = await _send_and_wait(lambda: _send(node, peer, request, None))
    with trio.move_on_after(float("inf") if params.timeout is None else params.timeout):
        answer = await _answer(node, peer, question.id)
        return Answer(question.id, msgspec.Raw(answer.raw))
    hint = (
        f"the question is {await MessageStateWatch.of_id(node, peer, question.id).state()}: `chatctl msg {question.id}`"
    )
    message = f"{peer.name} has not answered within {params.timeout:g} s"
    raise ControlError("timeout", message, hint, id=question.id)


async def _answer(node: Node, peer: Peer, question: str) -> Entry:
    """The peer's first message that answers the question. Raises ControlError if the question is given up."""
    journal, waker, cursor = node.journal, Waker(), node.journal.resolve(question)
    journal.watch(waker, peer.stream_id)
    try:
        while True:
            entries, cursor = await journal.read(cursor, peer.stream_id)
            for entry in entries:
                if entry.direction == "in" and cast(Message, entry.event).re == question:
                    return entry
                if entry.type == "receipt" and (receipt := cast(Receipt, entry.event)).id == question:
                    raise MessageStateWatch.of_id(node, peer, question).error(receipt.state)
            if cursor >= journal.committed:
                await waker.wait()
    finally:
        journal.unwatch(waker, peer.stream_id)


async def msg(node: Node, _session: Session, params: ById) -> Found:
    """One message with its present state."""
    entry = await node.chat.lookup.find_any(params.id)
    (raw,) = await present(node, [entry])
    return Found(raw)


async def cancel(node: Node, _session: Session, params: ById) -> Cancelled:
    """Cancel a message that was not delivered yet."""
    entry = await node.chat.lookup.find(params.id)
    if names_room(entry.raw) and (entry.direction == "in" or is_settled(entry.raw)):
        message, hint = f"message {params.id[:64]} is in its place in a room", "it is too late to take it back"
        raise ControlError("conflict", message, hint, reason="delivered")
    state = await node.chat.states.cancel(node.chat.lookup.peer_of(entry), entry)
    return Cancelled(node.journal.position(entry.seq), state)


async def present(node: Node, entries: Sequence[Entry]) -> list[msgspec.Raw]:
    """The JSON of entries, with the present states of outgoing messages."""
    states = await node.chat.states.states([entry for entry in entries if is_queued(entry.raw)])
    return [
        msgspec.Raw(with_state(entry.raw, states[entry.seq]) if entry.seq in states else entry.raw) for entry in entries
    ]

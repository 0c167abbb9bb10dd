"""`subscribe` and `unsubscribe`."""

from collections.abc import Coroutine
from typing import Any

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.params import Filter, From, Subscribe, Unsubscribe
from chatd.api.results import Empty, PeerList, Subscribed
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.consumers import check_name
from chatd.control.selection import Selection, find_scope, known_start, search_start
from chatd.control.session import Session
from chatd.messages.consumers import Consumer, ConsumerReader
from chatd.node import Node

MOST_WINDOW = 65536
Subscribing = Subscribed | Coroutine[Any, Any, Subscribed]


def subscribe(node: Node, session: Session, params: Subscribe) -> Subscribing:
    """Subscribe to events from a start on. Events that were committed before the subscription are replay."""
    if params.as_ is not None:
        return _subscribe_as(node, session, params, params.as_)
    selection = Selection.new(node, params.filter)
    boundary = node.journal.committed
    cursor = known_start(node.journal, params.from_)
    if cursor is None and isinstance(params.from_, From):
        return _subscribe_after_search(node, session, selection, params.from_, boundary)
    return _register(node, session, selection, cursor or 0, boundary)


async def _subscribe_after_search(
    node: Node, session: Session, selection: Selection, start: From, boundary: int
) -> Subscribed:
    cursor = await search_start(node.journal, start, selection)
    return _register(node, session, selection, min(cursor, boundary), boundary)


def _register(
    node: Node, session: Session, selection: Selection, cursor: int, boundary: int, reader: ConsumerReader | None = None
) -> Subscribed:
    """Add the subscription and take the snapshot without an await: an event follows for every later change."""
    if reader is None:
        _check_capacity(node, session)
    journal = node.journal
    number = session.subscriptions.add(selection, cursor, boundary, reader)
    snapshot = PeerList(node.registry.records(gone=False))
    return Subscribed(number, journal.position(boundary), journal.position(cursor), snapshot)


def _check_capacity(node: Node, session: Session) -> None:
    limit = node.config.requests_per_session
    if len(session.subscriptions) >= limit:
        raise ControlError("rate_limited", f"a session has at most {limit} subscriptions", "end one, or connect again")


# -- as a consumer


def _subscribe_as(node: Node, session: Session, params: Subscribe, name: str) -> Subscribing:
    check_name(name)
    if not 0 < params.window <= MOST_WINDOW:
        raise RpcError(INVALID_PARAMS, f"window is not within 1 to {MOST_WINDOW}")
    consumer = node.consumers.get(name)
    if consumer is None or node.consumers.creation(consumer) is not None:
        return _subscribe_new(node, session, params, name)
    return _resume(node, session, params, consumer)


async def _subscribe_new(node: Node, session: Session, params: Subscribe, name: str) -> Subscribed:
    """Create the consumer, commit it, then subscribe. Another session may create it meanwhile."""
    while True:
        consumer = node.consumers.get(name)
        if consumer is None:
            await _create(node, params, name)
        elif (creation := node.consumers.creation(consumer)) is not None:
            await creation.wait()
        else:
            return _resume(node, session, params, consumer)


async def _create(node: Node, params: Subscribe, name: str) -> None:
    """Create the consumer, unless another session does so during the search for its start."""
    selection = Selection.new(node, params.filter)
    cursor = known_start(node.journal, params.from_)
    if cursor is None and isinstance(params.from_, From):
        cursor = await search_start(node.journal, params.from_, selection)
    if node.consumers.get(name) is None:
        await node.consumers.create(name, cursor or 0, params.filter or Filter(), selection.main_stream_id).wait()


def _resume(node: Node, session: Session, params: Subscribe, consumer: Consumer) -> Subscribed:
    """Continue after the consumer's last acknowledgement."""
    if params.filter is not None and not _is_same_filter(node, consumer, params.filter):
        hint = f"leave the filter out, or `chatctl consumer remove {consumer.name}` first"
        raise ControlError("conflict", f"{consumer.name} was made with another filter", hint, reason="filter")
    _check_capacity(node, session)
    selection = Selection.of_consumer(node, consumer)
    reader = node.consumers.attach_reader(consumer, params.window, takeover=params.takeover)
    return _register(node, session, selection, consumer.seq, node.journal.committed, reader)


def _is_same_filter(node: Node, consumer: Consumer, wanted: Filter) -> bool:
    """Whether a filter equals the consumer's, with types in any order and any name of its peer or room."""
    own = consumer.filter
    if (own.direction, _types(own)) != (wanted.direction, _types(wanted)):
        return False
    scopes = (own.peer, own.room), (wanted.peer, wanted.room)
    if scopes[0] == scopes[1] or (None, None) in scopes:
        return scopes[0] == scopes[1]
    return Selection(find_scope(node, wanted), None).main_stream_id == consumer.stream_id


def _types(wanted: Filter) -> frozenset[str] | None:
    return None if wanted.types is None else frozenset(wanted.types)


def unsubscribe(_node: Node, session: Session, params: Unsubscribe) -> Empty:
    """End a subscription: no event of it follows the response."""
    try:
        session.subscriptions.remove(params.subscription)
    except KeyError:
        raise RpcError(INVALID_PARAMS, f"this session has no subscription {params.subscription}") from None
    return Empty()

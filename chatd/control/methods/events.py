"""`subscribe` and `unsubscribe`."""

from collections.abc import Coroutine
from typing import Any

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.records import Empty, PeerList, Subscribed
from chatd.api.requests import From, Subscribe, Unsubscribe
from chatd.control.jsonrpc import Fault
from chatd.control.selection import Selection, known_start, sought_start
from chatd.control.session import Session
from chatd.node import Node


def subscribe(node: Node, session: Session, params: Subscribe) -> Subscribed | Coroutine[Any, Any, Subscribed]:
    """Events from a start on. What was committed when it began is replay."""
    selection = Selection(node.registry, params.filter)
    boundary = node.journal.committed
    cursor = known_start(node.journal, params.from_)
    if cursor is None and isinstance(params.from_, From):
        return _subscribe_sought(node, session, selection, params.from_, boundary)
    return _register(node, session, selection, cursor or 0, boundary)


async def _subscribe_sought(
    node: Node, session: Session, selection: Selection, start: From, boundary: int
) -> Subscribed:
    cursor = await sought_start(node.journal, start, selection)
    return _register(node, session, selection, min(cursor, boundary), boundary)


def _register(node: Node, session: Session, selection: Selection, cursor: int, boundary: int) -> Subscribed:
    """One step, without an await: what the snapshot does not show yet, an event will."""
    limit = node.config.requests_per_session
    if len(session.subscriptions) >= limit:
        raise ControlError("rate_limited", f"a session has at most {limit} subscriptions", "end one, or connect again")
    number = session.subscriptions.add(selection, cursor, boundary)
    return Subscribed(number, node.journal.position(boundary), PeerList(node.registry.records(gone=False)))


def unsubscribe(_node: Node, session: Session, params: Unsubscribe) -> Empty:
    """No event of it follows behind the answer."""
    try:
        session.subscriptions.remove(params.subscription)
    except KeyError:
        raise Fault(INVALID_PARAMS, f"this session has no subscription {params.subscription}") from None
    return Empty()

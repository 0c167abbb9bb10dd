"""`ack`, `consumers` and `consumer.remove`; and the check of a consumer's name for `subscribe`."""

import msgspec

from chatd.api.errors import INVALID_PARAMS
from chatd.api.params import Ack, ByConsumer, Nothing
from chatd.api.results import Acked, ConsumerList, ConsumerRecord
from chatd.control.jsonrpc import RpcError
from chatd.control.selection import Selection
from chatd.control.session import Session
from chatd.journal import search
from chatd.journal.batch import Batch
from chatd.journal.search import CountRequest
from chatd.messages.consumers import Consumer
from chatd.node import Node
from chatd.paths import NAME_RULE, valid_name
from chatd.runtime import stamp


def ack(node: Node, _session: Session, params: Ack) -> tuple[Acked, Batch]:
    """Acknowledge up to and including a position; the result contains the consumer's position after that."""
    consumer = _find(node, params.consumer)
    batch = node.consumers.ack(consumer, node.journal.resolve(params.position))
    return Acked(consumer.name, node.journal.position(consumer.seq)), batch


def remove(node: Node, _session: Session, params: ByConsumer) -> tuple[Acked, Batch]:
    """Remove a consumer without a reader."""
    consumer = _find(node, params.consumer)
    batch = node.consumers.remove(consumer)
    return Acked(consumer.name, node.journal.position(consumer.seq)), batch


async def consumers(node: Node, _session: Session, _params: Nothing) -> ConsumerList:
    """All consumers by name, each with its lag."""
    listed = list(node.consumers)
    requests = [_count_request(consumer.seq, Selection.of_consumer(node, consumer)) for consumer in listed]
    records = [_record(node, consumer) for consumer in listed]
    lags = await search.count(node.journal, requests)
    return ConsumerList([msgspec.structs.replace(record, lag=lag) for record, lag in zip(records, lags, strict=True)])


def _count_request(seq: int, selection: Selection) -> CountRequest:
    return CountRequest(seq, selection.stream_id, selection.match, selection.heads)


def _record(node: Node, consumer: Consumer) -> ConsumerRecord:
    return ConsumerRecord(
        name=consumer.name,
        position=node.journal.position(consumer.seq),
        lag=0,
        held=consumer.reader is not None,
        last_seen=stamp(node.consumers.last_seen(consumer) / 1000),
        filter=msgspec.Raw(consumer.shown_filter),
    )


def check_name(name: str) -> None:
    """Raise RpcError for an invalid name."""
    if not valid_name(name):
        raise RpcError(INVALID_PARAMS, f"{name[:64]!r} is no name for a consumer", f"a name is {NAME_RULE}")


def _find(node: Node, name: str) -> Consumer:
    check_name(name)
    consumer = node.consumers.get(name)
    if consumer is None:
        raise RpcError(INVALID_PARAMS, f"there is no consumer {name}", "`chatctl consumers` lists them")
    return consumer

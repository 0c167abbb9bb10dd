"""`send` and `history`."""

from collections.abc import Sequence

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.records import HistoryPage, Sent
from chatd.api.requests import From, History, Send
from chatd.control.jsonrpc import Fault
from chatd.control.selection import Selection, known_start, seconds_of, sought_start
from chatd.control.session import Session
from chatd.core.batch import Batch
from chatd.node import Node

PAGE_BYTES = 256 * 1024


def send(node: Node, _session: Session, params: Send) -> tuple[Sent, Batch]:
    """Append a message to a peer; it is accepted with its commit."""
    message, batch = node.chat.send(node.registry.find(params.peer), params.text)
    return Sent(message.id or "", "queued", message.peer), batch


def send_many(node: Node, params: Sequence[Send]) -> tuple[list[Sent], Batch] | None:
    """Neighbours, if they all go to one native peer and nothing is wrong with any of them."""
    specs = {one.peer for one in params}
    try:
        peer = node.registry.find(specs.pop())
        if specs or peer.kind == "plain":
            return None
        messages, batch = node.chat.send_all(peer, [one.text for one in params])
    except ControlError:
        return None
    return [Sent(message.position, "queued", message.peer) for message in messages], batch


async def history(node: Node, _session: Session, params: History) -> HistoryPage:
    """A page of what was committed when it was asked for, oldest first."""
    if params.n < 0:
        raise Fault(INVALID_PARAMS, "n is negative")
    until = None if params.until is None else int(seconds_of("until", params.until) * 1000)
    selection = Selection(node.registry, params.filter, until)
    journal, end = node.journal, node.journal.committed
    wanted = params.from_ if params.from_ is not None else From(last=params.n)
    after = known_start(journal, wanted)
    if after is None and isinstance(wanted, From):
        after = await sought_start(journal, wanted, selection)
    raws, through = await _collect(node, selection, after or 0, end, params.n)
    more = through < end and params.n > 0 and (params.from_ is not None or len(raws) < params.n)
    return HistoryPage(raws, journal.position(through) if more else None)


async def _collect(node: Node, selection: Selection, after: int, end: int, n: int) -> tuple[list[msgspec.Raw], int]:
    """At most `n` matching events and about PAGE_BYTES; and the seq up to which all was looked at."""
    raws: list[msgspec.Raw] = []
    size = 0
    while after < end and len(raws) < n:
        entries, through = await node.journal.read(after, selection.topic)
        for entry in entries:
            if entry.seq > end:
                break
            if not selection.matches(entry):
                continue
            size += len(entry.raw)
            if size > PAGE_BYTES and raws:
                return raws, after
            raws.append(msgspec.Raw(entry.raw))
            after = entry.seq
            if len(raws) == n:
                return raws, after
        after = min(through, end)
        await trio.lowlevel.checkpoint()
    return raws, after

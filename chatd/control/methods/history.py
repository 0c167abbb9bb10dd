"""`history`: pages of past events, oldest first. A page contains events that were committed when it was requested."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS
from chatd.api.params import From, History
from chatd.api.results import HistoryPage
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.messages import present
from chatd.control.selection import Selection, known_start, read_or_gap, search_start, seconds_of
from chatd.control.session import Session
from chatd.journal.batch import Entry, StreamIds
from chatd.journal.conditions import ANYTHING, Condition
from chatd.node import Node
from chatd.query.room_history import MESSAGES_PER_READ, RoomHistory, shows_own_messages

PAGE_BYTES = 256 * 1024
SHOWN = "+"  # in `next` of a joined room: POSITION+SEQ, where SEQ is our newest message that was shown without a place

# Turns entries of the journal, in order and at most MESSAGES_PER_READ at a time, into those that the page contains.
Arrange = Callable[[Sequence[Entry]], Awaitable[Sequence[Entry]]]


async def history(node: Node, _session: Session, params: History) -> HistoryPage:
    if params.n < 0:
        raise RpcError(INVALID_PARAMS, "n is negative")
    until = None if params.until is None else int(seconds_of("until", params.until) * 1000)
    selection = Selection.new(node, params.filter, until)
    if selection.joined_room is not None and shows_own_messages(params.filter):
        return await _room_page(node, selection, params)
    journal, end = node.journal, node.journal.committed
    wanted = params.from_ if params.from_ is not None else From(last=params.n)
    after = known_start(journal, wanted)
    if after is None and isinstance(wanted, From):
        after = await search_start(journal, wanted, selection)
    entries, through = await _collect(
        node, selection.select, selection.stream_id, after or 0, end, params.n, selection.where
    )
    more = through < end and _has_next_page(params, entries)
    return HistoryPage(await present(node, entries), journal.position(through) if more else None)


def _has_next_page(params: History, entries: Sequence[Entry]) -> bool:
    """Whether another page follows one that does not reach the end."""
    return params.n > 0 and (params.from_ is not None or len(entries) < params.n)


async def _collect(
    node: Node, arrange: Arrange, stream_id: StreamIds, after: int, end: int, n: int, where: Condition = ANYTHING
) -> tuple[list[Entry], int]:
    """At most `n` events and about PAGE_BYTES; and the last seq examined."""
    collected: list[Entry] = []
    size = 0
    while after < end and len(collected) < n:
        entries, through = await read_or_gap(node.journal, node.runtime, after, stream_id, where=where)
        for start in range(0, len(entries), MESSAGES_PER_READ):
            chunk = [entry for entry in entries[start : start + MESSAGES_PER_READ] if entry.seq <= end]
            for entry in await arrange(chunk):
                size += len(entry.raw)
                if size > PAGE_BYTES and collected:
                    return collected, after
                collected.append(entry)
                after = entry.seq
                if len(collected) == n:
                    return collected, after
        after = min(through, end)
        await trio.lowlevel.checkpoint()
    return collected, after


# -- a room of another node


async def _room_page(node: Node, selection: Selection, params: History) -> HistoryPage:
    """A page in the order of the host; our messages that it has not placed come last."""
    room = selection.joined_room
    assert room is not None
    journal = node.journal
    wanted, shown = _split(params.from_ if params.from_ is not None else From(last=params.n))
    host = node.registry.by_node(room.host)
    room_history = RoomHistory(journal, node.chat.states, room, host, selection.matches, shown)
    after, end = known_start(journal, wanted), journal.committed
    unplaced: list[int] | None = [] if params.from_ == "now" else None
    if after is None and isinstance(wanted, From) and wanted.last is not None:
        unplaced = await room_history.unplaced()
        end, unplaced = journal.committed, unplaced[max(0, len(unplaced) - wanted.last) :]
        after = await room_history.seek_last(wanted.last - len(unplaced))
    elif after is None and isinstance(wanted, From):
        after = await search_start(journal, wanted, selection)
    entries, through = await _collect(node, room_history.arrange, selection.stream_id, after or 0, end, params.n)
    if unplaced is None and through >= end and len(entries) < params.n:
        unplaced, end = await room_history.unplaced(), journal.committed
        more, through = await _collect(
            node, room_history.arrange, selection.stream_id, through, end, params.n - len(entries)
        )
        entries += more
    is_all = through >= end and unplaced is not None
    if is_all and unplaced is not None:
        rest, is_all = await room_history.read_unplaced(unplaced, params.n - len(entries), PAGE_BYTES)
        entries += rest
    next_ = journal.position(through) + (f"{SHOWN}{room_history.shown}" if room_history.shown else "")
    return HistoryPage(await present(node, entries), None if is_all or not _has_next_page(params, entries) else next_)


def _split(wanted: str | From) -> tuple[str | From, int]:
    """A start; and the seq of our newest message that was shown, if the start is the `next` of a page."""
    if isinstance(wanted, From) and wanted.position is not None:
        position, _, digits = wanted.position.partition(SHOWN)
        if 0 < len(digits) < 19 and digits.isascii() and digits.isdigit():
            return msgspec.structs.replace(wanted, position=position), int(digits)
    return wanted, 0

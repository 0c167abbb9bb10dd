"""`history`: pages of the past, oldest first, each of what was committed when it was asked for."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS
from chatd.api.params import From, History
from chatd.api.results import HistoryPage
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.messages import present
from chatd.control.room_history import FEW, RoomHistory, has_own
from chatd.control.selection import Selection, known_start, read_on, seconds_of, sought_start
from chatd.control.session import Session
from chatd.journal.batch import Entry, StreamIds
from chatd.journal.conditions import ANYTHING, Condition
from chatd.node import Node

PAGE_BYTES = 256 * 1024
SHOWN = "+"  # in a `next` between the place up to which all is shown and the seq of our newest message that is


class Teller(Protocol):
    """Says what is shown of neighbours in the journal, in whose places."""

    async def pick(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What stands where they are."""


async def history(node: Node, _session: Session, params: History) -> HistoryPage:
    """A page, and where to go on."""
    if params.n < 0:
        raise RpcError(INVALID_PARAMS, "n is negative")
    until = None if params.until is None else int(seconds_of("until", params.until) * 1000)
    selection = Selection.new(node, params.filter, until)
    if selection.joined_room is not None and has_own(params.filter):
        return await _converse(node, selection, params)
    journal, end = node.journal, node.journal.committed
    wanted = params.from_ if params.from_ is not None else From(last=params.n)
    after = known_start(journal, wanted)
    if after is None and isinstance(wanted, From):
        after = await sought_start(journal, wanted, selection)
    entries, through = await _collect(node, selection, selection.stream_id, after or 0, end, params.n, selection.where)
    more = through < end and _goes_on(params, entries)
    return HistoryPage(await present(node, entries), journal.position(through) if more else None)


def _goes_on(params: History, entries: Sequence[Entry]) -> bool:
    """Whether there is a page behind one that does not reach the end."""
    return params.n > 0 and (params.from_ is not None or len(entries) < params.n)


async def _collect(
    node: Node, teller: Teller, stream_id: StreamIds, after: int, end: int, n: int, where: Condition = ANYTHING
) -> tuple[list[Entry], int]:
    """At most `n` events that are shown and about PAGE_BYTES; and the seq up to which all was looked at."""
    found: list[Entry] = []
    size = 0
    while after < end and len(found) < n:
        entries, through = await read_on(node.journal, node.runtime, after, stream_id, where=where)
        for start in range(0, len(entries), FEW):
            for entry in await teller.pick([one for one in entries[start : start + FEW] if one.seq <= end]):
                size += len(entry.raw)
                if size > PAGE_BYTES and found:
                    return found, after
                found.append(entry)
                after = entry.seq
                if len(found) == n:
                    return found, after
        after = min(through, end)
        await trio.lowlevel.checkpoint()
    return found, after


# -- a room of another node


async def _converse(node: Node, selection: Selection, params: History) -> HistoryPage:
    """The same, where what we said stands where the host has put it; behind all others what has not come back."""
    assert selection.joined_room is not None
    journal = node.journal
    wanted, shown = _split(params.from_ if params.from_ is not None else From(last=params.n))
    told = RoomHistory(node, selection.joined_room, selection, shown)
    after, end = known_start(journal, wanted), journal.committed
    waiting: list[int] | None = [] if params.from_ == "now" else None
    if after is None and isinstance(wanted, From) and wanted.last is not None:
        waiting = await told.waiting()
        end, waiting = journal.committed, waiting[max(0, len(waiting) - wanted.last) :]
        after = await told.seek(wanted.last - len(waiting))
    elif after is None and isinstance(wanted, From):
        after = await sought_start(journal, wanted, selection)
    found, through = await _collect(node, told, selection.stream_id, after or 0, end, params.n)
    if waiting is None and through >= end and len(found) < params.n:
        waiting, end = await told.waiting(), journal.committed
        more, through = await _collect(node, told, selection.stream_id, through, end, params.n - len(found))
        found += more
    is_all = through >= end and waiting is not None
    if is_all and waiting is not None:
        rest, is_all = await told.rest(waiting, params.n - len(found), PAGE_BYTES)
        found += rest
    next_ = journal.position(through) + (f"{SHOWN}{told.shown}" if told.shown else "")
    return HistoryPage(await present(node, found), None if is_all or not _goes_on(params, found) else next_)


def _split(wanted: str | From) -> tuple[str | From, int]:
    """A start, and from a `next` of ours the seq of our newest message that was shown."""
    if isinstance(wanted, From) and wanted.position is not None:
        place, _, digits = wanted.position.partition(SHOWN)
        if 0 < len(digits) < 19 and digits.isascii() and digits.isdigit():
            return msgspec.structs.replace(wanted, position=place), int(digits)
    return wanted, 0

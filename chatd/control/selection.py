"""Selection: the events that a client asks for; the position at which it starts; and the gap for deleted events.

`subscribe` and `history` share it. It resolves names and checks requests; query/filters.py judges entries.
"""

import difflib
from collections.abc import Sequence
from typing import Self

import msgspec

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import EVENT_TYPES, Gap
from chatd.api.params import Filter, From
from chatd.control.jsonrpc import RpcError
from chatd.journal.batch import Entry, StreamIds, stream_ids_of
from chatd.journal.conditions import ANYTHING, Condition
from chatd.journal.journal import PAGE_ROWS, Journal, Page
from chatd.journal.search import seek_last, seek_time
from chatd.messages.consumers import Consumer
from chatd.node import Node
from chatd.query.filters import (
    ALWAYS,
    Scope,
    all_of,
    column_tests,
    condition_of,
    consumer_scope,
    peer_scope,
    room_scope,
)
from chatd.rooms.joined_room import JoinedRoom
from chatd.rooms.room import HostedRoom
from chatd.runtime import Runtime, parse_stamp, stamp

STARTS = 'from is "now", "start", or one of {"position":…}, {"since":…}, {"last":…}'
_encode = msgspec.json.Encoder().encode


class Selection:
    """A resolved filter: the streams to read, and the test of an entry (None: all match).

    `where` is the part of the test that the store can judge. `heads`: `match` needs the heads of bodies.
    """

    __slots__ = ("heads", "joined_room", "match", "stream_id", "where")

    def __init__(self, scope: Scope, wanted: Filter | None, until_ms: int | None = None) -> None:
        """Raises RpcError."""
        self.stream_id = scope.stream_id
        self.joined_room = scope.joined_room
        self.heads = scope.test is not None
        tests = [] if wanted is None else column_tests(_checked(wanted))
        if scope.test is not None:
            tests.append(scope.test)
        if until_ms is not None:
            tests.append(lambda entry: entry.at_ms < until_ms)
        self.match = all_of(tests)
        self.where = condition_of(wanted, until_ms)

    @classmethod
    def new(cls, node: Node, wanted: Filter | None, until_ms: int | None = None) -> Self:
        """The selection of a request. Raises RpcError, and ControlError for an unknown peer or room."""
        return cls(find_scope(node, wanted), wanted, until_ms)

    @classmethod
    def of_consumer(cls, node: Node, consumer: Consumer) -> Self:
        """The selection of a consumer, with the peer or room that its filter named when it was created."""
        return cls(consumer_scope(node.registry, node.joined_rooms, consumer), consumer.filter)

    @property
    def main_stream_id(self) -> int | None:
        """The stream id from which `of_consumer` finds the same scope."""
        return stream_ids_of(self.stream_id)[0]

    def matches(self, entry: Entry) -> bool:
        return self.match is None or self.match(entry)

    async def select(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        return [entry for entry in entries if self.matches(entry)]


def find_scope(node: Node, wanted: Filter | None) -> Scope:
    """The scope of a filter. Raises RpcError, ControlError unknown_peer, ambiguous_peer, unknown_room."""
    if wanted is None or (wanted.peer is None and wanted.room is None):
        return Scope()
    if wanted.peer is None:
        return room_scope(node.registry, node.joined_rooms.find(wanted.room or ""))
    if wanted.room is not None:
        raise RpcError(
            INVALID_PARAMS, "filter has a peer and a room", "a room's messages are those of all who are in it"
        )
    try:
        return peer_scope(node.registry.find(wanted.peer))
    except ControlError as error:
        room = _find_room(node, wanted.peer) if error.kind == "unknown_peer" else None
        if room is not None:
            return room_scope(node.registry, room)
        if error.kind != "unknown_peer" or isinstance(wanted.peer, int):
            raise
        hint = "`chatctl list --all` and `chatctl room list` show what there is"
        raise ControlError(error.kind, f"there is no peer or room {wanted.peer[:64]!r}", hint) from None


def _find_room(node: Node, spec: int | str) -> HostedRoom | JoinedRoom | None:
    """The room of that name, if there is one. Raises ControlError if several match."""
    names = {room.name for room in node.hosted_rooms} | {room.name for room in node.joined_rooms}
    if isinstance(spec, str) and ("@" in spec or spec in names):
        return node.joined_rooms.find(spec)
    return None


def _checked(wanted: Filter) -> Filter:
    """The filter itself. Raises RpcError for unknown types or directions."""
    for name in wanted.types or ():
        _check_type(name)
    if wanted.direction not in (None, "in", "out"):
        raise RpcError(INVALID_PARAMS, f"filter.direction: {wanted.direction!r} is neither in nor out")
    return wanted


def _check_type(name: str) -> None:
    if name in EVENT_TYPES:
        return
    near = difflib.get_close_matches(name[:64], EVENT_TYPES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(EVENT_TYPES)}"
    raise RpcError(INVALID_PARAMS, f"filter.types: there are no events of the type {name[:64]!r}", hint)


def known_start(journal: Journal, start: str | From) -> int | None:
    """The seq after which to read; None if it must be searched for. Raises RpcError, ControlError cursor_gone.

    Only a position may be below the journal's floor: its client has read up to there, and gets a gap event first.
    """
    if isinstance(start, From):
        if [start.position, start.since, start.last].count(None) != 2:
            raise RpcError(INVALID_PARAMS, "from names more or less than one start", STARTS)
        if start.position is not None:
            return journal.resolve(start.position)
        if start.since is not None:
            seconds_of("from.since", start.since)
        elif start.last is not None and start.last < 0:
            raise RpcError(INVALID_PARAMS, "from.last is negative", STARTS)
        return None
    if start not in ("now", "start"):
        raise RpcError(INVALID_PARAMS, f"from: {start[:64]!r} is no start", STARTS)
    return journal.committed if start == "now" else journal.floor


async def search_start(journal: Journal, start: From, selection: Selection) -> int:
    """The seq after which to read, for the `since` or `last` that `known_start` has checked."""
    if start.since is not None:
        seq = await seek_time(journal, seconds_of("from.since", start.since))
    else:
        n = start.last or 0
        seq = await seek_last(
            journal, n, selection.matches, selection.stream_id, heads=selection.heads, where=selection.where
        )
    return max(seq, journal.floor)


async def read_or_gap(
    journal: Journal,
    runtime: Runtime,
    after: int,
    stream_id: StreamIds,
    limit: int = PAGE_ROWS,
    where: Condition = ANYTHING,
) -> Page:
    """The next entries; for a reader below the floor a gap instead, after which it continues.

    The floor is compared after the read, so events that are deleted meanwhile are not silently missing.
    """
    page = await journal.read(after, stream_id, limit, where)
    return page if after >= journal.floor else Page([_gap(journal, runtime, after)], journal.floor)


def _gap(journal: Journal, runtime: Runtime, after: int) -> Entry:
    floor = journal.position(journal.floor)
    event = Gap(position=floor, at=stamp(runtime.wall()), after=journal.position(after), through=floor)
    return Entry(journal.floor, 0, ALWAYS, None, None, _encode(event))  # at_ms 0: as old as the deleted events


def seconds_of(field: str, moment: str) -> float:
    """A point in time as seconds. Raises RpcError."""
    try:
        return parse_stamp(moment)
    except (ValueError, OverflowError):
        hint = "RFC 3339, as 2026-11-21T03:00:00.000Z"
        raise RpcError(INVALID_PARAMS, f"{field}: {moment[:64]!r} is no point in time", hint) from None

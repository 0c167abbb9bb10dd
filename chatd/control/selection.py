"""Selection: which entries of the journal a client asked for, after which of them its reading begins, and what is said
of those that are gone.

`subscribe` and `history` share it. How an entry is judged is said in query/filters.py.
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
from chatd.query.filters import ALWAYS, Place, all_of, at_peer, former_place, in_room, tests_of, where_of
from chatd.rooms.joined_room import JoinedRoom
from chatd.rooms.room import HostedRoom
from chatd.runtime import Runtime, parse_stamp, stamp

STARTS = 'from is "now", "start", or one of {"position":…}, {"since":…}, {"last":…}'
_encode = msgspec.json.Encoder().encode


class Selection:
    """A filter, resolved: the journal's topics, and the test of an entry (None: every one matches).

    `where` is as much of the test as the disk can judge.
    """

    __slots__ = ("heads", "joined_room", "match", "stream_id", "where")

    def __init__(self, place: Place, wanted: Filter | None, until_ms: int | None = None) -> None:
        """Raises RpcError."""
        self.stream_id = place.stream_id
        self.joined_room = place.membership
        self.heads = place.test is not None  # `match` looks at the heads of bodies
        tests = [] if wanted is None else tests_of(_checked(wanted))
        if place.test is not None:
            tests.append(place.test)
        if until_ms is not None:
            tests.append(lambda entry: entry.at_ms < until_ms)
        self.match = all_of(tests)
        self.where = where_of(wanted, until_ms)

    @classmethod
    def new(cls, node: Node, wanted: Filter | None, until_ms: int | None = None) -> Self:
        """What a client asks for now. Raises RpcError, and ControlError for a peer or room that there is not."""
        return cls(place_of(node, wanted), wanted, until_ms)

    @classmethod
    def of(cls, node: Node, consumer: Consumer) -> Self:
        """A consumer's filter; its peer or room is the one that was meant when the consumer was made."""
        return cls(former_place(node.registry, node.joined_rooms, consumer), consumer.filter)

    @property
    def key(self) -> int | None:
        """The topic by which `of` knows the place again."""
        return stream_ids_of(self.stream_id)[0]

    def matches(self, entry: Entry) -> bool:
        """Whether an entry of the topics was asked for."""
        return self.match is None or self.match(entry)

    async def select(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The matching entries of these."""
        return [entry for entry in entries if self.matches(entry)]


def place_of(node: Node, wanted: Filter | None) -> Place:
    """Where what a filter asks for stands. Raises RpcError, ControlError unknown_peer, ambiguous_peer, unknown_room."""
    if wanted is None or (wanted.peer is None and wanted.room is None):
        return Place()
    if wanted.peer is None:
        return in_room(node.registry, node.joined_rooms.find(wanted.room or ""))
    if wanted.room is not None:
        raise RpcError(
            INVALID_PARAMS, "filter has a peer and a room", "a room's messages are those of all who are in it"
        )
    try:
        return at_peer(node.registry.find(wanted.peer))
    except ControlError as error:
        room = _room_called(node, wanted.peer) if error.kind == "unknown_peer" else None
        if room is not None:
            return in_room(node.registry, room)
        if error.kind != "unknown_peer" or isinstance(wanted.peer, int):
            raise
        hint = "`chatctl list --all` and `chatctl room list` show what there is"
        raise ControlError(error.kind, f"there is no peer or room {wanted.peer[:64]!r}", hint) from None


def _room_called(node: Node, spec: int | str) -> HostedRoom | JoinedRoom | None:
    """The room of that name, where it is that of one. Raises ControlError where it may be several."""
    names = {room.name for room in node.hosted_rooms} | {one.name for one in node.joined_rooms}
    if isinstance(spec, str) and ("@" in spec or spec in names):
        return node.joined_rooms.find(spec)
    return None


def _checked(wanted: Filter) -> Filter:
    """The same. Raises RpcError for types or a direction that there are not."""
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
    """The seq after which to read; None if it has to be sought. Raises RpcError, ControlError cursor_gone.

    Only a position may lie below the journal's floor: whoever names one has been there, and is told of the gap.
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


async def sought_start(journal: Journal, start: From, selection: Selection) -> int:
    """The same for `since` and `last`, which `known_start` has checked."""
    if start.since is not None:
        found = await seek_time(journal, seconds_of("from.since", start.since))
    else:
        n = start.last or 0
        found = await seek_last(
            journal, n, selection.matches, selection.stream_id, heads=selection.heads, where=selection.where
        )
    return max(found, journal.floor)


async def read_or_gap(
    journal: Journal,
    runtime: Runtime,
    after: int,
    stream_id: StreamIds,
    limit: int = PAGE_ROWS,
    where: Condition = ANYTHING,
) -> Page:
    """The next entries; for a reader below the floor the gap instead, behind which it goes on.

    The floor is looked at behind the read: what it takes away meanwhile is not silently missing.
    """
    page = await journal.read(after, stream_id, limit, where)
    return page if after >= journal.floor else Page([_gap(journal, runtime, after)], journal.floor)


def _gap(journal: Journal, runtime: Runtime, after: int) -> Entry:
    floor = journal.position(journal.floor)
    event = Gap(position=floor, at=stamp(runtime.wall()), after=journal.position(after), through=floor)
    return Entry(journal.floor, 0, ALWAYS, None, None, _encode(event))  # (it is as old as what is gone)


def seconds_of(field: str, moment: str) -> float:
    """A point in time. Raises RpcError."""
    try:
        return parse_stamp(moment)
    except (ValueError, OverflowError):
        hint = "RFC 3339, as 2026-11-21T03:00:00.000Z"
        raise RpcError(INVALID_PARAMS, f"{field}: {moment[:64]!r} is no point in time", hint) from None

"""Scopes and filters: which streams of the journal a filter selects, and the tests of a single entry.

Entries are tested by their columns, and by whether their JSON names a room; nothing is decoded. control/selection.py
resolves the names in a client's filter and validates it. Called by `control/` and by the other parts of `query/`.
"""

from collections.abc import Callable
from typing import NamedTuple

from chatd.api.params import Filter
from chatd.journal.batch import Entry, StreamIds, stream_ids_of
from chatd.journal.conditions import GAP, Condition
from chatd.journal.rawjson import ROOM_KEY, room_field
from chatd.messages.consumers import Consumer
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.rooms.joined import JoinedRooms
from chatd.rooms.joined_room import JoinedRoom
from chatd.rooms.room import HostedRoom

ALWAYS = GAP  # this event type passes every filter, because a reader must see every gap
Match = Callable[[Entry], bool]


class Scope(NamedTuple):
    """The streams to read (None: all), and a test of their entries that needs the heads of bodies (None: no test)."""

    stream_id: StreamIds = None
    test: Match | None = None
    joined_room: JoinedRoom | None = None  # the room, if another node hosts it


def consumer_scope(registry: Registry, joined_rooms: JoinedRooms, consumer: Consumer) -> Scope:
    """The scope of a consumer: the peer or room that its filter named when it was created.

    If that is gone, e.g. a closed room, the scope is its stream.
    """
    if consumer.stream_id is None:
        return Scope()
    for room in joined_rooms:
        if room.stream_id == consumer.stream_id:
            return room_scope(registry, room)
    peer = registry.by_stream_id(consumer.stream_id)
    return peer_scope(peer) if peer is not None else Scope(consumer.stream_id)


def peer_scope(peer: Peer) -> Scope:
    """The events of a peer, without our messages to its rooms, which are on the same stream."""
    return Scope(peer.stream_id, lambda entry: ROOM_KEY not in entry.raw or entry.type == ALWAYS)


def room_scope(registry: Registry, room: HostedRoom | JoinedRoom) -> Scope:
    """The events of a room. If it is hosted here, one stream; otherwise our messages are on the stream of its host."""
    if isinstance(room, HostedRoom):
        return Scope(room.stream_id)
    stream_id, host, field = room.stream_id, registry.by_node(room.host), room_field(room.label)
    return Scope(
        (stream_id, host.stream_id) if host is not None else stream_id,
        lambda entry: entry.stream_id == stream_id or field in entry.raw or entry.type == ALWAYS,
        room,
    )


def column_tests(wanted: Filter) -> list[Match]:
    tests: list[Match] = []
    if wanted.types is not None:
        types = frozenset([*wanted.types, ALWAYS])
        tests.append(lambda entry: entry.type in types)
    direction = wanted.direction
    if direction is not None:
        tests.append(lambda entry: entry.direction == direction or entry.type == ALWAYS)
    return tests


def condition_of(wanted: Filter | None, until_ms: int | None) -> Condition:
    """The same tests, and a time before which events were appended, as a condition for the store."""
    if wanted is None:
        return Condition(before_ms=until_ms)
    return Condition(None if wanted.types is None else tuple(wanted.types), wanted.direction, until_ms)


def all_of(tests: list[Match]) -> Match | None:
    """One test that combines all; None without tests."""
    if len(tests) < 2:
        return tests[0] if tests else None
    first, second, *rest = tests  # a generator over all of them doubles the time per event
    return all_of([lambda entry: first(entry) and second(entry), *rest])


def is_selected(entry: Entry, scope: Scope, wanted: Filter) -> bool:
    if scope.stream_id is not None and entry.stream_id not in stream_ids_of(scope.stream_id):
        return False
    return (scope.test is None or scope.test(entry)) and all(test(entry) for test in column_tests(wanted))

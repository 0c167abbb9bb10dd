"""Filters: where in the journal that stands what a filter asks for, and the test of an entry.

Entries are judged by their columns, and by whether their JSON names a room; nothing is decoded. Names are resolved, and
what a client gave is checked, in control/selection.py; here is what remains true of a consumer whose filter was taken.
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

ALWAYS = GAP  # a hole in what was asked for is always told
Match = Callable[[Entry], bool]


class Place(NamedTuple):
    """Where to read: the journal's topics, and of them only what passes the test, which has to see heads of bodies."""

    stream_id: StreamIds = None
    test: Match | None = None
    membership: JoinedRoom | None = None  # the room that is read is another node's


def former_place(registry: Registry, memberships: JoinedRooms, consumer: Consumer) -> Place:
    """That of a consumer: its peer or room is the one that was meant when it was made.

    Of a room that is gone the topic is left, and what is on it.
    """
    if consumer.stream_id is None:
        return Place()
    for membership in memberships:
        if membership.stream_id == consumer.stream_id:
            return in_room(registry, membership)
    peer = registry.by_stream_id(consumer.stream_id)
    return at_peer(peer) if peer is not None else Place(consumer.stream_id)


def at_peer(peer: Peer) -> Place:
    """What is between us and a peer; what is said in its rooms lies there too, and is not."""
    return Place(peer.stream_id, lambda entry: ROOM_KEY not in entry.raw or entry.type == ALWAYS)


def in_room(registry: Registry, room: HostedRoom | JoinedRoom) -> Place:
    """One that is hosted here is a topic. Of another node's what we said lies with what goes to its host."""
    if isinstance(room, HostedRoom):
        return Place(room.stream_id)
    stream_id, host, field = room.stream_id, registry.by_node(room.host), room_field(room.label)
    return Place(
        (stream_id, host.stream_id) if host is not None else stream_id,
        lambda entry: entry.stream_id == stream_id or field in entry.raw or entry.type == ALWAYS,
        room,
    )


def tests_of(wanted: Filter) -> list[Match]:
    """What a filter asks of an entry, beside its place."""
    tests: list[Match] = []
    if wanted.types is not None:
        types = frozenset([*wanted.types, ALWAYS])
        tests.append(lambda entry: entry.type in types)
    direction = wanted.direction
    if direction is not None:
        tests.append(lambda entry: entry.direction == direction or entry.type == ALWAYS)
    return tests


def where_of(wanted: Filter | None, until_ms: int | None) -> Condition:
    """The same for the disk."""
    if wanted is None:
        return Condition(before_ms=until_ms)
    return Condition(None if wanted.types is None else tuple(wanted.types), wanted.direction, until_ms)


def all_of(tests: list[Match]) -> Match | None:
    """Whether an entry passes every one of them; None: there is none."""
    if len(tests) < 2:
        return tests[0] if tests else None
    first, second, *rest = tests  # a generator over all of them takes twice the time, of every event
    return all_of([lambda entry: first(entry) and second(entry), *rest])


def is_for(entry: Entry, place: Place, wanted: Filter) -> bool:
    """Whether one entry is what is asked for there."""
    if place.stream_id is not None and entry.stream_id not in stream_ids_of(place.stream_id):
        return False
    return (place.test is None or place.test(entry)) and all(test(entry) for test in tests_of(wanted))

"""Filters: whether a consumer selects an entry, also after its peer or room has changed."""

import pytest

from chatd.api.events import Gap, Message
from chatd.api.params import Filter
from chatd.journal.batch import Entry
from chatd.messages.consumers import Consumer
from chatd.peers.peer import Peer
from chatd.query.filters import consumer_scope, is_selected
from tests.harness.parts import CAROL, Core


async def entry_of(core: Core, event: Message | Gap, stream_id: int | None, direction: str | None = None) -> Entry:
    batch = core.journal.append(event, stream_id, direction)
    entry = batch.entries[-1]
    await batch.wait()
    return entry


def is_wanted(core: Core, entry: Entry, stream_id: int | None = None, **wanted: object) -> bool:
    """Whether a consumer with that filter and stream id selects the entry."""
    consumer = Consumer("bot", 0, Filter(**wanted), stream_id, 0)  # type: ignore[arg-type]
    return is_selected(entry, consumer_scope(core.registry, core.router.joined_rooms, consumer), consumer.filter)


def heard(peer: Peer, **fields: object) -> Message:
    return Message(direction="in", peer=peer.ref, text="hi", **fields)  # type: ignore[arg-type]


async def test_types_and_direction_decide_for_everything_but_a_gap(core: Core) -> None:
    bob, _ = core.up()
    message = await entry_of(core, heard(bob), bob.stream_id, "in")
    gap = await entry_of(core, Gap(peer=bob.ref, after=None, through="aaaaaaaa:1"), bob.stream_id)
    for wanted, expected in (
        ({}, True),
        ({"types": ["message"]}, True),
        ({"types": ["receipt", "peer.up"]}, False),
        ({"types": []}, False),
        ({"direction": "in"}, True),
        ({"direction": "out"}, False),
        ({"types": ["message"], "direction": "out"}, False),
    ):
        assert is_wanted(core, message, **wanted) is expected, wanted
        assert is_wanted(core, gap, **wanted)


async def test_what_is_said_in_rooms_of_a_peer_is_not_between_us_and_it(core: Core) -> None:
    bob, _ = core.up()
    carol, _ = core.up(CAROL, "carol")
    direct = await entry_of(core, heard(bob), bob.stream_id, "in")
    in_room = await entry_of(core, heard(bob, room="hall@bob"), bob.stream_id, "out")
    assert is_wanted(core, direct, bob.stream_id, peer="bob")
    assert not is_wanted(core, in_room, bob.stream_id, peer="bob")
    assert not is_wanted(core, direct, carol.stream_id, peer="carol")


@pytest.mark.parametrize("gone", [False, True])
async def test_a_room_of_a_peer_is_what_was_said_there_by_others_and_by_us(core: Core, *, gone: bool) -> None:
    bob, _ = core.up()
    hall = core.router.joined_rooms.join(bob, "hall", "al")
    heard_there = await entry_of(core, heard(bob, room=hall.label), hall.stream_id, "in")
    said_there = await entry_of(core, heard(bob, room=hall.label), bob.stream_id, "out")
    elsewhere = await entry_of(core, heard(bob, room="attic@bob"), bob.stream_id, "out")
    if gone:
        core.router.joined_rooms.leave(hall)
    assert is_wanted(core, heard_there, hall.stream_id, room="hall@bob")
    assert is_wanted(core, said_there, hall.stream_id, room="hall@bob") is not gone
    assert not is_wanted(core, elsewhere, hall.stream_id, room="hall@bob")

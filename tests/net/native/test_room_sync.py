"""What the ends of a link tell each other of rooms that is true now: once, and when it is for sure."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatd.net.native.room_sync import RoomSync
from chatd.rooms.room import HostedRoom
from chatd.wire.frames import Gone, Rooms, Roster
from tests.harness.parts import BOB, Core, FakeLink, World, standing


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


async def lobby(core: Core) -> tuple[HostedRoom, RoomSync]:
    bob, _ = await core.linked()
    room, _ = core.router.hosted_rooms.host("lobby")
    return room, RoomSync(core.router, bob)


async def test_our_rooms_are_told_once_and_as_a_whole(core: Core) -> None:
    bob, _ = await core.linked()
    talk = RoomSync(core.router, bob)
    assert talk.take_frames() == []
    core.router.joined_rooms.join(bob, "lobby", "owl")
    core.router.joined_rooms.join(bob, "attic", "owl")
    talk.declare()
    talk.declare()
    assert talk.take_frames() == [Rooms(2, [("lobby", "owl", True), ("attic", "owl", True)])]
    assert talk.take_frames() == []


async def test_a_member_is_told_that_it_is_in_once_that_is_on_disk(core: Core) -> None:
    _, talk = await lobby(core)
    talk.receive(Rooms(1, [("lobby", "bob", True), ("cellar", "bob", True)]), FakeLink())
    (gone,) = talk.take_frames()
    assert isinstance(gone, Gone)
    assert (gone.room, gone.kind) == ("cellar", "unknown_room")
    await core.commit()
    (roster,) = talk.take_frames()
    assert isinstance(roster, Roster)
    assert (roster.nick, roster.users, roster.more) == ("bob", [("bob", BOB, True)], False)
    assert talk.take_frames() == []


async def test_a_long_roster_comes_in_pages(core: Core) -> None:
    room, talk = await lobby(core)
    for port in range(1, 301):
        core.router.hosted_rooms.enter_plain(room, None, f"10.0.0.9:{port}", lambda _: None)
    talk.receive(Rooms(1, [("lobby", "bob", True)]), FakeLink())
    await core.commit()
    pages = [frame for frame in talk.take_frames() if isinstance(frame, Roster)]
    assert [(len(page.users), page.more) for page in pages] == [(256, True), (45, False)]


async def test_who_took_its_end_in_a_room_for_a_duplicate_is_told_that_it_is_gone(core: Core) -> None:
    room, talk = await lobby(core)
    talk.receive(Rooms(1, [("lobby", "bob", True)]), FakeLink())
    await core.commit()
    assert len(talk.take_frames()) == 1
    core.router.moderation.kick(room, "bob")
    await core.commit()
    talk.receive(Rooms(2, [("lobby", "bob", False)]), FakeLink())
    assert talk.is_waiting
    assert talk.take_frames() == []
    core.router.hosted_rooms.release_intervals(BOB, core.journal.committed)
    assert [type(frame) for frame in talk.take_frames()] == [Gone]
    assert not talk.is_waiting


async def test_an_older_list_that_comes_on_another_link_counts_for_nothing(core: Core) -> None:
    room, talk = await lobby(core)
    link = FakeLink()
    talk.receive(Rooms(2, [("lobby", "bob", True)]), link)
    await core.commit()
    talk.receive(Rooms(1, []), FakeLink())
    assert room.named("bob") is not None
    talk.receive(Rooms(3, []), link)
    assert room.named("bob") is None
    talk.receive(Rooms(2, [("lobby", "bob", True)]), FakeLink())
    assert room.named("bob") is None
    talk.receive(Rooms(1, [("lobby", "bob", True)]), FakeLink(epoch="bbbbbbbb"))  # another run of it
    assert room.named("bob") is not None


async def test_the_same_list_again_asks_for_nothing_new(core: Core) -> None:
    room, talk = await lobby(core)
    talk.receive(Rooms(1, [("lobby", "bob", True)]), FakeLink())
    await core.commit()
    core.router.moderation.kick(room, "bob")
    talk.receive(Rooms(1, [("lobby", "bob", True)]), FakeLink())
    assert room.named("bob") is None

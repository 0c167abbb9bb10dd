"""Joined rooms: joining, events from the host, the return of our own messages, and the end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.journal.store import DiskFull
from chatd.messages.chat import Options, RoomTarget
from chatd.peers.peer import Peer
from chatd.rooms.joined_room import JoinedRoom
from chatd.wire.frames import Gone, Happened, Missing, Refused, Roster, Said, Say
from tests.harness.parts import BOB, CAROL, SELF, Core, FakeLink, World, standing

THERE = "epochbob"  # bob hosts


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


def roster(*users: tuple[str, str | None, bool], topic: str = "", since: int = 10, more: bool = False) -> Roster:
    return Roster("lobby", "owl", topic, since, [("owl", SELF, True), *users], more)


async def joined(core: Core, *users: tuple[str, str | None, bool]) -> tuple[Peer, FakeLink, JoinedRoom]:
    bob, link = await core.linked()
    joined_room = core.router.joined_rooms.join(bob, "lobby", "owl")
    core.router.joined_rooms.receive_roster(bob, roster(*users))
    await core.commit()
    return bob, link, joined_room


async def events(core: Core, joined_room: JoinedRoom) -> list[dict[str, Any]]:
    await core.commit()
    return [msgspec.json.decode(entry.raw) for entry in (await core.journal.page(0, joined_room.stream_id)).entries]


def say(core: Core, peer: Peer, joined_room: JoinedRoom, text: str) -> Message:
    options = Options(room_target=RoomTarget(joined_room.label, joined_room.nick))
    return core.chat.send(peer, text, options)[0]


async def test_we_are_in_a_room_when_its_host_says_who_is_in_it(core: Core) -> None:
    bob, link = await core.linked()
    joined_rooms = core.router.joined_rooms
    joined_room = joined_rooms.join(bob, "lobby", "owl")
    assert joined_rooms.declaration(BOB) == [("lobby", "owl", True)]
    assert link.declared == 1
    assert not joined_room.settled.is_set()
    with pytest.raises(ControlError):
        joined_rooms.find("lobby")
    joined_rooms.receive_roster(bob, roster(("bob", BOB, True), ("jane", None, True), topic="spring"))
    assert joined_room.settled.is_set()
    assert joined_rooms.declaration(BOB) == [("lobby", "owl", False)]
    assert (
        joined_rooms.find("lobby")
        is joined_rooms.find("lobby@bob")
        is joined_rooms.find(f"lobby@{BOB[:8]}")
        is joined_room
    )
    assert [user[0] for user in joined_room.users()] == ["owl", "bob", "jane"]
    assert joined_room.topic == "spring"
    assert joined_rooms.join(bob, "lobby", None) is joined_room


async def test_a_long_list_comes_in_pages_and_counts_when_it_is_whole(core: Core) -> None:
    bob, _ = await core.linked()
    joined_room = core.router.joined_rooms.join(bob, "lobby", "owl")
    core.router.joined_rooms.receive_roster(bob, roster(more=True))
    assert not joined_room.settled.is_set()
    core.router.joined_rooms.receive_roster(bob, Roster("lobby", "owl", "", 10, [("jane", None, True)], False))
    assert [user[0] for user in joined_room.users()] == ["owl", "jane"]


@pytest.mark.parametrize(
    ("name", "nick", "kind"),
    [("Lobby", None, "unknown_room"), ("lobby", "b b", "bad_text"), ("lobby", "system", "bad_text")],
)
async def test_what_cannot_be_joined_is_refused_here(core: Core, name: str, nick: str | None, kind: str) -> None:
    bob, _ = await core.linked()
    with pytest.raises(ControlError) as caught:
        core.router.joined_rooms.join(bob, name, nick)
    assert caught.value.kind == kind
    assert core.router.joined_rooms.declaration(BOB) == []


async def test_a_host_that_is_away_cannot_be_asked(core: Core) -> None:
    with pytest.raises(ControlError) as caught:
        core.router.joined_rooms.join(core.away(), "lobby", None)
    assert caught.value.kind == "peer_offline"


async def test_who_is_not_let_in_is_told_why(core: Core) -> None:
    bob, _ = await core.linked()
    joined_room = core.router.joined_rooms.join(bob, "lobby", "owl")
    core.router.joined_rooms.receive_gone(bob, Gone("lobby", "conflict", "owl is taken"))
    assert joined_room.settled.is_set()
    assert joined_room.error is not None
    assert (joined_room.error.kind, "owl is taken" in str(joined_room.error)) == ("conflict", True)
    assert list(core.router.joined_rooms) == []


async def test_a_join_that_is_not_answered_before_the_link_ends_is_none(core: Core) -> None:
    bob, link = await core.linked()
    joined_room = core.router.joined_rooms.join(bob, "lobby", "owl")
    core.registry.link_down(bob, link)
    core.router.joined_rooms.host_disconnected(bob)
    assert joined_room.error is not None
    assert core.router.joined_rooms.declaration(BOB) == []


async def test_what_is_said_there_is_here_with_its_place_there(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    frames = [
        Said(THERE, 11, "lobby", "jane", "hi"),
        Said(THERE, 12, "lobby", "joe", "psst", None, "owl"),
    ]
    core.router.receive(bob, link, frames)
    assert core.router.receive(bob, link, frames) is None
    heard = await events(core, joined_room)
    assert [(event["nick"], event["text"], event["room_position"], event["room"]) for event in heard] == [
        ("jane", "hi", "epochbob:11", "lobby@bob"),
        ("joe", "psst", "epochbob:12", "lobby@bob"),
    ]
    assert heard[1]["to"] == "owl"
    assert [event["global_id"] for event in heard] == [f"{BOB}/epochbob:11", f"{BOB}/epochbob:12"]
    assert [event["id"] for event in heard] == [event["position"] for event in heard]
    assert core.journal.watermarks.committed(BOB) == (THERE, 12)


async def test_our_own_message_is_delivered_when_it_comes_back(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    message = say(core, bob, joined_room, "hi")
    await core.commit()
    frames = await core.outgoing(bob).next()
    assert [(type(frame), getattr(frame, "room", "")) for frame in frames] == [(Say, "lobby")]
    assert core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
    assert await core.state(message) == "sent"
    core.router.receive(bob, link, [Said(THERE, 11, "lobby", "owl", "hi", message.position)])
    await core.commit()
    assert await core.state(message) == "delivered"
    (receipt,) = await events(core, joined_room)
    assert (receipt["type"], receipt["id"], receipt["room_position"]) == ("receipt", message.position, "epochbob:11")


async def test_our_own_message_that_comes_back_once_we_have_left_is_settled_all_the_same(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    message = say(core, bob, joined_room, "hi")
    await core.commit()
    core.router.joined_rooms.leave(joined_room)
    references = await core.references(bob, message.position)
    core.router.receive(bob, link, [Said(THERE, 11, "lobby", "owl", "hi", message.position)], references)
    await core.commit()
    assert bob.delivery.echoed == int(message.position.split(":")[1])


async def test_our_own_message_is_awaited_again_when_its_coming_back_cannot_be_written_down(tmp_path: Path) -> None:
    world = World(inline=True)
    async with standing(tmp_path, world) as core:
        bob, link, joined_room = await joined(core)
        message = say(core, bob, joined_room, "hi")
        await core.commit()
        back = [Said(THERE, 11, "lobby", "owl", "hi", message.position)]
        core.router.receive(bob, link, back)
        world.fault = DiskFull("full")
        await core.commit()
        assert await core.state(message) == "queued"
        core.router.receive(bob, FakeLink(), back)
        assert [event["type"] for event in await events(core, joined_room)] == ["receipt"]
        assert bob.delivery.echoed == int(message.position.split(":")[1])


async def test_what_the_host_refuses_is_rejected_with_its_reason(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    message = say(core, bob, joined_room, "hi")
    await core.commit()
    core.router.receive(bob, link, [Refused(THERE, 11, "lobby", message.position, "there is no joe")])
    await core.commit()
    assert await core.state(message) == "rejected"
    (receipt,) = await events(core, joined_room)
    assert (receipt["state"], receipt["reason"]) == ("rejected", "there is no joe")


async def test_a_refusal_of_what_was_never_said_is_nothing(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    for said in (f"{core.journal.epoch}:999", "elsewher:1"):
        core.router.receive(bob, link, [Refused(THERE, core.journal.appended + 20, "lobby", said, "no")])
    assert await events(core, joined_room) == []
    assert bob.delivery.echoed == 0


async def test_no_host_speaks_of_what_was_said_to_others(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    carol, _ = await core.linked(CAROL, "carol")
    to_carol, _ = core.chat.send(carol, "hi carol")
    to_bob, _ = core.chat.send(bob, "not in a room")
    await core.commit()
    for seq, message in enumerate((to_carol, to_bob), start=20):
        references = await core.references(bob, message.position)
        core.router.receive(bob, link, [Refused(THERE, 2 * seq, "lobby", message.position, "no")], references)
        core.router.receive(bob, link, [Said(THERE, 2 * seq + 1, "lobby", "owl", "hi", message.position)], references)
        await core.commit()
        assert await core.state(message) == "queued"
    assert await events(core, joined_room) == []


async def test_a_refusal_after_a_restart_is_only_of_what_was_said_in_rooms_of_that_host(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        bob, link, joined_room = await joined(core)
        said = say(core, bob, joined_room, "in the room")
        carol, _ = await core.linked(CAROL, "carol")
        other, _ = core.chat.send(carol, "hi carol")
        await core.commit()
    async with standing(tmp_path, World(inline=True)) as core:
        bob, link = await core.linked()
        for seq, message in enumerate((said, other), start=20):
            references = await core.references(bob, message.position)
            core.router.receive(bob, link, [Refused(THERE, seq, "lobby", message.position, "no")], references)
        await core.commit()
        assert [await core.state(message) for message in (said, other)] == ["rejected", "sent"]


async def test_who_comes_and_goes_is_known(core: Core) -> None:
    bob, link, joined_room = await joined(core, ("jane", None, True))
    core.router.receive(
        bob,
        link,
        [
            Happened(THERE, 11, "lobby", "join", "joe", CAROL),
            Happened(THERE, 12, "lobby", "leave", "Jane", None, "reset"),
            Happened(THERE, 13, "lobby", "topic", text="spring"),
        ],
    )
    assert [user[0] for user in joined_room.users()] == ["owl", "joe"]
    assert joined_room.named("JOE") == ("joe", CAROL, True)
    assert joined_room.topic == "spring"
    types = [event["type"] for event in await events(core, joined_room)]
    assert types == ["room.join", "room.leave", "room.topic"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Happened(THERE, 20, "lobby", "leave", "owl", SELF, "kicked"), "kicked"),
        (Happened(THERE, 20, "lobby", "closed"), "closed"),
    ],
)
async def test_a_membership_ends_where_the_host_ends_it(core: Core, frame: Happened, reason: str) -> None:
    bob, link, joined_room = await joined(core)
    core.router.receive(bob, link, [frame])
    assert [(event["type"], event["reason"]) for event in await events(core, joined_room)] == [("room.gone", reason)]
    assert list(core.router.joined_rooms) == []


async def test_the_end_of_a_former_time_in_the_room_does_not_end_the_present_one(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    core.router.receive(bob, link, [Happened(THERE, 9, "lobby", "leave", "owl", SELF, "kicked")])
    assert list(core.router.joined_rooms) == [joined_room]


async def test_a_room_that_the_host_does_not_know_any_more_is_gone(core: Core) -> None:
    bob, _, joined_room = await joined(core)
    core.router.joined_rooms.receive_gone(bob, Gone("lobby", "unknown_room", "bob hosts no room lobby"))
    assert [event["type"] for event in await events(core, joined_room)] == ["room.gone"]


async def test_what_is_missing_is_a_gap_of_the_room(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    core.router.receive(
        bob, link, [Missing(THERE, 20, "epochbob:30", [("lobby", "epochbob:11"), ("other", "epochbob:11")])]
    )
    (gap,) = await events(core, joined_room)
    assert (gap["type"], gap["room"], gap["after"], gap["through"]) == (
        "gap",
        "lobby@bob",
        "epochbob:11",
        "epochbob:30",
    )
    assert core.journal.watermarks.appended(BOB, THERE) == 20


async def test_what_comes_of_a_room_that_we_left_is_nothing(core: Core) -> None:
    bob, link, joined_room = await joined(core)
    core.router.joined_rooms.leave(joined_room)
    core.router.receive(bob, link, [Said(THERE, 11, "lobby", "jane", "hi")])
    assert [event["type"] for event in await events(core, joined_room)] == ["room.gone"]
    assert core.router.joined_rooms.declaration(BOB) == []
    assert core.journal.watermarks.appended(BOB, THERE) == 11


async def test_memberships_are_as_before_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        bob, link, joined_room = await joined(core)
        message = say(core, bob, joined_room, "hi")
        await core.commit()
        core.router.receive(bob, link, [Said(THERE, 11, "lobby", "owl", "hi", message.position)])
        await core.flushed()
        key = joined_room.stream_id
    async with standing(tmp_path, World(inline=True)) as core:
        (joined_room,) = core.router.joined_rooms
        assert (joined_room.stream_id, joined_room.label, joined_room.nick, joined_room.since) == (
            key,
            "lobby@bob",
            "owl",
            10,
        )
        assert core.router.joined_rooms.declaration(BOB) == [("lobby", "owl", False)]
        assert core.registry.find("bob").delivery.echoed > 0
        assert core.registry.new_stream_id() > key


async def test_a_membership_is_as_before_when_its_end_cannot_be_written_down(tmp_path: Path) -> None:
    world = World(inline=True)
    async with standing(tmp_path, world) as core:
        bob, link, joined_room = await joined(core)
        core.router.receive(bob, link, [Happened(THERE, 20, "lobby", "closed")])
        world.fault = DiskFull("full")
        await core.commit()
        assert list(core.router.joined_rooms) == [joined_room]
        assert link.reason == "storage_full"
        assert core.journal.watermarks.appended(BOB, THERE) == 0


async def test_a_join_that_cannot_be_written_down_is_none(tmp_path: Path) -> None:
    world = World(inline=True)
    async with standing(tmp_path, world) as core:
        bob, _ = await core.linked()
        joined_room = core.router.joined_rooms.join(bob, "lobby", "owl")
        core.router.joined_rooms.receive_roster(bob, roster())
        world.fault = DiskFull("full")
        await core.commit()
        assert list(core.router.joined_rooms) == []
        assert joined_room.error is not None
        assert joined_room.error.kind == "storage_full"


async def test_a_room_of_which_there_are_two_wants_its_host(core: Core) -> None:
    _, _, joined_room = await joined(core)
    room, _ = core.router.hosted_rooms.host("lobby")
    joined_rooms = core.router.joined_rooms
    with pytest.raises(ControlError) as caught:
        joined_rooms.find("lobby")
    assert "lobby@alice, lobby@bob" in str(caught.value)
    assert joined_rooms.find("lobby@alice") is joined_rooms.find(f"lobby@{SELF[:8]}") is room
    assert joined_rooms.find("lobby@bob") is joined_room


async def test_a_label_of_a_former_name_is_not_the_room_of_who_has_the_name_now(core: Core) -> None:
    bob, _, joined_room = await joined(core)
    joined_rooms = core.router.joined_rooms
    core.registry.rename(bob, "robert")
    assert joined_rooms.find("lobby@robert") is joined_rooms.find("lobby@bob") is joined_room  # no other bob is here
    core.up(CAROL, "bob")
    with pytest.raises(ControlError) as caught:
        joined_rooms.find("lobby@bob")
    assert (caught.value.kind, f"lobby@{BOB[:12]}" in caught.value.hint) == ("unknown_room", True)
    assert joined_rooms.find("lobby@robert") is joined_rooms.find(f"lobby@{BOB[:12]}") is joined_room


async def test_the_rooms_of_a_forgotten_host_are_gone(core: Core) -> None:
    bob, _, joined_room = await joined(core)
    core.router.joined_rooms.forget_host(bob)
    assert list(core.router.joined_rooms) == []
    assert [event["reason"] for event in await events(core, joined_room)] == ["forgotten"]


async def test_who_comes_back_to_a_room_finds_its_history(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        _, _, joined_room = await joined(core)
        core.router.joined_rooms.leave(joined_room)
        await core.commit()
        key = joined_room.stream_id
    async with standing(tmp_path, World(inline=True)) as core:
        assert list(core.router.joined_rooms) == []
        _, _, joined_room = await joined(core)
        assert joined_room.stream_id == key


async def test_what_was_said_and_never_committed_is_not_awaited_though_a_refusal_failed_with_it(tmp_path: Path) -> None:
    world = World(inline=True)
    async with standing(tmp_path, world) as core:
        bob, link, joined_room = await joined(core)
        message = say(core, bob, joined_room, "hi")
        core.router.receive(bob, link, [Say(THERE, 11, "attic", "refused in the same commit")])
        world.fault = DiskFull("full")
        await core.commit()
        assert int(message.position.split(":")[1]) not in bob.delivery.unechoed
        assert bob.delivery.outbox.count == 0

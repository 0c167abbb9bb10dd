"""Posting to hosted rooms: the order of messages, who receives them, and what is rejected."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatd.api.errors import ControlError
from chatd.messages import lookup
from chatd.peers.peer import Peer
from chatd.rooms import posting
from chatd.rooms.room import HostedRoom
from chatd.wire.codec import Decoder, encode_many
from chatd.wire.frames import Refused, Said, Say
from tests.harness.parts import BOB, CAROL, SELF, Core, FakeLink, World, standing

THERE = "epochbob"


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


async def lobby(core: Core, *members: tuple[str, str]) -> tuple[HostedRoom, list[Peer]]:
    room, _ = core.router.hosted_rooms.host("lobby")
    peers = []
    for node, name in members:
        peer, _ = await core.linked(node, name)
        core.router.declarations.apply(peer, [("lobby", name, True)])
        peers.append(peer)
    await core.commit()
    return room, peers


async def said(core: Core, room: HostedRoom) -> list[dict[str, Any]]:
    await core.commit()
    entries = (await core.journal.page(0, room.stream_id)).entries
    return [msgspec.json.decode(entry.raw) for entry in entries if entry.type == "message"]


def take(core: Core, peer: Peer, *says: Say) -> None:
    core.router.receive(peer, FakeLink(), says)


async def test_what_members_say_is_in_one_order_with_both_its_positions(core: Core) -> None:
    room, (bob, carol) = await lobby(core, (BOB, "bob"), (CAROL, "carol"))
    take(core, bob, Say(THERE, 5, "lobby", "first"), Say(THERE, 6, "lobby", "second"))
    take(core, carol, Say("epochcar", 9, "lobby", "third"))
    messages = await said(core, room)
    assert [(message["nick"], message["global_id"]) for message in messages] == [
        ("bob", f"{BOB}/epochbob:5"),
        ("bob", f"{BOB}/epochbob:6"),
        ("carol", f"{CAROL}/epochcar:9"),
    ]
    assert all(message["room_position"] == message["position"] for message in messages)
    assert [message["peer"]["name"] for message in messages] == ["bob", "bob", "carol"]


async def test_the_same_again_is_a_duplicate(core: Core) -> None:
    room, (bob,) = await lobby(core, (BOB, "bob"))
    take(core, bob, Say(THERE, 5, "lobby", "once"))
    assert core.router.receive(bob, FakeLink(), [Say(THERE, 5, "lobby", "once")]) is None
    assert len(await said(core, room)) == 1


async def test_this_node_says_something_in_its_own_room_and_it_is_delivered_at_once(core: Core) -> None:
    room, _ = await lobby(core)
    own, _ = core.router.hosted_rooms.enter_own(room, None)
    (message,), batch = core.router.posting.post(room, own, ["hi"])
    await batch.wait()
    assert await core.state(message) == "delivered"
    assert (message.peer.slot, message.peer.node) == (None, SELF)
    with pytest.raises(ControlError):
        core.router.posting.post(room, own, ["\x1b[2J"])


async def test_what_a_plain_client_says_has_the_hosts_position_as_its_id(core: Core) -> None:
    room, _ = await lobby(core)
    jane, _ = core.router.hosted_rooms.enter_plain(room, "jane", "10.0.0.9:5000", lambda _: None)
    core.router.posting.post(room, jane, ["one", "two"])
    messages = await said(core, room)
    assert [message["id"] for message in messages] == [message["position"] for message in messages]
    assert [message["global_id"] for message in messages] == [f"{SELF}/{message['id']}" for message in messages]
    assert [message["peer"]["slot"] for message in messages] == [None, None]


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (Say(THERE, 5, "attic", "hi"), "there is no such room"),
        (Say(THERE, 5, "lobby", "hi", "nobody", None), "there is no nobody"),
        (Say(THERE, 5, "lobby", "hi", "carol", "x" * 52), "carol is somebody else by now"),
    ],
)
async def test_what_a_room_does_not_take_is_refused_and_what_is_around_it_is_not(
    core: Core, say: Say, reason: str
) -> None:
    room, (bob, _) = await lobby(core, (BOB, "bob"), (CAROL, "carol"))
    take(core, bob, Say(THERE, 4, "lobby", "before"), say, Say(THERE, 6, "lobby", "behind"))
    assert [message["text"] for message in await said(core, room)] == ["before", "behind"]
    frames = await core.outgoing(bob).next()
    refused = [frame for frame in frames if isinstance(frame, Refused)]
    assert [(frame.room, frame.id, frame.reason) for frame in refused] == [(say.room, "epochbob:5", reason)]
    assert bob.delivery.outbox.count == 1  # owed, until it is acknowledged


async def test_who_is_not_in_the_room_is_refused(core: Core) -> None:
    room, _ = await lobby(core)
    bob, _ = await core.linked()
    take(core, bob, Say(THERE, 5, "lobby", "hi"))
    assert await said(core, room) == []
    assert bob.delivery.outbox.count == 1


async def test_who_takes_no_refusals_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "REFUSALS", 2)
    async with standing(tmp_path, World(inline=True), outbox_messages=1) as core:
        bob, link = await core.linked()
        core.router.receive(bob, link, [Say(THERE, seq, "lobby", "hi") for seq in range(1, 10)])
        await core.commit()
        assert bob.delivery.outbox.count == 3
        assert core.journal.watermarks.appended(BOB, THERE) == 3  # the others come again
        assert link.reason == "takes no refusals"


async def test_what_is_said_to_one_member_is_for_that_one_and_who_said_it(core: Core) -> None:
    _, (bob, carol) = await lobby(core, (BOB, "bob"), (CAROL, "carol"))
    dave, _ = await core.linked("d" * 52, "dave")
    core.router.declarations.apply(dave, [("lobby", "dave", True)])
    take(core, bob, Say(THERE, 5, "lobby", "psst", "CAROL", CAROL))
    await core.commit()
    heard = {}
    for peer in (bob, carol, dave):
        frames = await core.outgoing(peer).next()
        heard[peer.name] = [frame for frame in decoded(frames) if isinstance(frame, Said)]
    assert [len(frames) for frames in heard.values()] == [1, 1, 0]
    assert (heard["carol"][0].text, heard["carol"][0].to, heard["carol"][0].nick) == ("psst", "CAROL", "bob")


def decoded(frames: Any) -> list[Any]:
    return list(Decoder().receive(encode_many(frames)))


async def test_a_message_in_a_room_is_found_by_its_global_id(core: Core) -> None:
    _, (bob,) = await lobby(core, (BOB, "bob"))
    take(core, bob, *(Say(THERE, seq, "lobby", f"text {seq}") for seq in range(5, 9)))
    await core.commit()
    entry = await core.chat.lookup.find_any(f"{BOB}/epochbob:7")
    assert msgspec.json.decode(entry.raw)["text"] == "text 7"
    in_its_place = await core.chat.lookup.find_any(f"{SELF}/{core.journal.position(entry.seq)}")
    assert in_its_place.seq == entry.seq  # so do those know it who are in the room
    with pytest.raises(ControlError):
        await core.chat.lookup.find("epochbob:70")


async def test_a_message_further_back_in_a_room_is_found_step_by_step(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "ROWS", 4)
    _, (bob,) = await lobby(core, (BOB, "bob"))
    take(core, bob, *(Say(THERE, seq, "lobby", f"text {seq}") for seq in range(1, 13)))
    await core.commit()
    for seq in range(1, 13):
        entry = await core.chat.lookup.find_any(f"{BOB}/{THERE}:{seq}")
        assert msgspec.json.decode(entry.raw)["text"] == f"text {seq}"
    with pytest.raises(ControlError):
        await core.chat.lookup.find_any(f"{BOB}/{THERE}:13")

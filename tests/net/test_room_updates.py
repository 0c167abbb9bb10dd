"""Frames of room events: members get their intervals, encoded once, and are told what is missing."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from chatd.journal.retention import Retention
from chatd.peers.peer import Peer
from chatd.rooms.hosted import HostedRooms
from chatd.rooms.room import HostedRoom
from chatd.wire.codec import Decoder, encode_many
from chatd.wire.frames import Frame, Happened, Missing, Ordered, Said, Text
from tests.harness.parts import BOB, CAROL, Core, World, standing


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


class Lobby:
    """A room of the core that this node is in."""

    def __init__(self, core: Core, name: str = "lobby") -> None:
        self.core = core
        self.rooms: HostedRooms = core.router.hosted_rooms
        self.room: HostedRoom = self.rooms.host(name)[0]
        self.own = self.rooms.enter_own(self.room, None)[0]

    async def join(self, node: str = BOB, name: str = "bob") -> Peer:
        peer, _ = await self.core.linked(node, name)
        names = [interval.room.name for interval in self.rooms.intervals.of_node(node)]
        self.core.router.declarations.apply(peer, [(known, name, True) for known in (*names, self.room.name)])
        await self.core.commit()
        return peer

    async def say(self, *texts: str) -> None:
        self.core.router.posting.post(self.room, self.own, texts)
        await self.core.commit()


def seen(frames: Sequence[Ordered | bytes]) -> list[Frame]:
    return Decoder().receive(encode_many(frames))


def texts(frames: Sequence[Ordered | bytes]) -> list[str]:
    return [frame.text for frame in seen(frames) if isinstance(frame, Said | Text)]


async def test_a_member_gets_what_happens_from_its_coming_to_its_going(core: Core) -> None:
    lobby = Lobby(core)
    await lobby.say("before")
    bob = await lobby.join()
    await lobby.say("inside")
    core.router.moderation.kick(lobby.room, "bob")
    await lobby.say("behind")
    frames = seen(await core.outgoing(bob).next())
    assert [type(frame) for frame in frames] == [Happened, Said, Happened]
    assert texts(encode_each(frames)) == ["inside"]
    assert isinstance(frames[2], Happened)
    assert (frames[2].what, frames[2].node, frames[2].text) == ("leave", BOB, "kicked")


def encode_each(frames: list[Frame]) -> list[bytes]:
    return [encode_many([frame]) for frame in frames]


async def test_direct_messages_and_rooms_come_in_the_order_of_the_journal(core: Core) -> None:
    lobby, attic = Lobby(core), Lobby(core, "attic")
    bob = await lobby.join()
    await attic.join()
    for number in range(3):
        core.chat.send(bob, f"direct {number}")
        await lobby.say(f"lobby {number}")
        await attic.say(f"attic {number}")
    expected = [f"{where} {number}" for number in range(3) for where in ("direct", "lobby", "attic")]
    outgoing = core.outgoing(bob)
    frames = await outgoing.next()
    assert texts(frames) == expected
    seqs = [frame.seq for frame in seen(frames) if isinstance(frame, Text | Said | Happened)]
    assert seqs == sorted(set(seqs))
    assert outgoing.at_tail


async def test_a_link_that_begins_later_starts_where_the_member_stopped(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    await lobby.say("one", "two")
    first = seen(await core.outgoing(bob).next())
    assert isinstance(first[1], Said)
    await lobby.say("three")
    assert texts(await core.outgoing(bob, first[1].seq).next()) == ["two", "three"]


async def test_a_member_that_comes_while_its_link_is_up_is_told_at_once(core: Core) -> None:
    lobby = Lobby(core)
    bob, _ = await core.linked()
    outgoing = core.outgoing(bob)
    assert await outgoing.next() == []
    await lobby.join()
    await lobby.say("hi")
    assert texts(await outgoing.next()) == ["hi"]
    outgoing.close()


async def test_a_message_is_encoded_once_for_all_members(core: Core) -> None:
    lobby = Lobby(core)
    bob, carol = await lobby.join(), await lobby.join(CAROL, "carol")
    await lobby.say("hi")
    frames = [(await core.outgoing(peer).next())[-1] for peer in (bob, carol)]
    assert type(frames[0]) is bytes
    assert frames[0] is frames[1]


async def test_few_encoded_messages_are_kept_and_a_slower_member_gets_all(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.room_updates.CACHED_FRAMES", 2)
    lobby = Lobby(core)
    bob, carol = await lobby.join(), await lobby.join(CAROL, "carol")
    said = [str(number) for number in range(5)]
    await lobby.say(*said)
    for member in (bob, carol):
        assert texts(await core.outgoing(member).next()) == said


async def test_what_retention_took_away_is_said_to_be_missing_in_its_place(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    joined = core.journal.committed
    core.chat.send(bob, "owed")
    await lobby.say("lost")
    floor = core.journal.committed
    core.journal.raise_floor(floor)
    await lobby.say("kept")
    core.chat.send(bob, "direct")
    await core.commit()
    frames = seen(await core.outgoing(bob, joined).next())
    assert [type(frame) for frame in frames] == [Text, Missing, Said, Text]
    assert isinstance(frames[1], Missing)
    assert frames[1].seq <= floor
    assert frames[1].through == core.journal.position(floor)
    assert frames[1].rooms == [("lobby", core.journal.position(joined))]


async def test_an_owed_message_at_the_floor_is_sent_besides_what_is_missing(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    joined = core.journal.committed
    await lobby.say("lost")
    core.chat.send(bob, "owed at the floor")
    await core.commit()
    core.journal.raise_floor(core.journal.committed)
    frames = seen(await core.outgoing(bob, joined).next())
    assert [type(frame) for frame in frames] == [Missing, Text]


async def test_what_is_below_the_floor_page_by_page_is_missing_once(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.native.sending.WRITE_ROWS", 2)
    lobby = Lobby(core)
    bob = await lobby.join()
    joined = core.journal.committed
    core.chat.send_all(bob, [f"owed {number}" for number in range(5)])
    await lobby.say("lost", "lost too")
    core.chat.send_all(bob, ["owed 5", "owed 6", "owed 7"])
    await core.commit()
    core.journal.raise_floor(core.journal.committed)
    await lobby.say("kept")
    outgoing, frames = core.outgoing(bob, joined), list[Frame]()
    while not outgoing.at_tail:
        frames += seen(await outgoing.next())
    said = [frame.text for frame in frames if isinstance(frame, Text | Said)]
    assert said == [*(f"owed {number}" for number in range(8)), "kept"]
    assert [type(frame) for frame in frames].count(Missing) == 1
    seqs = [frame.seq for frame in frames if isinstance(frame, Text | Said | Missing)]
    assert seqs == sorted(set(seqs))


async def test_an_end_that_retention_took_away_is_told_all_the_same(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    joined = core.journal.committed
    core.router.moderation.kick(lobby.room, "bob")
    await core.commit()
    core.journal.raise_floor(core.journal.committed)
    (end,) = seen(await core.outgoing(bob, joined).next())
    assert isinstance(end, Happened)
    assert (end.what, end.node) == ("leave", BOB)


async def test_nothing_is_missing_of_a_room_in_which_nothing_happened_since(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    joined = core.journal.committed
    carol, _ = await core.linked(CAROL, "carol")
    core.chat.send(carol, "elsewhere")
    await core.commit()
    core.journal.raise_floor(core.journal.committed)
    assert await core.outgoing(bob, joined).next() == []


async def test_a_message_that_is_too_long_for_a_member_is_missing_there(core: Core) -> None:
    lobby = Lobby(core)
    bob = await lobby.join()
    await lobby.say("short", "long" * 100, "short again")
    outgoing = core.outgoing_within(bob, 100)
    outgoing.start(core.journal.committed - 3)
    frames = seen(await outgoing.next())
    assert [type(frame) for frame in frames] == [Said, Missing, Said]


async def test_retention_does_not_keep_rooms(core: Core) -> None:
    lobby = Lobby(core)
    await lobby.join()
    await lobby.say("old")
    core.world.now += 100
    retention = Retention(core.journal, core.world, age=50, size=1 << 30)
    while await retention.step():
        continue
    assert (await core.journal.page(0, lobby.room.stream_id)).entries == []

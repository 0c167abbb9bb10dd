"""Hosted rooms: who is a member, who is rejected, and what a failed commit undoes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatd.api.errors import ControlError
from chatd.journal.store import DiskFull
from chatd.rooms.declarations import MOST_PAST
from chatd.rooms.room import HostedRoom, Member
from tests.harness.parts import BOB, CAROL, SELF, Core, World, standing


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


async def lobby(core: Core) -> HostedRoom:
    room, _ = core.router.hosted_rooms.host("lobby")
    await core.commit()
    return room


def nicks(room: HostedRoom) -> list[str]:
    return [member.nick for member in room.users()]


def plain(core: Core, room: HostedRoom, nick: str | None, port: int = 5000, host: str = "10.0.0.9") -> Member:
    return core.router.hosted_rooms.enter_plain(room, nick, f"{host}:{port}", lambda _: None)[0]


@contextmanager
def refused(kind: str, **details: object) -> Iterator[None]:
    with pytest.raises(ControlError) as caught:
        yield
    assert (caught.value.kind, caught.value.details) == (kind, details)


async def test_a_room_is_hosted_once(core: Core) -> None:
    room = await lobby(core)
    assert core.router.hosted_rooms.host("lobby") == (room, None)
    assert room.label == "lobby@alice"
    assert room.users() == []


@pytest.mark.parametrize("name", ["", "Lobby", "17", "a b", "x" * 64, "lobby@alice"])
async def test_a_name_that_is_none_is_refused(core: Core, name: str) -> None:
    with refused("bad_text"):
        core.router.hosted_rooms.host(name)


async def test_this_node_is_in_its_own_room_only_if_it_comes(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    assert room.own_member is None
    own, _ = rooms.enter_own(room, None)
    assert (own.nick, own.node) == ("alice", SELF)
    assert rooms.enter_own(room, "alice") == (own, None)
    with refused("conflict", reason="already_in"):
        rooms.enter_own(room, "other")
    rooms.leave(room, own)
    assert room.own_member is None
    assert rooms.intervals.of_node(SELF) == ()


async def test_nodes_are_in_the_rooms_that_they_declare_and_in_no_others(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    attic, _ = rooms.host("attic")
    bob = core.away()
    assert core.router.declarations.apply(bob, [("lobby", "bob", True), ("attic", "bob", True)]) == ([], [room, attic])
    assert [nicks(room), nicks(attic)] == [["bob"], ["bob"]]
    assert [interval.room for interval in rooms.intervals.of_node(BOB)] == [room, attic]
    assert core.router.declarations.apply(bob, [("attic", "bob", False)]) == ([], [attic])
    assert [nicks(room), nicks(attic)] == [[], ["bob"]]
    await core.commit()
    assert [kind for kind in await core.types() if kind.startswith("room")] == ["room.join", "room.join", "room.leave"]


@pytest.mark.parametrize(
    ("name", "nick", "kind"),
    [
        ("cellar", "bob", "unknown_room"),
        ("lobby", "JANE", "conflict"),
        ("lobby", "system", "bad_text"),
        ("lobby", "b b", "bad_text"),
    ],
)
async def test_who_cannot_be_in_a_room_is_told_why(core: Core, name: str, nick: str, kind: str) -> None:
    room = await lobby(core)
    plain(core, room, "jane")
    gone, rooms = core.router.declarations.apply(core.away(), [(name, nick, True)])
    assert rooms == []
    assert [(one.room, one.kind) for one in gone] == [(name, kind)]
    assert gone[0].reason


async def test_a_node_that_was_sent_away_while_it_was_away_is_not_let_in_by_what_it_still_believes(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    bob = core.away()
    core.router.declarations.apply(bob, [("lobby", "bob", True)])
    core.router.moderation.kick(room, "bob")
    until = core.journal.appended
    assert core.router.declarations.apply(bob, [("lobby", "bob", False)]) == ([], [])
    assert nicks(room) == []
    rooms.release_intervals(BOB, until)
    assert rooms.intervals.of_node(BOB) == ()
    assert core.router.declarations.apply(bob, [("lobby", "bob", True)]) == ([], [room])


async def test_a_plain_client_gets_a_nick_that_is_free(core: Core) -> None:
    room = await lobby(core)
    assert plain(core, room, "jane").nick == "jane"
    member, why = core.router.hosted_rooms.enter_plain(room, "Jane", "10.0.0.9:6000", lambda _: None)
    assert (member.nick, why) == ("Jane2", "Jane is taken")
    assert plain(core, room, None, 7000).nick == "10.0.0.9:7000"


async def test_a_full_room_lets_nobody_in(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True), room_members=1) as core:
        room = await lobby(core)
        plain(core, room, "jane")
        with refused("rate_limited"):
            plain(core, room, "joe")
        gone, _ = core.router.declarations.apply(core.away(), [("lobby", "bob", True)])
        assert [one.kind for one in gone] == ["rate_limited"]


async def test_a_kicked_client_is_hung_up_on_and_a_banned_one_does_not_come_back(core: Core) -> None:
    room, rooms, ends = await lobby(core), core.router.hosted_rooms, list[str]()
    rooms.enter_plain(room, "jane", "10.0.0.9:5000", ends.append)
    core.router.moderation.kick(room, "JANE")
    assert (nicks(room), ends) == ([], ["kicked"])
    rooms.enter_plain(room, "jane", "10.0.0.9:5000", ends.append)
    rooms.enter_plain(room, "june", "10.0.0.9:5001", ends.append)
    plain(core, room, "joe", host="10.0.0.8")
    core.router.moderation.ban(room, "jane")
    assert nicks(room) == ["joe"]
    assert ends[1:] == ["banned", "banned"]
    with refused("forbidden"):
        plain(core, room, "jack")
    core.router.moderation.unban(room, "jane")
    assert plain(core, room, "jack").nick == "jack"
    for verb in (core.router.moderation.kick, core.router.moderation.ban, core.router.moderation.unban):
        with refused("unknown_peer"):
            verb(room, "nobody")


async def test_a_ban_is_lifted_by_what_it_is_of_before_what_others_were_called(core: Core) -> None:
    room = await lobby(core)
    plain(core, room, "joe", host="10.0.0.8")
    plain(core, room, "10.0.0.8", host="10.0.0.9")
    for nick in ("joe", "10.0.0.8"):
        core.router.moderation.ban(room, nick)
    core.router.moderation.unban(room, "10.0.0.8")
    assert room.bans == {"10.0.0.9": "10.0.0.8"}
    core.router.moderation.unban(room, "10.0.0.8")
    assert room.bans == {}


async def test_a_nick_under_which_several_were_banned_lifts_no_ban_and_the_refusal_names_them(core: Core) -> None:
    room, moderation = await lobby(core), core.router.moderation
    for host, nick in (("10.0.0.8", "friend"), ("10.0.0.9", "Friend")):
        plain(core, room, nick, host=host)
        moderation.ban(room, nick)
    with pytest.raises(ControlError) as caught:
        moderation.unban(room, "FRIEND")
    assert (caught.value.kind, caught.value.details) == ("ambiguous_peer", {"candidates": ["10.0.0.8", "10.0.0.9"]})
    for who in ("10.0.0.8", "10.0.0.9"):
        assert f"`chatctl room unban lobby {who}`" in caught.value.hint
    assert room.bans == {"10.0.0.8": "friend", "10.0.0.9": "Friend"}
    moderation.unban(room, "10.0.0.8")
    moderation.unban(room, "friend")
    assert room.bans == {}


async def test_a_banned_node_is_told_so(core: Core) -> None:
    room = await lobby(core)
    bob = core.away()
    core.router.declarations.apply(bob, [("lobby", "bob", True)])
    core.router.moderation.ban(room, "bob")
    gone, _ = core.router.declarations.apply(bob, [("lobby", "robert", True)])
    assert [one.kind for one in gone] == ["forbidden"]


async def test_a_host_cannot_ban_itself(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    rooms.enter_own(room, None)
    with refused("conflict", reason="self"):
        core.router.moderation.ban(room, "alice")


async def test_a_topic_is_one_line(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    rooms.set_topic(room, "spring")
    assert room.topic == "spring"
    for text in ("two\nlines", "\x1b[31m", "x" * 1025):
        with pytest.raises(ControlError):
            rooms.set_topic(room, text)
    rooms.set_topic(room, "")
    assert room.topic == ""


async def test_a_closed_room_is_owed_up_to_its_end(core: Core) -> None:
    room, rooms = await lobby(core), core.router.hosted_rooms
    core.router.declarations.apply(core.away(), [("lobby", "bob", True)])
    rooms.close(room)
    end = core.journal.appended
    assert rooms.get("lobby") is None
    assert rooms.by_stream_id(room.stream_id) is room
    assert [interval.until for interval in rooms.intervals.of_node(BOB)] == [end]
    fresh, _ = rooms.host("lobby")
    assert fresh is not room
    rooms.release_intervals(BOB, end)
    assert rooms.by_stream_id(room.stream_id) is None


async def test_a_room_with_a_port_is_not_closed(core: Core) -> None:
    room = await lobby(core)
    room.set_ports(1)
    with refused("conflict", reason="room_port"):
        core.router.hosted_rooms.close(room)


async def test_rooms_are_as_before_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        room, rooms = await lobby(core), core.router.hosted_rooms
        rooms.set_topic(room, "spring")
        rooms.enter_own(room, "owl")
        core.router.declarations.apply(core.away(), [("lobby", "bob", True)])
        core.router.declarations.apply(core.away(CAROL, "carol"), [("lobby", "carol", True)])
        plain(core, room, "jane")
        core.router.moderation.ban(room, "carol")
        await core.commit()
        newest = room.newest
    async with standing(tmp_path, World(inline=True)) as core:
        rooms = core.router.hosted_rooms
        room = rooms.get("lobby") or pytest.fail("it is gone")
        assert nicks(room) == ["owl", "bob"]
        assert (room.topic, room.newest, room.bans) == ("spring", newest, {CAROL: "carol"})
        assert [interval.until < 1 << 62 for interval in rooms.intervals.of_node(CAROL)] == [True]
        assert core.registry.new_stream_id() > room.stream_id


async def test_nothing_has_happened_when_its_commit_fails(tmp_path: Path) -> None:
    world, ends = World(inline=True), list[str]()
    async with standing(tmp_path, world) as core:
        room, rooms = await lobby(core), core.router.hosted_rooms
        core.router.declarations.apply(core.away(), [("lobby", "bob", True)])
        rooms.enter_own(room, None)
        await core.commit()
        before, intervals = nicks(room), [(node, interval.since, interval.until) for node, interval in rooms.intervals]
        rooms.set_topic(room, "spring")
        core.router.moderation.kick(room, "bob")
        core.router.declarations.apply(core.away(), [("lobby", "bobby", True)])
        rooms.leave(room, room.own_member or pytest.fail("gone"))
        rooms.enter_plain(room, "jane", "10.0.0.9:5000", ends.append)
        rooms.host("attic")
        rooms.close(room)
        world.fault = DiskFull("full")
        await core.commit()
        assert rooms.get("attic") is None
        assert rooms.get("lobby") is room
        assert (nicks(room), room.topic, ends) == (before, "", ["storage_full"])
        assert [(node, interval.since, interval.until) for node, interval in rooms.intervals] == intervals


async def test_a_closed_room_that_nobody_is_owed_leaves_nothing(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        room, rooms = await lobby(core), core.router.hosted_rooms
        plain(core, room, "jane")
        core.router.moderation.ban(room, "jane")
        rooms.close(room)
        await core.flushed()
        assert rooms.by_stream_id(room.stream_id) is None
    async with standing(tmp_path, World(inline=True)) as core:
        assert list(core.router.hosted_rooms) == []
        assert core.journal.store.query("SELECT count(*) FROM bans")[0][0] == 0
        assert core.journal.store.query("SELECT count(*) FROM rooms")[0][0] == 0


async def test_a_node_that_never_acknowledges_its_leaving_comes_back_only_so_often(core: Core) -> None:
    room = await lobby(core)
    bob, _ = await core.linked()
    for _ in range(MOST_PAST):
        assert core.router.declarations.apply(bob, [("lobby", "bob", True)]) == ([], [room])
        core.router.declarations.apply(bob, [])
    gone, _ = core.router.declarations.apply(bob, [("lobby", "bob", True)])
    assert [one.kind for one in gone] == ["rate_limited"]
    assert room.by_node == {}
    await core.commit()
    bob.delivery.mark_written(core.journal.committed)
    assert core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
    assert core.router.declarations.apply(bob, [("lobby", "bob", True)]) == ([], [room])
    await core.commit()

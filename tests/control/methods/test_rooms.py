"""The `room` methods except `room.say`, at the host and at a member, over a real socket and journal."""

from typing import Any

import pytest
import trio
import trio.testing

from chatd.journal.store import DiskFull
from chatd.rooms.declarations import DeclarationAnswer
from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, NODE_ID, Client, FakeLink, Refused, Stand, result_of
from tests.harness.joined_room import CAROL_ID, Lobby


async def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await client.ask(method, **params)
    return caught.value


async def events(stand: Stand) -> list[tuple[str, str]]:
    """The events of rooms: type and nick, topic or reason."""
    await stand.journal.settled()
    found = [entry for entry in (await stand.journal.read(0)).entries if entry.type.startswith("room.")]
    fields = ("nick", "text", "reason")
    return [(one.type, next(getattr(one.event, name) for name in fields if hasattr(one.event, name))) for one in found]


async def test_a_host_that_may_be_this_node_or_a_peer_is_asked_for(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    spec = f"lobby@{NODE_ID[:4]}"
    assert [user["nick"] for user in (await client.ask("room.users", room=spec))["users"]] == ["alice"]
    stand.registry.remembered.set_known(stand.registry.native(NODE_ID[:4] + "d" * 48, "dora", "x:1"))
    for method in ("room.users", "room.join"):
        assert (await refused(client, method, room=spec)).kind == "ambiguous_peer"
    assert (await client.ask("room.users", room=f"lobby@{NODE_ID}"))["users"]


# -- at the host


async def test_who_hosts_a_room_is_in_it(stand: Stand, client: Client) -> None:
    record = (await client.ask("room.host", room="lobby"))["room"]
    assert record == {
        "room": "lobby@alice", "host": NODE_ID, "hosted": True, "nick": "alice", "topic": "", "users": 1, "state": "up",
    }  # fmt: skip
    assert (await client.ask("room.host", room="lobby"))["room"] == record
    assert await client.ask("room.list") == {"rooms": [record]}
    assert await events(stand) == [("room.join", "alice")]


async def test_a_host_need_not_be_in_its_room_and_may_come_later(stand: Stand, client: Client) -> None:
    record = (await client.ask("room.host", room="lobby", join=False))["room"]
    assert (record["nick"], record["users"]) == (None, 0)
    assert (await client.ask("room.join", room="lobby", nick="al"))["room"]["nick"] == "al"
    assert (await client.ask("room.join", room="lobby@alice"))["room"]["nick"] == "al"
    assert (await refused(client, "room.join", room="lobby", nick="bo")).data["reason"] == "already_in"
    assert (await client.ask("room.leave", room="lobby"))["room"]["users"] == 0
    error = await refused(client, "room.leave", room="lobby")
    assert (error.kind, error.data["reason"]) == ("conflict", "not_in")
    assert (await client.ask("room.host", room="lobby", nick="alice"))["room"]["nick"] == "alice"


async def test_what_cannot_be_hosted_is_refused_and_leaves_no_room(stand: Stand, client: Client) -> None:
    for params, kind in cases(
        [
            ({"room": "Lobby!"}, "bad_text"),
            ({"room": "7"}, "bad_text"),
            ({"room": "lobby", "nick": "system"}, "bad_text"),
            ({"room": "lobby", "nick": "al", "join": False}, "invalid_params"),
            ({}, "invalid_params"),
        ]
    ):
        assert (await refused(client, "room.host", **params)).kind == kind
        assert await client.ask("room.list") == {"rooms": []}


async def test_nobody_is_told_of_a_room_that_met_a_full_disk(stand: Stand, client: Client) -> None:
    with stand.holding_commits() as held:
        held.failure = DiskFull("full")
        number = await client.post("room.host", room="lobby")
        await trio.testing.wait_all_tasks_blocked()
        held.release()
        with pytest.raises(Refused) as caught:
            result_of(await client.answer(number))
        assert caught.value.kind == "storage_full"
        assert await client.ask("room.list") == {"rooms": []}


async def test_the_users_of_a_room_come_in_the_order_in_which_they_came(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    room = stand.hosted_rooms.get("lobby")
    assert room is not None
    stand.hosted_rooms.enter_plain(room, None, "10.0.0.9:5000", list[str]().append)
    stand.node.router.declarations.apply(stand.bob, [("lobby", "bob", True)])
    found = await client.ask("room.users", room="lobby")
    assert (found["room"], found["topic"], found["fresh"]) == ("lobby@alice", "", True)
    assert [(user["nick"], user["kind"], user["node"], user["here"], user["address"]) for user in found["users"]] == [
        ("alice", "native", NODE_ID, True, None),
        ("10.0.0.9:5000", "plain", None, True, "10.0.0.9:5000"),
        ("bob", "native", BOB_ID, True, None),
    ]
    stand.registry.link_down(stand.bob, stand.bob.links[0])
    assert [user["here"] for user in (await client.ask("room.users", room="lobby"))["users"]] == [True, True, False]


async def test_a_topic_is_set_told_and_taken_away(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    assert (await client.ask("room.topic", room="lobby"))["room"]["topic"] == ""
    assert (await client.ask("room.topic", room="lobby", text="tea"))["room"]["topic"] == "tea"
    assert (await client.ask("room.topic", room="lobby"))["room"]["topic"] == "tea"
    assert (await client.ask("room.topic", room="lobby", text=""))["room"]["topic"] == ""
    assert (await refused(client, "room.topic", room="lobby", text="\x1b[2J")).kind == "bad_text"
    assert await events(stand) == [("room.join", "alice"), ("room.topic", "tea"), ("room.topic", "")]


async def test_who_is_kicked_may_come_back_and_who_is_banned_may_not(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")

    def comes() -> DeclarationAnswer:
        return stand.node.router.declarations.apply(stand.bob, [("lobby", "bob", True)])

    comes()
    assert (await client.ask("room.kick", room="lobby", nick="BOB"))["room"]["users"] == 1
    comes()
    assert (await client.ask("room.ban", room="lobby", nick="bob"))["room"]["users"] == 1
    assert [gone.kind for gone in comes().gone] == ["forbidden"]
    assert (await refused(client, "room.kick", room="lobby", nick="bob")).kind == "unknown_peer"
    await client.ask("room.unban", room="lobby", nick="bob")
    assert comes().gone == []
    assert (await refused(client, "room.unban", room="lobby", nick="bob")).kind == "unknown_peer"
    assert (await refused(client, "room.ban", room="lobby", nick="alice")).data["reason"] == "self"
    told = [("room.join", "alice"), *[("room.join", "bob"), ("room.leave", "bob")] * 2, ("room.join", "bob")]
    assert await events(stand) == told


async def test_a_room_that_is_closed_is_gone(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    assert (await client.ask("room.close", room="lobby"))["room"]["users"] == 0
    assert await client.ask("room.list") == {"rooms": []}
    assert (await refused(client, "room.users", room="lobby")).kind == "unknown_room"
    assert (await events(stand))[-1] == ("room.gone", "closed")


# -- at a member


async def test_a_join_is_answered_when_the_host_has_let_us_in(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    number = await client.post("room.join", room="lobby@bob")
    await lobby.asked()
    assert stand.bob.links[0].declared == 1  # type: ignore[attr-defined]
    assert await client.ask("room.list") == {"rooms": []}
    lobby.roster(topic="tea")
    record = result_of(await client.answer(number))["room"]
    assert record == {
        "room": "lobby@bob", "host": BOB_ID, "hosted": False, "nick": "alice", "topic": "tea", "users": 4,
        "state": "up",
    }  # fmt: skip
    assert await client.ask("room.join", room="lobby@bob") == {"room": record}
    stand.registry.link_down(stand.bob, stand.bob.links[0])
    assert [room["state"] for room in (await client.ask("room.list"))["rooms"]] == ["away"]


async def test_a_join_that_the_host_refuses_says_why(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    for kind, reason in (("unknown_room", "no room"), ("forbidden", "banned"), ("conflict", "alice is taken")):
        number = await client.post("room.join", room="lobby@bob")
        await lobby.asked()
        lobby.gone(kind, reason)
        with pytest.raises(Refused, match=reason) as caught:
            result_of(await client.answer(number))
        assert caught.value.kind == kind
    assert await client.ask("room.list") == {"rooms": []}


async def test_a_join_that_nobody_answers_leaves_nothing(stand: Stand, client: Client) -> None:
    assert (await refused(client, "room.join", room="lobby@bob", timeout=0.01)).kind == "timeout"
    assert await client.ask("room.list") == {"rooms": []}
    Lobby(stand).roster()
    assert await client.ask("room.list") == {"rooms": []}


async def test_a_join_that_met_a_full_disk_is_none(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    number = await client.post("room.join", room="lobby@bob")
    await lobby.asked()
    with stand.holding_commits() as held:
        held.failure = DiskFull("full")
        lobby.roster()
        held.release()
        with pytest.raises(Refused) as caught:
            result_of(await client.answer(number))
    assert caught.value.kind == "storage_full"
    assert await client.ask("room.list") == {"rooms": []}


async def test_what_cannot_be_joined_is_refused(stand: Stand, client: Client) -> None:
    stand.registry.native(CAROL_ID, "carol", "x:1")
    stand.registry.plain("10.0.0.9:5000")
    for params, kind in (
        ({"room": "lobby"}, "unknown_room"),
        ({"room": "lobby@alice"}, "unknown_room"),
        ({"room": "lobby@nobody"}, "unknown_peer"),
        ({"room": "lobby@carol"}, "peer_offline"),
        ({"room": "lobby@10.0.0.9:5000"}, "conflict"),
        ({"room": "@bob"}, "unknown_room"),
        ({"room": "lobby@bob", "nick": "a b"}, "bad_text"),
        ({"room": "lobby@bob", "timeout": -1}, "invalid_params"),
    ):
        assert (await refused(client, "room.join", **params)).kind == kind
    assert not list(stand.joined_rooms)


async def test_two_who_join_at_once_are_both_answered(stand: Stand, client: Client) -> None:
    first = await client.post("room.join", room="lobby@bob")
    second = await client.post("room.join", room="lobby@bob")
    lobby = Lobby(stand)
    await lobby.asked()
    lobby.roster()
    found = {line["id"]: result_of(line) for line in await client.lines(2)}
    assert found[first] == found[second]


async def test_only_the_host_may_change_a_room(stand: Stand, client: Client) -> None:
    await Lobby(stand).join(client)
    for method, params in (
        ("room.topic", {"text": "tea"}),
        ("room.kick", {"nick": "carol"}),
        ("room.ban", {"nick": "carol"}),
        ("room.unban", {"nick": "carol"}),
        ("room.close", {}),
    ):
        error = await refused(client, method, room="lobby", **params)
        assert error.kind == "forbidden"
        assert "bob" in error.data["hint"]
    assert (await client.ask("room.topic", room="lobby"))["room"]["room"] == "lobby@bob"


async def test_a_member_asks_the_host_who_is_there(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    await lobby.join(client)
    number = await client.post("room.users", room="lobby")
    while stand.bob.links[0].declared < 2:  # type: ignore[attr-defined]
        await trio.lowlevel.checkpoint()
    lobby.roster([("bob", BOB_ID, True), ("alice", NODE_ID, True)])
    found = result_of(await client.answer(number))
    assert ([user["nick"] for user in found["users"]], found["fresh"]) == (["bob", "alice"], True)


async def test_while_the_host_is_away_the_users_are_those_that_were_known(stand: Stand, client: Client) -> None:
    await Lobby(stand).join(client)
    link = stand.bob.links[0]
    link.reason = "reset"
    found = await client.ask("room.users", room="lobby@bob")
    assert found["fresh"] is False
    assert [(user["nick"], user["kind"], user["here"]) for user in found["users"]] == [
        ("bob", "native", True),
        ("carol", "native", False),
        ("10.0.0.9:5000", "plain", True),
        ("alice", "native", True),
    ]


async def test_who_asks_for_users_is_told_when_the_room_is_over(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    await lobby.join(client)
    number = await client.post("room.users", room="lobby")
    while stand.bob.links[0].declared < 2:  # type: ignore[attr-defined]
        await trio.lowlevel.checkpoint()
    lobby.gone("unknown_room", "no room")
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(number))
    assert caught.value.kind == "unknown_room"


async def test_a_member_leaves_at_once_also_while_the_host_is_away(stand: Stand, client: Client) -> None:
    await Lobby(stand).join(client)
    stand.registry.link_down(stand.bob, stand.bob.links[0])
    record = (await client.ask("room.leave", room="lobby@bob"))["room"]
    assert (record["nick"], record["state"]) == (None, "away")
    assert await client.ask("room.list") == {"rooms": []}
    assert await events(stand) == [("room.gone", "left")]


async def test_a_name_that_may_be_two_rooms_needs_its_host(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    await Lobby(stand).join(client)
    error = await refused(client, "room.users", room="lobby")
    assert error.kind == "unknown_room"
    assert "lobby@alice, lobby@bob" in str(error)
    assert [room["room"] for room in (await client.ask("room.list"))["rooms"]] == ["lobby@alice", "lobby@bob"]
    assert (await client.ask("room.leave", room="lobby@alice"))["room"]["hosted"] is True
    status = await client.ask("status")
    assert (status["rooms"], status["room_ports"]) == (2, ["127.0.0.1:1234"])


async def test_a_host_that_comes_back_tells_all_of_its_users(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    await lobby.join(client)
    await lobby.happens("join", nick="dora", node="d" * 52)
    await lobby.happens("leave", nick="carol", node=CAROL_ID, text="left")
    stand.registry.link_down(stand.bob, stand.bob.links[0])
    assert [user["nick"] for user in (await client.ask("room.users", room="lobby"))["users"]] == [
        *("bob", "10.0.0.9:5000", "alice", "dora")
    ]
    stand.registry.link_up(stand.bob, FakeLink())
    lobby.roster([("alice", NODE_ID, True)])
    assert lobby.membership.record(up=True).users == 1


async def test_who_forgets_a_host_is_in_none_of_its_rooms(stand: Stand, client: Client) -> None:
    await Lobby(stand).join(client)
    await client.ask("peer.forget", peer="bob")
    assert await client.ask("room.list") == {"rooms": []}
    assert (await refused(client, "room.say", room="lobby", text="hi")).kind == "unknown_room"
    assert await events(stand) == [("room.gone", "forgotten")]

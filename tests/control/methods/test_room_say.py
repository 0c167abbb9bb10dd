"""`room.say` to all or to one member, at the host and at a member, with and without `wait`; real socket and journal."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from chatd.api.events import RoomGone
from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, Client, Refused, Stand, request, result_of
from tests.harness.joined_room import CAROL_ID, EPOCH, Lobby


@pytest.fixture
async def lobby(stand: Stand, client: Client) -> Lobby:
    made = Lobby(stand)
    await made.join(client)
    return made


async def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await client.ask(method, **params)
    return caught.value


async def said(stand: Stand) -> list[dict[str, Any]]:
    """All messages of this node in rooms."""
    await stand.journal.settled()
    entries = (await stand.journal.read(0)).entries
    return [json.loads(entry.raw) for entry in entries if entry.type == "message" and entry.direction == "out"]


# -- at the host


async def test_what_the_host_says_is_in_its_place_at_once(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    for wait in (None, "sent", "delivered"):
        sent = await client.ask("room.say", room="lobby", text="hi", **({"wait": wait} if wait else {}))
        assert (sent["state"], sent["room"]) == ("delivered", "lobby@alice")
        assert sent["peer"] == {"slot": None, "name": "alice", "kind": "native", "node": stand.node.identity.node}
    (message, *_) = await said(stand)
    assert message["id"] == message["position"] == message["room_position"]
    assert (message["nick"], message["state"]) == ("alice", "delivered")
    assert await client.ask("wait", for_="delivered", id=message["id"], timeout=0) == {"peers": []}
    assert (await client.ask("msg", id=message["id"]))["message"] == message
    assert (await client.ask("history", filter={"room": "lobby", "types": ["message"]}))["events"][0] == message
    assert (await refused(client, "cancel", id=message["id"])).data["reason"] == "delivered"


async def test_a_host_that_is_not_in_its_room_says_nothing_there(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby", join=False)
    error = await refused(client, "room.say", room="lobby", text="hi")
    assert (error.kind, error.data["reason"]) == ("conflict", "not_in")
    assert await said(stand) == []


async def test_to_one_who_is_in_it(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    stand.node.router.declarations.apply(stand.bob, [("lobby", "Bob", True)])
    await client.ask("room.say", room="lobby", text="@bob hi  there")
    await client.ask("room.say", room="lobby", text="@bob", to="bob")
    await client.ask("room.say", room="lobby", text="@@bob is here")
    await client.ask("room.say", room="lobby", text="@ ten")
    assert [(one["text"], one.get("to"), one.get("to_node")) for one in await said(stand)] == [
        ("hi  there", "Bob", BOB_ID),
        ("@bob", "Bob", BOB_ID),
        ("@bob is here", None, None),
        ("@ ten", None, None),
    ]


@pytest.mark.parametrize("hosted", [True, False])
async def test_what_cannot_be_said_is_refused_and_not_published(stand: Stand, client: Client, hosted: bool) -> None:
    await (client.ask("room.host", room="lobby") if hosted else Lobby(stand).join(client))
    for params, kind in cases(
        [
            ({"text": "@jane psst"}, "unknown_peer"),
            ({"text": "@bob: psst"}, "unknown_peer"),
            ({"text": "psst", "to": "jane"}, "unknown_peer"),
            ({"text": "@alice"}, "bad_text"),
            ({"text": ""}, "bad_text"),
            ({"text": "\x1b"}, "bad_text"),
            ({"text": "€" * 6000}, "too_large"),
            ({"text": "hi", "wait": "read"}, "invalid_params"),
            ({"text": "hi", "timeout": -1}, "invalid_params"),
            ({"text": "hi", "room": "hall"}, "unknown_room"),
        ]
    ):
        error = await refused(client, "room.say", **{"room": "lobby", **params})
        assert error.kind == kind
        if kind == "unknown_peer":
            assert "room users" in error.data["hint"]
        assert await said(stand) == []


# -- at a member


async def test_what_a_member_says_is_owed_to_the_host(stand: Stand, lobby: Lobby, client: Client) -> None:
    sent = await client.ask("room.say", room="lobby", text="hi")
    assert (sent["state"], sent["room"], sent["peer"]["name"]) == ("queued", "lobby@bob", "bob")
    (message,) = await said(stand)
    assert (message["id"], message["room"], message["nick"]) == (sent["id"], "lobby@bob", "alice")
    assert "to" not in message
    assert stand.bob.delivery.outbox.count == 1
    assert (await client.ask("msg", id=sent["id"]))["message"]["state"] == "queued"
    assert (await client.ask("cancel", id=sent["id"]))["state"] == "cancelled"


async def test_a_member_says_something_to_one(stand: Stand, lobby: Lobby, client: Client) -> None:
    await client.ask("room.say", room="lobby", text="@CAROL psst")
    await client.ask("room.say", room="lobby", text="psst", to="10.0.0.9:5000")
    found = [(one["text"], one["to"], one["to_node"]) for one in await said(stand)]
    assert found == [("psst", "carol", CAROL_ID), ("psst", "10.0.0.9:5000", None)]


async def test_to_one_of_whom_nothing_is_known_yet_it_is_refused(stand: Stand, lobby: Lobby, client: Client) -> None:
    lobby.membership.rosters_received = 0  # after a restart
    lobby.membership._users.clear()
    assert (await refused(client, "room.say", room="lobby", text="@carol hi")).kind == "peer_offline"
    assert (await client.ask("room.say", room="lobby", text="hi"))["state"] == "queued"


async def begun(stand: Stand, client: Client, wait: str, **params: Any) -> tuple[int, str]:
    """The request id of an open `room.say`, and the id of its message."""
    number = await client.post("room.say", room="lobby", text="hi", wait=wait, **params)
    while not stand.bob.delivery.outbox.count:
        await trio.lowlevel.checkpoint()
    await stand.journal.settled()
    await trio.testing.wait_all_tasks_blocked()
    return number, stand.journal.position(stand.bob.delivery.outbox.first)


async def test_sent_is_what_the_host_has_got(stand: Stand, lobby: Lobby, client: Client) -> None:
    number, ours = await begun(stand, client, "sent")
    lobby.acknowledges()
    sent = result_of(await client.answer(number))
    assert (sent["id"], sent["state"], sent["room"]) == (ours, "sent", "lobby@bob")


async def test_delivered_is_what_has_come_back(stand: Stand, lobby: Lobby, client: Client) -> None:
    number, ours = await begun(stand, client, "delivered")
    waiting = await client.post("wait", for_="delivered", id=ours)
    lobby.acknowledges()
    await trio.testing.wait_all_tasks_blocked()
    assert await client.ask("whoami")  # and not before
    await lobby.says("in between")
    await lobby.echoes(ours)
    found = {line["id"]: result_of(line) for line in await client.lines(2)}
    assert (found[number]["id"], found[number]["state"]) == (ours, "delivered")
    assert [peer["name"] for peer in found[waiting]["peers"]] == ["bob"]


async def test_what_the_host_refuses_says_why(stand: Stand, lobby: Lobby, client: Client) -> None:
    number, ours = await begun(stand, client, "delivered")
    lobby.acknowledges()
    await lobby.says("in between")
    await lobby.refuses(ours, "not in the room")
    with pytest.raises(Refused, match="not in the room") as caught:
        result_of(await client.answer(number))
    assert (caught.value.kind, caught.value.data["id"]) == ("rejected", ours)
    assert (await refused(client, "wait", for_="delivered", id=ours)).kind == "rejected"
    assert (await client.ask("msg", id=ours))["message"]["state"] == "rejected"


async def test_a_refusal_that_is_not_on_disk_yet_is_never_taken_for_a_delivery(
    stand: Stand, lobby: Lobby, client: Client
) -> None:
    number, ours = await begun(stand, client, "delivered")
    lobby.acknowledges()
    with stand.holding_commits() as held:
        stand.journal.append(RoomGone(room="hall@bob", reason="left"))  # its commit is under way before
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lobby.refuses, ours, "not in the room")
            await trio.testing.wait_all_tasks_blocked()
            held.release()
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(number))
    assert caught.value.kind == "rejected"


async def test_who_waits_in_vain_is_told_the_state(stand: Stand, lobby: Lobby, client: Client) -> None:
    error = await refused(client, "room.say", room="lobby", text="hi", wait="delivered", timeout=0.01)
    assert (error.kind, error.data["state"]) == ("timeout", "queued")
    (message,) = await said(stand)
    assert message["id"] == error.data["id"]


async def test_one_that_is_taken_back_ends_the_wait(stand: Stand, lobby: Lobby, client: Client) -> None:
    number, ours = await begun(stand, client, "delivered")
    other = await stand.connect()
    async with other.stream:
        assert (await other.ask("cancel", id=ours))["state"] == "cancelled"
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(number))
    assert (caught.value.kind, caught.value.data["reason"]) == ("conflict", "cancelled")


async def test_what_was_said_in_a_room_is_answered_there(stand: Stand, lobby: Lobby, client: Client) -> None:
    await lobby.says("hi")
    position = stand.journal.position(stand.journal.committed)
    error = await refused(client, "reply", id=position, text="yes")
    assert (error.kind, error.data["reason"]) == ("conflict", "room")
    assert "say lobby@bob" in error.data["hint"]
    assert (await client.ask("msg", id=position))["message"]["room_position"] == f"{EPOCH}:1"
    assert (await refused(client, "cancel", id=position)).kind == "conflict"
    assert (await refused(client, "wait", for_="delivered", id=position)).kind == "conflict"


async def test_what_a_plain_client_said_here_cannot_be_taken_back_or_answered(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    room = stand.hosted_rooms.get("lobby")
    assert room is not None
    member, _ = stand.hosted_rooms.enter_plain(room, "jane", "10.0.0.9:5000", list[str]().append)
    (message,), batch = stand.posting.post(room, member, ["hi"])
    await batch.wait()
    for method, params in (("cancel", {}), ("reply", {"text": "x"}), ("wait", {"for": "delivered"})):
        assert (await refused(client, method, id=message.position, **params)).kind == "conflict"


# -- neighbours


@pytest.mark.parametrize("hosted", [True, False])
async def test_neighbours_are_said_together_and_nobody_can_tell(stand: Stand, client: Client, hosted: bool) -> None:
    await (client.ask("room.host", room="lobby") if hosted else Lobby(stand).join(client))
    params: list[dict[str, Any]] = [
        *({"room": "lobby", "text": f"{number}"} for number in range(3)),
        {"room": "lobby", "text": "@jane x"},
        {"room": "lobby", "text": "@@all"},
        {"room": "hall", "text": "x"},
        {"room": "lobby", "text": ""},
        {"room": "lobby", "text": "last"},
    ]
    await client.write(b"".join(request("room.say", number, **each) for number, each in enumerate(params)))
    lines = await client.lines(len(params))
    kinds = [line["error"]["data"]["kind"] if "error" in line else "" for line in lines]
    assert kinds == ["", "", "", "unknown_peer", "", "unknown_room", "bad_text", ""]
    messages = await said(stand)
    assert [message["text"] for message in messages] == ["0", "1", "2", "@all", "last"]
    assert [line["result"]["id"] for line in lines if "result" in line] == [message["id"] for message in messages]
    if hosted:
        assert [message["room_position"] for message in messages] == [message["position"] for message in messages]


async def test_neighbours_in_two_rooms_are_said_each_in_its_own(stand: Stand, client: Client) -> None:
    rooms = ["lobby", "hall", "lobby"]
    for room in rooms[:2]:
        await client.ask("room.host", room=room)
    await client.write(b"".join(request("room.say", number, room=room, text=room) for number, room in enumerate(rooms)))
    assert [line["result"]["state"] for line in await client.lines(3)] == ["delivered"] * 3
    assert [(message["room"].partition("@")[0], message["text"]) for message in await said(stand)] == [
        (room, room) for room in rooms
    ]


async def test_a_batch_of_neighbours_is_one_commit(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    with stand.holding_commits():
        await client.write(b"".join(request("room.say", number, room="lobby", text="x") for number in range(100)))
        await trio.testing.wait_all_tasks_blocked()
    assert [line["result"]["state"] for line in await client.lines(100)] == ["delivered"] * 100
    assert len(await said(stand)) == 100

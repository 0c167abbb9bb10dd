"""The events of a peer and of a room by any of its names: subscriptions and consumers over a real socket."""

from typing import Any

import pytest

from tests.harness.cases import cases
from tests.harness.control_node import Client, Refused, Stand
from tests.harness.joined_room import Lobby

MESSAGES = {"types": ["message"]}


@pytest.fixture
async def lobby(stand: Stand, client: Client) -> Lobby:
    made = Lobby(stand)
    await made.join(client)
    return made


async def follow(client: Client, **params: Any) -> int:
    subscribed: dict[str, int] = await client.ask("subscribe", **params)
    return subscribed["subscription"]


async def texts(client: Client, count: int) -> list[str]:
    return [(await client.event())["event"]["text"] for _ in range(count)]


async def quiet(client: Client) -> bool:
    await client.ask("whoami")
    return not client.events


async def talk(lobby: Lobby, client: Client) -> None:
    """Both send messages in the room, in another one, and directly."""
    await lobby.says("hers")
    await lobby.texts("direct in")
    ours = (await client.ask("room.say", room="lobby", text="mine"))["id"]
    await client.ask("send", peer="bob", text="direct out")
    await lobby.says("elsewhere", room="hall")
    await lobby.echoes(ours)
    await lobby.says("hers too")


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"room": "lobby"}, True),
        ({"room": "lobby@bob"}, False),
        ({"peer": "lobby"}, False),
        ({"peer": "lobby@bob"}, True),
    ],
    ids=str,
)
async def test_a_room_is_followed_as_it_is_said(
    lobby: Lobby, client: Client, wanted: dict[str, str], live: bool
) -> None:
    if live:
        await follow(client, filter={**MESSAGES, **wanted})
    await talk(lobby, client)
    if not live:
        await follow(client, from_="start", filter={**MESSAGES, **wanted})
    assert await texts(client, 3) == ["hers", "mine", "hers too"]
    assert await quiet(client)


async def test_a_peer_is_followed_without_its_rooms(lobby: Lobby, client: Client) -> None:
    await follow(client, filter={**MESSAGES, "peer": "bob"})
    await talk(lobby, client)
    assert await texts(client, 2) == ["direct in", "direct out"]
    await follow(client, from_={"last": 2}, filter={**MESSAGES, "peer": "bob"})
    assert await texts(client, 2) == ["direct in", "direct out"]
    await follow(client, from_={"last": 1}, filter={**MESSAGES, "room": "lobby", "direction": "out"})
    assert await texts(client, 1) == ["mine"]
    assert await quiet(client)


async def test_all_events_of_a_room_are_those_that_name_it(lobby: Lobby, client: Client) -> None:
    await follow(client, filter={"room": "lobby"})
    await talk(lobby, client)
    await lobby.happens("join", nick="dora", node=None)
    await lobby.misses(3)
    await lobby.happens("closed")
    found = [(await client.event())["event"] for _ in range(7)]
    assert [event["type"] for event in found] == [
        *("message", "message", "receipt", "message", "room.join", "gap", "room.gone")
    ]
    assert {event["room"] for event in found} == {"lobby@bob"}


async def test_a_room_of_ours_is_followed_by_its_topic(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    await client.ask("room.host", room="hall")
    await follow(client, filter={**MESSAGES, "peer": "lobby"})
    await client.ask("room.say", room="hall", text="elsewhere")
    await client.ask("room.say", room="lobby", text="here")
    assert await texts(client, 1) == ["here"]
    assert await quiet(client)


async def test_two_readers_of_one_session_that_share_a_topic_end_one_by_one(lobby: Lobby, client: Client) -> None:
    room = await follow(client, filter={**MESSAGES, "room": "lobby"})
    peer = await follow(client, filter={**MESSAGES, "peer": "bob"})
    await client.ask("unsubscribe", subscription=room)
    await lobby.texts("direct")
    assert await texts(client, 1) == ["direct"]
    room = await follow(client, filter={**MESSAGES, "room": "lobby"})
    await client.ask("unsubscribe", subscription=peer)
    await client.ask("room.say", room="lobby", text="mine")
    await lobby.says("hers")
    assert await texts(client, 2) == ["mine", "hers"]


async def test_what_is_nowhere_is_refused(lobby: Lobby, client: Client) -> None:
    for wanted, kind in cases(
        [
            ({"room": "hall"}, "unknown_room"),
            ({"room": "lobby@carol"}, "unknown_room"),
            ({"peer": "hall"}, "unknown_peer"),
            ({"peer": "hall@bob"}, "unknown_room"),
            ({"peer": 7}, "unknown_peer"),
            ({"peer": "bob", "room": "lobby"}, "invalid_params"),
        ]
    ):
        for method in ("subscribe", "history"):
            with pytest.raises(Refused) as caught:
                await client.ask(method, filter=wanted)
            assert caught.value.kind == kind


async def test_a_name_of_a_peer_and_a_room_is_the_peer_and_one_of_two_rooms_is_asked_back(
    stand: Stand, lobby: Lobby, client: Client
) -> None:
    await client.ask("room.host", room="bob")
    await lobby.texts("direct")
    page = await client.ask("history", filter={**MESSAGES, "peer": "bob"})
    assert [event["text"] for event in page["events"]] == ["direct"]
    await client.ask("room.host", room="lobby")
    with pytest.raises(Refused, match="lobby@alice, lobby@bob"):
        await client.ask("history", filter={"peer": "lobby"})


# -- consumers


async def test_a_consumer_of_a_room_goes_on_where_it_stopped(stand: Stand, lobby: Lobby, client: Client) -> None:
    wanted = {**MESSAGES, "room": "lobby"}
    number = await follow(client, as_="bot", filter=wanted)
    await talk(lobby, client)
    first = await client.event()
    await client.ask("ack", consumer="bot", position=first["event"]["position"])
    await client.ask("unsubscribe", subscription=number)
    (record,) = (await client.ask("consumers"))["consumers"]
    assert (record["lag"], record["filter"]) == (2, wanted)
    client.events.clear()
    await follow(client, as_="bot", filter={**MESSAGES, "room": "lobby@bob"})
    assert await texts(client, 2) == ["mine", "hers too"]
    assert await quiet(client)


async def test_a_consumer_of_a_peer_lags_by_what_is_not_in_a_room(lobby: Lobby, client: Client) -> None:
    number = await follow(client, as_="bot", filter={**MESSAGES, "peer": "bob"})
    await client.ask("unsubscribe", subscription=number)
    await talk(lobby, client)
    (record,) = (await client.ask("consumers"))["consumers"]
    assert record["lag"] == 2


async def test_a_consumer_of_a_room_that_was_left_gets_what_was_said_and_goes_on_with_the_next_time(
    lobby: Lobby, client: Client
) -> None:
    number = await follow(client, as_="bot", filter={"peer": "lobby@bob"})
    await client.ask("unsubscribe", subscription=number)
    await lobby.says("hers")
    await client.ask("room.leave", room="lobby")
    number = await follow(client, as_="bot")
    found = [(await client.event())["event"] for _ in range(2)]
    assert [event["type"] for event in found] == ["message", "room.gone"]
    await client.ask("ack", consumer="bot", position=found[1]["position"])
    assert (await client.ask("consumers"))["consumers"][0]["lag"] == 0
    await client.ask("unsubscribe", subscription=number)
    await lobby.join(client)
    await lobby.says("hers too")
    await client.ask("room.say", room="lobby", text="mine")
    await follow(client, as_="bot")
    assert await texts(client, 2) == ["hers too", "mine"]


async def test_a_consumer_of_one_room_is_not_that_of_another(stand: Stand, lobby: Lobby, client: Client) -> None:
    await client.ask("room.host", room="hall")
    number = await follow(client, as_="bot", filter={"room": "lobby"})
    await client.ask("unsubscribe", subscription=number)
    for other in ({"room": "hall"}, {"peer": "bob"}, {}):
        with pytest.raises(Refused) as caught:
            await client.ask("subscribe", as_="bot", filter=other)
        assert caught.value.data["reason"] == "filter"
    assert await follow(client, as_="bot", filter={"peer": "lobby"})

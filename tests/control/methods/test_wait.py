"""`wait`: at once if the condition holds, later when it becomes true, and `timeout`."""

from typing import Any

import pytest
import trio

from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, Client, FakeLink, Refused, Stand, request, result_of
from tests.harness.joined_room import Lobby


async def test_a_node_that_answers_is_ready(stand: Stand, client: Client) -> None:
    assert await client.ask("wait", for_="ready", timeout=0) == {"peers": []}


async def test_what_is_so_already_is_answered_at_once(stand: Stand, client: Client) -> None:
    for params in ({"for_": "peer", "peer": "bob"}, {"for_": "peer", "peer": 0}, {"for_": "peers", "count": 1}):
        answer = await client.ask("wait", timeout=0, **params)
        assert [peer["name"] for peer in answer["peers"]] == ["bob"]
    assert await client.ask("wait", for_="peers", count=0)


@pytest.mark.parametrize("peer", ["carol", "c" * 52, 1])
async def test_a_peer_that_nobody_knows_may_still_come(stand: Stand, client: Client, peer: Any) -> None:
    await client.write(request("wait", 1, for_="peer", peer=peer) + request("whoami", 2))
    assert result_of(await client.answer(2))
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    stand.registry.link_up(carol, FakeLink())
    answer = result_of(await client.answer(1))
    assert [found["name"] for found in answer["peers"]] == ["carol"]


async def test_a_peer_that_was_up_in_between_is_waited_for_again(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    await client.write(request("wait", 1, for_="peers", count=2) + request("whoami", 2))
    await client.answer(2)
    link = FakeLink()
    stand.registry.link_up(carol, link)
    stand.registry.link_down(carol, link)
    await client.ask("whoami")
    stand.registry.link_up(carol, link)
    assert len(result_of(await client.answer(1))["peers"]) == 2


async def test_no_wake_up_is_missed(stand: Stand, client: Client) -> None:
    """A waiter for each number of peers, while they connect one by one."""
    for number in range(2, 40):
        await client.write(request("wait", number, for_="peers", count=number))
    for number in range(1, 39):
        peer = stand.registry.native(f"{number:052}", f"peer{number}x", f"x:{number}")
        stand.registry.link_up(peer, FakeLink())
        if number % 3 == 0:
            await trio.lowlevel.checkpoint()
    assert {line["id"] for line in await client.lines(38)} == set(range(2, 40))


async def test_too_late_is_a_timeout(stand: Stand, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="peer", peer="carol", timeout=0.01)
    assert (caught.value.code, caught.value.kind) == (502, "timeout")
    assert caught.value.data["retryable"] is True


async def test_an_ambiguous_peer_is_not_waited_for(stand: Stand, client: Client) -> None:
    for peer in (stand.bob, stand.registry.native("bbbb" + "c" * 48, "bert", "x:1")):
        stand.registry.remembered.set_known(peer)
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="peer", peer="bbbb")
    assert caught.value.kind == "ambiguous_peer"


async def test_a_stranger_whose_id_begins_like_a_name_does_not_end_the_wait_for_it(
    stand: Stand, client: Client
) -> None:
    name = BOB_ID[:4]
    await client.write(request("wait", 1, for_="peer", peer=name) + request("whoami", 2))
    assert result_of(await client.answer(2))
    honest = stand.registry.native("c" * 52, name, "x:1")
    stand.registry.link_up(honest, FakeLink())
    assert honest.name == f"{name}~cccccccc"
    stand.registry.rename(honest, name)
    answer = result_of(await client.answer(1))
    assert [(found["name"], found["node"]) for found in answer["peers"]] == [(name, "c" * 52)]


async def test_who_waits_for_a_stranger_by_too_few_characters_learns_how_many_it_takes(
    stand: Stand, client: Client
) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="peer", peer=BOB_ID[:8], timeout=0.01)
    assert caught.value.kind == "timeout"
    assert "12 characters" in caught.value.data["hint"]
    assert (await client.ask("wait", for_="peer", peer=BOB_ID[:12]))["peers"][0]["name"] == "bob"


async def test_what_cannot_be_waited_for_is_refused(stand: Stand, client: Client) -> None:
    for params in cases(
        [
            {"for_": "godot"},
            {"for_": "peer"},
            {"for_": "peers"},
            {"for_": "users", "count": 1},
            {"for_": "ready", "timeout": -1},
            {},
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("wait", **params)
        assert caught.value.kind == "invalid_params"


async def test_an_outbox_that_is_empty_is_so_at_once(stand: Stand, client: Client) -> None:
    assert await client.ask("wait", for_="outbox-empty", timeout=0) == {"peers": []}
    answer = await client.ask("wait", for_="outbox-empty", peer="bob", timeout=0)
    assert [peer["name"] for peer in answer["peers"]] == ["bob"]


async def test_an_outbox_is_waited_for_until_it_is_empty(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    ids = [(await client.ask("send", peer=name, text="x"))["id"] for name in ("bob", "carol", "bob")]
    await client.write(request("wait", 1, for_="outbox-empty", peer="bob") + request("wait", 2, for_="outbox-empty"))
    for peer in (stand.bob, carol):
        peer.delivery.mark_written(stand.journal.committed)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.resolve(ids[0]))
    assert await client.ask("whoami")
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.resolve(ids[2]))
    assert [peer["name"] for peer in result_of(await client.answer(1))["peers"]] == ["bob"]
    other = await stand.connect()
    async with other.stream:
        await other.ask("cancel", id=(await other.ask("send", peer="carol", text="y"))["id"])
    assert await client.ask("whoami")
    assert stand.chat.acknowledge(carol, stand.journal.epoch, stand.journal.resolve(ids[1]))
    assert result_of(await client.answer(2)) == {"peers": []}


async def test_the_outbox_of_a_plain_peer_is_what_waits_for_its_link(stand: Stand, client: Client) -> None:
    peer, link = stand.registry.plain("127.0.0.1:9"), FakeLink()
    stand.registry.link_up(peer, link)
    await client.ask("send", peer=peer.slot, text="x")
    await client.write(request("wait", 1, for_="outbox-empty", peer=peer.slot) + request("whoami", 2))
    await client.answer(2)
    link.waiting = 0
    stand.chat.record_written(peer, stand.journal.committed)
    assert result_of(await client.answer(1))["peers"][0]["slot"] == peer.slot


async def test_an_outbox_that_stays_is_a_timeout(stand: Stand, client: Client) -> None:
    await client.ask("send", peer="bob", text="x")
    for params in ({}, {"peer": "bob"}):
        with pytest.raises(Refused) as caught:
            await client.ask("wait", for_="outbox-empty", timeout=0.01, **params)
        assert caught.value.kind == "timeout"
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="outbox-empty", peer="nobody", timeout=0.01)
    assert caught.value.kind == "unknown_peer"


async def test_so_many_users_of_a_room_are_waited_for(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    assert await client.ask("wait", for_="users", room="lobby", count=1, timeout=0) == {"peers": []}
    await client.write(request("wait", "w", for_="users", room="lobby", count=3) + request("whoami", "x"))
    assert result_of(await client.answer("x"))
    room = stand.hosted_rooms.get("lobby")
    assert room is not None
    stand.hosted_rooms.enter_plain(room, None, "10.0.0.9:1", list[str]().append)
    await client.ask("whoami")  # and not yet
    stand.hosted_rooms.enter_plain(room, None, "10.0.0.9:2", list[str]().append)
    assert result_of(await client.answer("w")) == {"peers": []}


async def test_users_of_another_nodes_room_are_waited_for_until_it_is_over(stand: Stand, client: Client) -> None:
    lobby = Lobby(stand)
    await lobby.join(client)
    for number, count in enumerate((5, 6), start=100):
        await client.write(request("wait", number, for_="users", room="lobby", count=count))
    await client.ask("whoami")
    await lobby.happens("join", nick="dora", node="d" * 52)
    assert result_of(await client.answer(100)) == {"peers": []}
    await lobby.happens("closed")
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(101))
    assert caught.value.kind == "unknown_room"


async def test_the_users_of_a_room_that_is_closed_or_unknown_are_not_waited_for(stand: Stand, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="users", room="lobby", count=1)
    assert caught.value.kind == "unknown_room"
    await client.ask("room.host", room="lobby")
    await client.write(request("wait", 100, for_="users", room="lobby", count=2) + request("whoami", 101))
    await client.answer(101)
    room = stand.hosted_rooms.get("lobby")
    assert room is not None
    stand.hosted_rooms.close(room)
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(100))
    assert caught.value.kind == "unknown_room"

"""`wait`: at once when it is so, later when it becomes so, and `timeout`."""

from typing import Any

import pytest
import trio

from tests.control.stand import Client, FakeLink, Refused, Stand, request, result_of


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
    """A waiter for each number of peers, while they come one by one."""
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
    stand.registry.native("bbbb" + "c" * 48, "bert", "x:1")
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="peer", peer="bbbb")
    assert caught.value.kind == "ambiguous_peer"


@pytest.mark.parametrize(
    "params", [{"for_": "godot"}, {"for_": "peer"}, {"for_": "peers"}, {"for_": "ready", "timeout": -1}, {}], ids=str
)
async def test_what_cannot_be_waited_for_is_refused(stand: Stand, client: Client, params: Any) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("wait", **params)
    assert caught.value.kind == "invalid_params"

"""`connect`, `terminate`, `list` and `peer …`: parameters and results."""

from typing import Any

import pytest

from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, NODE_ID, Client, FakeLink, Refused, Stand


async def test_connect_dials_and_answers_with_the_peer(stand: Stand, client: Client) -> None:
    stand.dialer.let_go.set()
    answer = await client.ask("connect", host="h", port=7, plain=True, keep=True, timeout=2.5)
    assert answer["peer"]["name"] == "bob"
    assert stand.dialer.asked == [("connect", "h", 7, True, True, 2.5, None, None)]
    await client.ask("connect", host="h")
    assert stand.dialer.asked[1] == ("connect", "h", 7420, False, False, None, None, None)


async def test_connect_needs_a_place(stand: Stand, client: Client) -> None:
    for params in cases(
        [{}, {"host": ""}, {"host": "h", "port": 0}, {"host": "h", "port": 65536}, {"host": "h", "timeout": -1}]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("connect", **params)
        assert caught.value.kind == "invalid_params"
        assert not stand.dialer.asked


@pytest.mark.parametrize("params", [{"dialect": "address"}, {"dialect": "name"}, {"dialect": "name", "nick": "Jané-1"}])
async def test_connect_to_a_room_server_says_how_and_as_whom(stand: Stand, client: Client, params: Any) -> None:
    stand.dialer.let_go.set()
    await client.ask("connect", host="h", **params)
    assert stand.dialer.asked[0][-2:] == (params["dialect"], params.get("nick"))


async def test_what_no_room_server_could_be_told_is_refused_with_what_to_do(stand: Stand, client: Client) -> None:
    for params, says in cases(
        [
            ({"dialect": "irc"}, "address or name"),
            ({"nick": "jane"}, "give its dialect"),
            ({"plain": True, "nick": "jane"}, "give its dialect"),
            ({"dialect": "address", "nick": "jane"}, "leave it out"),
            *(
                ({"dialect": "name", "nick": nick}, "1 to 32 characters")
                for nick in ("", "x" * 33, "ja ne", "jane\n", "\x1bjane", "ja\u2028ne", "*exit\r\n")
            ),
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("connect", host="h", **params)
        assert caught.value.kind == "invalid_params"
        assert says in caught.value.data["hint"]
        assert not stand.dialer.asked


async def test_terminate_answers_what_stays_queued(stand: Stand, client: Client) -> None:
    answer = await client.ask("terminate", peer=0)
    assert (answer["peer"]["slot"], answer["queued"]) == (0, 3)


async def test_list_leaves_out_plain_peers_that_are_gone(stand: Stand, client: Client) -> None:
    plain = stand.registry.plain("10.0.0.9:1234")
    link = FakeLink("in", "10.0.0.9:1234")
    stand.registry.link_up(plain, link)
    assert [peer["slot"] for peer in (await client.ask("list"))["peers"]] == [0, plain.slot]
    stand.registry.link_down(plain, link)
    assert [peer["slot"] for peer in (await client.ask("list"))["peers"]] == [0]
    everyone = (await client.ask("list", all=True))["peers"]
    assert [(peer["slot"], peer["state"]) for peer in everyone] == [(0, "up"), (plain.slot, "down")]


async def test_decisions_about_a_peer_are_told_with_its_record(stand: Stand, client: Client) -> None:
    assert (await client.ask("peer.accept", peer=0))["peer"]["trust"] == "accepted"
    assert (await client.ask("peer.rename", peer="bob", name="robert"))["peer"]["name"] == "robert"
    assert (await client.ask("peer.deny", peer=BOB_ID[:16]))["peer"]["trust"] == "denied"
    assert (await client.ask("peer.forget", peer=0))["peer"]["slot"] == 0
    with pytest.raises(Refused) as caught:
        await client.ask("peer.forget", peer=0)
    assert caught.value.kind == "unknown_peer"


@pytest.mark.parametrize("verb", ["peer.accept", "peer.deny"])
async def test_a_decision_about_this_node_itself_is_refused_and_makes_no_peer(
    stand: Stand, client: Client, verb: str
) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask(verb, peer=NODE_ID)
    assert (caught.value.kind, caught.value.data["reason"]) == ("conflict", "self")
    for method in ("send", "ask"):
        with pytest.raises(Refused) as caught:
            await client.ask(method, peer=NODE_ID, text="to nobody")
        assert caught.value.kind == "unknown_peer"
    assert [peer.node for peer in stand.registry] == [BOB_ID]

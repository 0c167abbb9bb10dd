"""Pipelined sends that are handled together have the same results as one after the other. Real socket and journal."""

import json
from typing import Any

from tests.harness.control_node import Client, FakeLink, Stand, request

WRONG = (
    (request("send", 2, peer="nobody", text="x"), "unknown_peer"),
    (request("send", 2, peer=0, text=""), "bad_text"),
    (request("send", 2, peer=0, text="\x1b"), "bad_text"),
    (request("send", 2, peer=0, text="€" * 6000), "too_large"),
    (request("send", 2, peer=0), "invalid_params"),
    (request("send", 2, peer=0, text="x").replace(b'"x"', b'"\\ud800"'), "parse_error"),
    (b'{"jsonrpc":"2.0","id":2,"method":\n', "parse_error"),
)


async def texts(stand: Stand, after: int) -> list[str]:
    """The texts that were appended after that seq."""
    await stand.journal.settled()
    return [json.loads(entry.raw)["text"] for entry in (await stand.journal.read(after)).entries]


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["error"]["data"]["kind"] if "error" in line else "" for line in lines]


async def test_one_that_is_refused_keeps_its_place_and_takes_no_other_with_it(stand: Stand, client: Client) -> None:
    for wrong, kind in WRONG:
        before = stand.journal.appended
        await client.write(request("send", 1, peer=0, text="a") + wrong + request("send", 3, peer=0, text="c"))
        lines = await client.lines(3)
        assert kinds(lines) == ["", kind, ""]
        assert (lines[0]["id"], lines[2]["id"]) == (1, 3)
        assert await texts(stand, before) == ["a", "c"]


async def test_those_without_an_id_are_sent_and_not_answered(stand: Stand, client: Client) -> None:
    before = stand.journal.appended
    silent = request("send", peer=0, text="b")
    await client.write(request("send", 1, peer=0, text="a") + silent + request("send", 3, peer=0, text="c"))
    assert [line["id"] for line in await client.lines(2)] == [1, 3]
    assert await texts(stand, before) == ["a", "b", "c"]
    await client.write(silent * 3 + request("whoami", 4))
    assert [line["id"] for line in await client.lines(1)] == [4]
    assert await texts(stand, before + 3) == ["b", "b", "b"]


async def test_sends_to_several_peers_stay_in_the_order_they_came(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "127.0.0.1:7422")
    stand.registry.link_up(carol, FakeLink())
    before = stand.journal.appended
    names = ["bob", "carol", "carol", "bob", "bob"]
    await client.write(b"".join(request("send", n, peer=name, text=f"{n}") for n, name in enumerate(names)))
    lines = await client.lines(5)
    assert [line["id"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["result"]["peer"]["name"] for line in lines] == names
    assert await texts(stand, before) == ["0", "1", "2", "3", "4"]
    assert (stand.bob.delivery.outbox.count, carol.delivery.outbox.count) == (3, 2)


async def test_sends_to_a_plain_peer_are_handed_to_its_link_one_by_one(stand: Stand, client: Client) -> None:
    peer, link = stand.registry.plain("127.0.0.1:9"), FakeLink()
    stand.registry.link_up(peer, link)
    await client.write(b"".join(request("send", n, peer=peer.slot, text="x") for n in range(4)))
    assert kinds(await client.lines(4)) == [""] * 4
    assert link.waiting == 4


async def test_an_id_is_the_position_of_its_message(stand: Stand, client: Client) -> None:
    before = stand.journal.appended
    await client.write(b"".join(request("send", n, peer=0, text="x") for n in range(3)))
    ids = [line["result"]["id"] for line in await client.lines(3)]
    await stand.journal.settled()
    events = [json.loads(entry.raw) for entry in (await stand.journal.read(before)).entries]
    assert ids == [event["id"] for event in events] == [event["position"] for event in events]

"""Native links end to end: who is connected with whom, and what arrives."""

import pytest
import trio

from tests.harness.client import Refused
from tests.harness.network import ThreeNodes, TwoNodes
from tests.harness.places import address_of, listen


async def test_after_connect_each_side_knows_the_other_as_slot_0_by_name_and_id(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    bob = await a.connect(b)
    await b.up(a)
    alice = await b.peer("alice")
    assert (bob["slot"], bob["name"], bob["node"], bob["kind"]) == (0, "bob", b.id, "native")
    assert (alice["slot"], alice["name"], alice["node"], alice["kind"]) == (0, "alice", a.id, "native")
    assert (bob["direction"], alice["direction"]) == ("out", "in")
    assert (bob["address"], bob["desired"], alice["desired"]) == (b.address, True, False)


async def test_a_message_has_an_id_in_each_journal_and_one_global_id(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    sent = await a.send(0, "grüße  \t😀")
    message = await inbox.next()
    (kept,) = await a.history(types=["message"])
    assert (kept["id"], message["id"]) == (sent, message["position"])
    assert message["global_id"] == kept["global_id"] == f"{a.id}/{sent}"
    assert (message["text"], message["direction"], message["peer"]["name"]) == ("grüße  \t😀", "in", "alice")
    assert (kept["direction"], kept["peer"]["slot"]) == ("out", 0)


async def test_10_000_pipelined_messages_arrive_in_order_and_once_in_both_directions_at_once(
    two_nodes: TwoNodes,
) -> None:
    a, b = await two_nodes()
    texts = [f"message {number}" for number in range(10_000)]
    at_a, at_b = await a.feed(types=["message"], direction="in"), await b.feed(types=["message"], direction="in")
    ids: dict[str, list[str]] = {}

    async def say(name: str) -> None:
        sender = a if name == "alice" else b
        ids[name] = await (await sender.new_client()).send_many(0, texts)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, "alice")
        nursery.start_soon(say, "bob")
        assert await at_a.texts(10_000) == texts
        assert await at_b.texts(10_000) == texts
    assert [event["global_id"] for event in at_b.seen] == [f"{a.id}/{sent}" for sent in ids["alice"]]
    assert [event["global_id"] for event in at_a.seen] == [f"{b.id}/{sent}" for sent in ids["bob"]]
    assert await a.texts() == await b.texts() == texts


async def test_a_second_connect_is_already_connected_and_names_the_slot(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    for one, other in ((a, b), (b, a)):  # bob knows alice only by the port that she came from
        with pytest.raises(Refused) as refused:
            await one.connect(other)
        assert refused.value.kind == "conflict"
        assert refused.value.data["reason"] == "already_connected"
        assert refused.value.data["slot"] == 0
    assert [peer["slot"] for peer in await a.peers()] == [peer["slot"] for peer in await b.peers()] == [0]


async def test_a_node_does_not_connect_to_itself(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    with pytest.raises(Refused) as refused:
        await a.connect(a)
    assert (refused.value.kind, refused.value.data["reason"]) == ("conflict", "self")
    assert await a.peers() == []


async def test_a_connect_to_nobody_fails_with_every_address_and_leaves_no_peer(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    await b.stop()
    with pytest.raises(Refused) as refused:
        await a.connect(b.address)
    assert refused.value.kind == "connect_failed"
    assert refused.value.data["attempts"] == [{"address": b.address, "reason": "connection refused"}]
    assert await a.peers() == []


async def test_with_keep_a_connect_to_nobody_is_tried_until_somebody_is_there(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    await b.stop()
    with pytest.raises(Refused, match="connection refused"):
        await a.connect(b.address, keep=True)
    await b.start()
    await a.up(b)
    assert (await a.peer("bob"))["slot"] == 0


async def test_a_connect_that_takes_too_long_ends_with_timeout(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    silent = await listen()
    async with silent:
        with pytest.raises(Refused) as refused:
            await a.connect(address_of(silent), timeout=0.1)
    assert refused.value.kind == "timeout"
    assert await a.peers() == []


async def test_messages_are_not_passed_on_from_one_peer_to_another(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await a.send(b, "for bob")
    await b.send(c, "for carol")
    inbox = await c.feed("start", types=["message"])
    assert await inbox.texts(1) == ["for carol"]
    assert [peer["name"] for peer in await a.peers()] == ["bob"]
    assert [peer["name"] for peer in await b.peers()] == ["alice", "carol"]


async def test_a_send_to_a_peer_that_is_gone_waits_for_it(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    downs = await a.feed(types=["peer.down"])
    await b.stop()
    assert (await downs.next())["reason"] == "peer stopped"
    sent = await a.send("bob", "hi")
    assert (await a.peer("bob"))["queued"] == 1
    await b.start()
    inbox = await b.feed("start", types=["message"])
    assert (await inbox.next())["global_id"] == f"{a.id}/{sent}"


async def test_counters_and_round_trip_are_in_the_list(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    await a.client.send_many(0, ["1", "2", "3"])
    await inbox.texts(3)
    await a.drained("bob")
    record = await a.peer("bob")
    assert (record["sent"], record["queued"], record["received"]) == (3, 0, 0)
    assert (await b.peer("alice"))["received"] == 3
    assert record["rtt_ms"] > 0

"""Limits on texts: each side says its own, and the sender keeps to the other's."""

import pytest

from chatd.wire.frames import Bye, Hello, Text
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello
from tests.harness.network import Network, TwoNodes


async def test_a_text_over_the_peers_limits_is_too_large_and_one_at_them_arrives(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await a.start()
    await b.start(text_bytes=100, max_text=40)
    await a.connect(b)
    inbox = await b.feed(types=["message"])
    for text in ("ü" * 51, "x" * 41):
        with pytest.raises(Refused) as refused:
            await a.send("bob", text)
        assert refused.value.kind == "too_large"
    await a.send("bob", "€" * 33)
    await a.send("bob", "x" * 40)
    assert await inbox.texts(2) == ["€" * 33, "x" * 40]


async def test_the_longest_text_of_the_default_limits_arrives(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    await a.send("bob", "😀" * 4096)
    assert await inbox.texts(1) == ["😀" * 4096]
    with pytest.raises(Refused, match="over 16384 bytes"):
        await a.send("bob", "x" * 16385)


@pytest.mark.parametrize("smaller", [{"text_bytes": 64}, {"max_text": 10}])
async def test_a_message_that_outlived_the_limits_it_was_accepted_under_is_rejected_and_the_rest_arrives(
    two_nodes: TwoNodes, smaller: dict[str, int]
) -> None:
    a, b = await two_nodes()
    await b.stop()
    ids = await a.client.send_many("bob", ["short", "x" * 5000, "behind"])
    receipts = await a.feed(types=["receipt"])
    await b.start(**smaller)
    inbox = await b.feed("start", types=["message"])
    assert await inbox.texts(2) == ["short", "behind"]
    await a.drained("bob")
    assert await a.states(*ids) == ["delivered", "rejected", "delivered"]
    assert (await receipts.until("receipt", state="rejected"))["id"] == ids[1]
    assert await b.texts() == ["short", "behind"]
    assert not await b.history(types=["gap"])


async def test_a_peer_that_sends_more_than_our_limits_is_told_that_it_broke_the_protocol(network: Network) -> None:
    a = network.node("alice")
    await a.start(text_bytes=100, max_text=40)
    for text in ("x" * 41, "ü" * 60):
        async with await Handmade.linked(a.address) as peer:
            await peer.send(Text("handmade", 1, text))
            assert (await peer.until(Bye)).reason == "protocol"
    assert await a.texts() == []


async def test_hello_says_the_limits(network: Network) -> None:
    a = network.node("alice")
    await a.start(text_bytes=100, max_text=40, frame_bytes=131072)
    async with await Handmade.dial(a.address) as peer:
        await peer.send(hello())
        said = await peer.until(Hello)
    assert (said.text_bytes, said.text_chars, said.frame_bytes, said.dial) == (100, 40, 131072, "answer")

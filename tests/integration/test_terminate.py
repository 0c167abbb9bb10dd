"""`terminate`, and what is redialed and what is not."""

import pytest
import trio

from chatd.wire.frames import AckFrame, Bye, Hello, Resume, Text
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import Network, TwoNodes
from tests.harness.places import address_of, listen
from tests.harness.proxy import proxying


async def test_terminate_delivers_what_was_accepted_and_says_so_on_both_sides(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    downs = await b.feed(types=["peer.down"])
    texts = [str(number) for number in range(2000)]
    client = await a.new_client()
    ids = await client.post([*(("send", {"peer": 0, "text": text}) for text in texts), ("terminate", {"peer": "bob"})])
    ended = await client.answer(ids[-1])
    assert (ended["queued"], ended["peer"]["state"], ended["peer"]["reason"]) == (0, "down", "terminated")
    assert (ended["peer"]["desired"], ended["peer"]["queued"]) == (False, 0)
    assert (await downs.next())["reason"] == "terminated by peer"
    assert await b.texts() == texts
    with pytest.raises(Refused, match="was terminated") as refused:
        await a.send("bob", "more")
    assert refused.value.kind == "peer_offline"


async def test_terminate_counts_what_it_could_not_deliver_in_time(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, terminate_timeout=0.2)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        proxy.stall()
        await a.client.send_many("bob", ["1", "2", "3"])
        assert (await a.ask("terminate", peer="bob"))["queued"] == 3
        proxy.cut()
        proxy.flow()
    inbox = await b.feed("start", types=["message"])
    await a.connect(b)
    assert await inbox.texts(3) == ["1", "2", "3"]


async def test_a_terminated_peer_is_not_redialed_by_either_side(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start(peers=[b.address])
    await a.up(b)
    assert (await a.peer("bob"))["desired"]
    await b.ask("terminate", peer="alice")
    ended = await a.wait_state("bob", "down", reason="terminated by peer")
    assert not ended["desired"]


async def test_a_redial_is_refused_while_a_terminate_is_remembered_and_a_connect_forgets_it(
    two_nodes: TwoNodes,
) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    peer = await Handmade.linked(a.address, identity)
    async with peer, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: a.ask("terminate", peer="handmade"))
        assert (await peer.until(Bye)).reason == "terminated"
        await peer.close()
    async with await Handmade.dial(a.address, identity) as again:
        await again.send(hello(dial="redial"))
        assert await again.rest() == [Bye("terminated")]
    async with await Handmade.linked(a.address, identity) as third:
        await a.send("handmade", "hi")
        assert (await third.until(Text)).text == "hi"
    async with await Handmade.linked(a.address, identity, dial="redial") as fourth:
        await fourth.send(AckFrame((await a.ask("status"))["epoch"], 1))


async def test_acknowledgements_are_still_taken_after_bye_and_texts_are_not(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False, terminate_timeout=0.05)
    async with await Handmade.linked(a.address) as peer, trio.open_nursery() as nursery:
        sent = await a.send("handmade", "hi")
        epoch, _, seq = sent.partition(":")
        queued: list[int] = []

        async def terminate() -> None:
            queued.append((await a.ask("terminate", peer="handmade"))["queued"])

        nursery.start_soon(terminate)
        assert (await peer.until(Bye)).reason == "terminated"
        await peer.send(Text("handmade", 1, "too late"), AckFrame(epoch, int(seq)), Bye("terminated"))
        await peer.close()
    assert queued == [0]
    assert await a.texts() == []


async def test_terminate_while_dialing_ends_the_dialing(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    assert (await a.ask("terminate", peer="bob"))["peer"]["state"] == "down"
    await b.start()
    await b.connect(a)  # a `connect` from either side forgets it
    await a.up(b)


async def test_what_is_not_connected_cannot_be_terminated(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes()
    await a.ask("terminate", peer="bob")
    with pytest.raises(Refused) as refused:
        await a.ask("terminate", peer="bob")
    assert refused.value.kind == "peer_offline"


async def test_a_peer_of_the_configuration_is_dialed_until_it_is_there_and_again_after_its_restart(
    network: Network,
) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await b.stop()
    await a.start(peers=[b.address])
    waiting = await a.wait_state(b.address, "dialing", reason="connection refused")
    assert (waiting["slot"], waiting["node"], waiting["desired"]) == (0, None, True)
    for _ in range(3):
        downs = await a.feed(types=["peer.down"])
        await b.start()
        await a.up(b)
        assert (await a.peer("bob"))["slot"] == 0
        await b.stop()
        assert (await downs.next())["reason"] == "peer stopped"
    assert [peer["name"] for peer in await a.peers()] == ["bob"]


async def test_two_configured_addresses_of_one_node_make_one_link(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    async with proxying(b.address) as proxy:
        await a.start(peers=[b.address, proxy.address])
        await a.up(b)
        registry = a.node.registry
        while len(registry.records()) > 1:
            await registry.changed.wait()
        await a.settled(b)
        await a.send("bob", "hi")


async def test_a_wish_for_another_address_of_a_known_peer_is_kept_for_that_peer(
    two_nodes: TwoNodes, network: Network
) -> None:
    a, b = await two_nodes()
    async with proxying(b.address) as proxy:
        address = proxy.address
        await a.stop()
        proxy.stall()
        await a.start(peers=[address])  # not known to be bob, who was at another address
        await a.wait_state(address, "dialing")
        proxy.cut()
        proxy.flow()
        await a.up(b)
        for _ in range(2):
            proxy.cut()
            await a.wait_state("bob", "up")
            assert (await a.peer("bob"))["desired"]
    assert [peer["slot"] for peer in await a.peers() if peer["name"] == "bob"] == [0]


async def test_a_shutdown_is_redialed_and_a_denial_is_not(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.restart()
    await a.up(b)
    await b.ask("peer.deny", peer=a.id)
    denied = await a.wait_state("bob", "down", reason="denied by peer")
    assert not denied["desired"]
    with pytest.raises(Refused) as refused:
        await a.connect(b)
    assert refused.value.kind == "forbidden"
    await b.ask("peer.accept", peer=a.id)
    await a.connect(b)


async def test_a_peer_that_answers_with_bye_shutdown_is_redialed(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    listener = await listen()
    address = address_of(listener)
    dials: list[str] = []

    async def accept(*, bye: bool) -> None:
        async with await Handmade.over(await listener.accept(), identity, server_side=True) as peer:
            dials.append((await peer.until(Hello)).dial)
            await peer.send(hello(dial="answer"), Resume("handmade", 0))
            if bye:
                await peer.until(Resume)
                await peer.send(Bye("shutdown"))
            await peer.rest()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: accept(bye=True))
        await a.connect(address)
        nursery.start_soon(lambda: accept(bye=False))
        await a.wait_state("handmade", "up")
        while len(dials) < 2:
            await a.node.registry.changed.wait()
        nursery.start_soon(lambda: a.ask("terminate", peer="handmade"))
    assert dials == ["connect", "redial"]

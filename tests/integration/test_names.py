"""A node id always means that node, whatever other nodes call themselves and whoever came first."""

import pytest

from chatd.wire.frames import Bye, Text
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import Network, TwoNodes


@pytest.mark.parametrize("length", [8, 16, 52])
async def test_what_is_sent_to_an_id_goes_to_that_node(two_nodes: TwoNodes, length: int) -> None:
    a, b = await two_nodes()
    async with await Handmade.linked(a.address, name=b.id[:length]) as liar:
        await a.ask("wait", for_="peers", count=2)
        await a.send(b.id[:length], "for bob", wait="delivered")
        await a.send(b.id, "for bob too", wait="delivered")
        assert await b.texts() == ["for bob", "for bob too"]
        await a.send("1", "for the liar")
        assert (await liar.until(Text)).text == "for the liar"
    assert (await a.peers())[1]["name"] == f"{b.id[:length]}~{(await a.peers())[1]['node'][:8]}"


async def test_a_node_that_claims_an_id_before_its_owner_comes_gets_nothing_of_it(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start()
    async with await Handmade.linked(a.address, name=b.id):
        with pytest.raises(Refused) as refused:
            await a.send(b.id, "too early")
        assert refused.value.kind == "unknown_peer"
        await a.connect(b)
        await a.send(b.id, "hi", wait="delivered")
    assert await b.texts() == ["hi"]
    await a.restart()
    await a.up(b)
    await a.send(b.id, "again", wait="delivered")
    assert await b.texts() == ["hi", "again"]


async def test_accepting_an_id_lets_in_that_node_and_not_who_is_called_so(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await a.start(trust="pending")
    await b.start()
    liar = new_identity()

    async def is_refused() -> bool:
        async with await Handmade.dial(a.address, liar) as peer:
            await peer.send(hello(name=b.id))
            return Bye("pending") in await peer.rest()

    assert await is_refused()
    await a.ask("peer.accept", peer=b.id)
    for restarts in (False, True):
        if restarts:
            await a.restart()
        assert await is_refused()
        decided = {peer["node"]: peer["trust"] for peer in await a.peers()}
        assert (decided[b.id], decided[liar.node]) == ("accepted", None)
    await b.connect(a)
    await b.send("alice", "hi", wait="delivered")


async def test_denying_an_id_keeps_out_that_node_and_not_who_is_called_so(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with await Handmade.linked(b.address, name=a.id) as decoy:
        await b.ask("wait", for_="peers", count=2)
        for claim in ("alice", a.id[:15]):
            with pytest.raises(Refused) as refused:
                await b.ask("peer.deny", peer=claim)
            assert refused.value.kind == "conflict"
            assert f"peer deny 0` ({a.id[:16]})" in refused.value.data["hint"]
        await b.ask("peer.deny", peer=a.id[:16])
        await a.wait_state("bob", "down", reason="denied by peer")
        await b.send("1", "still here")
        assert (await decoy.until(Text)).text == "still here"
    await b.restart()
    with pytest.raises(Refused) as refused:
        await a.connect(b)
    assert f"`chatctl peer accept {a.id[:16]}` there" in refused.value.data["hint"]
    async with await Handmade.linked(b.address, name=a.id):
        await b.ask("wait", for_="peers", count=1)


async def test_a_stranger_from_an_address_that_we_dial_is_not_meant_by_it(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    registry = a.node.registry
    async with await Handmade.linked(a.address, name="mallory"):
        await a.ask("wait", for_="peers", count=2)
        stranger = registry.find("mallory")
        stranger.address = stranger.links[0].address = b.address  # it came from there, as from behind a gateway
        await a.send(b.address, "for bob", wait="delivered")
    assert await b.texts() == ["for bob"]

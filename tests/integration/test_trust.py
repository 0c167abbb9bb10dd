"""Who may talk: `known` and `pending` on either side, the `peer` verbs, and names."""

import pytest

from chatd.wire.frames import Bye, Hello
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello
from tests.harness.network import Network, TwoNodes


async def test_a_node_of_known_ones_lets_in_who_is_listed_and_nobody_else(network: Network) -> None:
    a, b, c = (network.node(name) for name in ("alice", "bob", "carol"))
    await a.start()
    await c.start()
    await b.start(trust="known", known=[a.id])
    await a.connect(b)
    with pytest.raises(Refused) as refused:
        await c.connect(b)
    assert refused.value.kind == "forbidden"
    assert "there" in refused.value.data["hint"]
    assert [peer["name"] for peer in await b.peers()] == ["alice"]
    assert await c.peers() == []


async def test_a_node_of_known_ones_dials_nobody_else_either(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start(trust="known")
    with pytest.raises(Refused) as refused:
        await a.connect(b)
    assert refused.value.kind == "forbidden"
    assert "here" in refused.value.data["hint"]
    await a.ask("peer.accept", peer=b.id)
    await a.connect(b)
    assert (await a.peer("bob"))["trust"] == "accepted"


async def test_a_stranger_is_pending_on_both_sides_until_it_is_accepted(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.dialer.PENDING_S", 0.05)
    a, b = network.node("alice"), network.node("bob")
    await a.start()
    await b.start(trust="pending")
    events = await b.feed()
    with pytest.raises(Refused) as refused:
        await a.connect(b)
    assert refused.value.kind == "forbidden"
    asked = await events.until("peer.pending")
    assert asked["peer"]["name"] == "alice"
    assert (await a.peer("bob"))["state"] == (await b.peer("alice"))["state"] == "pending"
    await a.send("bob", "said before")
    await b.ask("peer.accept", peer=a.id)
    await a.up(b)
    await a.send("bob", "hi")
    assert await events.texts(2) == ["said before", "hi"]
    assert [event["type"] for event in events.seen].count("peer.pending") == 1


async def test_a_dialer_may_have_to_accept_too(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start(trust="pending")
    with pytest.raises(Refused) as refused:
        await a.connect(b)
    assert (refused.value.kind, "here" in refused.value.data["hint"]) == ("forbidden", True)
    assert (await a.peer("bob"))["state"] == "pending"
    await b.wait_state("alice", "pending", reason=f"it waits for `chatctl peer accept {b.id[:16]}` there")
    assert "peer.up" not in [event["type"] for event in await b.history()]
    await a.ask("peer.accept", peer=b.id)
    await a.up(b)


async def test_nothing_is_taken_from_a_pending_peer(network: Network) -> None:
    a = network.node("alice")
    await a.start(trust="pending")
    async with await Handmade.dial(a.address) as peer:
        await peer.send(hello())
        frames = await peer.rest()
    assert [type(frame) for frame in frames] == [Hello, Bye]
    assert frames[1] == Bye("pending")
    assert (await a.peer("handmade"))["state"] == "pending"


async def test_a_denied_peer_is_cut_and_stays_out_after_a_restart(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("peer.deny", peer=a.id)
    await a.wait_state("bob", "down", reason="denied by peer")
    await b.restart()
    with pytest.raises(Refused, match="does not let"):
        await a.connect(b)
    with pytest.raises(Refused) as refused:
        await b.connect(a)
    assert refused.value.kind == "forbidden"


async def test_a_forgotten_peer_comes_back_as_a_stranger_and_nothing_twice(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    await a.send("bob", "one")
    await inbox.texts(1)
    await b.ask("peer.rename", peer="alice", name="ally")
    await b.ask("peer.forget", peer="ally")
    await a.wait_state("bob", "down", reason="terminated by peer")
    assert await b.peers() == []
    await a.connect(b)
    await a.send("bob", "two")
    assert await inbox.texts(1) == ["two"]
    alice = await b.peer("alice")
    assert alice["slot"] == 1
    assert await b.texts() == ["one", "two"]


async def test_a_name_by_rename_is_kept_over_a_restart(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes()
    await a.ask("peer.rename", peer=0, name="robert")
    await a.restart()
    await a.wait_state("robert", "up")
    assert [(peer["slot"], peer["name"]) for peer in await a.peers()] == [(0, "robert")]


async def test_a_stranger_that_claims_a_known_name_gets_another_one(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    async with await Handmade.linked(b.address, name="alice"):
        names = [peer["name"] for peer in await b.peers()]
        assert names[0] == "alice"
        assert names[1].startswith("alice~")
        await b.send("alice", "for the first one")
    assert (await b.peer("alice"))["node"] == a.id


async def test_a_new_node_at_a_dialed_address_makes_the_bare_name_ambiguous(network: Network) -> None:
    a, b, other = network.node("alice"), network.node("bob"), network.node("other")
    for node in (a, b):
        await node.start()
    other.settings["name"] = "bob"
    await other.start()
    await a.connect(b)
    await a.connect(other)
    with pytest.raises(Refused) as refused:
        await a.send("bob", "who?")
    assert refused.value.kind == "ambiguous_peer"
    assert refused.value.data["candidates"] == [0, 1]
    await a.ask("peer.rename", peer=1, name="second")
    await a.send("bob", "you")
    await a.send("second", "and you")

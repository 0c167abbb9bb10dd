"""Topology: nodes of a network tell each other who they are connected with; what does not answer costs only itself."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import pytest
import trio

from chatd.net.topology.neighbours import FRESH_S
from chatd.wire.frames import Explore, Explored, FoundFrame, PingFrame, PongFrame
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, new_identity
from tests.harness.network import LiveNode, Network
from tests.harness.proxy import proxying

Json = dict[str, Any]
IN_TIME_S = 4.0  # well below the 5 s after which what has not come is silent


async def linked(
    network: Network, names: Sequence[str], pairs: Sequence[tuple[int, int]], **settings: Any
) -> list[LiveNode]:
    """Running nodes, of which the first of each pair has connected to the second."""
    nodes = [network.node(name, **settings) for name in names]
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.start)
    async with trio.open_nursery() as nursery:
        for left, right in pairs:
            nursery.start_soon(nodes[left].connect, nodes[right])
    for left, right in pairs:
        await nodes[right].up(nodes[left])
    return nodes


async def topo(node: LiveNode, **params: Any) -> Json:
    with trio.fail_after(IN_TIME_S):
        found: Json = await node.ask("topo", **params)
    return found


def names(found: Json, status: str = "answered") -> list[str]:
    return [node["name"] for node in found["nodes"] if node["status"] == status]


def links(found: Json) -> set[tuple[str, str, str]]:
    """Each link as each end says it."""
    return {(node["name"], link["name"], link["state"]) for node in found["nodes"] for link in node["links"]}


def both_ways(pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str, str]]:
    return {(one, other, "up") for left, right in pairs for one, other in ((left, right), (right, left))}


@pytest.mark.parametrize(
    ("count", "pairs"),
    [
        (5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]),
        (8, [(number, 0) for number in range(1, 8)]),
        (7, list(pairwise(range(7)))),
        (6, list(combinations(range(6), 2))),
    ],
    ids=["ring", "star", "line", "mesh"],
)
async def test_a_network_is_found_whole_and_as_soon_as_all_have_answered(
    network: Network, count: int, pairs: list[tuple[int, int]]
) -> None:
    called = [f"node-{number}" for number in range(count)]
    nodes = await linked(network, called, pairs)
    for asker in (nodes[0], nodes[-1]):
        found = await topo(asker, hops=count)
        assert found["complete"]
        assert sorted(names(found)) == called
        assert links(found) == both_ways([(called[left], called[right]) for left, right in pairs])
        assert found["nodes"][0]["name"] == asker.name
        hops = [node["hops"] for node in found["nodes"]]
        assert hops == sorted(hops)
        assert all(link["rtt_ms"] > 0 for node in found["nodes"] for link in node["links"])
        assert found["elapsed_ms"] < IN_TIME_S * 1000


async def test_a_node_alone_is_a_network(network: Network) -> None:
    (alice,) = await linked(network, ["alice"], [])
    found = await topo(alice)
    assert (names(found), links(found), found["complete"]) == (["alice"], set(), True)


async def test_a_network_that_has_no_link_with_this_one_is_not_seen(network: Network) -> None:
    nodes = await linked(network, ["alice", "bob", "carol", "dave"], [(0, 1), (2, 3)])
    assert names(await topo(nodes[0])) == ["alice", "bob"]
    assert names(await topo(nodes[3])) == ["dave", "carol"]


async def test_a_node_that_is_gone_is_seen_from_those_that_miss_it(network: Network) -> None:
    alice, bob, carol, _ = await linked(network, ["alice", "bob", "carol", "dave"], [(0, 1), (1, 2), (2, 3), (3, 0)])
    await carol.kill()
    await bob.ask("wait", for_="topo", links="!bob-carol,!carol-dave,alice-bob")
    found = await topo(alice)
    assert names(found) == ["alice", "bob", "dave"]
    (gone,) = [node for node in found["nodes"] if node["name"] == "carol"]
    assert (gone["status"], gone["hops"], gone["links"]) == ("unasked", None, [])
    assert ("bob", "carol", "dialing") in links(found)
    assert ("dave", "carol", "down") in links(found)
    assert found["complete"]
    await carol.start()
    await alice.ask("wait", for_="topo", links="bob-carol,carol-dave")


async def test_who_was_sent_away_is_no_part_of_the_network(network: Network) -> None:
    alice, bob, carol = await linked(network, ["alice", "bob", "carol"], [(0, 1), (0, 2)])
    await alice.ask("terminate", peer="bob")
    assert names(await topo(alice)) == ["alice", "carol"]
    assert names(await topo(bob)) == ["bob"]
    assert not names(await topo(carol), "unasked")


async def test_no_more_hops_are_gone_than_were_asked_for(network: Network) -> None:
    nodes = await linked(network, ["a", "b", "c", "d"], [(0, 1), (1, 2), (2, 3)])
    for hops, answered, unasked in ((0, "a", "b"), (1, "ab", "c"), (2, "abc", "d"), (3, "abcd", "")):
        found = await topo(nodes[0], hops=hops)
        assert names(found) == list(answered)
        assert names(found, "unasked") == list(unasked)
        assert found["complete"]


async def test_a_private_node_says_no_more_than_its_name(network: Network) -> None:
    alice, bob, carol = await linked(network, ["alice", "bob", "carol"], [(0, 1), (1, 2)])
    await bob.restart(topology="private")
    await alice.up(bob)
    await bob.up(carol)
    found = await topo(alice)
    assert names(found) == ["alice"]
    assert names(found, "private") == ["bob"]
    assert links(found) == {("alice", "bob", "up")}
    assert found["nodes"][1]["plain"] is None
    assert len(names(await topo(bob))) == 3


async def test_a_silent_peer_is_shown_and_costs_only_the_time_that_was_given(network: Network) -> None:
    alice, bob, _ = await linked(network, ["alice", "bob", "carol"], [(0, 1), (1, 2)])
    async with await Handmade.linked(bob.address, name="mute"):
        await bob.ask("wait", for_="peers", count=3)
        found = await topo(alice, timeout=0.6)
        assert sorted(names(found)) == ["alice", "bob", "carol"]
        assert names(found, "silent") == ["mute"]
        assert not found["complete"]
        assert 300 < found["elapsed_ms"] < IN_TIME_S * 1000
        await alice.ask("wait", for_="topo", links="alice-bob,bob-carol", timeout=3)


async def test_a_node_that_dies_while_it_is_asked_is_not_waited_for(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)])
    async with trio.open_nursery() as nursery:
        mute = await Handmade.linked(bob.address, name="mute")
        await bob.ask("wait", for_="peers", count=2)

        async def die() -> None:
            await mute.until(Explore)
            await mute.close()

        nursery.start_soon(die)
        found = await topo(alice)
    assert names(found) == ["alice", "bob"]
    assert found["elapsed_ms"] < IN_TIME_S * 1000


async def test_a_stalled_link_is_up_and_behind_it_all_is_silent(network: Network) -> None:
    alice, bob, carol = await linked(network, ["alice", "bob", "carol"], [(0, 1)])
    async with proxying(carol.address) as proxy:
        await bob.connect(proxy.address)
        await carol.up(bob)
        proxy.stall()
        found = await topo(alice, timeout=0.5)
        assert names(found) == ["alice", "bob"]
        assert names(found, "silent") == ["carol"]
        (stalled,) = [link for link in found["nodes"][1]["links"] if link["name"] == "carol"]
        assert (stalled["state"], stalled["rtt_ms"]) == ("up", None)
        proxy.flow()
        assert (await topo(alice))["complete"]


async def test_round_trips_are_those_of_now(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)], allow_faults=True)
    for asker in (alice, bob):
        await alice.ask("link", peer="bob", delay=0.1)
        (link,) = (await topo(alice))["nodes"][0]["links"]
        assert 199 < link["rtt_ms"] < 1000
        await alice.ask("link", peer="bob", heal=True)
        await trio.sleep(FRESH_S)
        assert all(link["rtt_ms"] < 100 for node in (await topo(asker))["nodes"] for link in node["links"])


async def answer(peer: Handmade, *pages: Any) -> None:
    """Be a node that says these things."""
    while (frame := await peer.next()) is not None:
        if isinstance(frame, PingFrame):
            await peer.send(PongFrame(frame.token))
        if isinstance(frame, Explore):
            await peer.send(*(FoundFrame(frame.token, *page) for page in pages), Explored(frame.token))


async def test_pages_of_a_thousand_neighbours_are_put_together(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)])
    identity = new_identity()
    near = [
        (f"{number:052d}".translate(str.maketrans("0189", "abcd")), f"n{number}", "up", 0.5) for number in range(1000)
    ]
    pages = [(identity.node, "hub", False, 3, near[at : at + 250], at < 750) for at in range(0, 1000, 250)]
    async with await Handmade.linked(bob.address, identity, name="hub") as hub, trio.open_nursery() as nursery:
        nursery.start_soon(answer, hub, *pages)
        await bob.ask("wait", for_="peers", count=2)
        found = await topo(alice, hops=2)
        nursery.cancel_scope.cancel()
    (told,) = [node for node in found["nodes"] if node["name"] == "hub"]
    assert (told["status"], told["plain"], len(told["links"])) == ("answered", 3, 1000)
    assert len(names(found, "unasked")) == 1000
    assert found["complete"]


async def test_a_liar_changes_what_is_said_of_others_as_little_as_it_can_be_helped(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)])
    identity, ghost = new_identity(), "g" * 52
    lies = [
        (alice.id, "not-alice", False, 9, [(bob.id, "bob", "down", None)], False),
        (identity.node, "liar", False, 0, [(alice.id, "alice", "up", 1.0), (identity.node, "liar", "up", 1.0)], False),
        (identity.node, "liar", False, 7, [], False),
        (ghost, "ghost", True, 0, [], False),
    ]
    async with await Handmade.linked(alice.address, identity, name="liar") as liar, trio.open_nursery() as nursery:
        nursery.start_soon(answer, liar, *lies)
        await alice.ask("wait", for_="peers", count=2)
        found = await topo(alice)
        nursery.cancel_scope.cancel()
    assert [(node["name"], node["hops"]) for node in found["nodes"]] == [
        ("alice", 0),
        ("bob", 1),
        ("liar", 1),
        ("ghost", None),
    ]
    assert found["nodes"][0]["plain"] == 0
    assert found["nodes"][2]["plain"] == 0
    assert links(found) == {
        ("alice", "bob", "up"),
        ("alice", "liar", "up"),
        ("bob", "alice", "up"),
        ("liar", "alice", "up"),
    }


async def test_a_name_that_two_far_nodes_announce_is_nobodys_and_a_neighbour_speaks_for_itself(
    network: Network,
) -> None:
    alice, bob, carol = await linked(network, ["alice", "bob", "carol"], [(0, 1), (1, 2)])
    identity, ghost = new_identity(), "g" * 52
    lies = [
        (bob.id, "bob", False, 9, [(ghost, "carol", "up", 1.0)], False),
        (ghost, "carol", False, 0, [(bob.id, "bob", "up", 1.0)], False),
        (identity.node, "liar", False, 0, [(alice.id, "alice", "up", 1.0), (ghost, carol.id, "up", 1.0)], False),
    ]
    async with await Handmade.linked(alice.address, identity, name="liar") as liar, trio.open_nursery() as nursery:
        nursery.start_soon(answer, liar, *lies)
        await alice.ask("wait", for_="peers", count=2)
        found = await topo(alice)
        assert names(found) == ["alice", "bob", "liar", *sorted([f"carol~{carol.id[:8]}", "carol~gggggggg"])]
        assert ("bob", "carol~gggggggg", "up") not in links(found)
        with pytest.raises(Refused) as caught:
            await alice.ask("wait", for_="topo", links="bob-carol", timeout=IN_TIME_S)
        assert caught.value.kind == "ambiguous_peer"
        assert set(caught.value.data["candidates"]) == {carol.id, ghost}
        await alice.ask("wait", for_="topo", links=f"bob-{carol.id},bob-carol~{carol.id[:8]}", timeout=IN_TIME_S)
        await bob.ask("wait", for_="topo", links="bob-carol", timeout=IN_TIME_S)
        nursery.cancel_scope.cancel()


async def test_a_flood_of_questions_is_answered_and_not_passed_on(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)])
    async with await Handmade.linked(alice.address, name="flood") as flood:
        await alice.ask("wait", for_="peers", count=2)
        for start in range(0, 20000, 500):
            await flood.send(*(Explore(token, 64, 60000) for token in range(start, start + 500)))
        with trio.fail_after(IN_TIME_S):
            ended = {(await flood.until(Explored)).token}
            await alice.send("bob", "hi", wait="delivered")
        assert ended
        found = await topo(bob, timeout=0.5)
    assert "alice" in names(found)


async def test_what_nobody_asked_for_is_dropped(network: Network) -> None:
    alice, bob = await linked(network, ["alice", "bob"], [(0, 1)])
    async with await Handmade.linked(alice.address, name="odd") as odd:
        await odd.send(Explored(1), FoundFrame(1, "b" * 52, "b", False, 0, [], False), Explored(2))
        await odd.send(Explore(7, 0, 0), Explore(7, 0, 0))
        assert (await odd.until(Explored)).token == 7
        assert "b" not in names(await topo(bob, timeout=0.5))


async def test_links_are_waited_for(network: Network) -> None:
    alice, bob, carol = await linked(network, ["alice", "bob-2", "carol"], [(0, 1)])
    client = await alice.new_client()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with trio.fail_after(IN_TIME_S):
                assert await client.ask("wait", for_="topo", links="alice-bob-2, bob-2--carol") == {"peers": []}

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await carol.connect(bob)
    await carol.ask("terminate", peer="bob-2")
    with trio.fail_after(IN_TIME_S):
        await alice.ask("wait", for_="topo", links="!bob-2--carol,alice-bob-2")
    with pytest.raises(Refused) as caught:
        await alice.ask("wait", for_="topo", links="alice-carol", timeout=0.2)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("params", [{"hops": 65}, {"hops": -1}, {"timeout": -1}, {"hops": "many"}])
async def test_what_cannot_be_asked_is_refused(network: Network, params: Json) -> None:
    (alice,) = await linked(network, ["alice"], [])
    with pytest.raises(Refused) as caught:
        await topo(alice, **params)
    assert caught.value.code == -32602

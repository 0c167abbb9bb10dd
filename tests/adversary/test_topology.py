"""Lies about the network: a liar answers for other nodes, for nodes that do not exist, and under names of others.

Alice is linked with bob and the liar, bob with carol. Of herself and of bob alice shows what they say themselves; of
nodes further away the first answer counts, and no name of a peer is that of another node.
"""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import trio

from chatd.wire.frames import Explore, Explored, FoundFrame, Frame
from tests.adversary.honest import unharmed
from tests.adversary.liar import Liar, Line
from tests.harness.client import Refused
from tests.harness.network import LiveNode, ThreeNodes

GHOST = "n3v7" * 13
Link = tuple[str, str, Literal["up", "dialing", "pending", "down"], float | None]
Claim = Callable[[Liar, LiveNode, LiveNode], list[tuple[str, str, list[Link]]]]  # node, name, links of each Found

LIES: dict[str, Claim] = {
    "for the asker": lambda liar, a, b: [(a.id, "eve", [(GHOST, "eve", "up", 0.1)])],
    "for a neighbour of the asker": lambda liar, a, b: [(b.id, "eve", [(GHOST, "eve", "up", 0.1)])],
    "for a neighbour, which is down": lambda liar, a, b: [(b.id, "bob", [(a.id, "alice", "down", None)])],
    "for a node that does not exist": lambda liar, a, b: [(GHOST, "eve", [(b.id, "bob", "up", 0.1)])],
    "for a node that is called like bob": lambda liar, a, b: [(GHOST, "bob", [(a.id, "alice", "up", 0.1)])],
    "for a node that is called like bob's id": lambda liar, a, b: [(GHOST, b.id, []), (liar.id, b.id[:8], [])],
    "for a node that is called like alice": lambda liar, a, b: [(GHOST, "alice", [])],
    "with neighbours called like bob": lambda liar, a, b: [(liar.id, "mallory", [(GHOST, "bob", "up", 0.1)])],
    "with bob's id called eve": lambda liar, a, b: [(liar.id, "mallory", [(b.id, "eve", "up", 0.1)])],
    "for all of them, again and again": lambda liar, a, b: [
        (node, "eve", [(GHOST, "bob", "up", 0.1)]) for node in (a.id, b.id, liar.id, GHOST) for _ in range(50)
    ],
}


def answers(lines: list[Line], claims: list[tuple[str, str, list[Link]]]) -> None:
    """All these lines answer explorations so."""

    def found(frame: Explore) -> list[Frame]:
        told = [FoundFrame(frame.token, node, name, False, 0, links, False) for node, name, links in claims]
        return [*told, Explored(frame.token)]

    for line in lines:
        line.answers[Explore] = found


async def shown(node: LiveNode) -> dict[str, dict[str, Any]]:
    """`topo`: the nodes by id."""
    found = await node.ask("topo", timeout=5)
    names = [one["name"] for one in found["nodes"]]
    assert len(set(names)) == len(names)
    return {one["node"]: one for one in found["nodes"]}


async def waited(node: LiveNode, links: str, timeout: float) -> str:
    """What came of a `wait topo`."""
    try:
        await node.ask("wait", for_="topo", links=links, timeout=timeout)
    except Refused as refused:
        return refused.kind
    return "so"


def states(found: dict[str, Any]) -> set[tuple[str, str]]:
    """The links of a node."""
    return {(link["node"], link["state"]) for link in found["links"]}


@pytest.mark.parametrize("lie", LIES)
async def test_what_a_liar_says_of_others_changes_neither_the_asker_nor_its_neighbours(
    three_nodes: ThreeNodes, liar: Liar, lie: str
) -> None:
    a, b, c = await three_nodes()
    lines = [await liar.dial(a), await liar.dial(b)]
    answers(lines, LIES[lie](liar, a, b))
    for asker, near in ((a, b), (b, a)):
        found = await shown(asker)
        for node in (asker, near):
            assert (found[node.id]["name"], found[node.id]["status"]) == (node.name, "answered")
        assert states(found[a.id]) == {(b.id, "up"), (liar.id, "up")}
        assert states(found[b.id]) == {(a.id, "up"), (c.id, "up"), (liar.id, "up")}
        assert {name: one for one, name in _names(found).items() if name in ("alice", "bob", "carol")} == {
            "alice": a.id,
            "bob": b.id,
            "carol": c.id,
        }
    await a.send("bob", "to bob", wait="delivered")
    await unharmed(a, b)


def _names(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {node: one["name"] for node, one in found.items()}


@pytest.mark.parametrize("name", ["eve", "carol"])
async def test_an_id_that_a_liar_makes_up_is_never_taken_for_another_node(
    three_nodes: ThreeNodes, liar: Liar, name: str
) -> None:
    """Alice knows carol through bob only."""
    a, b, c = await three_nodes()
    line = await liar.dial(a)
    ids = ["carol" + "q" * 47, *(c.id[:shared] + "q" * (52 - shared) for shared in (4, 8, 12, 16))]
    answers([line], [(liar.id, "mallory", [(ghost, name, "down", None) for ghost in ids])])
    for carol in ("carol", c.id, f"carol~{c.id[:8]}", c.id[:12]):
        said = await waited(a, f"bob--{carol}", 20), await waited(a, f"!bob--{carol}", 1.5)
        assert said == ("so", "timeout") or (said == ("ambiguous_peer", "ambiguous_peer") and carol != c.id)
    await unharmed(a, b)


async def test_a_liar_that_asks_with_the_token_of_another_node_silences_no_node(
    three_nodes: ThreeNodes, liar: Liar
) -> None:
    """It is asked by alice, and puts the same question to bob at once, so that his answer may come back its way."""
    a, b, c = await three_nodes()
    to_alice, to_bob = await liar.dial(a), await liar.dial(b)
    to_alice.answers[Explore] = lambda frame: []
    async with trio.open_nursery() as nursery:

        async def pass_on() -> None:
            while True:
                asked = await to_alice.until(Explore)
                for own in (False, True):
                    await to_bob.say(Explore(asked.token, 64, 60_000, own))

        nursery.start_soon(pass_on)
        for _ in range(5):
            found = (await a.ask("topo", timeout=0.5))["nodes"]
            by_node = {one["node"]: one for one in found}
            assert by_node[b.id]["status"] == "answered"
            assert states(by_node[b.id]) >= {(a.id, "up"), (c.id, "up")}
        nursery.cancel_scope.cancel()
    await unharmed(a, b)
    await unharmed(b, c)


async def test_answers_without_a_question_are_shown_nowhere(three_nodes: ThreeNodes, liar: Liar) -> None:
    a, b, c = await three_nodes()
    line = await liar.dial(a)
    answers([line], [])
    lies = [FoundFrame(token, GHOST, "eve", False, 0, [], False) for token in range(100)]
    await line.say(*lies, *(Explored(token) for token in range(100)))
    assert set(await shown(a)) == {a.id, b.id, c.id, liar.id}
    await unharmed(a, b)

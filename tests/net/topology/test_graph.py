"""Findings: what is made of what others say, whatever they say."""

from collections.abc import Mapping
from typing import Any

from chatd.api.network import Topology, TopologyLink, TopologyNode
from chatd.net.topology import graph as findings_module
from chatd.net.topology.graph import NetworkGraph
from chatd.wire.frames import FoundFrame
from tests.harness.explorers import node_id

HERE = node_id("a")


def link(name: str, state: str = "up", rtt_ms: float | None = 1.0) -> tuple[str, str, Any, float | None]:
    return node_id(name), name, state, rtt_ms


def found(name: str, *links: tuple[str, str, Any, float | None], **fields: Any) -> FoundFrame:
    given: dict[str, Any] = {"private": False, "plain": 0, "more": False, **fields}
    return FoundFrame(1, node_id(name), name, links=list(links), **given)


def topology(findings: NetworkGraph, *near: str, hops: int = 16) -> Topology:
    links = [TopologyLink(node_id(name), name, "up", 1.0) for name in near]
    return findings.topology(TopologyNode(HERE, "a", "answered", 0, 0, links), hops, 0.5, dict)


def shown(topology: Topology) -> list[tuple[str, str, int | None]]:
    return [(node.name, node.status, node.hops) for node in topology.nodes]


def test_nodes_are_in_order_of_hops_and_names() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("d", link("c")), "way")
    findings.add(found("c", link("a"), link("d")), "way")
    findings.add(found("b", link("a"), link("d", "down", None)), "way")
    told = topology(findings, "c", "b")
    assert shown(told) == [("a", "answered", 0), ("b", "answered", 1), ("c", "answered", 1), ("d", "answered", 2)]
    assert told.complete
    assert told.elapsed_ms == 500.0


def test_who_has_not_answered_is_known_from_its_neighbours() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("b", link("a"), link("mute"), link("gone", "down", None)), "way")
    told = topology(findings, "b")
    assert shown(told) == [
        ("a", "answered", 0),
        ("b", "answered", 1),
        ("mute", "silent", 2),
        ("gone", "unasked", None),
    ]
    assert not told.complete
    near = topology(findings, "b", hops=1)
    assert shown(near)[2] == ("mute", "unasked", 2)
    assert near.complete


def test_pages_of_one_way_are_put_together_and_those_of_another_are_not() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("b", link("c"), more=True), "good")
    findings.add(found("b", link("x"), more=True), "liar")
    findings.add(found("b", link("d"), plain=9), "good")
    findings.add(found("b", link("y")), "good")
    told = topology(findings, "b")
    assert [link.name for link in told.nodes[1].links] == ["c", "d"]
    assert told.nodes[1].plain == 0


def test_pages_of_which_the_last_is_missing_are_shown_and_not_the_whole() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("b", link("a"), more=True), "way")
    assert shown(topology(findings, "b"))[1] == ("b", "answered", 1)
    assert not topology(findings, "b").complete


def test_what_others_say_of_a_node_that_was_asked_itself_counts_for_nothing() -> None:
    findings = NetworkGraph(HERE)
    findings.expect(node_id("b"), "its own")
    findings.add(found("b", link("x"), plain=9), "liar")
    findings.add(found("c", link("b")), "liar")
    assert shown(topology(findings, "b"))[:3] == [("a", "answered", 0), ("b", "silent", 1), ("c", "answered", 2)]
    findings.add(found("b", link("a"), plain=1), "its own")
    findings.add(found("b", link("y")), "liar")
    told = topology(findings, "b").nodes[1]
    assert (told.status, told.plain, [link.name for link in told.links]) == ("answered", 1, ["a"])


def test_nodes_and_the_ends_of_links_are_called_as_the_namer_says() -> None:
    findings = NetworkGraph(HERE)
    findings.add(
        FoundFrame(1, node_id("b"), "claimed", False, 0, [(node_id("m"), "mine", "up", 1.0), link("z")], False), "way"
    )
    asked: dict[str, str] = {}

    def namer(claims: Mapping[str, str]) -> dict[str, str]:
        asked.update(claims)
        return {node: f"our-{claim}" for node, claim in claims.items()}

    told = findings.topology(TopologyNode(HERE, "a", "answered", 0, 0, []), 16, 0.5, namer)
    assert asked == {HERE: "a", node_id("b"): "claimed", node_id("m"): "mine", node_id("z"): "z"}
    assert [node.name for node in told.nodes] == ["our-a", "our-claimed", "our-mine", "our-z"]
    assert [link.name for link in told.nodes[1].links] == ["our-mine", "our-z"]


def test_nobody_tells_us_who_we_are_connected_with() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("a", link("b")), "liar")
    assert shown(topology(findings)) == [("a", "answered", 0)]


def test_a_node_is_no_neighbour_of_itself_and_nobodys_twice() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("b", link("b"), link("a"), link("a", "down", None)), "way")
    assert topology(findings, "b").nodes[1].links == [TopologyLink(HERE, "a", "up", 1.0)]


def test_a_private_node_has_nothing_but_its_name() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("b", link("c"), private=True, plain=3), "way")
    told = topology(findings, "b")
    assert told.nodes[1] == TopologyNode(node_id("b"), "b", "private", 1, None, [])
    assert told.complete


def test_there_is_a_bound_to_nodes_and_links(monkeypatch: Any) -> None:
    monkeypatch.setattr(findings_module, "NODES_MOST", 10)
    monkeypatch.setattr(findings_module, "LINKS_MOST", 30)
    findings = NetworkGraph(HERE)
    for number in range(20):
        findings.add(found(f"n{number}", *(link(f"m{number}x{far}") for far in range(10))), "way")
    told = topology(findings)
    assert sum(node.status == "answered" for node in told.nodes) == 11
    assert len(told.nodes) == 11
    assert sum(len(node.links) for node in told.nodes) == 30
    assert not told.complete


def test_a_node_that_nobody_knows_comes_last() -> None:
    findings = NetworkGraph(HERE)
    findings.add(found("ghost", link("ghost2")), "liar")
    findings.add(found("b", link("a")), "way")
    assert shown(topology(findings, "b")) == [
        ("a", "answered", 0),
        ("b", "answered", 1),
        ("ghost", "answered", None),
        ("ghost2", "unasked", None),
    ]

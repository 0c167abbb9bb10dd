"""Conditions of `wait topo`: their syntax, and when they hold."""

from collections.abc import Mapping

import pytest

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.network import Topology, TopologyLink, TopologyNode
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.link_conditions import NAMESAKE_MS, TERMS_MOST, fulfilled, parse


def network(*said: str, silent: str = "", private: str = "", elapsed_ms: float = 2 * NAMESAKE_MS) -> Topology:
    """Nodes: `a:b,c` is one that has links with b and c; `a:b/down` is one with a link that is not up.

    `node#a` is one that is shown as `node~…`, with the beginning of its id.
    """
    nodes = []
    for one in said:
        name, _, links = one.partition(":")
        told = [link.partition("/") for link in links.split(",") if link]
        nodes.append(
            TopologyNode(ident(name), bare(name), "answered", 0, 0, [link_of(far, state) for far, _, state in told])
        )
    for status, names in (("silent", silent), ("private", private)):
        nodes += [TopologyNode(ident(name), bare(name), status, 1, None, []) for name in names.split()]
    return Topology(nodes, not silent, elapsed_ms)


def ident(name: str) -> str:
    return (name.replace("-", "").replace("#", "x").replace("1", "q") + "z" * 52)[:52]


def bare(name: str) -> str:
    called, marked, _ = name.partition("#")
    return f"{called}~{ident(name)[:8]}" if marked else called


def link_of(name: str, state: str) -> TopologyLink:
    return TopologyLink(ident(name), bare(name), state or "up", None)


def so(text: str, topology: Topology, peers: Mapping[str, str] | None = None, *, surely: bool = False) -> bool:
    """`peers`: the names of this node's peers, each with its node id."""
    return fulfilled(parse(text), topology, (peers or {}).get, surely=surely)


def ambiguous(text: str, topology: Topology) -> list[object]:
    """The candidates in the error."""
    with pytest.raises(ControlError) as caught:
        so(text, topology)
    assert caught.value.kind == "ambiguous_peer"
    candidates = caught.value.details["candidates"]
    assert isinstance(candidates, list)
    assert all(candidate[:12] in caught.value.message for candidate in candidates)
    return candidates


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a-b", True),
        ("b-a", True),
        ("a-b,b-c", True),
        (" a-b , b-c ", True),
        ("a-c", False),
        ("!a-c", True),
        ("!a-b", False),
        ("a-b,!a-c", True),
        ("a-b,!b-c", False),
        ("a-nobody", False),
        ("!a-nobody", True),
        ("nobody-none", False),
        ("!nobody-none", False),
    ],
)
def test_all_of_the_links_have_to_be_so(text: str, found: bool) -> None:
    assert so(text, network("a:b", "b:a,c", "c:b,a/down")) is found


def test_both_ends_that_answer_have_to_say_so() -> None:
    assert not so("a-b", network("a:b", "b:a/dialing"))
    assert so("!a-b", network("a:b", "b:a/dialing"))
    assert not so("a-b", network("a:b", "b:"))
    assert so("a-b", network("a:b", private="b"))
    assert so("a-b", network("a:b", silent="b"))
    assert not so("a-b", network("x:a,b", silent="a b"))
    assert not so("!a-b", network("x:a,b", silent="a b"))


def test_while_answers_may_still_come_one_end_is_not_enough() -> None:
    assert not so("a-b", network("a:b", silent="b"), surely=True)
    assert so("a-b", network("a:b", private="b"), surely=True)
    assert so("!a-b", network("a:b/down", silent="b"), surely=True)
    assert not so("!a-b", network("a:b", silent="b"), surely=True)


@pytest.mark.parametrize("text", ["node-1-node-2", "node-1--node-2", "!node-1-node-3", "node-1~nodeq-node-2"])
def test_names_may_have_dashes(text: str) -> None:
    assert so(text, network("node-1:node-2", "node-2:node-1", "node-3:"))


def test_two_dashes_say_where_to_split() -> None:
    apart = network("a:b-c", "b-c:a", "a-b:", "c:")
    assert so("a-b-c", apart)
    assert so("a--b-c", apart)
    assert not so("a-b--c", apart)
    assert so("!a-b--c", apart)


def test_nodes_of_one_name_are_told_apart_by_their_ids() -> None:
    both = network("node#a:c", "node#b:", "c:node#a")
    assert so(f"node~{ident('node#a')[:6]}-c", both)
    assert so(f"{ident('node#a')}-c", both)
    assert so(f"{ident('node#a')[:12]}-c", both)
    assert not so(f"{ident('node#a')[:11]}-c", both)
    assert so(f"node~{ident('node#a')[:8]}-c", both)
    assert not so(f"node~{ident('node#b')[:8]}-c", both)
    assert so(f"!node~{ident('node#b')}-c", both)


def test_a_name_that_two_nodes_announce_satisfies_nothing() -> None:
    both = network("node#a:c", "node#b:", "c:node#a")
    ids = [ident("node#a"), ident("node#b")]
    assert ambiguous("node-c", both) == ambiguous("!c-node", both) == ids
    assert ambiguous("node~node-c", both) == ids
    assert ambiguous("node-nobody", both) == ids


def test_another_way_to_split_is_not_made_ambiguous_by_one_that_is_none() -> None:
    assert so("node-1-c", network("node#a:", "node#b:", "node-1:c", "c:node-1"))


def test_a_name_that_is_shown_with_an_id_only_is_asked_for() -> None:
    one = network("node#a:c", "c:node#a")
    for text in ("node-c", "!node-c", "c--node"):
        assert ambiguous(text, one) == [ident("node#a")]
    assert so(f"node~{ident('node#a')[:12]}-c", one)


def test_an_id_that_says_which_is_no_other_one() -> None:
    both = network("node#a:c", "node#b:", "c:node#a")
    assert so("!node~zzzz-c", both)
    assert not so("node~zzzz-c", both)


def answer(text: str, topology: Topology) -> bool | str:
    """Whether the condition holds, or the kind of the error."""
    try:
        return so(text, topology)
    except ControlError as error:
        return error.kind


def made_up(node: str, name: str) -> TopologyNode:
    """A node that a neighbour has invented, with an id that it chose."""
    return TopologyNode(node, name, "unasked", None, None, [])


@pytest.mark.parametrize(
    ("end", "ghost", "name"),
    [
        ("carol", "carol" + "q" * 47, "x"),
        ("carol", "q" * 52, "carol~qqqqqqqq"),
        ("carol~carolzzz", "carolzzz" + "q" * 44, "carol~carolzzz"),
        ("carolzzzzzzz", "q" * 52, "carolzzzzzzz"),
        ("carolzzzzzzz", "carolzzzzzzz" + "q" * 40, "x"),
        ("loadbalancer", "loadbalancer" + "q" * 40, "loadbalancer"),
        ("loadbalancer", "loadbalancer" + "q" * 40, "x"),
    ],
)
def test_a_made_up_node_is_never_taken_for_the_one_that_is_meant(end: str, ghost: str, name: str) -> None:
    """The verdict is that of the honest node, or the name is ambiguous, in any order of arrival."""
    honest = network("bob:carol,loadbalancer", "carol:bob", "loadbalancer:bob")
    for nodes in ([made_up(ghost, name), *honest.nodes], [*honest.nodes, made_up(ghost, name)]):
        topology = Topology(nodes, True, 2 * NAMESAKE_MS)
        assert answer(f"bob-{end}", topology) in (True, "ambiguous_peer")
        assert answer(f"!bob-{end}", topology) in (False, "ambiguous_peer")


def test_a_peer_is_meant_before_others() -> None:
    liar = network("node:", "node#b:c", "c:node#b")
    assert so("node-c", network("node:c", "node#b:", "c:node"), {"node": ident("node")})
    assert not so("node-c", liar, {"node": ident("node")})
    assert not so("node-c", liar, {"node": "z" * 52})  # a peer that is not in this network


def test_a_peer_whose_id_begins_like_the_name_of_a_far_node_is_not_taken_for_it() -> None:
    peer = "carol" + "q" * 47
    here = network("bob:carol#a", "carol#a:bob")
    nodes = [*here.nodes, TopologyNode(peer, "mallory", "answered", 1, 0, [])]
    topology, by_id = Topology(nodes, True, 2 * NAMESAKE_MS), {"carol": peer, peer: peer}
    for text in ("bob-carol", "!bob-carol"):
        with pytest.raises(ControlError) as caught:
            so(text, topology, by_id)
        assert caught.value.details["candidates"] == [peer, ident("carol#a")]
    assert so(f"!bob-{peer}", topology, by_id)
    assert so("!bob-malo", topology, {"malo": peer})
    nodes[-1] = TopologyNode(peer, "carol", "answered", 1, 0, [])
    assert so("!bob-carol", Topology(nodes, True, 2 * NAMESAKE_MS), by_id)  # its name, too


def test_digits_are_no_slot() -> None:
    assert not so("0-c", network("a:c", "c:a"), {"0": ident("a")})


def test_at_first_a_node_that_was_only_heard_of_may_have_a_namesake() -> None:
    early = network("a:b", "b:a", elapsed_ms=1.0)
    assert not so("a-b", early, surely=True)
    assert not so("!a-b", network("a:b/down", "b:a/down", elapsed_ms=1.0), surely=True)
    assert so("a-b", early, {"a": ident("a"), "b": ident("b")}, surely=True)
    assert so(f"{ident('a')}-{ident('b')}", early, surely=True)
    assert not so(f"{ident('a')[:12]}-{ident('b')[:12]}", early, surely=True)
    assert so("a-b", early)
    assert so("a-b", network("a:b", "b:a"), surely=True)


@pytest.mark.parametrize(
    "text", ["", ",", "a", "a-b,", "-b", "a-", "!", "!!a-b", "A-b", "a-b c", "a/b", "a-b\n-c", "~-b", "a--"]
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RpcError) as caught:
        parse(text)
    assert caught.value.code == INVALID_PARAMS
    assert "alice-bob" in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_list_has_a_bound() -> None:
    assert len(parse(",".join(["a-b"] * TERMS_MOST))) == TERMS_MOST
    with pytest.raises(RpcError):
        parse(",".join(["a-b"] * (TERMS_MOST + 1)))
    with pytest.raises(RpcError):
        parse("-".join("a" * 500_000))

"""What `wait topo` waits for: how it is written, and when it is so."""

import pytest

from chatd.api.errors import INVALID_PARAMS
from chatd.api.records import Topology, TopologyLink, TopologyNode
from chatd.control.jsonrpc import Fault
from chatd.control.methods.adjacency import TERMS_MOST, fulfilled, parse


def network(*said: str, silent: str = "", private: str = "") -> Topology:
    """Nodes: `a:b,c` is one that has links with b and c; `a:b/down` is one whose link is not up."""
    nodes = []
    for one in said:
        name, _, links = one.partition(":")
        told = [link.partition("/") for link in links.split(",") if link]
        nodes.append(
            TopologyNode(ident(name), bare(name), "answered", 0, 0, [link_of(far, state) for far, _, state in told])
        )
    for status, names in (("silent", silent), ("private", private)):
        nodes += [TopologyNode(ident(name), bare(name), status, 1, None, []) for name in names.split()]
    return Topology(nodes, not silent, 1.0)


def ident(name: str) -> str:
    return (name.replace("-", "").replace("#", "x").replace("1", "q") + "z" * 52)[:52]


def bare(name: str) -> str:
    return name.partition("#")[0]


def link_of(name: str, state: str) -> TopologyLink:
    return TopologyLink(ident(name), bare(name), state or "up", None)


def so(text: str, topology: Topology, *, surely: bool = False) -> bool:
    return fulfilled(parse(text), topology, surely=surely)


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
    assert so("node-c", both)
    assert not so("!node-c", both)
    assert so(f"node~{ident('node#a')[:8]}-c", both)
    assert not so(f"node~{ident('node#b')[:8]}-c", both)
    assert so(f"!node~{ident('node#b')}-c", both)


@pytest.mark.parametrize(
    "text", ["", ",", "a", "a-b,", "-b", "a-", "!", "!!a-b", "A-b", "a-b c", "a/b", "a-b\n-c", "~-b", "a--"]
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(Fault) as caught:
        parse(text)
    assert caught.value.code == INVALID_PARAMS
    assert "alice-bob" in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_list_has_a_bound() -> None:
    assert len(parse(",".join(["a-b"] * TERMS_MOST))) == TERMS_MOST
    with pytest.raises(Fault):
        parse(",".join(["a-b"] * (TERMS_MOST + 1)))
    with pytest.raises(Fault):
        parse("-".join("a" * 500_000))

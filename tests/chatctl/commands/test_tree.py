"""A network as text: rings, stars, lines and meshes, with and without broken links."""

from itertools import combinations, pairwise
from typing import Any

import pytest

from chatctl.commands.topo.network import Network
from chatctl.commands.topo.tree import TOO_MANY, summary, tree
from tests.harness.topologies import FIVE, MESH, RING, TEN, node_id, topology


def drawn(found: dict[str, Any], columns: int = 80) -> str:
    lines = tree(Network(found), columns, lambda text, *_: text)
    return "\n".join(line.rstrip() for line in lines)


def heading(found: dict[str, Any]) -> str:
    return summary(Network(found))


def test_a_ring_of_five() -> None:
    found = topology(FIVE, RING, plain={"alice": 2})
    assert heading(found) == "5 nodes, 5 links (0.03 s)"
    assert (
        drawn(found)
        == """\
alice          +2 plain
├── bob        0.4 ms
│   └── carol  0.4 ms  also dave 0.4 ms
└── eve        0.4 ms
    └── dave   0.4 ms"""
    )


def test_a_star_of_twenty() -> None:
    leaves = [f"leaf{number}" for number in range(1, 20)]
    found = topology(["hub", *leaves], [("hub", leaf) for leaf in leaves])
    assert heading(found) == "20 nodes, 19 links (0.03 s)"
    lines = drawn(found).split("\n")
    assert lines[:3] == ["hub", "├── leaf1   0.4 ms", "├── leaf2   0.4 ms"]
    assert lines[10] == "├── leaf10  0.4 ms"
    assert lines[-1] == "└── leaf19  0.4 ms"
    inside = drawn(topology([leaves[0], "hub", *leaves[1:]], [("hub", leaf) for leaf in leaves])).split("\n")
    assert inside[:3] == ["leaf1", "└── hub         0.4 ms", "    ├── leaf2   0.4 ms"]


def test_a_mesh_of_ten_has_each_link_once_in_a_screenful() -> None:
    found = topology(TEN, MESH)
    assert heading(found) == "10 nodes, 45 links (0.03 s)"
    lines = drawn(found).split("\n")
    assert lines[:5] == [
        "alice",
        "├── bob    0.4 ms  also carol 0.4 ms, dave 0.4 ms, eve 0.4 ms, frank 0.4 ms,",
        "│                       grace 0.4 ms, heidi 0.4 ms, ivan 0.4 ms, judy 0.4 ms",
        "├── carol  0.4 ms  also dave 0.4 ms, eve 0.4 ms, frank 0.4 ms, grace 0.4 ms,",
        "│                       heidi 0.4 ms, ivan 0.4 ms, judy 0.4 ms",
    ]
    assert lines[-1] == "└── judy   0.4 ms"
    assert len(lines) < 20
    assert sum(line.count("0.4 ms") for line in lines) == 45


def test_a_line_of_thirty_fits_a_terminal() -> None:
    line = [f"node-{number}" for number in range(1, 31)]
    lines = drawn(topology(line, pairwise(line))).split("\n")
    assert lines[:3] == ["node-1", "└ node-2  0.4 ms", "  └ node-3  0.4 ms"]
    assert len(lines) == 30
    assert max(map(len, lines)) <= 80


def test_a_line_that_fits_no_terminal_is_still_drawn() -> None:
    line = [f"n{number}" for number in range(3000)]
    lines = drawn(topology(line, pairwise(line)), 40).split("\n")
    assert len(lines) == 3000
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("columns", [20, 40, 79, 200])
@pytest.mark.parametrize("name", ["ring", "mesh"])
def test_lines_keep_to_the_columns(columns: int, name: str) -> None:
    found = topology(FIVE, RING) if name == "ring" else topology(TEN, MESH)
    widest = max(map(len, drawn(found, columns).split("\n")))
    assert widest <= max(columns, 30)
    assert name == "ring" or drawn(found, columns).count("0.4 ms") == 45


def test_who_does_not_answer_or_tell_says_so() -> None:
    found = topology(FIVE, RING, status={"carol": "silent", "eve": "private"})
    assert heading(found) == "5 nodes, 5 links, 1 node silent (0.03 s)"
    assert (
        drawn(found)
        == """\
alice
├── bob        0.4 ms
│   └── carol  0.4 ms  (no answer)  also dave 0.4 ms
└── eve        0.4 ms  (private)
    └── dave   0.4 ms"""
    )


def test_who_is_too_far_away_says_so_and_who_is_gone_only_that() -> None:
    found = topology(
        ["a", "b", "far", "gone"],
        [("a", "b"), ("b", "far"), ("a", "gone")],
        status={"far": "unasked", "gone": "unasked"},
        states={("a", "gone"): "dialing", ("gone", "a"): "down"},
    )
    assert (
        drawn(found)
        == """\
a
├── b        0.4 ms
│   └── far  0.4 ms  (not asked)
└╌╌ gone     dialing"""
    )


def test_links_that_are_not_up_are_drawn_last_and_otherwise() -> None:
    found = topology(
        FIVE, RING, states={("alice", "bob"): "dialing", ("bob", "alice"): "down", ("dave", "carol"): "pending"}
    )
    assert heading(found) == "5 nodes, 3 links, 2 links not up (0.03 s)"
    assert (
        drawn(found)
        == """\
alice                also bob (dialing)
└── eve              0.4 ms
    └── dave         0.4 ms
        └╌╌ carol    carol: up, dave: pending
            └── bob  0.4 ms"""
    )


def test_ends_that_do_not_agree_are_both_told() -> None:
    found = topology(FIVE, RING, states={("carol", "dave"): "no link"})
    assert "also dave (dave: up, carol: no link)" in drawn(found)


def test_the_ends_of_a_silent_network_are_all_shown() -> None:
    found = topology(["a", "b", "c"], [("a", "b"), ("b", "c")], states={("b", "c"): "down", ("c", "b"): "down"})
    assert drawn(found) == "a\n└── b      0.4 ms\n    └╌╌ c  down"
    ghost = topology(["a", "ghost"], [])
    assert drawn(ghost) == "a\nghost"


def test_nodes_of_one_name_are_told_apart() -> None:
    found = topology(["node#1", "node#2", "bob"], [("node#1", "node#2"), ("node#2", "bob")])
    one, other = (f"node~{node_id(name)[:8]}" for name in ("node#1", "node#2"))
    assert drawn(found) == f"{one}\n└── {other}  0.4 ms\n    └── bob        0.4 ms"


def test_an_unknown_round_trip_is_a_question_mark() -> None:
    assert drawn(topology(["a", "b"], [("a", "b")], rtt_ms=None)) == "a\n└── b  ? ms"
    assert drawn(topology(["a", "b"], [("a", "b")], rtt_ms=23.44)) == "a\n└── b  23.4 ms"
    assert drawn(topology(["a", "b"], [("a", "b")], rtt_ms=402.4)) == "a\n└── b  402 ms"


def test_of_many_links_only_the_names_are_shown_and_of_too_many_the_number() -> None:
    names = [f"n{number}" for number in range(25)]
    many = drawn(topology(names, combinations(names, 2)))
    assert "n23  0.4 ms  also n24" in many
    names = [f"n{number}" for number in range(70)]
    crowd = topology(names, combinations(names, 2))
    assert len(Network(crowd).links) > TOO_MANY
    lines = drawn(crowd).split("\n")
    assert len(lines) == 70
    assert lines[1] == "├── n1   0.4 ms  also 68 more links"


def test_what_a_node_says_cannot_be_mistaken_for_ours() -> None:
    found = topology(["a", "b\x1b[2J\n└── c"], [("a", "b\x1b[2J\n└── c")])
    found["nodes"][0]["links"][0]["state"] = "up\x07"
    found["nodes"][1]["links"][0]["state"] = "\x9b"
    text = drawn(found)
    assert text.isprintable() or set(text) - {"\n"} == {one for one in text if one.isprintable()}
    assert len(text.split("\n")) == 2


def test_a_topology_of_a_newer_daemon_is_drawn_as_far_as_it_is_known() -> None:
    found = topology(["a", "b"], [("a", "b")], status={"b": "asleep"}, states={("a", "b"): "resting"})
    assert drawn(found) == "a\n└╌╌ b  resting  (asleep)"
    assert drawn({}) == ""
    assert heading({}) == "0 nodes, 0 links (0.00 s)"

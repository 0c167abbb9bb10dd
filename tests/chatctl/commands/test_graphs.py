"""DOT and Mermaid documents: valid for any names of nodes."""

import re
from typing import Any

from chatctl.commands.topo.graphs import dot, mermaid
from chatctl.commands.topo.network import Network
from tests.harness.topologies import FIVE, RING, topology

STRING = r'"(?:[^"\\\n]|\\.)*"'
DOT = re.compile(
    rf"graph chatd {{\n  node \[shape=box\];\n"
    rf"(?:  {STRING} \[label={STRING}(?:, style={STRING})?\];\n)*"
    rf"(?:  {STRING} -- {STRING} \[label={STRING}(?:, style={STRING})?\];\n)*}}"
)
TEXT = r'"(?:[A-Za-z0-9 ._~+:,()?-]|#\d+;)*"'
MERMAID = re.compile(rf"graph LR(?:\n  n\d+\[{TEXT}\])*(?:\n  n\d+ (?:---|-\.-)\|{TEXT}\| n\d+)*")
ODD: dict[str, Any] = topology(
    ['a"];b', "c\\", "end", "<b>`x`</b>#1;", "\n\x1b|"],
    [('a"];b', "c\\"), ("c\\", "end"), ("end", "<b>`x`</b>#1;"), ("end", "\n\x1b|")],
)


def test_a_graph_for_graphviz() -> None:
    found = topology(
        FIVE[:3], RING[:2], states={("bob", "carol"): "dialing"}, status={"carol": "silent"}, plain={"bob": 1}
    )
    assert (
        dot(Network(found))
        == """\
graph chatd {
  node [shape=box];
  "alice" [label="alice", style="bold"];
  "bob" [label="bob +1 plain"];
  "carol" [label="carol (no answer)", style="dashed"];
  "alice" -- "bob" [label="0.4 ms"];
  "bob" -- "carol" [label="dialing", style="dashed"];
}"""
    )


def test_a_graph_for_mermaid() -> None:
    found = topology(
        FIVE[:3], RING[:2], states={("bob", "carol"): "dialing"}, status={"carol": "silent"}, plain={"bob": 1}
    )
    assert (
        mermaid(Network(found))
        == """\
graph LR
  n0["alice"]
  n1["bob +1 plain"]
  n2["carol (no answer)"]
  n0 ---|"0.4 ms"| n1
  n1 -.-|"dialing"| n2"""
    )


def test_whatever_nodes_are_called_the_documents_are_valid() -> None:
    for found in (ODD, topology(FIVE, RING), topology(["a"], []), {}):
        assert DOT.fullmatch(dot(Network(found)))
        assert MERMAID.fullmatch(mermaid(Network(found)))
    assert '"a\\"];b" -- "c\\\\"' in dot(Network(ODD))
    assert '["a#34;#93;#59;b"]' in mermaid(Network(ODD))


def test_nodes_of_one_name_stay_two() -> None:
    found = topology(["node#1", "node#2"], [("node#1", "node#2")])
    assert len(set(re.findall(r"node~[a-z2-7]{8}", dot(Network(found))))) == 2

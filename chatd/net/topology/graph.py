"""Findings: what one exploration of ours has brought so far, and the network that this makes.

Everything in it is what others say. A node that was asked over a link with it is believed over that link alone; any
other once, over the way that its answer first came by. There is a bound to how much is. Knows no links and no time.
Called by `net/topology/explorer.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from chatd.api.network import Topology, TopologyLink, TopologyNode
from chatd.peers.names import UNMET_ID
from chatd.wire.frames import FoundFrame

NODES_MOST: Final = 10_000
LINKS_MOST: Final = 50_000  # of all nodes together
Namer = Callable[[Mapping[str, str]], Mapping[str, str]]  # from what nodes are said to be called to what they are here


class _Told:
    """What a node has said of itself."""

    __slots__ = ("links", "name", "plain", "private", "way", "whole")

    def __init__(self, frame: FoundFrame, way: object) -> None:
        self.way = way
        self.name = frame.name
        self.private = frame.private
        self.plain = None if frame.private else frame.plain
        self.links: dict[str, TopologyLink] = {}
        self.whole = False


class NetworkGraph:
    """Those of one exploration, which began at `node`."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._reports: dict[str, _Told] = {}
        self._near: dict[str, object] = {}  # nodes that were asked themselves, each with its way
        self._links = 0
        self._cut = False  # there was too much

    def expect(self, node: str, way: object) -> None:
        """That node is asked over a link with it: what comes about it another way counts for nothing."""
        self._near[node] = way

    def add(self, frame: FoundFrame, way: object) -> None:
        """One page came that way. What a node, or another one in its name, says a second time counts for nothing."""
        if self._near.get(frame.node, way) is not way:
            return
        told = self._reports.get(frame.node)
        if told is None and frame.node != self._node:
            if len(self._reports) >= NODES_MOST:
                self._cut = True
                return
            told = self._reports[frame.node] = _Told(frame, way)
        if told is None or told.way is not way or told.whole:
            return
        told.whole = not frame.more
        if not told.private:
            self._add_links(told, frame)

    def _add_links(self, told: _Told, frame: FoundFrame) -> None:
        for node, name, state, rtt_ms in frame.links:
            if node == frame.node or node in told.links:
                continue
            if self._links >= LINKS_MOST:
                self._cut = True
                return
            self._links += 1
            told.links[node] = TopologyLink(node, name, state, rtt_ms)

    def topology(self, here: TopologyNode, hops: int, elapsed: float, namer: Namer) -> Topology:
        """The network so far: `here` is this node, from which `hops` were gone at most, in so many seconds."""
        said = {here.node: {link.node: link for link in here.links}}
        said |= {node: told.links for node, told in self._reports.items()}
        distances = _distances(here.node, said)
        claims = self._claims(here, said, distances)
        names = namer(claims)
        nodes = [here, *(self._node_of(node, told, distances) for node, told in self._reports.items())]
        nodes += self._unheard(claims, distances, hops)
        nodes = [_named(node, names) for node in nodes]
        nodes.sort(key=lambda node: _order(node, here.node))
        whole = not self._cut and all(told.whole for told in self._reports.values())
        complete = whole and not any(node.status == "silent" for node in nodes)
        return Topology(nodes, complete, round(elapsed * 1000, 3))

    def _claims(
        self, here: TopologyNode, said: Mapping[str, Mapping[str, TopologyLink]], distances: Mapping[str, int]
    ) -> dict[str, str]:
        """What the nodes that are shown are said to be called: by themselves, else by the nearest neighbour of them."""
        claims = {here.node: here.name} | {node: told.name for node, told in self._reports.items()}
        for node in sorted(said, key=lambda node: (distances.get(node, NODES_MOST), node)):
            for link in said[node].values():
                if len(claims) < NODES_MOST:
                    claims.setdefault(link.node, link.name)
        return claims

    def _node_of(self, node: str, told: _Told, distances: Mapping[str, int]) -> TopologyNode:
        status = "private" if told.private else "answered"
        return TopologyNode(node, told.name, status, distances.get(node), told.plain, list(told.links.values()))

    def _unheard(self, claims: Mapping[str, str], distances: Mapping[str, int], hops: int) -> Iterable[TopologyNode]:
        """Those that are known from their neighbours: asked in vain, or not asked."""
        for node, name in claims.items():
            if node != self._node and node not in self._reports:
                distance = distances.get(node)
                status = "unasked" if distance is None or distance > hops else "silent"
                yield TopologyNode(node, name, status, distance, None, [])


def _named(node: TopologyNode, names: Mapping[str, str]) -> TopologyNode:
    """The node as it is called here, and the ends of its links too, in the order of names."""
    links = [
        TopologyLink(link.node, names.get(link.node, link.node[:UNMET_ID]), link.state, link.rtt_ms)
        for link in node.links
    ]
    links.sort(key=lambda link: (link.name, link.node))
    return TopologyNode(node.node, names[node.node], node.status, node.hops, node.plain, links)


def _distances(start: str, said: Mapping[str, Mapping[str, TopologyLink]]) -> dict[str, int]:
    """How many links that are up, as one of their ends says, lie between it and each node."""
    ways: dict[str, set[str]] = {}
    for node, links in said.items():
        for link in links.values():
            if link.state == "up":
                ways.setdefault(node, set()).add(link.node)
                ways.setdefault(link.node, set()).add(node)
    found, newest = {start: 0}, [start]
    while newest:
        reached = {near for node in newest for near in ways.get(node, ()) if near not in found}
        found.update(dict.fromkeys(reached, found[newest[0]] + 1))
        newest = list(reached)
    return found


def _order(node: TopologyNode, first: str) -> tuple[int, str, str]:
    """The node that asks first, then by hops and name; at the end those to which no way is known."""
    hops = NODES_MOST if node.hops is None else node.hops
    return -1 if node.node == first else hops, node.name, node.node

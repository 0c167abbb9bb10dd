"""NetworkGraph: the network as one of our explorations has discovered it so far.

Built from the reports of other nodes. A report about a direct neighbour counts only over the link with it, one about
another node only over the link of its first report. Size is bounded. A link is only an opaque key here. Knows no clock.
Called by `net/topology/explorer.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from chatd.api.network import Topology, TopologyLink, TopologyNode
from chatd.peers.names import UNMET_ID
from chatd.wire.frames import FoundFrame

NODES_MOST: Final = 10_000
LINKS_MOST: Final = 50_000  # of all nodes together
Namer = Callable[[Mapping[str, str]], Mapping[str, str]]  # node id -> claimed name, to node id -> name shown here


class _Report:
    """The report of one node about itself, in pages."""

    __slots__ = ("link", "links", "name", "plain", "private", "whole")

    def __init__(self, frame: FoundFrame, link: object) -> None:
        self.link = link
        self.name = frame.name
        self.private = frame.private
        self.plain = None if frame.private else frame.plain
        self.links: dict[str, TopologyLink] = {}
        self.whole = False  # its last page has arrived


class NetworkGraph:
    """Reports of one exploration by this node, `node`."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._reports: dict[str, _Report] = {}
        self._neighbours: dict[str, object] = {}  # node id -> its link, for nodes that were asked directly
        self._links = 0
        self._is_truncated = False  # a limit was reached

    def expect(self, node: str, link: object) -> None:
        """Record that the node is asked directly over that link: reports about it over other links are ignored."""
        self._neighbours[node] = link

    def add(self, frame: FoundFrame, link: object) -> None:
        """Add a page of a report. A second report of the same node, true or forged, is ignored."""
        if self._neighbours.get(frame.node, link) is not link:
            return
        report = self._reports.get(frame.node)
        if report is None and frame.node != self._node:
            if len(self._reports) >= NODES_MOST:
                self._is_truncated = True
                return
            report = self._reports[frame.node] = _Report(frame, link)
        if report is None or report.link is not link or report.whole:
            return
        report.whole = not frame.more
        if not report.private:
            self._add_links(report, frame)

    def _add_links(self, report: _Report, frame: FoundFrame) -> None:
        for node, name, state, rtt_ms in frame.links:
            if node == frame.node or node in report.links:
                continue
            if self._links >= LINKS_MOST:
                self._is_truncated = True
                return
            self._links += 1
            report.links[node] = TopologyLink(node, name, state, rtt_ms)

    def topology(self, own: TopologyNode, hops: int, elapsed: float, namer: Namer) -> Topology:
        """The network so far. `own` is this node, `hops` the limit, `elapsed` seconds."""
        reported = {own.node: {link.node: link for link in own.links}}
        reported |= {node: report.links for node, report in self._reports.items()}
        distances = _distances(own.node, reported)
        claims = self._claimed_names(own, reported, distances)
        names = namer(claims)
        nodes = [own, *(self._node_of(node, report, distances) for node, report in self._reports.items())]
        nodes += self._unreported(claims, distances, hops)
        nodes = [_with_shown_names(node, names) for node in nodes]
        nodes.sort(key=lambda node: _sort_key(node, own.node))
        all_reported = not self._is_truncated and all(report.whole for report in self._reports.values())
        complete = all_reported and not any(node.status == "silent" for node in nodes)
        return Topology(nodes, complete, round(elapsed * 1000, 3))

    def _claimed_names(
        self, own: TopologyNode, reported: Mapping[str, Mapping[str, TopologyLink]], distances: Mapping[str, int]
    ) -> dict[str, str]:
        """Claimed name of each node: from its own report, else from the reporting node that is nearest to us."""
        claims = {own.node: own.name} | {node: report.name for node, report in self._reports.items()}
        for node in sorted(reported, key=lambda node: (distances.get(node, NODES_MOST), node)):
            for link in reported[node].values():
                if len(claims) < NODES_MOST:
                    claims.setdefault(link.node, link.name)
        return claims

    def _node_of(self, node: str, report: _Report, distances: Mapping[str, int]) -> TopologyNode:
        status = "private" if report.private else "answered"
        return TopologyNode(node, report.name, status, distances.get(node), report.plain, list(report.links.values()))

    def _unreported(self, claims: Mapping[str, str], distances: Mapping[str, int], hops: int) -> Iterable[TopologyNode]:
        """Nodes known only from their neighbours: silent or unasked."""
        for node, name in claims.items():
            if node != self._node and node not in self._reports:
                distance = distances.get(node)
                status = "unasked" if distance is None or distance > hops else "silent"
                yield TopologyNode(node, name, status, distance, None, [])


def _with_shown_names(node: TopologyNode, names: Mapping[str, str]) -> TopologyNode:
    """The node with the names shown here, links sorted by name."""
    links = [
        TopologyLink(link.node, names.get(link.node, link.node[:UNMET_ID]), link.state, link.rtt_ms)
        for link in node.links
    ]
    links.sort(key=lambda link: (link.name, link.node))
    return TopologyNode(node.node, names[node.node], node.status, node.hops, node.plain, links)


def _distances(start: str, reported: Mapping[str, Mapping[str, TopologyLink]]) -> dict[str, int]:
    """Hops from `start` to each node over links that one end reports as up."""
    edges: dict[str, set[str]] = {}
    for node, links in reported.items():
        for link in links.values():
            if link.state == "up":
                edges.setdefault(node, set()).add(link.node)
                edges.setdefault(link.node, set()).add(node)
    distances, frontier = {start: 0}, [start]
    while frontier:
        reached = {neighbour for node in frontier for neighbour in edges.get(node, ()) if neighbour not in distances}
        distances.update(dict.fromkeys(reached, distances[frontier[0]] + 1))
        frontier = list(reached)
    return distances


def _sort_key(node: TopologyNode, asker: str) -> tuple[int, str, str]:
    """Sort key: the asker, then by hops and name; nodes without a known route last."""
    hops = NODES_MOST if node.hops is None else node.hops
    return -1 if node.node == asker else hops, node.name, node.node

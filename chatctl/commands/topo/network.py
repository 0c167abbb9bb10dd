"""Model of a network for drawing: nodes with unique labels, and links with the reports of both ends.

Knows the record of `topo` by its fields, but not how it is drawn: `tree.py` and `graphs.py` do that. Labels are
escaped.
"""

import re

from chatctl.text.output import short
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

UP, NOT_REPORTED = "up", "no link"  # the second: an end answered and did not name the link
_BY_RELEVANCE = ("dialing", "pending", "down", NOT_REPORTED)  # which of two reports to show
_REMARKS = {"silent": "no answer", "private": "private", "unasked": "not asked"}
_DIGITS = re.compile(r"(\d+)")


class NetworkNode:
    """`label` is unique. `order` is the sort key, by which node2 comes before node10."""

    __slots__ = ("answered", "hops", "id", "label", "links", "order", "plain", "status")

    def __init__(self, record: "Mapping[str, Any]") -> None:
        self.id = str(record.get("node"))
        self.label = inline(str(record.get("name")))
        self.status = str(record.get("status"))
        self.answered = self.status == "answered"
        self.hops: int | None = record.get("hops")
        self.plain = int(record.get("plain") or 0)
        self.links: list[NetworkLink] = []
        self.order = _sort_key(self.label, self.id)

    def rename(self, label: str) -> None:
        self.label, self.order = label, _sort_key(label, self.id)

    @property
    def remark(self) -> str:
        """Why its links are not known, e.g. `(no answer)`; empty if they are."""
        if self.answered or (self.status == "unasked" and self.hops is None):
            return ""
        return f"({inline(_REMARKS.get(self.status, self.status))})"


class NetworkLink:
    """A link with the report of each end that answered, e.g. `up` or `dialing`."""

    __slots__ = ("ends", "reports", "rtt_ms")

    def __init__(self, one: NetworkNode, other: NetworkNode) -> None:
        self.ends = one, other
        self.reports: dict[NetworkNode, str] = {end: NOT_REPORTED for end in self.ends if end.answered}
        self.rtt_ms: float | None = None

    def add_report(self, end: NetworkNode, state: str, rtt_ms: "float | None") -> None:
        self.reports[end] = state
        if rtt_ms is not None:
            self.rtt_ms = max(rtt_ms, self.rtt_ms or 0.0)  # the end that delays the link measures it first

    def other_end(self, end: NetworkNode) -> NetworkNode:
        one, other = self.ends
        return other if end is one else one

    @property
    def up(self) -> bool:
        """Whether all reports say so."""
        return all(state == UP for state in self.reports.values())

    @property
    def maybe_up(self) -> bool:
        """Whether at least one report says so."""
        return UP in self.reports.values()

    @property
    def state(self) -> str:
        """State of a link that is not up: one state, or that of each end if one of them reports `up`."""
        if self.maybe_up:
            return ", ".join(f"{end.label}: {inline(state)}" for end, state in self.reports.items())
        return min((inline(state) for state in self.reports.values()), key=_relevance, default="")

    @property
    def label(self) -> str:
        """Round trip of a link that is up, else its state."""
        return round_trip_text(self.rtt_ms) if self.up else self.state


class Network:
    """All nodes, our own first, and all links, each once."""

    def __init__(self, topology: "Mapping[str, Any]") -> None:
        records = topology.get("nodes") or []
        self.nodes = [NetworkNode(record) for record in records]
        self.links: list[NetworkLink] = []
        self.seconds = float(topology.get("elapsed_ms") or 0.0) / 1000
        self._by_id = {node.id: node for node in self.nodes}
        between: dict[frozenset[str], NetworkLink] = {}
        for record in records:
            for report in record.get("links") or []:
                self._add(self._by_id[str(record.get("node"))], report, between)
        _make_labels_unique(self.nodes)

    def _add(self, end: NetworkNode, report: "Mapping[str, Any]", between: "dict[frozenset[str], NetworkLink]") -> None:
        far = self._by_id.get(str(report.get("node")))
        if far is None or far is end:
            return
        pair = frozenset((end.id, far.id))
        link = between.get(pair)
        if link is None:
            link = between[pair] = NetworkLink(end, far)
            self.links.append(link)
            end.links.append(link)
            far.links.append(link)
        link.add_report(end, str(report.get("state")), report.get("rtt_ms"))


def round_trip_text(rtt_ms: "float | None") -> str:
    """`0.4 ms`, `23.4 ms`, `402 ms`."""
    return "? ms" if rtt_ms is None else f"{rtt_ms:.0f} ms" if rtt_ms >= 100 else f"{rtt_ms:.1f} ms"


def count_text(count: int, noun: str) -> str:
    """`1 link`, `2 links`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _sort_key(label: str, node: str) -> "tuple[list[tuple[int, str]], str]":
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(label)], node


def _relevance(state: str) -> int:
    return _BY_RELEVANCE.index(state) if state in _BY_RELEVANCE else -1


def _make_labels_unique(nodes: "Iterable[NetworkNode]") -> None:
    """Append `~` and the first 8 characters of the id to equal labels, or the whole id if that is not enough."""
    names = {node: node.label for node in nodes}
    for starts in (short, str):
        by_label: dict[str, list[NetworkNode]] = {}
        for node in names:
            by_label.setdefault(node.label, []).append(node)
        for same in by_label.values():
            if len(same) > 1:
                for node in same:
                    node.rename(f"{names[node]}~{starts(node.id)}")

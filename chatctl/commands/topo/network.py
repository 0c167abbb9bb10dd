"""A network as people see it: what to call its nodes, and what both ends of a link say of it.

Knows the record of `topo` by its fields, and nothing of how it is drawn: `tree.py` and `graphs.py` do that. Labels are
harmless, and different for different nodes.
"""

import re

from chatctl.text.output import short
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

UP, NONE = "up", "no link"  # what an end says that answered, and does not name the link
_TELLING = ("dialing", "pending", "down", NONE)  # of two ends that both say not up, the one that says more
_REMARKS = {"silent": "no answer", "private": "private", "unasked": "not asked"}
_PIECES = re.compile(r"(\d+)")


class Node:
    """One node. `label` is what it is called, unlike any other; by `order` node2 comes before node10."""

    __slots__ = ("answered", "hops", "id", "label", "links", "order", "plain", "status")

    def __init__(self, record: "Mapping[str, Any]") -> None:
        self.id = str(record.get("node"))
        self.label = inline(str(record.get("name")))
        self.status = str(record.get("status"))
        self.answered = self.status == "answered"
        self.hops: int | None = record.get("hops")
        self.plain = int(record.get("plain") or 0)
        self.links: list[Link] = []
        self.order = _order(self.label, self.id)

    def rename(self, label: str) -> None:
        """It is called so."""
        self.label, self.order = label, _order(label, self.id)

    @property
    def remark(self) -> str:
        """Why it does not say more; empty when it does."""
        if self.answered or (self.status == "unasked" and self.hops is None):
            return ""
        return f"({inline(_REMARKS.get(self.status, self.status))})"


class Link:
    """One link. What an end says of it is None where the end does not speak."""

    __slots__ = ("ends", "rtt_ms", "said")

    def __init__(self, one: Node, other: Node) -> None:
        self.ends = one, other
        self.said: dict[Node, str] = {end: NONE for end in self.ends if end.answered}
        self.rtt_ms: float | None = None

    def say(self, end: Node, state: str, rtt_ms: "float | None") -> None:
        """What one end says of it."""
        self.said[end] = state
        if rtt_ms is not None:
            self.rtt_ms = max(rtt_ms, self.rtt_ms or 0.0)  # the end that makes it slow knows before the other one

    def far(self, end: Node) -> Node:
        """The other end."""
        one, other = self.ends
        return other if end is one else one

    @property
    def up(self) -> bool:
        """Everybody who says anything says that it is up."""
        return all(state == UP for state in self.said.values())

    @property
    def perhaps_up(self) -> bool:
        """Somebody says so."""
        return UP in self.said.values()

    @property
    def state(self) -> str:
        """How it is where it is not up: what both say, or each of them."""
        if self.perhaps_up:
            return ", ".join(f"{end.label}: {inline(state)}" for end, state in self.said.items())
        return min((inline(state) for state in self.said.values()), key=_telling, default="")

    @property
    def shown(self) -> str:
        """Its round trip, or how it is."""
        return round_trip(self.rtt_ms) if self.up else self.state


class Network:
    """All nodes, this one first, and all links, each once."""

    def __init__(self, topology: "Mapping[str, Any]") -> None:
        records = topology.get("nodes") or []
        self.nodes = [Node(record) for record in records]
        self.links: list[Link] = []
        self.seconds = float(topology.get("elapsed_ms") or 0.0) / 1000
        self._known = {node.id: node for node in self.nodes}
        between: dict[frozenset[str], Link] = {}
        for record in records:
            for told in record.get("links") or []:
                self._add(self._known[str(record.get("node"))], told, between)
        _make_different(self.nodes)

    def _add(self, end: Node, told: "Mapping[str, Any]", between: "dict[frozenset[str], Link]") -> None:
        far = self._known.get(str(told.get("node")))
        if far is None or far is end:
            return
        pair = frozenset((end.id, far.id))
        link = between.get(pair)
        if link is None:
            link = between[pair] = Link(end, far)
            self.links.append(link)
            end.links.append(link)
            far.links.append(link)
        link.say(end, str(told.get("state")), told.get("rtt_ms"))


def round_trip(rtt_ms: "float | None") -> str:
    """`0.4 ms`, `23.4 ms`, `402 ms`."""
    return "? ms" if rtt_ms is None else f"{rtt_ms:.0f} ms" if rtt_ms >= 100 else f"{rtt_ms:.1f} ms"


def counted(count: int, what: str) -> str:
    """`1 link`, `2 links`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _order(label: str, node: str) -> "tuple[list[tuple[int, str]], str]":
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in _PIECES.split(label)], node


def _telling(state: str) -> int:
    return _TELLING.index(state) if state in _TELLING else -1


def _make_different(nodes: "Iterable[Node]") -> None:
    """Nodes of the same name are told apart by the beginnings of their ids, and where that does not do by the whole."""
    names = {node: node.label for node in nodes}
    for starts in (short, str):
        by_label: dict[str, list[Node]] = {}
        for node in names:
            by_label.setdefault(node.label, []).append(node)
        for same in by_label.values():
            if len(same) > 1:
                for node in same:
                    node.rename(f"{names[node]}~{starts(node.id)}")

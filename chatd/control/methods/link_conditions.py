"""Conditions of `wait topo`: links that are up or not, e.g. `alice-bob,!bob-carol`, and whether a topology meets them.

Pure: gets text, a topology and the look-up of peers; returns a verdict. A node is written as in every command: a name
as shown, a node id or a prefix of one, or `NAME~ID` with a prefix of the id. Names may contain dashes: all splits of
`node-1-node-2` are tried, unless it is written `node-1--node-2`.

No link has proven the id of a node that is known only through other nodes: a malicious node can announce an id with any
prefix. Only a whole id is certain there. A name or a prefix, however long, may also mean an invented node; then the
error is `ambiguous_peer`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.network import Topology, TopologyNode
from chatd.control.jsonrpc import RpcError
from chatd.formats import ID_CHARACTER, NODE_ID_LENGTH
from chatd.peers.names import STRANGER_PREFIX, is_node_id

TERMS_MOST: Final = 256
TERM_LONGEST: Final = 256  # characters: two names with ids, and the dash
CANDIDATES_MOST: Final = 8  # in an error message
NAMESAKE_MS: Final = 1000.0  # until then another node with the same name may still answer
HINT: Final = "links are like alice-bob,bob-carol: a ! before one means that it is not up"
_END_FORM: Final = re.compile(rf"[a-z0-9._-]{{1,63}}(~{ID_CHARACTER}{{1,{NODE_ID_LENGTH}}})?")
Lookup = Callable[[str], str | None]  # name -> node id of a peer, or None; raises ambiguous_peer


class Term(NamedTuple):
    """One link that has to be up, or down; `pairs` are the possible names of its two ends."""

    is_up: bool
    pairs: tuple[tuple[str, str], ...]


class _EndMatch(NamedTuple):
    """The node at one end of a link, or the error if it is ambiguous."""

    node: TopologyNode | None = None
    sure: bool = True  # no node that answers later can have the same name
    error: ControlError | None = None

    @property
    def exists(self) -> bool:
        return self.node is not None or self.error is not None


def parse(text: str) -> list[Term]:
    """The terms of a comma-separated list. Raises RpcError."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > TERMS_MOST:
        raise RpcError(INVALID_PARAMS, f"more than {TERMS_MOST} links", HINT)
    return [_term(part) for part in parts]


def _term(part: str) -> Term:
    link = part.removeprefix("!")
    splits = _splits(link) if len(part) <= TERM_LONGEST else ()
    pairs = tuple((left, right) for left, right in splits if _END_FORM.fullmatch(left) and _END_FORM.fullmatch(right))
    if not pairs:
        raise RpcError(INVALID_PARAMS, f"{part[:64]!r} is no link between two nodes", HINT)
    return Term(link == part, pairs)


def _splits(link: str) -> Iterator[tuple[str, str]]:
    dash = "--" if "--" in link else "-"
    at = link.find(dash)
    while at >= 0:
        yield link[:at], link[at + len(dash) :]
        at = link.find(dash, at + 1)


def fulfilled(terms: Sequence[Term], topology: Topology, lookup: Lookup, *, surely: bool) -> bool:
    """Whether all terms hold. `surely`: more answers may come, so one end that reports a link as up is not enough.

    Raises ControlError ambiguous_peer for a name that two nodes announce, or that is shown only with an id.
    """
    nodes = _Nodes(topology, lookup, surely=surely)
    return all(nodes.verdict(term) is term.is_up for term in terms)


class _Nodes:
    """The nodes of one topology by id and by name, and their links."""

    def __init__(self, topology: Topology, lookup: Lookup, *, surely: bool) -> None:
        self._lookup = lookup
        self._surely = surely
        self._may_have_namesakes = surely and topology.elapsed_ms < NAMESAKE_MS
        self._by_id = {node.node: node for node in topology.nodes}
        self._by_name: dict[str, list[TopologyNode]] = {}  # names without the ids that follow some of them
        for node in topology.nodes:
            self._by_name.setdefault(node.name.partition("~")[0], []).append(node)
        self._up = {(node.node, link.node): link.state == "up" for node in topology.nodes for link in node.links}

    def verdict(self, term: Term) -> bool | None:
        """Whether the link is up; None: neither end has reported it."""
        states: set[bool | None] = set()
        for first, second in term.pairs:
            left, right = self._find(first), self._find(second)
            error = left.error or right.error
            if error is not None and (len(term.pairs) == 1 or (left.exists and right.exists)):
                raise error
            if (left.sure and right.sure) or not self._may_have_namesakes:
                states.add(self._link_state(left.node, right.node))
        return True if True in states else False if False in states else None

    def _link_state(self, left: TopologyNode | None, right: TopologyNode | None) -> bool | None:
        if left is not None and right is not None:
            return None if left is right else self._is_up(left, right)
        end = left or right  # the other name is unknown
        return False if end is not None and end.status == "answered" else None

    def _is_up(self, left: TopologyNode, right: TopologyNode) -> bool | None:
        """Whether the link is up, as reported by those of its ends that answered."""
        ends = ((left, right), (right, left))
        reports = {self._up.get((end.node, other.node), False) for end, other in ends if end.status == "answered"}
        if False in reports:
            return False
        waits = self._surely and "silent" in (left.status, right.status)
        return None if waits or not reports else True

    def _find(self, end: str) -> _EndMatch:
        """The node with that name or id: one of our peers, else one that is known through other nodes."""
        if end.isdigit():
            return _EndMatch()  # not a slot
        try:
            known = self._lookup(end)
        except ControlError as error:
            return _EndMatch(error=error)
        if known is not None or is_node_id(end):
            return self._peer(end, known or end)
        return self._distant_node(end)

    def _peer(self, end: str, id_: str) -> _EndMatch:
        """The peer with that id. Ambiguous if only its id begins with `end`, which other nodes announce as a name."""
        node = self._by_id.get(id_)
        others = [other for other in self._by_name.get(end, []) if other is not node]
        if node is None or node.name == end or not node.node.startswith(end) or not others:
            return _EndMatch(node)
        return _EndMatch(error=_ambiguous(end, [node, *others]))

    def _distant_node(self, end: str) -> _EndMatch:
        """The node, not one of our peers, that is shown as `end` or has an id with this prefix.

        Other nodes may have invented ids, and names that displace another one. So every node that could be meant
        counts, and a node that is shown with its id is not meant by its bare name.
        """
        name, tilde, start = end.partition("~")
        by_name = {node.node: node for node in self._by_name.get(name, []) if node.node.startswith(start)}
        is_long = len(end) >= STRANGER_PREFIX
        by_prefix = {id_: node for id_, node in self._by_id.items() if id_.startswith(end)} if is_long else {}
        candidates = by_name | by_prefix
        meant = [node for node in candidates.values() if tilde or node.name == end or node.node in by_prefix]
        if len(candidates) > 1 or len(meant) < len(candidates):
            return _EndMatch(error=_ambiguous(end, list(candidates.values())))
        return _EndMatch(meant[0] if meant else None, sure=False)


def _ambiguous(end: str, candidates: Sequence[TopologyNode]) -> ControlError:
    shown = [f"{node.name.partition('~')[0]}~{node.node[:STRANGER_PREFIX]}" for node in candidates[:CANDIDATES_MOST]]
    hint = "say which, with the first characters of its id"
    return ControlError(
        "ambiguous_peer", f"{end!r} may be {', '.join(shown)}", hint, candidates=[node.node for node in candidates]
    )

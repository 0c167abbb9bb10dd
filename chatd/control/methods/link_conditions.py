"""What `wait topo` waits for: links between two nodes, `alice-bob,!bob-carol`, and whether the condition holds.

Pure: text, a topology and the look-up of peers in, a verdict out. A node is given as everywhere else: a name as it is
shown, a whole node id or the beginning of one, or `NAME~ID` with the beginning of its id. Names may have dashes: every
way to split `node-1-node-2` is tried, unless it says which, `node-1--node-2`.

Ids of nodes that are known only through others are hearsay: no link has proven them, and a liar can invent one that
begins with any characters. Only a whole id is certain there. The beginning of one, however long, and a name may also
mean an invented node: the error is `ambiguous_peer` then.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.results import Topology, TopologyNode
from chatd.control.jsonrpc import RpcError
from chatd.peers.names import STRANGER_PREFIX, is_node_id

TERMS_MOST: Final = 256
TERM_LONGEST: Final = 256  # two names with ids, and what stands between them
CANDIDATES_MOST: Final = 8  # in a message
NAMESAKE_MS: Final = 1000.0  # so long another node may still answer that has the same name
HINT: Final = "links are like alice-bob,bob-carol: a ! before one means that it is not up"
_END: Final = re.compile(r"[a-z0-9._-]{1,63}(~[a-z2-7]{1,52})?")
Lookup = Callable[[str], str | None]  # the node id of a peer, None where no peer is called that; raises ambiguous_peer


class Term(NamedTuple):
    """One link that is to be up, or not; and between which names that may be."""

    wanted: bool
    pairs: tuple[tuple[str, str], ...]


class _Found(NamedTuple):
    """The node that an end of a link is, or why it cannot be told."""

    node: TopologyNode | None = None
    sure: bool = True  # no node that answers later can be meant too
    error: ControlError | None = None

    @property
    def exists(self) -> bool:
        return self.node is not None or self.error is not None


def parse(text: str) -> list[Term]:
    """The terms of a list. Raises RpcError."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > TERMS_MOST:
        raise RpcError(INVALID_PARAMS, f"more than {TERMS_MOST} links", HINT)
    return [_term(part) for part in parts]


def _term(part: str) -> Term:
    link = part.removeprefix("!")
    splits = _splits(link) if len(part) <= TERM_LONGEST else ()
    pairs = tuple((left, right) for left, right in splits if _END.fullmatch(left) and _END.fullmatch(right))
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
    """Whether the condition holds. `surely`: more may come, so one end that says that a link is up is not enough.

    Raises ControlError ambiguous_peer for a name that two nodes announce, or that is shown with an id only.
    """
    nodes = _Nodes(topology, lookup, surely=surely)
    return all(nodes.verdict(term) is term.wanted for term in terms)


class _Nodes:
    """The nodes of one topology, by what they are called, and their links."""

    def __init__(self, topology: Topology, lookup: Lookup, *, surely: bool) -> None:
        self._lookup = lookup
        self._surely = surely
        self._hurry = surely and topology.elapsed_ms < NAMESAKE_MS
        self._by_id = {node.node: node for node in topology.nodes}
        self._by_name: dict[str, list[TopologyNode]] = {}  # without the ids that some are shown with
        for node in topology.nodes:
            self._by_name.setdefault(node.name.partition("~")[0], []).append(node)
        self._up = {(node.node, link.node): link.state == "up" for node in topology.nodes for link in node.links}

    def verdict(self, term: Term) -> bool | None:
        """Whether that link is up; None: neither end has said anything."""
        said: set[bool | None] = set()
        for first, second in term.pairs:
            left, right = self._called(first), self._called(second)
            error = left.error or right.error
            if error is not None and (len(term.pairs) == 1 or (left.exists and right.exists)):
                raise error
            if (left.sure and right.sure) or not self._hurry:
                said.add(self._between(left.node, right.node))
        return True if True in said else False if False in said else None

    def _between(self, left: TopologyNode | None, right: TopologyNode | None) -> bool | None:
        if left is not None and right is not None:
            return None if left is right else self._is_up(left, right)
        end = left or right  # it knows no node that is called like the other
        return False if end is not None and end.status == "answered" else None

    def _is_up(self, left: TopologyNode, right: TopologyNode) -> bool | None:
        """As those of the two say that answered."""
        ends = ((left, right), (right, left))
        said = {self._up.get((one.node, other.node), False) for one, other in ends if one.status == "answered"}
        if False in said:
            return False
        waits = self._surely and "silent" in (left.status, right.status)
        return None if waits or not said else True

    def _called(self, end: str) -> _Found:
        """The node that is called so: one of our peers, else one that is known through others."""
        if end.isdigit():
            return _Found()  # not a slot
        try:
            known = self._lookup(end)
        except ControlError as error:
            return _Found(error=error)
        if known is not None or is_node_id(end):
            return self._peer(end, known or end)
        return self._further(end)

    def _peer(self, end: str, id_: str) -> _Found:
        """The peer with that id, unless only its id begins with `end`, and other nodes announce that as their name."""
        node = self._by_id.get(id_)
        others = [other for other in self._by_name.get(end, []) if other is not node]
        if node is None or node.name == end or not node.node.startswith(end) or not others:
            return _Found(node)
        return _Found(error=_ambiguous(end, [node, *others]))

    def _further(self, end: str) -> _Found:
        """The node, not a peer of ours, that is shown as `end`, or has an id that begins so.

        Other nodes have invented what they like here: ids, and names that displace another. So every node counts that
        could be meant, and one that is shown with its id is not meant by its bare name.
        """
        name, tilde, start = end.partition("~")
        named = {node.node: node for node in self._by_name.get(name, []) if node.node.startswith(start)}
        is_long = len(end) >= STRANGER_PREFIX
        begun = {id_: node for id_, node in self._by_id.items() if id_.startswith(end)} if is_long else {}
        found = named | begun
        meant = [node for node in found.values() if tilde or node.name == end or node.node in begun]
        if len(found) > 1 or len(meant) < len(found):
            return _Found(error=_ambiguous(end, list(found.values())))
        return _Found(meant[0] if meant else None, sure=False)


def _ambiguous(end: str, found: Sequence[TopologyNode]) -> ControlError:
    shown = [f"{node.name.partition('~')[0]}~{node.node[:STRANGER_PREFIX]}" for node in found[:CANDIDATES_MOST]]
    hint = "say which, with the first characters of its id"
    return ControlError(
        "ambiguous_peer", f"{end!r} may be {', '.join(shown)}", hint, candidates=[node.node for node in found]
    )

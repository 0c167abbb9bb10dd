"""What `wait topo` waits for: links between nodes that are named, `alice-bob,!bob-carol`, and whether they are so.

Pure: text and a topology in, a verdict out. Nodes are named as they call themselves, or `NAME~ID` with the beginning of
a node id. Names may have dashes: every way to split `node-1-node-2` is tried, unless it says which, `node-1--node-2`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from chatd.api.errors import INVALID_PARAMS
from chatd.api.records import Topology, TopologyNode
from chatd.control.jsonrpc import Fault

TERMS_MOST: Final = 256
TERM_LONGEST: Final = 256  # two names with ids, and what stands between them
HINT: Final = "links are like alice-bob,bob-carol: a ! before one means that it is not up"
_END: Final = re.compile(r"[a-z0-9._-]{1,63}(~[a-z2-7]{1,52})?")


class Term(NamedTuple):
    """One link that is to be up, or not; and between which names that may be."""

    wanted: bool
    pairs: tuple[tuple[str, str], ...]


def parse(text: str) -> list[Term]:
    """The terms of a list. Raises Fault."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > TERMS_MOST:
        raise Fault(INVALID_PARAMS, f"more than {TERMS_MOST} links", HINT)
    return [_term(part) for part in parts]


def _term(part: str) -> Term:
    link = part.removeprefix("!")
    splits = _splits(link) if len(part) <= TERM_LONGEST else ()
    pairs = tuple((left, right) for left, right in splits if _END.fullmatch(left) and _END.fullmatch(right))
    if not pairs:
        raise Fault(INVALID_PARAMS, f"{part[:64]!r} is no link between two nodes", HINT)
    return Term(link == part, pairs)


def _splits(link: str) -> Iterator[tuple[str, str]]:
    dash = "--" if "--" in link else "-"
    at = link.find(dash)
    while at >= 0:
        yield link[:at], link[at + len(dash) :]
        at = link.find(dash, at + 1)


def fulfilled(terms: Sequence[Term], topology: Topology, *, surely: bool) -> bool:
    """Whether all of them are so. `surely`: more may come, so one end that says that a link is up is not enough."""
    named: dict[str, list[TopologyNode]] = {}
    for node in topology.nodes:
        named.setdefault(node.name, []).append(node)
    up = {(node.node, link.node): link.state == "up" for node in topology.nodes for link in node.links}
    return all(_verdict(term, named, up, surely=surely) is term.wanted for term in terms)


def _verdict(
    term: Term, named: dict[str, list[TopologyNode]], up: dict[tuple[str, str], bool], *, surely: bool
) -> bool | None:
    """Whether that link is up; None: neither end has said anything."""
    found: set[bool | None] = set()
    for first, second in term.pairs:
        lefts, rights = _called(first, named), _called(second, named)
        found |= {_is_up(left, right, up, surely=surely) for left in lefts for right in rights if left is not right}
        if not lefts or not rights:  # one end knows nobody that is called like the other
            found |= {False for end in lefts + rights if end.status == "answered"}
    return True if True in found else False if False in found else None


def _called(end: str, named: dict[str, list[TopologyNode]]) -> list[TopologyNode]:
    name, _, start = end.partition("~")
    return [node for node in named.get(name, ()) if node.node.startswith(start)]


def _is_up(left: TopologyNode, right: TopologyNode, up: dict[tuple[str, str], bool], *, surely: bool) -> bool | None:
    """As those of the two say that answered."""
    ends = ((left, right), (right, left))
    said = {up.get((one.node, other.node), False) for one, other in ends if one.status == "answered"}
    if False in said:
        return False
    waits = surely and "silent" in (left.status, right.status)
    return None if waits or not said else True

"""Rules for names: which announced names are shown unchanged, and how many characters of a node id identify a node.

A name is a claim of the node that announces it. A name that reads as a slot, an address or the id of another node is
shown as `NAME~ID`, with the first characters of the announcing node's id. Pure: `peers/naming.py` knows which names are
in use.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from chatd.config.values import is_ip
from chatd.formats import ID_CHARACTER, NODE_ID, NODE_ID_LENGTH

SHORT_ID: Final = 8  # characters of a node id that are shown, e.g. `bob~k3v9abcd`
UNMET_ID: Final = 12  # characters in the name of a peer of which only the id is known: enough to look it up
SHORTEST_PREFIX: Final = 4  # finds known peers
# A key with 12 chosen characters in its id cannot be made (60 bits). This protects ids that a link has proven. An id
# that another node only mentions can be invented.
STRANGER_PREFIX: Final = 12  # finds every peer
_ID_START: Final = re.compile(rf"{ID_CHARACTER}{{{SHORTEST_PREFIX},{NODE_ID_LENGTH}}}")


def is_node_id(text: str) -> bool:
    return len(text) == NODE_ID_LENGTH and NODE_ID.fullmatch(text) is not None


def reads_as_other(name: str) -> bool:
    """Whether a name reads as something else: digits only, an IP address, HOST:PORT or a node id."""
    return name.isdigit() or ":" in name or is_ip(name) or is_node_id(name)


def starting(ids: Sequence[str], start: str) -> Iterator[str]:
    """Ids that start with `start`; `ids` are sorted."""
    for at in range(bisect_left(ids, start), len(ids)):
        if not ids[at].startswith(start):
            return
        yield ids[at]


def begins_an_id(name: str, ids: Sequence[str]) -> bool:
    """Whether the name could mean the prefix of one of these ids, which are sorted."""
    return _ID_START.fullmatch(name) is not None and next(starting(ids, name), None) is not None


def with_id(name: str, node: str, is_taken: Callable[[str], bool]) -> str:
    """Name with the first characters of the id, e.g. `bob~k3v9abcd`; with more of them if that name is taken."""
    return _first_free(f"{name}~", node, SHORT_ID, is_taken)


def unmet(node: str, is_taken: Callable[[str], bool]) -> str:
    """Name of a node that has announced none: the first characters of its id."""
    return _first_free("", node, UNMET_ID, is_taken)


def _first_free(before: str, node: str, shortest: int, is_taken: Callable[[str], bool]) -> str:
    candidates = (before + node[:length] for length in range(shortest, len(node)))
    return next((name for name in candidates if not is_taken(name)), before + node)

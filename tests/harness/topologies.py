"""Topologies for the tests of `topo`, as records of the control socket."""

from base64 import b32encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import combinations, pairwise
from typing import Any

FIVE = ["alice", "bob", "carol", "dave", "eve"]
TEN = [*FIVE, "frank", "grace", "heidi", "ivan", "judy"]
RING = [*pairwise(FIVE), ("eve", "alice")]
MESH = list(combinations(TEN, 2))


def node_id(name: str) -> str:
    return b32encode(sha256(name.encode()).digest()).decode().lower().rstrip("=")


def topology(
    names: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    *,
    status: Mapping[str, str] | None = None,
    states: Mapping[tuple[str, str], str] | None = None,
    plain: Mapping[str, int] | None = None,
    rtt_ms: float | None = 0.4,
) -> dict[str, Any]:
    """A network of these links, seen from the first node.

    An end reports "up" unless `states` has another state for (end, other). In a name, `#` and the text after it are not
    shown: so two nodes can have the same name.
    """
    status, states, plain = status or {}, states or {}, plain or {}
    names, near = list(names), dict[str, list[str]]()
    for left, right in pairs:
        near.setdefault(left, []).append(right)
        near.setdefault(right, []).append(left)

    def link(here: str, there: str) -> dict[str, Any]:
        state = states.get((here, there), "up")
        known = {"node": node_id(there), "name": there.partition("#")[0]}
        return {**known, "state": state, "rtt_ms": rtt_ms if state == "up" else None}

    hops, reached = {names[0]: 0}, [names[0]]
    for one in reached:
        for far in near.get(one, []):
            if far not in hops and "up" in (states.get((one, far), "up"), states.get((far, one), "up")):
                hops[far] = hops[one] + 1
                reached.append(far)
    nodes = []
    for name in names:
        kind = status.get(name, "answered")
        reported = [link(name, far) for far in near.get(name, []) if states.get((name, far)) != "no link"]
        nodes.append(
            {
                "node": node_id(name),
                "name": name.partition("#")[0],
                "status": kind,
                "hops": hops.get(name),
                "plain": plain.get(name, 0) if kind == "answered" else None,
                "links": reported if kind == "answered" else [],
            }
        )
    return {"nodes": nodes, "complete": "silent" not in status.values(), "elapsed_ms": 31.2}

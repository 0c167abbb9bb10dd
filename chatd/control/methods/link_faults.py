"""`link`: list, set and end link faults. Checks the request; net/faults/faults.py applies it."""

from chatd.api.errors import INVALID_PARAMS
from chatd.api.network import LinkList
from chatd.api.params import Link
from chatd.config.link_faults import FAULTS, Changes
from chatd.control.jsonrpc import RpcError
from chatd.control.session import Session
from chatd.node import Node
from chatd.peers.peer import Peer

DIRECTIONS = ("out", "in", "both")
LONGEST_S = 366 * 86400.0
NO_CHANGE = f"name a fault, out of {', '.join(FAULTS)}, or heal"


def link(node: Node, _session: Session, params: Link) -> LinkList:
    """Apply all changes in one step; the result contains the links as they are then."""
    changes = _changes(params)
    _check(params, changing=bool(changes) or params.heal)
    named = None if params.peer is None else [node.registry.find(params.peer)]
    if changes or params.heal:
        node.faults.change(named, params.direction, changes, heal=params.heal, lasting=params.for_)
    if params.reset:  # new connections get the new faults
        node.faults.reset(named)
    return LinkList(node.faults.allowed, node.faults.default, node.faults.records(named or _listed_peers(node)))


def _listed_peers(node: Node) -> list[Peer]:
    peers = (peer for peer in node.registry if peer.is_up or peer.faults is not None)
    return sorted(peers, key=lambda peer: peer.slot)


def _changes(params: Link) -> Changes:
    """The faults to change. Raises RpcError for an amount out of bounds."""
    changes: Changes = {name: amount for name in FAULTS if (amount := getattr(params, name)) is not None}
    for name, amount in changes.items():
        if not FAULTS[name].allows(amount):
            shown = f"{amount:g}" if isinstance(amount, float) else str(amount)[:64]  # an int may have 4,000 digits
            raise RpcError(INVALID_PARAMS, f"{name} is out of bounds: {shown}", f"expected {FAULTS[name].allowed}")
    return changes


def _check(params: Link, *, changing: bool) -> None:
    """Raise RpcError for parameters that exclude each other or change nothing."""
    if params.direction not in DIRECTIONS:
        raise RpcError(INVALID_PARAMS, f"{params.direction!r} is no direction", "it is out, in or both")
    if params.peer is not None and params.all:
        raise RpcError(INVALID_PARAMS, "a peer and all exclude each other", "name one of them")
    if params.for_ is not None and not 0 < params.for_ <= LONGEST_S:
        raise RpcError(
            INVALID_PARAMS, f"for is out of bounds: {params.for_:g}", "it is more than nothing, and a year at most"
        )
    if not changing and (params.for_ is not None or params.direction != "both"):
        raise RpcError(INVALID_PARAMS, "direction and for belong to a change, and there is none", NO_CHANGE)
    if params.all and not (changing or params.reset):
        raise RpcError(INVALID_PARAMS, "there is nothing to change", NO_CHANGE)
    if (changing or params.reset) and params.peer is None and not params.all:
        raise RpcError(INVALID_PARAMS, "nobody is named whose links are to change", "name a peer, or all")

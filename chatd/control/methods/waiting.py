"""`wait`: until the node, a peer or a number of peers is there."""

from collections.abc import Callable

import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.records import Waited
from chatd.api.requests import PeerSpec, Wait
from chatd.control.jsonrpc import Fault
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.core.peer import Peer
from chatd.node import Node

FOR = 'for is "ready", "peer" (with peer) or "peers" (with count)'


async def wait(node: Node, _session: Session, params: Wait) -> Waited:
    """The peers that fulfil it, as soon as they do; without a timeout for ever."""
    check_timeout(params.timeout)
    found = _condition(node, params)
    with trio.move_on_after(float("inf") if params.timeout is None else params.timeout):
        while (peers := found()) is None:
            await node.registry.changed.wait()
        return Waited([peer.record() for peer in peers])
    raise ControlError("timeout", f"not within {params.timeout:g} s", "`chatctl list` shows what is there")


def _condition(node: Node, params: Wait) -> Callable[[], list[Peer] | None]:
    if params.for_ == "ready":
        return list
    if params.for_ == "peer" and params.peer is not None:
        spec = params.peer
        return lambda: _up(node, spec)
    if params.for_ == "peers" and params.count is not None:
        count = params.count
        return lambda: up if len(up := node.registry.up()) >= count else None
    raise Fault(INVALID_PARAMS, f"wait: {params.for_[:64]!r} is nothing to wait for, or misses its parameter", FOR)


def _up(node: Node, spec: PeerSpec) -> list[Peer] | None:
    """The peer, once it is up. One that nobody knows may still come."""
    try:
        peer = node.registry.find(spec)
    except ControlError as error:
        if error.kind != "unknown_peer":
            raise
        return None
    return [peer] if peer.is_up else None

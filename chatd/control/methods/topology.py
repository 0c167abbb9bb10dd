"""`topo`: the nodes of the network and their links, as the nodes report them; and `wait topo` for links."""

import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.network import Topology
from chatd.api.params import Topo
from chatd.control.jsonrpc import RpcError
from chatd.control.methods import link_conditions
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.node import Node
from chatd.wire.query_frames import HOPS_MOST, WITHIN_MOST_MS

ASKING_S = 5.0  # for one exploration in `wait topo`
PAUSE_S, LONGEST_PAUSE_S, SHORTEST_PAUSE_S = 0.5, 2.0, 0.1  # between two explorations


async def topo(node: Node, _session: Session, params: Topo) -> Topology:
    check_timeout(params.timeout)
    if not 0 <= params.hops <= HOPS_MOST:
        raise RpcError(INVALID_PARAMS, f"hops is not within 0 to {HOPS_MOST}")
    return await node.explorer.explore(params.hops, min(params.timeout, WITHIN_MOST_MS / 1000))


async def wait_for_links(node: Node, links: str, timeout: float | None) -> None:
    """Wait until all links are up, or with a `!` down. Raises RpcError, ControlError ambiguous_peer, timeout."""
    terms, lookup = link_conditions.parse(links), node.registry.naming.resolve
    pause = PAUSE_S
    with trio.move_on_after(float("inf") if timeout is None else timeout):
        while True:
            topology = await node.explorer.explore(
                HOPS_MOST, ASKING_S, lambda partial: link_conditions.fulfilled(terms, partial, lookup, surely=True)
            )
            if link_conditions.fulfilled(terms, topology, lookup, surely=False):
                return
            await trio.sleep(SHORTEST_PAUSE_S)  # links often change several at a time
            with trio.move_on_after(pause - SHORTEST_PAUSE_S):
                await node.registry.changed.wait()
            pause = min(2 * pause, LONGEST_PAUSE_S)
    raise ControlError("timeout", f"not so within {timeout:g} s", "`chatctl topo` shows what there is")

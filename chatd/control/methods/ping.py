"""`ping`: the round trip to the daemon of a native peer. The daemon answers, not its kernel."""

import trio

from chatd.api.errors import ControlError
from chatd.api.network import Pinged
from chatd.api.params import Ping
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.net.native.link import NativeLink
from chatd.net.pings import PendingPing
from chatd.node import Node
from chatd.peers.peer import Peer

ANSWER_S = 5.0  # the default timeout


async def ping(node: Node, _session: Session, params: Ping) -> Pinged:
    """Measure one round trip. If the link ends and no other one exists, that is an error at once."""
    check_timeout(params.timeout)
    peer = node.registry.find(params.peer)
    if peer.kind == "plain":
        hint = "only another chatd does"
        raise ControlError("conflict", f"{peer.name} is a plain peer: it answers no ping", hint, reason="plain")
    timeout = ANSWER_S if params.timeout is None else params.timeout
    with trio.move_on_after(timeout):
        return _pinged(peer, await _answered(peer))
    hint = "`chatctl list` shows whether it is still up"
    raise ControlError("timeout", f"{peer.name} has not answered within {timeout:g} s", hint)


async def _answered(peer: Peer) -> PendingPing:
    """Ping over the newest link, and again over the next one if it ends. Raises ControlError peer_offline."""
    while True:
        link = peer.link
        if not isinstance(link, NativeLink):
            hint = "`chatctl connect` to it"
            raise ControlError("peer_offline", f"{peer.name} is not connected ({peer.reason or peer.state})", hint)
        pending = link.ping()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_down, peer, link, nursery.cancel_scope)
            await pending.answered.wait()
            nursery.cancel_scope.cancel()
        if pending.answered.is_set():
            return pending


async def _cancel_when_down(peer: Peer, link: NativeLink, scope: trio.CancelScope) -> None:
    """Cancel the scope once the link has ended."""
    while link in peer.links:
        await peer.changed.wait()
    scope.cancel()


def _pinged(peer: Peer, pending: PendingPing) -> Pinged:
    clock_ms = None if pending.clock_s is None else round(pending.clock_s * 1000, 3)
    return Pinged(peer.ref, round(pending.rtt_s * 1000, 3), clock_ms)

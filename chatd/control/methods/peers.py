"""`connect`, `terminate`, `list` and the `peer` verbs."""

from chatd.api.errors import INVALID_PARAMS
from chatd.api.params import ByPeer, Connect, List, Rename
from chatd.api.results import PeerList, PeerResult, Terminated
from chatd.control.jsonrpc import RpcError
from chatd.control.session import Session
from chatd.node import Node
from chatd.rooms.nicks import MOST as MOST_NICK
from chatd.wire.dialects import ADDRESS, NAME


async def connect(node: Node, _session: Session, params: Connect) -> PeerResult:
    """Connect; returns when the link is up, or raises when every address has failed."""
    if not params.host:
        raise RpcError(INVALID_PARAMS, "host is empty")
    if not 0 < params.port < 65536:
        raise RpcError(INVALID_PARAMS, "port is not within 1 to 65535")
    check_timeout(params.timeout)
    _check_dialect(params.dialect, params.nick)
    peer = await node.dialer.connect(
        params.host,
        params.port,
        plain=params.plain,
        keep=params.keep,
        timeout=params.timeout,
        dialect=params.dialect,
        nick=params.nick,
    )
    return PeerResult(peer.record())


async def terminate(node: Node, _session: Session, params: ByPeer) -> Terminated:
    """Disconnect after delivering the messages that were accepted before, or after a deadline."""
    peer = node.registry.find(params.peer)
    queued = await node.dialer.terminate(peer)
    return Terminated(peer.record(), queued)


def list_peers(node: Node, _session: Session, params: List) -> PeerList:
    """Peers in slot order; with `all`, also plain peers that are gone."""
    return PeerList(node.registry.records(gone=params.all))


async def accept(node: Node, _session: Session, params: ByPeer) -> PeerResult:
    return PeerResult((await node.trust.accept(params.peer)).record())


async def deny(node: Node, _session: Session, params: ByPeer) -> PeerResult:
    return PeerResult((await node.trust.deny(params.peer)).record())


async def forget(node: Node, _session: Session, params: ByPeer) -> PeerResult:
    """Remove the peer's name, slot and persistence, and leave its rooms."""
    node.joined_rooms.forget_host(node.registry.find(params.peer))
    return PeerResult((await node.trust.forget(params.peer)).record())


async def rename(node: Node, _session: Session, params: Rename) -> PeerResult:
    return PeerResult((await node.trust.rename(params.peer, params.name)).record())


def _check_dialect(dialect: str | None, nick: str | None) -> None:
    """Raise RpcError for an unknown dialect, and for a nick that the room server does not use or cannot be sent."""
    if dialect not in (None, ADDRESS, NAME):
        raise RpcError(INVALID_PARAMS, f"{dialect!r} is no dialect", f"it is {ADDRESS} or {NAME}")
    if nick is None:
        return
    if dialect is None:
        raise RpcError(INVALID_PARAMS, "a nick is for a room server", f"give its dialect too: {NAME}")
    if dialect == ADDRESS:
        raise RpcError(INVALID_PARAMS, f"dialect {ADDRESS} has no nicks", "leave it out: addresses are shown there")
    if not 0 < len(nick) <= MOST_NICK or " " in nick or not nick.isprintable():
        hint = f"it has 1 to {MOST_NICK} characters, without blanks and control characters"
        raise RpcError(INVALID_PARAMS, "the nick cannot be told to a room server", hint)


def check_timeout(timeout: float | None) -> None:
    """Raise RpcError for a negative timeout."""
    if timeout is not None and timeout < 0:
        raise RpcError(INVALID_PARAMS, "timeout is negative")

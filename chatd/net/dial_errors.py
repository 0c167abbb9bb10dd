"""Errors of a `connect` that made no new link, each with a hint.

Only builds them; `net/dialer.py` decides which one applies and raises it.
"""

from chatd.api.errors import ControlError
from chatd.formats import DECIDING_PREFIX
from chatd.net.native.handshake import HandshakeRefused
from chatd.peers.peer import Peer


def already_connected(peer: Peer) -> ControlError:
    message = f"{peer.shown} is connected already, slot {peer.slot}"
    hint = "send to it, or terminate it first"
    return ControlError("conflict", message, hint, reason="already_connected", slot=peer.slot)


def connect_failed(address: str, attempts: list[tuple[str, str]], *, keep: bool) -> ControlError:
    """The error if no address answered; `attempts` are (address, reason)."""
    tried = "; ".join(reason if endpoint == address else f"{endpoint}: {reason}" for endpoint, reason in attempts)
    hint = "it is redialed from now on" if keep else "look whether it runs and can be reached, or add --keep"
    shown = [{"address": endpoint, "reason": reason} for endpoint, reason in attempts]
    return ControlError("connect_failed", f"cannot connect to {address}: {tried}", hint, attempts=shown)


def refusal(address: str, refused: HandshakeRefused, own_id: str) -> ControlError:
    """The error for a handshake that either side refused. `own_id` is the id of this node."""
    if refused.reason == "self":
        return ControlError("conflict", f"{address} is this node itself", "connect to another one", reason="self")
    if refused.reason == "duplicate" and refused.peer is not None:
        return already_connected(refused.peer)
    if refused.reason == "pending":
        hint = f"say {_accept_command(refused, own_id)}; it is redialed meanwhile"
        return ControlError("forbidden", str(refused), hint)
    if refused.reason == "denied":
        return ControlError("forbidden", f"{address}: {refused}", f"{_accept_command(refused, own_id)} changes that")
    error = connect_failed(address, [(address, str(refused))], keep=False)
    if not refused.theirs:
        error.hint = "it may be no chatd: `connect --plain` is for nc and the like, `--dialect` for room servers"
    return error


def _accept_command(refused: HandshakeRefused, own_id: str) -> str:
    """The command that accepts the peer, and on which of the two nodes to give it."""
    if refused.theirs:
        return f"`chatctl peer accept {own_id[:DECIDING_PREFIX]}` there"
    peer = refused.node if refused.peer is None else refused.peer.slot
    return f"`chatctl peer accept {peer}` here"

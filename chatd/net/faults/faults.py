"""Faults of the links of one node: delay, jitter, loss, rate, cut and flap, set on purpose.

Owns the faults of each peer, from the setting `link_faults` and from the verb `link`, and the default for new peers.
They end with the run. `Peer.faults` are the current ones. Knows no control socket. The listener and the dialer wrap
their connections here, and the handshake assigns them to peers; `control/methods/link_conditions.py` changes faults.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.network import LinkRecord
from chatd.api.results import Impairment, LinkFaults
from chatd.config.link_faults import parse_link_faults
from chatd.config.settings import Config
from chatd.net.faults.connection import FaultySocket, FaultyStream, Start
from chatd.net.faults.shaper import NOTHING, Meter
from chatd.peers.names import is_node_id
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.runtime import Runtime, stamp

LINGERING: Final = 256  # connections closed by their owner and still open underneath; over it the oldest is closed
CLOSES: Final = 1024  # closed connections between two calls of `_prune`
OTHER_PEERS: Final = "*"  # in the setting: peers without faults of their own
HEALTHY: Final = LinkFaults()
Meters = tuple[Meter, Meter]
Change = Callable[[LinkFaults], LinkFaults]
log = logging.getLogger("chatd.faults")


class _TimedFaults(NamedTuple):
    """Faults with an end, the faults restored then, and the timer. While it holds `faults`, their id() is unique."""

    faults: LinkFaults
    restored: LinkFaults
    timer: trio.CancelScope


class Faults:
    """The faults of the links of one node.

    Resource handling: timers and delayed closes run where `start` puts them. Error handling: `change` and `reset`
    raise ControlError forbidden where faults are not allowed.
    """

    def __init__(self, config: Config, runtime: Runtime, registry: Registry, start: Start) -> None:
        """`start` runs a task beside the links."""
        self.allowed = config.allow_faults
        self._runtime = runtime
        self._registry = registry
        self._configured = {
            spec.peer: _faults_of(spec.out, spec.in_) for spec in map(parse_link_faults, config.link_faults)
        }
        self.default: LinkFaults | None = self._configured.pop(OTHER_PEERS, None)
        self._own: dict[int, LinkFaults] = {}  # by stream id: set by `link`
        self._timed: dict[int, _TimedFaults] = {}  # by id() of the faults; equal ones of two peers have an entry each
        self._meters: dict[int, Meters] = {}
        self._open: dict[FaultySocket, Peer | None] = {}
        self._closes = 0
        self._start = start

    # -- the verbs

    def change(
        self,
        peers: Sequence[Peer] | None,
        direction: str,
        changes: Mapping[str, float | bool],
        *,
        heal: bool,
        lasting: float | None,
    ) -> None:
        """Change the faults of these peers; None: of all peers and of new ones.

        `direction` is "out", "in" or "both", `changes` are fields of Impairment. Other fields stay, unless `heal`
        clears the direction first. After `lasting` seconds the former faults are restored, with all permanent changes
        made meanwhile. Raises ControlError forbidden.
        """
        self._refuse_if_forbidden()
        self._prune()

        def change(faults: LinkFaults) -> LinkFaults:
            return _with_changes(faults, direction, changes, heal=heal)

        until = None if lasting is None else (trio.current_time() + lasting, stamp(self._runtime.wall() + lasting))
        if peers is None:
            self.default = _or_none(self._faults_after(self.default or HEALTHY, change, until))
        for peer in self._registry if peers is None else peers:
            self._set(peer, self._faults_after(peer.faults or HEALTHY, change, until))
        self._cancel_unused_timers()

    def _faults_after(self, before: LinkFaults, change: Change, until: tuple[float, str] | None) -> LinkFaults:
        """The faults after a change. A permanent change also applies to the faults that a timer restores."""
        after, timed = change(before), self._timed.get(id(before))
        base = before if timed is None else timed.restored
        if until is not None:
            return self._timed_faults(after, base, *until)
        if timed is None or after == (base := change(base)):
            return after
        return self._timed_faults(after, base, timed.timer.deadline, str(before.until))

    def _timed_faults(self, after: LinkFaults, restored: LinkFaults, deadline: float, until: str) -> LinkFaults:
        """Give the faults an end (trio's clock, and as text), and start the task that waits for it."""
        faults, scope = LinkFaults(after.out, after.in_, until), trio.CancelScope(deadline=deadline)
        self._timed[id(faults)] = _TimedFaults(faults, restored, scope)

        async def wait_for_end() -> None:
            with scope:
                await trio.sleep_forever()
            self._restore(faults)

        self._start(wait_for_end)
        return faults

    def _restore(self, faults: LinkFaults) -> None:
        """Restore the former faults of all peers that still have the timed ones."""
        timed = self._timed.pop(id(faults), None)
        if timed is None:
            return
        if self.default is faults:
            self.default = _or_none(timed.restored)
        for peer in self._registry:
            if peer.faults is faults:
                self._set(peer, timed.restored)

    def _cancel_unused_timers(self) -> None:
        """Cancel the timers of faults that no peer has, so that timers do not pile up."""
        in_use = {id(peer.faults) for peer in self._registry} | {id(self.default)}
        for faults_id in [faults_id for faults_id in self._timed if faults_id not in in_use]:
            self._timed.pop(faults_id).timer.cancel()

    def reset(self, peers: Sequence[Peer] | None) -> None:
        """Break the connections of these peers, or of all. Raises ControlError forbidden."""
        self._refuse_if_forbidden()
        wanted = None if peers is None else set(peers)
        for sock, peer in list(self._open.items()):
            if not sock.lingers and (wanted is None or peer in wanted):
                sock.reset()

    def records(self, peers: Sequence[Peer]) -> list[LinkRecord]:
        """Records for the verb `link`, in the order of the peers."""
        return [self._record(peer) for peer in peers]

    def _record(self, peer: Peer) -> LinkRecord:
        out, in_ = self._meters.get(peer.stream_id, (None, None))
        return LinkRecord(
            peer.ref, peer.state, peer.faults, out.measured() if out else None, in_.measured() if in_ else None
        )

    def _refuse_if_forbidden(self) -> None:
        if not self.allowed:
            hint = "start chatd with --allow-faults or CHATD_ALLOW_FAULTS=1 where links may be broken on purpose"
            raise ControlError("forbidden", "faults are not allowed on this node", hint)

    # -- faults of peers

    def _set(self, peer: Peer, faults: LinkFaults) -> None:
        """Set the faults of a peer and apply them to its connections."""
        self._own[peer.stream_id] = faults
        self._meters[peer.stream_id] = Meter(), Meter()
        self._apply(peer, faults)
        shown = msgspec.json.encode(peer.faults).decode() if peer.faults else "none"
        log.info("faults of peer %(peer)s changed: %(faults)s", peer.log_fields | {"faults": shown})

    def _apply(self, peer: Peer, faults: LinkFaults) -> None:
        peer.set_faults(_or_none(faults))
        for sock, other in list(self._open.items()):
            if other is peer:
                self._impair(sock, peer)
        peer.changed.notify()
        self._registry.changed.notify()

    def _impair(self, sock: FaultySocket, peer: Peer) -> None:
        if peer.faults is not None and peer.stream_id not in self._meters:
            self._meters[peer.stream_id] = Meter(), Meter()
        sock.impair(peer.faults or HEALTHY, *self._meters.get(peer.stream_id, (Meter(), Meter())))

    def apply_to(self, peer: Peer) -> None:
        """Apply the faults that hold for a peer which is now dialed or connected."""
        faults = self._faults_for(peer)
        if faults != (peer.faults or HEALTHY):
            self._apply(peer, faults)

    def _faults_for(self, peer: Peer) -> LinkFaults:
        """The faults of a peer: set by `link`, else from the setting, else the default.

        In the setting a node id wins over a name, and a name over the address at which the peer is dialed.
        """
        if peer.stream_id in self._own:
            return self._own[peer.stream_id]
        name = None if is_node_id(peer.name) else peer.name
        words = (peer.node, name, *peer.persistent_addresses, peer.address if peer.known else None)
        configured = next((self._configured[word] for word in words if word in self._configured), None)
        return peer.faults or configured or self.default or HEALTHY

    def _prune(self) -> None:
        """Forget the faults of peers that the registry has forgotten."""
        known = {peer.stream_id for peer in self._registry}
        for table in (self._own, self._meters):
            for stream_id in [stream_id for stream_id in table if stream_id not in known]:
                del table[stream_id]

    # -- connections

    def wrap(self, stream: trio.SocketStream, peer: Peer | None = None) -> trio.SocketStream:
        """Wrap a connection so that it can be impaired; return `stream` itself where faults are not allowed."""
        if not self.allowed:
            return stream
        sock = FaultySocket(stream, self._start, self._runtime.random, self._socket_changed)
        self._open[sock] = None
        wrapped = cast(trio.SocketStream, FaultyStream(stream, sock))
        if peer is not None:
            self.attach(wrapped, peer)
        elif self.default is not None:
            sock.impair(self.default, Meter(), Meter())
        return wrapped

    def attach(self, stream: object, peer: Peer | None) -> None:
        """Assign a wrapped connection to the peer that was identified."""
        sock = getattr(stream, "socket", None)
        if isinstance(sock, FaultySocket) and peer is not None and self._open.get(sock, peer) is not peer:
            self._open[sock] = peer
            self.apply_to(peer)
            self._impair(sock, peer)

    async def wait_closed(self, stream: trio.SocketStream) -> None:
        """Wait until a closed connection is closed underneath too."""
        if isinstance(stream.socket, FaultySocket):
            await stream.socket.wait_closed()

    def _socket_changed(self, sock: FaultySocket) -> None:
        """Handle a connection that starts to linger (closed by its owner, open underneath) or has ended."""
        if sock.lingers:
            lingering = [other for other in self._open if other.lingers]
            for other in lingering[: -LINGERING or None]:
                other.close_now()
            return
        self._open.pop(sock, None)
        self._closes += 1
        if self._closes % CLOSES == 0:
            self._prune()

    async def wait_passable(self, peer: Peer) -> None:
        """Wait until the link to the peer is not cut: a new connection would not get through."""
        self.apply_to(peer)
        while (faults := peer.faults) is not None and (faults.out.cut or faults.in_.cut):
            await peer.changed.wait()


def _faults_of(out: Mapping[str, float | bool], in_: Mapping[str, float | bool]) -> LinkFaults:
    return LinkFaults(msgspec.convert(dict(out), Impairment), msgspec.convert(dict(in_), Impairment))


def _or_none(faults: LinkFaults) -> LinkFaults | None:
    """None instead of faults that change nothing."""
    return None if faults == HEALTHY else faults


def _with_changes(faults: LinkFaults, direction: str, changes: Mapping[str, float | bool], *, heal: bool) -> LinkFaults:
    """The faults with one or both directions changed."""

    amounts = {name: amount or getattr(NOTHING, name) for name, amount in changes.items()}

    def changed(impairment: Impairment, *directions: str) -> Impairment:
        if direction not in directions:
            return impairment
        return msgspec.structs.replace(NOTHING if heal else impairment, **amounts)

    return LinkFaults(changed(faults.out, "out", "both"), changed(faults.in_, "in", "both"))

"""Faults: what links suffer on purpose, and the connections that suffer it.

Owns the faults of every peer: those of the configuration, those that `link` made, and what peers that come get. All of
it ends with the run. `Peer.faults` is what its links suffer now; who lists peers shows that. Knows no control socket.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.network import LinkRecord
from chatd.api.results import Impairment, LinkFaults
from chatd.config.link_faults import parse_link
from chatd.config.settings import Config
from chatd.net.faults.connection import FaultySocket, FaultyStream, Start
from chatd.net.faults.shaper import NOTHING, Meter
from chatd.peers.names import is_node_id
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.runtime import Runtime, stamp

LINGERING: Final = 256  # connections that are closed here and kept from telling so; beyond it the oldest is closed
CLOSES: Final = 1024  # connections after which what is known of peers that are forgotten goes too
EVERYBODY: Final = "*"  # in the configuration: who has no faults of its own
HEALTHY: Final = LinkFaults()
Meters = tuple[Meter, Meter]
Change = Callable[[LinkFaults], LinkFaults]
log = logging.getLogger("chatd.faults")


class _End(NamedTuple):
    """What ends by itself, what was before, and what waits for that."""

    faults: LinkFaults
    comes_back: LinkFaults
    timer: trio.CancelScope


class Faults:
    """The faults of one node's links.

    Resource handling: what takes time lives where `begin` says. Error handling: `change` and `reset` raise ControlError
    forbidden where faults are not allowed.
    """

    def __init__(self, config: Config, runtime: Runtime, registry: Registry) -> None:
        self.allowed = config.allow_faults
        self._runtime = runtime
        self._registry = registry
        self._configured = {link.peer: _of(link.out, link.in_) for link in map(parse_link, config.links)}
        self.default: LinkFaults | None = self._configured.pop(EVERYBODY, None)
        self._own: dict[int, LinkFaults] = {}  # by the peer's topic: what `link` made of it
        self._ends: dict[int, _End] = {}  # by id of what will end by itself
        self._meters: dict[int, Meters] = {}
        self._open: dict[FaultySocket, Peer | None] = {}
        self._closes = 0
        self._start: Start

    def begin(self, start: Start) -> None:
        """`start` runs what takes time, for as long as there are links."""
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
        """Change the faults of these peers; None: of all, and of who comes.

        `direction` is "out", "in" or "both", `changes` are fields of Impairment; what is not named stays, unless that
        direction is healed first. After `lasting` seconds what was before comes back, with what was changed for good
        meanwhile. Raises ControlError forbidden.
        """
        self._check()
        self._prune()

        def changed(faults: LinkFaults) -> LinkFaults:
            return _changed(faults, direction, changes, heal=heal)

        ends = None if lasting is None else (trio.current_time() + lasting, stamp(self._runtime.wall() + lasting))
        if peers is None:
            self.default = _some(self._next(self.default or HEALTHY, changed, ends))
        for peer in self._registry if peers is None else peers:
            self._set(peer, self._next(peer.faults or HEALTHY, changed, ends))
        self._forget_ends()

    def _next(self, before: LinkFaults, changed: Change, ends: tuple[float, str] | None) -> LinkFaults:
        """What follows on it. A change without an end of its own is one of what comes back, too."""
        after, end = changed(before), self._ends.get(id(before))
        base = before if end is None else end.comes_back
        if ends is not None:
            return self._timed(after, base, *ends)
        if end is None or after == (base := changed(base)):
            return after
        return self._timed(after, base, end.timer.deadline, str(before.until))

    def _timed(self, after: LinkFaults, comes_back: LinkFaults, deadline: float, until: str) -> LinkFaults:
        """The faults with an end, which is seen to."""
        faults, scope = LinkFaults(after.out, after.in_, until), trio.CancelScope(deadline=deadline)
        self._ends[id(faults)] = _End(faults, comes_back, scope)

        async def end() -> None:
            with scope:
                await trio.sleep_forever()
            self._end(faults)

        self._start(end)
        return faults

    def _end(self, faults: LinkFaults) -> None:
        """Its time is over: what was before comes back, wherever nothing else was set meanwhile."""
        end = self._ends.pop(id(faults), None)
        if end is None:
            return
        if self.default is faults:
            self.default = _some(end.comes_back)
        for peer in self._registry:
            if peer.faults is faults:
                self._set(peer, end.comes_back)

    def _forget_ends(self) -> None:
        """Of what nobody suffers any more: however often faults are set for a while, nothing piles up."""
        there = {id(peer.faults) for peer in self._registry} | {id(self.default)}
        for key in [key for key in self._ends if key not in there]:
            self._ends.pop(key).timer.cancel()

    def reset(self, peers: Sequence[Peer] | None) -> None:
        """Break the connections of these peers, or of all. Raises ControlError forbidden."""
        self._check()
        wanted = None if peers is None else set(peers)
        for sock, peer in list(self._open.items()):
            if not sock.lingers and (wanted is None or peer in wanted):
                sock.reset()

    def records(self, peers: Sequence[Peer]) -> list[LinkRecord]:
        """Lines of `link`, in that order."""
        return [self._record(peer) for peer in peers]

    def _record(self, peer: Peer) -> LinkRecord:
        out, in_ = self._meters.get(peer.stream_id, (None, None))
        return LinkRecord(
            peer.ref, peer.state, peer.faults, out.measured() if out else None, in_.measured() if in_ else None
        )

    def _check(self) -> None:
        if not self.allowed:
            hint = "start chatd with --allow-faults or CHATD_ALLOW_FAULTS=1 where links may be broken on purpose"
            raise ControlError("forbidden", "faults are not allowed on this node", hint)

    # -- what peers suffer

    def _set(self, peer: Peer, faults: LinkFaults) -> None:
        """The peer and its connections suffer that from now on."""
        self._own[peer.stream_id] = faults
        self._meters[peer.stream_id] = Meter(), Meter()
        self._apply(peer, faults)
        log.info("%s: faults: %s", peer.shown, msgspec.json.encode(peer.faults).decode() if peer.faults else "none")

    def _apply(self, peer: Peer, faults: LinkFaults) -> None:
        peer.set_faults(_some(faults))
        for sock, whose in list(self._open.items()):
            if whose is peer:
                self._suffer(sock, peer)
        peer.changed.notify()
        self._registry.changed.notify()

    def _suffer(self, sock: FaultySocket, peer: Peer) -> None:
        if peer.faults is not None and peer.stream_id not in self._meters:
            self._meters[peer.stream_id] = Meter(), Meter()
        sock.suffer(peer.faults or HEALTHY, *self._meters.get(peer.stream_id, (Meter(), Meter())))

    def meet(self, peer: Peer) -> None:
        """It is dialed, or has a connection: it suffers what it is to."""
        known = self._known(peer)
        if known != (peer.faults or HEALTHY):
            self._apply(peer, known)

    def _known(self, peer: Peer) -> LinkFaults:
        """What a peer suffers that has a connection now: what `link` said, else the configuration, else as all do.

        In the configuration a node id comes before a name, and a name before the address at which a peer is dialed.
        """
        if peer.stream_id in self._own:
            return self._own[peer.stream_id]
        name = None if is_node_id(peer.name) else peer.name
        called = (peer.node, name, *peer.persistent_addresses, peer.address if peer.known else None)
        configured = next((self._configured[word] for word in called if word in self._configured), None)
        return peer.faults or configured or self.default or HEALTHY

    def _prune(self) -> None:
        """Forget what was said of peers that are forgotten."""
        here = {peer.stream_id for peer in self._registry}
        for table in (self._own, self._meters):
            for key in [key for key in table if key not in here]:
                del table[key]

    # -- connections

    def wrap(self, stream: trio.SocketStream, peer: Peer | None = None) -> trio.SocketStream:
        """A connection that can suffer, with that peer if it is known; the same one where faults are not allowed."""
        if not self.allowed:
            return stream
        sock = FaultySocket(stream, self._start, self._runtime.random, self._told)
        self._open[sock] = None
        wrapped = cast(trio.SocketStream, FaultyStream(stream, sock))
        if peer is not None:
            self.attach(wrapped, peer)
        elif self.default is not None:
            sock.suffer(self.default, Meter(), Meter())
        return wrapped

    def attach(self, stream: object, peer: Peer | None) -> None:
        """The connection turned out to be with that peer."""
        sock = getattr(stream, "socket", None)
        if isinstance(sock, FaultySocket) and peer is not None and self._open.get(sock, peer) is not peer:
            self._open[sock] = peer
            self.meet(peer)
            self._suffer(sock, peer)

    async def finished(self, stream: trio.SocketStream) -> None:
        """Wait until a connection that was closed here is closed underneath too."""
        if isinstance(stream.socket, FaultySocket):
            await stream.socket.gone()

    def _told(self, sock: FaultySocket) -> None:
        """It lingers from now on, or has ended."""
        if sock.lingers:
            lingering = [each for each in self._open if each.lingers]
            for each in lingering[: -LINGERING or None]:
                each.abandon()
            return
        self._open.pop(sock, None)
        self._closes += 1
        if self._closes % CLOSES == 0:
            self._prune()

    async def passable(self, peer: Peer) -> None:
        """Wait until a dial would get through: a cut lets nothing come to be."""
        self.meet(peer)
        while (faults := peer.faults) is not None and (faults.out.cut or faults.in_.cut):
            await peer.changed.wait()


def _of(out: Mapping[str, float | bool], in_: Mapping[str, float | bool]) -> LinkFaults:
    return LinkFaults(msgspec.convert(dict(out), Impairment), msgspec.convert(dict(in_), Impairment))


def _some(faults: LinkFaults) -> LinkFaults | None:
    """None where there are none."""
    return None if faults == HEALTHY else faults


def _changed(faults: LinkFaults, direction: str, changes: Mapping[str, float | bool], *, heal: bool) -> LinkFaults:
    """The faults, with one or both directions changed."""

    named = {name: amount or getattr(NOTHING, name) for name, amount in changes.items()}

    def one(what: Impairment, *names: str) -> Impairment:
        if direction not in names:
            return what
        return msgspec.structs.replace(NOTHING if heal else what, **named)

    return LinkFaults(one(faults.out, "out", "both"), one(faults.in_, "in", "both"))

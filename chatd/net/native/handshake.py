"""Handshake of a native link: TLS, trust and `Hello` on an open TCP connection, under one deadline.

TLS authenticates the node ids. Trust is checked before any application byte is read. Then the dialer sends `Hello`,
then the acceptor. Both functions return the start of the link, or send the reason to the other side and raise
HandshakeRefused. Called by the dialer and the listener, which mark the peer as up.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, cast

import trio

from chatd.config.settings import Config
from chatd.formats import DECIDING_PREFIX
from chatd.journal.journal import Journal
from chatd.net import reasons
from chatd.net.faults.faults import Faults
from chatd.peers.clones import Clones
from chatd.peers.identity import ALPN, Identity, node_id
from chatd.peers.peer import NativeLink, Peer
from chatd.peers.registry import Registry
from chatd.peers.trust import Trust
from chatd.wire.codec import Decoder, encode_many
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import VERSION, Bye, Frame, Hello, frame_name

RECEIVE_BYTES = 65536
LAST_WORDS_S = 1.0  # to read remaining input, so that the other side gets our Bye and not a reset
Tls = trio.SSLStream[trio.SocketStream]


class HandshakeRefused(Exception):
    """No link was made. `reason` is that of a Bye, or `self`, `timeout`, `closed`. `theirs`: the other side refused."""

    def __init__(
        self, reason: str, message: str, *, theirs: bool = False, peer: Peer | None = None, node: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.theirs = theirs
        self.peer = peer
        self.node = node or (peer.node if peer else None) or ""  # the authenticated id of the other side, if known


@dataclass(frozen=True)
class HandshakeParts:
    config: Config
    identity: Identity
    journal: Journal
    registry: Registry
    trust: Trust
    clones: Clones
    faults: Faults


class Established(NamedTuple):
    """The start of a native link; `rest` are frames that arrived together with the `Hello`."""

    stream: Tls
    decoder: Decoder
    peer: Peer
    hello: Hello
    rest: list[Frame]


async def as_dialer(parts: HandshakeParts, stream: trio.SocketStream, dial: str, wanted: Peer) -> Established:
    """Handshake on a connection that we dialed. `dial` is "connect" or "redial", `wanted` the peer expected there.

    Raises HandshakeRefused.
    """

    async def exchange_hellos(handshake: _Handshake) -> Established:
        registry, node = parts.registry, handshake.node
        known_peer = registry.by_node(node)
        if known_peer is not None and known_peer.terminated and dial == "redial":
            await handshake.refuse("terminated", f"{known_peer.shown} was terminated here", known_peer)
        if known_peer is not None and known_peer.is_up:
            await handshake.refuse("duplicate", f"{known_peer.shown} is connected already", known_peer)
        pending = parts.trust.verdict(node) == "pending"
        await parts.journal.settled()
        await handshake.send(handshake.our_hello(dial), *([Bye("pending")] if pending else []))
        hello = await handshake.receive_hello()
        peer = registry.native(node, hello.name, wanted.address or "", dialed=wanted)
        if pending:
            registry.set_pending(peer, peer.address or "", _pending_reason(peer))
            await handshake.half_close()
            raise HandshakeRefused("pending", f"{peer.shown} {_pending_reason(peer)}", peer=peer)
        await handshake.receive_first_frame(peer)
        return handshake.establish(peer, hello)

    return await _run(parts, stream, exchange_hellos, server_side=False)


async def as_acceptor(parts: HandshakeParts, stream: trio.SocketStream, address: str) -> Established:
    """Handshake on an accepted connection. Raises HandshakeRefused."""

    async def exchange_hellos(handshake: _Handshake) -> Established:
        hello = await handshake.receive_hello()
        peer = parts.registry.native(handshake.node, hello.name, address)
        if parts.trust.verdict(handshake.node) == "pending":
            parts.registry.set_pending(peer, address, _pending_reason(peer))
            message = f"{peer.shown} {_pending_reason(peer)}"
            await handshake.refuse("pending", message, peer, first=handshake.our_hello("answer"))
        if handshake.has_bye:
            await handshake.send(handshake.our_hello("answer"))
            await handshake.receive_first_frame(peer)
        if peer.terminated and hello.dial == "redial":
            await handshake.refuse("terminated", f"{peer.shown} was terminated here", peer)
        parts.registry.remembered.clear_terminated(peer)
        _drop_lost_links(peer, hello)
        await parts.journal.settled()
        await handshake.send(handshake.our_hello("answer"))
        return handshake.establish(peer, hello)

    return await _run(parts, stream, exchange_hellos, server_side=True)


def _pending_reason(peer: Peer) -> str:
    return f"waits for `chatctl peer accept {peer.slot}` here"


def _drop_lost_links(peer: Peer, hello: Hello) -> None:
    """Drop links that the peer has lost: those of an older epoch, and those that it dialed before this one.

    This is done before anything is read from the new link: the old links accept nothing after that.
    """
    for link in cast(list[NativeLink], list(peer.links)):
        if link.epoch != hello.epoch or link.direction == "in":
            link.drop("replaced by a new link")


async def _run(
    parts: HandshakeParts,
    stream: trio.SocketStream,
    exchange_hellos: "Callable[[_Handshake], Awaitable[Established]]",
    *,
    server_side: bool,
) -> Established:
    """Run one side under one deadline. A failure closes the stream and raises HandshakeRefused."""
    handshake = _Handshake(parts, stream, server_side=server_side)
    done = False
    try:
        with trio.fail_after(parts.config.handshake_timeout):
            await handshake.authenticate()
            established = await exchange_hellos(handshake)
        done = True
        return established
    except trio.TooSlowError:
        raise HandshakeRefused("timeout", f"no handshake within {parts.config.handshake_timeout:g} s") from None
    except RemoteError as error:
        with trio.move_on_after(LAST_WORDS_S):
            await handshake.send_bye("protocol")
        raise HandshakeRefused("protocol", f"protocol error: {error}") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HandshakeRefused("closed", handshake.failure_text(error)) from None
    finally:
        if not done:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                await trio.aclose_forcefully(stream)


class _Handshake:
    """One handshake in progress. `node` is the id of the other side, once TLS has authenticated it."""

    def __init__(self, parts: HandshakeParts, stream: trio.SocketStream, *, server_side: bool) -> None:
        identity = parts.identity
        context = identity.server_context if server_side else identity.client_context
        self.stream: Tls = trio.SSLStream(stream, context, server_side=server_side, https_compatible=False)
        self.node = ""
        self._parts = parts
        self._decoder = Decoder(max(parts.config.frame_bytes, RECEIVE_BYTES))
        self._frames: list[Frame] = []

    async def authenticate(self) -> None:
        """Authenticate both ids by TLS; refuse this node itself and denied nodes."""
        await self.stream.do_handshake()
        if self.stream.selected_alpn_protocol() != ALPN:
            raise HandshakeRefused("closed", "it speaks TLS, but is no chatd")
        self.node = node_id(cast(bytes, self.stream.getpeercert(binary_form=True)))
        peer = self._parts.registry.by_node(self.node)
        self._parts.faults.attach(self.stream.transport_stream, peer)
        if peer is not None:
            # The peer's Hello may have arrived with the end of TLS, before the cut was applied.
            await self._parts.faults.wait_passable(peer)
        if self.node == self._parts.identity.node:
            raise HandshakeRefused("self", "that is this node itself")
        if self._parts.trust.verdict(self.node) == "denied":
            await self.refuse(
                "denied", f"node {self.node} may not talk to this one", self._parts.registry.by_node(self.node)
            )

    def our_hello(self, dial: str) -> Hello:
        """Our Hello, with the committed watermark of the peer's journal.

        Callers first wait until everything from former links is committed: the peer uses this watermark to decide about
        messages that it has given up meanwhile.
        """
        config, journal = self._parts.config, self._parts.journal
        watermark = journal.watermarks.committed(self.node)
        return Hello(
            version=VERSION,
            name=config.name,
            epoch=journal.epoch,
            mark_epoch=watermark[0] if watermark else None,
            mark_seq=watermark[1] if watermark else 0,
            dial=cast(Literal["connect", "redial", "answer"], dial),
            text_bytes=config.text_bytes,
            text_chars=config.max_text,
            frame_bytes=config.frame_bytes,
        )

    async def receive_hello(self) -> Hello:
        """Wait for the other side's Hello. Raises HandshakeRefused if a Bye comes instead."""
        frame = await self._receive_frame()
        if isinstance(frame, Bye):
            peer = self._parts.registry.by_node(self.node)
            raise HandshakeRefused(frame.reason, self._refusal_text(frame.reason), theirs=True, peer=peer)
        if not isinstance(frame, Hello):
            raise RemoteError(f"{frame_name(frame)} before Hello")
        if frame.epoch == self._parts.journal.epoch:
            raise RemoteError("it has the epoch of this node's own journal")
        return frame

    async def receive_first_frame(self, peer: Peer) -> None:
        """Wait for the frame after the peer's Hello. Raises HandshakeRefused if it is a Bye."""
        frame = await self._receive_frame()
        if isinstance(frame, Bye):
            if frame.reason == "pending":
                self._parts.registry.set_state(peer, "pending", self._refusal_text("pending"))
            raise HandshakeRefused(
                frame.reason, f"{peer.shown}: {self._refusal_text(frame.reason)}", theirs=True, peer=peer
            )
        self._frames.insert(0, frame)

    def _refusal_text(self, bye: str) -> str:
        return reasons.refused(bye, self._parts.identity.node[:DECIDING_PREFIX])

    @property
    def has_bye(self) -> bool:
        """Whether a Bye follows the peer's Hello: there this node is pending, and the peer only wants our Hello."""
        return bool(self._frames) and isinstance(self._frames[0], Bye)

    async def _receive_frame(self) -> Frame:
        while not self._frames:
            data = await self.stream.receive_some(RECEIVE_BYTES)
            self._frames = self._decoder.receive(data)
            if not data:
                raise trio.BrokenResourceError("closed by peer")
        return self._frames.pop(0)

    async def send(self, *frames: Frame) -> None:
        await self.stream.send_all(encode_many(frames))

    async def refuse(self, reason: str, message: str, peer: Peer | None, first: Hello | None = None) -> NoReturn:
        """Send a Bye and raise HandshakeRefused."""
        await self.send_bye(reason, first)
        raise HandshakeRefused(reason, message, peer=peer, node=self.node)

    async def send_bye(self, reason: str, first: Hello | None = None) -> None:
        """Send a Bye and half-close; does nothing if the connection is broken."""
        try:
            await self.send(*([first] if first else []), Bye(reason=reason))
        except (trio.BrokenResourceError, trio.ClosedResourceError, LocalError):
            return
        await self.half_close()

    async def half_close(self) -> None:
        """Half-close and read to the end, for LAST_WORDS_S: closing with unread input would reset the connection."""
        try:
            await self.stream.transport_stream.send_eof()
            with trio.move_on_after(LAST_WORDS_S):
                while await self.stream.transport_stream.receive_some(RECEIVE_BYTES):
                    continue
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def establish(self, peer: Peer, hello: Hello) -> Established:
        """Record limits and epoch of the peer, now that both sides have sent Hello."""
        self._parts.faults.attach(self.stream.transport_stream, peer)
        peer.set_text_limits(hello.text_bytes, hello.text_chars)
        self._parts.clones.record_epoch(peer, hello.epoch)
        return Established(self.stream, self._decoder, peer, hello, self._frames)

    def failure_text(self, error: BaseException) -> str:
        """Why the connection broke, as shown to users."""
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS: {cause.reason.lower().replace('_', ' ')}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        return "closed by peer during the handshake"

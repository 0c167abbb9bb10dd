"""Handshake: from an open TCP connection to what a native link starts from; TLS, trust and `Hello` under one deadline.

TLS proves who the other side is; trust is asked before a byte of the application is read; then comes `Hello` from the
dialer, then from the acceptor. Both functions answer with what the link starts from, or raise Refused once the other
side has been told why. Who is up, and what is sent afterwards, is the link's business.
"""

import ssl
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, NoReturn, cast

import trio

from chatd.formats import DECIDING_PREFIX
from chatd.net import reasons
from chatd.net.links import Links
from chatd.peers.identity import ALPN, node_id
from chatd.peers.peer import NativeLink, Peer
from chatd.wire.codec import Decoder, encode_many
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import VERSION, Bye, Frame, Hello, frame_name

RECEIVE_BYTES = 65536
LAST_WORDS_S = 1.0  # to read what the other side still says, so that it gets our Bye and not a reset
Tls = trio.SSLStream[trio.SocketStream]


class HandshakeRefused(Exception):
    """No link: `reason` is a Bye's, or `self`, `timeout`, `closed`; `theirs`: it was the other side that said no."""

    def __init__(
        self, reason: str, message: str, *, theirs: bool = False, peer: Peer | None = None, node: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.theirs = theirs
        self.peer = peer
        self.node = node or (peer.node if peer else None) or ""  # the other side's id, where it is proved


class Established(NamedTuple):
    """What a native link starts from; `rest` are frames that came in one piece with the `Hello`."""

    stream: Tls
    decoder: Decoder
    peer: Peer
    hello: Hello
    rest: list[Frame]


async def as_dialer(links: Links, stream: trio.SocketStream, dial: str, wanted: Peer) -> Established:
    """Shake hands on a connection that we made to a wanted peer.

    `dial` is "connect" or "redial". Raises HandshakeRefused.
    """

    async def hands(shaking: _Handshake) -> Established:
        registry, node = links.registry, shaking.node
        known = registry.by_node(node)
        if known is not None and known.terminated and dial == "redial":
            await shaking.refuse("terminated", f"{known.shown} was terminated here", known)
        if known is not None and known.is_up:
            await shaking.refuse("duplicate", f"{known.shown} is connected already", known)
        pending = links.trust.verdict(node) == "pending"
        await links.journal.settled()
        await shaking.send(shaking.our_hello(dial), *([Bye("pending")] if pending else []))
        hello = await shaking.their_hello()
        peer = registry.native(node, hello.name, wanted.address or "", dialed=wanted)
        if pending:
            registry.set_pending(peer, peer.address or "", waits_here(peer))
            await shaking.leave()
            raise HandshakeRefused("pending", f"{peer.shown} {waits_here(peer)}", peer=peer)
        await shaking.first_frame(peer)
        return shaking.established(peer, hello)

    return await _shake(links, stream, hands, server_side=False)


async def as_acceptor(links: Links, stream: trio.SocketStream, address: str) -> Established:
    """Shake hands on a connection that was made to us. Raises HandshakeRefused."""

    async def hands(shaking: _Handshake) -> Established:
        hello = await shaking.their_hello()
        peer = links.registry.native(shaking.node, hello.name, address)
        if links.trust.verdict(shaking.node) == "pending":
            links.registry.set_pending(peer, address, waits_here(peer))
            message = f"{peer.shown} {waits_here(peer)}"
            await shaking.refuse("pending", message, peer, first=shaking.our_hello("answer"))
        if shaking.was_refused:
            await shaking.send(shaking.our_hello("answer"))
            await shaking.first_frame(peer)
        if peer.terminated and hello.dial == "redial":
            await shaking.refuse("terminated", f"{peer.shown} was terminated here", peer)
        links.registry.clear_terminated(peer)
        _drop_lost(peer, hello)
        await links.journal.settled()
        await shaking.send(shaking.our_hello("answer"))
        return shaking.established(peer, hello)

    return await _shake(links, stream, hands, server_side=True)


def waits_here(peer: Peer) -> str:
    """Why a pending peer is not up."""
    return f"waits for `chatctl peer accept {peer.slot}` here"


def _drop_lost(peer: Peer, hello: Hello) -> None:
    """A new epoch, or a second link that the same side dialed, means that it has lost the first.

    Nothing is taken from that any more, before anything is read from the second.
    """
    for link in cast(list[NativeLink], list(peer.links)):
        if link.epoch != hello.epoch or link.direction == "in":
            link.drop("replaced by a new link")


async def _shake(
    links: Links,
    stream: trio.SocketStream,
    hands: "Callable[[_Handshake], Awaitable[Established]]",
    *,
    server_side: bool,
) -> Established:
    """Run one side under the deadline; whatever goes wrong closes the stream and is a Refused."""
    shaking = _Handshake(links, stream, server_side=server_side)
    done = False
    try:
        with trio.fail_after(links.config.handshake_timeout):
            await shaking.tls()
            established = await hands(shaking)
        done = True
        return established
    except trio.TooSlowError:
        raise HandshakeRefused("timeout", f"no handshake within {links.config.handshake_timeout:g} s") from None
    except RemoteError as error:
        with trio.move_on_after(LAST_WORDS_S):
            await shaking.say_bye("protocol")
        raise HandshakeRefused("protocol", f"protocol error: {error}") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HandshakeRefused("closed", shaking.broken(error)) from None
    finally:
        if not done:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                await trio.aclose_forcefully(stream)


class _Handshake:
    """One handshake in progress."""

    def __init__(self, links: Links, stream: trio.SocketStream, *, server_side: bool) -> None:
        identity = links.identity
        context = identity.server_context if server_side else identity.client_context
        self.stream: Tls = trio.SSLStream(stream, context, server_side=server_side, https_compatible=False)
        self.node = ""
        self._links = links
        self._decoder = Decoder(max(links.config.frame_bytes, RECEIVE_BYTES))
        self._frames: list[Frame] = []

    async def tls(self) -> None:
        """Prove both ids; refuse ourselves, and whom we may not talk to."""
        await self.stream.do_handshake()
        if self.stream.selected_alpn_protocol() != ALPN:
            raise HandshakeRefused("closed", "it speaks TLS, but is no chatd")
        self.node = node_id(cast(bytes, self.stream.getpeercert(binary_form=True)))
        peer = self._links.registry.by_node(self.node)
        self._links.faults.attach(self.stream.transport_stream, peer)
        if peer is not None:
            await self._links.faults.passable(peer)  # its Hello came with the end of TLS, before it could be cut off
        if self.node == self._links.identity.node:
            raise HandshakeRefused("self", "that is this node itself")
        if self._links.trust.verdict(self.node) == "denied":
            await self.refuse(
                "denied", f"node {self.node} may not talk to this one", self._links.registry.by_node(self.node)
            )

    def our_hello(self, dial: str) -> Hello:
        """What we are, and what we have of them, as committed.

        What a former link brought is settled before: by this mark the other side judges what it gave up meanwhile.
        """
        config, journal = self._links.config, self._links.journal
        mark = journal.watermarks.committed(self.node)
        return Hello(
            version=VERSION,
            name=config.name,
            epoch=journal.epoch,
            mark_epoch=mark[0] if mark else None,
            mark_seq=mark[1] if mark else 0,
            dial=cast(Literal["connect", "redial", "answer"], dial),
            text_bytes=config.text_bytes,
            text_chars=config.max_text,
            frame_bytes=config.frame_bytes,
        )

    async def their_hello(self) -> Hello:
        """Wait for it. Raises HandshakeRefused where a Bye comes instead."""
        frame = await self._next()
        if isinstance(frame, Bye):
            peer = self._links.registry.by_node(self.node)
            raise HandshakeRefused(frame.reason, self._refused(frame.reason), theirs=True, peer=peer)
        if not isinstance(frame, Hello):
            raise RemoteError(f"{frame_name(frame)} before Hello")
        if frame.epoch == self._links.journal.epoch:
            raise RemoteError("it has the epoch of this node's own journal")
        return frame

    async def first_frame(self, peer: Peer) -> None:
        """Wait for what follows their Hello: a Bye means that there is no link."""
        frame = await self._next()
        if isinstance(frame, Bye):
            if frame.reason == "pending":
                self._links.registry.set_state(peer, "pending", self._refused("pending"))
            raise HandshakeRefused(frame.reason, f"{peer.shown}: {self._refused(frame.reason)}", theirs=True, peer=peer)
        self._frames.insert(0, frame)

    def _refused(self, bye: str) -> str:
        return reasons.refused(bye, self._links.identity.node[:DECIDING_PREFIX])

    @property
    def was_refused(self) -> bool:
        """Their Hello came with a Bye behind it: they wanted to know who we are, and no more."""
        return bool(self._frames) and isinstance(self._frames[0], Bye)

    async def _next(self) -> Frame:
        while not self._frames:
            data = await self.stream.receive_some(RECEIVE_BYTES)
            self._frames = self._decoder.receive(data)
            if not data:
                raise trio.BrokenResourceError("closed by peer")
        return self._frames.pop(0)

    async def send(self, *frames: Frame) -> None:
        """Write frames in one piece."""
        await self.stream.send_all(encode_many(frames))

    async def refuse(self, reason: str, message: str, peer: Peer | None, first: Hello | None = None) -> NoReturn:
        """Say why, and read on for a moment: closing with unread input would be a reset that overtakes the Bye."""
        await self.say_bye(reason, first)
        raise HandshakeRefused(reason, message, peer=peer, node=self.node)

    async def say_bye(self, reason: str, first: Hello | None = None) -> None:
        """Bye, then leave; in vain if the other side is gone."""
        try:
            await self.send(*([first] if first else []), Bye(reason=reason))
        except (trio.BrokenResourceError, trio.ClosedResourceError, LocalError):
            return
        await self.leave()

    async def leave(self) -> None:
        """Half-close and read to the end, for a moment."""
        try:
            await self.stream.transport_stream.send_eof()
            with trio.move_on_after(LAST_WORDS_S):
                while await self.stream.transport_stream.receive_some(RECEIVE_BYTES):
                    continue
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def established(self, peer: Peer, hello: Hello) -> Established:
        """Both sides have said Hello."""
        self._links.faults.attach(self.stream.transport_stream, peer)
        peer.set_text_limits(hello.text_bytes, hello.text_chars)
        self._links.clones.record_epoch(peer, hello.epoch)
        return Established(self.stream, self._decoder, peer, hello, self._frames)

    def broken(self, error: BaseException) -> str:
        """Why the connection ended, for people."""
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS: {cause.reason.lower().replace('_', ' ')}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        return "closed by peer during the handshake"

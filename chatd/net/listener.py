"""The peer port: accepts connections, limits and sniffs them, and makes native or plain links of them.

Limits: all links, unauthenticated links (a new one drops the oldest), and links of one public source address
(`net/admission.py`). A refused connection gets a FIN and no bytes; its input is read for a moment, because a reset
disturbs a plain program at its prompt. Bound and run by `daemon.py`.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT
from functools import partial
from ipaddress import ip_address

import trio

from chatd.acceptor import Acceptor
from chatd.closing import GracefulClose
from chatd.config.values import format_address, parse_address
from chatd.failures import AddressInUse
from chatd.net.admission import SourceLimits
from chatd.net.links import supervised
from chatd.net.native import handshake
from chatd.net.native.handshake import HandshakeParts
from chatd.net.native.link import NativeLink
from chatd.net.native.parts import LinkParts
from chatd.net.plain.link import PlainLink
from chatd.net.sniff import SILENCE_S, sniff
from chatd.runtime import enable_keepalive

SPARES = 8  # descriptors held back to refuse connections when no others are free
REFUSE_WITHIN_S = 0.25
NO_IPV6 = (EAFNOSUPPORT, EPROTONOSUPPORT, EADDRNOTAVAIL)
log = logging.getLogger("chatd.listener")


class Listener:
    """The bound addresses of the peer port, and the connections that they accept.

    Resource handling: `bind` opens the listeners, `run` closes them when it is cancelled; links run in `Links`.
    Error handling: `bind` raises AddressInUse, `run` nothing.
    """

    def __init__(self, handshake_parts: HandshakeParts, parts: LinkParts) -> None:
        self._handshake_parts = handshake_parts
        self._parts = parts
        self._links = parts.links
        self._faults = handshake_parts.faults
        self._config = config = parts.config
        self._listeners: list[trio.SocketListener] = []
        self._unauthenticated: dict[trio.CancelScope, None] = {}  # one for each such connection, oldest first
        self._open = 0
        self._sources = SourceLimits(config)
        self._acceptor = Acceptor(parts.runtime.descriptors, SPARES)
        self._refusals = GracefulClose()
        self.addresses: list[str] = []

    async def bind(self) -> None:
        """Bind all addresses. `[::]` beside `0.0.0.0` is optional: a host without IPv6 skips it."""
        addresses = [parse_address(text, lowest_port=0) for text in self._config.listen]
        try:
            for host, port in addresses:
                await self._bind(host, port, optional=host == "::" and ("0.0.0.0", port) in addresses)
        except BaseException:
            self.close()
            raise
        self._warn_if_open()

    async def _bind(self, host: str, port: int, *, optional: bool) -> None:
        if port == 0 and self._listeners:
            port = self._port_of(self._listeners[0]) if optional else 0
        try:
            listener = await self._parts.runtime.listen(host, port)
        except OSError as error:
            if optional and error.errno in NO_IPV6:
                return
            raise in_use(host, port, error, "--listen") from None
        self._listeners.append(listener)
        self.addresses.append(format_address(*listener.socket.getsockname()[:2]))

    def _port_of(self, listener: trio.SocketListener) -> int:
        return int(listener.socket.getsockname()[1])

    def _warn_if_open(self) -> None:
        reachable = [text for text in self.addresses if not is_loopback(parse_address(text)[0])]
        if reachable and self._config.trust == "open":
            log.warning(
                "listening on %(address)s with --trust open: any host that can reach it can connect"
                " (see chatd --help, --trust)",
                {"address": ", ".join(reachable)},
            )

    async def run(self) -> None:
        """Accept until cancelled."""
        try:
            with self._acceptor:
                async with trio.open_nursery() as nursery:
                    for listener in self._listeners:
                        nursery.start_soon(self._acceptor.run, listener, self._on_accept)
        finally:
            self.close()

    @property
    def is_full(self) -> bool:
        """Whether max_links is reached: the next connection is refused."""
        return self._open >= self._config.max_links

    def close(self) -> None:
        """Free the addresses."""
        for listener in self._listeners:
            listener.socket.close()

    # -- one connection

    def _on_accept(self, accepted: trio.SocketStream, *, short: bool) -> None:
        """Serve a connection in the nursery of the links, which outlasts the intake."""
        self._links.start("an accepted connection", partial(self._refuse if short else self._serve, accepted))

    async def _refuse(self, accepted: trio.SocketStream) -> None:
        with accepted.socket:
            await self._refusals.shut_down(accepted.socket, within=REFUSE_WITHIN_S)
        self._acceptor.refill()

    async def _serve(self, accepted: trio.SocketStream) -> None:
        stream = self._faults.wrap(accepted)
        with accepted.socket:
            try:
                await supervised("an accepted connection", lambda: self._admit(stream))
            finally:
                stream.socket.close()
            await self._faults.wait_closed(stream)  # leaving this block closes the socket

    async def _admit(self, stream: trio.SocketStream) -> None:
        try:
            host, port = stream.socket.getpeername()[:2]
            enable_keepalive(stream)
        except OSError:
            return  # already closed
        if self.is_full or not self._sources.enter(host, trio.current_time()):
            self._sources.log_refusal(host)
            await self._refusals.shut_down(stream.socket, within=REFUSE_WITHIN_S)
            return
        self._open += 1
        try:
            await self._sniff_and_serve(stream, host, format_address(host, port))
        finally:
            self._open -= 1
            self._sources.leave(host)

    async def _sniff_and_serve(self, stream: trio.SocketStream, host: str, address: str) -> None:
        plain = self._config.plain == "on" or (self._config.plain == "loopback" and is_loopback(host))
        kind: str = "gone"
        with self._unauthenticated_place():
            kind = await sniff(stream, SILENCE_S if plain else self._config.handshake_timeout)
        if plain and kind in ("plain", "silent"):
            kind = await self._serve_plain(stream, address, provisional=kind == "silent")
        if kind == "native":
            await self._serve_native(stream, address)

    @contextmanager
    def _unauthenticated_place(self) -> Iterator[None]:
        """Hold a place among the unauthenticated connections; a full table drops its oldest."""
        scope = trio.CancelScope()
        self._unauthenticated[scope] = None
        if len(self._unauthenticated) > self._config.unauthenticated:
            oldest = next(iter(self._unauthenticated))
            del self._unauthenticated[oldest]  # now: the next connection must drop another one
            oldest.cancel()
        try:
            with scope:
                yield
        finally:
            self._unauthenticated.pop(scope, None)

    async def _serve_plain(self, stream: trio.SocketStream, address: str, *, provisional: bool) -> str:
        """Serve a plain link; return the reason why it ended, "native" if its first byte starts TLS."""
        parts, links = self._parts, self._links
        peer = parts.registry.plain(address)
        self._faults.attach(stream, peer)
        link = PlainLink(
            *(stream, peer, parts.chat, parts.journal, self._config),
            direction="in",
            address=address,
            provisional=provisional,
        )
        links.attach(peer, link)
        await links.serve(peer, link, link.run)
        return str(link.reason)

    async def _serve_native(self, stream: trio.SocketStream, address: str) -> None:
        established = None
        with self._unauthenticated_place():
            try:
                established = await handshake.as_acceptor(self._handshake_parts, stream, address)
            except handshake.HandshakeRefused as error:
                log.info("handshake failed with %(address)s: %(reason)s", {"address": address, "reason": error})
        if established is not None:
            link = NativeLink(self._parts, established, direction="in", address=address)
            self._links.attach(established.peer, link)
            await self._links.serve(established.peer, link, link.run)


def in_use(host: str, port: int, error: OSError, flag: str) -> AddressInUse:
    """The error for an address that cannot be bound; `flag` is the option that sets it."""
    shown, why = format_address(host, port), (error.strerror or str(error)).lower()
    remedy = f"stop the program that uses it, or choose another port with {flag}"
    if error.errno != EADDRINUSE:
        remedy = f"choose another address with {flag}"
    return AddressInUse(f"cannot listen on {shown}: {why} ({remedy})")


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"

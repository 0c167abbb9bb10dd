"""Dialer: makes outbound connections, once for `connect` and repeatedly for persistent peers.

Persistent peers (`peers/persistent.py`) come from the configuration and from `connect`. One task for each of them
redials its addresses in turn, with back-off, while it has no link. The links themselves run in `Links`. Called by the
control methods `connect` and `terminate`, run by `daemon.py`.
"""

import logging
from weakref import WeakValueDictionary

import trio

from chatd.api.errors import ControlError
from chatd.config.values import format_address, parse_address
from chatd.net.backoff import STABLE_S, Backoff
from chatd.net.dial_errors import already_connected, connect_failed, refusal
from chatd.net.native import handshake
from chatd.net.native.handshake import HandshakeParts
from chatd.net.native.link import NativeLink
from chatd.net.native.parts import LinkParts
from chatd.net.plain.link import PlainLink
from chatd.net.plain.room_server import RoomServerLink
from chatd.peers.peer import Peer
from chatd.rooms.nicks import for_node
from chatd.runtime import DialFailed
from chatd.wire.dialects import NAME

DIAL_S = 10.0  # for the TCP connection
PENDING_S = 30.0  # between two attempts while the other side has to accept us
CLOSE_S = 3.0  # for a link to close, once everything is delivered
SPREAD_S = 0.005  # between the first dials at the start, on average: about the CPU time of a handshake on both sides
SETTLE_S = 4.0  # for one of two links to end: an unanswered Ping, then its Bye
ENDS_REDIALING = ("terminated", "denied", "self")  # reasons of a refusal
log = logging.getLogger("chatd.dialer")


class Dialer:
    """All dialing of one node.

    Resource handling: `run` owns the redialing tasks; links run in `Links`. Error handling: `connect` and `terminate`
    raise ControlError; redialing logs each new reason for a failure once.
    """

    def __init__(self, handshake_parts: HandshakeParts, parts: LinkParts) -> None:
        self._handshake_parts = handshake_parts
        self._parts = parts
        self._config = parts.config
        self._registry = parts.registry
        self._nursery: trio.Nursery
        self._locks = WeakValueDictionary[str, trio.Lock]()  # by address; held while it is dialed
        self._tasks: set[Peer] = set()  # peers that have a redialing task
        self._stopping = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Redial persistent peers until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start_redialing()
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._stopping = True

    def _start_redialing(self) -> None:
        """Redial targets from previous runs and from the configuration, except terminated and denied peers."""
        registry, config = self._registry, self._config
        for text in config.peers:
            address = format_address(*parse_address(text))
            peer = registry.at_address(address)
            if not peer.terminated and peer.trust != "denied":
                registry.persistent.add(peer, address, lasting=False)
        targets = [peer for peer in registry if peer.persistent_addresses]
        for peer in targets:
            registry.set_state(peer, "dialing")
            self._start_task(peer, SPREAD_S * len(targets))

    # -- called by control methods

    async def connect(
        self,
        host: str,
        port: int,
        *,
        plain: bool,
        keep: bool,
        timeout: float | None,
        dialect: str | None = None,
        nick: str | None = None,
    ) -> Peer:
        """Dial; return the peer once it is up. Raises ControlError: conflict, connect_failed, forbidden, timeout."""
        address = format_address(host, port)
        try:
            parse_address(address)
        except ValueError:
            hint = "it takes a name or an address, like bob.example, 192.0.2.1 or ::1"
            raise ControlError("connect_failed", f"{host[:64]!r} is no host", hint) from None
        try:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                async with self._locks.setdefault(address, trio.Lock()):
                    wanted = self._peer_at(address, plain=plain or dialect is not None)
                    dialect_and_nick = self._dialect_and_nick(wanted, plain, dialect, nick)
                    return await self._connect(wanted, address, dialect_and_nick, keep=keep)
        finally:
            await self._parts.journal.settled()  # the persistent address is on disk, unless that is full
        message = f"{address} has not answered within {timeout:g} s"
        raise ControlError("timeout", message, "raise --timeout, or look whether it runs")

    def _peer_at(self, address: str, *, plain: bool) -> Peer:
        """The peer to dial at that address.

        A known room server stays one even without --dialect: it would show a TLS ClientHello to all its members.
        """
        room_servers = (
            peer for peer in self._registry if peer.dialect and (peer.is_up or address in peer.persistent_addresses)
        )
        known = next((peer for peer in room_servers if peer.address == address), None)
        return known or self._registry.at_address(address, "plain" if plain else "native")

    def _dialect_and_nick(
        self, wanted: Peer, plain: bool, dialect: str | None, nick: str | None
    ) -> tuple[str | None, str]:
        """Dialect and nick for the connection; each defaults to the peer's previous one."""
        if dialect is None and not plain:
            return wanted.dialect, wanted.nick
        if dialect != NAME:
            return dialect, ""
        return dialect, nick or wanted.nick or for_node(self._config.name)

    async def _connect(
        self, wanted: Peer, address: str, dialect_and_nick: tuple[str | None, str], *, keep: bool
    ) -> Peer:
        if wanted.is_up:
            raise already_connected(wanted)
        peer, before, up_before = wanted, (wanted.dialect, wanted.nick), self._registry.up()
        self._registry.persistent.set_dialect(wanted, *dialect_and_nick)
        try:
            peer = await self._dial(wanted, address, "connect")
            keep = keep or peer.kind == "native"
        except handshake.HandshakeRefused as refused:
            peer = self._apply_refusal(wanted, address, refused)
            if refused.reason != "duplicate" or not peer.is_up or peer in up_before:
                keep = (keep or refused.reason == "pending") and refused.reason not in ENDS_REDIALING
                raise refusal(address, refused, self._parts.node) from None
            keep = True  # both sides dialed, and the inbound link was up first
        except DialFailed as failed:
            raise connect_failed(address, failed.attempts, keep=keep) from None
        finally:
            if not peer.is_up and not keep:
                self._registry.persistent.set_dialect(wanted, *before)
            self._finish_connect(peer, address, keep=keep)
        await self._wait_for_one_link(peer)
        return peer

    async def _wait_for_one_link(self, peer: Peer) -> None:
        """Wait until one link is left, if both sides have dialed."""
        with trio.move_on_after(SETTLE_S):
            while len(peer.links) > 1:
                await peer.changed.wait()

    def _finish_connect(self, peer: Peer, address: str, *, keep: bool) -> None:
        """Make the address persistent, or forget a peer that was never reached."""
        if self._registry.by_stream_id(peer.stream_id) is not peer:  # merged into another peer before the timeout
            peer = self._registry.at_address(address, peer.kind)
        if peer.dialect is not None and (keep or peer.is_up):
            self._forget_unmet_nodes_at(address)
        if keep:
            self._registry.remembered.clear_terminated(peer)
            self._registry.persistent.add(peer, address, fresh=not peer.is_up)
            self._start_task(peer, self._config.redial_min)
        elif not peer.persistent_addresses and not peer.is_up:
            if peer.node is None:
                self._registry.forget(peer)
            elif peer.state == "dialing":
                self._registry.set_state(peer, "down", "not reached")

    def _forget_unmet_nodes_at(self, address: str) -> None:
        """Forget native peers that were expected at the address of a room server and have never answered."""
        for peer in [peer for peer in self._registry if peer.kind == "native" and peer.node is None]:
            if address in peer.persistent_addresses:
                self._registry.forget(peer)

    async def terminate(self, peer: Peer) -> int:
        """Stop redialing, deliver the outbox, close; return the number of undelivered messages. Raises ControlError."""
        if not peer.links and not peer.persistent_addresses and peer.state != "pending":
            raise ControlError("peer_offline", f"{peer.name} is not connected", "`chatctl list` shows who is")
        self._registry.terminate(peer)
        with trio.move_on_after(self._config.terminate_timeout):
            while peer.delivery.outbox.count and peer.links:
                await peer.delivery.progress.wait()
        links = list(peer.links)
        for link in links:
            link.close("terminated")
        with trio.move_on_after(self._config.terminate_timeout + CLOSE_S):
            while any(link in peer.links for link in links):
                await peer.changed.wait()
        if not peer.links:
            self._registry.set_state(peer, "down", "terminated")
        await self._parts.journal.settled()
        return peer.delivery.outbox.count + sum(link.unsent for link in links)

    # -- one dial

    async def _dial(self, wanted: Peer, address: str, dial: str) -> Peer:
        """Connect; the link is up on return. `dial` is "connect" or "redial". Raises DialFailed, HandshakeRefused."""
        wanted.set_address(address)
        was_persistent = bool(wanted.persistent_addresses)
        if wanted.state != "pending":
            self._registry.set_state(wanted, "dialing", wanted.reason)
        stream = await self._open(wanted, address)
        links = self._parts.links
        link: PlainLink | NativeLink
        if wanted.kind == "plain":
            peer, link = wanted, self._plain_link(stream, wanted, address)
        else:
            established = await handshake.as_dialer(self._handshake_parts, stream, dial, wanted)
            peer = established.peer
            link = NativeLink(self._parts, established, direction="out", address=address)
        links.attach(peer, link)
        links.nursery.start_soon(links.serve, peer, link, link.run)
        if was_persistent and not peer.persistent_addresses:  # ended while we dialed
            link.close("terminated")
        elif dial == "connect":
            self._registry.remembered.clear_terminated(peer)
        if address in peer.persistent_addresses:
            self._registry.persistent.add(peer, address, lasting=False)
        return peer

    def _plain_link(self, stream: trio.SocketStream, peer: Peer, address: str) -> PlainLink:
        parts, config = self._parts, self._config
        if peer.dialect is not None:
            return RoomServerLink(stream, peer, parts.chat, parts.journal, config, address=address)
        return PlainLink(stream, peer, parts.chat, parts.journal, config, direction="out", address=address)

    async def _open(self, wanted: Peer, address: str) -> trio.SocketStream:
        host, port = parse_address(address)
        faults = self._handshake_parts.faults
        with trio.move_on_after(DIAL_S):
            await faults.wait_passable(wanted)
            return faults.wrap(await self._parts.runtime.dial(host, port), wanted)
        raise DialFailed([(address, f"no answer within {DIAL_S:g} s")])

    def _apply_refusal(self, wanted: Peer, address: str, refused: handshake.HandshakeRefused) -> Peer:
        """Update the peer after a refusal; return the peer that was identified at that address, else `wanted`."""
        registry, peer = self._registry, refused.peer or wanted
        registry.merge(wanted, peer)
        if refused.reason in ENDS_REDIALING:
            registry.persistent.remove(peer, None if refused.peer else address)
        if not peer.is_up and refused.reason != "pending":
            registry.set_state(peer, "dialing" if peer.persistent_addresses else "down", str(refused))
        return peer

    # -- redialing

    def _start_task(self, peer: Peer, within: float) -> None:
        """Start the redialing task of a persistent peer; its first attempt is at most `within` seconds from now."""
        if peer.persistent_addresses and peer not in self._tasks and not self._stopping:
            self._tasks.add(peer)
            self._nursery.start_soon(self._keep_dialed, peer, self._parts.runtime.random.uniform(0, within))

    async def _keep_dialed(self, peer: Peer, wait: float) -> None:
        """Redial as long as the peer is persistent."""
        backoff = Backoff(self._config.redial_min, self._config.redial_max, self._parts.runtime.random)
        while peer.persistent_addresses:
            if peer.is_up:
                since = trio.current_time()
                await self._wait_until(peer, up=False)
                if trio.current_time() - since >= STABLE_S:
                    backoff.reset()
            else:
                with trio.move_on_after(PENDING_S if peer.state == "pending" else wait):
                    await self._wait_until(peer, up=True)
                if peer.persistent_addresses and not peer.is_up:
                    await self._redial(peer, peer.persistent_addresses[0])
            wait = backoff.next()
        self._tasks.discard(peer)

    async def _wait_until(self, peer: Peer, *, up: bool) -> None:
        """Wait until the peer is up (or down), is no longer persistent, or is no longer pending."""
        was_pending = peer.state == "pending"
        while peer.is_up != up and peer.persistent_addresses:
            if was_pending and peer.state != "pending":
                return
            await peer.changed.wait()

    async def _redial(self, peer: Peer, address: str) -> None:
        """One attempt. The peer that answers gets the persistent address."""
        persistent, before = self._registry.persistent, peer.reason
        async with self._locks.setdefault(address, trio.Lock()):
            if peer.is_up or address not in peer.persistent_addresses:
                return
            try:
                answering = await self._dial(
                    peer, address, "connect" if persistent.is_fresh(peer, address) else "redial"
                )
            except DialFailed as failed:
                answering = peer
                if address in peer.persistent_addresses:
                    self._registry.set_state(peer, "dialing", failed.attempts[0][1])
            except handshake.HandshakeRefused as refused:
                answering = self._apply_refusal(peer, address, refused)
            if not answering.is_up and address in answering.persistent_addresses:
                persistent.put_last(answering, address)
        self._start_task(answering, self._config.redial_min)
        if not answering.is_up and answering.reason != before:
            fields = answering.log_fields | {"address": address, "reason": answering.reason}
            log.info("redial of peer %(peer)s failed (%(address)s): %(reason)s", fields)

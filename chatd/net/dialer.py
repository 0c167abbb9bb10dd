"""Dialer: connections that we make; on request, and again and again for those that are wished for.

What is wished for is in peers/persistent.py: peers of the configuration, and what `connect` has reached or is to keep.
One task for each peer that has a wish redials its addresses in turn, with back-off, while it has no link.
"""

import logging
from weakref import WeakValueDictionary

import trio

from chatd.api.errors import ControlError
from chatd.config.values import format_address, parse_address
from chatd.net.backoff import STABLE_S, Backoff
from chatd.net.dial_errors import already, connect_failed, refusal
from chatd.net.links import Links
from chatd.net.native import handshake
from chatd.net.native.link import NativeLink
from chatd.net.plain.link import PlainLink
from chatd.net.plain.room_server import RoomServerLink
from chatd.peers.peer import Peer
from chatd.rooms.nicks import for_node
from chatd.runtime import DialFailed
from chatd.wire.dialects import NAME

DIAL_S = 10.0  # for the TCP connection
PENDING_S = 30.0  # between two tries while the other side has to accept us
CLOSE_S = 3.0  # for a link to close, once everything is delivered
SPREAD_S = 0.005  # for each of many wishes at the start: a handshake takes about that long on both sides together
SETTLE_S = 4.0  # for one of two links to go: a Ping that is not answered, and a goodbye
ENDS_THE_WISH = ("terminated", "denied", "self")
log = logging.getLogger("chatd.dialer")


class Dialer:
    """All dialing of one node.

    Resource handling: `run` owns the redialing tasks; links live in `links`. Error handling: `connect` and `terminate`
    raise ControlError; redialing logs why it failed, once for each reason.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._config = links.config
        self._registry = links.registry
        self._nursery: trio.Nursery
        self._locks = WeakValueDictionary[str, trio.Lock]()  # address -> held while it is dialed
        self._kept: set[Peer] = set()  # peers that have their redialing task
        self._stopping = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Redial what is wished for, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._begin()
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._stopping = True

    def _begin(self) -> None:
        """Wishes of former runs and of the configuration, but not of it who was terminated or denied."""
        registry, config = self._registry, self._config
        for text in config.peers:
            address = format_address(*parse_address(text))
            peer = registry.at_address(address)
            if not peer.terminated and peer.trust != "denied":
                registry.persistent.add(peer, address, lasting=False)
        wished = [peer for peer in registry if peer.persistent_addresses]
        for peer in wished:
            registry.set_state(peer, "dialing")
            self._redialing(peer, SPREAD_S * len(wished))

    # -- the verbs

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
        """Dial, and give the peer once it is up. Raises ControlError: conflict, connect_failed, forbidden, timeout."""
        address = format_address(host, port)
        try:
            parse_address(address)
        except ValueError:
            hint = "it takes a name or an address, like bob.example, 192.0.2.1 or ::1"
            raise ControlError("connect_failed", f"{host[:64]!r} is no host", hint) from None
        try:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                async with self._locks.setdefault(address, trio.Lock()):
                    wanted = self._wanted(address, plain=plain or dialect is not None)
                    return await self._connect(wanted, address, self._manner(wanted, plain, dialect, nick), keep=keep)
        finally:
            await self._links.journal.settled()  # the wish is on disk, or that is full
        message = f"{address} has not answered within {timeout:g} s"
        raise ControlError("timeout", message, "raise --timeout, or look whether it runs")

    def _wanted(self, address: str, *, plain: bool) -> Peer:
        """Who is dialed there. A room server is met as one also by who gives only its address: a chatd's first words
        would be said to everybody in it.
        """
        rooms = (
            peer for peer in self._registry if peer.dialect and (peer.is_up or address in peer.persistent_addresses)
        )
        known = next((peer for peer in rooms if peer.address == address), None)
        return known or self._registry.at_address(address, "plain" if plain else "native")

    def _manner(self, wanted: Peer, plain: bool, dialect: str | None, nick: str | None) -> tuple[str | None, str]:
        """In which dialect it is met, and as whom: what is not said is as it was."""
        if dialect is None and not plain:
            return wanted.dialect, wanted.nick
        if dialect != NAME:
            return dialect, ""
        return dialect, nick or wanted.nick or for_node(self._config.name)

    async def _connect(self, wanted: Peer, address: str, manner: tuple[str | None, str], *, keep: bool) -> Peer:
        if wanted.is_up:
            raise already(wanted)
        peer, before, up_before = wanted, (wanted.dialect, wanted.nick), self._registry.up()
        self._registry.persistent.set_dialect(wanted, *manner)
        try:
            peer = await self._dial(wanted, address, "connect")
            keep = keep or peer.kind == "native"
        except handshake.HandshakeRefused as refused:
            peer = self._heed(wanted, address, refused)
            if refused.reason != "duplicate" or not peer.is_up or peer in up_before:
                keep = (keep or refused.reason == "pending") and refused.reason not in ENDS_THE_WISH
                raise refusal(address, refused, self._links.identity.node) from None
            keep = True  # both sides dialed, and the other link was up first
        except DialFailed as failed:
            raise connect_failed(address, failed.attempts, keep=keep) from None
        finally:
            if not peer.is_up and not keep:
                self._registry.persistent.set_dialect(wanted, *before)
            self._after(peer, address, keep=keep)
        await self._one_link(peer)
        return peer

    async def _one_link(self, peer: Peer) -> None:
        """Where both sides dialed: wait until it is settled which link stays."""
        with trio.move_on_after(SETTLE_S):
            while len(peer.links) > 1:
                await peer.changed.wait()

    def _after(self, peer: Peer, address: str, *, keep: bool) -> None:
        """What a `connect` leaves behind: a wish, or nothing of somebody who was never reached."""
        if self._registry.by_stream_id(peer.stream_id) is not peer:  # it said who it is, and then the time was over
            peer = self._registry.at_address(address, peer.kind)
        if peer.dialect is not None and (keep or peer.is_up):
            self._no_chatd_at(address)
        if keep:
            self._registry.clear_terminated(peer)
            self._registry.persistent.add(peer, address, fresh=not peer.is_up)
            self._redialing(peer, self._config.redial_min)
        elif not peer.persistent_addresses and not peer.is_up:
            if peer.node is None:
                self._registry.forget(peer)
            elif peer.state == "dialing":
                self._registry.set_state(peer, "down", "not reached")

    def _no_chatd_at(self, address: str) -> None:
        """It is a room server: who was expected there as a chatd, and has never answered, is not redialed."""
        for peer in [peer for peer in self._registry if peer.kind == "native" and peer.node is None]:
            if address in peer.persistent_addresses:
                self._registry.forget(peer)

    async def terminate(self, peer: Peer) -> int:
        """End the wish, deliver what was accepted, close; gives how many messages stay behind."""
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
        await self._links.journal.settled()
        return peer.delivery.outbox.count + sum(link.unsent for link in links)

    # -- one dial

    async def _dial(self, wanted: Peer, address: str, why: str) -> Peer:
        """Connect; the link is up when this returns. `why` is "connect" or "redial". Raises DialFailed, Refused."""
        wanted.set_address(address)
        wished = bool(wanted.persistent_addresses)
        if wanted.state != "pending":
            self._registry.set_state(wanted, "dialing", wanted.reason)
        stream = await self._open(wanted, address)
        links = self._links
        link: PlainLink | NativeLink
        if wanted.kind == "plain":
            peer, link = wanted, self._plain_link(stream, wanted, address)
        else:
            established = await handshake.as_dialer(links, stream, why, wanted)
            peer = established.peer
            link = NativeLink(links, established, direction="out", address=address)
        links.attach(peer, link)
        links.nursery.start_soon(links.serve, peer, link, link.run)
        if wished and not peer.persistent_addresses:  # ended while we dialed
            link.close("terminated")
        elif why == "connect":
            self._registry.clear_terminated(peer)
        if address in peer.persistent_addresses:
            self._registry.persistent.add(peer, address, lasting=False)
        return peer

    def _plain_link(self, stream: trio.SocketStream, peer: Peer, address: str) -> PlainLink:
        links, config = self._links, self._config
        if peer.dialect is not None:
            return RoomServerLink(stream, peer, links.chat, links.journal, config, address=address)
        return PlainLink(stream, peer, links.chat, links.journal, config, direction="out", address=address)

    async def _open(self, wanted: Peer, address: str) -> trio.SocketStream:
        host, port = parse_address(address)
        faults = self._links.faults
        with trio.move_on_after(DIAL_S):
            await faults.passable(wanted)
            return faults.wrap(await self._links.runtime.dial(host, port), wanted)
        raise DialFailed([(address, f"no answer within {DIAL_S:g} s")])

    def _heed(self, wanted: Peer, address: str, refused: handshake.HandshakeRefused) -> Peer:
        """What a refusal means for the peer and its wishes; gives the peer that it turned out to be."""
        registry, peer = self._registry, refused.peer or wanted
        registry.merge(wanted, peer)
        if refused.reason in ENDS_THE_WISH:
            registry.persistent.remove(peer, None if refused.peer else address)
        if not peer.is_up and refused.reason != "pending":
            registry.set_state(peer, "dialing" if peer.persistent_addresses else "down", str(refused))
        return peer

    # -- again and again

    def _redialing(self, peer: Peer, within: float) -> None:
        """See to it that the peer is redialed, for the first time within so many seconds."""
        if peer.persistent_addresses and peer not in self._kept and not self._stopping:
            self._kept.add(peer)
            self._nursery.start_soon(self._keep, peer, self._links.runtime.random.uniform(0, within))

    async def _keep(self, peer: Peer, wait: float) -> None:
        """Redial while there is a wish."""
        backoff = Backoff(self._config.redial_min, self._config.redial_max, self._links.runtime.random)
        while peer.persistent_addresses:
            if peer.is_up:
                since = trio.current_time()
                await self._until(peer, up=False)
                if trio.current_time() - since >= STABLE_S:
                    backoff.reset()
            else:
                with trio.move_on_after(PENDING_S if peer.state == "pending" else wait):
                    await self._until(peer, up=True)
                if peer.persistent_addresses and not peer.is_up:
                    await self._redial(peer, peer.persistent_addresses[0])
            wait = backoff.next()
        self._kept.discard(peer)

    async def _until(self, peer: Peer, *, up: bool) -> None:
        """Until the peer is up (or not), its wish has ended, or it was accepted."""
        was_pending = peer.state == "pending"
        while peer.is_up != up and peer.persistent_addresses:
            if was_pending and peer.state != "pending":
                return
            await peer.changed.wait()

    async def _redial(self, peer: Peer, address: str) -> None:
        """One try. Whoever answers has the wish from then on."""
        wishes, before = self._registry.persistent, peer.reason
        async with self._locks.setdefault(address, trio.Lock()):
            if peer.is_up or address not in peer.persistent_addresses:
                return
            try:
                found = await self._dial(peer, address, "connect" if wishes.is_fresh(peer, address) else "redial")
            except DialFailed as failed:
                found = peer
                if address in peer.persistent_addresses:
                    self._registry.set_state(peer, "dialing", failed.attempts[0][1])
            except handshake.HandshakeRefused as refused:
                found = self._heed(peer, address, refused)
            if not found.is_up and address in found.persistent_addresses:
                wishes.put_last(found, address)
        self._redialing(found, self._config.redial_min)
        if found.reason != before:
            log.info("%s at %s: %s", found.shown, address, found.reason)

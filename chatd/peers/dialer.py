"""Dialer: connections that we make; on request, and again and again for those that are wished for.

A wish is an address: peers of the configuration, and what `connect` has reached. One task for each redials it with
back-off while it has no link. `terminate`, and a Bye that says so, end the wish for this run.
"""

import logging
from weakref import WeakValueDictionary

import trio

from chatd.api.errors import ControlError
from chatd.config import format_address, parse_address
from chatd.core.peer import Peer
from chatd.peers import handshake
from chatd.peers.backoff import STABLE_S, Backoff
from chatd.peers.links import Links
from chatd.peers.native import NativeLink
from chatd.peers.plain import PlainLink
from chatd.runtime import DialFailed

DIAL_S = 10.0  # for the TCP connection
PENDING_S = 30.0  # between two tries while the other side has to accept us
CLOSE_S = 3.0  # for a link to close, once everything is delivered
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
        self._kept: set[tuple[Peer, str]] = set()  # wishes that have their task

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Redial what is wished for, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for text in self._config.peers:
                address = format_address(*parse_address(text))
                peer = self._registry.wanted(address)
                self._registry.set_state(peer, "dialing")
                self._wish(peer, address)
            task_status.started()
            await trio.sleep_forever()

    # -- the verbs

    async def connect(self, host: str, port: int, *, plain: bool, keep: bool, timeout: float | None) -> Peer:
        """Dial, and give the peer once it is up. Raises ControlError: conflict, connect_failed, forbidden, timeout."""
        address = format_address(host, port)
        try:
            parse_address(address)
        except ValueError:
            hint = "it takes a name or an address, like bob.example, 192.0.2.1 or ::1"
            raise ControlError("connect_failed", f"{host[:64]!r} is no host", hint) from None
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            async with self._locks.setdefault(address, trio.Lock()):
                return await self._connect(address, plain=plain, keep=keep)
        message = f"{address} has not answered within {timeout:g} s"
        raise ControlError("timeout", message, "raise --timeout, or look whether it runs")

    async def _connect(self, address: str, *, plain: bool, keep: bool) -> Peer:
        peer = wanted = self._registry.wanted(address, "plain" if plain else "native")
        if wanted.is_up:
            raise _already(wanted)
        up_before = self._registry.up()
        try:
            peer = await self._dial(wanted, address, "connect")
            keep = keep or peer.kind == "native"
        except handshake.Refused as refused:
            peer = self._heed(wanted, refused)
            if refused.reason != "duplicate" or not peer.is_up or peer in up_before:
                keep = (keep or refused.reason == "pending") and refused.reason not in ENDS_THE_WISH
                raise _refusal(address, refused) from None
            keep = True  # both sides dialed, and the other link was up first
        except DialFailed as failed:
            raise _connect_failed(address, failed.attempts, keep=keep) from None
        finally:
            self._after(peer, address, keep=keep)
        await self._one_link(peer)
        return peer

    async def _one_link(self, peer: Peer) -> None:
        """Where both sides dialed: wait until it is settled which link stays."""
        with trio.move_on_after(SETTLE_S):
            while len(peer.links) > 1:
                await self._registry.changed.wait()

    def _after(self, peer: Peer, address: str, *, keep: bool) -> None:
        """What a `connect` leaves behind: a wish, or nothing of somebody who was never reached."""
        if keep:
            self._wish(peer, address)
        elif peer.wish is None and not peer.is_up:
            if peer.node is None:
                self._registry.forget(peer)
            elif peer.state == "dialing":
                self._registry.set_state(peer, "down", "not reached")

    async def terminate(self, peer: Peer) -> int:
        """Deliver what was accepted, end the wish, close; gives how many messages stay behind."""
        if not peer.links and peer.wish is None and peer.state != "pending":
            raise ControlError("peer_offline", f"{peer.name} is not connected", "`chatctl list` shows who is")
        peer.wish = None
        peer.terminated = peer.kind == "native"
        with trio.move_on_after(self._config.terminate_timeout):
            while peer.unacked and peer.links:
                await peer.acked.wait()
        links = list(peer.links)
        for link in links:
            link.close("terminated")
        with trio.move_on_after(self._config.terminate_timeout + CLOSE_S):
            while any(link in peer.links for link in links):
                await self._registry.changed.wait()
        if not peer.links:
            self._registry.set_state(peer, "down", "terminated")
        return len(peer.unacked) + sum(link.unsent for link in links)

    # -- one dial

    async def _dial(self, wanted: Peer, address: str, why: str) -> Peer:
        """Connect; the link is up when this returns. `why` is "connect" or "redial". Raises DialFailed, Refused."""
        if wanted.state != "pending":
            self._registry.set_state(wanted, "dialing", wanted.reason)
        stream = await self._open(address)
        links = self._links
        link: PlainLink | NativeLink
        if wanted.kind == "plain":
            peer = wanted
            config = self._config
            link = PlainLink(stream, peer, links.chat, links.journal, config, direction="out", address=address)
        else:
            established = await handshake.as_dialer(links, stream, why, wanted)
            peer = established.peer
            link = NativeLink(links, established, direction="out", address=address)
        links.attach(peer, link)
        links.nursery.start_soon(links.serve, peer, link, link.run)
        if why == "redial" and peer.wish is None:  # ended while we dialed
            link.close("terminated")
        else:
            peer.terminated = False
        return peer

    async def _open(self, address: str) -> trio.SocketStream:
        host, port = parse_address(address)
        with trio.move_on_after(DIAL_S):
            return await self._links.runtime.dial(host, port)
        raise DialFailed([(address, f"no answer within {DIAL_S:g} s")])

    def _heed(self, wanted: Peer, refused: handshake.Refused) -> Peer:
        """What a refusal means for the peer and its wish; gives the peer that it turned out to be."""
        peer = refused.peer or wanted
        if refused.reason == "duplicate" and refused.peer is not None and not refused.theirs:
            self._registry.merge(wanted, peer)
        elif refused.reason in ENDS_THE_WISH:
            wanted.wish = peer.wish = None
            self._registry.set_state(peer, "down", str(refused))
        elif refused.reason != "pending":
            self._registry.set_state(peer, "dialing", str(refused))
        return peer

    # -- again and again

    def _wish(self, peer: Peer, address: str) -> None:
        """Redial that address from now on, unless another one is redialed for the peer already."""
        if peer.wish is None:
            peer.wish = address
            self._registry.changed.notify()
        if peer.wish == address and (peer, address) not in self._kept:
            self._kept.add((peer, address))
            self._nursery.start_soon(self._keep, peer, address)

    async def _keep(self, peer: Peer, address: str) -> None:
        """Redial while the wish lasts, which may turn out to be one for a peer that we know already."""
        backoff = Backoff(self._config.redial_min, self._config.redial_max, self._links.runtime.random)
        wait, found = PENDING_S if peer.state == "pending" else 0.0, peer
        while peer.wish == address and found is peer:
            if peer.is_up:
                since = trio.current_time()
                await self._until(peer, address, up=False)
                if trio.current_time() - since >= STABLE_S:
                    backoff.reset()
            else:
                with trio.move_on_after(wait):
                    await self._until(peer, address, up=True)
                if self._lacks_link(peer, address):
                    found = await self._redial(peer, address)
            wait = PENDING_S if peer.state == "pending" else backoff.next()
        self._kept.discard((peer, address))
        if found.wish == address:
            self._wish(found, address)

    def _lacks_link(self, peer: Peer, address: str) -> bool:
        return peer.wish == address and not peer.is_up

    async def _until(self, peer: Peer, address: str, *, up: bool) -> None:
        """Until the peer is up (or not), its wish has ended, or it was accepted."""
        was_pending = peer.state == "pending"
        while peer.is_up != up and peer.wish == address:
            if was_pending and peer.state != "pending":
                return
            await self._registry.changed.wait()

    async def _redial(self, peer: Peer, address: str) -> Peer:
        """One try; gives the peer that answered, or the same one."""
        before = peer.reason
        async with self._locks.setdefault(address, trio.Lock()):
            if peer.is_up:
                return peer
            try:
                return await self._dial(peer, address, "redial")
            except DialFailed as failed:
                self._registry.set_state(peer, "dialing", failed.attempts[0][1])
            except handshake.Refused as refused:
                peer = self._heed(peer, refused)
        if peer.reason != before:
            log.info("%s at %s: %s", peer.shown, address, peer.reason)
        return peer


def _already(peer: Peer) -> ControlError:
    message = f"{peer.shown} is connected already, slot {peer.slot}"
    hint = "send to it, or terminate it first"
    return ControlError("conflict", message, hint, reason="already_connected", slot=peer.slot)


def _connect_failed(address: str, attempts: list[tuple[str, str]], *, keep: bool) -> ControlError:
    tried = "; ".join(why if where == address else f"{where}: {why}" for where, why in attempts)
    hint = "it is redialed from now on" if keep else "look whether it runs and can be reached, or add --keep"
    shown = [{"address": where, "reason": why} for where, why in attempts]
    return ControlError("connect_failed", f"cannot connect to {address}: {tried}", hint, attempts=shown)


def _refusal(address: str, refused: handshake.Refused) -> ControlError:
    """The answer to a `connect` that reached somebody."""
    if refused.reason == "self":
        return ControlError("conflict", f"{address} is this node itself", "connect to another one", reason="self")
    if refused.reason == "duplicate" and refused.peer is not None:
        return _already(refused.peer)
    if refused.reason == "pending":
        where = "there" if refused.theirs else "here"
        hint = f"say `chatctl peer accept` {where}; it is redialed meanwhile"
        return ControlError("forbidden", str(refused), hint)
    if refused.reason == "denied":
        where = "there" if refused.theirs else "here"
        return ControlError("forbidden", f"{address}: {refused}", f"`chatctl peer accept` {where} changes that")
    error = _connect_failed(address, [(address, str(refused))], keep=False)
    if not refused.theirs:
        error.hint = "it may be no chatd: `connect --plain` is for nc and other plain programs"
    return error

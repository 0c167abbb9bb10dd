"""The dialer: what a `connect` leaves behind, and when what is wished for is dialed again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.core.identity import Identity
from chatd.core.peer import Peer
from chatd.peers.backoff import Backoff
from chatd.peers.dialer import Dialer
from chatd.peers.links import Links
from chatd.runtime import DialFailed, Runtime
from chatd.wire.frames import Bye, Frame, Hello, Resume
from tests.peers.handmade import Handmade, hello, new_identity
from tests.peers.stand import linking

BOB = "192.0.2.1:7420"


class Highest(Random):
    """Full jitter at its longest, so that waits are exact."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Wire(Runtime):
    """Dials as a test says: each dial takes the next answer, a function of the stream's other end, or an error."""

    def __init__(self) -> None:
        super().__init__()
        self.random = Highest()
        self.dialed: list[str] = []
        self.answers: list[Callable[[trio.SocketStream], Awaitable[None]]] = []
        self.streams: list[trio.SocketStream] = []
        self.changed = trio.Event()
        self.nursery: trio.Nursery

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        self.dialed.append(f"{host}:{port}")
        self.changed.set()
        self.changed = trio.Event()
        await trio.lowlevel.checkpoint()
        if not self.answers:
            raise DialFailed([(f"{host}:{port}", "connection refused")])
        answer = self.answers.pop(0)
        ours, theirs = trio.socket.socketpair()
        self.nursery.start_soon(answer, trio.SocketStream(theirs))
        return trio.SocketStream(ours)

    async def wait_dialed(self, count: int) -> None:
        """Until so many dials were made."""
        while len(self.dialed) < count:
            await self.changed.wait()


def serving(
    identity: Identity, *frames: Frame, heard: list[Frame] | None = None
) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """An acceptor that says those frames (a good start, without any), and then listens."""

    async def serve(stream: trio.SocketStream) -> None:
        async with await Handmade.over(stream, identity, server_side=True) as peer:
            first = await peer.next()
            if heard is not None and first is not None:
                heard.append(first)
            await peer.send(*(frames or (hello(dial="answer", name="bob"), Resume("handmade", 0))))
            found = await peer.rest()
            if heard is not None:
                heard.extend(found)

    return serve


@asynccontextmanager
async def dialing(**settings: object) -> AsyncIterator[tuple[Dialer, Links, Wire]]:
    """A running dialer on a wire without a network."""
    wire = Wire()
    quick = {"redial_min": 0.01, "redial_max": 0.04}
    async with linking(wire, **(quick | settings)) as links, trio.open_nursery() as nursery:
        wire.nursery = nursery
        dialer = Dialer(links)
        await nursery.start(dialer.run)
        yield dialer, links, wire
        await links.goodbye()
        nursery.cancel_scope.cancel()


async def connect(dialer: Dialer, address: str = BOB, *, plain: bool = False, keep: bool = False) -> Peer:
    host, _, port = address.partition(":")
    return await dialer.connect(host, int(port), plain=plain, keep=keep, timeout=None)


async def down(links: Links, peer: Peer) -> None:
    """Until it has no link."""
    while peer.is_up:
        await links.registry.changed.wait()


async def test_a_connect_is_a_wish_and_says_connect_and_a_redial_says_redial() -> None:
    async with dialing() as (dialer, links, wire):
        heard: list[Frame] = []
        bob = new_identity()
        wire.answers = [serving(bob, heard=heard), serving(bob, heard=heard)]
        peer = await connect(dialer)
        assert (peer.name, peer.wish, peer.address, peer.slot) == ("bob", BOB, BOB, 0)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(2)
        while len(peer.links) != 1 or peer.links[0].reason is not None:
            await links.registry.changed.wait()
        assert [frame.dial for frame in heard if isinstance(frame, Hello)] == ["connect", "redial"]


async def test_a_first_dial_that_fails_leaves_nothing_and_tells_every_address() -> None:
    async with dialing() as (dialer, links, wire):
        with pytest.raises(ControlError) as failed:
            await connect(dialer)
        assert failed.value.kind == "connect_failed"
        assert failed.value.details["attempts"] == [{"address": BOB, "reason": "connection refused"}]
        assert list(links.registry) == []
        await trio.testing.wait_all_tasks_blocked()
        assert wire.dialed == [BOB]


async def test_with_keep_it_is_dialed_again_and_again() -> None:
    async with dialing() as (dialer, links, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        await wire.wait_dialed(4)
        (peer,) = links.registry
        assert (peer.state, peer.reason, peer.wish) == ("dialing", "connection refused", BOB)


@pytest.mark.parametrize("host", ["a b", "x" * 300, "12345", "-h", "bob:1", "", "bob\n", "[::1]", "\ud800"])
async def test_what_is_no_host_is_refused_and_not_dialed(host: str) -> None:
    async with dialing() as (dialer, links, wire):
        with pytest.raises(ControlError, match="is no host") as refused:
            await dialer.connect(host, 7420, plain=False, keep=False, timeout=None)
        assert refused.value.kind == "connect_failed"
        assert wire.dialed == []
        assert list(links.registry) == []


@pytest.mark.parametrize(("reason", "again"), [("shutdown", True), ("storage_full", True), ("too_large", True)])
async def test_after_these_a_link_is_dialed_again(reason: str, *, again: bool) -> None:
    async with dialing() as (dialer, _, wire):
        bob = new_identity()
        wire.answers = [serving(bob, hello(dial="answer"), Resume("handmade", 0), Bye(reason)), serving(bob)]
        await connect(dialer)
        await wire.wait_dialed(2)


@pytest.mark.parametrize("reason", ["terminated", "denied"])
async def test_after_these_it_is_not_dialed_again(reason: str) -> None:
    async with dialing() as (dialer, links, wire):
        frames = (hello(dial="answer"), Resume("handmade", 0), Bye(reason))
        wire.answers = [serving(new_identity(), *frames)]
        peer = await connect(dialer)
        await down(links, peer)
        assert peer.wish is None
        await trio.testing.wait_all_tasks_blocked()
        assert wire.dialed == [BOB]
        assert dialer._kept == set()


@pytest.mark.parametrize("reason", ["terminated", "denied"])
async def test_a_redial_that_is_refused_with_these_is_the_last(reason: str) -> None:
    async with dialing() as (dialer, links, wire):
        bob = new_identity()
        wire.answers = [serving(bob), serving(bob, Bye(reason))]
        peer = await connect(dialer)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(2)
        while peer.wish is not None:
            await links.registry.changed.wait()
        assert peer.state == "down"


async def test_a_pending_answer_is_dialed_again_after_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatd.peers.dialer.PENDING_S", 0.05)
    async with dialing() as (dialer, links, wire):
        bob = new_identity()
        wire.answers = [serving(bob, hello(dial="answer"), Bye("pending"))] * 2 + [serving(bob)]
        with pytest.raises(ControlError) as refused:
            await connect(dialer)
        assert refused.value.kind == "forbidden"
        (peer,) = links.registry
        assert (peer.state, peer.wish) == ("pending", BOB)
        states = set()
        while not peer.is_up:
            states.add(peer.state)
            await links.registry.changed.wait()
        assert states <= {"pending", "up"}
        assert len(wire.dialed) == 3


async def test_terminate_ends_the_wish_also_while_it_is_dialed() -> None:
    async with dialing() as (dialer, links, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        (peer,) = links.registry
        held, gate = trio.Event(), trio.Event()

        async def hold(stream: trio.SocketStream) -> None:
            held.set()
            await gate.wait()
            await serving(bob, heard=heard)(stream)

        bob, heard = new_identity(), list[Frame]()
        wire.answers = [hold]
        await held.wait()
        assert await dialer.terminate(peer) == 0
        gate.set()
        while not heard or heard[-1] != Bye("terminated"):
            await links.registry.changed.wait()
        assert peer.wish is None


async def test_back_off_grows_while_it_fails_and_begins_anew_after_a_stable_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    real = Backoff.next

    def noted(backoff: Backoff) -> float:
        waits.append(real(backoff))
        return waits[-1]

    monkeypatch.setattr(Backoff, "next", noted)
    monkeypatch.setattr("chatd.peers.dialer.STABLE_S", 0.0)
    async with dialing() as (dialer, links, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        await wire.wait_dialed(6)
        assert waits[:4] == [0.01, 0.02, 0.04, 0.04]
        wire.answers = [serving(new_identity())]
        (peer,) = links.registry
        while not peer.is_up:
            await links.registry.changed.wait()
        await trio.testing.wait_all_tasks_blocked()  # it is waiting for the end now
        before = len(waits)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(len(wire.dialed) + 1)
        assert waits[before] == 0.01


async def test_a_second_wish_for_the_same_address_is_not_dialed_twice() -> None:
    async with dialing(peers=[BOB]) as (dialer, links, wire):
        await wire.wait_dialed(1)
        bob = new_identity()
        wire.answers = [serving(bob)] * 5
        with suppress(ControlError):  # already connected, when the redial was first
            await connect(dialer)
        peer = links.registry.find(0)
        assert peer.is_up
        before = len(wire.dialed)
        await trio.testing.wait_all_tasks_blocked()
        assert len(wire.dialed) == before
        assert dialer._kept == {(peer, BOB)}


async def test_a_wish_whose_address_turns_out_to_be_a_known_peer_goes_on_for_that_peer() -> None:
    async with dialing(peers=[BOB]) as (_, links, wire):
        await wire.wait_dialed(1)
        bob = new_identity()
        known = links.registry.native(bob.node, "bob", "192.0.2.9:7420")
        wire.answers = [serving(bob), serving(bob)]
        while not known.is_up:
            await links.registry.changed.wait()
        assert known.wish == BOB
        known.links[0].drop("cut")  # type: ignore[attr-defined]
        before = len(wire.dialed)
        await wire.wait_dialed(before + 1)
        assert [peer.name for peer in links.registry] == ["bob"]


async def test_a_connect_by_hand_takes_over_the_wish_that_it_is_merged_with() -> None:
    async with dialing(peers=[BOB], redial_min=60, redial_max=60) as (dialer, links, wire):
        while links.registry.find(0).reason is None:  # the first dial has failed, the next one is a minute away
            await links.registry.changed.wait()
        bob = new_identity()
        known = links.registry.native(bob.node, "bob", "192.0.2.9:7420")
        wire.answers = [serving(bob)]
        assert await connect(dialer) is known
        assert known.wish == BOB
        await trio.testing.wait_all_tasks_blocked()
        assert dialer._kept == {(known, BOB)}

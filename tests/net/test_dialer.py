"""The dialer: what a `connect` leaves behind, and when what is wished for is dialed again."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from random import Random

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.net.backoff import STABLE_S
from chatd.net.dialer import PENDING_S, Dialer
from chatd.node import Node
from chatd.peers.identity import Identity
from chatd.peers.peer import Peer
from chatd.runtime import DialFailed
from chatd.wire.frames import Bye, Frame, Hello, PingFrame, PongFrame, Resume
from tests.harness.connections import in_memory
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import World

BOB = "192.0.2.1:7420"


class Highest(Random):
    """Full jitter at its longest, so that waits are exact."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Wire(World):
    """Dials as a test says: each dial takes the next answer, a function of the stream's other end, or an error.

    `times`: when.
    """

    def __init__(self) -> None:
        super().__init__(inline=True)
        self.random = Highest()
        self.dialed: list[str] = []
        self.times: list[float] = []
        self.answers: list[Callable[[trio.SocketStream], Awaitable[None]]] = []
        self.streams: list[trio.SocketStream] = []
        self.changed = trio.Event()
        self.nursery: trio.Nursery

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        self.dialed.append(f"{host}:{port}")
        self.times.append(trio.current_time())
        self.changed.set()
        self.changed = trio.Event()
        if not self.answers:
            raise DialFailed([(f"{host}:{port}", "connection refused")])
        answer = self.answers.pop(0)
        theirs, ours = in_memory()
        self.nursery.start_soon(answer, theirs)
        return ours

    @property
    def waits(self) -> list[float]:
        """Seconds between one dial and the next."""
        return [later - earlier for earlier, later in pairwise(self.times)]

    async def wait_dialed(self, count: int) -> None:
        """Until so many dials were made."""
        while len(self.dialed) < count:
            await self.changed.wait()


def serving(
    identity: Identity, *frames: Frame, heard: list[Frame] | None = None
) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """An acceptor that says those frames (a good start, without any), and then listens and answers Pings."""

    async def serve(stream: trio.SocketStream) -> None:
        async with await Handmade.over(stream, identity, server_side=True) as peer:
            first = await peer.next()
            if heard is not None and first is not None:
                heard.append(first)
            await peer.send(*(frames or (hello(dial="answer", name="bob"), Resume("handmade", 0))))
            while (frame := await peer.next()) is not None:
                if heard is not None:
                    heard.append(frame)
                if isinstance(frame, PingFrame):
                    with suppress(trio.BrokenResourceError):
                        await peer.send(PongFrame(frame.token))

    return serve


@asynccontextmanager
async def dialing(**settings: object) -> AsyncIterator[tuple[Dialer, Node, Wire]]:
    """A running dialer on a wire without a network."""
    wire = Wire()
    async with linking(wire, **({"redial_min": 1, "redial_max": 4} | settings)) as node, trio.open_nursery() as nursery:
        wire.nursery = nursery
        dialer = node.dialer
        await nursery.start(dialer.run)
        yield dialer, node, wire
        await node.links.goodbye()
        nursery.cancel_scope.cancel()


async def connect(
    dialer: Dialer,
    address: str = BOB,
    *,
    plain: bool = False,
    keep: bool = False,
    timeout: float | None = None,
    dialect: str | None = None,
    nick: str | None = None,
) -> Peer:
    host, _, port = address.partition(":")
    return await dialer.connect(host, int(port), plain=plain, keep=keep, timeout=timeout, dialect=dialect, nick=nick)


async def down(node: Node, peer: Peer) -> None:
    """Until it has no link."""
    while peer.is_up:
        await node.registry.changed.wait()


async def test_a_connect_is_a_wish_and_says_connect_and_a_redial_says_redial(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        heard: list[Frame] = []
        bob = new_identity()
        wire.answers = [serving(bob, heard=heard), serving(bob, heard=heard)]
        peer = await connect(dialer)
        assert (peer.name, peer.persistent_addresses, peer.address, peer.slot) == ("bob", [BOB], BOB, 0)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(2)
        while len(peer.links) != 1 or peer.links[0].reason is not None:
            await node.registry.changed.wait()
        assert [frame.dial for frame in heard if isinstance(frame, Hello)] == ["connect", "redial"]


async def test_a_redial_is_logged_when_it_fails_for_another_reason_and_never_when_it_succeeds(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="chatd")
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        caplog.clear()
        wire.answers = [serving(bob)]
        peer = await connect(dialer)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(4)
        wire.answers = [serving(bob)]
        await wire.wait_dialed(5)
        while not peer.is_up:
            await node.registry.changed.wait()
        await trio.sleep(1)
        lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"peer bob connected ({BOB}, outbound)",
        f"peer bob disconnected ({BOB}): cut",
        f"redial of peer bob failed ({BOB}): connection refused",
        f"peer bob connected ({BOB}, outbound)",
    ]


async def test_a_first_dial_that_fails_leaves_nothing_and_tells_every_address(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        with pytest.raises(ControlError) as failed:
            await connect(dialer)
        assert failed.value.kind == "connect_failed"
        assert failed.value.details["attempts"] == [{"address": BOB, "reason": "connection refused"}]
        assert list(node.registry) == []
        await trio.sleep(3600)
        assert wire.dialed == [BOB]


async def test_with_keep_it_is_dialed_again_and_again(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        await wire.wait_dialed(4)
        (peer,) = node.registry
        assert (peer.state, peer.reason, peer.persistent_addresses) == ("dialing", "connection refused", [BOB])


async def test_what_is_no_host_is_refused_and_not_dialed(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        for host in ("a b", "x" * 300, "12345", "-h", "bob:1", "", "bob\n", "[::1]", "\ud800"):
            with pytest.raises(ControlError, match="is no host") as refused:
                await dialer.connect(host, 7420, plain=False, keep=False, timeout=None)
            assert refused.value.kind == "connect_failed"
        assert wire.dialed == []
        assert list(node.registry) == []


@pytest.mark.parametrize("reason", ["shutdown", "of_a_later_version"])
async def test_after_these_a_link_is_dialed_again(reason: str, autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, _, wire):
        bob = new_identity()
        wire.answers = [serving(bob, hello(dial="answer"), Resume("handmade", 0), Bye(reason)), serving(bob)]
        await connect(dialer)
        await wire.wait_dialed(2)


@pytest.mark.parametrize("reason", ["terminated", "denied"])
async def test_after_these_it_is_not_dialed_again(reason: str, autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        frames = (hello(dial="answer"), Resume("handmade", 0), Bye(reason))
        wire.answers = [serving(new_identity(), *frames)]
        peer = await connect(dialer)
        await down(node, peer)
        assert peer.persistent_addresses == []
        await trio.sleep(3600)
        assert wire.dialed == [BOB]
        assert node.journal.store.query("SELECT * FROM wishes") == []


@pytest.mark.parametrize("reason", ["terminated", "denied"])
async def test_a_redial_that_is_refused_with_these_is_the_last(reason: str, autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, _, wire):
        bob = new_identity()
        wire.answers = [serving(bob), serving(bob, Bye(reason))]
        peer = await connect(dialer)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await trio.sleep(3600)
        assert wire.dialed == [BOB, BOB]
        assert (peer.state, peer.persistent_addresses) == ("down", [])


async def test_a_pending_answer_is_dialed_again_after_its_own_time(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        wire.answers = [serving(bob, hello(dial="answer"), Bye("pending"))] * 2 + [serving(bob)]
        with pytest.raises(ControlError) as refused:
            await connect(dialer)
        assert refused.value.kind == "forbidden"
        (peer,) = node.registry
        assert (peer.state, peer.persistent_addresses) == ("pending", [BOB])
        states = set()
        while not peer.is_up:
            states.add(peer.state)
            await node.registry.changed.wait()
        assert states <= {"pending", "up"}
        assert wire.waits == [PENDING_S, PENDING_S]


async def test_terminate_ends_the_wish_also_while_it_is_dialed(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        (peer,) = node.registry
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
            await node.registry.changed.wait()
        assert peer.persistent_addresses == []


@pytest.mark.parametrize(("lives", "again"), [(STABLE_S - 1, 4.0), (STABLE_S, 1.0)])
async def test_back_off_grows_while_it_fails_and_begins_anew_after_a_stable_link(
    lives: float, again: float, autojump_clock: MockClock
) -> None:
    async with dialing() as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        await wire.wait_dialed(6)
        assert wire.waits == [1.0, 1.0, 2.0, 4.0, 4.0]
        wire.answers = [serving(new_identity())]
        (peer,) = node.registry
        while not peer.is_up:
            await node.registry.changed.wait()
        await trio.sleep(lives)
        ended = trio.current_time()
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(8)
        assert wire.times[-1] == ended + again


async def test_a_second_wish_for_the_same_address_is_not_dialed_twice(autojump_clock: MockClock) -> None:
    async with dialing(peers=[BOB]) as (dialer, node, wire):
        await wire.wait_dialed(1)
        bob = new_identity()
        wire.answers = [serving(bob)] * 5
        with suppress(ControlError):  # already connected, when the redial was first
            await connect(dialer)
        peer = node.registry.find(0)
        assert peer.is_up
        before = len(wire.dialed)
        await trio.sleep(3600)
        assert len(wire.dialed) == before
        wire.answers = []
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await trio.sleep(600)
        assert set(wire.waits[-100:]) == {4.0}  # as one that is wished for once


async def test_a_redial_that_waited_for_a_connect_to_its_address_dials_nothing(autojump_clock: MockClock) -> None:
    async with dialing(peers=[BOB]) as (dialer, node, wire), trio.open_nursery() as nursery:
        answer = serving(new_identity())

        async def late(stream: trio.SocketStream) -> None:
            await trio.sleep(5)
            await answer(stream)

        wire.answers = [late]
        nursery.start_soon(connect, dialer)
        await trio.sleep(4)
        assert not node.registry.find(0).is_up
        await trio.sleep(3600)
        assert wire.dialed == [BOB]
        assert node.registry.find(0).is_up


async def test_a_wish_whose_address_turns_out_to_be_a_known_peer_goes_on_for_that_peer(
    autojump_clock: MockClock,
) -> None:
    async with dialing(peers=[BOB]) as (_, node, wire):
        await wire.wait_dialed(1)
        bob = new_identity()
        known = node.registry.native(bob.node, "bob", "192.0.2.9:7420")
        wire.answers = [serving(bob), serving(bob)]
        while not known.is_up:
            await node.registry.changed.wait()
        assert known.persistent_addresses == [BOB]
        known.links[0].drop("cut")  # type: ignore[attr-defined]
        before = len(wire.dialed)
        await wire.wait_dialed(before + 1)
        assert [peer.name for peer in node.registry] == ["bob"]


async def test_a_connect_by_hand_takes_over_the_wish_that_it_is_merged_with(autojump_clock: MockClock) -> None:
    async with dialing(peers=[BOB], redial_min=60, redial_max=60) as (dialer, node, wire):  # dialed in a minute
        bob = new_identity()
        known = node.registry.native(bob.node, "bob", "192.0.2.9:7420")
        wire.answers = [serving(bob)]
        assert await connect(dialer) is known
        assert known.persistent_addresses == [BOB]
        known.links[0].drop("cut")  # type: ignore[attr-defined]
        await trio.sleep(3600)
        assert set(wire.waits[1:]) == {60.0}  # as one that is wished for once


async def test_a_wish_is_on_disk_when_connect_is_answered(autojump_clock: MockClock) -> None:
    async with dialing(redial_min=60, redial_max=60) as (dialer, node, wire):
        query = node.journal.store.query
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        assert query("SELECT address, slot FROM wishes") == [(BOB, 0)]
        wire.answers = [serving(new_identity())]
        await connect(dialer, "192.0.2.2:7420")
        assert query("SELECT address, slot FROM wishes") == [(BOB, 0), ("192.0.2.2:7420", 1)]
        with pytest.raises(ControlError):
            await connect(dialer, "192.0.2.3:7420")
        assert len(query("SELECT * FROM wishes")) == 2


async def test_a_terminate_is_on_disk_when_it_is_answered(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        wire.answers = [serving(new_identity())]
        peer = await connect(dialer)
        assert await dialer.terminate(peer) == 0
        query = node.journal.store.query
        assert query("SELECT * FROM wishes") == []
        assert query("SELECT name, terminated FROM peers") == [("bob", 1)]


async def test_the_addresses_of_a_peer_are_dialed_in_turn_and_the_one_that_answered_first(
    autojump_clock: MockClock,
) -> None:
    other = "192.0.2.9:7420"
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        wire.answers = [serving(bob)]
        peer = await connect(dialer)
        node.registry.persistent.add(peer, other)
        node.registry.persistent.put_last(peer, other)
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await wire.wait_dialed(5)
        assert wire.dialed[1:5] == [BOB, other, BOB, other]
        wire.answers = [serving(bob)]
        while not peer.is_up:
            await node.registry.changed.wait()
        assert peer.persistent_addresses[0] == peer.address == wire.dialed[-1]
        assert sorted(peer.persistent_addresses) == sorted([BOB, other])


async def test_a_wish_of_connect_that_nobody_has_answered_yet_says_connect(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        heard: list[Frame] = []
        bob = new_identity()
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        wire.answers = [serving(bob, heard=heard), serving(bob, heard=heard)]
        peer = node.registry.find(0)
        while not peer.is_up:
            await node.registry.changed.wait()
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        before = len(wire.dialed)
        await wire.wait_dialed(before + 1)
        while not peer.is_up:
            await node.registry.changed.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert [frame.dial for frame in heard if isinstance(frame, Hello)] == ["connect", "redial"]


async def test_a_redial_that_turns_out_to_reach_who_was_terminated_is_the_last(autojump_clock: MockClock) -> None:
    async with dialing(peers=[BOB], redial_min=0.3, redial_max=0.3) as (_, node, wire):
        heard: list[Frame] = []
        bob = new_identity()
        known = node.registry.native(bob.node, "bob", "192.0.2.9:7420")
        node.registry.terminate(known)
        wire.answers = [serving(bob, heard=heard)]
        await wire.wait_dialed(1)
        while len(node.registry.records()) > 1:
            await node.registry.changed.wait()
        assert (known.state, known.persistent_addresses, known.terminated) == ("down", [], True)
        assert heard == [Bye("terminated")]


async def test_a_connect_to_who_was_terminated_forgets_that(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        wire.answers = [serving(bob), serving(bob)]
        peer = await connect(dialer)
        await dialer.terminate(peer)
        assert await connect(dialer) is peer
        assert (peer.terminated, peer.persistent_addresses) == (False, [BOB])
        assert node.journal.store.query("SELECT terminated FROM peers") == [(0,)]


@pytest.mark.parametrize(("count", "within"), [(3, 0.015), (200, 1.0)])
async def test_many_wishes_at_the_start_are_spread_over_time(
    count: int, within: float, autojump_clock: MockClock
) -> None:
    drawn: list[tuple[float, float]] = []

    class Never(Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append((a, b))
            return 1e6

    peers = [f"192.0.{number // 250}.{number % 250}:7420" for number in range(count)]
    wire = Wire()
    wire.random = Never()
    async with linking(wire, peers=peers, redial_min=0.5, redial_max=30.0) as node, trio.open_nursery() as nursery:
        await nursery.start(node.dialer.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert drawn == [(0, within)] * count
    assert wire.dialed == []
    assert {peer.state for peer in node.registry} == {"dialing"}


async def test_a_peer_that_was_forgotten_while_it_was_dialed_is_hung_up_on(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        peer = node.registry.find(0)
        held, gate = trio.Event(), trio.Event()
        bob, heard = new_identity(), list[Frame]()

        async def hold(stream: trio.SocketStream) -> None:
            held.set()
            await gate.wait()
            await serving(bob, heard=heard)(stream)

        wire.answers = [hold]
        await held.wait()
        await node.trust.forget(peer.slot)
        gate.set()
        while not heard or heard[-1] != Bye("terminated"):
            await node.registry.changed.wait()
        before = len(wire.dialed)
        await trio.sleep(3600)
        assert [found.node for found in node.registry] == [bob.node]
        assert node.journal.store.query("SELECT * FROM wishes") == []
        assert len(wire.dialed) == before


# -- room servers


class Room:
    """A room server of either dialect; `heard` has what it was told, one list for each connection."""

    def __init__(self) -> None:
        self.heard: list[list[bytes]] = []
        self.streams: list[trio.SocketStream] = []
        self.changed = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        heard = list[bytes]()
        self.heard.append(heard)
        self.streams.append(stream)
        self._tell()
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for chunk in stream:
                    heard.append(bytes(chunk))
                    self._tell()
                    if chunk in (b"QUIT", b"*exit\n"):
                        return
                    await stream.send_all(b"welcome\n")

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def wait(self, *heard: list[bytes]) -> None:
        """Until that is what it was told, and all that it has said has come."""
        while self.heard != list(heard):
            await self.changed.wait()
        await trio.testing.wait_all_tasks_blocked()


def rows(node: Node) -> list[tuple[object, ...]]:
    """(kind, address, nick) of the wishes on disk."""
    return node.journal.store.query("SELECT kind, address, nick FROM wishes ORDER BY slot")


async def again(node: Node, peer: Peer, room: Room) -> None:
    """The room server hangs up, and the peer is back."""
    room.streams[-1].socket.close()
    await down(node, peer)
    while not peer.is_up:
        await node.registry.changed.wait()


@pytest.mark.parametrize(
    ("dialect", "nick", "told"), [("name", "jane", [b"jane"]), ("name", None, [b"alice"]), ("address", None, [])]
)
async def test_a_room_server_is_told_the_name_that_was_asked_for_or_ours(
    dialect: str, nick: str | None, told: list[bytes], autojump_clock: MockClock
) -> None:
    async with dialing() as (dialer, node, wire):
        room = Room()
        wire.answers = [room]
        peer = await connect(dialer, dialect=dialect, nick=nick)
        assert (peer.kind, peer.record().dialect, peer.persistent_addresses, rows(node)) == ("plain", dialect, [], [])
        await room.wait(told)
        await dialer.terminate(peer)
        await room.wait([*told, b"*exit\n" if dialect == "name" else b"QUIT"])


@pytest.mark.parametrize("dialect", ["name", "address"])
async def test_a_room_server_is_redialed_only_with_keep_and_then_as_before(
    dialect: str, autojump_clock: MockClock
) -> None:
    nick = "jane" if dialect == "name" else None
    told = [b"jane"] if nick else []
    async with dialing() as (dialer, node, wire):
        room = Room()
        wire.answers = [room, room, room]
        peer = await connect(dialer, dialect=dialect, nick=nick)
        await room.wait(told)
        room.streams[-1].socket.close()
        await down(node, peer)
        await trio.sleep(3600)
        assert wire.dialed == [BOB]
        peer = await connect(dialer, dialect=dialect, nick=nick, keep=True)
        assert rows(node) == [(dialect, BOB, nick or "")]
        await room.wait(told, told)
        await again(node, peer, room)
        await room.wait(told, told, told)


async def test_a_room_server_that_is_redialed_need_not_be_described_again(autojump_clock: MockClock) -> None:
    async with dialing(redial_min=60, redial_max=60) as (dialer, node, wire):
        room = Room()
        with pytest.raises(ControlError):
            await connect(dialer, dialect="name", nick="jane", keep=True)
        wire.answers = [room]
        peer = await connect(dialer)
        await room.wait([b"jane"])
        assert list(node.registry) == [peer]
        with pytest.raises(ControlError) as refused:
            await connect(dialer)
        assert refused.value.details["reason"] == "already_connected"


@pytest.mark.parametrize(
    ("way", "told", "row"),
    [
        ({"dialect": "name"}, [b"jane"], ("name", BOB, "jane")),
        ({"dialect": "name", "nick": "joe"}, [b"joe"], ("name", BOB, "joe")),
        ({"dialect": "address"}, [], ("address", BOB, "")),
        ({"plain": True}, [], ("plain", BOB, "")),
    ],
    ids=str,
)
async def test_what_the_newest_connect_says_holds_from_then_on(
    way: dict[str, object], told: list[bytes], row: tuple[str, str, str], autojump_clock: MockClock
) -> None:
    async with dialing(redial_min=60, redial_max=60) as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, dialect="name", nick="jane", keep=True)
        room = Room()
        wire.answers = [room]
        peer = await connect(dialer, **way)  # type: ignore[arg-type]
        await room.wait(told)
        assert (rows(node), peer.persistent_addresses, peer.slot) == ([row], [BOB], 0)


@pytest.mark.parametrize("timeout", [None, 0.02])
async def test_a_connect_that_reaches_nobody_changes_nothing_about_the_wish(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def never(host: str, port: int) -> None:
        await trio.sleep_forever()

    async with dialing(redial_min=60, redial_max=60) as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, dialect="name", nick="jane", keep=True)
        if timeout is not None:
            monkeypatch.setattr(wire, "dial", never)
        with pytest.raises(ControlError):
            await connect(dialer, plain=True, timeout=timeout)
        (peer,) = node.registry
        assert (peer.dialect, peer.nick, rows(node)) == ("name", "jane", [("name", BOB, "jane")])


async def test_who_was_wished_for_as_a_chatd_and_is_a_room_server_is_not_redialed_as_a_chatd(
    autojump_clock: MockClock,
) -> None:
    async with dialing(redial_min=0.3, redial_max=0.3) as (dialer, node, wire):
        with pytest.raises(ControlError):
            await connect(dialer, keep=True)
        room = Room()
        wire.answers = [room]
        peer = await connect(dialer, dialect="address", keep=True)
        assert list(node.registry) == [peer]
        assert rows(node) == [("address", BOB, "")]
        await trio.sleep(3600)
        assert wire.dialed == [BOB, BOB]
        assert peer.is_up


async def test_a_chatd_that_has_answered_there_stays_wished_for(autojump_clock: MockClock) -> None:
    async with dialing() as (dialer, _, wire):
        wire.answers = [serving(new_identity()), Room()]
        bob = await connect(dialer)
        room = await connect(dialer, dialect="address")
        assert (bob.persistent_addresses, room.persistent_addresses) == ([BOB], [])
        assert bob.is_up
        assert room.is_up


@pytest.mark.parametrize("ours", [True, False])
async def test_of_two_addresses_one_that_refuses_is_given_up_and_the_other_is_dialed(
    ours: bool, autojump_clock: MockClock
) -> None:
    """This node itself answers there by now, or a stranger that does not let us in."""
    other = "192.0.2.9:7420"
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        wire.answers = [serving(bob)]
        peer = await connect(dialer)
        node.registry.persistent.add(peer, other)
        node.registry.persistent.put_last(peer, other)
        refusing = serving(node.identity if ours else new_identity(), Bye("denied"))

        async def refuse(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):  # it has seen its own id, and gone
                await refusing(stream)

        wire.answers = [refuse, serving(bob)]
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await trio.sleep(60)
        assert (wire.dialed, peer.is_up) == ([BOB, BOB, other], True)
        assert (peer.persistent_addresses, peer.address) == ([other], other)


async def test_a_peer_that_refuses_at_one_of_its_addresses_is_dialed_at_none(autojump_clock: MockClock) -> None:
    other = "192.0.2.9:7420"
    async with dialing() as (dialer, node, wire):
        bob = new_identity()
        wire.answers = [serving(bob)]
        peer = await connect(dialer)
        node.registry.persistent.add(peer, other)
        node.registry.persistent.put_last(peer, other)
        wire.answers = [serving(bob, Bye("denied"))]
        peer.links[0].drop("cut")  # type: ignore[attr-defined]
        await trio.sleep(3600)
        assert wire.dialed == [BOB, BOB]
        assert (peer.state, peer.is_up, peer.persistent_addresses) == ("down", False, [])

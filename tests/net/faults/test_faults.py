"""Faults: whose links suffer what, for how long, and who comes later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.api.results import Impairment, LinkFaults
from chatd.net.faults import faults as module
from chatd.net.faults.connection import FaultySocket, FaultyStream
from chatd.node import Node
from chatd.peers.peer import Peer
from tests.harness.connections import in_memory
from tests.harness.linked_node import linking
from tests.harness.parts import World

NODE = "k3v9" * 13


@asynccontextmanager
async def standing(**settings: Any) -> AsyncIterator[Node]:
    async with linking(World(inline=True), **{"allow_faults": True, **settings}) as node:
        yield node


def native(node: Node, name: str = "bob") -> Peer:
    return node.registry.native(name[0] * 52, name, f"{name}:7420")


def connection() -> trio.SocketStream:
    return in_memory()[1]


def change(
    node: Node,
    *peers: Peer,
    everybody: bool = False,
    direction: str = "both",
    heal: bool = False,
    lasting: float | None = None,
    **changes: float | bool,
) -> None:
    node.faults.change(None if everybody else peers, direction, changes, heal=heal, lasting=lasting)


def both(**fields: Any) -> LinkFaults:
    return LinkFaults(Impairment(**fields), Impairment(**fields))


def is_shaped(stream: trio.SocketStream) -> bool:
    return cast(FaultySocket, stream.socket).shaped


async def test_where_faults_are_not_allowed_connections_are_left_alone_and_changes_refused() -> None:
    async with linking() as node:
        bob, stream = native(node), connection()
        assert node.faults.wrap(stream, bob) is stream
        node.faults.attach(stream, bob)
        with pytest.raises(ControlError, match="not allowed on this node") as caught:
            change(node, bob, cut=True)
        assert caught.value.kind == "forbidden"
        assert "--allow-faults" in caught.value.hint
        with pytest.raises(ControlError, match="not allowed on this node"):
            node.faults.reset(None)
        assert bob.faults is None


async def test_what_is_named_changes_and_what_is_not_named_stays() -> None:
    async with standing() as node:
        bob = native(node)
        change(node, bob, delay=0.2)
        change(node, bob, direction="out", loss=0.05)
        assert bob.faults == LinkFaults(Impairment(delay=0.2, loss=0.05), Impairment(delay=0.2))
        change(node, bob, delay=0.0)
        assert bob.faults == LinkFaults(Impairment(loss=0.05), Impairment())
        change(node, bob, direction="in", heal=True, cut=True)
        assert bob.faults == LinkFaults(Impairment(loss=0.05), Impairment(cut=True))
        change(node, bob, heal=True)
        assert bob.faults is None
        assert bob.record().faults is None


async def test_a_change_reaches_the_connections_of_that_peer_and_no_others() -> None:
    async with standing() as node:
        bob, carol = native(node), native(node, "carol")
        with_bob, with_carol = node.faults.wrap(connection(), bob), node.faults.wrap(connection(), carol)
        assert isinstance(with_bob, FaultyStream)
        change(node, bob, delay=0.2)
        assert (is_shaped(with_bob), is_shaped(with_carol)) == (True, False)
        later = node.faults.wrap(connection(), bob)
        assert is_shaped(later)


async def test_everybody_is_also_who_comes_later_and_whose_name_is_not_known_yet() -> None:
    async with standing() as node:
        bob = native(node)
        change(node, everybody=True, delay=0.1)
        assert bob.faults == both(delay=0.1)
        nobody = node.faults.wrap(connection())
        assert is_shaped(nobody)
        carol = native(node, "carol")
        node.faults.attach(nobody, carol)
        assert carol.faults == both(delay=0.1)
        change(node, everybody=True, heal=True)
        dave = native(node, "dave")
        node.faults.wrap(connection(), dave)
        assert [peer.faults for peer in (bob, carol, dave)] == [None, None, None]


async def test_one_that_was_healed_stays_so_when_it_comes_again() -> None:
    async with standing(link_faults=["bob cut", "* delay=100ms"]) as node:
        bob, carol = native(node), native(node, "carol")
        for peer in (bob, carol):
            node.faults.wrap(connection(), peer)
        assert (bob.faults, carol.faults) == (both(cut=True), both(delay=0.1))
        change(node, bob, carol, heal=True)
        for peer in (bob, carol):
            node.faults.wrap(connection(), peer)
        assert (bob.faults, carol.faults) == (None, None)


@pytest.mark.parametrize("key", ["bob", "b" * 52, "bob:7420"])
async def test_configured_faults_are_of_a_name_a_node_or_an_address(key: str) -> None:
    async with standing(link_faults=[f"{key} delay=200ms in.loss=5%"]) as node:
        bob = native(node)
        node.registry.remembered.set_known(bob)
        node.faults.attach(node.faults.wrap(connection()), bob)
        assert bob.faults == LinkFaults(Impairment(delay=0.2), Impairment(delay=0.2, loss=0.05))


async def test_a_node_id_in_the_configuration_is_that_node_and_comes_before_a_name_and_an_address() -> None:
    async with standing(link_faults=[f"{'b' * 52} delay=1s", "bob delay=2s", "bob:7420 delay=3s"]) as node:
        liar = node.registry.native("c" * 52, "b" * 52, "bob:7420")  # called as the node, at its address
        bob = native(node)
        for peer in (liar, bob):
            node.faults.attach(node.faults.wrap(connection()), peer)
        assert (bob.faults, liar.faults) == (both(delay=1.0), None)


async def test_faults_of_an_address_go_over_to_the_peer_that_answers_there() -> None:
    async with standing() as node:
        wanted = node.registry.at_address("bob:7420")
        change(node, wanted, delay=0.3, lasting=100)
        known = node.registry.native(NODE, "bob", "elsewhere:1")
        node.registry.native(NODE, "bob", "bob:7420", dialed=wanted)
        node.faults.attach(node.faults.wrap(connection(), wanted), known)
        assert known.faults is not None
        assert known.faults.out == Impairment(delay=0.3)


async def test_after_its_time_what_was_before_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    async with standing() as node:
        bob = native(node)
        change(node, bob, delay=0.1)
        change(node, bob, cut=True, lasting=30)
        assert bob.faults is not None
        assert (bob.faults.out, bob.faults.until) == (Impairment(delay=0.1, cut=True), "2027-01-15T08:00:30.000Z")
        await trio.sleep(20)
        change(node, bob, loss=0.5, lasting=30)  # on top, and longer: one thing ends, to what was before both
        await trio.sleep(15)
        assert bob.faults.out == Impairment(delay=0.1, cut=True, loss=0.5)
        await trio.sleep(16)
        assert bob.faults == both(delay=0.1)


async def test_however_often_something_is_set_for_a_while_one_end_is_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with standing() as node:
        bob, before = native(node), len(node.links.nursery.child_tasks)
        for number in range(100):
            change(node, bob, delay=0.01 * number, lasting=1000.0)
        await trio.sleep(1)
        assert len(node.links.nursery.child_tasks) == before + 1
        change(node, bob, heal=True)
        await trio.sleep(1)
        assert len(node.links.nursery.child_tasks) == before


async def test_what_is_set_to_nothing_is_said_as_nothing() -> None:
    async with standing() as node:
        bob = native(node)
        change(node, bob, delay=0.1, loss=float("0.0"), rate=0, flap=float("0"))
        assert msgspec.json.encode(bob.faults) == b'{"out":{"delay":0.1},"in":{"delay":0.1},"until":null}'
        change(node, everybody=True, delay=float("0"))
        assert node.faults.default is None
        assert bob.faults is None


async def test_what_was_changed_for_good_meanwhile_is_there_when_the_rest_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with standing() as node:
        bob = native(node)
        change(node, bob, delay=1.0, lasting=30)
        await trio.sleep(10)
        change(node, bob, loss=0.05)
        assert bob.faults is not None
        assert (bob.faults.out, bob.faults.until) == (Impairment(delay=1.0, loss=0.05), "2027-01-15T08:00:30.000Z")
        await trio.sleep(21)
        assert bob.faults == both(loss=0.05)
        change(node, bob, cut=True, lasting=30)
        change(node, bob, heal=True)
        assert bob.faults is None
        await trio.sleep(40)
        assert bob.faults is None


async def test_what_was_set_for_good_meanwhile_does_not_end(autojump_clock: trio.testing.MockClock) -> None:
    async with standing() as node:
        bob = native(node)
        change(node, bob, cut=True, lasting=30)
        change(node, bob, cut=False, delay=0.2)
        await trio.sleep(40)
        assert bob.faults == both(delay=0.2)


async def test_those_who_came_under_faults_of_everybody_are_well_when_these_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with standing() as node:
        change(node, everybody=True, delay=0.5, lasting=10)
        bob = native(node)
        node.faults.wrap(connection(), bob)
        assert bob.faults is not None
        assert bob.faults.out == Impairment(delay=0.5)
        await trio.sleep(11)
        assert bob.faults is None
        assert node.faults.default in (None, LinkFaults())


async def test_a_dial_gets_through_only_when_nothing_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    async with standing(link_faults=["bob:7420 cut"]) as node:
        bob = native(node)
        node.registry.remembered.set_known(bob)
        start = trio.current_time()
        with trio.move_on_after(7) as scope:
            await node.faults.wait_passable(bob)
        assert scope.cancelled_caught
        change(node, bob, heal=True, direction="out")
        with trio.move_on_after(7) as scope:
            await node.faults.wait_passable(bob)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.faults.wait_passable, bob)
            await trio.sleep(1)
            change(node, bob, heal=True)
        assert trio.current_time() == start + 15


async def test_a_reset_is_for_the_connections_of_the_peers_that_were_named() -> None:
    async with standing() as node:
        bob, carol = native(node), native(node, "carol")
        with_bob, with_carol = node.faults.wrap(connection(), bob), node.faults.wrap(connection(), carol)
        node.faults.reset([bob])
        with pytest.raises(trio.BrokenResourceError):
            await with_bob.receive_some()
        await with_carol.send_all(b"still here")
        node.faults.reset(None)
        with pytest.raises(trio.BrokenResourceError):
            await with_carol.send_all(b"not any more")


async def test_a_line_says_what_was_asked_beside_what_was_measured(autojump_clock: trio.testing.MockClock) -> None:
    async with standing() as node:
        bob = native(node)
        (line,) = node.faults.records([bob])
        assert (line.faults, line.out, line.in_) == (None, None, None)
        stream = node.faults.wrap(connection(), bob)
        change(node, bob, delay=0.2, direction="out")
        await stream.send_all(b"0123456789")
        await trio.sleep(1)
        (line,) = node.faults.records([bob])
        assert line.out is not None
        assert line.out.bytes == 10
        assert line.out.delay_s == pytest.approx(0.2)
        change(node, bob, delay=0.1)
        (line,) = node.faults.records([bob])
        assert line.out is not None
        assert line.out.bytes == 0  # it is about what there is now


async def test_only_so_many_closed_connections_are_kept_silent(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(module, "LINGERING", 3)
    async with standing() as node:
        bob = native(node)
        change(node, bob, cut=True)
        streams = [node.faults.wrap(connection(), bob) for _ in range(5)]
        for stream in streams:
            await stream.aclose()
        assert [cast(FaultySocket, stream.socket).lingers for stream in streams] == [False, False, True, True, True]
        change(node, bob, heal=True)
        await trio.sleep(1)
        assert not any(cast(FaultySocket, stream.socket).lingers for stream in streams)


async def test_what_is_known_of_peers_that_are_forgotten_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSES", 1)
    async with standing() as node:
        for _ in range(3):
            passing = node.registry.plain("10.0.0.9:1")
            change(node, passing, delay=0.1)
            stream = node.faults.wrap(connection(), passing)
            node.registry.forget(passing)
            cast(FaultySocket, stream.socket).close_now()
        assert node.faults._own == {}
        assert node.faults._meters == {}
        assert node.faults._open == {}

"""Surroundings: which peers are told of, in which order and pages, and when round trips are measured."""

from typing import Any, cast

import pytest
import trio
import trio.testing

from chatd.api.results import LinkFaults
from chatd.journal.batch import Batch
from chatd.net.topology import neighbours as surroundings_module
from chatd.net.topology.neighbours import FRESH_S, KEPT_S, MEASURE_S, Neighbours
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.wire.codec import encode
from chatd.wire.query_frames import NEIGHBOURS_MOST
from tests.harness.explorers import FakeLink, node_id
from tests.harness.parts import lone_peer


def peer(name: str, state: str = "up", kind: str = "native", **fields: Any) -> Peer:
    made = lone_peer(1, 1, kind, name, node_id(name) if kind == "native" else None, "x:1")
    made.state, made.rtt_ms = state, 7.0
    if state == "up":
        made.links.append(FakeLink(made, 0.1))
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def around(*peers: Peer) -> Neighbours:
    return Neighbours(cast(Registry, list(peers)))


async def test_those_that_are_up_come_first() -> None:
    told = around(
        peer("d", "down", persistent_addresses=["x:1"]),
        peer("p", "pending"),
        peer("z"),
        peer("b", "dialing"),
        peer("a"),
    )
    assert [(link.name, link.state, link.rtt_ms) for link in told.records()] == [
        ("a", "up", 7.0),
        ("z", "up", 7.0),
        ("b", "dialing", None),
        ("p", "pending", None),
        ("d", "down", None),
    ]


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({}, False),
        ({"opening": Batch()}, True),
        ({"opening": Batch(), "reason": "reset"}, True),
        ({"opening": Batch(), "terminated": True}, False),
        ({"opening": Batch(), "reason": "terminated by peer"}, False),
        ({"opening": Batch(), "reason": "denied"}, False),
        ({"persistent_addresses": ["x:1"]}, True),
        ({"persistent_addresses": ["x:1"], "node": None}, False),
    ],
)
async def test_of_those_that_are_down_the_missed_ones_are_told(fields: dict[str, Any], is_told: bool) -> None:
    assert bool(around(peer("b", "down", **fields)).records()) is is_told


async def test_plain_peers_are_counted() -> None:
    told = around(peer("x", kind="plain"), peer("y", kind="plain"), peer("z", "down", kind="plain"), peer("b"))
    assert (told.plain, len(told.records()), len(told.open_links())) == (2, 1, 1)
    assert told.pages(1, node_id("a"), "a")[0].plain == 2


async def test_a_link_that_is_closing_is_no_way() -> None:
    closing = peer("b")
    closing.links[0].close("shutdown")
    assert around(closing).open_links() == []


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (256, [256]), (257, [256, 1]), (1000, [256] * 3 + [232])]
)
async def test_neighbours_are_told_in_pages_that_can_be_sent(count: int, sizes: list[int]) -> None:
    peers = [peer("n" * 50 + str(number), "down", persistent_addresses=["x:1"]) for number in range(count)]
    pages = around(*peers).pages(5, node_id("a"), "a")
    assert [len(page.links) for page in pages] == sizes
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    assert max(sizes) <= NEIGHBOURS_MOST
    assert all(encode(page) for page in pages)


async def test_a_node_tells_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings_module, "LINKS_MOST", 3)
    assert len(around(*(peer(f"n{number}") for number in range(9))).records()) == 3


async def test_all_links_are_measured_at_once(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    peers = [peer(f"n{number}") for number in range(5)]
    for one in peers:
        nursery.start_soon(cast(FakeLink, one.links[0]).run)
    told, begun = around(*peers), trio.current_time()
    for one in peers:
        one.rtt_ms = None
    await told.measure(10)
    assert trio.current_time() - begun == pytest.approx(0.2)
    assert [link.rtt_ms for link in told.records()] == [pytest.approx(200)] * 5


async def test_who_does_not_answer_has_no_round_trip_and_is_not_waited_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mute = peer("mute")
    cast(FakeLink, mute.links[0]).muted = True
    told, begun = around(mute), trio.current_time()
    assert told.records()[0].rtt_ms == 7.0  # never measured here: what the link itself knows
    await told.measure(0.3)
    assert trio.current_time() - begun == pytest.approx(0.3)
    assert told.records()[0].rtt_ms is None
    await told.measure(10)
    assert trio.current_time() - begun == pytest.approx(MEASURE_S)


async def test_askers_share_what_is_measured_for_a_moment(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    bob = peer("b", rtt_ms=None)
    link = cast(FakeLink, bob.links[0])
    nursery.start_soon(link.run)
    told = around(bob)
    await told.measure(10)
    assert told.records()[0].rtt_ms == pytest.approx(200)
    link.delay = 0.05
    await told.measure(10)
    assert told.records()[0].rtt_ms == pytest.approx(200)
    await trio.sleep(FRESH_S)
    async with trio.open_nursery() as both:
        both.start_soon(told.measure, 10)
        both.start_soon(told.measure, 10)
    assert told.records()[0].rtt_ms == pytest.approx(100)


async def test_the_least_of_a_while_counts(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    bob = peer("b", rtt_ms=None)
    link = cast(FakeLink, bob.links[0])
    nursery.start_soon(link.run)
    told = around(bob)
    shown = []
    for delay, pause in ((0.1, 5.0), (0.2, 5.0), (0.15, KEPT_S), (0.25, 5.0), (0.3, 0.0)):
        link.delay = delay
        await told.measure(10)
        shown.append(told.records()[0].rtt_ms)
        await trio.sleep(pause)
    assert shown == [pytest.approx(ms) for ms in (200, 200, 200, 300, 300)]  # 300 is what the link itself knew last


async def test_of_a_link_that_this_node_makes_bad_what_is_now_counts(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    bob = peer("b")
    link = cast(FakeLink, bob.links[0])
    nursery.start_soon(link.run)
    told = around(bob)
    await told.measure(10)
    assert told.records()[0].rtt_ms == 7.0
    for delay, faults in ((0.3, LinkFaults()), (0.2, LinkFaults()), (0.25, LinkFaults()), (0.1, None)):
        link.delay, bob.faults = delay, faults
        await trio.sleep(FRESH_S)
        await told.measure(10)
        assert told.records()[0].rtt_ms == pytest.approx(delay * 2000)

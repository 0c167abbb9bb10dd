"""Links that suffer on purpose, between real nodes: what is measured is what was asked for, and nothing gets lost.

Time is virtual, so what is measured is exact up to the little that the network in memory takes itself.
"""

from random import Random
from statistics import median
from typing import Any, cast

import pytest
import trio

from chatd.runtime import parse_stamp
from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network, TwoNodes
from tests.harness.streams import heard, streaming
from tests.integration.test_plain import nc

ALLOWED = {"allow_faults": True}
LATE_S = 0.006  # a network in memory takes a millisecond in each direction
EARLY_S = 0.002  # times are rounded to milliseconds on their way here


async def link(node: LiveNode, peer: int | str, **changes: Any) -> dict[str, Any]:
    """`link` of one peer: its line."""
    (found,) = (await node.ask("link", peer=peer, **changes))["links"]
    return cast("dict[str, Any]", found)


async def trip(node: LiveNode, peer: str) -> float:
    """How long a ping takes, in seconds."""
    return cast(float, (await node.ask("ping", peer=peer))["rtt_ms"]) / 1000


def is_about(seconds: float, asked: float) -> bool:
    """What was asked for, and never before its time."""
    return asked - EARLY_S <= seconds <= asked + LATE_S


# -- what is measured


@pytest.mark.parametrize(
    ("direction", "crossings", "clock"), [("both", 2, 0.0), ("out", 1, 0.5), ("in", 1, -0.5)], ids=["both", "out", "in"]
)
async def test_a_delay_is_felt_once_in_each_direction_that_has_it(
    two_nodes: TwoNodes, direction: str, crossings: int, clock: float
) -> None:
    a, b = await two_nodes(**ALLOWED)
    await link(a, "bob", direction=direction, delay=0.2)
    ping = await a.ask("ping", peer="bob")
    asked = 0.2 * crossings
    assert is_about(ping["rtt_ms"] / 1000, asked)
    assert abs(ping["clock_ms"] / 1000 - 0.2 * clock) <= LATE_S  # the clocks are the same: the way is lopsided
    assert is_about(await trip(b, "alice"), asked)
    shown = await link(a, "bob")
    for side in ("out", "in"):
        if direction in (side, "both"):
            assert shown["faults"][side] == {"delay": 0.2}
            assert is_about(shown[side]["delay_s"], 0.2)
        else:
            assert shown["faults"][side] == {}


async def test_jitter_varies_a_delay_within_its_bounds(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.06, jitter=0.04)
    async with streaming((a, b), (b, a)):
        trips = [await trip(a, "bob") for _ in range(12)]
    assert 0.04 - EARLY_S <= min(trips) < median(trips) < max(trips) < 0.2 + LATE_S
    assert max(trips) - min(trips) > 0.02


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_a_stream_takes_as_long_as_its_rate_says(two_nodes: TwoNodes, direction: str) -> None:
    a, b = await two_nodes(**ALLOWED)
    sender, receiver = (a, b) if direction == "out" else (b, a)
    await link(a, "bob", direction=direction, rate=100_000)
    inbox = await receiver.feed(types=["message"], direction="in")
    texts = [f"{number} ".ljust(8000, "x") for number in range(25)]
    began = trio.current_time()
    await sender.client.send_many(receiver.name, texts)
    assert await inbox.texts(25) == texts
    took = trio.current_time() - began
    measured = (await link(a, "bob"))[direction]
    assert 200_000 < measured["bytes"] < 220_000
    assert 0.98 * measured["bytes"] / 100_000 <= took <= 1.02 * measured["bytes"] / 100_000 + LATE_S
    assert 0.98 * 100_000 <= measured["rate"] <= 1.02 * 100_000


async def test_what_waits_for_a_rate_is_one_write_and_not_everything_there_is(two_nodes: TwoNodes) -> None:
    """A sender that can write megabytes ahead would have its pings answered a minute later, and be dead by then."""
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", rate=50_000)
    await a.client.send_many("bob", ["x" * 8000] * 60)
    assert (await a.ask("ping", peer="bob", timeout=20))["rtt_ms"] < 5000  # all of it takes 9.6 s


async def test_what_is_lost_on_the_way_comes_later_and_in_order(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    await link(a, "bob", direction="out", loss=0.1)
    inbox = await b.feed(types=["message"], direction="in")
    texts = [f"{number} ".ljust(8000, "x") for number in range(500)]
    await a.client.send_many("bob", texts)
    assert await inbox.texts(500) == texts
    await a.drained("bob")
    assert await heard(b, a) == texts
    measured = (await link(a, "bob"))["out"]
    assert measured["segments"] >= 2000
    assert 0.06 <= measured["resent"] / measured["segments"] <= 0.14


async def test_a_lost_ping_takes_a_retransmission_longer(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", direction="out", loss=0.2)
    trips: list[float] = []
    while len(trips) < 5 or max(trips) < 0.2 - EARLY_S:  # one of the first fifty is lost, or the world is odd
        trips.append((await a.ask("ping", peer="bob", timeout=25))["rtt_ms"] / 1000)
    assert min(trips) < 0.2
    assert (await link(a, "bob"))["out"]["resent"] >= 1


# -- what is said, shown and refused


async def test_nothing_may_be_broken_where_that_is_not_allowed(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    for change in ({"delay": 1.0}, {"cut": True}, {"reset": True}, {"heal": True}):
        with pytest.raises(Refused) as refused:
            await a.ask("link", peer="bob", **change)
        assert refused.value.kind == "forbidden"
        assert "--allow-faults" in refused.value.data["hint"]
        assert "CHATD_ALLOW_FAULTS=1" in refused.value.data["hint"]
    listed = await a.ask("link")
    assert listed["allowed"] is False
    assert [line["faults"] for line in listed["links"]] == [None]
    assert (await a.ask("status"))["faults"] == {"allowed": False, "peers": 0}
    await a.settled(b)


async def test_what_is_named_changes_and_the_rest_stays(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.01, loss=0.01)
    await link(a, "bob", direction="in", delay=0.02, rate=1_000_000)
    shown = await link(a, "bob", direction="out", jitter=0.001)
    assert shown["faults"]["out"] == {"delay": 0.01, "jitter": 0.001, "loss": 0.01}
    assert shown["faults"]["in"] == {"delay": 0.02, "loss": 0.01, "rate": 1_000_000}
    shown = await link(a, "bob", direction="out", heal=True, delay=0.03)
    assert shown["faults"]["out"] == {"delay": 0.03}
    assert shown["faults"]["in"] == {"delay": 0.02, "loss": 0.01, "rate": 1_000_000}
    shown = await link(a, "bob", loss=0.0, rate=0, direction="in")
    assert shown["faults"]["in"] == {"delay": 0.02}
    assert (await a.peer("bob"))["faults"] == shown["faults"]
    assert (await a.ask("status"))["faults"] == {"allowed": True, "peers": 1}
    assert (await link(a, "bob", heal=True))["faults"] is None
    assert (await a.peer("bob"))["faults"] is None
    assert (await a.ask("status"))["faults"] == {"allowed": True, "peers": 0}


async def test_faults_for_a_while_end_by_themselves_and_what_was_before_comes_back(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.01)
    began, wall = trio.current_time(), a.runtime.wall()
    shown = await link(a, "bob", delay=0.05, loss=0.5, for_=0.6)
    assert shown["faults"]["out"] == {"delay": 0.05, "loss": 0.5}
    assert wall + 0.5 <= parse_stamp(shown["faults"]["until"]) <= a.runtime.wall() + 0.6
    await a.wait_state("bob", "up", faults={"out": {"delay": 0.01}, "in": {"delay": 0.01}, "until": None})
    assert trio.current_time() - began >= 0.6 - EARLY_S
    assert await trip(a, "bob") < 0.2


async def test_what_was_set_meanwhile_outlasts_the_end_of_what_was_there_for_a_while(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.05, for_=0.3)
    await link(a, "bob", delay=0.02)
    await link(a, "bob", direction="in", loss=0.1, for_=0.6)
    await link(a, "bob", direction="in", loss=0.2, for_=0.1)
    await a.wait_state("bob", "up", faults={"out": {"delay": 0.02}, "in": {"delay": 0.02}, "until": None})
    with trio.move_on_after(0.7):
        await a.wait_state("bob", "up", faults=None)
    assert (await link(a, "bob"))["faults"] == {"out": {"delay": 0.02}, "in": {"delay": 0.02}, "until": None}


async def test_faults_of_all_are_those_of_who_comes_later_too(network: Network) -> None:
    a, b = await network.two_nodes(**ALLOWED)
    await a.ask("link", all=True, delay=0.15)
    c = network.node("carol")
    await c.start()
    await c.connect(a)
    await a.up(c)
    assert is_about(await trip(c, "alice"), 0.3)
    assert (await a.peer("carol"))["faults"]["out"] == {"delay": 0.15}
    listed = await a.ask("link")
    assert listed["default"]["out"] == {"delay": 0.15}
    assert [line["peer"]["name"] for line in listed["links"]] == ["bob", "carol"]
    await link(a, "carol", heal=True)
    assert await trip(c, "alice") < 0.15
    assert is_about(await trip(b, "alice"), 0.3)
    await c.restart()
    await c.up(a)
    assert await trip(c, "alice") < 0.15  # what was said of it alone goes on
    await a.ask("link", all=True, heal=True)
    assert (await a.ask("link"))["default"] is None
    assert (await a.ask("status"))["faults"]["peers"] == 0


async def test_a_restart_ends_what_was_set_and_not_what_is_configured(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(**ALLOWED)
    await link(a, "bob", delay=0.1)
    await a.restart()
    await a.wait_state("bob", "up", faults=None)
    await a.restart(link_faults=["bob delay=50ms in.loss=1%", "* rate=1M"])
    configured = {"out": {"delay": 0.05}, "in": {"delay": 0.05, "loss": 0.01}, "until": None}
    await a.wait_state("bob", "up", faults=configured)
    assert is_about(await trip(a, "bob"), 0.1)
    await link(a, "bob", heal=True)
    await a.wait_state("bob", "up", faults=None)
    await link(a, "bob", reset=True)
    await a.wait_state("bob", "dialing")
    await a.wait_state("bob", "up", faults=None)
    await a.restart()
    await a.wait_state("bob", "up", faults=configured)


@pytest.mark.parametrize(
    "params",
    [
        {"peer": "bob", "delay": -1},
        {"peer": "bob", "delay": 601},
        {"peer": "bob", "delay": "1s"},
        {"peer": "bob", "loss": 1},
        {"peer": "bob", "loss": -0.1},
        {"peer": "bob", "rate": 1},
        {"peer": "bob", "rate": 0.5},
        {"peer": "bob", "flap": 0.001},
        {"peer": "bob", "jitter": 1e9},
        {"peer": "bob", "cut": "yes"},
        {"peer": "bob", "delay": 0.1, "for_": 0},
        {"peer": "bob", "delay": 0.1, "for_": -1},
        {"peer": "bob", "for_": 5},
        {"peer": "bob", "delay": 0.1, "direction": "sideways"},
        {"peer": "bob", "all": True, "delay": 0.1},
        {"peer": "nobody", "delay": 0.1},
        {"delay": 0.1},
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(two_nodes: TwoNodes, params: dict[str, Any]) -> None:
    a, b = await two_nodes(**ALLOWED)
    with pytest.raises(Refused):
        await a.ask("link", **params)
    assert (await a.peer("bob"))["faults"] is None
    await a.settled(b)


# -- plain peers


async def test_a_plain_peer_suffers_too(network: Network) -> None:
    (a,) = await network.start(1, **ALLOWED)
    inbox = await a.feed(types=["message"], direction="in")
    async with await nc(a) as stream:
        await stream.send_all(b"hi\n")
        assert await inbox.texts(1) == ["hi"]
        await link(a, 0, delay=0.2)
        began = trio.current_time()
        await a.send(0, "late")
        assert await stream.receive_some() == b"late\n"
        assert trio.current_time() - began >= 0.2 - EARLY_S
        began = trio.current_time()
        await stream.send_all(b"later\n")
        assert await inbox.texts(1) == ["later"]
        assert trio.current_time() - began >= 0.2 - EARLY_S


async def test_a_plain_peer_that_is_cut_hears_nothing_not_even_the_end(network: Network) -> None:
    (a,) = await network.start(1, **ALLOWED)
    inbox = await a.feed(types=["message"], direction="in")
    async with await nc(a) as stream:
        await stream.send_all(b"hi\n")
        assert await inbox.texts(1) == ["hi"]
        await link(a, 0, cut=True)
        await a.send(0, "held")
        await a.ask("terminate", peer=0)
        with trio.move_on_after(0.5) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        await link(a, 0, heal=True)
        received = b""
        while data := await stream.receive_some():
            received += data
        assert received == b"held\n"


# -- many changes


async def test_a_thousand_changes_in_a_row_while_messages_flow(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(**ALLOWED)
    draw = a.runtime.random
    async with streaming((a, b), (b, a)):
        for number in range(1000):
            node, other = (a, "bob") if draw.random() < 0.5 else (b, "alice")
            heal, direction = number % 7 == 0, draw.choice(("both", "out", "in"))
            await link(node, other, direction=direction, heal=heal, **changes(draw))
        for node, other in ((a, "bob"), (b, "alice")):
            assert (await link(node, other, heal=True))["faults"] is None


def changes(draw: Random) -> dict[str, Any]:
    """Two faults of some kind, for a moment or for good."""
    all_ = {
        "delay": draw.choice((0.0, 0.001, 0.01)),
        "jitter": draw.choice((0.0, 0.01)),
        "loss": draw.choice((0.0, 0.01)),
        "rate": draw.choice((0, 100_000, 10_000_000)),
        "cut": draw.random() < 0.2,
        "flap": draw.choice((0.0, 0.0, 0.05)),
    }
    picked: dict[str, Any] = {name: all_[name] for name in draw.sample(sorted(all_), 2)}
    return picked | ({"for_": draw.uniform(0.01, 0.5)} if draw.random() < 0.3 else {})

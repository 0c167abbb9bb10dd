"""`ping` between real nodes: the answer comes from the other daemon, or it is said why not."""

import pytest
import trio
import trio.testing

from chatd.wire.frames import PingFrame, PongFrame
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade
from tests.harness.network import TwoNodes
from tests.harness.proxy import proxying


async def test_the_other_daemon_answers(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    for node, other in ((a, b), (b, a)):
        pinged = await node.ask("ping", peer=other.name)
        assert pinged["peer"]["node"] == other.id
        assert 0 < pinged["rtt_ms"] < 30_000
        assert abs(pinged["clock_ms"]) <= pinged["rtt_ms"]  # one machine has one clock


async def test_the_way_through_a_slow_line_is_measured(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.up(a)
        proxy.delay = 0.05
        assert (await a.ask("ping", peer="bob"))["rtt_ms"] >= 100
        await a.ask("terminate", peer="bob")


async def test_a_silent_line_is_a_timeout_and_a_cut_one_is_offline(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False, redial_min=600, redial_max=600)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.up(a)
        await a.ask("ping", peer="bob")
        proxy.stall()
        with pytest.raises(Refused) as caught:
            await a.ask("ping", peer="bob", timeout=0.05)
        assert caught.value.kind == "timeout"
        refused: list[str] = []
        async with trio.open_nursery() as nursery:

            async def ping() -> None:
                with pytest.raises(Refused) as caught:
                    await a.ask("ping", peer="bob", timeout=3600)
                refused.append(caught.value.kind)

            nursery.start_soon(ping)
            await trio.testing.wait_all_tasks_blocked()
            proxy.cut()
        assert refused == ["peer_offline"]
        with pytest.raises(Refused) as caught:
            await a.ask("ping", peer="bob")
        assert caught.value.kind == "peer_offline"


async def test_a_clock_that_is_ahead_is_told(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    async with await Handmade.linked(a.address) as peer:
        asked = await peer.until(PingFrame)  # the link's own
        await peer.send(PongFrame(asked.token))
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                token = (await peer.until(PingFrame)).token
                await peer.send(PongFrame(token, a.runtime.wall() + 3600))

            nursery.start_soon(answer)
            pinged = await a.ask("ping", peer="handmade")
        assert pinged["clock_ms"] == pytest.approx(3_600_000, abs=60_000)

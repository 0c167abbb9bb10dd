"""`ping` between real nodes: the answer comes from the other daemon, or it is said why not."""

from tests.harness.network import TwoNodes


async def test_the_other_daemon_answers(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    for node, other in ((a, b), (b, a)):
        pinged = await node.ask("ping", peer=other.name)
        assert pinged["peer"]["node"] == other.id
        assert 0 < pinged["rtt_ms"] < 30_000
        assert abs(pinged["clock_ms"]) <= pinged["rtt_ms"]  # one machine has one clock

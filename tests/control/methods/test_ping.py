"""`ping`: ends with the peer's answer, or with the link."""

from random import Random

import pytest
import trio

from chatd.net.native.link import NativeLink
from chatd.net.pings import PendingPing, Pings
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand, request, result_of


class PingLink(NativeLink):
    """A native link that records pings; the test answers them."""

    reason: str | None = None
    direction = "out"
    address = "127.0.0.1:7421"

    def __init__(self) -> None:
        self.pings = Pings(Random(1), lambda: 1000.0)
        self.asked = trio.Event()

    def ping(self) -> PendingPing:
        self.asked.set()
        return self.pings.queue()

    def answer(self, theirs: float = 0.0) -> None:
        for token in self.pings.take_due():
            self.pings.record_pong(token, theirs)


@pytest.fixture
def link(stand: Stand) -> PingLink:
    """Bob's link."""
    (old,) = stand.bob.links
    made = PingLink()
    stand.registry.link_up(stand.bob, made)
    stand.registry.link_down(stand.bob, old)
    return made


async def test_an_answer_tells_the_round_trip_and_the_clock(stand: Stand, client: Client, link: PingLink) -> None:
    await client.write(request("ping", 1, peer="bob") + request("whoami", 2))
    assert result_of(await client.answer(2))
    link.answer(theirs=1000.25)
    pinged = result_of(await client.answer(1))
    assert pinged["peer"]["name"] == "bob"
    assert pinged["rtt_ms"] > 0
    assert pinged["clock_ms"] == 250


async def test_a_peer_that_says_no_time_has_no_clock(stand: Stand, client: Client, link: PingLink) -> None:
    await client.write(request("ping", 1, peer=0) + request("whoami", 2))
    await client.answer(2)
    link.answer()
    assert result_of(await client.answer(1))["clock_ms"] is None


async def test_no_answer_in_time_is_a_timeout(stand: Stand, client: Client, link: PingLink) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("ping", peer="bob", timeout=0.01)
    assert caught.value.kind == "timeout"
    assert len(link.pings.take_due()) == 1


async def test_a_link_that_ends_is_an_answer_and_no_waiting(stand: Stand, client: Client, link: PingLink) -> None:
    await client.write(request("ping", 1, peer="bob", timeout=3600) + request("whoami", 2))
    await client.answer(2)
    link.reason = "reset"
    stand.registry.link_down(stand.bob, link)
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(1))
    assert caught.value.kind == "peer_offline"
    assert "reset" in str(caught.value)


async def test_a_link_that_is_replaced_is_asked_again(stand: Stand, client: Client, link: PingLink) -> None:
    await client.write(request("ping", 1, peer="bob", timeout=3600) + request("whoami", 2))
    await client.answer(2)
    newer = PingLink()
    stand.registry.link_up(stand.bob, newer)
    link.reason = "duplicate"
    stand.registry.link_down(stand.bob, link)
    await newer.asked.wait()
    newer.answer()
    assert result_of(await client.answer(1))["peer"]["slot"] == 0


async def test_pings_of_one_session_do_not_wait_for_each_other(stand: Stand, client: Client, link: PingLink) -> None:
    await client.write(b"".join(request("ping", number, peer="bob") for number in (1, 2, 3)) + request("whoami", 4))
    await client.answer(4)
    link.answer()
    assert {line["id"] for line in await client.lines(3)} == {1, 2, 3}


async def test_a_peer_that_is_away_is_offline(stand: Stand, client: Client, link: PingLink) -> None:
    link.reason = "terminated"
    stand.registry.link_down(stand.bob, link)
    with pytest.raises(Refused) as caught:
        await client.ask("ping", peer="bob")
    assert caught.value.kind == "peer_offline"


async def test_a_plain_peer_answers_no_ping(stand: Stand, client: Client) -> None:
    peer = stand.registry.plain("127.0.0.1:9")
    stand.registry.link_up(peer, FakeLink())
    with pytest.raises(Refused) as caught:
        await client.ask("ping", peer=peer.slot)
    assert (caught.value.kind, caught.value.data["reason"]) == ("conflict", "plain")


async def test_what_cannot_be_pinged_is_refused(stand: Stand, client: Client) -> None:
    for params, kind in cases(
        [
            ({"peer": "nobody"}, "unknown_peer"),
            ({"peer": "bob", "timeout": -1}, "invalid_params"),
            ({}, "invalid_params"),
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("ping", **params)
        assert caught.value.kind == kind

"""One link too many: both sides dial at once, or one side dials twice."""

from contextlib import suppress

import pytest
import trio

from chatd.wire.frames import AckFrame, Bye, Hello, Resume, Text
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.places import address_of, listen
from tests.harness.proxy import proxying

ROUNDS = 25


async def dial_at_once(a: LiveNode, b: LiveNode) -> list[dict[str, object]]:
    """Both say `connect`; what each was answered."""
    answers: dict[str, dict[str, object]] = {}

    async def connect(one: LiveNode, other: LiveNode) -> None:
        answers[one.name] = await one.connect(other)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect, a, b)
        nursery.start_soon(connect, b, a)
    return [answers[a.name], answers[b.name]]


@pytest.mark.deadline(60)
async def test_of_links_dialed_from_both_sides_at_once_exactly_one_stays(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    at_a, at_b = await a.feed(types=["message"], direction="in"), await b.feed(types=["message"], direction="in")
    for number in range(ROUNDS):
        from_a, from_b = await dial_at_once(a, b)
        assert (from_a["node"], from_a["state"], from_b["node"], from_b["state"]) == (b.id, "up", a.id, "up")
        await a.send("bob", f"a {number}")
        await b.send("alice", f"b {number}")
        assert await at_b.texts(1) == [f"a {number}"]
        assert await at_a.texts(1) == [f"b {number}"]
        await a.settled(b)
        await b.settled(a)
        mine, yours = await a.peer("bob"), await b.peer("alice")
        assert {mine["direction"], yours["direction"]} == {"in", "out"}
        await a.ask("terminate", peer="bob")
        await b.wait_state("alice", "down")
    ups = await a.history(types=["peer.up"]), await b.history(types=["peer.up"])
    downs = await a.history(types=["peer.down"]), await b.history(types=["peer.down"])
    assert [len(events) for events in ups + downs] == [ROUNDS] * 4
    assert {event["reason"] for event in downs[0]} == {"terminated"}
    assert {event["reason"] for event in downs[1]} == {"terminated by peer"}
    assert [peer["name"] for peer in await a.peers() + await b.peers()] == ["bob", "alice"]


async def test_dials_that_cross_on_slow_lines_end_with_one_link_and_connect_answers_with_it(
    two_nodes: TwoNodes,
) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(a.address) as to_a, proxying(b.address) as to_b:
        to_a.delay = to_b.delay = 0.02
        answers: dict[str, str] = {}

        async def connect(node: LiveNode, address: str) -> None:
            answers[node.name] = (await node.connect(address))["direction"]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, a, to_b.address)
            nursery.start_soon(connect, b, to_a.address)
        await a.settled(b)
        await b.settled(a)
        assert (to_a.links, to_b.links) == (1, 1)
        smaller, larger = (a, b) if a.id < b.id else (b, a)
        # The one with the smaller id decides, and keeps what it dialed.
        assert answers[smaller.name] == (await smaller.peer(larger.name))["direction"] == "out"
        assert (await larger.peer(smaller.name))["direction"] == "in"
        assert not await a.history(types=["peer.down"])
        assert not await b.history(types=["peer.down"])
        await a.send("bob", "hi")
        await b.send("alice", "hi")


async def test_messages_that_flow_while_both_sides_dial_arrive_in_order_and_once(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"], direction="in")
    texts = [str(number) for number in range(2000)]

    async def redial() -> None:
        for _ in range(5):
            with pytest.raises(Refused, match="already"):
                await b.connect(a)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(redial)
        nursery.start_soon(a.client.send_many, "bob", texts)
    assert await inbox.texts(2000) == texts
    assert await b.texts() == texts


async def test_a_second_link_of_the_same_side_means_that_it_lost_the_first(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    events = await a.feed()
    first = await Handmade.linked(a.address, identity)
    await first.send(Text("handmade", 1, "one"))
    await first.until(AckFrame)
    second = await Handmade.dial(a.address, identity)
    await second.send(hello())
    answer = await second.until(Hello)
    assert (answer.mark_epoch, answer.mark_seq) == ("handmade", 1)
    assert not [frame for frame in await first.rest() if isinstance(frame, Bye)]
    await second.send(Resume("handmade", 1), Text("handmade", 2, "two"))
    assert await events.texts(2) == ["one", "two"]
    assert len(a.node.registry.find(0).links) == 1
    await first.close()
    await second.close()


async def test_the_first_link_is_dropped_before_anything_is_read_from_the_second(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    first = await Handmade.linked(a.address, identity)
    second = await Handmade.dial(a.address, identity)
    await second.send(hello(epoch="zzzzzzzz"))
    await second.until(Hello)
    with suppress(trio.BrokenResourceError):
        await first.send(Text("handmade", 5, "too late"))
    assert not [frame for frame in await first.rest() if isinstance(frame, AckFrame)]
    await second.send(Resume("zzzzzzzz", 0), Text("zzzzzzzz", 1, "in time"))
    while (await second.until(AckFrame)) != AckFrame("zzzzzzzz", 1):
        continue
    assert await a.texts() == ["in time"]
    await first.close()
    await second.close()


async def test_a_dialed_link_that_answers_no_ping_loses_against_the_accepted_one(
    two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.native.link.PROBE_S", 0.05)
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    while identity.node < a.id:  # so that alice decides
        identity = new_identity()
    listener = await listen()
    accepted: list[Handmade] = []

    async def accept() -> None:
        peer = await Handmade.over(await listener.accept(), identity, server_side=True)
        await peer.until(Hello)
        await peer.send(hello(dial="answer"), Resume("handmade", 0))
        accepted.append(peer)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        assert (await a.connect(address_of(listener)))["direction"] == "out"
    dialed = await Handmade.linked(a.address, identity)
    assert (await accepted[0].until(Bye)).reason == "duplicate"
    await accepted[0].close()
    peer = a.node.registry.find("handmade")
    while len(peer.links) > 1:
        await a.node.registry.changed.wait()
    assert (await a.peer("handmade"))["direction"] == "in"
    assert not await a.history(types=["peer.down"])
    await dialed.close()

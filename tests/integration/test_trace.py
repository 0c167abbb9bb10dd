"""`trace` and `tally` between real nodes: both ends of a message, over slow, cut and lost links and restarts."""

from itertools import pairwise
from typing import Any

import pytest
import trio

from chatd.wire.frames import AckFrame, Inquire, PingFrame, PongFrame, Text, TracedFrame
from tests.harness.client import Refused
from tests.harness.handmade_peer import Handmade
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes
from tests.harness.places import dial
from tests.harness.proxy import proxying
from tests.harness.states import wipe

DIRECT = ["alice accepted", "alice committed", "alice sent", "bob arrived", "bob committed", "alice acknowledged"]


async def traced(node: LiveNode, message_id: str, timeout: float = 10) -> dict[str, Any]:
    """`trace`, whatever the machine does meanwhile."""
    found: dict[str, Any] = await node.ask("trace", id=message_id, timeout=timeout)
    return found


def steps(found: dict[str, Any]) -> list[str]:
    """Who did what; with a question mark what is not done, with a tilde what has no time."""
    return [
        f"{step['node']} {step['step']}"
        + ("" if step["at"] else "~" if step["done"] else "?")
        + (f" {step['consumer']}" if step["consumer"] else "")
        for step in found["steps"]
    ]


async def test_both_ends_tell_the_same_life_of_a_message(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("subscribe", as_="bot", from_="start", filter={"types": ["message"], "direction": "in"})
    await b.ask("subscribe", as_="lazy", from_="start")
    await a.ask("subscribe", as_="log", from_="start", filter={"peer": "bob"})
    message_id = await a.send("bob", "hi", wait="delivered")
    (message,) = [event for event in await b.history(types=["message"]) if event["type"] == "message"]
    await b.ask("ack", consumer="bot", position=message["position"])
    here, there, across = (
        await traced(a, message_id),
        await traced(b, message["id"]),
        await traced(b, f"{a.id}/{message_id}"),
    )
    taken = ["bob taken bot", "bob taken? lazy"]
    assert steps(here) == [*DIRECT, "alice taken? log", *taken]
    assert steps(there) == steps(across) == [*DIRECT, "alice taken? log", *taken]
    assert (here["direction"], here["peer"]["name"]) == ("out", "bob")
    assert (there["direction"], there["peer"]["name"]) == ("in", "alice")
    for found, ours, own_id in ((here, "alice", message_id), (there, "bob", message["id"])):
        assert (found["id"], found["global_id"]) == (own_id, f"{a.id}/{message_id}")
        assert found["silent"] is None
        assert {step["here"] for step in found["steps"] if step["node"] == ours} == {True}
        assert {step["here"] for step in found["steps"] if step["node"] != ours} == {False}
        assert 0 <= found["clock_error_ms"] < 5000
        assert abs(found["clock_ms"]) <= found["clock_error_ms"]  # it is one and the same clock
        times = [step["after_ms"] for step in found["steps"][:6]]
        slack = found["clock_error_ms"] + 0.01
        assert all(later - earlier >= -slack for earlier, later in pairwise(times))


async def test_the_other_clock_is_found_and_its_times_are_told_by_ours(
    two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await two_nodes(connected=False)
    wall = b.runtime.wall
    monkeypatch.setattr(b.runtime, "wall", lambda: wall() + 3600)
    await a.connect(b)
    message_id = await a.send("bob", "hi", wait="delivered")
    for node, sign in ((a, 1), (b, -1)):
        found = await traced(node, f"{a.id}/{message_id}")
        assert steps(found) == DIRECT
        assert abs(found["clock_ms"] - sign * 3_600_000) <= found["clock_error_ms"]
        afters = [step["after_ms"] for step in found["steps"]]
        assert all(abs(after) < 60_000 for after in afters)
        elsewhere = [step for step in found["steps"] if not step["here"]]
        assert all(step["at"] != step["at_here"] for step in elsewhere)


async def test_over_a_slow_link_the_way_takes_its_time(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        proxy.delay = 0.15
        message_id = await a.send("bob", "hi", wait="delivered")
        found = await traced(a, message_id)
        assert steps(found) == DIRECT
        after = {step["step"]: step["after_ms"] for step in found["steps"]}
        assert after["arrived"] - after["sent"] >= 150 - found["clock_error_ms"]
        assert after["acknowledged"] - after["sent"] >= 300
        assert found["clock_error_ms"] >= 150
        await a.ask("terminate", peer="bob")


async def test_who_does_not_answer_is_said_to_after_the_time_that_was_given(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        message_id = await a.send("bob", "hi", wait="delivered")
        proxy.stall()
        began = trio.current_time()
        found = await traced(a, message_id, timeout=0.3)
        assert 0.3 <= trio.current_time() - began < 10
        assert steps(found) == [step for step in DIRECT if step.startswith("alice")]
        assert (found["silent"], found["clock_ms"]) == ("bob does not answer", None)
        proxy.flow()
        assert steps(await traced(a, message_id)) == DIRECT
        await a.ask("terminate", peer="bob")


async def test_a_link_that_ends_while_it_is_asked_says_so(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        message_id = await a.send("bob", "hi", wait="delivered")
        proxy.stall()
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                client = await a.new_client()
                found = await client.ask("trace", id=message_id, timeout=60)
                assert found["silent"] == "the link to bob has ended"

            nursery.start_soon(ask)
            await trio.sleep(1.0)
            proxy.cut()
        proxy.flow()
        await a.up(b)


async def test_a_peer_that_is_down_costs_no_time(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    delivered = await a.send("bob", "1", wait="delivered")
    await b.stop()
    await a.wait_state("bob", "dialing")
    queued = await a.send("bob", "2")
    with trio.fail_after(5):
        found = await traced(a, delivered, timeout=60)
        assert steps(found) == [step for step in DIRECT if step.startswith("alice")]
        assert found["silent"] == "bob is not connected"
        found = await traced(a, queued, timeout=60)
    assert (steps(found), found["silent"]) == (
        ["alice accepted", "alice committed", "alice sent?"],
        "bob has not got it",
    )


async def test_what_was_sent_again_over_the_next_link_has_both_times(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        proxy.stall()
        message_id = await a.send("bob", "hi", wait="sent")
        assert steps(await traced(a, message_id, timeout=0.05)) == [*DIRECT[:3], "alice acknowledged?"]
        proxy.cut()
        proxy.flow()
        await a.drained("bob")
        found = await traced(a, message_id)
        assert steps(found) == [*DIRECT[:3], "alice sent", *DIRECT[3:]]
        first, again = [step["after_ms"] for step in found["steps"] if step["step"] == "sent"]
        assert first < again
        await a.ask("terminate", peer="bob")


async def test_after_a_restart_of_both_only_the_journals_tell_times(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("subscribe", as_="bot", from_="start", filter={"types": ["message"], "direction": "in"})
    message_id = await a.send("bob", "hi", wait="delivered")
    await b.ask("ack", consumer="bot", position=(await b.history(types=["message"]))[-1]["position"])
    await a.drained("bob")
    for node in (a, b):
        await node.restart()
    await a.up(b)
    kept = {"alice accepted", "bob arrived", "alice acknowledged"}
    expected = [step if step in kept else f"{step}~" for step in DIRECT]
    assert steps(await traced(a, message_id)) == [*expected, "bob taken~ bot"]


async def test_a_message_of_a_plain_peer_has_one_end(network: Network) -> None:
    (a,) = await network.start(1)
    feed = await a.feed(types=["message"], direction="in")
    async with await dial(a.address) as plain:
        await plain.send_all(b"hello\n")
        heard = await feed.until("message")
        found = await traced(a, heard["position"])
        assert steps(found) == ["alice arrived", "alice committed"]
        assert "is a plain peer" in found["silent"]
        message_id = await a.send(heard["peer"]["slot"], "hi", wait="sent")
        assert steps(await traced(a, message_id)) == ["alice accepted", "alice committed", "alice sent"]


async def test_in_a_room_its_host_is_the_other_end(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()  # bob is between the two
    await b.ask("room.host", room="lobby")
    for node in (a, c):
        await node.ask("room.join", room="lobby@bob")
    said = await a.ask("room.say", room="lobby@bob", text="hi", wait="delivered")
    place = (await b.history(types=["message"], room="lobby"))[-1]
    found = await traced(a, said["id"])
    assert steps(found) == [*DIRECT[:5], "alice delivered"]
    assert (found["room"], found["room_position"]) == ("lobby@bob", place["position"])
    at_host = await traced(b, f"{a.id}/{said['id']}")
    assert steps(at_host) == [*DIRECT[:5], "alice delivered"]
    assert (at_host["direction"], at_host["peer"]["name"]) == ("in", "alice")
    feed = await c.feed("start", types=["message"], direction="in")
    heard = await feed.until("message")
    await b.drained("carol")
    at_member = await traced(c, f"{b.id}/{place['id']}")
    assert at_member["id"] == heard["id"]
    assert steps(at_member)[:5] == ["bob arrived", "bob committed", "bob sent", "carol arrived", "carol committed"]
    assert at_member["room_position"] == place["position"]


async def test_what_the_host_refuses_ends_with_that(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.ask("room.host", room="lobby")
        await a.ask("room.join", room="lobby@bob", nick="al")
        proxy.stall()
        said = await a.ask("room.say", room="lobby@bob", text="late")
        await b.ask("room.kick", room="lobby", nick="al")
        proxy.flow()
        with pytest.raises(Refused):
            await a.ask("wait", for_="delivered", id=said["id"], timeout=10)
        found = await traced(a, said["id"])
        assert steps(found) == ["alice accepted", "alice committed", "alice sent", "alice rejected"]
        assert found["silent"] == "bob has not taken it"
        await a.ask("terminate", peer="bob")


async def test_a_peer_that_says_nonsense_changes_nothing_of_what_is_known_here(network: Network) -> None:
    (a,) = await network.start(1)
    async with await Handmade.linked(a.address) as peer, trio.open_nursery() as nursery:
        message_id = await a.send("handmade", "hi")
        text = await peer.until(Text)
        await peer.send(AckFrame(text.epoch, text.seq))
        await a.drained("handmade")
        said = [("arrived", 9e10, ""), ("sat_on", 5.0, ""), ("taken", 1.0, "\x20x" * 40), ("acknowledged", 3.0, "")]

        async def answer() -> None:
            while True:
                frame = await peer.next()
                if isinstance(frame, PingFrame):
                    await peer.send(PongFrame(frame.token, 9.5e10))
                elif isinstance(frame, Inquire):
                    await peer.send(TracedFrame(frame.token, True, said))

        nursery.start_soon(answer)
        found = await traced(a, message_id)
        nursery.cancel_scope.cancel()
        ours = [step for step in found["steps"] if step["here"]]
        assert [step["step"] for step in ours] == ["accepted", "committed", "sent", "acknowledged"]
        assert all(0 <= step["after_ms"] < 60_000 for step in ours)
        theirs = {step["step"]: step for step in found["steps"] if not step["here"]}
        assert set(theirs) == {"arrived", "taken", "acknowledged"}
        assert theirs["arrived"]["at"].startswith("4821-")
        assert all(step["at_here"] is None for step in theirs.values())


# -- counting


async def test_a_peer_counts_what_it_has_of_us(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    ids = await a.client.send_many("bob", [f"{number}" for number in range(3000)])
    await b.send("alice", "noise")
    await a.drained("bob")
    for first, last, count in ((0, 2999, 3000), (0, 0, 1), (1000, 1999, 1000)):
        found = await a.ask("tally", peer="bob", first=ids[first], last=ids[last], timeout=20)
        assert (found["messages"], found["distinct"], found["peer"]["name"]) == (count, count, "bob")


async def test_a_count_goes_on_over_restarts_and_leaves_out_what_was_not_delivered(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    ids = []
    for run in range(3):
        ids += await a.client.send_many("bob", [f"{run}"] * 100)
        await a.drained("bob")
        await a.restart()
        await a.up(b)
    await b.stop()
    await a.wait_state("bob", "dialing")
    taken_back = await a.send("bob", "no")
    await a.ask("cancel", id=taken_back)
    with pytest.raises(Refused) as refused:
        await a.ask("tally", peer="bob", first=ids[0], last=ids[-1])
    assert refused.value.kind == "peer_offline"
    await b.start()
    await a.up(b)
    found = await a.ask("tally", peer="bob", first=ids[0], last=taken_back, timeout=20)
    assert (found["messages"], found["distinct"]) == (300, 300)


async def test_a_count_that_takes_too_long_is_given_up(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        message_id = await a.send("bob", "hi", wait="delivered")
        proxy.stall()
        with pytest.raises(Refused) as refused:
            await a.ask("tally", peer="bob", first=message_id, last=message_id, timeout=0.05)
        assert refused.value.kind == "timeout"
        proxy.flow()
        await a.ask("terminate", peer="bob")


async def test_after_the_journal_was_wiped_nothing_is_counted(network: Network) -> None:
    a, b = await network.two_nodes()
    message_id = await a.send("bob", "hi", wait="delivered")
    await b.stop()
    wipe(b)
    await b.start()
    await a.up(b)
    found = await a.ask("tally", peer="bob", first=message_id, last=message_id, timeout=20)
    assert (found["messages"], found["distinct"]) == (0, 0)
    assert (await traced(a, message_id))["silent"] == "bob does not know it"

"""`trace` and `tally` between whole nodes: both ends of a message, rooms, restarts. The rest is tested below them."""

from itertools import pairwise
from typing import Any

import pytest

from tests.harness.client import Refused
from tests.harness.network import LiveNode, ThreeNodes, TwoNodes
from tests.harness.proxy import proxying

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


# -- counting


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

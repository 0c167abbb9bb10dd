"""What a sender is told: states, receipts, and the verbs that wait for them, between real nodes."""

import pytest
import trio

from tests.harness.client import Refused
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.proxy import proxying

Told = list[tuple[str, int, str | None]]


async def told(node: LiveNode) -> Told:
    """State, seq of `through` (0 without) and id of every receipt."""
    events = await node.history(types=["receipt"])
    return [(event["state"], seq_of(event["through"] or ":0"), event["id"]) for event in events]


def seq_of(position: str) -> int:
    return int(position.split(":")[1])


async def test_a_message_is_queued_then_sent_then_delivered(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    message_id = await a.send("bob", "hi")
    assert await a.states(message_id) == ["queued"]
    async with proxying(b.address) as proxy:
        await b.start()
        await a.drained("bob")
        assert await a.states(message_id) == ["delivered"]
        await a.ask("terminate", peer="bob")
        await a.connect(proxy.address)
        proxy.stall()
        second = await a.ask("send", peer="bob", text="on its way", wait="sent", timeout=10)
        assert (second["state"], await a.states(second["id"])) == ("sent", ["sent"])
        proxy.flow()
        await a.ask("wait", for_="delivered", id=second["id"], timeout=10)
        assert await a.states(second["id"]) == ["delivered"]
    events = [event for event in await a.history(types=["message"]) if event["type"] == "message"]
    assert [event["state"] for event in events] == ["delivered", "delivered"]


async def test_a_receipt_is_told_once_for_everything_that_was_acknowledged_together(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    receipts = await a.feed(types=["receipt"])
    await b.stop()
    ids = await a.client.send_many("bob", [f"{number}" for number in range(1000)])
    await b.start()
    await receipts.until("receipt", through=ids[-1], state="delivered")
    assert len(receipts.seen) < 100
    through = [seq_of(event["through"]) for event in receipts.seen]
    assert through == sorted(set(through))
    assert {event["peer"]["name"] for event in receipts.seen} == {"bob"}


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_receipt_is_told_once_over_restarts_of_both(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    for number in range(3):
        await a.send("bob", f"{number}")
        if number:
            await a.drained("bob")
        for node in (a, b):
            await (node.kill if how == "kill" else node.stop)()
            await node.start()
    await a.send("bob", "last")
    await a.drained("bob")
    through = [seq for state, seq, _ in await told(a) if state == "delivered"]
    assert through == sorted(set(through))
    assert await b.texts() == ["0", "1", "2", "last"]


async def test_a_send_that_waits_too_long_stays_queued_and_arrives_later(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    with pytest.raises(Refused) as refused:
        await a.ask("send", peer="bob", text="hi", wait="delivered", timeout=0.05)
    assert (refused.value.kind, refused.value.data["state"]) == ("timeout", "queued")
    await b.start()
    await a.ask("wait", for_="delivered", id=refused.value.data["id"], timeout=10)
    assert await b.texts() == ["hi"]
    assert await a.states(refused.value.data["id"]) == ["delivered"]


async def test_a_send_waits_over_a_link_break_and_a_restart_of_the_peer(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy, trio.open_nursery() as nursery:
        await a.connect(proxy.address)
        proxy.stall()
        answers: list[str] = []

        async def send(text: str) -> None:
            client = await a.new_client()
            answers.append((await client.ask("send", peer="bob", text=text, wait="delivered"))["state"])

        for number in range(5):
            nursery.start_soon(send, f"{number}")
        while (await a.peer("bob"))["queued"] < 5:
            await a.node.registry.find("bob").delivery.progress.wait()
        proxy.cut()
        proxy.flow()
        await b.restart()
        await a.drained("bob")
        while len(answers) < 5:
            await trio.lowlevel.checkpoint()
        assert answers == ["delivered"] * 5
        assert sorted(await b.texts()) == ["0", "1", "2", "3", "4"]


async def test_every_outbox_may_be_waited_for_at_once(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.client.send_many("bob", ["1", "2"])
    with pytest.raises(Refused) as refused:
        await a.ask("wait", for_="outbox-empty", timeout=0.05)
    assert refused.value.kind == "timeout"
    await b.start()
    await a.ask("wait", for_="outbox-empty", timeout=20)
    assert await b.texts() == ["1", "2"]


async def test_an_end_that_is_not_delivery_is_a_receipt_of_its_own(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    first, long, last = await a.client.send_many("bob", ["1", "x" * 200, "3"])
    late = await a.send("bob", "4", ttl=0.05)
    await a.ask("cancel", id=first)
    receipts = await a.feed("start", types=["receipt"])
    await receipts.until("receipt", state="expired", id=late)
    await b.start(text_bytes=100)
    await a.drained("bob")
    assert await told(a) == [
        ("cancelled", 0, first),
        ("expired", 0, late),
        ("rejected", 0, long),
        ("delivered", seq_of(last), None),
    ]
    assert await a.states(first, long, late, last) == ["cancelled", "rejected", "expired", "delivered"]

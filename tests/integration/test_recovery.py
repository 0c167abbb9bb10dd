"""Links that break, nodes that come back, and journals that are older than what others have of them."""

import trio

from chatd.wire.frames import AckFrame, Bye, Hello, Resume, Text
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.proxy import proxying
from tests.harness.states import copy, restore, wipe


async def send_until_told(node: LiveNode, peer: str, stop: trio.Event, sent: list[str]) -> None:
    """Send numbered messages, one after the other; those that were accepted are in `sent`."""
    number = 0
    while not stop.is_set():
        number += 1
        text = f"{node.name} {number}"
        await node.send(peer, text)
        sent.append(text)


async def test_a_link_that_is_cut_while_messages_flow_loses_and_doubles_nothing(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    at_a, at_b = await a.feed(types=["message"], direction="in"), await b.feed(types=["message"], direction="in")
    stop, said_a, said_b = trio.Event(), list[str](), list[str]()
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.up(a)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_told, a, "bob", stop, said_a)
            nursery.start_soon(send_until_told, b, "alice", stop, said_b)
            for _ in range(8):
                await proxy.wait_forwarded(8_000)
                proxy.cut()
                while proxy.links == 0 or not a.node.registry.find("bob").is_up:
                    await a.node.registry.changed.wait()
            stop.set()
        await a.up(b)
        assert await at_b.texts(len(said_a)) == said_a
        assert await at_a.texts(len(said_b)) == said_b
    assert await b.texts() == said_a == await a.texts("out")
    assert await a.texts() == said_b == await b.texts("out")
    assert proxy.links > 8
    assert min(len(said_a), len(said_b)) > 40


async def test_what_was_accepted_and_never_written_arrives_over_the_next_link(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    inbox = await b.feed(types=["message"])
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        proxy.stall()
        texts = [str(number) for number in range(3000)]
        await a.client.send_many("bob", texts)
        assert inbox.seen == []
        proxy.cut()
        proxy.flow()
        assert await inbox.texts(3000) == texts
        assert await b.texts() == texts


async def test_a_restart_keeps_slot_name_and_marks_and_begins_a_new_epoch(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed("start", types=["message"])
    await a.send("bob", "before")
    await inbox.texts(1)
    first = await a.ask("status")
    await a.restart()
    second = await a.ask("status")
    assert second["node"] == first["node"]
    assert second["epoch"] != first["epoch"]
    await a.up(b)
    assert [(peer["slot"], peer["name"]) for peer in await a.peers()] == [(0, "bob")]
    sent = await a.send(0, "after")
    await inbox.until("message", text="after", global_id=f"{a.id}/{sent}")
    assert (await b.peer("alice"))["slot"] == 0
    epochs = [event["global_id"].partition("/")[2].partition(":")[0] for event in inbox.seen]
    assert epochs == [first["epoch"], second["epoch"]]
    assert await b.texts() == ["before", "after"]
    assert not await b.history(types=["gap"])
    assert [event["text"] for event in await a.history(types=["message"])] == ["before", "after"]


async def test_messages_that_a_killed_node_had_accepted_are_delivered_after_its_restart(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await b.up(a)
        proxy.stall()
        await a.client.send_many("bob", ["1", "2", "3"])
        await a.kill()
    inbox = await b.feed("start", types=["message"])
    await a.start()
    assert (await a.peer("bob"))["queued"] == 3
    await a.connect(b)
    await a.send("bob", "4")
    assert await inbox.texts(4) == ["1", "2", "3", "4"]


async def test_a_killed_receiver_that_comes_back_has_everything_once(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    stop, said = trio.Event(), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_until_told, a, "bob", stop, said)
        for count in (50, 100, 150):
            received = await b.feed("start", types=["message"])
            await received.texts(count)
            await b.kill()
            await b.start()
            await a.up(b)
        stop.set()
    inbox = await b.feed("start", types=["message"])
    assert await inbox.texts(len(said)) == said


async def test_a_wiped_receiver_tells_of_the_gap_and_goes_on(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"])
    ids = await a.client.send_many("bob", ["1", "2", "3"])
    await b.send("alice", "from bob's first life")
    await inbox.texts(3)
    await a.drained("bob")
    await b.drained("alice")
    await b.stop()
    wipe(b)
    await b.start()
    await a.up(b)
    events = await b.feed("start")
    gap = await events.until("gap")
    assert (gap["peer"]["name"], gap["after"], gap["through"]) == ("alice", None, ids[2])
    await a.send("bob", "4")
    assert (await events.until("message"))["text"] == "4"
    received = await a.feed("start", types=["message"], direction="in")
    await b.up(a)
    await b.send("alice", "from bob's second life")
    assert await received.texts(2) == ["from bob's first life", "from bob's second life"]
    assert (await a.peer("bob"))["slot"] == 0


async def test_a_sender_that_was_restored_from_an_older_copy_is_told_and_goes_on(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed("start", types=["message"])
    await a.send("bob", "1")
    await a.send("bob", "2")
    await inbox.texts(2)
    await a.stop()
    older = await copy(a)
    await a.start()
    await a.up(b)
    lost = await a.client.send_many("bob", ["3", "4", "5"])
    await inbox.texts(3)
    await a.drained("bob")
    await a.kill()
    restore(a, older)
    await a.start()
    await a.up(b)
    await a.send("bob", "6")
    assert await inbox.texts(1) == ["6"]
    assert await b.texts() == ["1", "2", "3", "4", "5", "6"]
    # The copy knows nothing of the epoch in which 3, 4 and 5 were said, so it cannot tell that it is older.
    assert lost[0].split(":")[0] not in {event["position"].split(":")[0] for event in await a.history()}


async def test_a_journal_that_lost_the_end_of_an_epoch_tells_peer_diverged(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed("start", types=["message"])
    await a.send("bob", "1")
    await inbox.texts(1)
    older = await copy(a)
    lost = await a.client.send_many("bob", ["2", "3"])
    await inbox.texts(2)
    await a.drained("bob")
    await a.kill()
    restore(a, older)
    await a.start()
    await a.up(b)
    events = await a.feed("start")
    diverged = await events.until("peer.diverged")
    assert (diverged["peer"]["name"], diverged["theirs"]) == ("bob", lost[1])
    assert diverged["ours"].split(":")[0] == lost[1].split(":")[0]
    await a.send("bob", "4")
    assert await inbox.texts(1) == ["4"]
    await a.drained("bob")


async def test_a_mark_beyond_what_was_written_in_the_present_epoch_is_refused(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes()
    epoch = (await a.ask("status"))["epoch"]
    peer = await Handmade.dial(a.address)
    await peer.send(hello(mark_epoch=epoch, mark_seq=10**6))
    await peer.until(Hello)
    assert (await peer.until(Bye)).reason == "protocol"
    await peer.close()


async def test_a_copy_of_the_journal_with_another_identity_is_refused(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes()
    peer = await Handmade.dial(a.address)
    await peer.send(hello(epoch=(await a.ask("status"))["epoch"]))
    assert await peer.rest() == [Bye("protocol")]
    await peer.close()
    assert [peer["name"] for peer in await a.peers()] == ["bob"]


async def test_duplicates_of_another_link_are_dropped_and_acknowledged_again(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    texts = [Text("handmade", seq, f"{seq}") for seq in (3, 4, 9)]
    first = await Handmade.linked(a.address, identity)
    await first.send(*texts)
    assert await first.until(AckFrame) == AckFrame("handmade", 9)
    await first.close()
    second = await Handmade.linked(a.address, identity)
    await second.send(*texts, Text("handmade", 10, "10"))
    while (await second.until(AckFrame)).seq != 10:
        continue
    await second.close()
    assert await a.texts() == ["3", "4", "9", "10"]


async def test_a_hello_names_the_newest_mark_and_a_resume_beyond_it_is_a_gap(two_nodes: TwoNodes) -> None:
    a, _ = await two_nodes(connected=False)
    identity = new_identity()
    first = await Handmade.linked(a.address, identity)
    await first.send(Text("handmade", 3, "three"))
    await first.until(AckFrame)
    await first.close()
    second = await Handmade.dial(a.address, identity)
    await second.send(hello())
    answer = await second.until(Hello)
    assert (answer.mark_epoch, answer.mark_seq) == ("handmade", 3)
    events = await a.feed(types=["message"])
    await second.send(Resume("handmade", 7), Text("handmade", 8, "eight"))
    gap = await events.until("gap")
    assert (gap["after"], gap["through"]) == ("handmade:3", "handmade:7")
    assert await events.texts(1) == ["eight"]
    await second.close()

"""Lies about what has arrived: by `AckFrame` and by the mark in a `Hello`, of other nodes' messages and of old epochs.

Messages wait for bob, who is offline. Whatever the liar acknowledges, they still wait, and bob gets each of them once.
"""

from collections.abc import Awaitable, Callable

from chatd.wire.frames import AckFrame, Bye
from tests.adversary.honest import epoch_of, newest, of_node, record, unharmed, until_heard
from tests.adversary.liar import Liar, Line
from tests.harness.network import LiveNode, TwoNodes
from tests.harness.states import copy, restore

LAST = 2**63 - 1
Lie = Callable[[Liar, LiveNode, dict[str, str]], Awaitable[Line]]  # the epochs: ours, old, of bob


async def dialed(liar: Liar, node: LiveNode, epoch: str | None, seq: int) -> Line:
    """A Hello with that mark."""
    return await liar.dial(node, mark_epoch=epoch, mark_seq=seq)


async def acked(liar: Liar, node: LiveNode, *acks: AckFrame) -> Line:
    line = await liar.dial(node)
    await line.say(*acks)
    return line


LIES: dict[str, Lie] = {
    "an Ack of the newest message for bob": lambda liar, a, at: acked(liar, a, AckFrame(at["ours"], newest(a))),
    "an Ack of all that will ever be": lambda liar, a, at: acked(liar, a, AckFrame(at["ours"], LAST)),
    "an Ack of the first position": lambda liar, a, at: acked(liar, a, AckFrame(at["ours"], 0)),
    "Acks of every position one by one": lambda liar, a, at: acked(
        liar, a, *(AckFrame(at["ours"], seq) for seq in range(1, newest(a) + 1))
    ),
    "an Ack of the old epoch": lambda liar, a, at: acked(liar, a, AckFrame(at["old"], 3)),
    "an Ack of all of the old epoch": lambda liar, a, at: acked(
        liar, a, AckFrame(at["old"], newest(a)), AckFrame(at["old"], LAST)
    ),
    "an Ack of an epoch of bob's": lambda liar, a, at: acked(
        liar, a, AckFrame(at["bob"], newest(a)), AckFrame(at["bob"], LAST)
    ),
    "an Ack of no epoch": lambda liar, a, at: acked(liar, a, AckFrame("aaaaaaaa", newest(a))),
    "a mark at the newest message for bob": lambda liar, a, at: dialed(liar, a, at["ours"], newest(a)),
    "a mark at the end of the old epoch": lambda liar, a, at: dialed(liar, a, at["old"], newest(a)),
    "a mark beyond the old epoch": lambda liar, a, at: dialed(liar, a, at["old"], LAST),
    "a mark beyond the present epoch": lambda liar, a, at: dialed(liar, a, at["ours"], LAST),
    "a mark in an epoch of bob's": lambda liar, a, at: dialed(liar, a, at["bob"], LAST),
}
ENDED = {  # those that break the protocol: the line of the liar ends with it
    "an Ack of the newest message for bob",
    "an Ack of all that will ever be",
    "an Ack of the first position",
    "Acks of every position one by one",
    "a mark beyond the present epoch",
}


async def waiting_for_bob(a: LiveNode, b: LiveNode) -> tuple[list[str], dict[str, str]]:
    """Messages of two runs of alice that bob has not got, and the epochs that a liar may name."""
    at = {"old": await epoch_of(a), "bob": await epoch_of(b)}
    await a.send("bob", "before")
    await a.drained("bob")
    await b.stop()
    await a.wait_state("bob", "dialing")
    waiting = [await a.send("bob", f"old {number}") for number in range(10)]
    await a.restart()
    waiting += [await a.send("bob", f"new {number}") for number in range(10)]
    return waiting, at | {"ours": await epoch_of(a)}


async def test_a_lie_about_what_has_arrived_takes_no_message_from_another_node(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    waiting, at = await waiting_for_bob(a, b)
    for lie, tell in LIES.items():
        line = await tell(liar, a, at)
        if lie in ENDED:
            assert (await line.until(Bye)).reason == "protocol", lie
        assert line.ended is (lie in ENDED), lie
        assert await a.states(*waiting) == ["queued"] * 20, lie
        await line.close()
    assert (await record(a, b.id))["queued"] == 20
    receipts = [one for one in await a.history(types=["receipt"]) if one["type"] == "receipt"]
    assert {one["peer"]["node"] for one in receipts} <= {b.id}
    await b.start()
    await a.up(b)
    await a.drained(b.id)
    expected = ["before", *(f"old {number}" for number in range(10)), *(f"new {number}" for number in range(10))]
    assert [one["text"] for one in await of_node(b, a.id)] == expected
    assert await b.history(types=["gap"]) == []
    await unharmed(a, b, restarted=True)


async def test_a_liar_gives_up_its_own_messages_only(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    waiting, at = await waiting_for_bob(a, b)
    line = await liar.dial(a)
    await line.close()
    await a.wait_state("mallory", "down")
    own = [await a.send("mallory", f"for the liar {number}") for number in range(5)]
    waiting += [await a.send("bob", "the newest")]
    await liar.dial(a, mark_epoch=at["ours"], mark_seq=newest(a))
    await a.drained("mallory")
    assert await a.states(*own) == ["delivered"] * 5
    assert await a.states(*waiting) == ["queued"] * 21
    await b.start()
    await unharmed(a, b, restarted=True)


async def test_acknowledgements_of_a_member_are_those_of_no_other_member(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    await a.ask("room.host", room="lobby", nick="boss")
    await b.ask("room.join", room="lobby@alice", nick="bob")
    line = await liar.dial(a)
    await line.join("lobby", "mallory")
    await b.stop()
    await a.wait_state("bob", "dialing")
    for number in range(10):
        await a.ask("room.say", room="lobby", text=f"said {number}")
    line.acknowledges = False
    await line.say(AckFrame(await epoch_of(a), newest(a)))
    await line.close()
    for mark in (newest(a), 1):
        line = await liar.dial(a, mark_epoch=await epoch_of(a), mark_seq=mark)
        await line.close()
    await b.start()
    await until_heard(b, "said 9", "lobby@alice")
    said = [one["text"] for one in await b.history(types=["message"], room="lobby@alice") if one["type"] == "message"]
    assert said == [f"said {number}" for number in range(10)]
    await unharmed(b, a, restarted=True)


async def test_acknowledgements_of_what_a_restored_journal_has_lost_take_nothing_from_another_node(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await two_nodes()
    line = await liar.dial(a)
    made = await copy(a)
    lost = [await a.send("mallory", f"lost {number}", wait="delivered") for number in range(20)]
    epoch = await epoch_of(a)
    await a.stop()
    restore(a, made)
    await b.stop()
    await a.start()
    waiting = [await a.send("bob", f"waits {number}") for number in range(10)]
    line = await liar.dial(a, mark_epoch=epoch, mark_seq=int(lost[-1].partition(":")[2]))
    await line.say(AckFrame(epoch, LAST), AckFrame(epoch, int(lost[-1].partition(":")[2])))
    assert await a.states(*waiting) == ["queued"] * 10
    diverged = await a.history(types=["peer.diverged"])
    assert {one["peer"]["node"] for one in diverged} == {liar.id}
    await b.start()
    await a.drained(b.id)
    assert [one["text"] for one in await of_node(b, a.id)] == [f"waits {number}" for number in range(10)]
    await unharmed(a, b, restarted=True)

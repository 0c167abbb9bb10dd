"""Lies in questions about messages: what others sent is neither told to a liar nor counted for it."""

import pytest

from chatd.wire.frames import Count, Counted, Frame, Inquire, Say, Text, TracedFrame
from tests.adversary.honest import epoch_of, messages, newest, of_node, unharmed
from tests.adversary.liar import Liar, Line
from tests.harness.network import LiveNode, TwoNodes

WHEN = pytest.mark.parametrize("restarted", [False, True])


async def asked(line: Line, global_id: str) -> bool:
    """Whether the node tells the liar of that message."""
    node, _, position = global_id.partition("/")
    epoch, _, seq = position.partition(":")
    await line.say(Inquire(7, node, epoch, int(seq)))
    return (await line.until(TracedFrame, token=7)).known


async def counted(line: Line, epoch: str, first: int, last: int) -> tuple[int, int]:
    """How many messages of the liar a node says that it has."""
    await line.say(Count(8, epoch, first, last))
    answer = await line.until(Counted, token=8)
    return answer.messages, answer.distinct


async def chat(a: LiveNode, b: LiveNode) -> None:
    for number in range(10):
        await a.send("bob", f"to bob {number}")
        await b.send("alice", f"to alice {number}")
    await a.drained("bob")
    await b.drained("alice")


@WHEN
async def test_a_liar_is_told_nothing_of_what_others_said(two_nodes: TwoNodes, liar: Liar, *, restarted: bool) -> None:
    a, b = await two_nodes()
    await chat(a, b)
    if restarted:
        await b.restart()
    line = await liar.dial(b)
    await line.say(Text(liar.epoch, liar.next(), "of the liar"))
    own = (await of_node(b, liar.id))[0]["global_id"]
    assert await asked(line, own)
    for node in (b, a):
        honest = [message for message in await messages(node) if message["global_id"] != own]
        for message in honest:
            sender, place = message["global_id"].split("/")
            for claimed in (sender, a.id, b.id, liar.id):
                assert not await asked(line, f"{claimed}/{place}")
    for event in await b.history():
        assert not await asked(line, f"{b.id}/{event['position']}") or event.get("global_id") == own
    await unharmed(a, b, restarted=restarted)


@WHEN
async def test_a_count_for_a_liar_has_its_own_messages_only(
    two_nodes: TwoNodes, liar: Liar, *, restarted: bool
) -> None:
    a, b = await two_nodes()
    await chat(a, b)
    sent = [one["id"] for one in await of_node(a, b.id, "out")]
    epoch, last = await epoch_of(a), newest(a)
    line = await liar.dial(b)
    assert await counted(line, epoch, 0, last + 100) == (0, 0)
    lies = [Text(epoch, seq, f"lie {seq}") for seq in range(1, last + 50)]
    await line.say(*lies, *lies)
    assert len(await of_node(b, liar.id)) == len(lies)
    if restarted:
        await b.restart()
        line = await liar.dial(b)
        await a.up(b)
    assert await counted(line, epoch, 0, last + 100) == (len(lies), len(lies))
    found = await a.ask("tally", peer=b.id, first=sent[0], last=sent[-1])
    assert (found["messages"], found["distinct"]) == (10, 10)
    await unharmed(a, b, restarted=restarted)


async def test_counts_and_answers_of_a_liar_are_shown_for_the_liar_alone(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    line = await liar.dial(a)
    line.answers[Count] = lambda frame: [Counted(frame.token, 4711, 42)]
    line.answers[Inquire] = lambda frame: [
        TracedFrame(frame.token, True, [("arrived", 1.0, ""), ("taken", 1.0, "bob")])
    ]
    await chat(a, b)
    own = await a.send("mallory", "to the liar", wait="delivered")
    found = await a.ask("tally", peer="mallory", first=own, last=own)
    assert (found["peer"]["node"], found["messages"], found["distinct"]) == (liar.id, 4711, 42)
    traced = await a.ask("trace", id=own, timeout=10)
    assert {step["node"] for step in traced["steps"]} == {"alice", "mallory"}
    assert {step["node"] for step in traced["steps"] if step["here"]} == {"alice"}
    await line.say(*(TracedFrame(token, True, [("arrived", 1.0, "")]) for token in range(50)), Counted(7, 9, 9))
    await unharmed(a, b)


async def test_questions_of_two_peers_are_answered_by_each_for_itself(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    line = await liar.dial(a)
    seen: list[Inquire] = []

    def deny(frame: Inquire) -> list[Frame]:
        seen.append(frame)
        return [TracedFrame(frame.token, False, [])]

    line.answers[Inquire] = deny
    theirs = await a.send("bob", "to bob", wait="delivered")
    own = await a.send("mallory", "to the liar", wait="delivered")
    assert (await a.ask("trace", id=own, timeout=10))["silent"] == "mallory does not know it"
    assert [(one.node, f"{one.epoch}:{one.seq}") for one in seen] == [(a.id, own)]
    assert (await a.ask("trace", id=theirs, timeout=10))["silent"] is None
    assert len(seen) == 1
    await unharmed(a, b)


async def test_what_is_said_to_one_member_is_known_to_that_one_only(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    await b.ask("room.host", room="lobby", nick="boss")
    await a.ask("room.join", room="lobby@bob", nick="ann")
    await a.ask("room.say", room="lobby@bob", text="before the liar", wait="delivered")
    line = await liar.dial(b)
    await line.join("lobby", "mallory")
    await a.ask("room.say", room="lobby@bob", text="for bob's eyes", to="boss", wait="delivered")
    await b.ask("room.say", room="lobby", text="for ann's eyes", to="ann")
    await a.ask("room.say", room="lobby@bob", text="for all", wait="delivered")
    said = {message["text"]: message for message in await messages(b, room="lobby@bob")}
    for text in ("before the liar", "for bob's eyes", "for ann's eyes", "for all"):
        assert await asked(line, f"{b.id}/{said[text]['room_position']}") is (text == "for all")
        assert not await asked(line, f"{a.id}/{said[text]['global_id'].partition('/')[2]}")
    await line.say(Say(liar.epoch, liar.next(), "lobby", "to no member", "ann", liar.id))
    assert "to no member" not in [message["text"] for message in await messages(b)]
    await unharmed(a, b)

"""Lies about ids: epochs and positions of other nodes, answers to what was said to others, where a journal goes on.

Bob is lied to, most of the time. Alice and he show the same afterwards as if the liar had never been there.
"""

import os
from typing import Any

import pytest
import trio

from chatd.peers.clones import REPORTERS
from chatd.peers.identity import CERTIFICATE_FILE, KEY_FILE
from chatd.wire.frames import Bye, Cloned, Frame, Resume, Text
from tests.adversary.honest import epoch_of, messages, newest, of_node, record, unharmed
from tests.adversary.liar import Liar
from tests.harness.handmade_peer import Handmade, hello
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes

WHEN = pytest.mark.parametrize("when", ["in one run", "bob stops", "bob is killed", "alice restarts"])


async def turn(when: str, a: LiveNode, b: LiveNode) -> None:
    """A restart in the middle, where the test is about one."""
    if when == "bob stops":
        await b.restart()
    elif when == "bob is killed":
        await b.node.journal.settled()
        await b.kill()
        await b.start()
    elif when == "alice restarts":
        await a.restart()


@WHEN
async def test_messages_at_the_coming_positions_of_another_node_stay_with_the_liar(
    two_nodes: TwoNodes, liar: Liar, when: str
) -> None:
    a, b = await two_nodes()
    await a.send("bob", "before")
    await a.drained("bob")
    line = await liar.dial(b)
    epoch, seq = await epoch_of(a), newest(a)
    lies = [Text(epoch, seq + number, f"lie {number}") for number in range(1, 60)]
    await line.say(*lies)
    await turn(when, a, b)
    await unharmed(a, b, restarted=when != "in one run")
    got = await of_node(b, liar.id)
    assert [message["global_id"] for message in got] == [f"{liar.id}/{one.epoch}:{one.seq}" for one in lies]
    for message in (got[0], got[-1]):
        assert (await b.ask("msg", id=message["global_id"]))["message"]["text"] == message["text"]
        assert (await b.ask("reply", id=message["id"], text="to the liar"))["peer"]["node"] == liar.id


@WHEN
async def test_messages_at_the_past_positions_of_another_node_replace_nothing(
    two_nodes: TwoNodes, liar: Liar, when: str
) -> None:
    a, b = await two_nodes()
    ids = [await a.send("bob", f"honest {number}") for number in range(20)]
    await a.drained("bob")
    epoch = await epoch_of(a)
    line = await liar.dial(b, epoch=epoch)
    await line.say(*(Text(epoch, int(one.partition(":")[2]), "a lie") for one in ids))
    await turn(when, a, b)
    await unharmed(a, b, restarted=when != "in one run")
    for number, one in enumerate(ids):
        assert (await b.ask("msg", id=f"{a.id}/{one}"))["message"]["text"] == f"honest {number}"
        assert (await b.ask("msg", id=f"{liar.id}/{one}"))["message"]["text"] == "a lie"


async def test_a_liar_that_answers_two_nodes_with_one_position_is_heard_by_each(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await two_nodes()
    for node in (a, b):
        line = await liar.dial(node)
        await line.say(*(Text(liar.epoch, seq, f"to {node.name} {seq}") for seq in range(1, 20)))
    for node in (a, b):
        assert [one["text"] for one in await of_node(node, liar.id)] == [
            f"to {node.name} {seq}" for seq in range(1, 20)
        ]
    await unharmed(a, b)


async def test_two_links_of_a_liar_at_once_bring_each_position_once(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    async with liar.listening() as (address, lines):
        await b.connect(address)
        mine = await liar.dial(b, epoch=liar.epoch, dial="redial")
        epoch, seq = await epoch_of(a), newest(a)
        async with trio.open_nursery() as nursery:
            for number, line in enumerate((mine, *lines)):
                nursery.start_soon(line.say, *(Text(epoch, seq + one, f"{number}: {one}") for one in range(1, 200)))
        got = await of_node(b, liar.id)
        assert [one["global_id"] for one in got] == [f"{liar.id}/{epoch}:{seq + one}" for one in range(1, 200)]
        await unharmed(a, b)
        await b.ask("terminate", peer=liar.id)


async def test_positions_that_go_back_and_forth_between_epochs_come_once_and_are_found(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await two_nodes()
    line = await liar.dial(b)
    epochs = [await epoch_of(a), "zzzzzzzz", liar.epoch, "aaaaaaaa"]
    lies = [Text(epochs[number % 4], 1000 - number // 7, f"lie {number}") for number in range(400)]
    await line.say(*lies)
    await line.say(*lies)
    got = await of_node(b, liar.id)
    places = [message["global_id"] for message in got]
    assert len(set(places)) == len(places)
    for message in got:
        assert (await b.ask("msg", id=message["id"]))["message"]["global_id"] == message["global_id"]
    await unharmed(a, b)


# -- answers


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_liar_answers_no_question_that_another_node_was_asked(
    two_nodes: TwoNodes, liar: Liar, *, restarted: bool
) -> None:
    a, b = await two_nodes()
    old = await a.send("bob", "an old one")
    await a.drained("bob")
    if restarted:
        await a.restart()
        await a.up(b)
    line = await liar.dial(a)
    questions = await b.feed(types=["message"], direction="in")
    answers: list[dict[str, Any]] = []

    async def ask() -> None:
        client = await a.new_client()
        answers.append(await client.ask("ask", peer="bob", text="what?", timeout=20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        question = await questions.until("message", text="what?")
        at = question["global_id"].partition("/")[2]
        await line.say(Text(liar.epoch, liar.next(), "a lie", at), Text(liar.epoch, liar.next(), "another", old))
        await b.ask("reply", id=question["id"], text="the truth")
    answer = answers[0]["answer"]
    assert (answer["text"], answer["peer"]["node"]) == ("the truth", b.id)
    lies = await of_node(a, liar.id)
    assert [(one["text"], one["re"]) for one in lies] == [("a lie", None), ("another", None)]
    assert [one["re_global_id"] for one in lies] == [f"{a.id}/{at}", f"{a.id}/{old}"]
    await unharmed(a, b, restarted=restarted)


async def test_an_answer_names_only_what_was_sent_to_whoever_answers(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    line = await liar.dial(a)
    ours = await a.send("mallory", "to the liar")
    theirs = await a.send("bob", "to bob")
    epoch, seq = await epoch_of(a), newest(a)
    event = (await a.history())[0]["position"]
    claims = [
        ours,
        theirs,
        event,
        f"{epoch}:{seq + 50}",
        f"{epoch}:{2**63 - 1}",
        f"{await epoch_of(b)}:1",
        "aaaaaaaa:7",
    ]
    await a.drained("mallory")
    await line.say(*(Text(liar.epoch, liar.next(), f"re {claim}", claim) for claim in claims))
    lies = await of_node(a, liar.id)
    assert [one["re"] for one in lies] == [ours, *[None] * (len(claims) - 1)]
    assert [one["re_global_id"] for one in lies] == [f"{a.id}/{claim}" for claim in claims]
    await a.restart()
    line = await liar.dial(a)
    await line.say(*(Text(liar.epoch, liar.next(), f"again re {claim}", claim) for claim in claims))
    lies = await of_node(a, liar.id)
    assert [one["re"] for one in lies[len(claims) :]] == [ours, *[None] * (len(claims) - 1)]
    await unharmed(a, b, restarted=True)


# -- where a link starts


@pytest.mark.parametrize("seq", [1, 1000, 2**63 - 1])
async def test_a_liar_that_goes_on_in_the_journal_of_another_node_makes_a_gap_of_its_own_only(
    two_nodes: TwoNodes, liar: Liar, seq: int
) -> None:
    a, b = await two_nodes()
    await a.send("bob", "before")
    await a.drained("bob")
    epoch = await epoch_of(a)
    line = await liar.dial(b, resume=(epoch, seq))
    await line.say(Text(epoch, min(seq, 2**63 - 2) + 1, "a lie"))
    await unharmed(a, b)
    gaps = await b.history(types=["gap"])
    assert {gap["peer"]["node"] for gap in gaps} == {liar.id}
    assert (await record(b, liar.id))["state"] == "up"


async def test_an_epoch_of_a_former_run_of_the_receiver_is_harmless(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    old, seq = await epoch_of(b), newest(b)
    await a.send("bob", "before")
    await a.drained("bob")
    await b.restart()
    line = await liar.dial(b, epoch=old, resume=(old, seq))
    await line.say(*(Text(old, seq + number, f"lie {number}") for number in range(1, 10)))
    assert not line.ended
    own = [event["position"] for event in await b.history()]
    assert [one["text"] for one in await of_node(b, liar.id)] == [f"lie {number}" for number in range(1, 10)]
    assert len(set(own)) == len(own)
    await unharmed(a, b, restarted=True)


@pytest.mark.parametrize("frame", [Resume, Text])
async def test_the_present_epoch_of_the_receiver_ends_the_line_of_the_liar_only(
    two_nodes: TwoNodes, liar: Liar, frame: type[Frame]
) -> None:
    a, b = await two_nodes()
    epoch, seq = await epoch_of(b), newest(b)
    if frame is Resume:
        line = await liar.dial(b, resume=(epoch, seq + 5))
    else:
        line = await liar.dial(b)
        await line.say(Text(epoch, seq + 1, "a lie"))
    assert (await line.until(Bye)).reason == "protocol"
    assert await of_node(b, liar.id) == []
    assert await b.history(types=["gap"]) == []
    await unharmed(a, b)


async def test_a_hello_with_the_receivers_own_present_epoch_is_no_link(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    async with await Handmade.dial(b.address, liar.identity) as hand:
        await hand.send(hello(name="mallory", epoch=await epoch_of(b)))
        assert await hand.rest() == [Bye("protocol")]
    assert [peer["node"] for peer in await b.peers()] == [a.id]
    await unharmed(a, b)


async def test_an_epoch_that_two_nodes_say_at_once_ends_no_link(three_nodes: ThreeNodes, liar: Liar) -> None:
    a, b, c = await three_nodes()
    lines = [await liar.dial(b, epoch=await epoch_of(node)) for node in (a, c)]
    await lines[-1].say(Text(await epoch_of(a), 1, "a lie"), Text(await epoch_of(c), 1, "a lie"))
    await unharmed(a, b)
    await unharmed(c, b)
    assert (await record(b, liar.id))["state"] == "up"


@pytest.mark.parametrize("epoch", ["of the receiver", "of another node", "of no node"])
async def test_a_claim_that_a_node_runs_twice_is_shown_as_what_the_liar_says(
    two_nodes: TwoNodes, liar: Liar, epoch: str
) -> None:
    a, b = await two_nodes()
    line = await liar.dial(b)
    epochs = {"of the receiver": await epoch_of(b), "of another node": await epoch_of(a), "of no node": "zzzzzzzz"}
    await line.say(*[Cloned(epochs[epoch])] * 50)
    health = await b.ask("health")
    assert health["healthy"]
    assert len(health["warnings"]) == (epoch != "of the receiver")
    assert all("reported by mallory" in warning for warning in health["warnings"])
    assert await b.history(types=["peer.cloned"]) == []
    assert not (await record(b, a.id))["cloned"]
    await unharmed(a, b)


async def test_a_liar_that_seems_to_run_twice_makes_only_itself_seem_so(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    for epoch in (await epoch_of(a), liar.epoch) * 2:
        await (await liar.dial(b, epoch=epoch)).close()
    cloned = await b.history(types=["peer.cloned"])
    assert {event["peer"]["node"] for event in cloned} == {liar.id}
    assert (await record(b, liar.id))["cloned"]
    assert not (await record(b, a.id))["cloned"]
    assert all("mallory" in warning for warning in (await b.ask("health"))["warnings"])
    await unharmed(a, b)


# -- a new key on an old journal


async def test_a_liar_with_a_new_key_on_an_old_journal_is_a_new_node(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    before = liar.id
    said = [Text(liar.epoch, seq, f"text {seq}") for seq in range(1, 6)]
    line = await liar.dial(b)
    await line.say(*said)
    await line.close()
    liar.new_key()
    line = await liar.dial(b)
    await line.say(*said, Text(liar.epoch, 6, "text 6"))
    for node, count in ((before, 5), (liar.id, 6)):
        got = await of_node(b, node)
        assert [one["global_id"] for one in got] == [f"{node}/{liar.epoch}:{seq}" for seq in range(1, count + 1)]
    await unharmed(a, b)


async def test_a_node_with_a_new_key_on_an_old_journal_still_delivers_its_outbox(network: Network) -> None:
    a, b = await network.two_nodes()
    await a.send("bob", "with the old key", wait="delivered")
    await a.drained("bob")
    await b.stop()
    await a.wait_state("bob", "dialing")
    waiting = [await a.send("bob", f"waits {number}") for number in range(10)]
    former = a.id
    await a.stop()
    for file in (KEY_FILE, CERTIFICATE_FILE):
        os.unlink(os.path.join(a.state, file))
    await a.start()
    assert a.id != former
    assert await a.states(*waiting) == ["queued"] * 10
    await b.start()
    await a.drained(b.id)
    for id_, texts in ((former, ["with the old key"]), (a.id, [f"waits {number}" for number in range(10)])):
        got = await of_node(b, id_)
        assert [one["text"] for one in got] == texts
        assert {one["global_id"].partition("/")[0] for one in got} == {id_}
    assert await a.states(*waiting) == ["delivered"] * 10
    traced = await a.ask("trace", id=waiting[0])
    assert traced["silent"] is None
    assert [step["step"] for step in traced["steps"] if not step["here"]] == ["arrived", "committed"]
    answered = (await of_node(b, a.id))[0]
    sent = await b.ask("reply", id=answered["id"], text="got it", wait="delivered", timeout=10)
    assert sent["peer"]["node"] == a.id
    assert (await messages(a, direction="in"))[-1]["re"] == waiting[0]
    for global_id in (f"{former}/{waiting[0]}", answered["global_id"]):
        assert (await a.ask("msg", id=global_id))["message"]["id"] == waiting[0]
    await a.restart()
    await a.up(b)
    assert len(await of_node(b, a.id)) == 10


async def test_liars_that_report_a_copy_do_not_silence_a_known_peer_that_reports_one(
    two_nodes: TwoNodes, network: Network, liar: Liar
) -> None:
    a, b = await two_nodes()
    known = Liar(network.nursery, "known", "knownnod")
    for _ in range(REPORTERS):
        line = await liar.dial(a)
        await line.say(Cloned("throwawy"))
        await line.close()
        liar.new_key()
    await a.ask("peer.accept", peer=known.id)
    line = await known.dial(a)
    await line.say(Cloned("realcopy"))
    (warning,) = (await a.ask("health"))["warnings"]
    assert "known:" in warning
    assert (await a.ask("health"))["healthy"]
    await unharmed(a, b)

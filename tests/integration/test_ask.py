"""Questions and answers between real nodes: by id, whatever else comes, and over everything that breaks."""

import pytest
import trio

from chatd.messages.chat import Answered, Options
from tests.harness.client import Feed, Refused
from tests.harness.network import LiveNode, ThreeNodes, TwoNodes
from tests.harness.proxy import proxying


async def ask(node: LiveNode, text: str, answers: dict[str, str], **options: object) -> None:
    """Keep bob's answer to it."""
    client = await node.new_client()
    found = await client.ask("ask", peer="bob", text=text, **options)
    answers[text] = found["answer"]["text"]


async def reply(node: LiveNode, question: dict[str, object], text: str) -> None:
    await node.ask("reply", id=question["id"], text=text)


async def questions(inbox: Feed, count: int) -> list[dict[str, object]]:
    return [await inbox.until("message") for _ in range(count)]


async def test_answers_find_their_questions_in_whatever_order_they_come(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"], direction="in")
    answers: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, a, f"{number}", answers)
        asked = await questions(inbox, 20)
        for question in reversed(asked):
            await b.send("alice", "noise")
            await reply(b, question, f"to {question['text']}")
    assert answers == {f"{number}": f"to {number}" for number in range(20)}


def answering(question: dict[str, object]) -> Options:
    return Options(re=Answered(str(question["id"]), str(question["global_id"])))


async def test_only_the_answer_of_the_asked_peer_counts(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await a.connect(c)
    inbox = await b.feed(types=["message"], direction="in")
    answers: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, a, "who are you?", answers)
        (question,) = await questions(inbox, 1)
        node = c.node
        forged = node.chat.send(node.registry.find("alice"), "bob", answering(question))
        await forged[1].wait()
        await c.drained("alice")
        await reply(b, question, "bob himself")
    assert answers == {"who are you?": "bob himself"}
    (forgery,) = [event for event in await a.history(types=["message"]) if event["text"] == "bob"]
    assert (forgery["re"], forgery["re_global_id"]) == (None, question["global_id"])


async def test_a_late_answer_is_in_the_history_and_found_by_its_key(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"], direction="in")
    with pytest.raises(Refused) as refused:
        await a.ask("ask", peer="bob", text="quick?", timeout=0.05, key="k")
    assert refused.value.kind == "timeout"
    (question,) = await questions(inbox, 1)
    assert question["global_id"] == f"{a.id}/{refused.value.data['id']}"
    await reply(b, question, "no")
    await b.drained("alice")
    answers: dict[str, str] = {}
    await ask(a, "quick?", answers, timeout=10, key="k")
    assert answers == {"quick?": "no"}
    assert await b.texts() == ["quick?"]
    (answer,) = await a.history(types=["message"], direction="in")
    assert answer["re"] == refused.value.data["id"]
    assert answer["re_global_id"] == question["global_id"]


async def test_a_question_and_its_answer_outlive_a_link_that_breaks(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    inbox = await b.feed(types=["message"], direction="in")
    answers: dict[str, str] = {}
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        async with trio.open_nursery() as nursery:
            proxy.stall()
            nursery.start_soon(ask, a, "are you there?", answers)
            while not (await a.peer("bob"))["queued"]:
                await trio.lowlevel.checkpoint()
            proxy.cut()
            proxy.flow()
            (question,) = await questions(inbox, 1)
            proxy.stall()
            await reply(b, question, "yes")
            proxy.cut()
            proxy.flow()
    assert answers == {"are you there?": "yes"}


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_question_is_answered_after_a_restart_of_who_was_asked(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    inbox = await b.feed(types=["message"], direction="in")
    answers: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, a, "still there?", answers)
        (question,) = await questions(inbox, 1)
        await (b.kill if how == "kill" else b.stop)()
        await b.start()
        await reply(b, question, "again")
    assert answers == {"still there?": "again"}
    assert await a.texts() == ["again"]


async def test_a_question_waits_for_a_peer_that_is_away_and_ends_with_its_ttl(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.stop()
    await a.wait_state("bob", "dialing")
    with pytest.raises(Refused) as refused:
        await a.ask("ask", peer="bob", text="now?", ttl=0.05)
    assert refused.value.kind == "expired"
    answers: dict[str, str] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, a, "later?", answers)
        while not (await a.peer("bob"))["queued"]:
            await trio.lowlevel.checkpoint()
        await b.start()
        inbox = await b.feed("start", types=["message"], direction="in")
        (question,) = await questions(inbox, 1)
        await reply(b, question, "yes")
    assert answers == {"later?": "yes"}
    assert await b.texts() == ["later?"]

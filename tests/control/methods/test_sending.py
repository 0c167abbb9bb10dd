"""`send` with its options, `reply`, `ask`, `msg` and `cancel`, over a real socket and journal."""

from typing import Any

import pytest
import trio
import trio.testing

from chatd.messages.references import look_up
from chatd.peers.peer import Peer
from chatd.wire.frames import Text
from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, NODE_ID, Client, FakeLink, Refused, Stand, request, result_of

CAROL_ID = "c" * 52


async def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await client.ask(method, **params)
    return caught.value


async def hear(stand: Stand, peer: Peer, seq: int, text: str, re: str | None = None, epoch: str = "aaaaaaaa") -> str:
    """Commit a message of a native peer; returns its id here."""
    references = await look_up(stand.journal, peer, [re] if re else [])
    batch = stand.chat.inbox.receive(peer, peer.links[0], [Text(epoch, seq, text, re)], references)
    assert batch is not None
    await batch.wait()
    return stand.journal.position(stand.journal.committed)


async def texts(stand: Stand) -> list[str]:
    """All outgoing messages."""
    await stand.journal.settled()
    entries = (await stand.journal.read(0)).entries
    return [entry.event.text for entry in entries if entry.direction == "out"]  # type: ignore[union-attr]


def away(stand: Stand) -> None:
    """End bob's link."""
    stand.registry.link_down(stand.bob, stand.bob.links[0])


# -- send


async def test_a_send_to_a_peer_that_is_away_is_queued_or_refused_as_asked(stand: Stand, client: Client) -> None:
    away(stand)
    assert (await client.ask("send", peer="bob", text="1"))["state"] == "queued"
    assert (await refused(client, "send", peer="bob", text="2", queue=False)).kind == "peer_offline"
    assert (await client.ask("list"))["peers"][0]["queued"] == 1


async def test_a_send_to_whom_it_cannot_go_is_refused(stand: Stand, client: Client) -> None:
    stand.bob.trust = "denied"
    assert (await refused(client, "send", peer="bob", text="x")).kind == "forbidden"
    stand.bob.trust, stand.bob.terminated = None, True
    assert (await refused(client, "send", peer="bob", text="x")).kind == "peer_offline"
    stand.registry.at_address("127.0.0.1:7499")
    assert (await refused(client, "send", peer="127.0.0.1:7499", text="x")).kind == "peer_offline"
    assert await texts(stand) == []


async def test_a_message_with_a_ttl_says_when_it_ends(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="x", ttl=3600)
    message = (await client.ask("msg", id=sent["id"]))["message"]
    assert message["expires"] > message["at"]
    assert (
        "expires" not in (await client.ask("msg", id=(await client.ask("send", peer="bob", text="y"))["id"]))["message"]
    )


async def test_a_ttl_that_makes_no_sense_is_refused(stand: Stand, client: Client) -> None:
    for ttl in cases([0, -1, 1e12, "soon"]):
        assert (await refused(client, "send", peer="bob", text="x", ttl=ttl)).kind == "invalid_params"
        assert await texts(stand) == []


async def test_a_plain_peer_takes_a_key_and_no_ttl(stand: Stand, client: Client) -> None:
    peer, link = stand.registry.plain("127.0.0.1:9"), FakeLink()
    stand.registry.link_up(peer, link)
    error = await refused(client, "send", peer=peer.slot, text="x", ttl=5)
    assert (error.kind, error.data["reason"]) == ("conflict", "plain")
    first = await client.ask("send", peer=peer.slot, text="x", key="k")
    assert (await client.ask("send", peer=peer.slot, text="x", key="k"))["id"] == first["id"]
    assert link.waiting == 1


async def test_the_same_key_is_answered_with_the_first_message(stand: Stand, client: Client) -> None:
    first = await client.ask("send", peer="bob", text="x", key="k")
    await stand.journal.settled()
    stand.bob.delivery.mark_written(stand.journal.committed)
    again = await client.ask("send", peer="bob", text="x", key="k")
    assert (again["id"], again["state"], again["peer"]) == (first["id"], "sent", first["peer"])
    error = await refused(client, "send", peer="bob", text="y", key="k")
    assert (error.kind, error.data["reason"]) == ("conflict", "key")
    assert await texts(stand) == ["x"]


async def test_pipelined_keys_keep_the_order_of_all_sends(stand: Stand, client: Client) -> None:
    data = b""
    for number in range(30):
        data += request("send", 3 * number, peer="bob", text=f"{number} plain")
        data += request("send", 3 * number + 1, peer="bob", text=f"{number} key", key=f"k{number}")
        data += request("send", 3 * number + 2, peer="bob", text=f"{number} key", key=f"k{number}")
    await client.write(data)
    answers = {line["id"]: result_of(line) for line in await client.lines(90)}
    assert await texts(stand) == [f"{number} {kind}" for number in range(30) for kind in ("plain", "key")]
    assert all(answers[3 * number + 1]["id"] == answers[3 * number + 2]["id"] for number in range(30))
    assert len({answer["id"] for answer in answers.values()}) == 60


async def test_a_key_may_be_waited_for_again(stand: Stand, client: Client) -> None:
    error = await refused(client, "send", peer="bob", text="x", key="k", wait="delivered", timeout=0.01)
    assert error.kind == "timeout"
    await stand.journal.settled()
    stand.bob.delivery.mark_written(stand.journal.committed)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.committed)
    again = await client.ask("send", peer="bob", text="x", key="k", wait="delivered", timeout=10)
    assert (again["id"], again["state"]) == (error.data["id"], "delivered")


@pytest.mark.parametrize("stand", [{"outbox_messages": 100}], indirect=True)
async def test_a_client_is_slowed_at_the_bound_and_nothing_is_refused_or_out_of_order(
    stand: Stand, client: Client
) -> None:
    """Bob receives 30 messages at a time."""
    count, done = 1000, trio.Event()
    await stand.chat.start_link(stand.bob, stand.bob.links[0], None, 0)
    most = 0

    async def take() -> None:
        nonlocal most
        while not done.is_set():
            await trio.testing.wait_all_tasks_blocked(0.001)
            most = max(most, stand.bob.delivery.outbox.count)
            owed = stand.bob.delivery.outbox.between(0, stand.journal.committed)
            if owed:
                stand.bob.delivery.mark_written(owed[-1])
                assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, owed[:30][-1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        data = b"".join(request("send", number, peer="bob", text=f"{number}") for number in range(count))
        nursery.start_soon(client.write, data)
        answers = await client.lines(count)
        done.set()
    assert [line["id"] for line in answers if "result" in line] == list(range(count))
    assert await texts(stand) == [f"{number}" for number in range(count)]
    assert most <= 100


@pytest.mark.parametrize("stand", [{"outbox_messages": 3}], indirect=True)
async def test_the_outbox_of_a_peer_that_is_away_gets_full(stand: Stand, client: Client) -> None:
    away(stand)
    await client.write(b"".join(request("send", number, peer="bob", text=f"{number}") for number in range(5)))
    lines = await client.lines(5)
    assert ["result" in line for line in lines] == [True, True, True, False, False]
    assert {line["error"]["data"]["kind"] for line in lines[3:]} == {"outbox_full"}


@pytest.mark.parametrize("stand", [{"outbox_messages": 3}], indirect=True)
async def test_other_clients_go_on_while_one_is_slowed(stand: Stand, client: Client) -> None:
    await stand.chat.start_link(stand.bob, stand.bob.links[0], None, 0)
    await client.write(b"".join(request("send", number, peer="bob", text=f"{number}") for number in range(4)))
    await client.lines(3)
    other = await stand.connect()
    async with other.stream:
        assert await other.ask("whoami")
    away(stand)
    (line,) = await client.lines(1)
    assert (line["id"], line["error"]["data"]["kind"]) == (3, "outbox_full")


# -- reply


async def test_a_reply_names_the_message_that_it_answers(stand: Stand, client: Client) -> None:
    question = await hear(stand, stand.bob, 7, "how are you?")
    sent = await client.ask("reply", id=question, text="fine")
    message = (await client.ask("msg", id=sent["id"]))["message"]
    assert (message["re"], message["text"], message["peer"]["name"]) == (question, "fine", "bob")
    assert message["re_global_id"] == f"{BOB_ID}/aaaaaaaa:7"
    assert message["global_id"] == f"{NODE_ID}/{sent['id']}"


async def test_a_stranger_at_positions_of_our_journal_is_not_who_a_reply_goes_to(stand: Stand, client: Client) -> None:
    """It uses our previous epoch, or the next positions of this one, which each Hello frame lets it guess."""
    mallory = carol(stand)
    for seq in range(1, 20):
        await hear(stand, mallory, seq, "mine", epoch=stand.journal.epoch)
    question = await hear(stand, stand.bob, 7, "how are you?")
    for seq in range(20, 60):
        await hear(stand, mallory, seq, "mine", epoch=stand.journal.epoch)
    sent = await client.ask("reply", id=question, text="fine")
    assert sent["peer"]["name"] == "bob"
    assert (await client.ask("msg", id=question))["message"]["text"] == "how are you?"


async def test_a_global_id_is_for_verbs_that_look_across_nodes(stand: Stand, client: Client) -> None:
    theirs = await hear(stand, stand.bob, 7, "how are you?")
    ours = (await client.ask("send", peer="bob", text="x"))["id"]
    for method, params in (("reply", {"text": "fine"}), ("cancel", {}), ("wait", {"for": "delivered"})):
        for global_id in (f"{BOB_ID}/aaaaaaaa:7", f"{NODE_ID}/{ours}"):
            error = await refused(client, method, id=global_id, **params)
            assert (error.kind, "chatctl msg" in error.data["hint"]) == ("unknown_message", True)
    for method in ("msg", "trace"):
        for global_id, own in ((f"{BOB_ID}/aaaaaaaa:7", theirs), (f"{NODE_ID}/{ours}", ours)):
            found = await client.ask(method, id=global_id)
            assert found.get("message", found)["id"] == own
        assert (await refused(client, method, id=f"{CAROL_ID}/aaaaaaaa:7")).kind == "unknown_message"


async def test_a_reply_to_a_plain_peer_is_just_a_text_for_it(stand: Stand, client: Client) -> None:
    peer, link = stand.registry.plain("127.0.0.1:9"), FakeLink()
    stand.registry.link_up(peer, link)
    (position,) = await stand.say("hi", peer=peer)
    sent = await client.ask("reply", id=position, text="hello", wait=None)
    message = (await client.ask("msg", id=sent["id"]))["message"]
    assert (link.waiting, message["re"], "re_global_id" in message) == (1, position, False)


async def test_a_reply_has_the_options_of_a_send(stand: Stand, client: Client) -> None:
    question = await hear(stand, stand.bob, 7, "how are you?")
    first = await client.ask("reply", id=question, text="fine", key="k", ttl=60)
    assert (await client.ask("reply", id=question, text="fine", key="k", ttl=60))["id"] == first["id"]
    error = await refused(client, "reply", id=question, text="x", wait="delivered", timeout=0.01)
    assert error.kind == "timeout"
    away(stand)
    assert (await refused(client, "reply", id=question, text="x", queue=False)).kind == "peer_offline"
    assert await texts(stand) == ["fine", "x"]


async def test_pipelined_replies_and_sends_keep_their_order(stand: Stand, client: Client) -> None:
    questions = [await hear(stand, stand.bob, seq, "?") for seq in range(1, 11)]
    data = b""
    for number, question in enumerate(questions):
        data += request("reply", 2 * number, id=question, text=f"{number} reply")
        data += request("send", 2 * number + 1, peer="bob", text=f"{number} send")
    await client.write(data)
    assert [line["id"] for line in await client.lines(20)] == list(range(20))
    assert await texts(stand) == [f"{number} {kind}" for number in range(10) for kind in ("reply", "send")]


async def test_only_what_came_in_is_answered(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="x")
    error = await refused(client, "reply", id=sent["id"], text="y")
    assert (error.kind, error.data["reason"]) == ("conflict", "own")
    for unknown in ("aaaaaaaa:9", "", "x" * 1000, stand.journal.position(1)):
        assert (await refused(client, "reply", id=unknown, text="y")).kind == "unknown_message"


# -- ask


def carol(stand: Stand) -> Peer:
    peer = stand.registry.native(CAROL_ID, "carol", "127.0.0.1:7422")
    stand.registry.link_up(peer, FakeLink())
    return peer


async def asking(stand: Stand, client: Client, **params: Any) -> tuple[int, str]:
    """The request id of an open `ask`, and the id of its question."""
    before = stand.journal.appended
    number = await client.post("ask", peer="bob", text="how are you?", **params)
    while stand.journal.appended == before:
        await trio.lowlevel.checkpoint()
    await stand.journal.settled()
    await trio.testing.wait_all_tasks_blocked()
    return number, stand.journal.position(stand.journal.committed)


async def test_an_ask_is_answered_by_id_and_not_by_arrival(stand: Stand, client: Client) -> None:
    number, question = await asking(stand, client)
    await hear(stand, stand.bob, 1, "something else")
    await hear(stand, stand.bob, 2, "another answer", re=f"{stand.journal.epoch}:1")
    await hear(stand, carol(stand), 1, "not carol's business", re=question, epoch="cccccccc")
    assert await client.ask("whoami")
    await hear(stand, stand.bob, 3, "fine", re=question)
    await hear(stand, stand.bob, 4, "really", re=question)
    answer = result_of(await client.answer(number))
    assert (answer["id"], answer["answer"]["text"], answer["answer"]["re"]) == (question, "fine", question)


async def test_an_ask_without_an_answer_tells_its_id_and_the_question_stays(stand: Stand, client: Client) -> None:
    error = await refused(client, "ask", peer="bob", text="how are you?", timeout=0.05)
    assert error.kind == "timeout"
    assert f"chatctl msg {error.data['id']}" in error.data["hint"]
    assert (await client.ask("msg", id=error.data["id"]))["message"]["state"] == "queued"


async def test_a_late_answer_is_had_by_asking_again_with_the_same_key(stand: Stand, client: Client) -> None:
    error = await refused(client, "ask", peer="bob", text="how are you?", timeout=0.01, key="k")
    await hear(stand, stand.bob, 1, "fine", re=error.data["id"])
    answer = await client.ask("ask", peer="bob", text="how are you?", timeout=10, key="k")
    assert (answer["id"], answer["answer"]["text"]) == (error.data["id"], "fine")
    assert await texts(stand) == ["how are you?"]


@pytest.mark.parametrize("stand", [{"tail_bytes": 65536}], indirect=True)
async def test_an_answer_is_found_behind_more_than_memory_holds(stand: Stand, client: Client) -> None:
    error = await refused(client, "ask", peer="bob", text="how are you?", timeout=0.01, key="k")
    await hear(stand, stand.bob, 1, "fine", re=error.data["id"])
    await stand.say(*("x" * 500 for _ in range(1000)))
    answer = await client.ask("ask", peer="bob", text="how are you?", timeout=10, key="k")
    assert answer["answer"]["text"] == "fine"


@pytest.mark.parametrize("state", ["cancelled", "expired", "rejected"])
async def test_an_ask_whose_question_ends_is_told_at_once(stand: Stand, client: Client, state: str) -> None:
    number, question = await asking(stand, client)
    await stand.chat.states.end(stand.bob, stand.journal.resolve(question), 1, state).wait()
    with pytest.raises(Refused, match=f"is {state}") as caught:
        result_of(await client.answer(number))
    assert (caught.value.kind, caught.value.data["id"]) == ({"cancelled": "conflict"}.get(state, state), question)


async def test_a_plain_peer_cannot_be_asked(stand: Stand, client: Client) -> None:
    peer = stand.registry.plain("127.0.0.1:9")
    stand.registry.link_up(peer, FakeLink())
    error = await refused(client, "ask", peer=peer.slot, text="x")
    assert (error.kind, error.data["reason"]) == ("conflict", "plain")
    away(stand)
    assert (await refused(client, "ask", peer="bob", text="x", queue=False)).kind == "peer_offline"
    assert await texts(stand) == []


# -- msg and cancel


async def test_a_message_is_shown_by_its_id(stand: Stand, client: Client) -> None:
    theirs = await hear(stand, stand.bob, 7, "hi")
    message = (await client.ask("msg", id=theirs))["message"]
    assert (message["id"], message["position"], message["text"]) == (theirs, theirs, "hi")
    assert message["global_id"] == f"{BOB_ID}/aaaaaaaa:7"
    assert "state" not in message
    for unknown in ("aaaaaaaa:7", "bbbbbbbb:7", "aaaaaaaa:8", "", "x" * 1000, "aaaaaaaa:" + "9" * 400, "\x00"):
        assert (await refused(client, "msg", id=unknown)).kind == "unknown_message"


async def test_a_message_is_cancelled_by_its_id(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="x")
    assert await client.ask("cancel", id=sent["id"]) == {"id": sent["id"], "state": "cancelled"}
    assert await client.ask("cancel", id=sent["id"]) == {"id": sent["id"], "state": "cancelled"}
    assert (await client.ask("msg", id=sent["id"]))["message"]["state"] == "cancelled"
    sent = await client.ask("send", peer="bob", text="y")
    stand.bob.delivery.mark_written(stand.journal.committed)
    assert await client.ask("cancel", id=sent["id"]) == {"id": sent["id"], "state": "sent"}  # it may have arrived


async def test_what_cannot_be_cancelled_says_why(stand: Stand, client: Client) -> None:
    theirs = await hear(stand, stand.bob, 7, "hi")
    error = await refused(client, "cancel", id=theirs)
    assert (error.kind, error.data["reason"]) == ("conflict", "not_ours")
    sent = await client.ask("send", peer="bob", text="x")
    stand.bob.delivery.mark_written(stand.journal.committed)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.committed)
    error = await refused(client, "cancel", id=sent["id"])
    assert (error.kind, error.data["reason"]) == ("conflict", "delivered")
    assert (await refused(client, "cancel", id="nonsense")).kind == "unknown_message"

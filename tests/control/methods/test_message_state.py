"""Waiting for the state of a message: `send` with `wait`, and `wait delivered`, over a real socket and journal."""

from typing import Any

import pytest
import trio
import trio.testing

from chatd.control.methods.message_state import MessageStateWatch
from chatd.journal.store import DiskFull
from chatd.peers.peer import Peer
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand, request, result_of


async def written(stand: Stand) -> None:
    """A link has written everything to bob."""
    await stand.journal.settled()
    stand.bob.delivery.mark_written(stand.journal.committed)
    stand.bob.delivery.progress.notify()


async def acknowledged(stand: Stand) -> None:
    """Bob acknowledges everything."""
    await written(stand)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.committed)


async def sending(stand: Stand, client: Client, wait: str, **params: Any) -> int:
    """The request id of an open `send` whose message is committed."""
    number = await client.post("send", peer="bob", text="hi", wait=wait, **params)
    while not stand.bob.delivery.outbox.count:
        await trio.lowlevel.checkpoint()
    await stand.journal.settled()
    await trio.testing.wait_all_tasks_blocked()
    return number


async def refused(client: Client, number: int) -> Refused:
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(number))
    return caught.value


def newest(stand: Stand) -> str:
    return stand.journal.position(stand.bob.delivery.outbox.first)


async def test_a_send_waits_until_it_is_sent(stand: Stand, client: Client) -> None:
    number = await sending(stand, client, "sent")
    await written(stand)
    sent = result_of(await client.answer(number))
    assert (sent["id"], sent["state"], sent["peer"]["name"]) == (newest(stand), "sent", "bob")


async def test_a_send_waits_until_it_is_delivered(stand: Stand, client: Client) -> None:
    number = await sending(stand, client, "delivered")
    await written(stand)
    assert await client.ask("whoami")  # and not before
    await acknowledged(stand)
    assert result_of(await client.answer(number))["state"] == "delivered"


async def test_what_is_delivered_was_sent(stand: Stand, client: Client) -> None:
    number = await sending(stand, client, "sent")
    await acknowledged(stand)
    assert result_of(await client.answer(number))["state"] == "delivered"


@pytest.mark.parametrize(("wait", "state"), [("sent", "queued"), ("delivered", "sent")])
async def test_a_send_that_takes_too_long_stays_and_its_id_is_told(
    stand: Stand, client: Client, wait: str, state: str
) -> None:
    number = await sending(stand, client, wait, timeout=0.05)
    if state == "sent":
        await written(stand)
    error = await refused(client, number)
    assert (error.kind, error.data["id"], error.data["state"]) == ("timeout", newest(stand), state)
    assert f"chatctl msg {newest(stand)}" in error.data["hint"]
    assert stand.bob.delivery.outbox.count == 1


async def cancel(stand: Stand, client: Client) -> None:
    assert (await client.ask("cancel", id=newest(stand)))["state"] == "cancelled"


async def expire(stand: Stand, client: Client) -> None:
    seq = stand.bob.delivery.outbox.first
    await stand.chat.states.end(stand.bob, seq, 1, "expired").wait()


async def reject(stand: Stand, client: Client) -> None:
    seq = stand.bob.delivery.outbox.first
    await stand.chat.states.end(stand.bob, seq, 1, "rejected").wait()


async def forget(stand: Stand, client: Client) -> None:
    await client.ask("peer.forget", peer="bob")


@pytest.mark.parametrize(
    ("wait", "end", "kind", "words"),
    [
        ("sent", cancel, "conflict", "is cancelled"),
        ("delivered", expire, "expired", "is expired"),
        ("sent", reject, "rejected", "is rejected"),
        ("delivered", forget, "conflict", "is cancelled"),
    ],
)
async def test_a_message_that_ends_otherwise_is_told_at_once(
    stand: Stand, client: Client, end: Any, kind: str, words: str, wait: str
) -> None:
    other = await stand.connect()
    async with other.stream:
        number = await sending(stand, client, wait)
        message_id = newest(stand)
        await end(stand, other)
        error = await refused(client, number)
    assert (error.kind, error.data["id"]) == (kind, message_id)
    assert words in str(error)
    assert error.data.get("reason") == ("cancelled" if kind == "conflict" else None)


async def test_an_end_that_cannot_be_written_down_is_none(stand: Stand, client: Client) -> None:
    number = await sending(stand, client, "delivered")
    with stand.holding_commits() as disk:
        disk.failure = DiskFull("full")
        stand.chat.states.end(stand.bob, stand.bob.delivery.outbox.first, 1, "expired")
        await trio.testing.wait_all_tasks_blocked()
        disk.release()
        await stand.journal.settled()
        assert stand.bob.delivery.outbox.count == 1
        assert await client.ask("whoami")
        stand.store.write = disk._write  # type: ignore[method-assign]
    await acknowledged(stand)
    assert result_of(await client.answer(number))["state"] == "delivered"


async def test_a_send_that_is_not_committed_is_refused_as_that(stand: Stand, client: Client) -> None:
    await stand.journal.settled()
    with stand.holding_commits() as disk:
        disk.failure = DiskFull("full")
        number = await client.post("send", peer="bob", text="hi", wait="delivered")
        while not stand.bob.delivery.outbox.count:
            await trio.lowlevel.checkpoint()
        disk.release()
        assert (await refused(client, number)).kind == "storage_full"
    assert stand.bob.delivery.outbox.count == 0


# -- plain peers


def plain(stand: Stand) -> tuple[Peer, FakeLink]:
    peer, link = stand.registry.plain("127.0.0.1:9"), FakeLink()
    stand.registry.link_up(peer, link)
    return peer, link


async def test_sent_to_a_plain_peer_is_written(stand: Stand, client: Client) -> None:
    peer, link = plain(stand)
    number = await client.post("send", peer=peer.slot, text="hi", wait="sent")
    while not link.waiting:
        await trio.lowlevel.checkpoint()
    await stand.journal.settled()
    stand.chat.record_written(peer, stand.journal.committed)
    assert result_of(await client.answer(number))["state"] == "sent"


async def test_a_plain_peer_that_goes_before_it_was_written_is_offline(stand: Stand, client: Client) -> None:
    peer, link = plain(stand)
    number = await client.post("send", peer=peer.slot, text="hi", wait="sent")
    while not link.waiting:
        await trio.lowlevel.checkpoint()
    await stand.journal.settled()
    stand.registry.link_down(peer, link)
    error = await refused(client, number)
    assert (error.kind, "went before it was written" in error.data["hint"]) == ("peer_offline", True)
    (message,) = (await client.ask("history", filter={"types": ["message"]}))["events"]
    assert (message["state"], error.data["id"]) == ("failed", message["id"])


async def test_a_plain_peer_delivers_nothing(stand: Stand, client: Client) -> None:
    peer, link = plain(stand)
    with pytest.raises(Refused, match="acknowledges nothing") as caught:
        await client.ask("send", peer=peer.slot, text="hi", wait="delivered")
    assert (caught.value.kind, caught.value.data["reason"]) == ("conflict", "plain")
    assert link.waiting == 0


async def test_only_sent_and_delivered_can_be_waited_for(stand: Stand, client: Client) -> None:
    for wait in cases(["received", "", "queued", "x" * 1000]):
        with pytest.raises(Refused) as caught:
            await client.ask("send", peer="bob", text="hi", wait=wait)
        assert caught.value.kind == "invalid_params"
        assert stand.bob.delivery.outbox.count == 0


# -- wait delivered


async def test_wait_delivered_is_answered_when_it_is(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    await client.write(request("wait", 7, for_="delivered", id=sent["id"]) + request("whoami", 8))
    assert result_of(await client.answer(8))
    await acknowledged(stand)
    assert [peer["name"] for peer in result_of(await client.answer(7))["peers"]] == ["bob"]
    assert await client.ask("wait", for_="delivered", id=sent["id"], timeout=0)


async def test_wait_delivered_in_no_time_says_what_it_is_now(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="delivered", id=sent["id"], timeout=0)
    assert (caught.value.kind, caught.value.data["state"]) == ("timeout", "queued")


async def test_wait_delivered_takes_only_what_goes_to_a_chatd(stand: Stand, client: Client) -> None:
    peer, _ = plain(stand)
    to_plain = (await client.ask("send", peer=peer.slot, text="hi"))["id"]
    (came_in,) = await stand.say("hi")
    for message_id in (to_plain, came_in):
        with pytest.raises(Refused, match="nobody acknowledges") as caught:
            await client.ask("wait", for_="delivered", id=message_id)
        assert (caught.value.kind, caught.value.data["reason"]) == ("conflict", "not_ours")
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="delivered", id="nonsense")
    assert caught.value.kind == "unknown_message"


async def test_wait_delivered_of_what_ended_before_is_told_at_once(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    await client.ask("cancel", id=sent["id"])
    with pytest.raises(Refused, match="is cancelled") as caught:
        await client.ask("wait", for_="delivered", id=sent["id"])
    assert caught.value.kind == "conflict"


async def test_a_fate_is_known_by_id(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    watch = MessageStateWatch.of_id(stand.node, stand.bob, sent["id"])
    assert (watch.id, await watch.state()) == (sent["id"], "queued")
    assert watch.result("sent").peer == stand.bob.ref

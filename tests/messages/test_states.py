"""What becomes of messages that are not delivered: cancelled, expired, rejected; in every stage, and over restarts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.api.events import Message, Receipt
from chatd.journal.store import DiskFull
from chatd.messages.chat import Options
from chatd.peers.peer import Peer
from chatd.wire.frames import Text
from tests.harness.parts import BOB, Core, World, standing


async def say(core: Core, peer: Peer, *texts: str, ttl: float | None = None) -> list[Message]:
    """Accepted messages."""
    messages = [core.chat.send(peer, text, Options(ttl=ttl))[0] for text in texts]
    await core.commit()
    return messages


async def cancel(core: Core, peer: Peer, message: Message | str) -> str:
    entry = await core.chat.lookup.find(message if isinstance(message, str) else message.position)
    return await core.chat.states.cancel(peer, entry)


async def refusal(core: Core, peer: Peer, message: Message | str) -> ControlError:
    with pytest.raises(ControlError) as refused:
        await cancel(core, peer, message)
    return refused.value


async def told(core: Core) -> list[tuple[str, str | None]]:
    """The receipts, with the text of those that are about one message."""
    await core.flushed()
    events = [entry.event for entry in (await core.journal.page(0)).entries]
    texts = {event.position: event.text for event in events if isinstance(event, Message)}
    return [(event.state, texts.get(event.id or "")) for event in events if isinstance(event, Receipt)]


def outcomes(core: Core) -> list[tuple[str, int]]:
    return core.journal.store.query("SELECT state, final FROM outcomes ORDER BY seq")


def exact(core: Core, peer: Peer, *sizes: int) -> None:
    """As many messages of these sizes are owed, and the journal knows it."""
    assert (peer.delivery.outbox.count, peer.delivery.outbox.size) == (len(sizes), sum(sizes))
    assert (core.registry.outbox_totals.messages, core.registry.outbox_totals.size) == (len(sizes), sum(sizes))
    rows = core.journal.store.query("SELECT messages, bytes FROM outboxes WHERE topic = ?", peer.stream_id)
    assert rows == [(len(sizes), sum(sizes))]


async def size_of(core: Core, message: Message) -> int:
    return len((await core.chat.lookup.find(message.position)).raw)


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncIterator[Core]:
    """A core for tests that take the `autojump_clock`."""
    async with standing(tmp_path, World(inline=True)) as core:
        yield core


# -- cancelling


async def test_what_was_never_written_is_cancelled_for_good(core: Core) -> None:
    bob = core.away()
    one, two = await say(core, bob, "1", "2")
    assert await cancel(core, bob, one) == "cancelled"
    assert await told(core) == [("cancelled", "1")]
    assert (await core.state(one), await core.state(two)) == ("cancelled", "queued")
    exact(core, bob, await size_of(core, two))
    assert await core.write(bob) == ["2"]


async def test_cancelling_twice_is_cancelling_once(core: Core) -> None:
    bob = core.away()
    (one,) = await say(core, bob, "1")
    assert await cancel(core, bob, one) == await cancel(core, bob, one) == "cancelled"
    assert await told(core) == [("cancelled", "1")]
    assert bob.delivery.outbox.count == 0


async def test_two_that_cancel_at_once_are_both_told_so(core: Core) -> None:
    bob = core.away()
    (one,) = await say(core, bob, "1")
    states: list[str] = []

    async def try_it() -> None:
        states.append(await cancel(core, bob, one))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(try_it)
    assert states == ["cancelled"] * 5
    assert await told(core) == [("cancelled", "1")]


async def test_what_a_former_run_cancelled_is_not_cancelled_again(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        first, gone, last = await say(core, bob, "1", "2", "3")
        await cancel(core, bob, gone)
        sizes = [await size_of(core, first), await size_of(core, last)]
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        assert await cancel(core, bob, gone.position) == "cancelled"
        assert await told(core) == [("cancelled", "2")]
        exact(core, bob, *sizes)
        assert await core.write(core.up()[0]) == ["1", "3"]
        exact(core, bob, *sizes)


async def test_what_may_have_been_written_is_only_not_sent_again(core: Core) -> None:
    bob, link = await core.linked()
    one, _ = await say(core, bob, "1", "2")
    assert await core.write(bob) == ["1", "2"]
    assert await cancel(core, bob, one) == await cancel(core, bob, one) == "sent"
    assert (await core.state(one), outcomes(core)) == ("sent", [("cancelled", 0)])
    assert (bob.delivery.outbox.count, await told(core)) == (2, [])
    core.registry.link_down(bob, link)
    assert (await core.state(one), bob.delivery.outbox.count) == ("sent", 2)
    await core.linked()
    assert await core.write(bob) == ["2"]


@pytest.mark.parametrize("lost", [True, False])
async def test_while_another_link_may_still_bring_it_nothing_is_decided(core: Core, *, lost: bool) -> None:
    bob, link = await core.linked()
    one, _ = await say(core, bob, "1", "2")
    await core.write(bob)
    await cancel(core, bob, one)
    link.lost = lost  # the peer has lost it; else it is alive
    await core.linked()
    written = await core.write(bob)  # by the second link
    assert (written, await core.state(one)) == ((["2"], "cancelled") if lost else (["1", "2"], "sent"))


async def test_an_acknowledgement_decides_that_what_was_cancelled_is_delivered(core: Core) -> None:
    bob, _ = await core.linked()
    one, two = await say(core, bob, "1", "2")
    await core.write(bob)
    await cancel(core, bob, one)
    assert core.chat.acknowledge(bob, core.journal.epoch, core.journal.resolve(one.position))
    await core.commit()
    assert (await core.state(one), await core.state(two)) == ("delivered", "sent")
    assert (await refusal(core, bob, one)).details == {"reason": "delivered"}
    assert (outcomes(core), bob.delivery.tentative) == ([], {})
    assert await told(core) == [("delivered", None)]


async def test_a_hello_decides_what_became_of_what_was_cancelled_in_flight(core: Core) -> None:
    bob, link = await core.linked()
    arrived, lost, behind = await say(core, bob, "1", "2", "3")
    await core.write(bob)
    assert [await cancel(core, bob, message) for message in (arrived, lost)] == ["sent", "sent"]
    core.registry.link_down(bob, link)
    await core.linked(mark=core.journal.resolve(arrived.position))
    assert await core.write(bob) == ["3"]
    assert [await core.state(message) for message in (arrived, lost, behind)] == ["delivered", "cancelled", "sent"]
    assert outcomes(core) == [("cancelled", 1)]
    assert await told(core) == [("delivered", None), ("cancelled", "2")]
    exact(core, bob, await size_of(core, behind))


async def test_what_a_hello_says_has_not_arrived_is_queued_again_until_it_is_written(core: Core) -> None:
    bob, link = await core.linked()
    one, two = await say(core, bob, "1", "2")
    await core.write(bob)
    core.registry.link_down(bob, link)
    assert [await core.state(message) for message in (one, two)] == ["sent", "sent"]
    await core.linked()
    assert [await core.state(message) for message in (one, two)] == ["queued", "queued"]
    assert await cancel(core, bob, one) == "cancelled"
    assert await core.write(bob) == ["2"]


async def test_what_was_in_flight_when_a_node_was_killed_is_decided_by_the_next_hello(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        first = core.journal.epoch
        arrived, lost, behind = await say(core, bob, "1", "2", "3")
        await core.write(bob)
        await cancel(core, bob, lost)
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        assert [await core.state(message.position) for message in (arrived, lost, behind)] == ["sent"] * 3
        assert await cancel(core, bob, lost.position) == "sent"
        assert await cancel(core, bob, behind.position) == "sent"
        assert bob.delivery.outbox.count == 3
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch=first, mark=int(arrived.position.split(":")[1]))
        states = [await core.state(message.position) for message in (arrived, lost, behind)]
        assert states == ["delivered", "cancelled", "cancelled"]
        assert await core.write(bob) == []
        exact(core, bob)
        assert await told(core) == [("delivered", None), ("cancelled", "2"), ("cancelled", "3")]


async def test_what_was_queued_when_a_node_ended_without_a_link_was_never_written(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = await core.linked()
        (written,) = await say(core, bob, "1")
        await core.write(bob)
        core.registry.link_down(bob, link)
        (queued,) = await say(core, bob, "2")
        await core.flushed()
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        assert [await core.state(message.position) for message in (written, queued)] == ["sent", "queued"]
        assert await cancel(core, bob, queued.position) == "cancelled"
        assert await cancel(core, bob, written.position) == "sent"


async def test_while_a_link_may_be_open_everything_may_have_been_written(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        (one,) = await say(core, bob, "1")
        assert await core.state(one) == "queued"
    async with standing(tmp_path) as core:
        assert await core.state(one.position) == "sent"
        assert await cancel(core, core.registry.find("bob"), one.position) == "sent"


async def test_what_is_delivered_stays_so_where_the_end_of_its_cancelling_was_not_written_down(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        first, (bob, _) = core.journal.epoch, await core.linked()
        (one,) = await say(core, bob, "1")
        await core.write(bob)
        await cancel(core, bob, one)
        core.chat.acknowledge(bob, first, core.journal.resolve(one.position))
        core.world.fault = DiskFull("no room")
        await core.commit()
        await core.flushed()
        assert outcomes(core) == [("cancelled", 0)]
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch=first, mark=int(one.position.split(":")[1]))
        assert await core.state(one.position) == "delivered"
        assert (await refusal(core, bob, one.position)).details == {"reason": "delivered"}
        assert [state for state, _ in await told(core)] in ([], ["delivered"])
        exact(core, bob)


async def test_what_is_delivered_cannot_be_taken_back(core: Core) -> None:
    bob, _ = await core.linked()
    (one,) = await say(core, bob, "1")
    await core.write(bob)
    core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
    refused = await refusal(core, bob, one)
    assert (refused.kind, refused.details) == ("conflict", {"reason": "delivered"})
    assert "is delivered" in refused.message


async def test_what_came_in_cannot_be_taken_back(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
    await core.commit()
    refused = await refusal(core, bob, core.journal.position(core.journal.committed))
    assert (refused.kind, refused.details) == ("conflict", {"reason": "not_ours"})
    assert f"{core.journal.position(core.journal.committed)} came in" in refused.message


async def test_what_goes_to_a_plain_peer_cannot_be_taken_back(core: Core) -> None:
    peer, _ = core.plain_up()
    (one,) = await say(core, peer, "1")
    refused = await refusal(core, peer, one)
    assert (refused.kind, refused.details) == ("conflict", {"reason": "plain"})


async def test_a_cancel_that_cannot_be_written_down_is_none(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    one, two = await say(timed, bob, "1", "2")
    sizes = [await size_of(timed, message) for message in (one, two)]
    timed.world.fault = DiskFull("no room")
    timed.world.fault_after = 1
    assert (await refusal(timed, bob, one)).kind == "storage_full"
    assert await timed.state(one) == "queued"
    exact(timed, bob, *sizes)
    assert await timed.write(bob) == ["1", "2"]


async def test_a_cancel_in_flight_that_cannot_be_written_down_is_none(core: Core) -> None:
    bob, link = await core.linked()
    (one,) = await say(core, bob, "1")
    await core.write(bob)
    core.world.fault, core.world.fault_after = DiskFull("no room"), 1
    assert (await refusal(core, bob, one)).kind == "storage_full"
    assert not bob.delivery.tentative
    core.registry.link_down(bob, link)
    await core.linked()
    assert await core.write(bob) == ["1"]


async def test_a_decision_that_cannot_be_written_down_ends_the_link_and_is_made_again(
    timed: Core, autojump_clock: MockClock
) -> None:
    bob, link = await timed.linked()
    lost, behind = await say(timed, bob, "1", "2")
    sizes = [await size_of(timed, message) for message in (lost, behind)]
    await timed.write(bob)
    await cancel(timed, bob, lost)
    timed.registry.link_down(bob, link)
    bob, link = timed.up()
    await timed.commit()
    outgoing = timed.outgoing(bob)
    timed.world.fault = DiskFull("no room")
    assert await timed.chat.start_link(bob, link, None, 0) == 0
    assert await outgoing.next() == []
    assert link.reason == "storage_full"
    assert (bob.delivery.outbox.count, bob.delivery.outbox.size, bob.delivery.tentative) == (
        2,
        sum(sizes),
        {bob.delivery.outbox.first: "cancelled"},
    )
    timed.registry.link_down(bob, link)
    await timed.linked()
    assert await timed.write(bob) == ["2"]
    assert await timed.state(lost) == "cancelled"
    exact(timed, bob, sizes[1])


async def test_what_is_owed_to_a_forgotten_peer_is_cancelled_with_it(core: Core) -> None:
    bob, link = await core.linked()
    expired, arrived, tentative, lost = await say(core, bob, "1", "2", "3", "4")
    await core.chat.states.end(bob, bob.delivery.outbox.first, 1, "expired").wait()
    assert await core.write(bob) == ["2", "3", "4"]
    core.chat.acknowledge(bob, core.journal.epoch, core.journal.resolve(arrived.position))
    await cancel(core, bob, tentative)
    messages, states = (expired, arrived, tentative, lost), ["expired", "delivered", "cancelled", "cancelled"]
    await core.trust.forget("bob")
    assert [await core.state(message) for message in messages] == states
    assert core.registry.outbox_totals.messages == 0
    core.registry.link_down(bob, link)
    again, _ = await core.linked()
    (new,) = await say(core, again, "5")
    assert await core.write(again) == ["5"]
    assert core.chat.acknowledge(again, core.journal.epoch, core.journal.resolve(new.position))
    await core.flushed()
    assert [await core.state(message) for message in (*messages, new)] == [*states, "delivered"]


# -- ttl


async def test_a_message_is_expired_at_the_end_of_its_ttl_and_not_before(
    timed: Core, autojump_clock: MockClock
) -> None:
    bob = timed.away()
    (one,) = await say(timed, bob, "1", ttl=10)
    assert one.expires == "2027-01-15T08:00:10.000Z"
    assert timed.chat.states.next_expiry == trio.current_time() + 10
    await trio.sleep(9.9)
    timed.chat.states.expire()
    assert await timed.state(one) == "queued"
    await trio.sleep(0.1)
    timed.chat.states.expire()
    assert await timed.state(one) == "expired"
    assert await told(timed) == [("expired", "1")]
    exact(timed, bob)
    assert timed.chat.states.next_expiry == float("inf")
    assert timed.journal.store.query("SELECT count(*) FROM expiries") == [(0,)]


async def test_messages_expire_in_the_order_of_their_ends(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    for seconds in (30, 10, 20, 10):
        await say(timed, bob, f"{seconds}", ttl=seconds)
    await say(timed, bob, "for ever")
    await trio.sleep(20)
    timed.chat.states.expire()
    assert await told(timed) == [("expired", "10"), ("expired", "10"), ("expired", "20")]
    assert await timed.write(bob) == ["30", "for ever"]


async def test_within_a_run_a_ttl_goes_by_the_clock_that_cannot_be_set(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    (one,) = await say(timed, bob, "1", ttl=10)
    timed.world.now += 100_000
    timed.chat.states.expire()
    assert await timed.state(one) == "queued"


async def test_over_a_restart_a_ttl_goes_by_wall_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        bob = core.away()
        (over,) = await say(core, bob, "1", ttl=10)
        (left,) = await say(core, bob, "2", ttl=100)
        await core.flushed()
    world = World(inline=True)
    world.now += 60
    async with standing(tmp_path, world) as core:
        core.chat.states.expire()
        assert [await core.state(message.position) for message in (over, left)] == ["expired", "queued"]
        assert core.chat.states.next_expiry == pytest.approx(trio.current_time() + 40)
        await trio.sleep(41)
        core.chat.states.expire()
        assert await told(core) == [("expired", "1"), ("expired", "2")]
        assert core.registry.outbox_totals.messages == 0


async def test_what_expires_in_flight_is_decided_by_the_next_hello(timed: Core, autojump_clock: MockClock) -> None:
    bob, link = await timed.linked()
    arrived, lost = await say(timed, bob, "1", "2", ttl=5)
    await timed.write(bob)
    await trio.sleep(5)
    timed.chat.states.expire()
    await timed.commit()
    assert (await timed.state(arrived), outcomes(timed)) == ("sent", [("expired", 0)] * 2)
    timed.registry.link_down(bob, link)
    await timed.linked(mark=timed.journal.resolve(arrived.position))
    assert await timed.write(bob) == []
    assert [await timed.state(message) for message in (arrived, lost)] == ["delivered", "expired"]


async def test_a_ttl_of_what_is_delivered_or_cancelled_ends_without_a_word(
    timed: Core, autojump_clock: MockClock
) -> None:
    bob, _ = await timed.linked()
    delivered, _ = await say(timed, bob, "1", "2", ttl=5)
    await timed.write(bob)
    timed.chat.acknowledge(bob, timed.journal.epoch, timed.journal.committed)
    (cancelled,) = await say(timed, bob, "3", ttl=5)
    await cancel(timed, bob, cancelled)
    await trio.sleep(6)
    timed.chat.states.expire()
    assert [await timed.state(message) for message in (delivered, cancelled)] == ["delivered", "cancelled"]
    assert await told(timed) == [("delivered", None), ("cancelled", "3")]
    assert timed.journal.store.query("SELECT count(*) FROM expiries") == [(0,)]


async def test_a_cancelled_message_is_not_expired_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        _, one, _ = [*await say(core, bob, "0"), *await say(core, bob, "1", ttl=5), *await say(core, bob, "2")]
        await cancel(core, bob, one)
    world = World()
    world.now += 60
    async with standing(tmp_path, world) as core:
        core.chat.states.expire()
        assert await core.state(one.position) == "cancelled"
        assert await told(core) == [("cancelled", "1")]
        assert core.registry.outbox_totals.messages == 2


async def test_a_ttl_that_ends_before_the_commit_waits_for_it(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    one, batch = timed.chat.send(bob, "1", Options(ttl=1))
    timed.world.hold()
    await trio.sleep(2)
    timed.chat.states.expire()
    assert bob.delivery.outbox.count == 1
    assert timed.chat.states.next_expiry < trio.current_time()
    timed.world.let_go()
    await batch.wait()
    timed.chat.states.expire()
    assert await timed.state(one) == "expired"


async def test_what_was_not_committed_has_no_ttl(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    await say(timed, bob, "kept", ttl=30)
    await say(timed, bob, "kept too", ttl=27)
    for seconds in (20, 40, 10, 50):
        timed.world.fault = DiskFull("no room")
        batch = timed.chat.send(bob, "lost", Options(ttl=seconds))[1]
        await trio.sleep(seconds if seconds == 10 else 0)
        timed.chat.states.expire()
        with pytest.raises(ControlError):
            await batch.wait()
        first = 27 if seconds in (20, 40) else 17
        assert timed.chat.states.next_expiry == pytest.approx(trio.current_time() + first)
    for seconds in (5, 25):
        await say(timed, bob, f"{seconds}", ttl=seconds)
    assert timed.chat.states.next_expiry == trio.current_time() + 5
    await trio.sleep(60)
    timed.chat.states.expire()
    assert await told(timed) == [("expired", text) for text in ("5", "kept too", "kept", "25")]
    exact(timed, bob)


async def test_an_expiry_that_cannot_be_written_down_is_tried_again(timed: Core, autojump_clock: MockClock) -> None:
    bob = timed.away()
    one, two = await say(timed, bob, "1", "2", ttl=5)
    await trio.sleep(5)
    timed.world.fault = DiskFull("no room")
    timed.chat.states.expire()
    await timed.commit()
    assert bob.delivery.outbox.count == 2
    assert await timed.state(one) == "queued"
    timed.chat.states.expire()
    await timed.commit()
    assert [await timed.state(message) for message in (one, two)] == ["expired", "expired"]
    exact(timed, bob)


@pytest.mark.deadline(10)
async def test_a_journal_that_takes_nothing_any_more_leaves_what_is_due_for_later(
    timed: Core, autojump_clock: MockClock
) -> None:
    bob = timed.away()
    await say(timed, bob, "1", "2", ttl=5)
    await trio.sleep(5)
    timed.journal.broken = True
    timed.chat.states.expire()
    assert (bob.delivery.outbox.count, timed.chat.states.next_expiry) == (2, 5)
    timed.journal.broken = False


async def test_a_message_expires_once_whoever_looks(timed: Core, autojump_clock: MockClock) -> None:
    bob, _ = await timed.linked()
    (one,) = await say(timed, bob, "1", ttl=5)
    await trio.sleep(5)
    assert await timed.write(bob) == []
    timed.chat.states.expire()
    await timed.commit()
    assert await told(timed) == [("expired", "1")]
    assert await timed.state(one) == "expired"


# -- what former runs left


async def test_what_was_owed_is_known_after_a_restart_without_reading_it(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        messages = await say(core, bob, *(f"{number}" for number in range(1000)))
        sizes = [await size_of(core, message) for message in messages]
        await cancel(core, bob, messages[3])
        await core.flushed()
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        exact(core, bob, *sizes[:3], *sizes[4:])
        assert bob.delivery.outbox.has_unread
        assert bob.delivery.outbox.first <= int(messages[0].position.split(":")[1])
        await cancel(core, bob, messages[700].position)
        assert bob.delivery.outbox.count == 998
        await core.linked()
        written = await core.write(bob)
        assert written == [message.text for message in messages if message not in (messages[3], messages[700])]
        exact(core, bob, *sizes[:3], *sizes[4:700], *sizes[701:])


async def test_a_backlog_that_was_acknowledged_after_all_is_not_owed(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        first = core.journal.epoch
        messages = await say(core, core.away(), *(f"{number}" for number in range(1500)))
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch=first, mark=int(messages[1199].position.split(":")[1]))
        assert bob.delivery.outbox.count == 300
        assert await core.write(bob) == [f"{number}" for number in range(1200, 1500)]
        assert core.chat.acknowledge(bob, first, int(messages[-1].position.split(":")[1]))
        await core.flushed()
        exact(core, bob)
    async with standing(tmp_path) as core:
        assert core.registry.find(BOB).delivery.outbox.count == 0

"""What one link still has to send: the journal's order, without a hole and without what was given up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from chatd.journal.store import DiskFull
from chatd.messages.chat import Options
from chatd.messages.text import any_over, is_over
from chatd.net.native import sending as texts_module
from chatd.net.native.sending import SendCursor
from chatd.peers.peer import Peer
from chatd.wire.frames import Text
from tests.harness.parts import CAROL, Core, World, said, standing, texts_written


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with standing(tmp_path, World(inline=True)) as stood:
        yield stood


async def say(core: Core, peer: Peer, *texts: str) -> list[int]:
    """Their seqs, committed."""
    for text in texts:
        core.chat.send(peer, text)
    await core.commit()
    return peer.delivery.outbox.between(0, 1 << 62)[-len(texts) :]


def limited(core: Core, peer: Peer, text_bytes: int = 1000, text_chars: int = 0) -> SendCursor:
    return core.outgoing_within(peer, text_bytes, text_chars)


async def test_only_what_goes_out_to_the_peer_is_sent_and_once(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = await core.linked()
        carol, _ = await core.linked(CAROL, "carol")
        (first,) = await say(core, bob, "1")
        core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "from it")])
        await say(core, carol, "to another")
        (second,) = await say(core, bob, "2")
        outgoing, epoch = core.outgoing(bob), core.journal.epoch
        assert await outgoing.next() == [Text(epoch, first, "1"), Text(epoch, second, "2")]
        assert outgoing.at_tail
        assert await outgoing.next() == []
        (third,) = await say(core, bob, "3")
        assert not outgoing.at_tail
        assert await outgoing.next() == [Text(epoch, third, "3")]
        assert bob.delivery.written == third


async def test_messages_of_earlier_starts_keep_their_epoch(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        first = core.journal.epoch
        bob, _ = await core.linked()
        one, two = await say(core, bob, "1", "2")
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch=first, mark=one)
        (three,) = await say(core, bob, "3")
        outgoing = core.outgoing(bob, one)
        found = [*await outgoing.next(), *await outgoing.next()]
        assert found == [Text(first, two, "2"), Text(core.journal.epoch, three, "3")]


async def test_a_backlog_of_many_pages_is_sent_in_order(tmp_path: Path) -> None:
    texts = [f"{number} " + "x" * 300 for number in range(5000)]
    async with standing(tmp_path) as core:
        await say(core, core.away(), *texts)
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        assert bob.delivery.outbox.count == 5000
        assert await core.write(bob) == texts
        assert (bob.delivery.outbox.count, bob.delivery.outbox.has_unread) == (5000, False)


async def test_what_is_over_the_limits_by_now_is_rejected_and_what_is_behind_is_sent(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        _, long, _ = await say(core, bob, "short", "far too long", "short again")
        core.registry.link_up(bob, link := core.plain_up()[1])
        outgoing = limited(core, bob, text_chars=11)
        assert await outgoing.next() == []
        assert await texts_written(outgoing) == ["short", "short again"]
        assert await core.state(core.journal.position(long)) == "rejected"
        assert bob.delivery.outbox.count == 2
        assert link.reason is None


async def test_a_rejection_is_on_disk_before_anything_behind_it_is_written(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        await say(core, bob, "far too long", "short")
        outgoing, written = limited(core, bob, text_chars=5), trio.Event()

        async def write() -> None:
            assert await texts_written(outgoing) == ["short"]
            written.set()

        core.world.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert (written.is_set(), bob.delivery.written) == (False, 0)
            core.world.let_go()
        assert core.journal.store.query("SELECT state, final FROM outcomes") == [("rejected", 1)]


async def test_limits_that_were_known_when_a_message_was_sent_are_not_looked_at_again(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        outgoing = limited(core, bob, text_chars=5)
        outgoing.start(core.journal.committed)
        await say(core, bob, "sent while the link was up")
        assert await texts_written(outgoing) == ["sent while the link was up"]


async def test_what_is_past_its_ttl_is_not_sent(core: Core, autojump_clock: trio.testing.MockClock) -> None:
    bob = core.away()
    core.chat.send(bob, "late", Options(ttl=5))
    await say(core, bob, "on time")
    await trio.sleep(5)
    assert await core.write(bob) == ["on time"]
    assert bob.delivery.outbox.count == 1


async def test_on_a_full_disk_nothing_behind_a_rejection_is_sent_until_there_is_room(
    core: Core, autojump_clock: trio.testing.MockClock
) -> None:
    bob = core.away()
    await say(core, bob, "far too long", "short")
    outgoing = limited(core, bob, text_chars=5)
    for _ in range(3):
        core.world.fault = DiskFull("no room")
        assert await outgoing.next() == []
        assert await outgoing.next() == []  # so that the link has time for its Pings
        assert (bob.delivery.outbox.count, bob.delivery.written) == (2, 0)
    assert await texts_written(outgoing) == ["short"]
    assert trio.current_time() >= 3 * texts_module.AGAIN_S
    assert bob.delivery.outbox.count == 1


async def test_a_link_writes_nothing_twice_and_leaves_nothing_out_that_another_one_may_have_written(core: Core) -> None:
    bob, _ = await core.linked()
    (first,) = await say(core, bob, "1")
    outgoing = core.outgoing(bob)
    assert await texts_written(outgoing) == ["1"]
    await core.chat.states.cancel(bob, await core.chat.lookup.find(core.journal.position(first)))
    await say(core, bob, "2")
    assert await texts_written(outgoing) == ["2"]
    assert await core.write(bob) == ["1", "2"]
    assert bob.delivery.outbox.count == 2


async def test_a_message_to_be_sent_is_read_from_the_journal_by_topic(core: Core) -> None:
    bob, _ = await core.linked()
    core.journal.append(said("not owed, nobody knows why"), bob.stream_id, "out")
    await core.commit()
    assert await core.write(bob) == []


@pytest.mark.parametrize(
    ("text_bytes", "text_chars", "over"), [(6, 0, False), (5, 0, True), (100, 3, True), (100, 4, False)]
)
def test_texts_are_over_a_limit_by_bytes_or_by_characters(text_bytes: int, text_chars: int, over: bool) -> None:
    texts = [Text("a" * 8, 1, "ab"), Text("a" * 8, 2, "äöü"), Text("a" * 8, 3, "abcd")]
    assert any_over(texts, text_bytes, text_chars) is over
    assert any(is_over(text.text, text_bytes, text_chars) for text in texts) is over
    assert not any_over([], text_bytes, text_chars)

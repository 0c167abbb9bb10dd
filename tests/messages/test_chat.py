"""Sending: what is refused, and what a message that was accepted leaves behind."""

from pathlib import Path

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.api.events import Receipt
from chatd.journal.store import DiskFull
from chatd.messages.chat import DEFAULT_OPTIONS, Options
from chatd.peers.peer import Peer
from tests.harness.parts import BOB, Core, FakeLink, standing, texts_of


def queued(peer: Peer) -> list[int]:
    return peer.delivery.outbox.between(0, 1 << 62)


def refusal(core: Core, peer: Peer, text: str, options: Options = DEFAULT_OPTIONS) -> ControlError:
    with pytest.raises(ControlError) as refused:
        core.chat.send(peer, text, options)
    assert refused.value.message
    assert refused.value.hint
    return refused.value


async def test_a_message_is_queued_and_its_id_is_its_position(core: Core) -> None:
    bob, link = core.up()
    message, batch = core.chat.send(bob, "hi")
    assert message.id == message.position == core.journal.position(core.journal.appended)
    assert (message.direction, message.state, message.peer) == ("out", "queued", bob.ref)
    assert not batch.done
    await batch.wait()
    entries = core.journal.recent(0, bob.stream_id)
    assert texts_of(entries) == ["hi"]
    assert (entries or [])[-1].direction == "out"
    assert queued(bob) == [core.journal.committed]
    assert bob.record().queued == 1
    assert bob.remembered
    assert link.enqueued == []


async def test_what_goes_to_a_native_peer_that_is_away_is_queued(core: Core) -> None:
    bob = core.away()
    message, batch = core.chat.send(bob, "hi")
    await batch.wait()
    assert (message.state, bob.record().queued, await core.state(message)) == ("queued", 1, "queued")
    assert bob.remembered


async def test_without_queue_a_peer_that_is_away_is_offline(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    refused = refusal(core, bob, "hi", Options(queue=False))
    assert refused.kind == "peer_offline"
    assert refused.message == "bob is not connected (down)"
    assert "--no-queue" in refused.hint
    core.registry.set_state(bob, "down", "reset")
    assert refusal(core, bob, "hi", Options(queue=False)).message == "bob is not connected (reset)"
    assert core.journal.appended == 0


async def test_a_peer_that_nobody_has_ever_reached_is_offline(core: Core) -> None:
    unmet = core.registry.at_address("10.0.0.3:7420")
    refused = refusal(core, unmet, "hi")
    assert (refused.kind, refused.message) == ("peer_offline", "nobody has answered at 10.0.0.3:7420 yet")
    assert "wait peer" in refused.hint


async def test_a_plain_peer_that_is_gone_is_offline(core: Core) -> None:
    peer, link = core.plain_up()
    core.registry.link_down(peer, link)
    refused = refusal(core, peer, "hi")
    assert refused.kind == "peer_offline"
    assert "connect" in refused.hint


async def test_a_denied_peer_is_sent_nothing(core: Core) -> None:
    bob, _ = core.up()
    bob.trust = "denied"
    refused = refusal(core, bob, "hi")
    assert refused.kind == "forbidden"
    assert "peer accept" in refused.hint


async def test_a_peer_that_was_terminated_is_offline(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    bob.terminated = True
    refused = refusal(core, bob, "hi")
    assert (refused.kind, refused.message) == ("peer_offline", "bob was terminated")
    assert "connect" in refused.hint


async def test_what_goes_to_a_pending_peer_waits_until_it_is_accepted(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.set_pending(bob, "x:1", "it waits")
    await core.chat.send(bob, "hi")[1].wait()
    assert (bob.record().state, bob.record().queued) == ("pending", 1)
    assert refusal(core, bob, "hi", Options(queue=False)).kind == "peer_offline"


async def test_a_link_that_is_closing_is_no_link(core: Core) -> None:
    bob, link = core.up()
    link.close("terminated")
    assert refusal(core, bob, "hi", Options(queue=False)).kind == "peer_offline"
    core.registry.link_up(bob, FakeLink())
    core.chat.send(bob, "hi", Options(queue=False))


@pytest.mark.parametrize(
    "text", ["", "a\x00b", "\x1b[31mred", "\r\n", "bell\x07", "\x7f", "\x85", "\x9b1m", "\ud800", "half \udfff"]
)
async def test_a_native_text_that_is_no_text_is_refused(core: Core, text: str) -> None:
    bob, _ = core.up()
    before = core.journal.appended
    assert refusal(core, bob, text).kind == "bad_text"
    assert core.journal.appended == before


@pytest.mark.parametrize("text", [" ", "two\nlines\twith a tab", "ä€😀", "\u202eright to left", "Close Connection"])
async def test_a_native_text_may_have_lines_tabs_and_every_script(core: Core, text: str) -> None:
    bob, _ = core.up()
    await core.chat.send(bob, text)[1].wait()
    assert texts_of(core.journal.recent(0, bob.stream_id)) == [text]


@pytest.mark.parametrize(("ours", "theirs", "limit"), [(64, 0, 64), (100, 64, 64), (64, 100, 64)])
async def test_the_smaller_limit_of_bytes_holds(tmp_path: Path, ours: int, theirs: int, limit: int) -> None:
    async with standing(tmp_path, text_bytes=ours) as core:
        bob, _ = core.up()
        bob.text_bytes = theirs
        core.chat.send(bob, "x" * limit)
        core.chat.send(bob, "€" * (limit // 3))
        for text in ("x" * (limit + 1), "€" * (limit // 3 + 1)):
            refused = refusal(core, bob, text)
            assert refused.kind == "too_large"
            assert f"over {limit} bytes" in refused.message


@pytest.mark.parametrize(("ours", "theirs", "limit"), [(10, 0, 10), (0, 10, 10), (10, 20, 10), (20, 10, 10)])
async def test_the_smaller_limit_of_characters_holds(tmp_path: Path, ours: int, theirs: int, limit: int) -> None:
    async with standing(tmp_path, max_text=ours) as core:
        bob, _ = core.up()
        bob.text_chars = theirs
        core.chat.send(bob, "€" * limit)
        refused = refusal(core, bob, "x" * (limit + 1))
        assert refused.kind == "too_large"
        assert "characters" in refused.message


async def test_a_plain_message_is_handed_to_the_link(core: Core) -> None:
    peer, link = core.plain_up()
    message, batch = core.chat.send(peer, "hi  there ")
    assert message.id == message.position
    assert link.enqueued == [(core.journal.appended, "hi  there ", batch)]
    assert not peer.delivery.outbox.count
    await batch.wait()
    assert not peer.remembered


@pytest.mark.parametrize("text", ["", "two\nlines", "a\tb", "\r", "\x1b", "Close Connection", "\ud800", "\x85"])
async def test_a_plain_text_that_would_be_misunderstood_is_refused(core: Core, text: str) -> None:
    peer, link = core.plain_up()
    assert refusal(core, peer, text).kind == "bad_text"
    assert link.enqueued == []


async def test_a_plain_text_has_limits_of_its_own(tmp_path: Path) -> None:
    async with standing(tmp_path, plain_send_bytes=100, text_bytes=300, max_text=50) as core:
        peer, link = core.plain_up()
        core.chat.send(peer, "x" * 50)
        for text in ("x" * 51, "€" * 34, "x" * 101):
            assert refusal(core, peer, text).kind == "too_large"
        assert len(link.enqueued) == 1


async def test_a_plain_text_is_held_to_the_nodes_own_limit_of_bytes(tmp_path: Path) -> None:
    async with standing(tmp_path, plain_send_bytes=1024, text_bytes=64) as core:
        peer, _ = core.plain_up()
        assert refusal(core, peer, "x" * 65).kind == "too_large"


async def test_a_plain_peer_for_whom_too_much_waits_is_not_sent_more(core: Core) -> None:
    peer, link = core.plain_up()
    link.full, link.waiting = True, 256
    refused = refusal(core, peer, "hi")
    assert (refused.kind, refused.retryable) == ("outbox_full", True)
    assert "256 messages wait" in refused.message


async def test_what_was_not_committed_is_not_owed(core: Core) -> None:
    bob, link = core.up()
    core.chat.send(bob, "kept")
    await core.commit()
    core.world.fault = DiskFull("no room")
    batches = [core.chat.send(bob, text)[1] for text in ("lost", "lost too")]
    assert bob.delivery.outbox.count == 3
    for batch in batches:
        with pytest.raises(ControlError, match="disk is full"):
            await batch.wait()
    assert bob.delivery.outbox.count == core.registry.outbox_totals.messages == 1
    assert link.reason is None
    await core.chat.send(bob, "next")[1].wait()
    assert queued(bob) == [core.journal.committed - 1, core.journal.committed]


async def test_an_acknowledgement_empties_what_is_owed_and_is_one_receipt(core: Core) -> None:
    bob, _ = await core.linked()
    for number in range(5):
        core.chat.send(bob, str(number))
    await core.commit()
    assert len(await core.write(bob)) == 5
    seqs = queued(bob)
    assert core.chat.acknowledge(bob, core.journal.epoch, seqs[2])
    assert queued(bob) == seqs[3:]
    assert core.chat.acknowledge(bob, core.journal.epoch, seqs[1])
    assert core.journal.watermarks.acked == {BOB: seqs[2]}
    assert core.chat.acknowledge(bob, core.journal.epoch, seqs[4])
    assert (
        bob.delivery.outbox.count,
        bob.delivery.outbox.size,
        core.registry.outbox_totals.messages,
        core.registry.outbox_totals.size,
    ) == (0, 0, 0, 0)
    await core.flushed()
    assert core.journal.store.query("SELECT node, seq FROM acks") == [(BOB, seqs[4])]
    assert [(told.state, told.through, told.id) for told in await receipts(core)] == [
        ("delivered", core.journal.position(seq), None) for seq in (seqs[2], seqs[4])
    ]


async def test_an_acknowledgement_of_what_was_never_written_is_a_protocol_error(core: Core) -> None:
    bob, _ = await core.linked()
    for text in ("1", "2"):
        core.chat.send(bob, text)
    await core.commit()
    assert not core.chat.acknowledge(bob, core.journal.epoch, queued(bob)[0])
    assert await core.write(bob) == ["1", "2"]
    assert core.chat.acknowledge(bob, core.journal.epoch, queued(bob)[0])
    assert bob.delivery.outbox.count == 1


async def test_who_waits_for_acknowledgements_is_woken(core: Core) -> None:
    bob, _ = await core.linked()
    core.chat.send(bob, "hi")
    await core.commit()
    await core.write(bob)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob.delivery.progress.wait)
        await trio.testing.wait_all_tasks_blocked()
        assert core.chat.acknowledge(bob, core.journal.epoch, queued(bob)[0])


async def receipts(core: Core) -> list[Receipt]:
    """Those that are on disk."""
    return [entry.event for entry in (await core.journal.page(0)).entries if isinstance(entry.event, Receipt)]

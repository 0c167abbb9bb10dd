"""Receiving, and where links start: exactly once, in order, whatever is lost on the way."""

from pathlib import Path

import pytest

from chatd.api.errors import ControlError
from chatd.api.events import DaemonStop, Gap, Message, PeerDiverged
from chatd.journal.batch import Entry
from chatd.journal.store import DiskFull
from chatd.wire.frames import Text
from tests.harness.parts import BOB, SELF, Core, FakeLink, World, open_journal, running, said, standing, texts_of

OLD, NEW = "aaaaaaaa", "bbbbbbbb"


def frames(*seqs: int, epoch: str = OLD) -> list[Text]:
    return [Text(epoch, seq, f"{epoch[0]}{seq}") for seq in seqs]


def inbound(core: Core) -> list[str]:
    entries = core.journal.recent(0)
    return texts_of([entry for entry in entries or [] if entry.direction == "in"])


def last(core: Core) -> Entry:
    return (core.journal.recent(core.journal.committed - 1) or [])[0]


async def test_a_message_and_its_mark_are_one_commit(core: Core) -> None:
    bob, link = core.up()
    batch = core.chat.inbox.receive(bob, link, [Text(OLD, 3, "hi", "cccccccc:9")])
    assert batch is not None
    assert batch.watermarks == {(BOB, OLD): 3}
    assert core.journal.watermarks.committed(BOB) is None
    await batch.wait()
    assert core.journal.watermarks.committed(BOB) == (OLD, 3)
    event = last(core).event
    assert isinstance(event, Message)
    assert (event.id, event.re, event.text, event.direction) == (event.position, None, "hi", "in")
    assert (event.global_id, event.re_global_id) == (f"{BOB}/{OLD}:3", f"{SELF}/cccccccc:9")
    assert (bob.received, bob.remembered) == (1, True)


async def test_an_answer_names_what_it_answers_by_the_key_that_signed_for_it(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        asked, batch = core.chat.send(core.away(), "what?")
        await batch.wait()
    async with standing(tmp_path, us="z" * 52) as core:
        bob, link = core.up()
        texts = [Text(OLD, 1, "that", asked.id), Text(OLD, 2, "and what?", "cccccccc:9")]
        core.chat.inbox.receive(bob, link, texts, await core.references(bob, asked.id, "cccccccc:9"))
        await core.commit()
        answers = [entry.event for entry in (await core.journal.page(0)).entries if entry.direction == "in"]
        named = [(event.re, event.re_global_id) for event in answers if isinstance(event, Message)]
        assert named == [(asked.id, f"{SELF}/{asked.id}"), (None, f"{'z' * 52}/cccccccc:9")]


async def test_a_message_that_was_appended_is_a_duplicate_before_its_commit(core: Core) -> None:
    bob, link = core.up()
    second = FakeLink()
    core.registry.link_up(bob, second)
    assert core.chat.inbox.receive(bob, link, frames(1, 2)) is not None
    assert core.chat.inbox.receive(bob, second, frames(1, 2)) is None
    assert core.chat.inbox.receive(bob, second, frames(2, 3)) is not None
    await core.commit()
    assert core.chat.inbox.receive(bob, link, frames(3, 1)) is None
    assert inbound(core) == ["a1", "a2", "a3"]
    assert bob.received == 3


async def test_duplicates_within_one_read_are_dropped(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, frames(5, 5, 7, 6, 7, 9))
    await core.commit()
    assert inbound(core) == ["a5", "a7", "a9"]


async def test_every_epoch_has_a_mark_of_its_own(core: Core) -> None:
    bob, link = core.up()
    texts = frames(1, 2) + frames(3, 4, epoch=NEW) + frames(2, 3) + frames(4, 5, epoch=NEW)
    assert core.chat.inbox.receive(bob, link, texts) is not None
    await core.commit()
    assert inbound(core) == ["a1", "a2", "b3", "b4", "a3", "b5"]
    assert core.journal.watermarks.appended(BOB, OLD) == 3
    assert core.journal.watermarks.committed(BOB) == (NEW, 5)


async def test_an_epoch_of_duplicates_alone_changes_nothing(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, frames(2))
    core.chat.inbox.receive(bob, link, frames(1, 2) + frames(3, epoch=NEW) + frames(2))
    await core.commit()
    assert inbound(core) == ["a2", "b3"]
    assert core.journal.watermarks.committed(BOB) == (NEW, 3)
    assert core.journal.watermarks.appended(BOB, OLD) == 2


async def test_marks_survive_a_restart_and_a_forgotten_peer(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = core.up()
        core.chat.inbox.receive(bob, link, frames(1, 2))
        await core.trust.forget("bob")
    async with standing(tmp_path) as core:
        bob, link = core.up()
        assert core.chat.inbox.receive(bob, link, frames(1, 2)) is None
        assert core.chat.inbox.receive(bob, link, frames(2, 3)) is not None


async def test_a_full_disk_closes_every_link_of_the_peer_and_takes_its_marks_back(core: Core) -> None:
    bob, link = core.up()
    second, other = FakeLink(), FakeLink()
    core.registry.link_up(bob, second)
    carol = core.registry.native("c" * 52, "carol", "x:1")
    core.registry.link_up(carol, other)
    await core.commit()
    core.world.fault = DiskFull("no room")
    batch = core.chat.inbox.receive(bob, link, frames(1, 2))
    assert batch is not None
    assert core.chat.inbox.receive(bob, second, frames(1, 2)) is None  # dropped because of what is lost now
    with pytest.raises(ControlError, match="disk is full"):
        await batch.wait()
    assert (link.reason, second.reason, other.reason) == ("storage_full", "storage_full", None)
    assert core.journal.store.query("SELECT count(*) FROM peers") == [(0,)]
    assert core.journal.watermarks.appended(BOB, OLD) == 0
    assert core.chat.inbox.receive(bob, FakeLink(), frames(1, 2, 3)) is not None
    await core.commit()
    assert inbound(core) == ["a1", "a2", "a3"]


async def test_plain_texts_are_taken_as_they_come(core: Core) -> None:
    peer, _ = core.plain_up()
    await core.chat.inbox.receive_plain(peer, ["hi", "hi", "\ufffd"]).wait()
    assert inbound(core) == ["hi", "hi", "\ufffd"]
    event = last(core).event
    assert isinstance(event, Message)
    assert (event.id, event.global_id, event.peer.kind) == (event.position, None, "plain")
    assert peer.received == 3
    assert not peer.remembered


# -- where a link starts


async def restarted(directory: Path) -> str:
    """A journal with ten events in an epoch that has ended."""
    async with running(open_journal(directory)) as journal:
        for number in range(10):
            journal.append(said(str(number)))
        await journal.settled()
        return journal.epoch


async def test_a_link_starts_at_the_later_of_mark_and_acknowledgement(tmp_path: Path) -> None:
    first = await restarted(tmp_path)
    async with standing(tmp_path) as core:
        bob, link = core.up()
        await core.commit()
        assert await core.chat.start_link(bob, link, None, 0) == 0
        assert await core.chat.start_link(bob, link, "zzzzzzzz", 99) == 0  # of a journal that was wiped
        assert await core.chat.start_link(bob, link, first, 4) == 4
        assert await core.chat.start_link(bob, link, None, 0) == 4  # an acknowledgement is final
        assert await core.chat.start_link(bob, link, first, 2) == 4
        assert await core.chat.start_link(bob, link, "zzzzzzzz", 99) == 4
        assert await core.chat.start_link(bob, link, first, 10) == 10
        assert await core.chat.start_link(bob, link, core.journal.epoch, 11) == 11
        await core.commit()
        assert await core.types() == ["message"] * 10 + ["peer.up"]


async def test_a_mark_beyond_an_older_epoch_is_its_end_and_told(tmp_path: Path) -> None:
    first = await restarted(tmp_path)
    async with standing(tmp_path) as core:
        bob, link = core.up()
        assert await core.chat.start_link(bob, link, first, 25) == 10
        await core.commit()
        event = last(core).event
        assert isinstance(event, PeerDiverged)
        assert (event.theirs, event.ours, event.peer) == (f"{first}:25", f"{first}:10", bob.ref)


async def test_a_mark_beyond_an_older_epoch_that_is_empty_is_its_end_too(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        empty = core.journal.epoch
    async with standing(tmp_path) as core:
        bob, link = core.up()
        assert await core.chat.start_link(bob, link, empty, 25) == 0
        await core.commit()
        event = last(core).event
        assert isinstance(event, PeerDiverged)
        assert event.ours == core.journal.position(0)


async def test_a_mark_beyond_what_was_written_now_is_a_protocol_error(core: Core) -> None:
    bob, link = core.up()
    await core.commit()
    assert await core.chat.start_link(bob, link, core.journal.epoch, core.journal.committed) == core.journal.committed
    assert await core.chat.start_link(bob, link, core.journal.epoch, core.journal.committed + 1) is None


async def test_only_what_was_written_can_be_acknowledged(tmp_path: Path) -> None:
    first = await restarted(tmp_path)
    async with standing(tmp_path) as core:
        bob, _ = await core.linked()
        present = core.journal.epoch
        bob.delivery.mark_written(11)  # as if a link had written that
        assert not core.chat.acknowledge(bob, present, 12)
        assert not core.chat.acknowledge(bob, present, 10)  # of the epoch before
        assert not core.chat.acknowledge(bob, first, 0)
        assert core.journal.watermarks.acked == {}
        assert core.chat.acknowledge(bob, first, 10)
        assert core.chat.acknowledge(bob, present, 11)
        assert core.journal.watermarks.acked == {BOB: 11}


async def test_what_a_peer_has_of_a_lost_journal_is_no_fault_of_its_own(tmp_path: Path) -> None:
    first = await restarted(tmp_path)
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch=first, mark=10)
        assert core.chat.acknowledge(bob, "zzzzzzzz", 40)
        assert core.chat.acknowledge(bob, first, 40)
        assert core.journal.watermarks.acked == {BOB: 10}


async def test_a_peer_may_have_more_of_an_older_epoch_than_this_link_has_written(tmp_path: Path) -> None:
    """It told its newest mark, which is of an epoch that went with the journal of which this is an older copy."""
    first = await restarted(tmp_path)
    async with standing(tmp_path) as core:
        bob, _ = await core.linked(epoch="zzzzzzzz", mark=3)
        bob.delivery.mark_written(5)
        assert core.chat.acknowledge(bob, first, 7)
        assert core.journal.watermarks.acked == {BOB: 7}
        assert not core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)


# -- where the peer goes on


async def test_a_resume_behind_our_mark_is_a_gap(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, frames(3))
    core.chat.inbox.resume(bob, OLD, 3)
    core.chat.inbox.resume(bob, OLD, 2)
    core.chat.inbox.resume(bob, OLD, 8)
    await core.commit()
    assert (await core.types())[-2:] == ["message", "gap"]
    event = last(core).event
    assert isinstance(event, Gap)
    assert (event.after, event.through, event.peer) == (f"{OLD}:3", f"{OLD}:8", bob.ref)
    assert core.journal.watermarks.committed(BOB) == (OLD, 8)
    assert core.chat.inbox.receive(bob, link, frames(8)) is None
    assert core.chat.inbox.receive(bob, link, frames(9)) is not None


@pytest.mark.parametrize(("known", "after"), [([], None), ([3], f"{OLD}:3")])
async def test_a_gap_over_epochs_begins_where_we_stopped(core: Core, known: list[int], after: str | None) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, frames(*known))
    await core.commit()
    core.chat.inbox.resume(bob, NEW, 8)
    await core.commit()
    event = last(core).event
    assert isinstance(event, Gap)
    assert (event.after, event.through) == (after, f"{NEW}:8")


async def test_a_gap_that_meets_a_full_disk_closes_the_links(core: Core) -> None:
    bob, link = core.up()
    await core.commit()
    core.world.fault = DiskFull("no room")
    core.chat.inbox.resume(bob, OLD, 8)
    await core.commit()
    assert link.reason == "storage_full"
    assert core.journal.watermarks.appended(BOB, OLD) == 0


async def test_an_acknowledgement_beyond_what_we_have_of_an_older_epoch_is_of_all_of_it(tmp_path: Path) -> None:
    async with standing(tmp_path, World(inline=True)) as core:
        bob = core.away()
        core.chat.send(bob, "hi")
        core.journal.append(DaemonStop(reason="signal"))
        await core.commit()
        epoch, last = core.journal.epoch, core.journal.committed
    async with standing(tmp_path, World(inline=True)) as core:  # it was longer than this copy
        bob, _ = await core.linked()
        await core.write(bob)
        assert core.chat.acknowledge(bob, epoch, last + 5)
        assert bob.delivery.outbox.count == 0

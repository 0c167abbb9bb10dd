"""Native links against a hand-made other side: the order of frames, marks, and every way to end."""

from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.journal.batch import Batch
from chatd.journal.epochs import Epochs
from chatd.journal.store import DiskFull
from chatd.messages.chat import Options
from chatd.net.native import sending as texts_module
from chatd.node import Node
from chatd.wire.frames import AckFrame, Bye, PingFrame, PongFrame, Resume, Rooms, Text
from tests.harness.cases import cases
from tests.harness.handmade_peer import hello, linked, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import World

RESUME = Resume("handmade", 0)


def texts_of(node: Node) -> list[str]:
    """What was taken, and is committed."""
    entries = node.journal.recent(0) or []
    return [entry.event.text for entry in entries if entry.type == "message"]  # type: ignore[union-attr]


async def test_resume_is_the_first_frame_and_says_where_it_starts(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node) as (peer, _):
        assert node.registry.find(0).is_up
        assert await peer.next() == Rooms(0, [])
        assert isinstance(await peer.next(), PingFrame)


async def test_a_frame_out_of_order_or_over_the_limits_ends_the_link(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with linking(World(inline=True), text_bytes=100, max_text=60) as node:
        for frames, complaint in cases(
            [
                ([Text("handmade", 1, "hi")], "Text before Resume"),
                ([RESUME, RESUME], "a second Resume"),
                ([RESUME, hello()], "a second Hello"),
                ([RESUME, Text("handmade", 1, "x" * 101)], "over 100 bytes"),
                ([RESUME, Text("handmade", 1, "ü" * 51)], "over 100 bytes"),
                ([RESUME, Text("handmade", 1, "x" * 61)], "60 characters"),
            ]
        ):
            caplog.clear()
            async with linked(node, *frames) as (peer, link):
                assert (await peer.until(Bye)).reason == "protocol"
                assert link.reason == "protocol"
            assert complaint in caplog.text
        assert texts_of(node) == []


async def test_frames_of_a_later_version_are_skipped(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME) as (peer, _):
        await peer.send_raw(b"\x00\x00\x00\x04\x93\x28\x01\x02" + b"\x00\x00\x00\x02\x91\x1f")
        await peer.send(Text("handmade", 1, "hi"))
        assert await peer.until(AckFrame) == AckFrame("handmade", 1)
        assert texts_of(node) == ["hi"]


async def test_each_bye_has_its_reason_and_is_not_answered(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for said, reason in cases(
            [
                ("shutdown", "peer stopped"),
                ("storage_full", "peer's disk is full"),
                ("terminated", "terminated by peer"),
                ("duplicate", "duplicate"),
                ("denied", "denied by peer"),
                ("pending", "peer waits for `peer accept`"),
                ("protocol", "peer reports a protocol error"),
                ("of_a_later_version", "peer reports a protocol error"),
            ]
        ):
            async with linked(node, RESUME, Bye(said)) as (peer, link):
                assert not [frame for frame in await peer.rest() if isinstance(frame, Bye)]
                assert link.reason == reason
                assert link.bye == said


async def test_texts_and_acks_before_a_bye_in_one_piece_are_taken(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        async with linked(node, RESUME) as (peer, _):
            _, batch = node.chat.send(node.registry.find(0), "question")
            await batch.wait()
            asked = await peer.until(Text)
            await peer.send(Text("handmade", 1, "answer"), AckFrame(asked.epoch, asked.seq), Bye("shutdown"))
            await peer.rest()
        await node.journal.settled()
        assert texts_of(node) == ["question", "answer"]
        assert not node.registry.find(0).delivery.outbox.count


async def test_a_text_is_acknowledged_once_it_is_committed_and_duplicates_again(autojump_clock: MockClock) -> None:
    async with (
        linking(World(inline=True)) as node,
        linked(node, RESUME, Text("handmade", 1, "1"), Text("handmade", 4, "4")) as (
            peer,
            _,
        ),
    ):
        assert await peer.until(AckFrame) == AckFrame("handmade", 4)
        await peer.send(Text("handmade", 1, "1"))
        assert await peer.until(AckFrame) == AckFrame("handmade", 4)
        assert texts_of(node) == ["1", "4"]


async def test_nothing_behind_a_failed_commit_is_taken_and_the_link_says_storage_full(
    autojump_clock: MockClock,
) -> None:
    async with linking(World(inline=True)) as node:
        write = node.journal.store.write

        def full(batch: object) -> None:
            raise DiskFull

        async with linked(node, RESUME) as (peer, link):
            await node.journal.settled()
            node.journal.store.write = full  # type: ignore[method-assign]
            await peer.send(Text("handmade", 1, "1"))
            assert (await peer.until(Bye)).reason == "storage_full"
            await peer.send(Text("handmade", 2, "2"))
            assert link.reason == "storage_full"
        node.journal.store.write = write  # type: ignore[method-assign]
        assert node.journal.watermarks.committed(link.peer.node or "") is None
        assert node.journal.watermarks.appended(link.peer.node or "", "handmade") == 0
        assert texts_of(node) == []


async def test_only_what_is_after_the_mark_of_hello_is_sent(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        known = node.registry.native(identity.node, "handmade", "")
        assert known.slot == 0
        async with linked(node, RESUME) as (peer, link):
            for text in ("1", "2", "3"):
                node.chat.send(link.peer, text)
            await node.journal.settled()
            texts = [await peer.until(Text) for _ in range(3)]
        assert [text.text for text in texts] == ["1", "2", "3"]
        assert texts[0].epoch == node.journal.epoch


async def test_close_tells_the_reason_and_what_was_committed(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME, Text("handmade", 3, "hi")) as (peer, link):
        assert await peer.until(AckFrame) == AckFrame("handmade", 3)
        link.close("shutdown")
        assert (await peer.rest())[-1] == Bye("shutdown")


async def test_a_reason_without_a_word_of_its_own_is_not_made_up(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME) as (peer, link):
        link.drop("replaced by a new link")
        assert not [frame for frame in await peer.rest() if isinstance(frame, Bye)]
        assert link.reason == "replaced by a new link"


async def test_more_pings_than_can_wait_are_answered_from_the_newest(autojump_clock: MockClock) -> None:
    async with (
        linking(World(inline=True)) as node,
        linked(node, RESUME, *map(PingFrame, range(1000))) as (peer, _),
    ):
        tokens: list[int] = []
        while not tokens or tokens[-1] != 999:
            tokens.append((await peer.until(PongFrame)).token)
        assert tokens == sorted(tokens)


async def test_what_is_sent_to_a_closing_link_waits_for_the_next_one(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        async with linked(node, RESUME, identity=identity) as (peer, link):
            link.close("shutdown")
            with pytest.raises(ControlError) as refused:
                node.chat.send(link.peer, "hi", Options(queue=False))
            assert refused.value.kind == "peer_offline"
            node.chat.send(link.peer, "hi")
            assert Text not in [type(frame) for frame in await peer.rest()]
        async with linked(node, RESUME, identity=identity) as (peer, _):
            assert (await peer.until(Text)).text == "hi"


async def test_an_acknowledgement_of_what_was_never_sent_ends_the_link(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME) as (peer, link):
        node.chat.send(link.peer, "hi")
        sent = await peer.until(Text)
        await peer.send(AckFrame(sent.epoch, sent.seq + 1))
        assert (await peer.until(Bye)).reason == "protocol"
    assert f"an acknowledgement of {sent.epoch}:{sent.seq + 1}, which was never sent" in caplog.text


async def test_what_is_over_the_limits_of_a_new_hello_is_rejected_and_the_rest_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        async with linked(node, RESUME, identity=identity) as (_, link):
            link.close("shutdown")
            peer = link.peer
        messages = [node.chat.send(peer, text)[0] for text in ("short", "x" * 200, "behind")]
        await node.journal.settled()
        async with linked(node, RESUME, identity=identity, text_bytes=100) as (handmade, link):
            texts = [await handmade.until(Text), await handmade.until(Text)]
            assert [text.text for text in texts] == ["short", "behind"]
            assert node.journal.store.query("SELECT state, final FROM outcomes") == [("rejected", 1)]
            await handmade.send(AckFrame(texts[1].epoch, texts[1].seq))
            while peer.delivery.outbox.count:
                await peer.delivery.progress.wait()
            assert link.reason is None
        states = [await node.chat.states.state(await node.chat.lookup.find(one.position)) for one in messages]
        assert states == ["delivered", "rejected", "delivered"]


async def test_the_hello_of_the_next_link_decides_what_was_cancelled_on_the_way(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        async with linked(node, RESUME, identity=identity) as (handmade, link):
            one, two, three = (node.chat.send(link.peer, text)[0] for text in ("1", "2", "3"))
            texts = [await handmade.until(Text) for _ in range(3)]
            for message in (one, two):
                entry = await node.chat.lookup.find(message.position)
                assert await node.chat.states.cancel(link.peer, entry) == "sent"
        mark = {"mark_epoch": texts[0].epoch, "mark_seq": texts[0].seq}
        async with linked(node, RESUME, identity=identity, **mark) as (handmade, link):
            assert await handmade.until(Text) == texts[2]
            states = [await node.chat.states.state(await node.chat.lookup.find(m.position)) for m in (one, two, three)]
            assert states == ["delivered", "cancelled", "sent"]


async def test_a_link_that_cannot_write_an_outcome_down_still_answers(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(texts_module, "AGAIN_S", 0.01)
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        async with linked(node, RESUME, identity=identity) as (_, link):
            peer = link.peer
        for text in ("x" * 200, "behind"):
            node.chat.send(peer, text)
        await node.journal.settled()
        write = node.journal.store.write

        def full(batch: Batch) -> None:
            raise DiskFull

        node.journal.store.write = full  # type: ignore[method-assign]
        async with linked(node, RESUME, identity=identity, text_bytes=100) as (handmade, link):
            for token in (5, 6, 7):
                await handmade.send(PingFrame(token))
                assert (await handmade.until(PongFrame)).token == token
            assert (link.reason, peer.delivery.written) == (None, 0)
            node.journal.store.write = write  # type: ignore[method-assign]
            assert (await handmade.until(Text)).text == "behind"
            assert peer.delivery.outbox.count == 1


async def test_while_the_journal_has_no_room_the_link_is_not_read_and_still_makes_itself_heard(
    autojump_clock: MockClock,
) -> None:
    world = World(inline=True)
    async with linking(world, journal_pending_bytes=65536) as node, linked(node, RESUME) as (peer, link):
        await node.journal.settled()
        world.hold()
        async with trio.open_nursery() as nursery:
            texts = [Text("handmade", seq, "x" * 1000) for seq in range(1, 500)]
            nursery.start_soon(lambda: peer.send(*texts))
            with trio.fail_after(node.config.ping_after + 1):
                assert (await peer.until(PongFrame)).token == 0
            assert nursery.child_tasks  # not all of it was read
            assert link.reason is None
            world.let_go()
            while (await peer.until(AckFrame)).seq < 499:
                continue
        assert len(texts_of(node)) == 499


async def test_where_the_journal_is_lost_nothing_is_taken_and_acknowledgements_still_count(
    autojump_clock: MockClock,
) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME, Text("handmade", 1, "kept")) as (peer, link):
        assert await peer.until(AckFrame) == AckFrame("handmade", 1)
        node.chat.send(link.peer, "owed")
        owed = await peer.until(Text)
        node.journal.store.files.lost = True
        await peer.send(Text("handmade", 2, "lost"), AckFrame(owed.epoch, owed.seq), PingFrame(7))
        assert (await peer.until(PongFrame)).token == 7
        assert link.peer.delivery.outbox.count == 0
        assert node.journal.watermarks.appended(link.peer.node or "", "handmade") == 1
        assert texts_of(node) == ["kept", "owed"]
        assert link.reason is None


async def test_after_a_frame_that_was_not_taken_no_other_is_and_the_link_ends_when_the_journal_is_back(
    autojump_clock: MockClock,
) -> None:
    async with linking(World(inline=True)) as node:
        async with linked(node, RESUME) as (peer, link):
            location = node.journal.store.files
            location.lost = True
            await peer.send(Text("handmade", 1, "1"), PingFrame(7))
            await peer.until(PongFrame)
            location.lost = False
            await peer.send(Text("handmade", 2, "2"), PingFrame(8))
            assert (await peer.until(Bye)).reason == "storage_lost"
            assert link.reason == "storage_lost"
        assert texts_of(node) == []
        assert node.journal.watermarks.appended(link.peer.node or "", "handmade") == 0


async def test_a_link_that_brought_nothing_while_the_journal_was_lost_goes_on(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME, PingFrame(6)) as (peer, link):
        await peer.until(PongFrame)
        location = node.journal.store.files
        location.lost = True
        await peer.send(PingFrame(7))
        await peer.until(PongFrame)
        location.lost = False
        await peer.send(Text("handmade", 1, "1"))
        assert await peer.until(AckFrame) == AckFrame("handmade", 1)
        assert link.reason is None


async def test_a_link_that_begins_while_the_journal_is_lost_takes_nothing_of_rooms_either(
    autojump_clock: MockClock,
) -> None:
    async with linking(World(inline=True)) as node:
        node.router.hosted_rooms.host("lobby")
        node.journal.store.files.lost = True
        async with linked(node, RESUME, Rooms(1, [("lobby", "handmade", True)]), PingFrame(7)) as (peer, link):
            assert (await peer.until(PongFrame)).token == 7
            room = node.router.hosted_rooms.get("lobby")
            assert room is not None
            assert link.peer.node not in room.by_node


async def test_after_an_epoch_that_was_let_go_of_the_link_starts_without_a_gap(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        async with linked(node, RESUME, identity=identity) as (peer, link):
            _, batch = node.chat.send(link.peer, "first")
            await batch.wait()
            said = await peer.until(Text)
            await peer.send(AckFrame(said.epoch, said.seq))
            while link.peer.delivery.outbox.count:
                await link.peer.delivery.progress.wait()
            await peer.send(Bye("shutdown"))
        first, present = said.seq + 1, node.journal.epoch
        node.journal.epochs = Epochs([(first, "aaaaaaaa"), (node.journal.committed + 1, "bbbbbbbb")])
        node.journal.epoch, node.journal._prefix = "bbbbbbbb", "bbbbbbbb:"
        async with linked(node, RESUME, identity=identity, mark_epoch=present, mark_seq=said.seq) as (peer, link):
            assert peer.resumed == Resume("aaaaaaaa", 0)
            _, batch = node.chat.send(link.peer, "second")
            await batch.wait()
            said = await peer.until(Text)
            assert (said.epoch, said.text) == ("bbbbbbbb", "second")
            await peer.send(
                AckFrame("aaaaaaaa", 1), AckFrame(present, 2), AckFrame(said.epoch, said.seq), Bye("shutdown")
            )
            await peer.rest()
        assert link.reason == "peer stopped"
        assert not link.peer.delivery.outbox.count


async def test_a_reader_that_waits_long_for_the_disk_is_not_dead_and_the_peer_hears_from_it(
    autojump_clock: MockClock,
) -> None:
    world = World(inline=True)
    async with (
        linking(world, journal_pending_bytes=65536) as node,
        linked(node, RESUME) as (peer, link),
        trio.open_nursery() as nursery,
    ):
        heard, all_acked = list[float](), trio.Event()

        async def listen() -> None:
            while (frame := await peer.next()) is not None:
                heard.append(trio.current_time())
                if frame == AckFrame("handmade", 100):
                    all_acked.set()

        nursery.start_soon(listen)
        await trio.testing.wait_all_tasks_blocked()
        world.hold()
        nursery.start_soon(peer.send, *(Text("handmade", seq, "x" * 2000) for seq in range(1, 101)))
        start = trio.current_time()
        await trio.sleep(10 * node.config.dead_after)
        assert not node.journal.has_capacity
        assert link.reason is None
        times = [start, *(time for time in heard if time > start)]
        assert max(later - earlier for earlier, later in pairwise(times)) <= node.config.ping_after + 1
        assert times[-1] > trio.current_time() - node.config.ping_after - 1
        world.let_go()
        await all_acked.wait()
        assert link.reason is None
        await trio.sleep(node.config.dead_after + 1)  # now the peer is silent, and nothing else is in the way
        assert link.reason == "no answer"

"""Plain links: each of the six rules of docs/wire.md, both directions.

On a mock clock and connections in memory; whether a close is a FIN or an RST is seen on loopback.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.net.plain.link import DRAIN_S, HANG_UP_S, SHUTDOWN_S, PlainLink
from chatd.peers.peer import Peer
from tests.harness.chat_programs import PeerProgram, ProgramCrashed, Variant
from tests.harness.connections import Ends, in_memory, loopback, reset
from tests.harness.parts import lone_peer
from tests.harness.plain_node import FakeNode, committed

CONFIG = Config(node="default", name="alice", socket="/none", state="/none")
UNPACED = msgspec.structs.replace(CONFIG, plain_pace=0.0)


class Rig(msgspec.Struct):
    """A running link and the other end of its connection."""

    link: PlainLink
    node: FakeNode
    peer: Peer
    stream: trio.SocketStream
    ended: trio.Event
    outcome: str = ""

    async def rest(self) -> bytes:
        """Read everything up to the link's FIN."""
        return b"".join([chunk async for chunk in self.stream])

    async def over(self) -> str | None:
        """Wait for the end of the link; return the reason."""
        await self.ended.wait()
        return self.link.reason


@asynccontextmanager
async def running(
    config: Config = CONFIG,
    direction: str = "in",
    *,
    provisional: bool = False,
    first_text: str = "",
    ends: Ends | None = None,
) -> AsyncIterator[Rig]:
    """Run a link until the end of the block, on a connection in memory unless `ends` are given."""
    ours, theirs = ends or in_memory()
    node, peer = FakeNode(), lone_peer(1, 0, "plain", "127.0.0.1:5000", None, "127.0.0.1:5000")
    link = PlainLink(
        ours, peer, node, node, config, direction=direction, address="127.0.0.1:5000", provisional=provisional
    )
    rig = Rig(link, node, peer, theirs, trio.Event())

    async def run() -> None:
        rig.outcome = await link.run()
        rig.ended.set()

    if first_text:
        link.enqueue(1, first_text, committed())
    async with theirs, trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield rig
        link.close("terminated")
        node.gate.set()
        await theirs.aclose()
        await rig.ended.wait()
    assert (ours.socket.fileno() == -1) is (rig.outcome == "closed")
    ours.socket.close()


# -- rule 1


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_nothing_is_sent_on_connect_or_on_close(direction: str, autojump_clock: MockClock) -> None:
    async with running(direction=direction) as rig:
        rig.link.close("terminated")
        assert await rig.rest() == b""


# -- rule 2


async def test_one_message_is_one_read_of_a_peer_program(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    sent, began = ["hello", "  two  spaces ", "naïve 👋", "x" * 1024, "last"], trio.current_time()
    async with running() as rig:
        program = PeerProgram(rig.stream, "100-character")
        nursery.start_soon(program.read)
        await program.send("hi")
        await rig.node.wait_texts(1)
        for text in sent:
            rig.link.enqueue(1, text, committed())
        assert await program.wait_received(len(sent)) == sent
        assert trio.current_time() == pytest.approx(began + (len(sent) - 1) * CONFIG.plain_pace + CONFIG.plain_quiet)
        program.vanish()
    assert rig.link.sent == rig.peer.delivery.sent == len(sent)


@pytest.mark.parametrize("variant", ["close-text", "100-character", "counting"])
async def test_a_peer_program_that_we_dialed_talks_both_ways(
    nursery: trio.Nursery, variant: Variant, autojump_clock: MockClock
) -> None:
    async with running(direction="out") as rig:
        program = PeerProgram(rig.stream, variant)
        nursery.start_soon(program.read)
        await program.send("one   two")
        assert await rig.node.wait_texts(1) == ["one two"]
        for _ in range(3):  # as long as may be, of characters that a read in between would cut in two
            rig.link.enqueue(1, "é" * 512, committed())
        assert await program.wait_received(3) == ["é" * 512] * 3
        assert not program.deaf
        program.vanish()
        assert await rig.over() == "sent, then closed by peer"


async def test_a_newline_is_added_for_who_has_not_spoken_yet(autojump_clock: MockClock) -> None:
    async with running() as rig:
        rig.link.enqueue(1, "hi", committed())
        assert await rig.stream.receive_some() == b"hi\n"


async def test_a_peer_that_speaks_lines_is_not_paced(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_pace=3600.0)) as rig:
        await rig.stream.send_all(b"hello\n")
        await rig.node.wait_texts(1)
        for number in range(100):
            rig.link.enqueue(number, f"text {number}", committed())
        received = b""
        while received.count(b"\n") < 100:
            received += await rig.stream.receive_some()
        assert received == b"".join(b"text %d\n" % number for number in range(100))


async def test_a_message_is_written_only_after_its_commit(autojump_clock: MockClock) -> None:
    async with running(UNPACED) as rig:
        first, second = Batch(), Batch()
        rig.link.enqueue(1, "one", first)
        rig.link.enqueue(2, "two", second)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.link.waiting == 2
        first.settle(None)
        assert await rig.stream.receive_some() == b"one\n"
        await trio.testing.wait_all_tasks_blocked()
        assert rig.node.told == [1]
        second.settle(None)
        assert await rig.stream.receive_some() == b"two\n"
        await trio.testing.wait_all_tasks_blocked()
        assert rig.node.told == [1, 2]
    assert rig.link.unsent == 0


async def test_a_message_whose_commit_failed_is_dropped_and_not_counted(autojump_clock: MockClock) -> None:
    async with running(UNPACED) as rig:
        refused = Batch()
        rig.link.enqueue(1, "refused", refused)
        rig.link.enqueue(2, "kept", committed())
        refused.settle(ControlError("storage_full", "full"))
        assert await rig.stream.receive_some() == b"kept\n"
    assert (rig.link.sent, rig.link.unsent, rig.link.waiting, rig.node.told) == (1, 0, 0, [2])


async def test_a_message_after_one_whose_commit_failed_still_waits_for_its_own(autojump_clock: MockClock) -> None:
    async with running(UNPACED) as rig:
        refused, later = Batch(), Batch()
        rig.link.enqueue(1, "refused", refused)
        rig.link.enqueue(2, "later", later)
        refused.settle(ControlError("storage_full", "full"))
        await trio.testing.wait_all_tasks_blocked()
        assert (rig.link.sent, rig.link.waiting) == (0, 1)
        later.settle(None)
        assert await rig.stream.receive_some() == b"later\n"


async def test_lines_that_are_written_together_end_before_one_whose_commit_failed(autojump_clock: MockClock) -> None:
    async with running(UNPACED) as rig:
        await rig.stream.send_all(b"hello\n")
        await rig.node.wait_texts(1)
        refused = Batch()
        refused.settle(ControlError("storage_full", "full"))
        rig.link.enqueue(1, "one", committed())
        rig.link.enqueue(2, "refused", refused)
        rig.link.enqueue(3, "two", committed())
        received = b""
        while received.count(b"\n") < 2:
            received += await rig.stream.receive_some()
        assert received == b"one\ntwo\n"
    assert (rig.link.sent, rig.node.told) == (2, [1, 3])


async def test_what_was_handed_over_before_the_link_runs_is_written(autojump_clock: MockClock) -> None:
    async with running(first_text="early") as rig:
        assert await rig.stream.receive_some() == b"early\n"


# -- rule 3


async def test_lines_and_unframed_chunks_become_messages(autojump_clock: MockClock) -> None:
    async with running() as rig:
        await rig.stream.send_all(b"one\r\n\ntwo\n")
        assert await rig.node.wait_texts(2) == ["one", "two"]
        began = trio.current_time()
        await rig.stream.send_all(b"three")
        assert await rig.node.wait_texts(3) == ["one", "two", "three"]
        assert trio.current_time() == pytest.approx(began + CONFIG.plain_quiet)
        await rig.stream.send_all(b"four\xff\n")
        assert (await rig.node.wait_texts(4))[3] == "four�"
    assert rig.link.received == 4


async def test_a_character_that_is_split_over_two_chunks_is_put_together(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_quiet=0.001)) as rig:
        await rig.stream.send_all("é".encode()[:1])
        await rig.stream.send_all("é".encode()[1:])
        assert await rig.node.wait_texts(1) == ["é"]


async def test_a_line_over_the_limit_ends_the_link_with_the_reason(autojump_clock: MockClock) -> None:
    async with running() as rig:
        await rig.stream.send_all(b"before\n" + b"x" * 4097)
        assert await rig.rest() == b""
        await rig.stream.aclose()
        assert await rig.over() == "line too long"
        assert rig.node.texts == ["before"]


async def test_what_waits_for_its_newline_is_not_lost_by_a_fin(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_quiet=10.0)) as rig:
        await rig.stream.send_all(b"last words")
        await rig.stream.send_eof()
        assert await rig.over() == "closed by peer"
        assert rig.node.texts == ["last words"]


async def test_what_waits_for_its_newline_is_not_lost_by_our_close(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_quiet=10.0)) as rig:
        await rig.stream.send_all(b"one\ntwo")
        await rig.node.wait_texts(1)
        rig.link.close("terminated")
        assert await rig.node.wait_texts(2) == ["one", "two"]


async def test_a_stranger_over_the_receive_rate_is_not_read(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_rate=1)) as rig:
        await rig.stream.send_all(b"x\n" * 20_000)
        await trio.sleep(2040)
        assert len(rig.node.texts) == 2048  # one read, for which it has to pay now
        await trio.sleep(10)
        assert len(rig.node.texts) == 4096


async def test_whom_we_dialed_is_read_as_fast_as_it_sends(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_rate=1), "out") as rig:
        await rig.stream.send_all(b"x\n" * 20_000)
        assert len(await rig.node.wait_texts(20_000)) == 20_000


async def test_nothing_is_read_while_the_journal_has_no_room(autojump_clock: MockClock) -> None:
    async with running() as rig:
        await trio.testing.wait_all_tasks_blocked()  # it is reading, and looks at the gate after that
        rig.node.gate = trio.Event()
        await rig.stream.send_all(b"one\n")
        await rig.node.wait_texts(1)
        await rig.stream.send_all(b"two\n")
        await trio.sleep(60)
        assert rig.node.texts == ["one"]
        rig.node.gate.set()
        assert await rig.node.wait_texts(2) == ["one", "two"]


async def test_texts_that_could_not_be_journaled_end_the_link(autojump_clock: MockClock) -> None:
    async with running() as rig:
        await rig.stream.send_all(b"lost\nhalf")
        await rig.node.wait_texts(1)
        rig.node.batch.settle(ControlError("storage_full", "full"))
        await rig.stream.aclose()
        assert await rig.over() == "storage_full"
        assert rig.node.texts == ["lost"]


# -- rule 4


async def test_closing_writes_what_waits_first(autojump_clock: MockClock) -> None:
    async with running() as rig:
        for number in range(5):
            rig.link.enqueue(number, f"text {number}", committed())
        rig.link.close("terminated")
        assert await rig.rest() == b"".join(b"text %d\n" % number for number in range(5))
    assert (rig.link.unsent, rig.node.told) == (0, [0, 1, 2, 3, 4])


async def test_closing_with_unread_input_is_not_a_reset() -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_rate=1), ends=await loopback()) as rig:
        await rig.stream.send_all(b"x\n" * 10_000)
        rig.link.close("terminated")
        assert await rig.rest() == b""
        await rig.stream.send_all(b"still here\n")
        await rig.stream.aclose()
        assert await rig.over() == "terminated"


async def test_a_peer_sees_our_end_before_it_has_closed_itself(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.net.plain.link.DRAIN_S", 3600.0)
    async with running() as rig:
        rig.link.close("terminated")
        with trio.fail_after(5):
            assert await rig.rest() == b""
        assert not rig.ended.is_set()


async def test_a_peer_that_does_not_close_is_closed_after_a_second(autojump_clock: MockClock) -> None:
    async with running() as rig:
        began = trio.current_time()
        rig.link.close("terminated")
        assert await rig.over() == "terminated"
        assert trio.current_time() == began + DRAIN_S


async def test_close_connection_means_that_the_peer_hung_up(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    async with running() as rig:
        program = PeerProgram(rig.stream, "close-text")
        nursery.start_soon(program.read)
        await program.send("bye")
        await rig.node.wait_texts(1)
        await program.terminate()
        assert await program.wait_over() == "eof"
        assert await rig.over() == "closed by peer"
        assert rig.node.texts == ["bye"]


async def test_a_shutdown_does_not_wait_for_the_pace(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_pace=3600.0, terminate_timeout=3600.0)) as rig:
        for number in range(10):
            rig.link.enqueue(number, f"text {number}", committed())
        assert await rig.stream.receive_some() == b"text 0\n"
        began = trio.current_time()
        rig.link.close("shutdown")
        assert await rig.over() == "shutdown"
        assert trio.current_time() == pytest.approx(began + SHUTDOWN_S + DRAIN_S)
    assert (rig.link.sent, rig.link.unsent) == (1, 9)


# -- rule 5


@pytest.mark.parametrize("variant", ["100-character", "counting"])
async def test_a_silent_terminate_shows_in_the_next_send(
    nursery: trio.Nursery, variant: Variant, autojump_clock: MockClock
) -> None:
    async with running() as rig:
        program = PeerProgram(rig.stream, variant)
        nursery.start_soon(program.read)
        await program.send("hi")
        await rig.node.wait_texts(1)
        await program.terminate()
        await trio.sleep(60)
        assert rig.link.reason is None
        rig.link.enqueue(1, "are you there", committed())
        assert await rig.over() == "sent, then closed by peer"
        assert program.received == ["are you there"]
    assert (rig.link.sent, rig.link.unsent) == (1, 0)


async def test_a_hang_up_after_an_answer_is_just_a_hang_up(autojump_clock: MockClock) -> None:
    async with running() as rig:
        rig.link.enqueue(1, "question", committed())
        assert await rig.stream.receive_some() == b"question\n"
        await rig.stream.send_all(b"answer\n")
        await rig.node.wait_texts(1)
        await rig.stream.send_eof()
        assert await rig.over() == "closed by peer"


async def test_a_hang_up_long_after_a_send_is_just_a_hang_up(autojump_clock: MockClock) -> None:
    for after, reason in ((HANG_UP_S, "sent, then closed by peer"), (HANG_UP_S + 0.01, "closed by peer")):
        async with running() as rig:
            rig.link.enqueue(1, "question", committed())
            assert await rig.stream.receive_some() == b"question\n"
            await trio.sleep(after)
            await rig.stream.send_eof()
            assert await rig.over() == reason


async def test_a_link_is_full_at_its_number_of_messages_or_bytes(autojump_clock: MockClock) -> None:
    config = msgspec.structs.replace(CONFIG, plain_queue=3, plain_buffer_bytes=4096)
    async with running(config) as rig:
        never = Batch()
        for _ in range(3):
            assert not rig.link.full
            rig.link.enqueue(1, "x", never)
        assert rig.link.full
        assert rig.link.waiting == 3
        never.settle(ControlError("storage_full", "full"))
    async with running(msgspec.structs.replace(config, plain_queue=99)) as rig:
        never = Batch()
        rig.link.enqueue(1, "é" * 2048, never)
        assert rig.link.full
        never.settle(ControlError("storage_full", "full"))
    assert rig.link.waiting == 0
    assert not rig.link.full


async def test_what_was_not_written_when_the_link_broke_is_counted(autojump_clock: MockClock) -> None:
    async with running(msgspec.structs.replace(CONFIG, plain_pace=3600.0)) as rig:
        for number in range(4):
            rig.link.enqueue(number, f"text {number}", committed())
        assert await rig.stream.receive_some() == b"text 0\n"
        reset(rig.stream)
        assert await rig.over() == "reset"
        assert (rig.link.sent, rig.link.unsent) == (1, 3)
        rig.link.enqueue(1, "too late", committed())
        assert rig.link.unsent == 4


async def test_a_peer_that_takes_nothing_is_cut(autojump_clock: MockClock) -> None:
    config = msgspec.structs.replace(CONFIG, plain_stall=7.0, plain_pace=0.0, plain_buffer_bytes=2**30)
    began = trio.current_time()
    async with running(config) as rig:
        for _ in range(64):
            rig.link.enqueue(1, "x" * 10_000, committed())
        assert await rig.over() == "stalled"
        assert trio.current_time() == pytest.approx(began + 7.0 + DRAIN_S)
    assert rig.link.unsent > 0
    assert rig.link.sent + rig.link.unsent == 64


# -- rule 6


async def test_fin_reset_and_our_own_close_are_three_reasons() -> None:
    async with running(ends=await loopback()) as rig:
        await rig.stream.send_eof()
        assert await rig.over() == "closed by peer"
    async with running(ends=await loopback()) as rig:
        reset(rig.stream)
        assert await rig.over() == "reset"
    async with running(ends=await loopback()) as rig:
        rig.link.close("terminated")
        rig.link.close("shutdown")
        await rig.stream.aclose()
        assert await rig.over() == "terminated"


async def test_our_close_never_crashes_a_000(nursery: trio.Nursery) -> None:
    async with running(ends=await loopback()) as rig:
        program = PeerProgram(rig.stream, "close-text")
        nursery.start_soon(program.read)
        await program.send("some words")
        rig.link.close("terminated")
        assert await program.wait_over() == "eof"
    ours, theirs = await loopback()
    program = PeerProgram(theirs, "close-text")
    nursery.start_soon(program.read)
    reset(ours)
    assert await program.wait_over() == "reset"
    with pytest.raises(ProgramCrashed):
        await program.send("what an RST would have done")


# -- provisional links


async def test_a_silent_connection_that_begins_tls_is_handed_back_untouched(autojump_clock: MockClock) -> None:
    async with running(provisional=True) as rig:
        await rig.stream.send_all(b"\x16\x03\x01")
        await rig.ended.wait()
        assert rig.outcome == "native"
        assert rig.link.reason == "native"
        assert rig.node.texts == []


async def test_a_silent_connection_that_sends_text_stays_plain(autojump_clock: MockClock) -> None:
    async with running(provisional=True) as rig:
        await rig.stream.send_all(b"hi\n")
        assert await rig.node.wait_texts(1) == ["hi"]


async def test_after_a_message_was_handed_over_tls_is_text(autojump_clock: MockClock) -> None:
    async with running(provisional=True) as rig:
        rig.link.enqueue(1, "hi", committed())
        assert await rig.stream.receive_some() == b"hi\n"
        await rig.stream.send_all(b"\x16\n")
        assert await rig.node.wait_texts(1) == ["\x16"]


@pytest.mark.parametrize("how", ["eof", "reset", "close"])
async def test_a_provisional_link_ends_like_any_other(how: str, autojump_clock: MockClock) -> None:
    async with running(provisional=True) as rig:
        if how == "eof":
            await rig.stream.send_eof()
        elif how == "reset":
            reset(rig.stream)
        else:
            rig.link.close("terminated")
            await rig.stream.aclose()
        assert await rig.over() == {"eof": "closed by peer", "reset": "reset", "close": "terminated"}[how]
        assert rig.outcome == "closed"


async def test_a_text_that_would_be_gone_with_the_next_start_ends_the_link(autojump_clock: MockClock) -> None:
    async with running() as rig:
        rig.node.lost = True
        await trio.testing.wait_all_tasks_blocked()
        assert rig.link.reason is None
        await rig.stream.send_all(b"lost\nhalf")
        assert await rig.over() == "storage_lost"
        assert (rig.node.texts, rig.link.received) == ([], 0)

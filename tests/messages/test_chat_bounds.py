"""How much may be owed: at the bound a sender is slowed while the peer is up, and refused when that is hopeless."""

from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.messages.chat import STALL_S
from chatd.peers.outbox import NoCapacity
from chatd.peers.peer import Peer
from tests.harness.parts import CAROL, Core, World, standing

HALF = 1 << 19  # of the smallest retain_bytes
FOUR = ["1", "2", "3", "4"]


def slowed(core: Core, peer: Peer, *texts: str) -> NoCapacity:
    before = core.journal.appended
    with pytest.raises(NoCapacity) as notyet:
        core.chat.send_all(peer, texts or ("more",))
    assert core.journal.appended == before
    return notyet.value


def refused(core: Core, peer: Peer, *texts: str) -> ControlError:
    before = core.journal.appended
    with pytest.raises(ControlError) as error:
        core.chat.send_all(peer, texts or ("more",))
    assert core.journal.appended == before
    assert error.value.kind == "outbox_full"
    assert error.value.retryable
    return error.value


async def fill(core: Core, peer: Peer, count: int) -> list[int]:
    """So many are owed and written; their seqs."""
    core.chat.send_all(peer, [str(number) for number in range(count)])
    await core.commit()
    if peer.is_up:
        await core.write(peer)
    return peer.delivery.outbox.between(0, 1 << 62)


async def fill_bytes(core: Core, peer: Peer, size: int) -> None:
    while peer.delivery.outbox.size < size:
        core.chat.send(peer, "x" * 10_000)
    await core.commit()


async def patience(notyet: NoCapacity) -> None:
    """What a session does."""
    with trio.move_on_at(notyet.until):
        await notyet.wait()


class Waiting:
    """Somebody who was slowed."""

    def __init__(self, nursery: trio.Nursery, notyet: NoCapacity) -> None:
        self.done = False
        self.at = 0.0
        nursery.start_soon(self._wait, notyet)

    async def _wait(self, notyet: NoCapacity) -> None:
        await patience(notyet)
        self.done, self.at = True, trio.current_time()


async def test_a_sender_to_a_peer_that_is_up_is_slowed_until_there_is_room_again(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=100) as core:
        bob, _ = await core.linked()
        seqs = await fill(core, bob, 100)
        async with trio.open_nursery() as nursery:
            waiting = Waiting(nursery, slowed(core, bob))
            await trio.testing.wait_all_tasks_blocked()
            assert not waiting.done
            assert core.chat.acknowledge(bob, core.journal.epoch, seqs[9])
            await trio.testing.wait_all_tasks_blocked()
            assert not waiting.done  # not for each one that goes
            core.chat.send(bob, "somebody else was quicker")
            assert core.chat.acknowledge(bob, core.journal.epoch, seqs[25])
            await trio.testing.wait_all_tasks_blocked()
            assert waiting.done
        core.chat.send_all(bob, ["more"] * 25)
        slowed(core, bob)


async def test_neighbours_wait_for_room_for_all_of_them(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=10) as core:
        bob, _ = await core.linked()
        seqs = await fill(core, bob, 7)
        core.chat.send_all(bob, ["a", "b", "c"])
        await core.commit()
        async with trio.open_nursery() as nursery:
            waiting = Waiting(nursery, slowed(core, bob, *FOUR))
            assert core.chat.acknowledge(bob, core.journal.epoch, seqs[2])
            await trio.testing.wait_all_tasks_blocked()
            assert not waiting.done
            assert core.chat.acknowledge(bob, core.journal.epoch, seqs[3])
            await trio.testing.wait_all_tasks_blocked()
            assert waiting.done
        core.chat.send_all(bob, FOUR)


async def test_more_neighbours_than_may_be_owed_at_all_are_refused_together(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=3) as core:
        bob, _ = await core.linked()
        refused(core, bob, *FOUR)
        core.chat.send_all(bob, FOUR[:3])


async def test_the_outbox_of_a_peer_that_is_away_is_full_at_its_bound(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=5) as core:
        bob = core.away()
        await fill(core, bob, 5)
        error = refused(core, bob)
        assert error.message == "5 messages wait for bob"
        assert "wait peer bob" in error.hint
        assert "--outbox-messages" in error.hint
        assert core.chat.send(core.away(CAROL, "carol"), "each has an outbox of its own")


async def test_what_a_former_run_left_counts(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=5) as core:
        await fill(core, core.away(), 5)
    async with standing(tmp_path, outbox_messages=5) as core:
        refused(core, core.registry.find("bob"))


async def test_an_outbox_is_full_at_its_bytes(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_bytes=65536) as core:
        bob = core.away()
        await fill_bytes(core, bob, 65536)
        assert "--outbox-bytes" in refused(core, bob).hint
        assert bob.delivery.outbox.count < 10


async def test_a_peer_that_is_up_and_takes_nothing_for_10_s_is_as_good_as_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with standing(tmp_path, World(inline=True), outbox_messages=10) as core:
        bob, _ = await core.linked()
        seqs = await fill(core, bob, 10)
        began = trio.current_time()
        await patience(slowed(core, bob))
        assert trio.current_time() == pytest.approx(began + STALL_S, abs=0.01)
        assert "takes nothing" in refused(core, bob).hint
        assert core.chat.acknowledge(bob, core.journal.epoch, seqs[0])
        core.chat.send(bob, "it moves")
        slowed(core, bob)


async def test_each_acknowledgement_gives_it_10_s_more(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with standing(tmp_path, World(inline=True), outbox_messages=100) as core:
        bob, _ = await core.linked()
        seqs = await fill(core, bob, 100)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for seq in seqs[:3]:
                waiting = Waiting(nursery, slowed(core, bob))
                await trio.sleep(9)
                assert not waiting.done
                assert core.chat.acknowledge(bob, core.journal.epoch, seq)
                core.chat.send(bob, "more")
            await patience(slowed(core, bob))
        assert trio.current_time() == pytest.approx(began + 27 + STALL_S, abs=0.01)
        refused(core, bob)


async def test_who_is_slowed_is_told_when_the_peer_goes(tmp_path: Path) -> None:
    async with standing(tmp_path, outbox_messages=10) as core:
        bob, link = await core.linked()
        await fill(core, bob, 10)
        async with trio.open_nursery() as nursery:
            waiting = Waiting(nursery, slowed(core, bob))
            await trio.testing.wait_all_tasks_blocked()
            core.registry.link_down(bob, link)
            await trio.testing.wait_all_tasks_blocked()
            assert waiting.done
        refused(core, bob)


async def test_what_nobody_has_acknowledged_since_the_link_came_up_is_no_stall(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with standing(tmp_path, World(inline=True), outbox_messages=10) as core:
        bob = core.away()
        await fill(core, bob, 10)
        await trio.sleep(3600)
        await core.linked()
        slowed(core, bob)


async def test_all_outboxes_together_may_hold_half_of_the_journal(tmp_path: Path) -> None:
    async with standing(tmp_path, retain_bytes=2 * HALF) as core:
        bob, carol = core.away(), core.away(CAROL, "carol")
        await fill_bytes(core, bob, HALF)
        for peer in (bob, carol):
            error = refused(core, peer)
            assert "outboxes of all peers" in error.message
            assert "--retain-bytes" in error.hint


async def test_a_peer_that_is_up_waits_for_the_outboxes_of_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with standing(tmp_path, World(inline=True), retain_bytes=2 * HALF) as core:
        carol, _ = await core.linked(CAROL, "carol")
        bob, _ = await core.linked()
        await fill(core, bob, 1)
        await fill_bytes(core, carol, HALF)
        await core.write(carol)
        began = trio.current_time()
        await patience(slowed(core, bob))
        assert trio.current_time() == pytest.approx(began + STALL_S, abs=0.01)
        refused(core, bob)
        assert core.chat.acknowledge(bob, core.journal.epoch, bob.delivery.outbox.first)
        refused(core, bob)  # there is nothing of its own to wait for
        bob.delivery.progressed_at = trio.current_time()
        core.registry.outbox_totals.size -= 10_000
        await fill(core, bob, 1)
        core.registry.outbox_totals.size += 10_000
        async with trio.open_nursery() as nursery:
            waiting = Waiting(nursery, slowed(core, bob))
            await trio.testing.wait_all_tasks_blocked()
            assert not waiting.done
            assert core.chat.acknowledge(carol, core.journal.epoch, carol.delivery.outbox.between(0, 1 << 62)[5])
            await trio.testing.wait_all_tasks_blocked()
            assert waiting.done
        core.chat.send(bob, "more")


async def test_a_peer_that_had_nothing_to_take_for_an_hour_has_not_stalled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with standing(tmp_path, World(inline=True), outbox_messages=10) as core:
        bob, _ = await core.linked()
        await trio.sleep(3600)
        await fill(core, bob, 10)
        slowed(core, bob)

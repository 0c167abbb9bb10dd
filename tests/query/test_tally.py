"""RangeTally examines every message of a range, so it finds duplicates, strangers and holes."""

import pytest

from chatd.api.events import Message
from chatd.peers.peer import Peer
from chatd.query import tally as tally_module
from chatd.query.tally import PAGE, RangeTally
from chatd.wire.frames import Text
from tests.harness.parts import BOB, Core

EPOCH, OLDER = "aaaaaaaa", "bbbbbbbb"


async def counted(core: Core, peer: Peer, first: int, last: int, epoch: str = EPOCH, after: int = 0) -> tuple[int, int]:
    """The numbers of messages and of distinct ones."""
    await core.commit()
    tally = RangeTally(peer.stream_id, after, core.journal.committed, epoch, first, last)
    while not await core.journal.ask(tally.step):
        continue
    return tally.messages, tally.distinct


def append(core: Core, peer: Peer, *ids: str, text: str = "x") -> None:
    """Append messages to the journal, regardless of watermarks."""
    messages = [Message(direction="in", peer=peer.ref, global_id=f"{peer.node}/{one}", text=text) for one in ids]
    core.journal.append_all(messages, peer.stream_id, "in")


async def test_what_came_of_the_range_is_counted(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text(EPOCH, seq, f"{seq}") for seq in range(1, 101)])
    core.chat.send_all(bob, ["ours"] * 50)
    assert await counted(core, bob, 1, 100) == (100, 100)
    assert await counted(core, bob, 11, 20) == (10, 10)
    assert await counted(core, bob, 90, 5000) == (11, 11)
    assert await counted(core, bob, 101, 200) == (0, 0)
    assert await counted(core, bob, 20, 11) == (0, 0)


async def test_what_lies_there_twice_is_found_wherever_it_lies(core: Core) -> None:
    bob, _ = core.up()
    append(core, bob, *(f"{EPOCH}:{seq}" for seq in range(1, 11)))
    append(core, bob, f"{EPOCH}:10", f"{EPOCH}:3")
    append(core, bob, *(f"{EPOCH}:{seq}" for seq in range(11, 21)), f"{EPOCH}:3")
    assert await counted(core, bob, 1, 20) == (23, 20)
    assert await counted(core, bob, 3, 3) == (3, 1)


async def test_other_epochs_peers_and_texts_that_look_like_ids_do_not_count(core: Core) -> None:
    bob, _ = core.up()
    carol, _ = core.up("c" * 52, "carol")
    append(core, bob, f"{OLDER}:5", f"{EPOCH}:5", text=f'"global_id":"{BOB}/{EPOCH}:6"')
    append(core, carol, f"{EPOCH}:7")
    assert await counted(core, bob, 1, 10) == (1, 1)
    assert await counted(core, bob, 1, 10, OLDER) == (1, 1)


async def test_the_highest_positions_and_long_texts_are_read_right(core: Core) -> None:
    bob, _ = core.up()
    most = 2**63 - 1
    append(core, bob, f"{EPOCH}:{most - PAGE - 1}", f"{EPOCH}:{most - 1}", f"{EPOCH}:{most}", text="ü" * 16_000)
    assert await counted(core, bob, most - PAGE - 1, most) == (3, 3)


async def test_many_are_counted_in_small_steps(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "STEP", 16)
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text(EPOCH, seq, f"{seq}") for seq in range(1, 161)])
    await core.commit()
    calls = core.world.calls
    assert await counted(core, bob, 1, 160) == (160, 160)
    assert core.world.calls - calls >= 10


async def test_the_place_of_the_first_is_found_without_looking_at_all(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text(OLDER, seq * 2, "old") for seq in range(1, 101)])
    await core.commit()
    before = core.journal.committed
    core.chat.inbox.receive(bob, link, [Text(EPOCH, seq * 2, "new") for seq in range(1, 101)])
    await core.commit()
    assert await core.chat.lookup.position_before(bob, EPOCH, 1) == before
    assert await core.chat.lookup.position_before(bob, EPOCH, 2) == before
    assert await core.chat.lookup.position_before(bob, EPOCH, 3) == before + 1
    assert await core.chat.lookup.position_before(bob, EPOCH, 1000) == core.journal.committed
    assert await core.chat.lookup.position_before(bob, "zzzzzzzz", 1) == core.journal.committed
    assert await counted(core, bob, 5, 9, after=await core.chat.lookup.position_before(bob, EPOCH, 5)) == (2, 2)

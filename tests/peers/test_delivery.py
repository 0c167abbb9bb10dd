"""What is kept of the messages to one peer: the row in the journal, and what a failed commit undoes."""

from chatd.journal.store import DiskFull
from chatd.messages.chat import Options, RoomTarget
from tests.harness.parts import Core

ROWS = "SELECT first, messages, written FROM outboxes"


async def rows(core: Core) -> list[tuple[int, int, int]]:
    await core.flushed()
    return core.journal.store.query(ROWS)


async def test_while_a_link_is_open_all_that_is_committed_may_have_been_written(core: Core) -> None:
    bob, link = await core.linked()
    core.chat.send(bob, "1")
    first = core.journal.appended
    assert await rows(core) == [(first, 1, -1)]
    bob.delivery.mark_written(first)
    core.registry.link_down(bob, link)
    assert await rows(core) == [(first, 1, first)]


async def test_of_a_forgotten_peer_only_its_acknowledgement_is_kept_though_its_link_writes_on(core: Core) -> None:
    bob, _ = await core.linked()
    core.chat.send(bob, "1")
    first = core.journal.appended
    core.chat.send(bob, "2")
    await core.commit()
    bob.delivery.mark_written(core.journal.committed)
    assert core.chat.acknowledge(bob, core.journal.epoch, first)
    core.registry.forget(bob)
    bob.delivery.mark_written(core.journal.committed + 5)
    assert await rows(core) == [(0, 0, first)]
    assert (bob.delivery.forgotten, bob.delivery.outbox.count) == (True, 0)


async def test_what_was_not_committed_is_neither_sent_nor_awaited_from_a_room(core: Core) -> None:
    bob, _ = await core.linked()
    await core.flushed()
    core.world.fault = DiskFull("no room")
    core.chat.send(bob, "hi", Options(room_target=RoomTarget("hall@bob", "al")))
    seq = core.journal.appended
    assert (bob.delivery.outbox.contains(seq), seq in bob.delivery.unechoed) == (True, True)
    await core.commit()
    assert (bob.delivery.outbox.count, seq in bob.delivery.unechoed) == (0, False)


async def test_an_echo_counts_once_it_is_committed(core: Core) -> None:
    bob, _ = await core.linked()
    _, batch = core.chat.send(bob, "hi", Options(room_target=RoomTarget("hall@bob", "al")))
    await batch.wait()
    seq = core.journal.committed
    core.world.fault = DiskFull("no room")
    core.chat.send(bob, "more")
    bob.delivery.echo(seq)
    assert bob.delivery.echoed == seq
    await core.commit()
    assert (bob.delivery.echoed, seq in bob.delivery.unechoed) == (0, True)
    bob.delivery.echo(seq)
    await core.flushed()
    assert bob.delivery.echoed == seq
    assert core.journal.store.query("SELECT seq FROM echoes") == [(seq,)]
